"""`make new-object NAME=... SOBJECT=...`: the first version of an object module, ready to be edited."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from include.vms import objects as package

OBJECTS: Final = Path(package.__path__[0])
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,40}")
_SOBJECT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,80}")
_ENDINGS: Final = (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("s", ""))

_TEMPLATE: Final = '''"""{title}: all records of {sobject}."""

from __future__ import annotations

from include.vms.columns import copy, required
from include.vms.spec import SyncObject, Table

_NAME = required("Name")

OBJECT = SyncObject(
    name="{name}",
    sobject="{sobject}",
    description="{title}",
    fields=(_NAME,),
    tables=(
        Table(
            name="{table}",
            comment="{title}",
            columns=(copy(_NAME, "name", nullable=False),),
        ),
    ),
)
'''


def render(name: str, sobject: str) -> str:
    """Return the module.

    Raises:
        ValueError: one of the names cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a sync: small letters, digits and _ only, a letter first, a plural")
    if not _SOBJECT.fullmatch(sobject):
        raise ValueError(f"{sobject!r} is no API name of a Salesforce object; one looks like Pathway__c")
    title = name.replace("_", " ").capitalize()
    return _TEMPLATE.format(name=name, sobject=sobject, title=title, table=_singular(name))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m include.vms.scaffold", description=__doc__)
    parser.add_argument("name", help="of the sync, a plural, e.g. pathways")
    parser.add_argument("sobject", help="API name of the Salesforce object, e.g. Pathway__c")
    given = parser.parse_args(arguments)
    try:
        text = render(given.name, given.sobject)
        path = OBJECTS / f"{given.name}.py"
        # Never over a file that is there.
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except ValueError as error:
        sys.stderr.write(f"new-object: {error}\n")
        return 1
    except FileExistsError:
        sys.stderr.write(f"new-object: {path} is there already: edit it\n")
        return 1
    sys.stdout.write(
        f"new-object: wrote {path}\n"
        f"next: name its fields there (docs/adding-an-object.md), then make object-migration NAME={given.name}\n"
    )
    return 0


def _singular(name: str) -> str:
    for ending, instead in _ENDINGS:
        if name.endswith(ending):
            return name[: -len(ending)] + instead
    return name


if __name__ == "__main__":
    sys.exit(main())
