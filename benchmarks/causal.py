"""The causal analysis at 100,000 and 1,000,000 rows with 20 confounders, beside pyfixest, linearmodels and Spark.

Each contender is a process of its own: imports, work and peak memory are told apart. "Ours" is everything the analysis
asks for at once: the two-way within estimator with clustered errors, the pooled regression beside it, and the variation
they rest on. The peers make the within estimator alone. All read the same Parquet file; a tenth of the rows is missing,
so that the panel is unbalanced, and rows are in no order.

Exit code 1 when ours takes more than 1 s at 100,000 rows or 10 s at a million (imports apart), or when estimates or
errors differ. `--quick` leaves out the million, `--spark` adds sizes for Spark and for ours in parts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from include.organism.causal.engine import CausalEngine

CONFOUNDERS = 20
WEEKS = 52
LIMITS_S = {100_000: 1.0, 1_000_000: 10.0}
# linearmodels takes 4 GB for a million rows.
SMALL_ONLY = frozenset({"linearmodels"})
ROUNDS = 3
NAMES = [f"x{place}" for place in range(CONFOUNDERS)]
# Closed by the end of the process.
_OPEN = ExitStack()


def ours(path: Path, *, part_bytes: int = 2**29) -> Callable[[], tuple[float, float]]:
    """Our local engine."""
    import polars  # noqa: F401 - its import is none of the work
    import scipy.sparse.csgraph
    import scipy.stats  # noqa: F401

    from include.organism.causal.engine_local import LocalEngine

    return _of(LocalEngine(part_bytes), path)


def parts(path: Path) -> Callable[[], tuple[float, float]]:
    """Our local engine, 32 MB at a time."""
    return ours(path, part_bytes=2**25)


def spark(path: Path) -> Callable[[], tuple[float, float]]:
    """Our distributed engine on the cores of this machine."""
    from include import connections
    from include.organism.causal.engine_spark import DistributedCausalEngine

    master = {"conn_type": "spark", "host": f"local[{os.cpu_count()}]", "extra": {"spark.driver.memory": "4g"}}
    os.environ["AIRFLOW_CONN_SPARK"] = json.dumps(master)
    session = _OPEN.enter_context(connections.spark())
    return _of(DistributedCausalEngine(session), path)


def _of(engine: CausalEngine, path: Path) -> Callable[[], tuple[float, float]]:
    from include.organism.causal.regression import WITHIN, estimate
    from include.organism.causal.spec import Fit, PanelSpec

    spec = PanelSpec("outcome", "treatment", tuple(NAMES))

    def work() -> tuple[float, float]:
        with engine.open(path, spec) as panel:
            fit = estimate(panel, spec, engine.name)[WITHIN]
        assert isinstance(fit, Fit), fit  # noqa: S101
        return fit.effect.estimate, fit.effect.std_error

    return work


def pyfixest(path: Path) -> Callable[[], tuple[float, float]]:
    """Pyfixest's feols."""
    import pandas as pd
    import pyfixest as peer

    formula = f"outcome ~ treatment + {' + '.join(NAMES)} | person + period"

    def work() -> tuple[float, float]:
        model = peer.feols(formula, pd.read_parquet(path), vcov={"CRV1": "person"})
        return float(model.coef()["treatment"]), float(model.se()["treatment"])

    return work


def linearmodels(path: Path) -> Callable[[], tuple[float, float]]:
    """Linearmodels' PanelOLS."""
    import pandas as pd
    from linearmodels import PanelOLS

    def work() -> tuple[float, float]:
        data = pd.read_parquet(path).set_index(["person", "period"])
        model = PanelOLS(data["outcome"], data[["treatment", *NAMES]], entity_effects=True, time_effects=True)
        done = model.fit(cov_type="clustered", cluster_entity=True)
        return float(done.params["treatment"]), float(done.std_errors["treatment"])

    return work


CONTENDERS = {"ours": ours, "ours in parts": parts, "pyfixest": pyfixest, "linearmodels": linearmodels, "spark": spark}


def contender(name: str, path: Path) -> None:
    """One contender's rounds; prints a line of JSON."""
    begun = time.perf_counter()
    work = CONTENDERS[name](path)
    imported = time.perf_counter() - begun
    rounds, cpu = [], []
    for _ in range(ROUNDS):
        begun, used = time.perf_counter(), time.process_time()
        estimate, error = work()
        rounds.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - used)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"start": imported, "rounds": rounds, "cpu": min(cpu), "peak_mb": peak}
    print(json.dumps(figures | {"estimate": estimate, "error": error}))


def measured(name: str, path: Path) -> dict[str, Any]:
    """Run a contender in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.causal", "--contender", name, "--file", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def write(rows: int, path: Path) -> int:
    """Write an unbalanced panel of about so many rows; returns how many it has."""
    from benchmarks.causal_panels import panel

    frame = panel(round(rows / 0.9 / WEEKS), WEEKS, seed=0, covariates=CONFOUNDERS, missing=0.1)
    frame.write_parquet(path)
    return len(frame)


def compare(rows: int, names: list[str], folder: Path) -> bool:
    """Measure the contenders at one size; says whether all is well."""
    path = folder / f"{rows}.parquet"
    count = write(rows, path)
    print(f"\n{count:,} rows, {CONFOUNDERS} confounders")
    print(f"{'':14}{'start s':>9}{'first s':>9}{'best s':>9}{'CPU s':>9}{'peak MB':>9}{'x ours':>8}  estimate (error)")
    well, first = True, None
    for name in names:
        found = measured(name, path)
        best = min(found["rounds"])
        first = first or found | {"best": best}
        # What Spark's Java processes use is not seen from here.
        own = ("-", "-") if name == "spark" else (f"{found['cpu']:.2f}", f"{found['peak_mb']:.0f}")
        print(
            f"{name:14}{found['start']:9.2f}{found['rounds'][0]:9.2f}{best:9.2f}{own[0]:>9}{own[1]:>9}"
            f"{best / first['best']:8.1f}  {found['estimate']:.9f} ({found['error']:.7f})",
            flush=True,
        )
        # linearmodels counts the effects otherwise in the small-sample factor.
        near = 2e-2 if name == "linearmodels" else 1e-6
        well &= abs(found["estimate"] - first["estimate"]) <= 1e-8
        well &= abs(found["error"] / first["error"] - 1) <= near
    limit = LIMITS_S.get(rows)
    if limit is not None and first is not None and first["best"] > limit:
        print(f"too slow: {first['best']:.2f} s, at most {limit:.0f} s")
        well = False
    path.unlink()
    return well


def main() -> int:
    """Compare, or be one contender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100,000 rows only")
    parser.add_argument("--spark", nargs="*", type=int, default=[], help="further sizes, ours beside Spark")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contender:
        contender(given.contender, given.file)
        return 0
    well = True
    with tempfile.TemporaryDirectory(prefix="causal-") as folder:
        for rows in (100_000,) if given.quick else (100_000, 1_000_000):
            small = rows <= 100_000
            names = [name for name in CONTENDERS if small or name not in SMALL_ONLY]
            well &= compare(rows, names, Path(folder))
        for rows in given.spark:
            well &= compare(rows, ["ours", "ours in parts", "spark"], Path(folder))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
