"""Make the data of a simulated organisation.

python -m local.salesforce.generate --into DIRECTORY [--percent 1] [--seed 7] [--defects FILE] [--npsp FILE]
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path

from local.salesforce.generator import NOW, Defect, defects, tables
from local.salesforce.importer import import_npsp
from local.salesforce.store import Store


def fill(store: Store, seed: int = 7, percent: float = 1, now: datetime = NOW) -> dict[str, int]:
    """Put the generated records into an empty store; return how many each object got. Raises ValueError, ApiError."""
    return {name: len(store.insert_many(name, rows)) for name, rows in tables(seed, percent, now)}


def write_manifest(path: Path, found: Sequence[Defect]) -> None:
    """Write what is wrong, and where a sync must put it, as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Defect)])
        writer.writeheader()
        writer.writerows(asdict(each) for each in found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, or 2 when it cannot be done as asked."""
    parser = argparse.ArgumentParser(prog="python -m local.salesforce.generate", description=__doc__)
    parser.add_argument("--percent", type=float, default=1, help="of the real volumes (100: about 630,000 records)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same organisation")
    parser.add_argument("--into", type=Path, required=True, help="directory of the simulator's data; must be empty")
    parser.add_argument("--defects", type=Path, help="also write what is wrong with which record, as CSV")
    parser.add_argument(
        "--npsp", type=Path, help="add the sample of the Nonprofit Success Pack (datasets/1k, a SQL dump)"
    )
    options = parser.parse_args(arguments)
    if options.into.exists() and any(options.into.iterdir()):
        print(f"{options.into} is not empty: name a new directory, or remove its files first", file=sys.stderr)
        return 2
    try:
        found = defects(options.seed, options.percent)
        with closing(Store(options.into)) as store:
            counts = Counter(fill(store, options.seed, options.percent))
            if options.npsp:
                counts.update(import_npsp(store, options.npsp))
        if options.defects:
            write_manifest(options.defects, found)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for name, count in {**counts, "defects": len(found)}.items():
        print(f"{name:<24} {count:>9,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
