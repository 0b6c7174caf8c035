"""The feature SQL: each formula on rows one can check by hand, and nothing at or after the cut-off."""

from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn.core.events import DAY_MS, EVENT_COLUMNS
from churn.core.features import FEATURE_NAMES, FEATURES, features_sql, session_days_sql
from churn.core.labels import labels_sql
from churn.io.engines.duckdb import open_engine

AS_OF_DAY = 100
AS_OF = AS_OF_DAY * DAY_MS
_TYPES = {"varchar": pa.string(), "bigint": pa.int64(), "integer": pa.int32(), "double": pa.float64()}


def event(customer: str, ts_ms: int, kind: str = "play", **other: Any) -> dict[str, Any]:
    defaults = {"session_id": "s", "plan": "free", "registered_ms": 50 * DAY_MS, "item_in_session": 0}
    return {"customer_id": customer, "ts_ms": ts_ms, "kind": kind, "duration_s": None, "ingested_ms": 0} | (
        defaults | other
    )


def features(
    events: list[dict[str, Any]], *days: int, known_before_ms: int | None = None
) -> dict[tuple[int, str], dict[str, float]]:
    schema = pa.schema([(c, _TYPES[t]) for c, t in EVENT_COLUMNS.items()])
    with open_engine() as engine:
        engine.register("events", pa.Table.from_pylist(events, schema))
        engine.register("snapshots", pa.table({"as_of_day": pa.array(days or (AS_OF_DAY,), pa.int64())}))
        engine.execute(f"create table sd as {session_days_sql('events', known_before_ms=known_before_ms)}")
        rows = engine.table(features_sql("sd", "snapshots")).to_pylist()
    return {(r.pop("as_of_day"), r.pop("customer_id")): r for r in rows}


def labels(events: list[dict[str, Any]], churn: Any, horizon_days: int) -> dict[str, int]:
    schema = pa.schema([(c, _TYPES[t]) for c, t in EVENT_COLUMNS.items()])
    with open_engine() as engine:
        engine.register("events", pa.Table.from_pylist(events, schema))
        engine.execute(f"create table sd as {session_days_sql('events')}")
        customers = f"(select distinct cast({AS_OF_DAY} as bigint) as as_of_day, customer_id from events)"
        sql = labels_sql("sd", customers, churn=churn, horizon_days=horizon_days)
        return {c: churned for _, c, churned in engine.rows(sql)}


def test_every_formula_on_a_customer_one_can_check_by_hand() -> None:
    noon = AS_OF - DAY_MS // 2
    found = features(
        [
            event("a", noon - 3_600_000, "browse", session_id="1"),
            event("a", noon - 1_800_000, "play", session_id="1", item_in_session=1),
            event("a", noon, "like", session_id="1", item_in_session=2),
            event("a", noon - 5 * DAY_MS, "play", session_id="2"),
            event("a", noon - 5 * DAY_MS + 600_000, "play", session_id="2", item_in_session=1),
            event("a", noon - 5 * DAY_MS + 700_000, "play", session_id="2", item_in_session=2),
            event("a", noon - 5 * DAY_MS + 700_000, "dislike", session_id="2", item_in_session=3),
            event("a", noon - 5 * DAY_MS + 700_000, "add_to_playlist", session_id="2", item_in_session=4),
            event("a", noon - 5 * DAY_MS + 700_000, "add_friend", session_id="2", item_in_session=5, plan="paid"),
        ]
    )
    assert found == {
        (AS_OF_DAY, "a"): {
            "total_sessions": 2,
            "avg_session_duration": (3600 + 700) / 2,
            "total_songs_played": 4,
            "avg_songs_per_session": 2,
            "thumbs_up_count": 1,
            "thumbs_down_count": 1,
            "add_playlist_count": 1,
            "add_friend_count": 1,
            "time_since_last_activity": 0.5,
            "days_since_registration": 50,
            "thumbs_up_ratio": 0.25,
            "thumbs_down_ratio": 0.25,
            "is_paid_user": 0,
        }
    }


def test_divisions_by_zero_give_zero() -> None:
    row = features([event("a", AS_OF - 1, "browse")])[AS_OF_DAY, "a"]
    assert row["avg_songs_per_session"] == row["thumbs_up_ratio"] == row["thumbs_down_ratio"] == 0
    assert row["avg_session_duration"] == 0


def test_the_cut_off_itself_is_not_seen_and_the_millisecond_before_is() -> None:
    assert features([event("a", AS_OF)]) == {}
    assert features([event("a", AS_OF - 1), event("a", AS_OF)])[AS_OF_DAY, "a"]["total_songs_played"] == 1


def test_who_cancelled_before_the_cut_off_is_not_at_risk_and_who_cancels_at_it_still_is() -> None:
    assert features([event("a", AS_OF - 2), event("a", AS_OF - 1, "cancel")]) == {}
    assert (AS_OF_DAY, "a") in features([event("a", AS_OF - 2), event("a", AS_OF, "cancel")])


def test_who_registers_at_or_after_the_cut_off_is_not_at_risk() -> None:
    assert features([event("a", AS_OF - 1, registered_ms=AS_OF)]) == {}


def test_without_a_registration_time_the_first_event_stands_for_it() -> None:
    row = features([event("a", AS_OF - 3 * DAY_MS, registered_ms=None)])[AS_OF_DAY, "a"]
    assert row["days_since_registration"] == 3


def test_the_same_session_number_of_two_customers_is_two_sessions() -> None:
    found = features([event("a", AS_OF - 9), event("b", AS_OF - 5)])
    assert {c: r["avg_session_duration"] for (_, c), r in found.items()} == {"a": 0, "b": 0}


def test_a_session_over_midnight_is_one_session_and_is_cut_at_the_cut_off() -> None:
    events = [event("a", AS_OF - 60_000), event("a", AS_OF + 60_000, item_in_session=1)]
    found = features(events, AS_OF_DAY, AS_OF_DAY + 1)
    assert [found[d, "a"]["avg_session_duration"] for d in (AS_OF_DAY, AS_OF_DAY + 1)] == [0, 120]
    assert [found[d, "a"]["total_sessions"] for d in (AS_OF_DAY, AS_OF_DAY + 1)] == [1, 1]


@pytest.mark.parametrize(
    ("order", "paid"),
    [
        ({"item_in_session": 1}, 1),  # the same millisecond: the later item counts
        ({"session_id": "t"}, 1),  # … of two sessions: the greater session
        ({"ts_ms": AS_OF - 5, "item_in_session": 9}, 0),  # an earlier time never counts
    ],
)
def test_the_plan_of_the_last_event_is_decided_by_a_total_order(order: dict[str, Any], paid: int) -> None:
    last = event("a", order.pop("ts_ms", AS_OF - 1), plan="paid", **order)
    for events in ([event("a", AS_OF - 1), last], [last, event("a", AS_OF - 1)]):
        assert features(events)[AS_OF_DAY, "a"]["is_paid_user"] == paid


def test_several_cut_offs_in_one_pass_equal_one_pass_each() -> None:
    events = [
        event(c, (80 + i) * DAY_MS + i, k, session_id=str(i % 3), plan=("free", "paid")[i % 2])
        for i, (c, k) in enumerate(
            zip("abc" * 10, ("play", "like", "dislike", "browse", "add_friend") * 6, strict=True)
        )
    ]
    together = features(events, 85, 92, 99)
    apart = features(events, 85) | features(events, 92) | features(events, 99)
    assert together == apart
    assert len(together) == 9


def test_events_that_arrived_late_are_seen_or_not_as_asked() -> None:
    events = [event("a", AS_OF - 2, ingested_ms=AS_OF - 1), event("a", AS_OF - 1, ingested_ms=AS_OF)]
    assert features(events)[AS_OF_DAY, "a"]["total_songs_played"] == 2
    assert features(events, known_before_ms=AS_OF)[AS_OF_DAY, "a"]["total_songs_played"] == 1


_EVENT = st.builds(
    event,
    customer=st.sampled_from("abc"),
    ts_ms=st.integers(AS_OF - 20 * DAY_MS, AS_OF - 1) | st.sampled_from([AS_OF - 1, AS_OF - DAY_MS]),
    kind=st.sampled_from(["play", "like", "dislike", "add_to_playlist", "add_friend", "browse", "advert"]),
    session_id=st.sampled_from(["1", "2", "3"]),
    plan=st.sampled_from(["free", "paid"]),
    item_in_session=st.none() | st.integers(0, 5),
    registered_ms=st.none() | st.integers(0, AS_OF - 1),
)
_LATER = st.builds(
    event,
    customer=st.sampled_from("abcd"),
    ts_ms=st.integers(AS_OF, AS_OF + 20 * DAY_MS) | st.just(AS_OF),
    kind=st.sampled_from(["play", "cancel", "dislike", "downgrade"]),
    session_id=st.sampled_from(["1", "2", "9"]),
    plan=st.sampled_from(["free", "paid"]),
    item_in_session=st.none() | st.integers(0, 5),
    registered_ms=st.none() | st.integers(0, AS_OF + DAY_MS),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=st.lists(_EVENT, max_size=25), after=st.lists(_LATER, max_size=10))
def test_nothing_at_or_after_the_cut_off_changes_a_feature_by_one_bit(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    assert features(before + after) == features(before)


@settings(max_examples=40, deadline=None)
@given(events=st.lists(_EVENT, min_size=1, max_size=25))
def test_every_value_is_in_its_declared_range(events: list[dict[str, Any]]) -> None:
    ranges = {f.name: (f.minimum, f.maximum) for f in FEATURES}
    for row in features(events).values():
        assert tuple(row) == FEATURE_NAMES
        assert all(ranges[name][0] <= value <= ranges[name][1] for name, value in row.items())


def test_a_label_lies_within_the_horizon_and_not_at_its_end() -> None:
    events = [
        *(event(c, AS_OF - 1) for c in "abcd"),
        event("a", AS_OF, "cancel"),
        event("b", AS_OF + 14 * DAY_MS - 1, "cancel"),
        event("c", AS_OF + 14 * DAY_MS, "cancel"),
        event("d", AS_OF + DAY_MS, "downgrade"),
    ]
    assert labels(events, "cancel", 14) == {"a": 1, "b": 1, "c": 0, "d": 0}


def test_a_lapse_is_no_event_at_all_within_the_horizon() -> None:
    events = [*(event(c, AS_OF - 1) for c in "abc"), event("a", AS_OF), event("b", AS_OF + 90 * DAY_MS)]
    assert labels(events, "lapse", 90) == {"a": 0, "b": 1, "c": 1}


def test_the_cut_off_is_midnight_utc_of_the_date() -> None:
    assert (date(2018, 12, 1) - date(1970, 1, 1)).days * DAY_MS == 1_543_622_400_000
