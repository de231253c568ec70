"""A program of its own: estimate a panel over Spark Connect, as a task does, and print the figures.

PySpark cannot hold a classic session and one of Spark Connect in one process.
"""

import json
import sys

from include import connections
from include.organism.causal.engine_spark import DistributedCausalEngine
from include.organism.causal.regression import WITHIN, estimate
from include.organism.causal.spec import PanelSpec


def main() -> None:
    """Arguments: the Parquet file."""
    spec = PanelSpec("outcome", "treatment", ("x0", "x1"))
    with connections.spark() as session:
        engine = DistributedCausalEngine(session)
        with engine.open(sys.argv[1], spec) as panel:
            fit = estimate(panel, spec, engine.name)[WITHIN]
    found = {"coefficients": fit.coefficients.tolist(), "covariance": fit.covariance.tolist()}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
