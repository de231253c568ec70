"""Which questionnaire counts when several were answered and none is named."""

from __future__ import annotations

from typing import Final

USUAL_INSTRUMENT: Final = """
select instrument from answer where score is not null
group by 1 order by count(distinct employee_id) desc, 1 limit 1
"""
"""Scores of different questionnaires do not compare: the one that most people answered. Reads a relation `answer` with
the columns `employee_id`, `instrument` and `score`."""
