"""EmailMessage: an e-mail to or from the organisation."""

from __future__ import annotations

from local.salesforce.fields import flag, long_text, lookup, moment, picklist, text
from local.salesforce.metadata import ObjectMeta

OBJECT = ObjectMeta(
    name="EmailMessage",
    label="Email Message",
    label_plural="Email Messages",
    key_prefix="02s",
    fields=(
        lookup("ParentId", "Case", relationship="Parent", child_relationship_name="EmailMessages"),
        lookup(
            "RelatedToId",
            "Contact",
            "Account",
            "Case",
            relationship="RelatedTo",
            child_relationship_name="Emails",
        ),
        text("Subject", 3000),
        long_text("TextBody"),
        long_text("HtmlBody"),
        moment("MessageDate"),
        text("FromAddress", 1000),
        text("ToAddress", 4000),
        text("CcAddress", 4000),
        text("BccAddress", 4000),
        flag("Incoming"),
        picklist("Status", "0", "1", "2", "3", "4", "5", nillable=False, default="3"),
        text("MessageIdentifier", 765),
        text("ThreadIdentifier", 765),
    ),
)
