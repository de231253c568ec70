"""Records of REST become the CSV that Bulk would have sent."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.operations.errors import InputRejected
from include.vms.salesforce import csvtext


def rows(data):
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def test_types_and_parents():
    record = {
        "Id": "003",
        "Active__c": True,
        "Hours__c": "12.50",
        "Count__c": 3,
        "Owner": {"attributes": {}, "Name": 'A "quoted"\nname'},
        "School__r": None,
    }
    fields = ["Id", "Active__c", "Hours__c", "Count__c", "Owner.Name", "School__r.Name"]
    assert rows(csvtext.encode([record], fields)) == [
        fields,
        ["003", "true", "12.50", "3", 'A "quoted"\nname', ""],
    ]


@given(st.lists(st.none() | st.text().filter(lambda text: "\0" not in text)))
def test_any_text_comes_back(values):
    found = rows(csvtext.encode([{"A": value} for value in values], ["A"]))[1:]
    assert found == [[value or ""] for value in values]


def test_case_of_the_org_does_not_matter_and_a_missing_field_does():
    assert rows(csvtext.encode([{"NAME": "x"}], ["Name"]))[1] == ["x"]
    with pytest.raises(InputRejected, match="without the field Name"):
        csvtext.encode([{"Id": "x"}], ["Name"])
