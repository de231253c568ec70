"""Tables of the first syncs: districts, schools, organisations, people, volunteers, affiliations, classes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make and change the tables."""
    op.create_table(
        "district",
        sa.Column("salesforce_id", sa.Text(), nullable=False, comment="id at Salesforce, 18 characters"),
        sa.Column("name", sa.Text(), nullable=False, comment="name of the district"),
        sa.Column("district_code", sa.Text(), nullable=True, comment="code of the district at the state"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=True, comment="when the record was made at Salesforce"
        ),
        sa.Column(
            "last_modified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="last change by a person at Salesforce",
        ),
        sa.Column(
            "system_modstamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="last change of any kind at Salesforce: the version stored here",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was deleted there, or left the filter; null: it is there",
        ),
        sa.Column(
            "synced_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when this row was last written",
        ),
        sa.PrimaryKeyConstraint("salesforce_id"),
        schema="vms",
        comment="School districts",
    )
    op.create_table(
        "organization",
        sa.Column("salesforce_id", sa.Text(), nullable=False, comment="id at Salesforce, 18 characters"),
        sa.Column("name", sa.Text(), nullable=False, comment="name of the organisation"),
        sa.Column("type", sa.Text(), nullable=False, comment="type; Other when Salesforce has none"),
        sa.Column("description", sa.Text(), nullable=True, comment="description"),
        sa.Column("parent_salesforce_id", sa.Text(), nullable=True, comment="account above it, as Salesforce says"),
        sa.Column("billing_street", sa.Text(), nullable=True, comment="billing street"),
        sa.Column("billing_city", sa.Text(), nullable=True, comment="billing city"),
        sa.Column("billing_state", sa.Text(), nullable=True, comment="billing state"),
        sa.Column("billing_postal_code", sa.Text(), nullable=True, comment="billing postal code"),
        sa.Column("billing_country", sa.Text(), nullable=True, comment="billing country"),
        sa.Column(
            "last_activity_date", sa.Date(), nullable=True, comment="last activity; an empty one leaves what was there"
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=True, comment="when the record was made at Salesforce"
        ),
        sa.Column(
            "last_modified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="last change by a person at Salesforce",
        ),
        sa.Column(
            "system_modstamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="last change of any kind at Salesforce: the version stored here",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was deleted there, or left the filter; null: it is there",
        ),
        sa.Column(
            "synced_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when this row was last written",
        ),
        sa.PrimaryKeyConstraint("salesforce_id"),
        schema="vms",
        comment="Organisations: companies, charities, authorities",
    )
    op.create_table(
        "person",
        sa.Column("salesforce_id", sa.Text(), nullable=False, comment="id at Salesforce, 18 characters"),
        sa.Column("contact_type", sa.Text(), nullable=True, comment="type of the contact at its last sync"),
        sa.Column(
            "salesforce_account_id",
            sa.Text(),
            nullable=True,
            comment="account of the contact (household or organisation)",
        ),
        sa.Column(
            "first_name", sa.Text(), nullable=False, comment="first name; one in capitals only is written as names are"
        ),
        sa.Column(
            "middle_name", sa.Text(), nullable=True, comment="middle name; one in capitals only is written as names are"
        ),
        sa.Column(
            "last_name", sa.Text(), nullable=False, comment="surname; one in capitals only is written as names are"
        ),
        sa.Column("description", sa.Text(), nullable=True, comment="description"),
        sa.Column("notes", sa.Text(), nullable=True, comment="notes on recruitment"),
        sa.Column(
            "age_group",
            sa.Text(),
            nullable=False,
            comment="UNDER_18, AGE_18_24 ... AGE_65_PLUS or UNKNOWN; a blank one leaves what was there",
        ),
        sa.Column(
            "education_level",
            sa.Text(),
            nullable=False,
            comment="HIGH_SCHOOL, SOME_COLLEGE ... or UNKNOWN; a blank one leaves what was there",
        ),
        sa.Column(
            "birthdate",
            sa.Date(),
            nullable=True,
            comment="birth date, if it is between 1900 and the record's last change",
        ),
        sa.Column(
            "gender", sa.Text(), nullable=True, comment="one of eight; a blank or unknown one leaves what was there"
        ),
        sa.Column("race_ethnicity", sa.Text(), nullable=False, comment="one of thirteen, or unknown"),
        sa.Column("do_not_call", sa.Boolean(), nullable=False, comment="wants no calls"),
        sa.Column("do_not_contact", sa.Boolean(), nullable=False, comment="wants no contact at all"),
        sa.Column("email_opt_out", sa.Boolean(), nullable=False, comment="wants no e-mails"),
        sa.Column("email_bounced_at", sa.DateTime(timezone=True), nullable=True, comment="when an e-mail came back"),
        sa.Column("email_bounced_on", sa.Date(), nullable=True, comment="the same as a date where the organisation is"),
        sa.Column("last_email_date", sa.Date(), nullable=True, comment="last e-mail"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=True, comment="when the record was made at Salesforce"
        ),
        sa.Column(
            "last_modified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="last change by a person at Salesforce",
        ),
        sa.Column(
            "system_modstamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="last change of any kind at Salesforce: the version stored here",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was deleted there, or left the filter; null: it is there",
        ),
        sa.Column(
            "synced_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when this row was last written",
        ),
        sa.PrimaryKeyConstraint("salesforce_id"),
        schema="vms",
        comment="People: every contact once, whatever its type; the roles (volunteer) have tables of their own",
    )
    op.create_table(
        "district_alias",
        sa.Column("parent_id", sa.Text(), nullable=False, comment="district it belongs to"),
        sa.Column("alias", sa.Text(), nullable=False, comment="other name"),
        sa.Column("is_auto_generated", sa.Boolean(), nullable=False, comment="made by the sync; false: by a person"),
        sa.ForeignKeyConstraint(["parent_id"], ["vms.district.salesforce_id"], name="district_alias_parent_id_fkey"),
        sa.PrimaryKeyConstraint("parent_id", "alias"),
        schema="vms",
        comment="Other names of districts; vms.resolve_district finds a district by them",
    )
    op.create_table(
        "organization_alias",
        sa.Column("parent_id", sa.Text(), nullable=False, comment="organization it belongs to"),
        sa.Column("alias", sa.Text(), nullable=False, comment="other name"),
        sa.Column("is_auto_generated", sa.Boolean(), nullable=False, comment="made by the sync; false: by a person"),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["vms.organization.salesforce_id"], name="organization_alias_parent_id_fkey"
        ),
        sa.PrimaryKeyConstraint("parent_id", "alias"),
        schema="vms",
        comment="Other names of organisations",
    )
    op.create_table(
        "person_address",
        sa.Column("parent_id", sa.Text(), nullable=False, comment="person it belongs to"),
        sa.Column("type", sa.Text(), nullable=False, comment="personal or professional"),
        sa.Column("address_line1", sa.Text(), nullable=True, comment="street"),
        sa.Column("address_line2", sa.Text(), nullable=True, comment="further lines of the street"),
        sa.Column("city", sa.Text(), nullable=True, comment="city"),
        sa.Column("state", sa.Text(), nullable=True, comment="state"),
        sa.Column("zip_code", sa.Text(), nullable=True, comment="postal code"),
        sa.Column("country", sa.Text(), nullable=True, comment="country"),
        sa.Column("is_primary", sa.Boolean(), nullable=False, comment="main one of its type"),
        sa.ForeignKeyConstraint(["parent_id"], ["vms.person.salesforce_id"], name="person_address_parent_id_fkey"),
        sa.PrimaryKeyConstraint("parent_id", "type"),
        schema="vms",
        comment="Postal addresses of people",
    )
    op.create_table(
        "person_email",
        sa.Column("parent_id", sa.Text(), nullable=False, comment="person it belongs to"),
        sa.Column("email", sa.Text(), nullable=False, comment="address, in small letters"),
        sa.Column("type", sa.Text(), nullable=False, comment="personal or professional"),
        sa.Column("is_primary", sa.Boolean(), nullable=False, comment="the one to use; a person has one at most"),
        sa.ForeignKeyConstraint(["parent_id"], ["vms.person.salesforce_id"], name="person_email_parent_id_fkey"),
        sa.PrimaryKeyConstraint("parent_id", "email"),
        schema="vms",
        comment="E-mail addresses of people",
    )
    op.create_table(
        "person_phone",
        sa.Column("parent_id", sa.Text(), nullable=False, comment="person it belongs to"),
        sa.Column("number", sa.Text(), nullable=False, comment="number, as it was written"),
        sa.Column("type", sa.Text(), nullable=False, comment="personal or professional"),
        sa.Column("is_primary", sa.Boolean(), nullable=False, comment="the one to use; a person has one at most"),
        sa.ForeignKeyConstraint(["parent_id"], ["vms.person.salesforce_id"], name="person_phone_parent_id_fkey"),
        sa.PrimaryKeyConstraint("parent_id", "number"),
        schema="vms",
        comment="Phone numbers of people",
    )
    op.create_table(
        "person_skill",
        sa.Column("parent_id", sa.Text(), nullable=False, comment="person it belongs to"),
        sa.Column("skill", sa.Text(), nullable=False, comment="skill, 200 characters at most"),
        sa.ForeignKeyConstraint(["parent_id"], ["vms.person.salesforce_id"], name="person_skill_parent_id_fkey"),
        sa.PrimaryKeyConstraint("parent_id", "skill"),
        schema="vms",
        comment="What people can do; vms.skill lists the skills",
    )
    op.create_table(
        "school",
        sa.Column("salesforce_id", sa.Text(), nullable=False, comment="id at Salesforce, 18 characters"),
        sa.Column("name", sa.Text(), nullable=False, comment="name of the school"),
        sa.Column("normalized_name", sa.Text(), nullable=True, comment="name that the connector platform uses"),
        sa.Column("school_code", sa.Text(), nullable=True, comment="code of the school at the state"),
        sa.Column(
            "level", sa.Text(), nullable=False, comment="Elementary, Middle, High or Other, by whole words of the name"
        ),
        sa.Column("salesforce_district_id", sa.Text(), nullable=True, comment="district, as Salesforce says"),
        sa.Column("district_id", sa.Text(), nullable=True, comment="district, once it is there"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=True, comment="when the record was made at Salesforce"
        ),
        sa.Column(
            "last_modified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="last change by a person at Salesforce",
        ),
        sa.Column(
            "system_modstamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="last change of any kind at Salesforce: the version stored here",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was deleted there, or left the filter; null: it is there",
        ),
        sa.Column(
            "synced_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when this row was last written",
        ),
        sa.ForeignKeyConstraint(["district_id"], ["vms.district.salesforce_id"], name="school_district_id_fkey"),
        sa.PrimaryKeyConstraint("salesforce_id"),
        schema="vms",
        comment="Schools",
    )
    op.create_index("school_district_id", "school", ["district_id"], unique=False, schema="vms")
    op.create_table(
        "affiliation",
        sa.Column("salesforce_id", sa.Text(), nullable=False, comment="id at Salesforce, 18 characters"),
        sa.Column("salesforce_contact_id", sa.Text(), nullable=False, comment="person, as Salesforce says"),
        sa.Column("person_id", sa.Text(), nullable=True, comment="person, once it is there"),
        sa.Column(
            "salesforce_org_id",
            sa.Text(),
            nullable=False,
            comment="organisation, school or district, as Salesforce says",
        ),
        sa.Column(
            "organization_id", sa.Text(), nullable=True, comment="organisation, once it is there and if it is one"
        ),
        sa.Column("school_id", sa.Text(), nullable=True, comment="school, once it is there and if it is one"),
        sa.Column("district_id", sa.Text(), nullable=True, comment="district, once it is there and if it is one"),
        sa.Column("role", sa.Text(), nullable=True, comment="role there"),
        sa.Column("is_primary", sa.Boolean(), nullable=False, comment="main one"),
        sa.Column("status", sa.Text(), nullable=False, comment="Current, Past, Pending, or another word of theirs"),
        sa.Column(
            "start_date",
            sa.Date(),
            nullable=True,
            comment="begin; not given: the day a new current one was made, or an older one became current again",
        ),
        sa.Column(
            "end_date",
            sa.Date(),
            nullable=True,
            comment="end; not given: the day on which a current one became a past one",
        ),
        sa.Column(
            "date_source",
            sa.Text(),
            nullable=True,
            comment="who said so: salesforce, auto_detected, manual, pathful, csv_import",
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=True, comment="when the record was made at Salesforce"
        ),
        sa.Column(
            "last_modified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="last change by a person at Salesforce",
        ),
        sa.Column(
            "system_modstamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="last change of any kind at Salesforce: the version stored here",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was deleted there, or left the filter; null: it is there",
        ),
        sa.Column(
            "synced_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when this row was last written",
        ),
        sa.ForeignKeyConstraint(["district_id"], ["vms.district.salesforce_id"], name="affiliation_district_id_fkey"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["vms.organization.salesforce_id"], name="affiliation_organization_id_fkey"
        ),
        sa.ForeignKeyConstraint(["person_id"], ["vms.person.salesforce_id"], name="affiliation_person_id_fkey"),
        sa.ForeignKeyConstraint(["school_id"], ["vms.school.salesforce_id"], name="affiliation_school_id_fkey"),
        sa.PrimaryKeyConstraint("salesforce_id"),
        schema="vms",
        comment="Ties of people to organisations, schools and districts; several are possible between the same two",
    )
    op.create_index("affiliation_district_id", "affiliation", ["district_id"], unique=False, schema="vms")
    op.create_index("affiliation_organization_id", "affiliation", ["organization_id"], unique=False, schema="vms")
    op.create_index("affiliation_person_id", "affiliation", ["person_id"], unique=False, schema="vms")
    op.create_index("affiliation_school_id", "affiliation", ["school_id"], unique=False, schema="vms")
    op.create_table(
        "class",
        sa.Column("salesforce_id", sa.Text(), nullable=False, comment="id at Salesforce, 18 characters"),
        sa.Column("name", sa.Text(), nullable=False, comment="name of the class"),
        sa.Column("school_salesforce_id", sa.Text(), nullable=False, comment="school, as Salesforce says"),
        sa.Column("school_id", sa.Text(), nullable=True, comment="school, once it is there"),
        sa.Column("class_year", sa.BigInteger(), nullable=False, comment="year the class graduates"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=True, comment="when the record was made at Salesforce"
        ),
        sa.Column(
            "last_modified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="last change by a person at Salesforce",
        ),
        sa.Column(
            "system_modstamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="last change of any kind at Salesforce: the version stored here",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was deleted there, or left the filter; null: it is there",
        ),
        sa.Column(
            "synced_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when this row was last written",
        ),
        sa.ForeignKeyConstraint(["school_id"], ["vms.school.salesforce_id"], name="class_school_id_fkey"),
        sa.PrimaryKeyConstraint("salesforce_id"),
        schema="vms",
        comment="Classes of the schools, by year",
    )
    op.create_index("class_school_id", "class", ["school_id"], unique=False, schema="vms")
    op.create_table(
        "school_alias",
        sa.Column("parent_id", sa.Text(), nullable=False, comment="school it belongs to"),
        sa.Column("alias", sa.Text(), nullable=False, comment="other name"),
        sa.Column("is_auto_generated", sa.Boolean(), nullable=False, comment="made by the sync; false: by a person"),
        sa.ForeignKeyConstraint(["parent_id"], ["vms.school.salesforce_id"], name="school_alias_parent_id_fkey"),
        sa.PrimaryKeyConstraint("parent_id", "alias"),
        schema="vms",
        comment="Other names of schools",
    )
    op.create_table(
        "volunteer",
        sa.Column("salesforce_id", sa.Text(), nullable=False, comment="id at Salesforce, 18 characters"),
        sa.Column("title", sa.Text(), nullable=True, comment="title at work"),
        sa.Column("department", sa.Text(), nullable=True, comment="department at work"),
        sa.Column(
            "salesforce_primary_affiliation_id",
            sa.Text(),
            nullable=True,
            comment="main affiliation, as Salesforce says",
        ),
        sa.Column(
            "organization_id",
            sa.Text(),
            nullable=True,
            comment="main affiliation, once it is there and if it is an organisation",
        ),
        sa.Column(
            "school_id", sa.Text(), nullable=True, comment="main affiliation, once it is there and if it is a school"
        ),
        sa.Column(
            "district_id",
            sa.Text(),
            nullable=True,
            comment="main affiliation, once it is there and if it is a district",
        ),
        sa.Column("first_volunteer_date", sa.Date(), nullable=True, comment="first session"),
        sa.Column("last_volunteer_date", sa.Date(), nullable=True, comment="last session"),
        sa.Column("last_activity_date", sa.Date(), nullable=True, comment="last activity"),
        sa.Column("last_non_internal_email_date", sa.Date(), nullable=True, comment="last e-mail from outside"),
        sa.Column("last_mailchimp_activity_date", sa.Date(), nullable=True, comment="last e-mail by Mailchimp"),
        sa.Column("times_volunteered", sa.BigInteger(), nullable=False, comment="attended sessions; a bad number is 0"),
        sa.Column("interests", sa.Text(), nullable=True, comment="interests; a blank leaves what was there"),
        sa.Column("connector_active_subscription", sa.Text(), nullable=True, comment="connector active subscription"),
        sa.Column(
            "connector_active_subscription_name", sa.Text(), nullable=True, comment="connector active subscription name"
        ),
        sa.Column("connector_affiliations", sa.Text(), nullable=True, comment="connector affiliations"),
        sa.Column("connector_industry", sa.Text(), nullable=True, comment="connector industry"),
        sa.Column("connector_profile_link", sa.Text(), nullable=True, comment="connector profile link"),
        sa.Column("connector_role", sa.Text(), nullable=True, comment="connector role"),
        sa.Column("connector_sign_up_role", sa.Text(), nullable=True, comment="connector sign up role"),
        sa.Column("connector_user_id", sa.Text(), nullable=True, comment="connector user id"),
        sa.Column("connector_joining_date", sa.Date(), nullable=True, comment="connector joining date"),
        sa.Column("connector_last_update_date", sa.Date(), nullable=True, comment="connector last update date"),
        sa.Column(
            "connector_last_login_date_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="connector last login date time",
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=True, comment="when the record was made at Salesforce"
        ),
        sa.Column(
            "last_modified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="last change by a person at Salesforce",
        ),
        sa.Column(
            "system_modstamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="last change of any kind at Salesforce: the version stored here",
        ),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was deleted there, or left the filter; null: it is there",
        ),
        sa.Column(
            "synced_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when this row was last written",
        ),
        sa.ForeignKeyConstraint(["district_id"], ["vms.district.salesforce_id"], name="volunteer_district_id_fkey"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["vms.organization.salesforce_id"], name="volunteer_organization_id_fkey"
        ),
        sa.ForeignKeyConstraint(
            ["salesforce_id"],
            ["vms.person.salesforce_id"],
            name="volunteer_role_fkey",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(["school_id"], ["vms.school.salesforce_id"], name="volunteer_school_id_fkey"),
        sa.PrimaryKeyConstraint("salesforce_id"),
        schema="vms",
        comment="What is known of people as volunteers",
    )
    op.create_index("volunteer_district_id", "volunteer", ["district_id"], unique=False, schema="vms")
    op.create_index("volunteer_organization_id", "volunteer", ["organization_id"], unique=False, schema="vms")
    op.create_index("volunteer_school_id", "volunteer", ["school_id"], unique=False, schema="vms")


def downgrade() -> None:
    """Take it back."""
    op.drop_index("volunteer_school_id", table_name="volunteer", schema="vms")
    op.drop_index("volunteer_organization_id", table_name="volunteer", schema="vms")
    op.drop_index("volunteer_district_id", table_name="volunteer", schema="vms")
    op.drop_table("volunteer", schema="vms")
    op.drop_table("school_alias", schema="vms")
    op.drop_index("class_school_id", table_name="class", schema="vms")
    op.drop_table("class", schema="vms")
    op.drop_index("affiliation_school_id", table_name="affiliation", schema="vms")
    op.drop_index("affiliation_person_id", table_name="affiliation", schema="vms")
    op.drop_index("affiliation_organization_id", table_name="affiliation", schema="vms")
    op.drop_index("affiliation_district_id", table_name="affiliation", schema="vms")
    op.drop_table("affiliation", schema="vms")
    op.drop_index("school_district_id", table_name="school", schema="vms")
    op.drop_table("school", schema="vms")
    op.drop_table("person_skill", schema="vms")
    op.drop_table("person_phone", schema="vms")
    op.drop_table("person_email", schema="vms")
    op.drop_table("person_address", schema="vms")
    op.drop_table("organization_alias", schema="vms")
    op.drop_table("district_alias", schema="vms")
    op.drop_table("person", schema="vms")
    op.drop_table("organization", schema="vms")
    op.drop_table("district", schema="vms")
