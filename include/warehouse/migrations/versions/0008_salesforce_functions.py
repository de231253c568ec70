"""What the columns of the Salesforce objects are made with: names, labels, levels, addresses, skills, as SQL functions.

Sections in comments are those of the reference on the objects. Every function gives null for null unless it says so.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_PURE = "LANGUAGE sql IMMUTABLE PARALLEL SAFE"
# Signature and body; each may use those before it.
_FUNCTIONS = {
    # 5 characters give one of the checksum: which of them are capitals.
    "id_checksum(part text) RETURNS text": r"""
RETURN substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ012345', 1
    + (substr(part, 1, 1) ~ '[A-Z]')::integer + (substr(part, 2, 1) ~ '[A-Z]')::integer * 2
    + (substr(part, 3, 1) ~ '[A-Z]')::integer * 4 + (substr(part, 4, 1) ~ '[A-Z]')::integer * 8
    + (substr(part, 5, 1) ~ '[A-Z]')::integer * 16, 1)
""",
    # 4: ids are compared by their 18 characters; one of 15 gets its checksum, anything else stays as it is.
    "id18(id text) RETURNS text": r"""
RETURN CASE length(id) WHEN 15 THEN
    id || vms.id_checksum(left(id, 5)) || vms.id_checksum(substr(id, 6, 5)) || vms.id_checksum(right(id, 5))
ELSE id END
""",
    # 5.7: two letters at least, none of them small.
    "is_all_caps(name text) RETURNS boolean": r"""
RETURN name = upper(name) AND name <> lower(name) AND length(regexp_replace(name, '[^[:alpha:]]', '', 'g')) >= 2
""",
    # 5.7: the parts around hyphens and apostrophes each with a capital, McDonald and MacDonald with two.
    "capitalized(name text) RETURNS text": r"""
RETURN (
    SELECT string_agg(
        CASE WHEN length(part[1]) > 3 AND part[1] ~* '^ma?c[[:alpha:]]'
            THEN initcap(left(part[1], strpos(lower(part[1]), 'c')))
                || upper(substr(part[1], strpos(lower(part[1]), 'c') + 1, 1))
                || lower(substr(part[1], strpos(lower(part[1]), 'c') + 2))
            ELSE upper(left(part[1], 1)) || lower(substr(part[1], 2))
        END || part[2], '' ORDER BY place)
    FROM regexp_matches(normalize(name, NFC), '([[:alnum:]]*)([^[:alnum:]]*)', 'g') WITH ORDINALITY AS m (part, place)
)
""",
    # 5.7: names with small letters stay as they are.
    "title_case_name(name text) RETURNS text": """
RETURN CASE WHEN vms.is_all_caps(name) THEN vms.capitalized(name) ELSE name END
""",
    # 5.3: whole words, so that Highland Park is no high school; a junior high school is a middle school. Null: Other.
    "school_level(name text) RETURNS text": r"""
RETURN CASE
    WHEN name ~* '\m(elementary|elem|primary|grade\s+school)\M' THEN 'Elementary'
    WHEN name ~* '\m(middle|(junior|jr\.?)\s+high)\M' THEN 'Middle'
    WHEN name ~* '\m(high|senior)\M' THEN 'High'
    ELSE 'Other'
END
""",
    # Hill's Pet Nutrition, Inc. is also called Hill's Pet Nutrition.
    "without_legal_form(name text) RETURNS text": r"""
RETURN regexp_replace(name, ',?\s+(inc|incorporated|llc|l\.l\.c|llp|ltd|corp|corporation|plc)\.?$', '', 'i')
""",
    # 6.5; null: not one of these labels.
    "education_level(label text) RETURNS text": """
RETURN CASE
    WHEN upper(label) IN ('HIGH SCHOOL', 'HIGH SCHOOL DIPLOMA OR GED', 'GED') THEN 'HIGH_SCHOOL'
    WHEN upper(label) = 'SOME COLLEGE' THEN 'SOME_COLLEGE'
    WHEN upper(label) IN ('ASSOCIATE', 'ASSOCIATES', 'ASSOCIATE''S', 'ASSOCIATE''S DEGREE') THEN 'ASSOCIATES'
    WHEN upper(label) IN ('BACHELORS', 'BACHELOR', 'BACHELOR''S', 'BACHELORS DEGREE', 'BACHELOR''S DEGREE')
        THEN 'BACHELORS_DEGREE'
    WHEN upper(label) IN ('MASTERS', 'MASTER', 'MASTER''S', 'MASTERS DEGREE', 'MASTER''S DEGREE') THEN 'MASTERS'
    WHEN upper(label) IN ('DOCTORATE', 'DOCTORAL', 'PHD', 'PH.D', 'PH.D.') THEN 'DOCTORATE'
    WHEN upper(label) IN ('PROFESSIONAL', 'PROFESSIONAL DEGREE', 'ADVANCED PROFESSIONAL DEGREE') THEN 'PROFESSIONAL'
    WHEN upper(label) IN ('CERTIFICATE', 'CERTIFICATION') THEN 'OTHER'
    WHEN upper(label) = 'PREFER NOT TO ANSWER' THEN 'UNKNOWN'
END
""",
    # 6.6, with hyphens too; null: not one of the eight.
    "gender(label text) RETURNS text": r"""
RETURN CASE
    WHEN regexp_replace(lower(label), '[\s-]+', '_', 'g') IN (
        'male', 'female', 'non_binary', 'genderfluid', 'agender', 'transgender', 'prefer_not_to_say', 'other'
    ) THEN regexp_replace(lower(label), '[\s-]+', '_', 'g')
END
""",
    # 6.7. Parts of words that mean several races come first: "Two or More Races, incl. White" is not white. Null: none.
    "race_ethnicity(label text) RETURNS text": r"""
RETURN CASE btrim(replace(lower(label), 'aggregateresult', ''))
    WHEN 'hispanic american/latino' THEN 'hispanic' WHEN 'hispanic or latino' THEN 'hispanic'
    WHEN 'hispanic' THEN 'hispanic' WHEN 'latino' THEN 'hispanic' WHEN 'latina' THEN 'hispanic'
    WHEN 'black' THEN 'black' WHEN 'black/african american' THEN 'black' WHEN 'african american' THEN 'black'
    WHEN 'black or african american' THEN 'black'
    WHEN 'white' THEN 'white' WHEN 'white/caucasian/european american' THEN 'white' WHEN 'caucasian' THEN 'white'
    WHEN 'european american' THEN 'white'
    WHEN 'asian' THEN 'asian' WHEN 'asian american' THEN 'asian' WHEN 'asian american/pacific islander' THEN 'asian'
    WHEN 'pacific islander' THEN 'native_hawaiian' WHEN 'native hawaiian' THEN 'native_hawaiian'
    WHEN 'native hawaiian or other pacific islander' THEN 'native_hawaiian'
    WHEN 'american indian or alaska native' THEN 'american_indian' WHEN 'native american' THEN 'american_indian'
    WHEN 'alaska native' THEN 'american_indian' WHEN 'first nation' THEN 'american_indian'
    WHEN 'native american/alaska native/first nation' THEN 'american_indian'
    WHEN 'bi-racial' THEN 'bi_racial'
    WHEN 'multi-racial' THEN 'multi_racial' WHEN 'bi-racial/multi-racial/multicultural' THEN 'multi_racial'
    WHEN 'two or more races' THEN 'two_or_more' WHEN 'two or more' THEN 'two_or_more'
    WHEN 'prefer not to answer' THEN 'prefer_not_to_say' WHEN 'prefer not to say' THEN 'prefer_not_to_say'
    WHEN 'other' THEN 'other' WHEN 'other poc' THEN 'other_poc'
    ELSE CASE
        WHEN label ~* 'multi|bi-racial|two or more' THEN 'multi_racial'
        WHEN label ~* 'hispanic|latino|latina' THEN 'hispanic'
        WHEN label ~* 'black|african american' THEN 'black'
        WHEN label ~* 'white|caucasian' THEN 'white'
        WHEN label ~* 'asian' THEN 'asian'
        WHEN label ~* 'pacific islander|hawaiian' THEN 'native_hawaiian'
        WHEN label ~* 'native american|alaska native|first nation|american indian' THEN 'american_indian'
        WHEN label ~* 'prefer not' THEN 'prefer_not_to_say'
        WHEN label ~* 'other' THEN 'other'
    END
END
""",
    # 6.8; null: not one of these labels.
    "age_group(label text) RETURNS text": """
RETURN CASE lower(label)
    WHEN 'under 18' THEN 'UNDER_18' WHEN '18-24' THEN 'AGE_18_24' WHEN '25-34' THEN 'AGE_25_34'
    WHEN '35-44' THEN 'AGE_35_44' WHEN '45-54' THEN 'AGE_45_54' WHEN '55-64' THEN 'AGE_55_64'
    WHEN '65+' THEN 'AGE_65_PLUS'
END
""",
    # 5.8; other words stay as they are, none is Current.
    "affiliation_status(label text) RETURNS text": """
RETURN CASE lower(label)
    WHEN 'former' THEN 'Past' WHEN 'past' THEN 'Past' WHEN 'current' THEN 'Current' WHEN 'pending' THEN 'Pending'
    ELSE coalesce(label, 'Current')
END
""",
    # A birth date that can be one; `latest`: when the record was last changed.
    "birthdate(given date, latest date) RETURNS date": """
RETURN CASE WHEN given BETWEEN DATE '1900-01-01' AND latest THEN given END
""",
    # 6.8: a skill as it is written everywhere.
    "skill_label(skill text) RETURNS text": r"""
RETURN nullif(btrim(left(
    upper(left(btrim(skill, E' \t\r\n'), 1)) || lower(substr(btrim(skill, E' \t\r\n'), 2)), 200), E' \t\r\n'), '')
""",
    # 6.8: the picklist has semicolons between its values, people write commas too. No rows for nulls.
    "skills(picklist text, free_text text) RETURNS SETOF text": """
BEGIN ATOMIC
    SELECT DISTINCT vms.skill_label(part) FROM (
        SELECT regexp_split_to_table(picklist, ';') UNION ALL SELECT regexp_split_to_table(free_text, '[;,]')
    ) AS parts (part) WHERE vms.skill_label(part) IS NOT NULL;
END
""",
    # Whether one of the skills is cut.
    "has_long_skill(given text, separator text) RETURNS boolean": r"""
RETURN EXISTS (
    SELECT FROM regexp_split_to_table(given, separator) AS part WHERE length(btrim(part, E' \t\r\n')) > 200
)
""",
    # 5.7: line, city, "state zip" with commas between; further lines stand after the first, a country after the zip.
    "address_parts(address text) RETURNS TABLE (\
line1 text, line2 text, city text, state text, zip_code text, country text)": r"""
BEGIN ATOMIC
    SELECT nullif(part[1], ''),
        CASE WHEN last > 3 THEN nullif(array_to_string(part[2:last - 2], ', '), '') END,
        nullif(part[greatest(last - 1, 2)], ''),
        CASE WHEN last > 2 THEN nullif(btrim(regexp_replace(part[last], '\S*[0-9].*$', '')), '') END,
        CASE WHEN last > 2 THEN substring(part[last] FROM '\S*[0-9].*$') END,
        CASE WHEN last < size THEN part[size] END
    FROM (SELECT regexp_split_to_array(btrim(address), '\s*,\s*')) AS split (part),
        cardinality(part) AS size,
        LATERAL (
            SELECT size - (size > 3 AND part[size] !~ '[0-9]' AND part[size - 1] ~ '[0-9]')::integer
        ) AS counted (last)
    WHERE address ~ '[[:alnum:]]';
END
""",
}
# 5.2: what people call districts in spreadsheets of the past.
_LEGACY_ALIASES = {
    "KCKPS": "Kansas City Kansas Public Schools",
    "KCPS": "Kansas City Public Schools (MO)",
    "Hickman Mills": "Hickman Mills School District",
    "Grandview": "Grandview School District",
    "Center": "Center School District",
    "Allen Village": "Allen Village - District",
}


def upgrade() -> None:
    """Create the functions, and the table of old names of districts."""
    for signature, body in _FUNCTIONS.items():
        op.execute(sa.text(f"CREATE FUNCTION vms.{signature} {_PURE} {body}".replace(":", r"\:")))
    legacy = op.create_table(
        "legacy_district_alias",
        sa.Column("alias", sa.Text, primary_key=True, comment="name used in spreadsheets of the past"),
        sa.Column("district", sa.Text, nullable=False, comment="name of the district in Salesforce"),
        schema="vms",
        comment="Old names of districts: they become aliases of the district of that name when it is synced",
    )
    op.bulk_insert(legacy, [{"alias": alias, "district": name} for alias, name in _LEGACY_ALIASES.items()])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("legacy_district_alias", schema="vms")
    for signature in reversed(_FUNCTIONS):
        op.execute(f"DROP FUNCTION vms.{signature.partition('(')[0]}")
