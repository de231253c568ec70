"""The step `run_causal_analysis`: question, panel, answers, page, all written at once or not at all."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.operations.conflicts import repeat
from include.operations.faults import fault_point
from include.organism.analysis.question import BURNOUT, Question

if TYPE_CHECKING:
    import psycopg

# Metrics of one missed refresh are old, and not yet wrong.
FRESH: Final = timedelta(hours=12)
_NEWEST: Final = """
select measured_at, epoch from organism.metric_run where completed_at is not null and measured_at <= %s
order by measured_at desc limit 1
"""


def analyse(connection: psycopg.Connection, question: Question, measured_at: datetime, run_id: str) -> dict[str, Any]:
    """Answer a question for a run's logical time and write everything down; commits once, at the end.

    A refusal is an answer: it is written like any other and fails nothing.

    Returns:
        Figures of the run: rows, people, engine, answers by verdict, ids of the estimates.

    Raises:
        LeaseLost: the metrics were measured again meanwhile; nothing is written.
        psycopg.Error: the warehouse refuses; nothing is written.
    """
    from include.organism.analysis import answers, panel, record
    from include.organism.analysis.report import page
    from include.organism.causal.choice import engine_for
    from include.organism.metric_store.writer import lock_run

    with ExitStack() as stack:
        found = None
        newest = connection.execute(_NEWEST, [measured_at]).fetchone()
        if newest is None or measured_at - newest[0] > FRESH:
            given, engine_name, why = answers.refused(question, "stale_metrics"), "none", ""
        else:
            found = stack.enter_context(panel.opened(connection, question, measured_at))
            # The estimate takes its time, and needs no snapshot of the warehouse.
            connection.commit()
            if question.outcome == BURNOUT and found.instrument is None:
                given, engine_name, why = answers.refused(question, "no_assessments"), "none", ""
            else:
                engine, why = stack.enter_context(engine_for(found.rows, question.engine))
                fault_point("analysis.before_estimate")
                given, engine_name = answers.answer(engine, found, question), engine.name
        facts = page.Facts(measured_at, question, found, engine_name)
        files = page.files(connection, facts, given)
        # It was looked at to make the page, and is over: what follows is a transaction of its own.
        connection.commit()

        def keep() -> list[int]:
            if newest is not None:
                # Whoever measured again since then will analyse again.
                lock_run(connection, *newest)
            written = record.write(connection, run_id, facts, given, files)
            connection.commit()
            return written

        fault_point("analysis.before_write")
        ids = repeat(keep, undo=connection.rollback)
    fault_point("analysis.after_commit")
    return {
        "rows": 0 if found is None else found.rows,
        "people": 0 if found is None else found.people,
        "engine": engine_name,
        "engine_because": why,
        "verdicts": dict(Counter(str(each.verdict) for each in given)),
        "estimates": ids,
    }
