"""What the tests of the estimator share."""

from include.organism.causal.engine_local import LocalEngine
from include.organism.causal.regression import WITHIN, estimate
from include.organism.causal.spec import PanelSpec

SPEC = PanelSpec("outcome", "treatment", ("x0", "x1"))


def fit(source, spec=SPEC, method=WITHIN, *, part_bytes=2**29, limits=None):
    """One method's answer by the local engine."""
    with LocalEngine(part_bytes).open(source, spec) as panel:
        return estimate(panel, spec, "local", methods=(method,), limits=limits)[method]
