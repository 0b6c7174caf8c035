"""Nothing is known before it happened: features, labels and panels, by property, and that these tests can fail.

Every property holds bit for bit. Each is also run against altered SQL, which it must catch.
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

import churn.io.point_in_time
from churn.core.events import DAY_MS, KINDS
from churn.core.features import FEATURE_NAMES, features_sql
from churn.core.labels import labels_sql, plan_panel
from churn.errors import BadInput, NotReady
from churn.io.lake import Lake, write_parquet
from churn.settings import Settings
from churn.steps.build_features import build_features
from churn.steps.build_panel import build_panel
from tests.core.feature_rows import AS_OF, AS_OF_DAY, EVENT_SCHEMA, Event, event, events_between, features, labels

HORIZON = 14
CUT_OFFS = (AS_OF_DAY - 10, AS_OF_DAY - 3, AS_OF_DAY)

Build = Callable[[str, str], str]

_FATES = ("keep", "drop", "alter")


@st.composite
def changed(
    draw: st.DrawFn, events: list[Event], first_ms: int, end_ms: int, kinds: Iterable[str] = KINDS
) -> list[Event]:
    """The events with those in [first, end) kept, dropped or altered, and others added there."""
    anything = events_between(first_ms, end_ms, kinds=kinds)
    result = []
    for e in events:
        if not first_ms <= e["ts_ms"] < end_ms or (fate := draw(st.sampled_from(_FATES))) == "keep":
            result.append(e)
        elif fate == "alter":
            result.append(draw(anything) | {"customer_id": e["customer_id"]})
    return result + draw(st.lists(anything, max_size=6))


def bits(row: dict[str, float]) -> dict[str, str]:
    """Two numbers that are equal can differ in a bit: 0 and -0."""
    return {name: float(value).hex() for name, value in row.items()}


def search(examples: int, *, until_found: bool = False) -> settings:
    """How long to look; a search that must find something need not make it small."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=until_found,
        phases=[Phase.generate] if until_found else list(Phase),
        suppress_health_check=list(HealthCheck),
    )


def features_do_not_see_ahead(how: settings, sql: Build = features_sql) -> None:
    end = AS_OF + 5 * DAY_MS

    @how
    @given(st.data())
    def check(data: st.DataObject) -> None:
        events = data.draw(st.lists(events_between(AS_OF - 20 * DAY_MS, end), max_size=25))
        cut_off = data.draw(st.sampled_from(CUT_OFFS))
        other = data.draw(changed(events, cut_off * DAY_MS, end))
        before, after = (
            {key: bits(row) for key, row in features(es, *CUT_OFFS, sql=sql).items() if key[0] <= cut_off}
            for es in (events, other)
        )
        assert before == after

    check()


def labels_do_not_see_beyond_their_window(how: settings, sql: Callable[[str], str] = lambda text: text) -> None:
    horizon = 3  # days: so short that the events, few as they are, fall on both sides of each edge
    first, start, stop, end = (AS_OF + days * DAY_MS for days in (-3, 0, horizon, horizon + 3))
    kinds = ("play", "cancel", "downgrade")

    def at_risk(events: list[Event]) -> set[str]:
        seen = [e for e in events if e["ts_ms"] < AS_OF]
        return {e["customer_id"] for e in seen} - {e["customer_id"] for e in seen if e["kind"] == "cancel"}

    @how
    @given(st.data(), st.sampled_from(["cancel", "lapse"]))
    def check(data: st.DataObject, churn: str) -> None:
        events = data.draw(st.lists(events_between(first, end, kinds=kinds), max_size=12))
        other = data.draw(changed(data.draw(changed(events, first, start, kinds)), stop, end, kinds))
        both = at_risk(events) & at_risk(other)
        before, after = (labels(es, churn, horizon, sql=sql) for es in (events, other))
        assert {c: before[c] for c in both} == {c: after[c] for c in both}

    check()


def test_no_event_at_or_after_a_cut_off_changes_a_feature_by_a_bit() -> None:
    features_do_not_see_ahead(search(40))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("d.day < s.as_of_day", "d.day <= s.as_of_day"),
        ("lag(last_ms)", "lead(last_ms)"),
        ("lag(day)", "lead(day)"),
    ],
)
def test_a_feature_that_sees_ahead_is_caught(right: str, wrong: str) -> None:
    assert features_sql("sd", "s").count(right) == 1
    with pytest.raises(AssertionError):
        features_do_not_see_ahead(
            search(200, until_found=True), lambda *tables: features_sql(*tables).replace(right, wrong)
        )


def test_a_label_depends_on_the_events_within_its_window_only() -> None:
    labels_do_not_see_beyond_their_window(search(30))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("d.day < c.as_of_day", "d.day <= c.as_of_day"),
        ("d.day >= c.as_of_day", "d.day >= c.as_of_day - 1"),
    ],
)
def test_a_label_that_looks_beyond_its_window_is_caught(right: str, wrong: str) -> None:
    def altered(text: str) -> str:
        return text.replace(right, wrong)

    assert labels_sql("sd", "c", churn="cancel", horizon_days=3).count(right) == 1
    with pytest.raises(AssertionError):
        labels_do_not_see_beyond_their_window(search(200, until_found=True), altered)


@search(25)
@given(events=st.lists(events_between(AS_OF - 20 * DAY_MS, AS_OF + 5 * DAY_MS), max_size=25))
def test_what_arrived_late_is_as_if_it_had_not_happened(events: list[Event]) -> None:
    on_time = [e for e in events if e["ingested_ms"] < AS_OF]
    then, now = features(events, *CUT_OFFS, known_before_ms=AS_OF), features(on_time, *CUT_OFFS)
    assert {key: bits(row) for key, row in then.items()} == {key: bits(row) for key, row in now.items()}


@given(
    first=st.dates(date(2000, 1, 1), date(2030, 1, 1)),
    length=st.integers(0, 800),
    horizon=st.integers(1, 365),
    snapshots=st.integers(1, 20),
    step=st.integers(1, 60),
)
def test_a_plan_leaves_a_horizon_before_the_hold_out_and_before_the_end(
    first: date, length: int, horizon: int, snapshots: int, step: int
) -> None:
    as_of, days = first + timedelta(days=length), timedelta(days=horizon)
    try:
        plan = plan_panel(as_of, first, horizon_days=horizon, snapshots=snapshots, step_days=step)
    except BadInput:
        assert length < 2 * horizon + step
        assume(False)
    assert plan.holdout - max(plan.training) >= days
    assert max(plan.snapshots) + days <= as_of
    assert all(cut_off > first for cut_off in plan.snapshots)


# Through the steps, with partitions on disk. One customer comes every day, so that the log never ends early.

LOG_STARTS = AS_OF_DAY - 60
TRAINING = (AS_OF_DAY - 42, AS_OF_DAY - 35, AS_OF_DAY - 28)
HELD_OUT = AS_OF_DAY - HORIZON
_IN_LOG = st.lists(events_between(LOG_STARTS * DAY_MS, AS_OF + 10 * DAY_MS), max_size=30)


def day_of(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)


def daily(end_day: int) -> list[Event]:
    return [
        event("z", d * DAY_MS + d, session_id=str(d), registered_ms=0, ingested_ms=0)
        for d in range(LOG_STARTS, end_day)
    ]


class Homes:
    """A fresh data home for every log."""

    def __init__(self, root: Path) -> None:
        self.root, self.made = root, 0

    def of(self, events: list[Event]) -> Settings:
        self.made += 1
        home = self.root / str(self.made)
        by_day = sorted(events, key=lambda e: e["ts_ms"] // DAY_MS)
        for number, of_day in groupby(by_day, key=lambda e: e["ts_ms"] // DAY_MS):
            table = pa.Table.from_pylist(list(of_day), EVENT_SCHEMA)
            write_parquet(Lake(home).event_partition(day_of(number)), table)
        return Settings(home=home, panel_snapshots=len(TRAINING), _env_file=None)  # type: ignore[call-arg]

    def panel(self, events: list[Event]) -> dict[tuple[int, str], dict[str, Any]]:
        table = pq.ParquetFile(build_panel(self.of(events), day_of(AS_OF_DAY)).path).read()
        return {((r.pop("as_of") - date(1970, 1, 1)).days, r.pop("customer_id")): r for r in table.to_pylist()}


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    return Homes(tmp_path_factory.mktemp("homes"))


@search(10)
@given(data=st.data(), goes_on=st.integers(0, 10))
def test_no_event_at_or_after_the_date_changes_a_byte_of_a_panel_or_of_features(
    homes: Homes, data: st.DataObject, goes_on: int
) -> None:
    events = data.draw(_IN_LOG)
    other = data.draw(changed(events, AS_OF, AS_OF + 10 * DAY_MS))
    one, two = homes.of(events + daily(AS_OF_DAY + 10)), homes.of(other + daily(AS_OF_DAY + goes_on))
    for step in (build_panel, build_features):
        before, after = (Path(step(s, day_of(AS_OF_DAY)).path).read_bytes() for s in (one, two))
        assert before == after


def panel_rows_do_not_see_ahead(how: settings, homes: Homes) -> None:
    @how
    @given(st.data(), st.sampled_from((*TRAINING, HELD_OUT)), st.booleans())
    def check(data: st.DataObject, cut_off: int, with_label: bool) -> None:
        events = data.draw(_IN_LOG)
        from_day = cut_off + HORIZON if with_label else cut_off
        until_day = data.draw(st.sampled_from([from_day + 2, AS_OF_DAY + 10]))
        other = data.draw(changed(events, from_day * DAY_MS, until_day * DAY_MS))
        columns = (*FEATURE_NAMES, "churned") if with_label else FEATURE_NAMES
        before, after = (
            {
                key: bits({name: row[name] for name in columns})
                for key, row in homes.panel(es + daily(AS_OF_DAY + 1)).items()
                if key[0] <= cut_off
            }
            for es in (events, other)
        )
        assert before == after
        assert (cut_off, "z") in before

    check()


@pytest.mark.slow
def test_a_panel_row_changes_by_no_bit_with_what_came_after_its_cut_off_and_horizon(homes: Homes) -> None:
    panel_rows_do_not_see_ahead(search(12), homes)


@pytest.mark.slow
def test_a_panel_that_sees_ahead_is_caught(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(session_days: str, snapshots: str) -> str:
        return features_sql(session_days, snapshots).replace("d.day < s.as_of_day", "d.day <= s.as_of_day")

    monkeypatch.setattr(churn.io.point_in_time, "features_sql", leaky)
    with pytest.raises(AssertionError):
        panel_rows_do_not_see_ahead(search(100, until_found=True), homes)


@pytest.mark.slow
@search(10)
@given(events=_IN_LOG)
def test_a_past_run_is_reproduced_without_what_arrived_later(homes: Homes, events: list[Event]) -> None:
    def built(log: list[Event], known_at: Literal["now", "then"]) -> bytes:
        report = build_features(homes.of(log + daily(AS_OF_DAY)), day_of(AS_OF_DAY), known_at=known_at)
        return Path(report.path).read_bytes()

    on_time = [e for e in events if e["ingested_ms"] < AS_OF]
    assert built(events, "then") == built(on_time, "now")
    late = [e | {"ingested_ms": AS_OF} for e in daily(AS_OF_DAY)]
    with pytest.raises(NotReady, match="known then"):
        build_features(homes.of(late), day_of(AS_OF_DAY), known_at="then")
