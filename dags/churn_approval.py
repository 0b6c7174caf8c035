"""A person's yes or no before a promotion, and its row in the ledger."""

from contextlib import closing
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk.exceptions import AirflowFailException

from churn.io.ledger import Ledger
from churn.settings import Settings

NOBODY = "nobody"
"""Who answered when the time was up."""


_ASKED = "asked"
"""XCom of the task: which decision the person was asked about, whatever `compare` says by the time of the answer."""


class Approval(ApprovalOperator):
    """Airflow's approval; the answer, also that of the clock, is in the ledger before anything follows from it.

    Its result has ``evidence_sha256`` beside what Airflow puts there: of the decision that was shown.
    """

    def execute(self, context: Any) -> Any:
        ti = context["ti"]
        compared = ti.xcom_pull(task_ids="compare")
        ti.xcom_push(_ASKED, {name: compared[name] for name in ("challenger", "champion", "evidence_sha256")})
        if self._shown(ti.id) != self.body:
            raise AirflowFailException(
                "the page still shows the comparison that this run asked about first, and there is another one by now: "
                "start a new run of retrain_model"
            )
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        answer = HITLOperator.execute_complete(self, context, event)  # checks it
        asked = context["ti"].xcom_pull(task_ids=self.task_id, key=_ASKED)
        _record(answer, asked, f"{context['run_id']}:{answer['responded_at'].isoformat()}")
        return super().execute_complete(context, event) | {"evidence_sha256": asked["evidence_sha256"]}

    def _shown(self, ti_id: Any) -> str | None:
        """What the page says once the question is there: Airflow keeps the first text, also of a cleared task."""
        from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        question = CreateHITLDetailPayload(
            ti_id=ti_id,
            options=self.options,
            subject=self.subject,
            body=self.body,
            defaults=self.defaults,
            multiple=self.multiple,
            params=self.serialized_params,
            assigned_users=self.assigned_users or [],
        )
        shown: str | None = SUPERVISOR_COMMS.send(question).body
        return shown


def needs_approval(compared: dict[str, Any]) -> bool:
    """Whether a person is asked about a decision that the gate said yes to."""
    from churn.steps.promote import needs_a_person

    settings = Settings()
    with closing(Ledger(settings.score_database)) as ledger:
        return needs_a_person(settings, ledger, compared["challenger"], compared["champion"])


def approver(answer: dict[str, Any] | None) -> dict[str, str | None]:
    """How to call the promotion: ``who``, ``comment``, and the hash of the evidence that was shown.

    Fails the task without a yes: a task can be marked as done by hand.
    """
    if answer is None or answer["chosen_options"] != [Approval.APPROVE]:
        raise AirflowFailException("nobody approved: clear the task approve, so that it asks again")
    return {"who": _who(answer), "comment": _comment(answer), "evidence_sha256": answer["evidence_sha256"]}


def _record(answer: dict[str, Any], compared: dict[str, Any], moment: str) -> None:
    approved = answer["chosen_options"] == [ApprovalOperator.APPROVE]
    if answer["responded_by_user"] is None:
        why = f"rejected: no answer within {Settings().approval_hours:g} hours"
    else:
        why = ": ".join(filter(None, ("approved" if approved else "rejected", _comment(answer))))
    with closing(Ledger(Settings().score_database)) as ledger:
        ledger.append(
            "approval",
            key=f"approval:{compared['challenger']}:{moment}",
            who=_who(answer),
            why=why,
            version=compared["challenger"],
            from_version=compared["champion"],
            to_version=compared["challenger"] if approved else compared["champion"],
            evidence_sha256=compared["evidence_sha256"],
            decided_at=answer["responded_at"],
        )


def _who(answer: dict[str, Any]) -> str:
    user = answer["responded_by_user"]
    return NOBODY if user is None else user["name"]


def _comment(answer: dict[str, Any]) -> str | None:
    return answer["params_input"].get("why") or None
