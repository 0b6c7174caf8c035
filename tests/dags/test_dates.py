"""DAGs that follow a clock and an asset, and the date that each run works for."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")  # Airflow's and its providers' own deprecations


@pytest.mark.parametrize(
    ("name", "summary", "hour"),
    [
        ("monitor_model", "0 6 * * * or churn_scores", 6),
        ("retrain_model", "0 3 * * 0 or churn_retrain_requested", 3),
    ],
)
def test_a_dag_that_follows_a_clock_and_an_asset_survives_airflows_serialization(
    dag_bag: Any, name: str, summary: str, hour: int
) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag_bag.dags[name]))
    assert stored.timetable.summary == summary
    assert stored.timetable.partitioned  # without it an event that carries a date starts nothing
    assert [key.name for key, _ in stored.timetable.asset_condition.iter_assets()] == [summary.split(" or ")[1]]
    tick = stored.next_dagrun_info(last_automated_run_info=None)
    assert tick.run_after > datetime.now(UTC)  # the first start makes up for nothing
    assert tick.run_after.hour == hour
    assert tick.partition_key == tick.run_after.strftime("%Y-%m-%d")


def test_the_clock_goes_on_from_the_last_run_and_a_backfill_gets_one_run_a_tick(dag_bag: Any) -> None:
    from airflow.timetables.base import DagRunInfo, TimeRestriction

    timetable = dag_bag.dags["retrain_model"].timetable
    sunday = datetime(2026, 3, 1, 3, tzinfo=UTC)
    last = DagRunInfo(run_after=sunday, data_interval=None, partition_key="2026-03-01")
    following = timetable.next_dagrun_info_v2(last_dagrun_info=last, restriction=TimeRestriction(None, None, True))
    assert following.partition_key == "2026-03-08"
    infos = timetable.iter_partition_dagrun_infos(earliest=sunday, latest=sunday + timedelta(days=21))
    assert [info.partition_key for info in infos] == ["2026-03-01", "2026-03-08", "2026-03-15", "2026-03-22"]


def _event(day: str, hour: int, **extra: str) -> SimpleNamespace:
    return SimpleNamespace(timestamp=datetime(2026, 3, 9, hour, tzinfo=UTC), extra={"as_of": day, **extra})


def _context(**given: Any) -> Any:
    run = SimpleNamespace(partition_key=given.pop("key", None), run_after=datetime(2026, 3, 4, 23, tzinfo=UTC))
    return {"params": {"as_of": given.pop("form", None)}, "dag_run": run, **given}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "2026-03-04"),
        ({"ds": "2026-03-03"}, "2026-03-03"),
        ({"ds": "2026-03-03", "events": ["2026-03-02"]}, "2026-03-02"),
        ({"events": ["2026-03-02"], "key": "2026-03-01"}, "2026-03-01"),
        ({"key": "2026-03-01", "form": "2026-02-28"}, "2026-02-28"),
    ],
)
def test_the_date_of_a_run_is_the_forms_then_its_partitions_then_its_events(
    dag_bag: Any, given: dict[str, Any], expected: str
) -> None:
    from airflow.sdk.execution_time.context import set_current_context
    from churn_run import run_date

    given = dict(given)
    days = given.pop("events", [])
    context = _context(**given, triggering_asset_events={"churn://x": [_event(day, 1) for day in days]})
    with set_current_context(context):
        assert run_date() == date.fromisoformat(expected)


def test_of_several_events_the_latest_that_says_it_counts(dag_bag: Any) -> None:
    from airflow.sdk.execution_time.context import set_current_context
    from churn_run import event_extra

    events = [_event("2026-03-02", 5, reason="degradation"), _event("2026-03-03", 9), _event("2026-03-01", 1)]
    with set_current_context(_context(triggering_asset_events={"churn://x": events})):
        assert event_extra("as_of") == "2026-03-03"
        assert event_extra("reason") == "degradation"
        assert event_extra("version") is None


def test_a_date_that_has_not_begun_is_refused(dag_bag: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException
    from airflow.sdk.execution_time.context import set_current_context
    from churn_run import run_date

    tomorrow = str(datetime.now(UTC).date() + timedelta(days=1))
    with set_current_context(_context(key=tomorrow)), pytest.raises(AirflowFailException, match="has not begun"):
        run_date()
