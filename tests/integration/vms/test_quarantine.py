"""Bad rows go to quarantine with every reason, good rows go on; flags come and go by themselves."""

import hashlib

import pytest

from include.vms import merge, quarantine, validate
from include.vms.contracts import Accept, Mode
from include.vms.objects.classes import OBJECT as CLASSES
from include.vms.objects.volunteers import OBJECT as VOLUNTEERS
from include.vms.staging import StagingLost
from include.vms.validate import MassDelete, TooManyRejected
from tests.integration.vms.harness import csv_bytes, record_id, stamp

pytestmark = pytest.mark.servers


def a_class(number, modified=0, **more):
    return {
        "Id": record_id("a0C", number),
        "Name": "Algebra",
        "School__c": record_id("001", 7),
        "Class_Year_Number__c": "2027",
        "SystemModstamp": stamp(modified),
        **more,
    }


def a_volunteer(number, modified=0, **more):
    return {
        "Id": record_id("003", number),
        "FirstName": "Ada",
        "LastName": "Byron",
        "Contact_Type__c": "Volunteer",
        "MailingCity": "Kansas City",
        "SystemModstamp": stamp(modified),
        **more,
    }


def open_rows(warehouse, **chosen):
    with warehouse.connect() as connection:
        return quarantine.listing(connection, **chosen)


def flags(warehouse):
    return warehouse.rows(
        "SELECT issue_type, field, status, times FROM vms.data_quality_flag ORDER BY issue_type, field, record_id"
    )


def test_a_row_is_refused_with_every_reason_and_the_others_go_on(warehouse):
    bad = a_class(1, Name="", School__c="nonsense", Class_Year_Number__c="next year")
    run = warehouse.load(CLASSES, bad, a_class(2))
    assert (run.counts["inserted"], run.counts["rejected"]) == (1, 1)
    (found,) = open_rows(warehouse)
    assert found.record_key == record_id("a0C", 1)
    assert [(one["code"], one["field"]) for one in found.reasons] == [
        ("MISSING_REQUIRED_FIELD", "Name"),
        ("INVALID_ID", "School__c"),
        ("INVALID_NUMBER", "Class_Year_Number__c"),
    ]
    assert found.reasons[2]["text"] == "Class_Year_Number__c is not a whole number"
    assert found.row["Class_Year_Number__c"] == "next year"
    assert warehouse.rows("SELECT rejected FROM ops.sync_run") == [(1,)]


def test_what_was_stored_before_stays_until_a_good_version_comes(warehouse):
    warehouse.load(CLASSES, a_class(1))
    warehouse.load(CLASSES, a_class(1, 5, Name=" "))
    warehouse.load(CLASSES, a_class(1, 6, Name=""))
    assert warehouse.rows("SELECT name FROM vms.class") == [("Algebra",)]
    assert [(one.times, one.resolved_at) for one in open_rows(warehouse)] == [(2, None)]
    warehouse.load(CLASSES, a_class(2))
    assert len(open_rows(warehouse)) == 1
    warehouse.load(CLASSES, a_class(1, 7, Name="Botany"))
    assert open_rows(warehouse) == []
    assert len(open_rows(warehouse, resolved=True)) == 1
    # Bad once more: opened again.
    warehouse.load(CLASSES, a_class(1, 8, Name=""))
    assert [one.times for one in open_rows(warehouse)] == [3]


def test_a_deleted_record_is_no_longer_refused(warehouse):
    warehouse.load(CLASSES, a_class(1, Name=""), a_class(2))
    warehouse.load(CLASSES, a_class(1, 5, Name="", IsDeleted="true"))
    assert open_rows(warehouse) == []


def test_a_full_run_resolves_what_it_has_not_seen(warehouse):
    warehouse.load(CLASSES, a_class(1) | {"Id": "no id"}, a_class(2))
    assert [one.record_key[:4] for one in open_rows(warehouse)] == ["row:"]
    warehouse.load(CLASSES, a_class(2))
    assert len(open_rows(warehouse)) == 1
    warehouse.load(CLASSES, a_class(2), mode=Mode.FULL)
    assert open_rows(warehouse) == []


def test_values_are_shown_by_the_policy(warehouse):
    row = a_volunteer(1, LastName="", FirstName="Zoë-Ann O'Neil", Email="zoe@example.org", Birthdate="1980-02-03")
    warehouse.load(VOLUNTEERS, row | {"Phone": "(816) 555-0100", "Gender__c": "Female"})
    (found,) = open_rows(warehouse)
    assert found.row["FirstName"] == "xxx-xxx x'xxxx"
    assert found.row["Email"] == "xxx@xxxxxxx.xxx"
    assert found.row["Phone"] == "(999) 999-9999"
    assert not {"Birthdate", "Gender__c"} & found.row.keys()


def test_rows_are_listed_by_code_and_field(warehouse):
    warehouse.load(CLASSES, a_class(1, Name=""), a_class(2, Class_Year_Number__c="x"), a_class(3, School__c=""))
    assert len(open_rows(warehouse, name="classes")) == 3
    assert open_rows(warehouse, name="schools") == []
    assert len(open_rows(warehouse, code="MISSING_REQUIRED_FIELD")) == 2
    assert [one.record_key for one in open_rows(warehouse, code="MISSING_REQUIRED_FIELD", field="Name")] == [
        record_id("a0C", 1)
    ]
    assert len(open_rows(warehouse, limit=1)) == 1


def test_a_bad_value_that_is_only_flagged_is_dropped_and_the_flag_goes_when_it_is_mended(warehouse):
    run = warehouse.load(VOLUNTEERS, a_volunteer(1, Email="not an address", Last_Volunteer_Date__c="2026-02-30"))
    assert (run.counts["inserted"], run.counts["flagged"]) == (1, 2)
    assert warehouse.rows("SELECT email FROM vms.person_email") == []
    assert warehouse.rows("SELECT last_volunteer_date FROM vms.volunteer") == [(None,)]
    expected = [("INVALID_DATE", "Last_Volunteer_Date__c"), ("INVALID_EMAIL", "Email")]
    assert flags(warehouse) == [(*one, "open", 1) for one in expected]
    again = warehouse.load(VOLUNTEERS, a_volunteer(1, 1, Email="not an address", Last_Volunteer_Date__c="2026-02-30"))
    assert again.counts["flagged"] == 0
    warehouse.load(VOLUNTEERS, a_volunteer(1, 2))
    assert flags(warehouse) == [(*one, "auto_fixed", 1) for one in expected]
    back = warehouse.load(VOLUNTEERS, a_volunteer(1, 3, Email="again no address"))
    assert back.counts["flagged"] == 1
    assert flags(warehouse)[1] == ("INVALID_EMAIL", "Email", "open", 2)


def test_what_a_person_has_dismissed_stays_dismissed(warehouse):
    warehouse.load(VOLUNTEERS, a_volunteer(1, Email="no"))
    warehouse.run("UPDATE vms.data_quality_flag SET status = 'dismissed'")
    assert warehouse.load(VOLUNTEERS, a_volunteer(1, 2, Email="no")).counts["flagged"] == 0
    assert flags(warehouse) == [("INVALID_EMAIL", "Email", "dismissed", 1)]


def test_no_text_of_a_flag_or_reason_holds_a_value(warehouse):
    warehouse.load(VOLUNTEERS, a_volunteer(1, Email="secret-name", LastName=""), a_volunteer(2, Email="secret-name"))
    texts = warehouse.rows(
        "SELECT details FROM vms.data_quality_flag UNION ALL SELECT reasons::text FROM vms.quarantine"
    )
    assert "secret" not in str(texts)
    assert "secret" not in str(open_rows(warehouse))


def staged(warehouse, rows, **manifest):
    return warehouse.stage(CLASSES, csv_bytes(CLASSES, rows), **manifest)


def test_too_many_bad_rows_stop_the_run_until_a_person_says_so(warehouse):
    warehouse.load(CLASSES, a_class(1))
    rows = [a_class(n, 5, Name="") for n in range(1, 13)] + [a_class(n, 5) for n in range(20, 50)]
    with pytest.raises(TooManyRejected) as caught:
        validate.validate(warehouse.connect, CLASSES, staged(warehouse, rows))
    assert "12 of 42 rows" in str(caught.value)
    assert "Name is empty (12 times)" in str(caught.value)
    assert "accept=rejected_share" in str(caught.value)
    assert warehouse.rows("SELECT count(*) FROM vms.class") == [(1,)]
    assert open_rows(warehouse) == []
    assert warehouse.rows("SELECT holder, phase FROM ops.sync_state") == [(None, "refused")]
    assert warehouse.rows("SELECT outcome FROM ops.sync_run ORDER BY started_at DESC, run_id DESC LIMIT 1") == [
        ("refused",)
    ]
    run = warehouse.load(CLASSES, *rows, accept=[Accept.REJECTED_SHARE])
    assert (run.counts["inserted"], run.counts["rejected"]) == (30, 12)


def test_a_few_bad_rows_never_stop_a_run(warehouse):
    run = warehouse.load(CLASSES, *(a_class(n, Name="") for n in range(9)))
    assert run.counts["rejected"] == 9


def test_a_mass_delete_stops_the_run_until_a_person_says_so(warehouse):
    warehouse.load(CLASSES, *(a_class(n) for n in range(100)))
    gone = [a_class(n, 5, IsDeleted="true") for n in range(12)]
    with pytest.raises(MassDelete) as caught:
        validate.validate(warehouse.connect, CLASSES, staged(warehouse, gone))
    assert "12 of 100 records" in str(caught.value)
    assert warehouse.rows("SELECT count(*) FROM vms.class WHERE deleted_at IS NOT NULL") == [(0,)]
    assert warehouse.load(CLASSES, *gone, accept=[Accept.MASS_DELETE]).counts["deleted"] == 12
    # What is gone already does not count again.
    assert warehouse.load(CLASSES, *gone).counts["deleted"] == 0


def test_staging_that_a_crash_has_emptied_is_not_taken_for_nothing_to_do(warehouse):
    manifest = staged(warehouse, [a_class(1), a_class(2)])
    manifest = validate.validate(warehouse.connect, CLASSES, manifest)
    warehouse.run("TRUNCATE vms_stage.classes")
    with pytest.raises(StagingLost):
        merge.merge(warehouse.connect, CLASSES, manifest)
    with pytest.raises(StagingLost):
        validate.validate(warehouse.connect, CLASSES, manifest)
    assert warehouse.rows("SELECT watermark FROM ops.sync_state") == [(None,)]


NASTY = [
    "'; DROP TABLE vms.class; --",
    '"; DROP TABLE vms.class; --',
    "{Name} {old.name} {{ var.value.x }} %s %(a)s $1 :p",
    '=HYPERLINK("http://evil.example")',
    "\\. \\copy\n\\.\n",
    "a,b;c|d\te\r\nf",
    "Robert'); DELETE FROM vms.class WHERE ('1'='1",
    "\u202egnp.exe \U0001f600 Žluťoučký",
]


def test_data_is_never_taken_for_sql(warehouse):
    rows = [a_class(number, Name=text) for number, text in enumerate(NASTY)]
    bad = [a_class(100 + number, Class_Year_Number__c=text) for number, text in enumerate(NASTY)]
    run = warehouse.load(CLASSES, *rows, *bad)
    assert (run.counts["inserted"], run.counts["rejected"]) == (len(NASTY), len(NASTY))
    assert [row[1] for row in warehouse.table("class", "salesforce_id", "name")] == [text.strip() for text in NASTY]
    assert {one.row["Class_Year_Number__c"] for one in open_rows(warehouse)} == {text.strip() for text in NASTY}


def test_a_row_without_an_id_is_known_by_its_digest(warehouse):
    row = a_class(1) | {"Id": ""}
    warehouse.load(CLASSES, row, row)
    (found,) = open_rows(warehouse)
    assert found.reasons[0]["code"] == "MISSING_SF_ID"
    assert len(found.record_key) == len("row:") + hashlib.sha256().digest_size * 2


def test_a_second_validation_gives_the_same(warehouse):
    manifest = staged(warehouse, [a_class(1, Name=""), a_class(2), a_class(2, 3)])
    validate.validate(warehouse.connect, CLASSES, manifest)
    first = dict(manifest.counts)
    validate.validate(warehouse.connect, CLASSES, manifest)
    assert manifest.counts == first
    assert merge.merge(warehouse.connect, CLASSES, manifest).counts["inserted"] == 1
