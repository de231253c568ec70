"""The measurements of a person, as the tables hold them."""

from __future__ import annotations

from typing import Final

# Defined for everyone: a value that is missing or not finite is an error of whoever computed it.
ALWAYS: Final = ("degree_centrality", "strength", "betweenness_centrality", "clustering_coefficient", "pagerank")
# Not defined for some, e.g. people without ties: null.
SOMETIMES: Final = ("burt_constraint", "reciprocity", "out_of_team_share", "burnout_score")
METRICS: Final = ALWAYS + SOMETIMES
# Of a frame that is written; what else it may hold: `SOMETIMES`.
REQUIRED: Final = ("employee_id", "team", "is_manager", *ALWAYS, "community")
COLUMNS: Final = (*REQUIRED, *SOMETIMES)
