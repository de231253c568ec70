"""Everything that does work; `dags/` only wires it."""
