"""Classes: a school's class of one year (vms-objects 5.4)."""

from __future__ import annotations

from include.vms.spec import Check, Column, Field, Kind, Reference, Rule, SyncObject, Table

OBJECT = SyncObject(
    name="classes",
    sobject="Class__c",
    description="Classes of the schools, by year",
    fields=(
        Field("Name", checks=(Check(Rule.REQUIRED),), max_length=255),
        Field("School__c", Kind.ID, checks=(Check(Rule.REQUIRED),)),
        Field("Class_Year_Number__c", Kind.INTEGER, checks=(Check(Rule.REQUIRED),)),
    ),
    tables=(
        Table(
            name="class",
            comment="Classes of the schools, by year",
            columns=(
                Column("name", Kind.TEXT, "Name", "name of the class", nullable=False),
                Column("school_salesforce_id", Kind.ID, "School__c", "school, as Salesforce says", nullable=False),
                Column("school_id", Kind.ID, "", "school, once it is there"),
                Column("class_year", Kind.INTEGER, "Class_Year_Number__c", "year the class graduates", nullable=False),
            ),
            references=(Reference("school_salesforce_id", (("school_id", "school"),), required=True),),
        ),
    ),
    after=("schools",),
)
