"""The chain of migrations, without a server."""

import ast
from pathlib import Path

from alembic.script import ScriptDirectory

from include.warehouse import schema

VERSIONS = Path(schema.__file__).parent / "migrations" / "versions"


def test_one_head_and_one_line():
    script = ScriptDirectory.from_config(schema.alembic_config())
    assert script.get_heads() == [schema.head()]
    assert len(script.get_bases()) == 1
    assert all(len(step.nextrev) <= 1 for step in script.walk_revisions())


def test_every_file_is_part_of_the_chain_and_is_named_after_its_revision():
    script = ScriptDirectory.from_config(schema.alembic_config())
    chained = {Path(step.path).name: step.revision for step in script.walk_revisions()}
    assert set(chained) == {path.name for path in VERSIONS.glob("*.py")}
    assert all(name.startswith(f"{revision}_") for name, revision in chained.items())


def test_every_migration_can_be_taken_back():
    for path in VERSIONS.glob("*.py"):
        functions = {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert {"upgrade", "downgrade"} <= set(functions), path.name
        body = functions["downgrade"].body
        assert any(not isinstance(node, ast.Pass | ast.Expr) or isinstance(node.value, ast.Call) for node in body)
