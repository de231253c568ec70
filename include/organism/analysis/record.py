"""Answers into `organism.causal_estimate`, with their scenarios and the page: one transaction, harmless to repeat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from include.operations.faults import fault_point
from include.organism.analysis.verdict import ASSUMPTIONS
from include.organism.causal.counterfactual import Counterfactual
from include.organism.causal.leads import EventStudy
from include.organism.causal.machine_learning import SecondOpinion
from include.organism.causal.placebo import Placebo
from include.organism.causal.spec import Effect, Fit

if TYPE_CHECKING:
    import psycopg

    from include.organism.analysis.answers import Answer, Scenario, Trial
    from include.organism.analysis.report.page import Facts

DESIGN: Final = (
    "Two-way fixed effects: every person is compared with themselves at other times, after what changes for everybody"
    " alike is taken out; errors are clustered by person (CRV1)."
)
# So many earlier runs are looked at for the sign.
_LOOK_BACK: Final = 100
_SIGNS: Final = """
select sign(estimate)::int from organism.causal_estimate
where specification_hash = %(specification_hash)s and treatment = %(treatment)s and measured_at < %(measured_at)s
order by measured_at desc limit %(limit)s
"""
_FORGET: Final = "delete from organism.causal_counterfactual where estimate_id = %s"
_SCENARIO: Final = """
insert into organism.causal_counterfactual
    (estimate_id, scenario, change, people, delta, ci_low, ci_high)
values (%s, %s, %s, %s, %s, %s, %s)
"""
_PAGE: Final = """
insert into organism.causal_report (measured_at, name, content) values (%s, %s, %s)
on conflict (measured_at, name) do update set content = excluded.content, created_at = now()
"""
_OLD_PAGES: Final = "delete from organism.causal_report where measured_at = %s and not name = any(%s)"


def write(
    connection: psycopg.Connection,
    run_id: str,
    facts: Facts,
    answers: Sequence[Answer],
    files: Mapping[str, bytes],
) -> list[int]:
    """Write a run's answers in the connection's transaction; a repeated run replaces them under the same ids.

    Returns:
        The ids of the answers, in their order.

    Raises:
        psycopg.Error: the warehouse refuses; nothing is written.
    """
    ids = [_write(connection, _row(connection, run_id, facts, answer), answer) for answer in answers]
    connection.execute(_OLD_PAGES, [facts.measured_at, list(files)])
    for name, content in files.items():
        connection.execute(_PAGE, [facts.measured_at, name, content])
    fault_point("analysis.in_transaction")
    return ids


def _write(connection: psycopg.Connection, row: dict[str, Any], answer: Answer) -> int:
    from psycopg import sql

    key = ("measured_at", "specification_hash", "treatment")
    statement = sql.SQL(
        "insert into organism.causal_estimate ({columns}) values ({values})"
        " on conflict ({key}) do update set {changes}, created_at = now() returning id"
    ).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, row)),
        values=sql.SQL(", ").join(map(sql.Placeholder, row)),
        key=sql.SQL(", ").join(map(sql.Identifier, key)),
        changes=sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in row if name not in key
        ),
    )
    found = connection.execute(statement, row).fetchone()
    assert found is not None  # noqa: S101 - an upsert gives one row
    connection.execute(_FORGET, [found[0]])
    if answer.effect is not None and answer.trial is not None:
        for scenario in answer.trial.scenarios:
            if isinstance(scenario.result, Counterfactual):
                connection.execute(_SCENARIO, [found[0], *_scenario(scenario, scenario.result)])
    return int(found[0])


def _scenario(scenario: Scenario, result: Counterfactual) -> list[Any]:
    from psycopg.types.json import Jsonb

    delta = result.delta
    # Not the means before and after: those of two runs, about slightly other people, could be subtracted.
    return [scenario.name, Jsonb(list(scenario.changes)), result.people, delta.estimate, delta.low, delta.high]


def _row(connection: psycopg.Connection, run_id: str, facts: Facts, answer: Answer) -> dict[str, Any]:
    from psycopg.types.json import Jsonb

    question, panel = facts.question, facts.panel
    row: dict[str, Any] = {
        "measured_at": facts.measured_at,
        "run_id": run_id,
        "outcome": question.outcome,
        "treatment": answer.treatment,
        "confounders": list(answer.confounders),
        "specification": Jsonb(question.as_json()),
        "specification_hash": question.hash,
        "inputs_hash": "" if panel is None else panel.hash,
        "engine": facts.engine,
        "design": DESIGN,
        "verdict": str(answer.verdict),
        "reasons": list(answer.reasons),
        "words": list(answer.words),
        "assumptions": list(ASSUMPTIONS),
        "q_value": answer.q_value,
        **_effect(answer.effect, p_value="p_value", std_error="std_error", low="ci_low", high="ci_high"),
        **_tried(answer.trial),
        "diagnostics": Jsonb(_diagnostics(facts, answer)),
    }
    row["runs_of_this_sign"] = _runs_of_this_sign(connection, row)
    return row


def _effect(effect: Effect | None, estimate: str = "estimate", **names: str) -> dict[str, float | None]:
    """Fields of an effect under the names of columns."""
    wanted = {"estimate": estimate, **names}
    return {column: None if effect is None else getattr(effect, name) for name, column in wanted.items()}


def _tried(trial: Trial | None) -> dict[str, Any]:
    fit = None if trial is None else trial.fit
    naive = trial.naive.effect if trial is not None and isinstance(trial.naive, Fit) else None
    second = trial.second.effect if trial is not None and isinstance(trial.second, SecondOpinion) else None
    return {
        "n": None if fit is None else fit.rows,
        "clusters": None if fit is None else fit.clusters,
        "periods": None if fit is None else fit.periods,
        **_effect(naive, "naive_estimate", std_error="naive_std_error"),
        **_effect(second, "second_estimate", std_error="second_std_error"),
        "placebo_p": trial.placebo.p_value if trial is not None and isinstance(trial.placebo, Placebo) else None,
        "lead_p": trial.study.lead_p if trial is not None and isinstance(trial.study, EventStudy) else None,
        "robustness_value": None if trial is None else trial.sensitivity.robustness_value,
        "overlap_ok": None if trial is None else trial.overlap.ok,
    }


def _runs_of_this_sign(connection: psycopg.Connection, row: Mapping[str, Any]) -> int:
    """Refreshes in a row, this one included, of the same question whose estimate had this sign."""
    estimate = row["estimate"]
    if not estimate:
        return 0
    count = 1
    for (sign,) in connection.execute(_SIGNS, {**row, "limit": _LOOK_BACK}):
        if sign != math.copysign(1, estimate):
            break
        count += 1
    return count


def _diagnostics(facts: Facts, answer: Answer) -> dict[str, Any]:
    """Everything that has no column, as figures."""
    found: dict[str, Any] = {}
    if facts.panel is not None:
        found["panel"] = {
            "rows": facts.panel.rows,
            "people": facts.panel.people,
            "instrument": facts.panel.instrument,
            "people_left_out": facts.panel.left_out,
        }
    trial = answer.trial
    if trial is not None:
        # Means of two runs, about slightly other people, could be subtracted.
        hidden = {"coefficients", "covariance", "gram", "outcome_mean", "treatment_mean"}
        found["fit"] = {key: value for key, value in asdict(trial.fit).items() if key not in hidden}
        for name in ("overlap", "second", "placebo", "study", "sensitivity"):
            value = getattr(trial, name)
            found[name] = asdict(value) if is_dataclass(value) and not isinstance(value, type) else None
    plain: dict[str, Any] = _plain(found)
    return plain


def _plain(value: Any) -> Any:
    """The same for JSON, which knows no tuples, infinities and NaN."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
