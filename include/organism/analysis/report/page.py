"""The page of a run: HTML without scripts or outside references, everything escaped, and its pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from include.organism.analysis.report import groups, plots
from include.organism.analysis.verdict import ASSUMPTIONS, Verdict
from include.organism.causal.leads import EventStudy

if TYPE_CHECKING:
    import psycopg

    from include.organism.analysis.answers import Answer
    from include.organism.analysis.panel import PanelFile
    from include.organism.analysis.question import Question

INDEX: Final = "index.html"
_FOLDER: Final = Path(__file__).parent
_MEANING: Final = {
    Verdict.SUPPORTED: "holds against everything that was tried",
    Verdict.SUGGESTIVE: "worth a look, not a basis for action",
    Verdict.NOT_IDENTIFIED: "the data cannot tell",
    Verdict.REFUSED: "no answer from these data",
}
# What a treatment is changed by in "per unit".
_UNITS: Final = {
    "degree_centrality": "from contact with nobody to contact with everybody",
    "strength": "contacts that weigh one more in all",
    "betweenness_centrality": "from lying on no shortest path between two others to lying on all",
    "clustering_coefficient": "from contacts who do not know each other to contacts who all do",
    "pagerank": "from none to all of the organisation's attention, as PageRank shares it out",
    "burt_constraint": "one more of Burt's constraint: near 0 for many unconnected contacts, 1 for a single contact",
    "reciprocity": "from no contact answered to all answered",
    "out_of_team_share": "from contacts in the own team only to contacts in other teams only",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run was about.

    Attributes:
        measured_at: its logical time.
        question: what was asked.
        panel: what it was asked of; None: nothing could be read.
        engine: who added up.
    """

    measured_at: datetime
    question: Question
    panel: PanelFile | None
    engine: str


def files(connection: psycopg.Connection, facts: Facts, answers: Sequence[Answer]) -> dict[str, bytes]:
    """The page and its pictures, by name."""
    pictures = {
        "effects.png": plots.coefficients(answers, facts.question.outcome),
        "betweenness.png": plots.distribution(
            groups.current(connection, "betweenness_centrality"), "betweenness_centrality"
        ),
    }
    teams = groups.teams(connection, facts.measured_at)
    if teams.teams:
        pictures["teams.png"] = plots.heat_map(teams)
    for answer in answers:
        study = answer.trial.study if answer.trial is not None and answer.effect is not None else None
        if isinstance(study, EventStudy):
            picture = plots.event_study(study, answer.treatment, facts.question.outcome, facts.question.period)
            pictures[f"event-study-{answer.treatment}.png"] = picture
    return {INDEX: render(facts, answers, pictures).encode(), **pictures}


def render(facts: Facts, answers: Sequence[Answer], pictures: Mapping[str, bytes]) -> str:
    """The page as HTML; pictures are inside it, so that it can be sent as one file."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined)
    environment.filters["figure"] = _figure
    environment.filters["plain"] = lambda name: str(name).replace("_", " ")
    shown: dict[str, Any] = {
        "facts": facts,
        "answers": answers,
        "meaning": _MEANING,
        "units": _UNITS,
        "assumptions": ASSUMPTIONS,
        "least": groups.LEAST,
        "pictures": {name: base64.b64encode(content).decode() for name, content in pictures.items()},
    }
    return environment.get_template("page.html.j2").render(shown)


def _figure(value: float | None) -> str:
    """Three digits that count; a dash for nothing."""
    return "\N{EN DASH}" if value is None else f"{value:,.3g}"
