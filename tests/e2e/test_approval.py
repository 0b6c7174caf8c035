"""A promotion that waits for a person: asked, answered and taken back over Airflow's REST API, on a real platform."""

import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest
from running_platform import Platform, wait_for
from weak_champion import put_weak_champion

from churn.io.ledger import Entry, Ledger, What
from churn.io.registry import ModelVersion, Registry

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TODAY = str(datetime.now(UTC).date())


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One that asks the user admin before a promotion. Its champion is one that any honest challenger beats."""
    platform = Platform(
        tmp_path_factory.mktemp("approval") / "home",
        CHURN_PROMOTION="approve",
        CHURN_APPROVERS="admin",
        CHURN_SEARCH_TRIALS="0",
        CHURN_DEMO_CUSTOMERS="800",
    )
    platform.start()
    try:
        # The first model went into production without a person: there was nothing to replace.
        production = _production(platform)
        assert production.version == "1"
        settings = platform.settings.model_copy(update={"search_trials": 0})
        put_weak_champion(settings, datetime.now(UTC).date())
        yield platform
    finally:
        if platform.process.poll() is None:
            platform.stop(signal.SIGINT)
        platform.api.close()
        platform.airflow.close()


def test_a_promotion_waits_for_a_person_is_approved_and_can_be_taken_back(platform: Platform) -> None:
    weak = _production(platform)
    run = platform.trigger("retrain_model", TODAY, {"force": True, "snapshots": 4, "comment": "it is wrong"})
    asked = platform.asked(run)
    compared = platform.airflow.get(f"{run}/taskInstances/compare/xcomEntries/return_value").json()["value"]
    challenger = compared["challenger"]
    assert asked["subject"] == f"Promote churn model version {challenger}?"
    assert asked["body"] == compared["summary"]
    for evidence in ("log loss", "ROC AUC", f"version {weak.version}", compared["evidence_sha256"][:12]):
        assert evidence.lower() in asked["body"].lower()
    assert asked["defaults"] == ["Reject"]
    assert asked["params"]["why"]["value"] is None  # not what the retraining was started for
    assert [user["id"] for user in asked["assigned_users"]] == ["admin"]
    assert _production(platform) == weak

    comment = "looked at the segments"
    platform.answer(run, "Approve", comment)
    assert set(platform.ended(run).values()) == {"success"}
    assert _production(platform).version == challenger

    approval, promotion = _last(platform, "approval"), _last(platform, "promotion")
    assert (approval.who, approval.why, approval.version) == ("admin", f"approved: {comment}", challenger)
    assert (promotion.who, promotion.from_version, promotion.to_version) == ("admin", weak.version, challenger)
    assert comment in promotion.why
    assert approval.evidence_sha256 == promotion.evidence_sha256 == compared["evidence_sha256"]
    wait_for(lambda: platform.served() == challenger, seconds=20)

    assert platform.run_dag("rollback_model", None, {"reason": "a test"}) == {"rollback": "success"}
    back = _last(platform, "rollback")
    assert (back.who, back.why, back.to_version) == ("admin", "a test", weak.version)
    assert _production(platform).version == weak.version
    wait_for(lambda: platform.served() == weak.version, seconds=20)


def test_a_rejection_leaves_the_model_in_production(platform: Platform) -> None:
    before = _production(platform)
    run = platform.trigger("retrain_model", TODAY, {"force": True, "snapshots": 3})
    platform.asked(run)
    platform.answer(run, "Reject", "not before the campaign")
    states = platform.ended(run)
    assert states.pop("promote") == "skipped"
    assert set(states.values()) == {"success"}
    assert _production(platform).version == before.version == platform.served()
    rejection = _last(platform, "approval")
    assert (rejection.who, rejection.why) == ("admin", "rejected: not before the campaign")
    assert rejection.to_version == before.version


def test_a_question_is_not_asked_on_a_page_that_shows_an_older_comparison(platform: Platform) -> None:
    """Airflow keeps the text of the first time it asked: cleared, it would show one decision and promote by another."""
    run = platform.trigger("retrain_model", TODAY, {"force": True, "snapshots": 5})
    platform.asked(run)
    settings = platform.settings.model_copy(update={"search_trials": 0})
    champion = put_weak_champion(settings, datetime.now(UTC).date(), seed=2)
    again = {"task_ids": ["build_panel"], "include_downstream": True, "only_failed": False, "dry_run": False}
    clear = "/api/v2/dags/retrain_model/clearTaskInstances"
    platform.airflow.post(clear, json=again | {"dag_run_id": run.rsplit("/", 1)[1]}).raise_for_status()
    states = platform.ended(run)
    assert (states["compare"], states["approve"], states["promote"]) == ("success", "failed", "upstream_failed")
    assert _production(platform).version == champion.version


def test_an_answer_cannot_be_changed(platform: Platform) -> None:
    run = f"/api/v2/dags/retrain_model/dagRuns/{platform.runs('retrain_model')[-2]['dag_run_id']}"
    body = {"chosen_options": ["Approve"], "params_input": {"why": None}}
    assert platform.airflow.patch(f"{run}/taskInstances/approve/-1/hitlDetails", json=body).status_code == 409


def _production(platform: Platform) -> ModelVersion:
    found = Registry(platform.settings).production()
    assert found is not None
    return found


def _last(platform: Platform, what: What) -> Entry:
    with closing(Ledger(platform.settings.score_database)) as ledger:
        return ledger.entries(what)[-1]
