"""What the tables must hold for what Salesforce holds: the rules of the reference (4-6) once more, in plain Python.

Written from the reference, not from the object modules, and without the engine. Only what follows from the present
state is told: where a blank leaves an old value, or a change of status gives a date, the past decides, and the value is
`PAST`, which equals everything. Rows that break a rule are left out: `refused`.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

Row = Mapping[str, Any]
Tables = dict[str, dict[tuple[Any, ...], dict[str, Any]]]

_ZONE = ZoneInfo("America/Chicago")
_BLANKS = " \t\n\r\x0b\x0c\u00a0"
_EMAIL = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*@([A-Za-z0-9-]+\.)+[A-Za-z]{2,}", re.ASCII)
_LEGAL_FORM = re.compile(r",?\s+(inc|incorporated|llc|l\.l\.c|llp|ltd|corp|corporation|plc)\.?$", re.IGNORECASE)
_LEGACY = {
    "Kansas City Kansas Public Schools": "KCKPS",
    "Kansas City Public Schools (MO)": "KCPS",
    "Hickman Mills School District": "Hickman Mills",
    "Grandview School District": "Grandview",
    "Center School District": "Center",
    "Allen Village - District": "Allen Village",
}
_GENDERS = ["male", "female", "non_binary", "genderfluid", "agender", "transgender", "prefer_not_to_say", "other"]
_AGES = ("18-24", "25-34", "35-44", "45-54", "55-64")
_EDUCATION = {
    "HIGH_SCHOOL": ("HIGH SCHOOL", "HIGH SCHOOL DIPLOMA OR GED", "GED"),
    "SOME_COLLEGE": ("SOME COLLEGE",),
    "ASSOCIATES": ("ASSOCIATE", "ASSOCIATES", "ASSOCIATE'S", "ASSOCIATE'S DEGREE"),
    "BACHELORS_DEGREE": ("BACHELORS", "BACHELOR", "BACHELOR'S", "BACHELORS DEGREE", "BACHELOR'S DEGREE"),
    "MASTERS": ("MASTERS", "MASTER", "MASTER'S", "MASTERS DEGREE", "MASTER'S DEGREE"),
    "DOCTORATE": ("DOCTORATE", "DOCTORAL", "PHD", "PH.D", "PH.D."),
    "PROFESSIONAL": ("PROFESSIONAL", "PROFESSIONAL DEGREE", "ADVANCED PROFESSIONAL DEGREE"),
    "OTHER": ("CERTIFICATE", "CERTIFICATION"),
}
_RACES = (
    ("hispanic", "hispanic american/latino|hispanic or latino|hispanic|latino|latina"),
    ("black", "black|black/african american|african american|black or african american"),
    ("white", "white|white/caucasian/european american|caucasian|european american"),
    ("asian", "asian|asian american|asian american/pacific islander"),
    ("native_hawaiian", "pacific islander|native hawaiian|native hawaiian or other pacific islander"),
    (
        "american_indian",
        "american indian or alaska native|native american|alaska native|native american/alaska native/first nation|"
        "first nation",
    ),
    ("bi_racial", "bi-racial"),
    ("multi_racial", "multi-racial|bi-racial/multi-racial/multicultural"),
    ("two_or_more", "two or more races|two or more"),
    ("prefer_not_to_say", "prefer not to answer|prefer not to say"),
    ("other", "other"),
    ("other_poc", "other poc"),
)
_RACE_PARTS = (
    ("multi_racial", "multi|bi-racial|two or more"),
    ("hispanic", "hispanic|latino|latina"),
    ("black", "black|african american"),
    ("white", "white|caucasian"),
    ("asian", "asian"),
    ("native_hawaiian", "pacific islander|hawaiian"),
    ("american_indian", "native american|alaska native|first nation|american indian"),
    ("prefer_not_to_say", "prefer not"),
    ("other", "other"),
)


class _Past:
    """Equals everything: the past decides."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "<decided by the past>"


PAST = _Past()


def text(value: Any) -> str | None:
    """Trimmed, empty as null."""
    return None if value is None else str(value).strip(_BLANKS) or None


def day(value: Any) -> str | None:
    """A date as text; null when it is none."""
    given = text(value)
    try:
        return date.fromisoformat(given).isoformat() if given and re.fullmatch(r"\d{4}-\d\d-\d\d", given) else None
    except ValueError:
        return None


def moment(value: str) -> datetime:
    """A point in time of Salesforce."""
    return datetime.fromisoformat(value).astimezone(UTC)


def local(value: str) -> str:
    """Its date where the organisation is."""
    return moment(value).astimezone(_ZONE).date().isoformat()


def name(value: Any) -> str | None:
    """A part of a person's name."""
    given = text(value)
    if not given or given != given.upper() or given == given.lower() or sum(map(str.isalpha, given)) < 2:
        return given
    return re.sub(r"[^\W_]+", lambda word: _capital(word[0]), given)


def _capital(word: str) -> str:
    lowered = word[0].upper() + word[1:].lower()
    found = re.fullmatch(r"(Mac|Mc)([^\W\d_])(.*)", lowered) if len(word) > 3 else None
    return found[1] + found[2].upper() + found[3] if found else lowered


def level(school: str) -> str:
    """Of a school, by whole words."""
    words = " ".join(re.findall(r"\w+", school.lower()))
    if re.search(r"\b(elementary|elem|primary|grade school)\b", words):
        return "Elementary"
    if re.search(r"\b(middle|junior high|jr high)\b", words):
        return "Middle"
    return "High" if re.search(r"\b(high|senior)\b", words) else "Other"


def race(value: Any) -> str:
    """6.7."""
    given = (text(value) or "").lower().replace("aggregateresult", "").strip()
    for target, labels in _RACES:
        if given in labels.split("|"):
            return target
    return next((target for target, parts in _RACE_PARTS if given and re.search(parts, given)), "unknown")


def _education(value: str) -> str:
    return next((target for target, labels in _EDUCATION.items() if value.upper() in labels), "UNKNOWN")


def _age(value: str) -> str:
    if value in _AGES:
        return "AGE_" + value.replace("-", "_")
    return {"under 18": "UNDER_18", "65+": "AGE_65_PLUS"}.get(value.lower(), "UNKNOWN")


def expected(store: Mapping[str, Iterable[Row]], refused: Iterable[str] = ()) -> Tables:
    """Tables of the six syncs: table -> key -> column -> value; children by their parent and key.

    Args:
        store: all records of Account, Contact, Class__c, npe5__Affiliation__c, deleted ones too.
        refused: ids that are in quarantine: an older version of them may or may not be there.
    """
    gone = set(refused)
    alive = {
        sobject: [row for row in rows if not row["IsDeleted"] and row["Id"] not in gone]
        for sobject, rows in store.items()
    }
    found: Tables = {}
    for account in alive["Account"]:
        _account(found, account)
    for record in alive["Class__c"]:
        columns = {
            "name": (text(record["Name"]) or "")[:255],
            "school_salesforce_id": record["School__c"],
            "class_year": int(record["Class_Year_Number__c"]),
        }
        _put(found, "class", record, columns)
    types = {row["Id"]: row["Contact_Type__c"] for row in store["Contact"]}
    for contact in alive["Contact"]:
        if (text(contact["Contact_Type__c"]) or "Volunteer").lower() == "volunteer":
            _volunteer(found, contact)
    for tie in alive["npe5__Affiliation__c"]:
        if (types.get(tie["npe5__Contact__c"]) or "").lower() != "student":
            _affiliation(found, tie)
    return found


def _put(found: Tables, table: str, record: Row, columns: dict[str, Any]) -> None:
    found.setdefault(table, {})[(record["Id"],)] = columns | {"system_modstamp": moment(record["SystemModstamp"])}


def _child(found: Tables, table: str, record: Row, *key: Any, **columns: Any) -> None:
    found.setdefault(table, {})[(record["Id"], *key)] = columns


def _account(found: Tables, record: Row) -> None:
    kind, called = (text(record["Type"]) or "").lower(), text(record["Name"])
    if kind == "household":
        return
    assert called
    if kind == "school district":
        _put(found, "district", record, {"name": called, "district_code": text(record["School_Code_External_ID__c"])})
        if called in _LEGACY:
            _child(found, "district_alias", record, _LEGACY[called], is_auto_generated=True)
    elif kind == "school":
        other = text(record["Connector_Account_Name__c"])
        columns = {
            "name": called,
            "normalized_name": other,
            "school_code": text(record["School_Code_External_ID__c"]),
            "level": level(called),
            "salesforce_district_id": record["ParentId"],
        }
        _put(found, "school", record, columns)
        if other and other.lower() != called.lower():
            _child(found, "school_alias", record, other, is_auto_generated=True)
    else:
        billing = ("street", "city", "state", "postal_code", "country")
        columns = {f"billing_{part}": text(record["Billing" + part.title().replace("_", "")]) for part in billing}
        columns |= {"name": called, "type": text(record["Type"]) or "Other"}
        columns |= {"description": text(record["Description"]), "parent_salesforce_id": record["ParentId"]}
        columns["last_activity_date"] = day(record["LastActivityDate"]) or PAST
        _put(found, "organization", record, columns)
        form = re.sub(
            r",?\s+(inc|incorporated|llc|l\.l\.c|llp|ltd|corp|corporation|plc)\.?$", "", called, flags=re.IGNORECASE
        )
        if form != called:
            _child(found, "organization_alias", record, form, is_auto_generated=True)


def _volunteer(found: Tables, record: Row) -> None:
    sessions = record["Number_of_Attended_Volunteer_Sessions__c"] or 0
    _put(
        found,
        "volunteer",
        record,
        {
            "title": text(record["Title"]),
            "department": text(record["Department"]),
            "salesforce_primary_affiliation_id": record["npsp__Primary_Affiliation__c"],
            "first_volunteer_date": day(record["First_Volunteer_Date__c"]),
            "last_volunteer_date": day(record["Last_Volunteer_Date__c"]),
            "last_activity_date": day(record["Last_Activity_Date__c"]),
            "last_non_internal_email_date": day(record["Last_Non_Internal_Email_Activity__c"]),
            "last_mailchimp_activity_date": day(record["Last_Mailchimp_Email_Date__c"]),
            "times_volunteered": int(sessions) if sessions >= 0 and sessions == int(sessions) else 0,
            "interests": text(record["Volunteer_Interests__c"]) or PAST,
            "connector_role": text(record["Connector_Role__c"]),
            "connector_user_id": text(record["Connector_User_ID__c"]),
        },
    )
    born, gender = day(record["Birthdate"]), (text(record["Gender__c"]) or "").lower()
    gender = re.sub(r"[\s-]+", "_", gender)
    age, education = text(record["Age_Group__c"]), text(record["Highest_Level_of_Educational__c"])
    bounced = record["EmailBouncedDate"]
    _put(
        found,
        "person",
        record,
        {
            "contact_type": text(record["Contact_Type__c"]),
            "salesforce_account_id": record["AccountId"],
            "first_name": name(record["FirstName"]),
            "middle_name": name(record["MiddleName"]),
            "last_name": name(record["LastName"]),
            "description": text(record["Description"]),
            "notes": text(record["Volunteer_Recruitment_Notes__c"]),
            "age_group": _age(age) if age else PAST,
            "education_level": _education(education) if education else PAST,
            "birthdate": born if born and "1900-01-01" <= born <= local(record["SystemModstamp"]) else None,
            "gender": gender if gender in _GENDERS else PAST,
            "race_ethnicity": race(record["Racial_Ethnic_Background__c"]),
            "do_not_call": bool(record["DoNotCall"]),
            "do_not_contact": bool(record["npsp__Do_Not_Contact__c"]),
            "email_opt_out": bool(record["HasOptedOutOfEmail"]),
            "email_bounced_at": moment(bounced) if bounced else None,
            "email_bounced_on": local(bounced) if bounced else None,
            "last_email_date": day(record["Last_Email_Message__c"]),
        },
    )
    _emails(found, record)
    _phones(found, record)
    _addresses(found, record)
    skills = (text(record["Volunteer_Skills__c"]) or "").split(";")
    skills += re.split("[;,]", text(record["Volunteer_Skills_Text__c"]) or "")
    for skill in filter(None, (each.strip(" \t\r\n") for each in skills)):
        _child(found, "person_skill", record, (skill[0].upper() + skill[1:].lower())[:200].strip(" \t\r\n"))


def _emails(found: Tables, record: Row) -> None:
    preferred = (text(record["npe01__Preferred_Email__c"]) or "").lower()
    fields = {
        "npe01__WorkEmail__c": ("professional", preferred == "work"),
        "npe01__HomeEmail__c": ("personal", preferred == "personal"),
        "Email": ("personal", preferred in ("personal", "")),
        "npe01__AlternateEmail__c": ("personal", preferred == "alternate"),
    }
    given = {field: (text(record[field]) or "").lower() for field in fields}
    good = {field: value for field, value in given.items() if _EMAIL.fullmatch(value)}
    primary = next((field for field in good if fields[field][1]), None)
    for field in sorted(good, key=lambda each: each == primary, reverse=True):
        key = (record["Id"], good[field])
        if key not in found.get("person_email", {}):
            _child(found, "person_email", record, good[field], type=fields[field][0], is_primary=field == primary)


def _phones(found: Tables, record: Row) -> None:
    preferred = (text(record["npe01__PreferredPhone__c"]) or "").lower()
    fields = {
        "npe01__WorkPhone__c": ("professional", preferred == "work"),
        "Phone": ("professional", preferred in ("work", "")),
        "HomePhone": ("personal", preferred == "home"),
        "MobilePhone": ("personal", preferred == "mobile"),
    }
    given = {field: text(record[field]) or "" for field in fields}
    bare = {field: re.sub(r"[()./\s-]", "", value) for field, value in given.items()}
    good = [field for field in fields if re.fullmatch(r"\+?[1-9]\d{0,15}((x|ext)\d{1,6})?", bare[field], re.IGNORECASE)]
    primary = next((field for field in good if fields[field][1]), None)
    seen = set()
    for field in sorted(good, key=lambda each: each == primary, reverse=True):
        digits = re.sub(r"\D", "", given[field])
        if digits not in seen:
            seen.add(digits)
            _child(found, "person_phone", record, given[field], type=fields[field][0], is_primary=field == primary)


def _addresses(found: Tables, record: Row) -> None:
    first, second = (
        (text(record[f"npe01__{which}_Address_Type__c"]) or "").lower() for which in ("Primary", "Secondary")
    )
    mailing = {part: text(record[f"Mailing{part}"]) for part in ("Street", "City", "State", "PostalCode", "Country")}
    if any(value for part, value in mailing.items() if part != "Country"):
        line, _, more = (mailing["Street"] or "").partition("\n")
        _child(
            found, "person_address", record, "personal",
            address_line1=line.strip(" \r") or None, address_line2=more.strip(" \r\n") or None, city=mailing["City"],
            state=mailing["State"], zip_code=mailing["PostalCode"], country=mailing["Country"],
            is_primary=second != "home",
        )  # fmt: skip
    work = [part.strip(_BLANKS) or None for part in (text(record["npe01__Work_Address__c"]) or "").split(",")]
    if any(map(str.isalnum, "".join(filter(None, work)))):
        assert len(work) <= 3, "an address with more commas is not told here"
        line, city, region = (*work, None, None)[:3]
        parts = re.fullmatch(r"(\D*?)\s*(\S*\d.*)?", region or "", re.DOTALL)
        assert parts
        _child(
            found, "person_address", record, "professional",
            address_line1=line, address_line2=None, city=city, state=parts[1] or None, zip_code=parts[2],
            country=None, is_primary=first == "work" and second != "work",
        )  # fmt: skip


def _affiliation(found: Tables, record: Row) -> None:
    raw = text(record["npe5__Status__c"])
    status = {"former": "Past", "past": "Past", "current": "Current", "pending": "Pending"}.get(
        (raw or "current").lower(), raw
    )
    begin, end = day(record["npe5__StartDate__c"]), day(record["npe5__EndDate__c"])
    _put(
        found,
        "affiliation",
        record,
        {
            "salesforce_contact_id": record["npe5__Contact__c"],
            "salesforce_org_id": record["npe5__Organization__c"],
            "role": text(record["npe5__Role__c"]),
            "is_primary": bool(record["npe5__Primary__c"]),
            "status": status,
            "start_date": begin or PAST,
            "end_date": end or (None if status == "Current" else PAST),
            "date_source": "salesforce" if begin or end else PAST,
        },
    )


# Every table that is compared, with its key; the others are children of people.
_KEYS = {
    **dict.fromkeys(
        ("district", "school", "organization", "class", "person", "volunteer", "affiliation"), "salesforce_id"
    ),
    **dict.fromkeys(("district_alias", "school_alias", "organization_alias"), "parent_id alias"),
    "person_email": "parent_id email",
    "person_phone": "parent_id number",
    "person_address": "parent_id type",
    "person_skill": "parent_id skill",
}


def differences(rows: Any, tables: Tables, refused: Iterable[str] = ()) -> list[str]:
    """What the warehouse has otherwise: in words, at most a hundred. `rows` runs a query."""
    gone = set(refused)
    found = []
    for table, keys in _KEYS.items():
        wanted, key = tables.get(table, {}), keys.split()
        columns = list(next(iter(wanted.values()), {}))
        # People whose role is gone keep what belongs to them.
        parent = table.removesuffix("_alias") if table.endswith("_alias") else "volunteer"
        alive = (
            f"EXISTS (SELECT FROM vms.{parent} AS r WHERE r.salesforce_id = t.{key[0]} AND r.deleted_at IS NULL)"
            if table.startswith("person") or table.endswith("_alias")
            else "t.deleted_at IS NULL"
        )
        names = ", ".join(f't."{one}"' for one in [*key, *columns])
        stored = {
            row[: len(key)]: dict(zip(columns, map(_plain, row[len(key) :]), strict=True))
            for row in rows(f'SELECT {names} FROM vms."{table}" AS t WHERE {alive}')
            if row[0] not in gone
        }
        found += [f"{table} {one}: missing" for one in wanted.keys() - stored.keys()]
        found += [f"{table} {one}: too many" for one in stored.keys() - wanted.keys()]
        found += [
            f"{table} {one}: {column} is {stored[one][column]!r}, not {value!r}"
            for one in wanted.keys() & stored.keys()
            for column, value in wanted[one].items()
            if value != stored[one][column]
        ]
    return sorted(found)[:100]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value.isoformat() if isinstance(value, date) else value
