"""When a retraining is asked for, when one may begin, and that the ledger says why."""

from collections.abc import Sequence
from contextlib import closing
from datetime import date, timedelta

import pytest

from churn.io.checks import Checks, What
from churn.io.ledger import Entry, Ledger
from churn.io.registry import Registry
from churn.settings import Settings
from churn.steps.request_retraining import request_retraining
from churn.steps.start_retraining import Trigger, start_retraining

TONIGHT = date(2026, 3, 20)


@pytest.fixture
def house(versions: Settings) -> Settings:
    """Version 1 is in production."""
    Registry(versions).promote(Registry(versions).version("1"), "the first")
    return versions


def record(settings: Settings, what: What, alarms: Sequence[bool], version: str = "1", last: date = TONIGHT) -> None:
    """A check each night, the last one tonight."""
    with closing(Checks(settings.score_database)) as checks:
        for ago, alarm in enumerate(reversed(alarms)):
            night = last - timedelta(days=ago)
            summary = f"{what} of {night}" if alarm else "nothing"
            checks.record(night, what, version, alarm=alarm, summary=summary, detail={})


def ledger(settings: Settings) -> list[Entry]:
    with closing(Ledger(settings.score_database)) as book:
        return book.entries("retraining")


def start(
    settings: Settings, trigger: Trigger, night: date = TONIGHT, reason: str = "why", force: bool = False
) -> bool:
    return start_retraining(settings, night, trigger=trigger, reason=reason, force=force).admitted


@pytest.mark.parametrize("what", ["performance", "early_warning"])
def test_degradation_and_early_warnings_ask_on_their_first_night(house: Settings, what: What) -> None:
    record(house, what, [False, True])
    asked = request_retraining(house, TONIGHT)
    assert asked.requested
    assert f"since {TONIGHT}: {what} of {TONIGHT}" in asked.reason


def test_the_reason_says_since_when(house: Settings) -> None:
    record(house, "performance", [True, False, True, True, True])
    record(house, "early_warning", [True, True])
    reason = request_retraining(house, TONIGHT).reason
    assert f"degradation since {TONIGHT - timedelta(days=2)}" in reason
    assert f"early warning since {TONIGHT - timedelta(days=1)}" in reason


def test_drift_alone_asks_only_when_it_persists(house: Settings) -> None:
    assert house.drift_nights == 3
    record(house, "drift", [True, False, True, True])
    not_yet = request_retraining(house, TONIGHT)
    assert not not_yet.requested
    assert "2 of 3 nights" in not_yet.reason
    record(house, "drift", [False, True, True, True])
    asked = request_retraining(house, TONIGHT)
    assert asked.requested
    assert asked.reason.startswith(f"drift since {TONIGHT - timedelta(days=2)}")


def test_drift_is_counted_as_its_own_check_counted_it(house: Settings) -> None:
    record(house, "drift", [True, True])
    with closing(Checks(house.score_database)) as checks:
        checks.record(TONIGHT, "drift", "1", alarm=True, summary="plays", detail={"nights": 1})
    assert not request_retraining(house, TONIGHT).requested


def test_alarms_of_other_nights_and_other_versions_ask_for_nothing(house: Settings) -> None:
    record(house, "performance", [True], last=TONIGHT - timedelta(days=1))
    record(house, "early_warning", [True], last=TONIGHT + timedelta(days=1))
    record(house, "drift", [True, True, True], version="2")
    asked = request_retraining(house, TONIGHT)
    assert (asked.requested, asked.reason) == (False, f"no alarm as of {TONIGHT} for version 1")


def test_a_request_waits_for_the_cool_down_and_the_schedule_does_not(house: Settings) -> None:
    assert house.retrain_cooldown_days == 3
    assert start(house, "request", TONIGHT)
    refused = start_retraining(house, TONIGHT + timedelta(days=2), trigger="request", reason="drift since yesterday")
    assert not refused.admitted
    assert f"the last retraining, as of {TONIGHT}" in refused.reason
    assert "drift since yesterday" in refused.reason
    assert start(house, "schedule", TONIGHT + timedelta(days=2))
    assert not start(house, "request", TONIGHT + timedelta(days=4))  # counted from the scheduled one
    assert start(house, "request", TONIGHT + timedelta(days=5))


def test_a_refusal_prolongs_no_cool_down(house: Settings) -> None:
    assert start(house, "request", TONIGHT)
    assert not start(house, "request", TONIGHT + timedelta(days=2), "again")
    assert start(house, "request", TONIGHT + timedelta(days=3), "again")


def test_a_person_gets_past_the_cool_down_by_force_only(house: Settings) -> None:
    assert start(house, "person")
    refused = start_retraining(house, TONIGHT, trigger="person", reason="a new page")
    assert not refused.admitted
    assert "start it with force" in refused.reason
    assert start(house, "person", reason="a new page", force=True)


def test_a_request_is_refused_while_a_version_that_knows_as_much_waits(house: Settings) -> None:
    registry = Registry(house)
    registry.stage(registry.version("2"), "waits")
    known = date.fromisoformat(registry.version("2").tags["as_of"])
    refused = start_retraining(house, known, trigger="request", reason="drift")
    assert not refused.admitted
    assert "version 2" in refused.reason and "Staging" in refused.reason
    assert start(house, "schedule", known)
    assert start(house, "request", known + timedelta(days=7))


def test_every_start_and_every_refusal_is_one_row_of_the_ledger_however_often_it_is_asked(house: Settings) -> None:
    for _ in range(2):  # a task that is tried again
        assert start(house, "request", reason="degradation since 2026-03-19")
        assert not start(house, "request", TONIGHT + timedelta(days=1), "drift since 2026-03-18")
    assert [(e.who, e.why.split(":")[0]) for e in ledger(house)] == [("an alarm", "started"), ("an alarm", "refused")]
    started, refused = ledger(house)
    assert started.why == "started: degradation since 2026-03-19"
    assert "drift since 2026-03-18" in refused.why
    assert str(TONIGHT) in refused.why


def test_one_alarm_starts_one_retraining_however_many_runs_ask_for_it(house: Settings) -> None:
    """Two runs of a night ask with the same words: the second is another run, and the first was just now."""

    def asked_by(run: str) -> bool:
        return start_retraining(house, TONIGHT, trigger="request", reason="degradation", run=run).admitted

    assert [asked_by(run) for run in ("one", "one", "two", "three", "two", "one")] == [
        True, True, False, False, False, True,
    ]  # fmt: skip
    assert [e.why.split(":")[0] for e in ledger(house)] == ["started", "refused"]


def test_who_made_a_check_asks_for_it_and_leaves_the_others_alone(house: Settings) -> None:
    record(house, "drift", [True, True, True])
    record(house, "performance", [True])
    assert request_retraining(house, TONIGHT).reason.count(" since ") == 2
    assert request_retraining(house, TONIGHT, ("drift",)).reason.startswith("drift since")
    of_monitoring = request_retraining(house, TONIGHT, ("performance", "early_warning")).reason
    assert of_monitoring.startswith("degradation since")
    assert "drift" not in of_monitoring
    assert not request_retraining(house, TONIGHT, ("early_warning",)).requested
