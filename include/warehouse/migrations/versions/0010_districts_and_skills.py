"""Districts are found by what people call them; the skills there are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

# Four tiers: exact name, exact alias, then both without regard to case. Two districts in the first tier that has any
# are none: a guess would count one district's sessions for the other.
_RESOLVE = """
CREATE FUNCTION vms.resolve_district(given text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH candidate AS (
        SELECT district.salesforce_id, called.name, called.is_alias
        FROM vms.district, LATERAL (
            SELECT district.name, false UNION ALL
            SELECT alias.alias, true FROM vms.district_alias AS alias WHERE alias.parent_id = district.salesforce_id
        ) AS called (name, is_alias)
        WHERE district.deleted_at IS NULL AND lower(called.name) = lower(btrim(given))
    ), ranked AS (
        SELECT salesforce_id, rank() OVER (ORDER BY name = btrim(given) DESC, is_alias) AS tier FROM candidate
    )
    SELECT CASE WHEN count(DISTINCT salesforce_id) = 1 THEN min(salesforce_id) END FROM ranked WHERE tier = 1;
END
"""
_SKILLS = """
CREATE VIEW vms.skill AS
SELECT skill AS name, count(*) AS people
FROM vms.person_skill JOIN vms.person ON person.salesforce_id = person_skill.parent_id
WHERE person.deleted_at IS NULL
GROUP BY skill
"""


def upgrade() -> None:
    """Create function and view."""
    op.execute(sa.text(_RESOLVE))
    op.execute(sa.text(_SKILLS))
    op.execute("COMMENT ON VIEW vms.skill IS 'The skills there are, and how many people have each'")
    op.execute("COMMENT ON COLUMN vms.skill.name IS 'skill'")
    op.execute("COMMENT ON COLUMN vms.skill.people IS 'people who have it, without deleted ones'")


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP VIEW vms.skill")
    op.execute("DROP FUNCTION vms.resolve_district")
