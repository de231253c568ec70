"""Asks a named person in Airflow: a task in state `awaiting_input`, without a worker, until an answer or its end.

Whom, what and until when is read from the proposal when the task begins; the answer is written down before anything
follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param

from include.connections import warehouse
from include.operations.task import resilient
from include.organism.interventions.tasks import REVIEW

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.xcom_arg import XComArg

APPROVE: Final = "Approve"
REJECT: Final = "Reject"
# Only until the proposal is read, which says when it expires.
_LONGEST: Final = timedelta(days=7)


class ReviewOperator(HITLOperator):
    """One question about the intervention that the run's param names.

    Nothing to ask (decided, over, or LOW in live mode) is success at once: what follows looks at where it stands.
    No answer in time is no approval, and neither is one by somebody who may not approve.
    """

    @classmethod
    def made(cls) -> ReviewOperator:
        """The task; everything but the answers comes from the proposal when it begins."""
        why = Param("", type="string", maxLength=500, title="Why", description="Kept with the decision, in the audit")
        return cls(
            task_id="ask_for_approval",
            subject="An intervention waits for a decision",
            options=[APPROVE, REJECT],
            defaults=[REJECT],
            params={"why": why},
            response_timeout=_LONGEST,
        )

    def execute(self, context: Context) -> dict[str, str]:
        """Ask; ends the try by `TaskAwaitingInput`, or at once when there is nothing to ask."""
        return resilient(self._ask)(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        """Write the answer down."""
        return resilient(self._take)(context, event)

    def validate_params_input(self, params_input: Mapping[str, Any]) -> None:
        """Refuse nothing: Airflow has told the person that the answer counts, and `decide` cuts a note to length."""

    def _ask(self, context: Context) -> dict[str, str]:
        from include.organism.interventions import review, store
        from include.organism.interventions.settings import Settings

        which, now, goes_on = _intervention(context), datetime.now(UTC), _goes_on(context)
        with warehouse() as connection:
            request = review.begin(connection, which, _key(context), Settings.from_env(), now, goes_on)
            if request is None:
                return {"intervention": str(which), "status": store.find(connection, which).status}
        self.subject, self.body = request.subject, request.body
        self.assigned_users = [{"id": account, "name": account} for account in request.approvers]
        self.response_timeout = request.expires_at - now
        super().execute(context)
        raise RuntimeError("a question was asked and the task did not wait for the answer")

    def _take(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        from include.organism.interventions import review
        from include.organism.interventions.settings import Settings

        answer = super().execute_complete(context, event)
        user = answer["responded_by_user"]
        decision = review.Decision(
            approved=answer["chosen_options"] == [APPROVE],
            account=user["id"] if user else "",
            at=answer["responded_at"],
            note=str(answer["params_input"].get("why") or ""),
        )
        which = _intervention(context)
        with warehouse() as connection:
            status = review.decide(connection, which, decision, _key(context), Settings.from_env())
        return {"intervention": str(which), "status": status}


def request_reviews(reviews: XComArg) -> None:
    """Start a review run for each item that `tasks.propose` returned; one of an earlier try goes on asking."""
    TriggerDagRunOperator.partial(
        task_id="request_reviews", trigger_dag_id=REVIEW, logical_date=None, skip_when_already_exists=True
    ).expand_kwargs(reviews)


def _intervention(context: Context) -> UUID:
    return UUID(context["params"]["intervention"])


def _goes_on(context: Context) -> Callable[[str], bool]:
    """Whether the review run of a key is queued or running; one that was deleted is not."""

    def goes_on(key: str) -> bool:
        dag_id, _, run_id = key.partition("/")
        count = context["ti"].get_dr_count(dag_id=dag_id, run_ids=[run_id], states=["queued", "running"])
        return count > 0

    return goes_on


def _key(context: Context) -> str:
    return f"{context['dag'].dag_id}/{context['run_id']}"
