"""Engines with one defect each, to see that the model test notices them: `VMS_MODEL_MUTANT=name`."""

from dataclasses import replace
from datetime import datetime, timedelta

from psycopg import sql

from include.vms import merge_sql, merges, tombstones, window


def _without_tombstones(patch):
    patch.setattr(tombstones, "apply", lambda *_: {"deleted": 0, "left_filter": 0})


def _without_lookback(patch):
    plan = window.plan
    patch.setattr(window, "plan", lambda spec, *more: plan(replace(spec, lookback_s=0), *more))


def _watermark_of_a_fast_clock(patch):
    """Of a machine that is an hour ahead of Salesforce."""
    plan = window.plan

    def planned(spec, request, watermark, server_now: datetime, covered=None):
        found = plan(spec, request, watermark, server_now, covered)
        return replace(found, end=server_now + timedelta(hours=1))

    patch.setattr(window, "plan", planned)


def _without_modstamp_guard(patch):
    _edit_upsert(patch, "n.system_modstamp >= t.system_modstamp AND ", "")


def _without_undelete(patch):
    _edit_upsert(patch, "deleted_at = NULL", "deleted_at = t.deleted_at")


def _without_repointing(patch):
    patch.setattr(merges, "apply", lambda _: 0)


def _edit_upsert(patch, old, new):
    upsert = merge_sql.upsert

    def edited(*given, **more):
        text = upsert(*given, **more).as_string(None)
        assert old in text
        return sql.SQL(text.replace(old, new))

    patch.setattr(merge_sql, "upsert", edited)


MUTANTS = {
    "tombstones": _without_tombstones,
    "lookback": _without_lookback,
    "clock": _watermark_of_a_fast_clock,
    "guard": _without_modstamp_guard,
    "repointing": _without_repointing,
    "undelete": _without_undelete,
}
