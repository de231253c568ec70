"""`tests.chain.work` for processes that fork: what the tasks import late is loaded here once, not by every child."""

import matplotlib.backends.backend_agg
import matplotlib.figure
import networkx
import polars
import scipy.ndimage
import scipy.sparse.csgraph
import scipy.stats

from include.organism.analysis.report import groups, plots
from include.organism.graph_metrics import compiled
from tests.chain import work

__all__ = ["work"]
LOADED = (matplotlib, networkx, polars, scipy, groups, plots, compiled)
