"""Write the generated pages, or with --check say which of them are stale and end with 1."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m include.operations.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail when a page is stale")
    check = parser.parse_args(arguments).check
    with tempfile.TemporaryDirectory() as home:
        # Airflow reads this when it is first imported, and writes a configuration and logs there.
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
        from include.operations.docs import dags, data_dictionary, errors, thresholds

        try:
            fresh = {
                "docs/DAGs.md": dags.render(_ROOT / "dags"),
                "docs/data-dictionary.md": data_dictionary.render(),
                "docs/errors.md": errors.render(),
                "docs/thresholds.md": thresholds.render(),
            }
        except dags.DagImportFailed as error:
            sys.stderr.write(f"docs: a DAG file cannot be imported: {error}\n")
            return 1
    stale = [name for name, text in fresh.items() if _read(_ROOT / name) != text]
    for name in stale:
        if check:
            old, new = _read(_ROOT / name).splitlines(), fresh[name].splitlines()
            difference = list(difflib.unified_diff(old, new, name, "from the code", lineterm="", n=0))
            sys.stderr.write("\n".join([*difference[:12], f"docs: {name} is stale: run `make docs` and commit it.\n"]))
        else:
            (_ROOT / name).parent.mkdir(exist_ok=True)
            (_ROOT / name).write_text(fresh[name], encoding="utf-8")
            sys.stdout.write(f"docs: wrote {name}\n")
    return 1 if check and stale else 0


def _read(page: Path) -> str:
    return page.read_text(encoding="utf-8") if page.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
