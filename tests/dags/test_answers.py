"""A person's answer about a promotion: what is written down, and what follows from it."""

from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from alert_servers import Chat, serving

from churn.io.ledger import Entry, Ledger
from churn.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore")  # Airflow's and its providers' own deprecations

ANSWERED = datetime(2026, 3, 8, 9, 30, tzinfo=UTC)
COMPARED = {"challenger": "5", "champion": "4", "promote": True, "evidence_sha256": "ab12"}
ANNA = {"id": "anna", "name": "anna"}


class Ti(SimpleNamespace):
    """A task instance as far as the operator asks it anything."""

    map_index = -1

    def xcom_pull(self, task_ids: str, key: str) -> Any:
        return {("approve", "asked"): COMPARED}[task_ids, key]

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed = (key, value)


def _answer(choice: str, user: dict[str, str] | None, **params: Any) -> dict[str, Any]:
    return {
        "chosen_options": [choice],
        "params_input": params,
        "responded_at": ANSWERED,
        "responded_by_user": user,
        "timedout": user is None,
    }


def _answered(dag_bag: Any, event: dict[str, Any]) -> Any:
    approve = dag_bag.dags["retrain_model"].get_task("approve")
    context = {"task": approve, "ti": Ti(), "run_id": "manual__1"}
    return approve.execute_complete(context, event)


def _row(settings: Settings) -> Entry:
    with closing(Ledger(settings.score_database)) as ledger:
        (row,) = ledger.entries("approval")
    return row


def test_a_yes_is_written_down_with_its_name_comment_and_the_evidence_that_was_shown(
    dag_bag: Any, settings: Settings
) -> None:
    event = _answer("Approve", ANNA, why="checked the segments")
    answer = _answered(dag_bag, event)
    row = _row(settings)
    assert (row.what, row.who, row.why) == ("approval", "anna", "approved: checked the segments")
    assert (row.version, row.from_version, row.to_version) == ("5", "4", "5")
    assert (row.evidence_sha256, row.decided_at) == ("ab12", ANSWERED)
    _answered(dag_bag, event)  # the task was killed after writing and runs again: still one row
    assert _row(settings) == row

    from churn_approval import approver

    assert approver(answer) == {"who": "anna", "comment": "checked the segments", "evidence_sha256": "ab12"}


def test_a_no_is_written_down_and_promote_is_skipped(dag_bag: Any, settings: Settings) -> None:
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    with pytest.raises(DownstreamTasksSkipped) as skipped:
        _answered(dag_bag, _answer("Reject", ANNA, why="not before the campaign"))
    assert list(skipped.value.tasks) == ["promote"]
    row = _row(settings)
    assert (row.who, row.why) == ("anna", "rejected: not before the campaign")
    assert (row.version, row.from_version, row.to_version) == ("5", "4", "4")


def test_no_answer_in_time_is_a_no_by_nobody(dag_bag: Any, settings: Settings) -> None:
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    with pytest.raises(DownstreamTasksSkipped):
        _answered(dag_bag, _answer("Reject", None))
    row = _row(settings)
    assert (row.who, row.why) == ("nobody", "rejected: no answer within 24 hours")


@pytest.mark.parametrize("answer", [None, _answer("Reject", ANNA)])
def test_without_a_yes_nothing_can_be_promoted_whatever_was_marked_as_done_by_hand(
    dag_bag: Any, answer: dict[str, Any] | None
) -> None:
    from airflow.sdk.exceptions import AirflowFailException
    from churn_approval import approver

    with pytest.raises(AirflowFailException, match="nobody approved"):
        approver(answer)


@pytest.mark.parametrize(
    ("promotion", "champion", "earlier", "asked"),
    [
        ("approve", "4", None, True),
        ("approve", None, None, False),
        ("approve", None, "5", False),  # it has been there before
        ("approve", None, "4", True),  # somebody emptied the stage by hand: that makes no other model the first
        ("auto", "4", "4", False),
    ],
)
def test_a_person_is_asked_only_where_that_is_set_and_for_every_model_but_the_first(
    dag_bag: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch,
    promotion: str, champion: str | None, earlier: str | None, asked: bool,
) -> None:  # fmt: skip
    from churn_approval import needs_approval

    if earlier:
        with closing(Ledger(settings.score_database)) as ledger:
            ledger.append("promotion", key="first", who="the gate", why="the first", to_version=earlier)
            ledger.append("found", key="then", who="MLflow", why="by hand", from_version=earlier)
    monkeypatch.setenv("CHURN_PROMOTION", promotion)
    assert needs_approval(COMPARED | {"champion": champion}) is asked


def test_a_yes_that_promotes_nothing_rings(dag_bag: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow
    from airflow.sdk.exceptions import AirflowSkipException
    from airflow.sdk.execution_time.context import set_current_context

    client = mlflow.MlflowClient(settings.tracking_uri)
    client.create_registered_model("churn")
    client.create_model_version("churn", str(settings.artifact_root))  # never compared: no decision is on file
    chat = Chat()
    monkeypatch.setenv("CHURN_ALERT_WEBHOOK", chat.url)
    run: Any = {"dag_run": SimpleNamespace(dag_id="retrain_model", run_id="manual__1")}
    promote = dag_bag.dags["retrain_model"].get_task("promote").python_callable
    with serving(chat), set_current_context(run), pytest.raises(AirflowSkipException, match="has not been compared"):
        promote(COMPARED | {"challenger": "1", "champion": None}, Ti(), outlet_events={})
    (body,) = chat.got
    assert (body["subject"], body["severity"]) == ("Version 1 was not promoted, though the answer was yes", "error")
    assert "has not been compared" in body["text"]


def test_who_may_answer_and_for_how_long_is_set(monkeypatch: pytest.MonkeyPatch, dag_bag: Any) -> None:
    from datetime import timedelta

    approve = dag_bag.dags["retrain_model"].get_task("approve")
    assert approve.assigned_users is None
    assert approve.defaults == ["Reject"]
    assert approve.response_timeout == timedelta(hours=24)
    assert set(approve.serialized_params) == {"why"}

    import retrain_model

    monkeypatch.setenv("CHURN_APPROVERS", "anna, ben")
    monkeypatch.setenv("CHURN_APPROVAL_HOURS", "0.5")
    approve = retrain_model.retrain_model().get_task("approve")
    assert approve.assigned_users == [{"id": "anna", "name": "anna"}, {"id": "ben", "name": "ben"}]
    assert approve.response_timeout == timedelta(minutes=30)
