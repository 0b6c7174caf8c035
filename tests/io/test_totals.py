"""Totals that are carried from night to night: the features that one statement over the whole log finds, to the bit."""

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import churn.io.totals
from churn.core.events import DAY_MS
from churn.core.features import LOOK_BACKS, features_sql, session_days_sql
from churn.errors import NotReady
from churn.io.engines.duckdb import DuckDBEngine, open_engine
from churn.io.lake import Lake, write_parquet
from churn.io.point_in_time import features_at
from churn.io.session_days import kept_session_days
from churn.io.totals import TOTALS, _kept, _Log
from tests.core.feature_rows import EVENT_SCHEMA, Event, event, events_between

_FIRST = 60
_DAYS = range(_FIRST, _FIRST + 45)


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)


def _write(lake: Lake, day: int, events: list[Event]) -> None:
    write_parquet(lake.event_partition(_date(day)), pa.Table.from_pylist(events, EVENT_SCHEMA))


def _lake(home: Path, events: list[Event]) -> Lake:
    """The first of the days is there in any case."""
    lake = Lake(home)
    for day in {_FIRST} | {e["ts_ms"] // DAY_MS for e in events}:
        _write(lake, day, [e for e in events if e["ts_ms"] // DAY_MS == day])
    return lake


def _in_one_go(lake: Lake, day: int) -> pa.Table:
    with open_engine({"events": lake.event_files(before=_date(day))}) as engine:
        engine.execute(f"create temp table session_days as {session_days_sql('events')}")
        engine.register("snapshots", pa.table({"as_of_day": pa.array([day], pa.int64())}))
        return engine.table(f"{features_sql('session_days', 'snapshots')} order by customer_id").drop("as_of_day")


def _songs(lake: Lake, day: int) -> dict[str, float]:
    found = features_at(lake, _date(day)).to_pydict()
    return dict(zip(found["customer_id"], found["total_songs_played"], strict=True))


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Path]:
    return (tmp_path / str(n) for n in count())


_SEEN = events_between(_FIRST * DAY_MS, _DAYS[-1] * DAY_MS)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    events=st.lists(_SEEN, max_size=40),
    late=st.lists(_SEEN, max_size=3),
    nights=st.lists(st.sampled_from(_DAYS[1:]), min_size=1, max_size=6),
    gone=st.sets(st.sampled_from(_DAYS[1:]), max_size=5),
)
def test_nights_in_any_order_find_what_one_statement_over_the_log_finds(
    homes: Iterator[Path], events: list[Event], late: list[Event], nights: list[int], gone: set[int]
) -> None:
    lake = _lake(next(homes), events)
    for night in nights:
        assert features_at(lake, _date(night)).equals(_in_one_go(lake, night))
    lake = _lake(lake.home, events + late)  # events may come late
    for night in nights:
        assert features_at(lake, _date(night)).equals(_in_one_go(lake, night))
    for day in gone:  # and days may leave the log
        lake.event_partition(_date(day)).unlink(missing_ok=True)
    for night in nights:
        assert features_at(lake, _date(night)).equals(_in_one_go(lake, night))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = Lake(tmp_path_factory.mktemp("lived"))
    for day in _DAYS[:40]:
        _write(lake, day, [event("a", day * DAY_MS, session_id=str(day))])
        features_at(lake, _date(day + 1))
    return lake.home


@pytest.fixture
def lake(home: Path, tmp_path: Path) -> Lake:
    """A customer who comes every day, and 40 nights that were lived."""
    return Lake(shutil.copytree(home, tmp_path / "home"))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The days that are added to totals from now on, each time some are."""
    seen: list[list[int]] = []
    view = DuckDBEngine.view

    def noted(self: DuckDBEngine, name: str, paths: list[Path]) -> None:
        if name == "new_days":
            days = (date.fromisoformat(path.parent.name.removeprefix("date=")) for path in paths)
            seen.append([(day - date(1970, 1, 1)).days for day in days])
        view(self, name, paths)

    monkeypatch.setattr(DuckDBEngine, "view", noted)
    return seen


def test_a_night_adds_its_own_day_alone_and_the_same_night_again_none(lake: Lake, read: list[list[int]]) -> None:
    _write(lake, 100, [event("a", 100 * DAY_MS), event("b", 100 * DAY_MS)])
    assert _songs(lake, 101) == {"a": 41, "b": 1}
    assert read == [[100]]
    assert _songs(lake, 101) == {"a": 41, "b": 1}
    assert read == [[100]]


def test_a_night_after_days_without_any_event_adds_nothing(lake: Lake, read: list[list[int]]) -> None:
    assert _songs(lake, 103) == {"a": 40}
    assert read == []


def test_the_first_night_looks_at_no_day_twice(tmp_path: Path, read: list[list[int]]) -> None:
    lake = _lake(tmp_path, [event("a", day * DAY_MS) for day in _DAYS[:40]])
    assert _songs(lake, 100) == {"a": 40}
    assert [day for days in read for day in days] == list(_DAYS[:40])
    assert [days[-1] + 1 for days in read] == sorted(100 - back for back in LOOK_BACKS)


def test_a_late_event_makes_the_totals_from_its_day_on_anew(lake: Lake, read: list[list[int]]) -> None:
    _write(lake, 95, [event("a", 95 * DAY_MS), event("b", 95 * DAY_MS)])
    assert _songs(lake, 100) == {"a": 40, "b": 1}
    assert read == [[95, 96, 97, 98, 99]]
    assert _songs(lake, 94) == {"a": 34}
    assert read == [[95, 96, 97, 98, 99]]


def test_a_day_that_leaves_the_log_leaves_the_totals(lake: Lake, read: list[list[int]]) -> None:
    lake.event_partition(_date(_FIRST)).unlink()
    assert _songs(lake, 100) == {"a": 39}
    assert [day for days in read for day in days] == list(_DAYS[1:40])


def test_another_definition_makes_them_anew(lake: Lake, read: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FIRST", "_NEXT"):
        text = getattr(churn.io.totals, name)
        monkeypatch.setattr(churn.io.totals, name, text.replace("sum(plays)", "sum(plays * 2)"))
    assert _songs(lake, 100) != {"a": 40}
    assert [day for days in read for day in days] == list(_DAYS[:40])


@pytest.mark.parametrize("damage", ["none", "empty", "half", "end"])
def test_what_is_no_totals_is_replaced(lake: Lake, read: list[list[int]], damage: str) -> None:
    (path,) = (lake.events / TOTALS / f"as_of={_date(100)}").iterdir()
    whole = path.read_bytes()
    content = {"empty": b"", "half": whole[: len(whole) // 2], "end": whole[:-40] + b"\xff" * 30 + whole[-10:]}
    path.unlink() if damage == "none" else path.write_bytes(content[damage])
    assert _songs(lake, 100) == {"a": 40}
    assert read == [[99]]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("table", ["new_days", "totals_before", "days_before", "totals_28"])
def test_who_looked_at_the_log_before_an_event_came_late_spoils_no_night(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """Two processes: one has seen the events as they were, and writes what it made of them while the other reads."""
    with open_engine() as engine:
        slow = _Log(lake, kept_session_days(lake.event_files(before=_date(100)), engine))
    _write(lake, 70, [event("a", 70 * DAY_MS, session_id="70"), event("late", 70 * DAY_MS)])
    view = DuckDBEngine.view

    def meanwhile(self: DuckDBEngine, name: str, paths: list[Path]) -> None:
        if name == table:
            monkeypatch.setattr(DuckDBEngine, "view", view)
            with open_engine() as engine:
                for days in range(1, 41):
                    slow.totals(days).unlink(missing_ok=True)
                    _kept(slow, days, engine)
        view(self, name, paths)

    monkeypatch.setattr(DuckDBEngine, "view", meanwhile)
    for night in (100, 100, 101, 102):
        assert features_at(lake, _date(night)).equals(_in_one_go(lake, night))
        assert _songs(lake, night)["late"] == 1
        _write(lake, night, [event("b", night * DAY_MS)])


def test_a_session_that_comes_back_after_weeks_is_one_session_still(tmp_path: Path) -> None:
    lake = _lake(tmp_path, [event("a", 61 * DAY_MS), event("a", 62 * DAY_MS, session_id="other")])
    for day in range(62, 104):
        features_at(lake, _date(day))
    _write(lake, 103, [event("a", 103 * DAY_MS)])
    found = features_at(lake, _date(104)).to_pydict()
    assert (found["total_sessions"], found["sessions_28d"]) == ([2], [0])
    assert found["session_time_28d"] == [(103 - 61) * 86_400]


def test_before_the_first_event_there_are_none(lake: Lake) -> None:
    with pytest.raises(NotReady):
        features_at(lake, _date(_FIRST))
