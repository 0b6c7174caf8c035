"""The feature SQL: each formula on rows one can check by hand, and against a slow reference."""

import math
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlglot import expressions as sql

from churn.core.events import DAY_MS, KINDS, PLANS
from churn.core.feature_table import feature_table
from churn.core.features import (
    CORE_FEATURES,
    EXTENDED_FEATURES,
    FEATURE_NAMES,
    FEATURES,
    Feature,
    features_from_totals_sql,
    features_sql,
    session_days_sql,
    totals_sql,
)
from churn.io.engines.duckdb import open_engine
from tests.core.feature_rows import AS_OF, AS_OF_DAY, EVENT_SCHEMA, Event, event, events_between, features, labels
from tests.core.slow_features import slow_features

_CORE_NAMES = tuple(f.name for f in CORE_FEATURES)
_NAMED = {f.name: f for f in FEATURES}


def test_every_core_formula_on_a_customer_one_can_check_by_hand() -> None:
    noon = AS_OF - DAY_MS // 2
    (found,) = features(
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
    ).values()
    assert {name: found[name] for name in _CORE_NAMES} == {
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


def _extended_by_hand() -> list[Event]:
    def at(day: int, second: int, kind: str, session: str) -> Event:
        plan = "paid" if day >= 90 else "free"
        return event("a", day * DAY_MS + second * 1000, kind, session_id=session, item_in_session=second, plan=plan)

    midnight = 86_400
    return [
        at(40, 0, "downgrade", "1"), at(40, 600, "play", "1"), at(40, 1200, "play", "1"),
        at(40, 1200, "add_friend", "1"), at(40, 1200, "add_friend", "1"),
        at(80, 0, "advert", "2"), at(80, 60, "play", "2"), at(80, 120, "dislike", "2"),
        at(80, 36_000, "error", "3"), at(80, 36_030, "help", "3"),
        at(90, 0, "upgrade", "4"), at(90, 100, "play", "4"), at(90, 200, "like", "4"),
        at(98, midnight - 600, "play", "5"), at(98, midnight - 300, "play", "5"), at(98, midnight + 600, "play", "5"),
        at(98, midnight + 600, "add_to_playlist", "5"), at(98, midnight + 600, "advert", "5"),
    ]  # fmt: skip


def test_every_extended_formula_on_a_customer_one_can_check_by_hand() -> None:
    # Five active days (40, 80, 90, 98, 99) of 60 observed; gaps of 40, 10, 8 and 1 days; five sessions, seven songs.
    (found,) = features(_extended_by_hand()).values()
    assert {f.name: found[f.name] for f in EXTENDED_FEATURES} == pytest.approx(
        {
            "sessions_7d": 1, "sessions_14d": 2, "sessions_28d": 4,
            "songs_7d": 3, "songs_14d": 4, "songs_28d": 5,
            "active_days_7d": 2, "active_days_14d": 3, "active_days_28d": 4,
            "session_time_7d": 1200, "session_time_28d": 120 + 30 + 200 + 1200,
            "thumbs_up_28d": 1,
            "thumbs_down_7d": 0, "thumbs_down_14d": 0, "thumbs_down_28d": 1,
            "adverts_7d": 1, "adverts_14d": 1, "adverts_28d": 2,
            "errors_28d": 1, "help_28d": 1, "upgrades_28d": 1, "downgrades_28d": 0,
            "sessions_trend_7d": (1 / 7) / (4 / 28), "sessions_trend_28d": (4 / 28) / (5 / 60),
            "songs_trend_7d": (3 / 7) / (5 / 28), "songs_trend_28d": (5 / 28) / (7 / 60),
            "days_observed": 60, "active_days_share": 5 / 60,
            "sessions_per_day": 5 / 60, "sessions_per_day_28d": 4 / 28,
            "sessions_per_active_day": 1, "songs_per_active_day": 7 / 5,
            "thumbs_up_per_session": 1 / 5, "thumbs_down_per_session": 1 / 5, "add_playlist_per_session": 1 / 5,
            "add_friend_per_session": 2 / 5, "adverts_per_session": 2 / 5, "errors_per_session": 1 / 5,
            "help_per_session": 1 / 5,
            "adverts_per_free_song": 1 / 3, "paid_songs_share": 4 / 7,
            "adverts_per_day": 2 / 60, "thumbs_down_per_day": 1 / 60, "thumbs_down_ratio_28d": 1 / 5,
            "upgrades": 1, "downgrades": 1, "days_on_plan": 10,
            "gap_mean": 14.75, "gap_std": math.sqrt(1765 / 4 - 14.75**2), "gap_max": 40, "gap_ratio": 1 / 14.75,
        },
        rel=1e-12, abs=0,
    )  # fmt: skip


_SEEN = events_between(AS_OF - 45 * DAY_MS, AS_OF)
_ALIVE = events_between(AS_OF - 45 * DAY_MS, AS_OF, kinds=set(KINDS) - {"cancel"})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=st.lists(_ALIVE, max_size=40) | st.lists(_SEEN, max_size=40), at_risk=st.booleans())
@example(events=_extended_by_hand(), at_risk=True)
def test_every_feature_agrees_with_a_slow_and_obvious_reference(events: list[Event], at_risk: bool) -> None:
    days = (AS_OF_DAY, AS_OF_DAY - 3, AS_OF_DAY - 20)
    found = features(events, *days, sql=lambda *tables: features_sql(*tables, at_risk=at_risk))
    slow = {(d, c): row for d in days for c, row in slow_features(events, d, at_risk=at_risk).items()}
    assert found.keys() == slow.keys()
    for key, row in found.items():
        assert tuple(row) == FEATURE_NAMES
        assert row == pytest.approx(slow[key], rel=1e-12, abs=1e-12), key
        assert all(_NAMED[name].minimum <= value <= _NAMED[name].maximum for name, value in row.items())


def test_a_window_begins_at_midnight_so_many_days_before_the_cut_off() -> None:
    for days in (7, 14, 28):
        start = AS_OF - days * DAY_MS
        found = features([event("a", start - 1), event("a", start), event("b", start - 1)])
        assert [found[AS_OF_DAY, c][f"songs_{days}d"] for c in "ab"] == [1, 0]


def test_a_customer_of_one_day_has_rates_over_one_day() -> None:
    (row,) = features([event("a", AS_OF - 1), event("a", AS_OF - 2, "advert")]).values()
    names = ("days_observed", "sessions_per_day", "sessions_per_day_28d", "active_days_share", "adverts_per_day")
    assert [row[name] for name in names] == [1, 1, 1, 1, 1]
    assert [row[f"{what}_trend_{span}"] for what in ("sessions", "songs") for span in ("7d", "28d")] == [1, 1, 1, 1]
    assert [row[name] for name in ("gap_mean", "gap_std", "gap_max", "gap_ratio")] == [0, 0, 0, 0]


def test_who_has_gone_quiet_has_no_recent_activity_and_a_long_gap() -> None:
    (row,) = features([event("a", AS_OF - days * DAY_MS, session_id=str(days)) for days in (60, 50, 40)]).values()
    assert (row["sessions_28d"], row["sessions_trend_7d"], row["sessions_trend_28d"], row["gap_ratio"]) == (0, 0, 0, 4)


def test_rates_stay_the_same_however_long_a_steady_customer_has_been_there() -> None:
    steady = [
        event("a", d * DAY_MS, kind, session_id=str(d), registered_ms=0)
        for d in range(0, 100, 2)
        for kind in ("play", "advert")
    ]
    short, long = features(steady, 40)[40, "a"], features(steady, 100)[100, "a"]
    grows = {name for name in FEATURE_NAMES if short[name] != long[name]}
    # … and none of the extended features but those that say how long it has been.
    assert grows & {f.name for f in EXTENDED_FEATURES} == {"days_observed", "days_on_plan"}
    assert {"total_sessions", "total_songs_played"} < grows


def test_who_cancelled_is_kept_only_when_asked() -> None:
    events = [event("a", AS_OF - 2), event("a", AS_OF - 1, "cancel"), event("b", AS_OF - 1, registered_ms=AS_OF)]
    assert features(events) == {}
    kept = features(events, sql=lambda *tables: features_sql(*tables, at_risk=False))
    assert list(kept) == [(AS_OF_DAY, "a")]


def _log(customers: int) -> pa.Table:
    kinds = [k for k in KINDS if k != "cancel"]
    rows = [
        event(
            f"{c:04d}", (i * 7919 * (c + 3) * 60_000) % (80 * DAY_MS), kinds[(i * i + c) % len(kinds)],
            session_id=str(i // 3), duration_s=0.1 * i, registered_ms=None, item_in_session=i,
        )
        for c in range(customers) for i in range(30)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, EVENT_SCHEMA)


def test_neither_the_order_of_events_nor_the_number_of_threads_changes_a_bit() -> None:
    log, found = _log(700), []
    for threads in (1, 2, 4):
        with open_engine() as engine:
            engine.execute(f"set threads = {threads}")
            engine.register(
                "events", log.sort_by([(("ts_ms", "session_id", "customer_id")[threads // 2], "ascending")])
            )
            engine.register("snapshots", pa.table({"as_of_day": pa.array([60, 80], pa.int64())}))
            engine.execute(f"create table sd as {session_days_sql('events')}")
            found.append(engine.table(f"{features_sql('sd', 'snapshots')} order by as_of_day, customer_id"))
    assert found[0].num_rows > 1000
    assert all(one.combine_chunks().equals(other.combine_chunks()) for one, other in pairwise(found))


_ITEMS = (None, -(2**31), -2, -1, 0, 1, 2**31 - 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, DAY_MS // 2 - 1, DAY_MS // 2, DAY_MS - 2, DAY_MS - 1]),
            st.sampled_from(_ITEMS), st.sampled_from(KINDS), st.sampled_from(PLANS),
        ),
        min_size=1, max_size=8,
    ),
    st.sampled_from([0, 20_000, 47_481]),
)  # fmt: skip
def test_the_last_event_of_a_day_is_told_up_to_the_ends_of_every_range(
    rows: list[tuple[int, int | None, str, str]], day: int
) -> None:
    events = [event("a", day * DAY_MS + ms, kind, item_in_session=item, plan=plan) for ms, item, kind, plan in rows]
    *_, plan = max((ms, -1 if item is None else item, kind, plan) for ms, item, kind, plan in rows)
    with open_engine() as engine:
        engine.register("events", pa.Table.from_pylist(events, EVENT_SCHEMA))
        assert engine.rows(f"select day, last_plan from ({session_days_sql('events')})") == [(day, plan)]


def test_the_sql_keeps_to_the_functions_every_engine_has() -> None:
    allowed = {"sum", "count", "min", "max", "coalesce", "nullif", "least", "sqrt", "cast", "floor", "case", "if",
               "row_number", "lag", "and", "or"}  # fmt: skip
    for text in (
        session_days_sql("events", known_before_ms=5),
        features_sql("sd", "snapshots"),
        totals_sql("sd", ("ended", "totals")),
        features_from_totals_sql(AS_OF_DAY, ["a", "b", "c", "d"]),
    ):
        tree = sqlglot.parse_one(text, dialect="duckdb")
        assert {f.sql_name().lower() for f in tree.find_all(sql.Func)} <= allowed
        assert not list(tree.find_all(sql.Anonymous, sql.Filter, sql.Qualify))
        assert sqlglot.parse_one(tree.sql(dialect="spark"), dialect="spark").named_selects == tree.named_selects


def test_each_feature_is_said_as_an_analyst_would() -> None:
    def said(name: str, value: float) -> str:
        return _NAMED[name].said(value)

    assert said("time_since_last_activity", 12.4) == "12 days since the last visit"
    assert said("time_since_last_activity", 1.0) == "1 day since the last visit"
    assert said("time_since_last_activity", 3.27) == "3.3 days since the last visit"
    assert said("thumbs_down_ratio", 0.034) == "3.4 dislikes per 100 songs"
    assert said("avg_session_duration", 5_440) == "91 minutes a visit"
    assert said("total_songs_played", 1234) == "1,234 songs played so far"
    assert said("is_paid_user", 1) == "on the paid plan"
    assert said("is_paid_user", 0) == "on the free plan"
    assert said("sessions_trend_7d", 0.25) == "visits in the last 7 days at 25% of the 4-week rate"
    assert said("help_28d", 1) == "1 help page in the last 28 days"
    assert said("active_days_7d", 1) == "1 active day in the last 7"


@pytest.mark.parametrize(
    ("value", "number"),
    [(0, "0"), (3, "3"), (3.0, "3"), (2.5, "2.5"), (0.5, "0.5"), (0.034, "0.03"), (0.001, "less than 0.01"),
     (0.996, "1"), (9.94, "9.9"), (9.96, "10"), (12.7, "13"), (1_234_567, "1,234,567")],
)  # fmt: skip
def test_numbers_have_the_digits_that_matter(value: float, number: str) -> None:
    assert _NAMED["gap_mean"].number(value) == number
    assert _NAMED["is_paid_user"].number(1) == "paid"
    assert _NAMED["session_time_7d"].number(value * 60) == number


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
def test_a_definition_is_complete(feature: Feature) -> None:
    assert feature.minimum <= feature.example <= feature.maximum
    assert feature.example == int(feature.example) or not feature.whole
    assert feature.phrase.count("{}") == 1
    assert feature.meaning
    assert feature.unit


def test_names_are_unique_and_the_core_comes_first() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)
    assert FEATURES[:13] == CORE_FEATURES
    assert FEATURES[13:] == EXTENDED_FEATURES


def test_the_page_about_the_features_is_up_to_date() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == feature_table(), "python -m churn.core.feature_table > docs/features.md"


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
