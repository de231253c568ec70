"""The SQL functions that fill the columns, against the tables of the reference and plain Python."""

import random
import re
import string

import psycopg
import pytest

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def call(postgres_server, warehouse_template):
    """Results of a function for many arguments (or tuples of arguments) at once."""
    url = postgres_server.create_database("vms_functions", template=warehouse_template)
    with psycopg.connect(url, autocommit=True) as connection:

        def each(function, values, kind="text"):
            rows = [value if isinstance(value, tuple) else (value,) for value in values]
            names = [f"a{place}" for place in range(len(rows[0]))]
            query = (
                f"SELECT vms.{function}({', '.join(names)})"
                f" FROM unnest({', '.join(f'%s::{kind}[]' for _ in names)}) WITH ORDINALITY"
                f" AS given ({', '.join(names)}, place) ORDER BY place"
            )
            return [row[0] for row in connection.execute(query, [list(each) for each in zip(*rows, strict=True)])]

        each.connection = connection
        yield each


def check(call, function, table):
    """`table` maps arguments to results."""
    assert dict(zip(table, call(function, list(table)), strict=True)) == table


def id18(short):
    """The published rule: a bit for each capital in three groups of five, lowest first."""
    alphabet = string.ascii_uppercase + "012345"
    groups = [short[start : start + 5] for start in (0, 5, 10)]
    return short + "".join(
        alphabet[sum(1 << place for place, sign in enumerate(group) if sign in string.ascii_uppercase)]
        for group in groups
    )


def test_ids_get_their_checksum(call):
    draw = random.Random(5)
    short = ["".join(draw.choices(string.ascii_letters + string.digits, k=15)) for _ in range(500)]
    assert call("id18", short) == [id18(one) for one in short]
    # From Salesforce's own documentation.
    check(call, "id18", {"001A000000Abcde": id18("001A000000Abcde"), "a00D0000008pQRA": "a00D0000008pQRAIA2"})


@pytest.mark.parametrize("given", ["a00D0000008pQRAIA2", "", "short", "sixteen-letters!", None])
def test_what_is_no_id_of_15_stays(call, given):
    assert call("id18", [given]) == [given]


def title_case(name):
    """5.7 as one would write it in Python."""
    if name != name.upper() or name == name.lower() or sum(sign.isalpha() for sign in name) < 2:
        return name
    return re.sub(r"[^\W_]+", lambda word: _word(word[0]), name)


def _word(word):
    lowered = word[0].upper() + word[1:].lower()
    found = re.match(r"(Mac|Mc)([^\W\d_])(.*)", lowered) if len(word) > 3 else None
    return found[1] + found[2].upper() + found[3] if found else lowered


NAMES = {
    "SMITH": "Smith",
    "Smith": "Smith",
    "smith": "smith",
    "JEAN-LUC": "Jean-Luc",
    "O'BRIEN": "O'Brien",
    "D\u2019ANGELO": "D\u2019Angelo",
    "MCDONALD": "McDonald",
    "MACDONALD": "MacDonald",
    "MCA": "Mca",
    "MAC": "Mac",
    "VAN DER BERG": "Van Der Berg",
    "O'MCNEIL-MACGREGOR": "O'McNeil-MacGregor",
    "MU\u00d1OZ": "Mu\u00f1oz",
    "\u00d8STERG\u00c5RD": "\u00d8sterg\u00e5rd",
    "RENE\u0301E": "Ren\u00e9e",
    "AB": "Ab",
    "A": "A",
    "A.": "A.",
    "J.R.": "J.R.",
    "McDonald": "McDonald",
    "DeShawn": "DeShawn",
    "\u674e": "\u674e",
    "123": "123",
    "": "",
    None: None,
}


def test_names_in_capitals_are_written_as_names(call):
    check(call, "title_case_name", NAMES)


def test_names_of_any_letters_agree_with_python(call):
    draw = random.Random(11)
    letters = string.ascii_letters + "MCAmca" * 6 + "\u00c9\u00e9\u00d1\u00dc\u00fc" + "-' .'" * 3
    names = ["".join(draw.choices(letters, k=draw.randint(1, 12))) for _ in range(1000)]
    names += [name.upper() for name in names]
    assert call("title_case_name", names) == [title_case(name) for name in names]
    caps = [name == name.upper() != name.lower() and sum(map(str.isalpha, name)) > 1 for name in names]
    assert call("is_all_caps", names) == caps


LEVELS = {
    "Elementary": [
        "Grant Elementary School",
        "Highland Elementary",
        "PRIMARY ACADEMY",
        "Oak Elem.",
        "St Mary Grade School",
    ],
    "Middle": [
        "Highlands Middle",
        "Junior High of Arts",
        "Central JUNIOR  HIGH School",
        "Lee Jr. High",
        "Middle College",
    ],
    "High": ["Wyandotte High School", "Senior Academy", "Sumner High"],
    "Other": [
        "Highland Park",
        "Highlands",
        "Seniority Institute",
        "Middleton",
        "Primaryville",
        "Elementarywork",
        "Upgrade School of Arts",
        "KIPP",
        None,
    ],
}


@pytest.mark.parametrize("level", LEVELS)
def test_the_level_of_a_school_is_told_by_whole_words(call, level):
    check(call, "school_level", dict.fromkeys(LEVELS[level], level))


EDUCATION = {
    "HIGH_SCHOOL": "HIGH SCHOOL, HIGH SCHOOL DIPLOMA OR GED, GED",
    "SOME_COLLEGE": "SOME COLLEGE",
    "ASSOCIATES": "ASSOCIATE, ASSOCIATES, ASSOCIATE'S, ASSOCIATE'S DEGREE",
    "BACHELORS_DEGREE": "BACHELORS, BACHELOR, BACHELOR'S, BACHELORS DEGREE, BACHELOR'S DEGREE",
    "MASTERS": "MASTERS, MASTER, MASTER'S, MASTERS DEGREE, MASTER'S DEGREE",
    "DOCTORATE": "DOCTORATE, DOCTORAL, PHD, PH.D, PH.D.",
    "PROFESSIONAL": "PROFESSIONAL, PROFESSIONAL DEGREE, ADVANCED PROFESSIONAL DEGREE",
    "OTHER": "CERTIFICATE, CERTIFICATION",
    "UNKNOWN": "PREFER NOT TO ANSWER",
}


def test_education(call):
    table = {label: value for value, labels in EDUCATION.items() for label in labels.split(", ")}
    check(call, "education_level", table | {label.title(): value for label, value in table.items()})
    check(call, "education_level", {"Hogwarts": None, "8th grade": None, None: None})


def test_gender(call):
    known = ["male", "female", "non_binary", "genderfluid", "agender", "transgender", "prefer_not_to_say", "other"]
    check(call, "gender", {name: name for name in known})
    check(call, "gender", {name.replace("_", " ").title(): name for name in known})
    check(call, "gender", {name.replace("_", "-").upper(): name for name in known})
    check(call, "gender", {"Unspecified": None, "NA": None, "mal": None, None: None})


RACE = {
    "hispanic": "Hispanic American/Latino, Hispanic or Latino, Hispanic, Latino, Latina",
    "black": "Black, Black/African American, African American, Black or African American",
    "white": "White, White/Caucasian/European American, Caucasian, European American",
    "asian": "Asian, Asian American, Asian American/Pacific Islander",
    "native_hawaiian": "Pacific Islander, Native Hawaiian, Native Hawaiian or Other Pacific Islander",
    "american_indian": (
        "American Indian or Alaska Native, Native American, Alaska Native, "
        "Native American/Alaska Native/First Nation, First Nation"
    ),
    "bi_racial": "Bi-racial",
    "multi_racial": "Multi-racial, Bi-racial/Multi-racial/Multicultural",
    "two_or_more": "Two or More Races, Two or more",
    "prefer_not_to_say": "Prefer not to answer, Prefer not to say",
    "other": "Other",
    "other_poc": "Other POC",
}


def test_race(call):
    table = {label: value for value, labels in RACE.items() for label in labels.split(", ")}
    check(call, "race_ethnicity", table | {label.upper(): value for label, value in table.items()})
    check(call, "race_ethnicity", {f"AggregateResult {label}": value for label, value in table.items()})


def test_race_by_a_part_of_the_text(call):
    check(
        call,
        "race_ethnicity",
        {
            "Latina (Mexico)": "hispanic",
            "some Black heritage": "black",
            "mostly caucasian": "white",
            "South Asian": "asian",
            "native hawaiian (Maui)": "native_hawaiian",
            "first nations": "american_indian",
            "Two or More Races, incl. White": "multi_racial",
            "bi-racial: Black and White": "multi_racial",
            "I prefer not": "prefer_not_to_say",
            "other, see file": "other",
            "Martian": None,
            "AggregateResult": None,
            None: None,
        },
    )


def test_age_group(call):
    check(
        call,
        "age_group",
        {
            "Under 18": "UNDER_18",
            "18-24": "AGE_18_24",
            "25-34": "AGE_25_34",
            "35-44": "AGE_35_44",
            "45-54": "AGE_45_54",
            "55-64": "AGE_55_64",
            "65+": "AGE_65_PLUS",
            "30ish": None,
            None: None,
        },
    )


def test_status_of_an_affiliation(call):
    check(
        call,
        "affiliation_status",
        {
            "Former": "Past",
            "PAST": "Past",
            "current": "Current",
            "Pending": "Pending",
            "Alumna": "Alumna",
            None: "Current",
        },
    )


def test_birth_dates_that_cannot_be(call):
    pairs = [("1900-01-01", "2026-01-01"), ("1899-12-31", "2026-01-01"), ("2026-01-02", "2026-01-01"), (None, None)]
    assert [str(found) for found in call("birthdate", pairs, "date")] == ["1900-01-01", "None", "None", "None"]


def test_skills(call):
    def skills(picklist, text):
        found = call.connection.execute("SELECT vms.skills(%s::text, %s::text) ORDER BY 1", [picklist, text])
        return [row[0] for row in found]

    assert skills("Public Speaking;coding, in C", " CODING; knitting,Public speaking ,, ") == [
        "Coding",
        "Coding, in c",
        "Knitting",
        "Public speaking",
    ]
    assert skills(None, None) == skills("", " ; ") == []
    assert skills("x" * 201, None) == ["X" + "x" * 199]
    check(call, "has_long_skill", {("x" * 201, ";"): True, ("x" * 200 + ";y", ";"): False, (None, ";"): False})


def test_addresses_at_work(call):
    def parts(address):
        return call.connection.execute("SELECT * FROM vms.address_parts(%s::text)", [address]).fetchone()

    assert parts("12 Main St, Kansas City, MO 64106") == ("12 Main St", None, "Kansas City", "MO", "64106", None)
    assert parts("12 Main St, Suite 5, Floor 2, Kansas City, MO 64106-1234, USA") == (
        "12 Main St",
        "Suite 5, Floor 2",
        "Kansas City",
        "MO",
        "64106-1234",
        "USA",
    )
    assert parts("1 A St, Gotham, New York 10001")[2:] == ("Gotham", "New York", "10001", None)
    assert parts("1 A St, Toronto, ON K1A 0B1")[2:] == ("Toronto", "ON", "K1A 0B1", None)
    assert parts("1 A St, Gotham") == ("1 A St", None, "Gotham", None, None, None)
    assert parts("PO Box 7") == ("PO Box 7", None, None, None, None, None)
    assert parts(" , , ") is None
    assert parts(None) is None


def test_the_legal_form_is_no_part_of_an_alias(call):
    check(
        call,
        "without_legal_form",
        {
            "Hill's Pet Nutrition, Inc.": "Hill's Pet Nutrition",
            "IBM CORPORATION": "IBM",
            "Burns LLC": "Burns",
            "Inc": "Inc",
            "Zinc": "Zinc",
            "Incorporated Arts": "Incorporated Arts",
        },
    )


def test_districts_are_found_by_name_and_alias(call):
    call.connection.execute(
        "INSERT INTO vms.district (salesforce_id, name, system_modstamp, deleted_at) VALUES"
        " ('d1', 'Center School District', now(), NULL), ('d2', 'Grandview', now(), NULL),"
        " ('d3', 'center school district', now(), NULL), ('d4', 'Gone', now(), now()), ('d5', 'Twin', now(), NULL),"
        " ('d6', 'Twin', now(), NULL), ('d7', 'Kansas City Kansas Public Schools', now(), NULL)"
    )
    call.connection.execute(
        "INSERT INTO vms.district_alias VALUES ('d1', 'Grandview', true), ('d7', 'KCKPS', true), ('d4', 'Away', true),"
        " ('d1', 'Both', false), ('d2', 'Both', false)"
    )
    check(
        call,
        "resolve_district",
        {
            "Center School District": "d1",  # exact before the same in small letters
            "center school district": "d3",
            "CENTER SCHOOL DISTRICT": None,  # two are called so
            "Grandview": "d2",  # a name before an alias
            "grandview": "d2",
            "KCKPS": "d7",
            " kckps ": "d7",
            "Gone": None,
            "Away": None,
            "Twin": None,
            "Both": None,
            "Unheard of": None,
            "": None,
            None: None,
        },
    )
