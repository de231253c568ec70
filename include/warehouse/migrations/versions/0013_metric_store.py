"""Measurements of people over time, what is published of groups, and what people have chosen about their data.

Tables that grow with time are hypertables where TimescaleDB is, else range partitions, which the pipeline makes ahead
(include/organism/metric_store/layout.py, docs/decisions/0030-metric-store.md).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"

_METRICS = (
    ("degree_centrality", "distinct people interacted with / (people - 1)"),
    ("strength", "sum of the weights of the person's edges in both directions"),
    ("betweenness_centrality", "share of shortest paths through the person; how: metric_run.metrics"),
    ("clustering_coefficient", "how many of the person's neighbours are neighbours of each other"),
    ("pagerank", "PageRank"),
    ("burt_constraint", "Burt's constraint; null: not defined, nobody next to the person"),
    ("reciprocity", "share of the person's ties that go both ways; null: no ties"),
    ("out_of_team_share", "share of strength to people of other teams; null: no ties or no team"),
    ("burnout_score", "0 to 100, newest consented assessment before the measurement; null: none"),
)
# Table, its time column, days of a partition or chunk.
_SERIES = (
    ("employee_metrics", "measured_at", 7),
    ("employee_metrics_hourly", "bucket", 28),
    ("employee_metrics_daily", "bucket", 91),
    ("team_metrics", "measured_at", 28),
)
# Buckets of both functions begin at the same moment, a Monday.
_BUCKET = """
CREATE FUNCTION organism.bucket(width interval, moment timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN {function}(width, moment, timestamptz '2000-01-03 00:00:00+00')
"""
_CURRENT = """
CREATE VIEW organism.current_metrics AS
SELECT * FROM organism.employee_metrics AS measured
WHERE measured_at = (SELECT max(measured_at) FROM organism.metric_run WHERE completed_at IS NOT NULL)
  AND NOT EXISTS (SELECT FROM organism.excluded_person WHERE employee_id = measured.employee_id)
"""
_EXCLUDED = """
CREATE VIEW organism.excluded_person AS
SELECT employee_id, CASE WHEN opted_out_at <= now() THEN 'opted_out' ELSE 'on_leave' END AS reason
FROM organism.privacy_choice
WHERE opted_out_at <= now() OR (on_leave_from <= now() AND (on_leave_until IS NULL OR on_leave_until > now()))
"""


def _text(name: str, comment: str, *, nullable: bool = False, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable, primary_key=key, comment=comment)


def _time(
    name: str, comment: str, *, nullable: bool = False, key: bool = False, now: bool = False
) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    kind = sa.DateTime(timezone=True)
    return sa.Column(name, kind, nullable=nullable, primary_key=key, server_default=default, comment=comment)


def _number(name: str, comment: str, *, nullable: bool = True) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable, comment=comment)


def _count(name: str, comment: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, comment=comment)


def _json(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB, nullable=True, comment=comment)


def upgrade() -> None:
    """Create tables, views and the bucket function."""
    connection = op.get_bind()
    edition = connection.scalar(sa.text("select current_setting('timescaledb.license', true)"))
    _create_metrics(native=edition is None)
    _create_groups(native=edition is None)
    _create_privacy()
    if edition is not None:
        for table, column, days in _SERIES:
            connection.execute(
                sa.text(
                    "select create_hypertable(cast(:name as regclass), by_range(:column, make_interval(days => :days)))"
                ),
                {"name": f"organism.{table}", "column": column, "days": days},
            )
    if edition == "timescale":
        _compress()
    op.execute(sa.text(_BUCKET.format(function="date_bin" if edition is None else "time_bucket")))
    for view, meaning in (
        (_EXCLUDED, "excluded_person IS 'People who have opted out or are on leave now: left out of everything'"),
        (_CURRENT, "current_metrics IS 'Rows of the newest complete run. Individuals: restricted'"),
    ):
        op.execute(sa.text(view))
        op.execute(f"COMMENT ON VIEW organism.{meaning}")
    op.execute(
        "DO $$ DECLARE col record; BEGIN FOR col IN SELECT attname, col_description(attrelid, attnum) AS said"
        " FROM pg_attribute WHERE attrelid = 'organism.employee_metrics'::regclass AND attnum > 0 LOOP"
        " EXECUTE format('COMMENT ON COLUMN organism.current_metrics.%I IS %L', col.attname, col.said);"
        " END LOOP; END $$"
    )
    op.execute("COMMENT ON COLUMN organism.excluded_person.employee_id IS 'the person'")
    op.execute("COMMENT ON COLUMN organism.excluded_person.reason IS 'opted_out or on_leave'")


def _series(native: bool, column: str) -> dict[str, Any]:
    return {"postgresql_partition_by": f"RANGE ({column})"} if native else {}


def _create_metrics(*, native: bool) -> None:
    op.create_table(
        "metric_run",
        _time("measured_at", "logical time of the run", key=True),
        _text("run_id", "Airflow's run id of the last try"),
        _count("epoch", "fencing number: a try with an older one writes nothing"),
        _count("people", "people measured", nullable=True),
        _count("edges", "directed edges read", nullable=True),
        _json("metrics", "by metric: method, k, seed, engine, version, definition, error_bound"),
        _json("seconds", "seconds by phase"),
        _time("started_at", "when the last try began", now=True),
        _time("completed_at", "when employee_metrics of this run were last committed; null: not yet", nullable=True),
        _time("published_at", "when its roll-ups and team_metrics were last committed; null: not yet", nullable=True),
        schema="organism",
        comment="One row for each run that measures the graph: how its numbers were made",
    )
    op.create_table(
        "employee_metrics",
        _time("measured_at", "logical time of the run", key=True),
        _text("employee_id", "the person, a pseudonym where a key is set", key=True),
        _text("team", "team at that time; null: none", nullable=True),
        sa.Column("is_manager", sa.Boolean, nullable=False, comment="whether the person managed others at that time"),
        *(_number(name, comment) for name, comment in _METRICS[:6]),
        sa.Column("community", sa.Integer, nullable=True, comment="number of the community; means nothing across runs"),
        *(_number(name, comment) for name, comment in _METRICS[6:]),
        schema="organism",
        comment="A person's measurements at one time. Individuals: restricted, never shown",
        **_series(native, "measured_at"),
    )
    op.create_index(
        "employee_metrics_person", "employee_metrics", ["employee_id", sa.text("measured_at desc")], schema="organism"
    )
    for name, width in (("hourly", "hour"), ("daily", "day")):
        op.create_table(
            f"employee_metrics_{name}",
            _time("bucket", f"begin of the {width}, UTC", key=True),
            _text("employee_id", "the person", key=True),
            _text("team", f"last team of the {width}; null: none", nullable=True),
            sa.Column("is_manager", sa.Boolean, nullable=False, comment=f"last value of the {width}"),
            sa.Column("samples", sa.Integer, nullable=False, comment="runs that measured the person"),
            *(_number(metric, f"mean: {comment}") for metric, comment in _METRICS),
            schema="organism",
            comment=f"A person's mean measurements of each {width}. Individuals: restricted, never shown",
            **_series(native, "bucket"),
        )
        op.create_index(
            f"employee_metrics_{name}_person",
            f"employee_metrics_{name}",
            ["employee_id", sa.text("bucket desc")],
            schema="organism",
        )


def _create_groups(*, native: bool) -> None:
    op.create_table(
        "team_cohort",
        sa.Column("cohort_id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="number of the set"),
        _text("family", "metrics that were published about this very set of people"),
        sa.Column("members", sa.ARRAY(sa.Text), nullable=False, comment="the people; erased ones are random words"),
        sa.Column("digest", sa.LargeBinary, nullable=False, comment="SHA-256 of the sorted people when it was new"),
        _time("first_published_at", "first measurement published about it"),
        _time("last_published_at", "last measurement published about it"),
        sa.UniqueConstraint("family", "digest", name="team_cohort_set"),
        schema="organism",
        comment="Sets of people about whom a number was published, or follows from published ones. Restricted",
    )
    op.create_table(
        "team_metrics",
        _text("team", "team; empty: the whole organisation", key=True),
        _text("audience", "everyone, managers or others", key=True),
        _text("metric", "column of employee_metrics", key=True),
        _time("measured_at", "logical time of the run", key=True),
        sa.Column("n", sa.Integer, nullable=True, comment="people that the mean is about; null: suppressed"),
        _number("mean", "mean of those people's values; null: suppressed"),
        _text(
            "suppressed", "why there is no number: too_few, or differs_too_little; null: there is one", nullable=True
        ),
        _count("cohort_id", "row of team_cohort; null: suppressed", nullable=True),
        sa.CheckConstraint(
            "(suppressed is null) = (n is not null and mean is not null and cohort_id is not null)",
            name="team_metrics_number_or_reason",
        ),
        schema="organism",
        comment="Published means of groups of at least the minimum size, for anybody",
        **_series(native, "measured_at"),
    )
    op.create_index("team_metrics_measured_at", "team_metrics", ["measured_at"], schema="organism")


def _create_privacy() -> None:
    op.create_table(
        "privacy_choice",
        _text("employee_id", "the person", key=True),
        _time("opted_out_at", "left out of everything from then on; null: no", nullable=True),
        _time("on_leave_from", "left out from then on; null: no", nullable=True),
        _time("on_leave_until", "end of the leave; null: open", nullable=True),
        _text("source", "who said so: roster or command"),
        _time("updated_at", "last change", now=True),
        schema="organism",
        comment="What people have chosen about their data. Individuals: restricted",
    )
    op.create_table(
        "privacy_request",
        sa.Column("request_id", sa.Uuid, primary_key=True, comment="number given to the person"),
        _text("kind", "export, erase or opt_out"),
        _text("person_digest", "HMAC-SHA256 of the person's id: proves whose request it was to who knows the id"),
        _text("requested_by", "account that ran the command"),
        _time("requested_at", "when it began", now=True),
        _time("completed_at", "when everything was done; null: it was interrupted, run it again", nullable=True),
        _json("counts", "rows, nodes and keys by where they were"),
        schema="organism",
        comment="Proof of each request of a person; no personal value",
    )


def _compress() -> None:
    """Only the edition under the Timescale licence can."""
    for table, column in (("employee_metrics", "measured_at"), ("employee_metrics_hourly", "bucket")):
        op.execute(
            f"ALTER TABLE organism.{table} SET (timescaledb.compress, timescaledb.compress_segmentby = 'employee_id',"
            f" timescaledb.compress_orderby = '{column} DESC')"
        )
        op.execute(f"SELECT add_compression_policy('organism.{table}', INTERVAL '30 days')")


def downgrade() -> None:
    """Drop everything."""
    op.execute("DROP VIEW organism.current_metrics")
    op.execute("DROP VIEW organism.excluded_person")
    op.execute("DROP FUNCTION organism.bucket")
    for table in (
        "privacy_request",
        "privacy_choice",
        "team_metrics",
        "team_cohort",
        "employee_metrics_daily",
        "employee_metrics_hourly",
        "employee_metrics",
        "metric_run",
    ):
        op.drop_table(table, schema="organism")
