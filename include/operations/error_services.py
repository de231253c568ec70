"""Codes of the services outside: Salesforce, Google, Slack and mail. The tables behind `classify`, continued.

Sources: Salesforce's REST API error codes, Google's API error reasons, the errors of Slack's Web API methods, and the
reply codes of RFC 5321 and RFC 4954.
"""

from __future__ import annotations

from typing import Final

from include.operations.error_rules import (
    AUTH,
    DAILY_LIMIT,
    DATABASE,
    NETWORK,
    RATE_LIMIT,
    TIMEOUT,
    VALIDATION,
    Verdict,
)

SALESFORCE_CODE: Final[dict[str, Verdict]] = {
    **dict.fromkeys(
        (
            "API_CURRENTLY_DISABLED",
            "API_DISABLED_FOR_ORG",
            "INSUFFICIENT_ACCESS",
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "INVALID_AUTH_HEADER",
            "INVALID_LOGIN",
            "INVALID_OPERATION_WITH_EXPIRED_PASSWORD",
            "INVALID_SESSION_ID",
            "LOGIN_MUST_USE_SECURITY_TOKEN",
            "PASSWORD_LOCKOUT",
            # OAuth answers in small letters.
            "inactive_user",
            "invalid_client",
            "invalid_client_credentials",
            "invalid_client_id",
            "invalid_grant",
            "unauthorized_client",
        ),
        AUTH,
    ),
    # The same code for the requests of 24 hours and for too many at once: the limit's name tells, see below.
    "REQUEST_LIMIT_EXCEEDED": RATE_LIMIT,
    "LOGIN_RATE_EXCEEDED": RATE_LIMIT,
    # Bulk jobs of 24 hours.
    "LIMIT_EXCEEDED": DAILY_LIMIT,
    "QUERY_TIMEOUT": TIMEOUT,
    "TXN_SECURITY_METERING_ERROR": TIMEOUT,
    # The cursor is older than two days; the next try opens a new one.
    "INVALID_QUERY_LOCATOR": TIMEOUT,
    "UNABLE_TO_LOCK_ROW": DATABASE,
    "API_TEMPORARILY_UNAVAILABLE": NETWORK,
    "SERVER_UNAVAILABLE": NETWORK,
    "UNKNOWN_EXCEPTION": NETWORK,
    **dict.fromkeys(
        (
            "EXCEEDED_ID_LIMIT",
            "INVALIDENTITY",
            "INVALID_FIELD",
            "INVALID_REPLICATION_DATE",
            "INVALID_TYPE",
            "MALFORMED_QUERY",
            "NOT_FOUND",
        ),
        VALIDATION,
    ),
}
# The name of the limit that begins the message of REQUEST_LIMIT_EXCEEDED, when it is one of 24 hours.
SALESFORCE_DAILY: Final = frozenset({"TotalRequests"})
# Answered by what stands before Salesforce, with an empty or HTML body.
SALESFORCE_STATUS: Final[dict[int, Verdict]] = {406: NETWORK, 420: NETWORK}

GOOGLE_REASON: Final[dict[str, Verdict]] = {
    # A refused right answers 403 as well, so the reason comes first.
    **dict.fromkeys(("RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "quotaExceeded"), RATE_LIMIT),
    **dict.fromkeys(("rateLimitExceeded", "userRateLimitExceeded"), RATE_LIMIT),
    **dict.fromkeys(("dailyLimitExceeded", "dailyLimitExceededUnreg"), DAILY_LIMIT),
    **dict.fromkeys(("backendError", "internalError"), NETWORK),
    "DEADLINE_EXCEEDED": TIMEOUT,
}
# What the name of a quota holds when it is one of a day.
GOOGLE_DAILY: Final = "PerDay"

SLACK_ERROR: Final[dict[str, Verdict]] = {
    **dict.fromkeys(("ratelimited", "rate_limited"), RATE_LIMIT),
    **dict.fromkeys(
        (
            "access_denied",
            "account_inactive",
            "ekm_access_denied",
            "enterprise_is_restricted",
            "invalid_auth",
            "missing_scope",
            "no_permission",
            "not_allowed_token_type",
            "not_authed",
            "org_login_required",
            "team_access_not_granted",
            "token_expired",
            "token_revoked",
            "two_factor_setup_required",
        ),
        AUTH,
    ),
    **dict.fromkeys(("fatal_error", "internal_error", "service_unavailable", "team_added_to_org"), NETWORK),
    "request_timeout": TIMEOUT,
}

SMTP_CODE: Final[dict[int, Verdict]] = {
    452: RATE_LIMIT,
    530: AUTH,
    534: AUTH,
    535: AUTH,
    538: AUTH,
}
SMTP_HUNDREDS: Final[dict[int, Verdict]] = {4: NETWORK, 5: VALIDATION}
