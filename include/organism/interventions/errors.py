"""What can go wrong with interventions."""

from __future__ import annotations

from include.operations.error_rules import ErrorClass
from include.operations.errors import InputRejected, PipelineError


class ActionRefused(InputRejected):
    """The system that should carry an action out refuses it; trying again would not help."""

    code = "ACTION_REFUSED"


class NotCancelled(PipelineError):  # noqa: N818 - named for what happened
    """What is in force for a person in another system could not be cancelled there; later it may be."""

    error_class = ErrorClass.NETWORK
    transient = True
    code = "NOT_CANCELLED"


class AuditBroken(PipelineError):  # noqa: N818 - named for what happened
    """The audit is not as it was written."""

    error_class = ErrorClass.VALIDATION
    code = "AUDIT_BROKEN"
