"""The sample organisation of the Nonprofit Success Pack, as a small dump of its shape, and the real one if present."""

import os
import re
from pathlib import Path

import pytest

from local.salesforce import ids
from local.salesforce.generate import main
from local.salesforce.importer import DumpError, import_npsp
from local.salesforce.store import Store

ADDRESS = '"BillingCountry", "BillingStreet", "BillingState", "BillingCity", "BillingPostalCode"'
DUMP = f"""BEGIN TRANSACTION;
CREATE TABLE "Account" (id INTEGER NOT NULL, "Name" VARCHAR(255), {ADDRESS.replace(",", " VARCHAR(255),")} VARCHAR(255),
    "npe01__SYSTEM_AccountType__c" VARCHAR(255), "RecordTypeId" VARCHAR(255), PRIMARY KEY (id));
INSERT INTO "Account" VALUES(1,'O''Shaw Household','US','0 Tony Crossing','CO','Aurora','80044','Household','R1');
INSERT INTO "Account" VALUES(7,'Abatz','','','','','','','R2');
CREATE TABLE "Account_rt_mapping" (record_type_id VARCHAR(18) NOT NULL, developer_name VARCHAR(255));
INSERT INTO "Account_rt_mapping" VALUES('R1','HH_Account');
INSERT INTO "Account_rt_mapping" VALUES('R2','Organization');
CREATE TABLE "Contact" (id INTEGER NOT NULL, "Salutation" VARCHAR(255), "FirstName" VARCHAR(255),
    "LastName" VARCHAR(255), "Email" VARCHAR(255), "Phone" VARCHAR(255), "Title" VARCHAR(255),
    account_id VARCHAR(255), primary_affiliation__c VARCHAR(255), PRIMARY KEY (id));
INSERT INTO "Contact" VALUES(2,'Ms','Amy','Diaz','amy@example.org','','Auditor','1','7');
INSERT INTO "Contact" VALUES(3,'','Ben','Diaz','','','','1','');
CREATE TABLE "npe4__Relationship__c" (id INTEGER NOT NULL, "npe4__Type__c" VARCHAR(255),
    npe4__contact__c VARCHAR(255), npe4__related_contact__c VARCHAR(255));
INSERT INTO "npe4__Relationship__c" VALUES(1,'Partner','2','3');
CREATE TABLE "Opportunity" (id INTEGER NOT NULL, name VARCHAR(255), amount VARCHAR(255), stage_name VARCHAR(255),
    close_date VARCHAR(255), account_id VARCHAR(255), primary_contact__c VARCHAR(255));
INSERT INTO "Opportunity" VALUES(1,'Amy: $811','811.0','Closed Won','2016-11-25','1','2');
COMMIT;
"""


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "data")
    yield store
    store.close()


def test_records_and_references_arrive(store, tmp_path):
    path = tmp_path / "dump.sql"
    path.write_text(DUMP, encoding="utf-8")
    counts = import_npsp(store, path)
    assert counts == {
        "Account": 2, "Contact": 2, "npe5__Affiliation__c": 1, "npe4__Relationship__c": 1, "Opportunity": 1,
    }  # fmt: skip
    household, firm = store.rows("Account")
    amy, ben = store.rows("Contact")
    assert (household["Name"], household["Type"]) == ("O'Shaw Household", "Household")
    assert (firm["Name"], firm["Type"], firm["BillingStreet"]) == ("Abatz", None, None)
    assert (amy["AccountId"], amy["npsp__Primary_Affiliation__c"]) == (household["Id"], firm["Id"])
    assert (amy["MailingStreet"], amy["Name"], amy["Phone"]) == ("0 Tony Crossing", "Amy Diaz", None)
    assert ben["npsp__Primary_Affiliation__c"] is None
    (tie,) = store.rows("npe5__Affiliation__c")
    assert (tie["npe5__Contact__c"], tie["npe5__Organization__c"], tie["npe5__Primary__c"]) == (
        amy["Id"],
        firm["Id"],
        1,
    )
    (related,) = store.rows("npe4__Relationship__c")
    assert (related["npe4__Contact__c"], related["npe4__RelatedContact__c"]) == (amy["Id"], ben["Id"])
    (gift,) = store.rows("Opportunity")
    assert (gift["Amount"], gift["npsp__Primary_Contact__c"]) == (811.0, amy["Id"])


@pytest.mark.parametrize("text", ["no SQL at all", 'CREATE TABLE "Account" (id INTEGER);', "\xff"])
def test_another_file_is_refused(store, tmp_path, text):
    path = tmp_path / "dump.sql"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DumpError, match="not the sample organisation"):
        import_npsp(store, path)


def test_a_dump_cannot_touch_other_files(store, tmp_path):
    path, other = tmp_path / "dump.sql", tmp_path / "other.db"
    path.write_text(f"ATTACH DATABASE '{other}' AS other; CREATE TABLE other.t (a);" + DUMP, encoding="utf-8")
    with pytest.raises(DumpError, match="not authorized"):
        import_npsp(store, path)
    assert not other.exists()


def test_the_real_sample(store):
    folder = os.environ.get("SHARED_DATA")
    path = Path(folder or Path(__file__).parents[5] / "shared" / "data") / "npsp-1k.sql"
    if not path.is_file():
        pytest.skip("no npsp-1k.sql: set SHARED_DATA to the folder that holds it")
    counts = import_npsp(store, path)
    assert counts == {
        "Account": 1_223, "Contact": 1_024, "npe5__Affiliation__c": 1_022, "npe4__Relationship__c": 1_308,
        "Opportunity": 1_517,
    }  # fmt: skip
    accounts = {row["Id"] for row in store.rows("Account")}
    contacts = list(store.rows("Contact"))
    assert all(ids.is_valid(row["Id"]) for row in contacts)
    assert all(row["AccountId"] in accounts for row in contacts)
    assert sum(row["Type"] == "Household" for row in store.rows("Account")) == 880


def test_command_line_adds_it_to_the_generated_organisation(tmp_path, capsys):
    path = tmp_path / "dump.sql"
    path.write_text(DUMP, encoding="utf-8")
    assert main(["--percent", "0.1", "--into", str(tmp_path / "data"), "--npsp", str(path)]) == 0
    assert re.search(r"^Opportunity +1$", capsys.readouterr().out, re.MULTILINE)
    assert main(["--percent", "0.1", "--into", str(tmp_path / "other"), "--npsp", str(tmp_path / "none.sql")]) == 2
    assert "none.sql" in capsys.readouterr().err
