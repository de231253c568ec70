"""Affiliations: who belongs to which organisation, school or district, and when (vms-objects 5.8).

Those of students, nine in ten, are left out: a student's school is a field of the student.
"""

from __future__ import annotations

from include.vms.columns import copy, local_date, optional, required
from include.vms.spec import Column, Field, Kind, Reference, SyncObject, Table

_CONTACT = required("npe5__Contact__c", Kind.ID)
_ORGANIZATION = required("npe5__Organization__c", Kind.ID)
_ROLE = Field("npe5__Role__c")
_PRIMARY = Field("npe5__Primary__c", Kind.BOOLEAN)
_START = optional("npe5__StartDate__c", Kind.DATE)
_END = optional("npe5__EndDate__c", Kind.DATE)

_STATUS = "vms.affiliation_status({npe5__Status__c})"
# When the status changed, as far as Salesforce tells; the time of the run would date years of history at its first day.
_CHANGED = local_date("coalesce({LastModifiedDate}, {SystemModstamp})")
_CREATED = local_date("coalesce({CreatedDate}, {SystemModstamp})")

_START_DATE = f"""
coalesce({{npe5__StartDate__c}}, {{old.start_date}}, CASE
    WHEN {_STATUS} <> 'Current' THEN NULL
    WHEN {{old.status}} IS NULL THEN {_CREATED}
    WHEN {{old.status}} <> 'Current' THEN {_CHANGED}
END)
"""
_END_DATE = f"""
coalesce({{npe5__EndDate__c}}, CASE
    WHEN {_STATUS} = 'Current' THEN NULL
    WHEN {_STATUS} = 'Past' AND {{old.status}} = 'Current' THEN coalesce({{old.end_date}}, {_CHANGED})
    ELSE {{old.end_date}}
END)
"""
_DATE_SOURCE = f"""
CASE
    WHEN {{npe5__StartDate__c}} IS NOT NULL OR {{npe5__EndDate__c}} IS NOT NULL THEN 'salesforce'
    WHEN {{old.date_source}} IS NOT NULL THEN {{old.date_source}}
    WHEN {_STATUS} = 'Current' OR {_STATUS} = 'Past' AND {{old.status}} = 'Current' THEN 'auto_detected'
END
"""

OBJECT = SyncObject(
    name="affiliations",
    sobject="npe5__Affiliation__c",
    description="Who belongs to which organisation, school or district, in which role and when",
    # One whose contact has no type, or that has no contact, belongs here: the latter is for the quarantine.
    filter_soql="(npe5__Contact__r.Contact_Type__c = null OR npe5__Contact__r.Contact_Type__c != 'Student')",
    filter_sql="lower({npe5__Contact__r.Contact_Type__c}) IS DISTINCT FROM 'student'",
    fields=(
        _CONTACT,
        _ORGANIZATION,
        Field("npe5__Contact__r.Contact_Type__c"),
        _ROLE,
        _PRIMARY,
        Field("npe5__Status__c"),
        _START,
        _END,
    ),
    tables=(
        Table(
            name="affiliation",
            comment="Ties of people to organisations, schools and districts; several are possible between the same two",
            columns=(
                copy(_CONTACT, "person, as Salesforce says", name="salesforce_contact_id", nullable=False),
                Column("person_id", Kind.ID, "", "person, once it is there"),
                copy(
                    _ORGANIZATION,
                    "organisation, school or district, as Salesforce says",
                    name="salesforce_org_id",
                    nullable=False,
                ),
                Column("organization_id", Kind.ID, "", "organisation, once it is there and if it is one"),
                Column("school_id", Kind.ID, "", "school, once it is there and if it is one"),
                Column("district_id", Kind.ID, "", "district, once it is there and if it is one"),
                copy(_ROLE, "role there"),
                Column("is_primary", Kind.BOOLEAN, "coalesce({npe5__Primary__c}, false)", "main one", nullable=False),
                Column(
                    "status", Kind.TEXT, _STATUS, "Current, Past, Pending, or another word of theirs", nullable=False
                ),
                Column(
                    "start_date",
                    Kind.DATE,
                    _START_DATE,
                    "begin; not given: the day a new current one was made, or an older one became current again",
                ),
                Column(
                    "end_date", Kind.DATE, _END_DATE, "end; not given: the day on which a current one became a past one"
                ),
                Column(
                    "date_source",
                    Kind.TEXT,
                    _DATE_SOURCE,
                    "who said so: salesforce, auto_detected, manual, pathful, csv_import",
                ),
            ),
            references=(
                Reference("salesforce_contact_id", (("person_id", "person"),), required=True),
                Reference(
                    "salesforce_org_id",
                    (("organization_id", "organization"), ("school_id", "school"), ("district_id", "district")),
                    required=True,
                ),
            ),
        ),
    ),
    after=("districts", "organizations", "schools", "volunteers"),
)
