"""The pre-aggregate beside each day's events: made once, made anew when anything it was made of is another."""

import os
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import churn.io.session_days
from churn.errors import BadInput
from churn.io.engines.duckdb import DuckDBEngine
from churn.io.lake import Lake, write_parquet
from churn.io.point_in_time import everyone_at, features_at
from churn.io.session_days import session_days_path
from tests.core.feature_rows import EVENT_SCHEMA, event

_DAY_MS = 86_400_000
FIRST, LAST, AS_OF = date(1970, 4, 9), date(1970, 4, 10), date(1970, 4, 11)


def _write(lake: Lake, day: date, *customers: str, kind: str = "play", plan: str = "free") -> None:
    at = (day - date(1970, 1, 1)).days * _DAY_MS
    events = [event(customer, at + i, kind, plan=plan) for i, customer in enumerate(customers)]
    write_parquet(lake.event_partition(day), pa.Table.from_pylist(events, EVENT_SCHEMA))


def _kept(lake: Lake, day: date) -> Path:
    return session_days_path(lake.event_partition(day))


def _found(lake: Lake, name: str = "total_songs_played") -> dict[str, float]:
    found = features_at(lake, AS_OF).to_pydict()
    return dict(zip(found["customer_id"], found[name], strict=True))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    _write(lake, FIRST, "a", "a", "b")
    _write(lake, LAST, "a")
    assert _found(lake) == {"a": 3, "b": 1}
    return lake


@pytest.fixture
def aggregated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The days whose events are looked at from now on."""
    seen: list[str] = []
    view = DuckDBEngine.view

    def noted(self: DuckDBEngine, name: str, paths: list[Path]) -> None:
        if name == "day_events":
            seen.extend(path.parent.name for path in paths)
        view(self, name, paths)

    monkeypatch.setattr(DuckDBEngine, "view", noted)
    return seen


def test_the_next_night_looks_at_its_own_day_only(lake: Lake, aggregated: list[str]) -> None:
    assert _found(lake) == {"a": 3, "b": 1}
    assert everyone_at(lake, AS_OF).num_rows == 2
    assert aggregated == []
    _write(lake, date(1970, 4, 11), "b")
    assert features_at(lake, date(1970, 4, 12)).num_rows == 2
    assert aggregated == ["date=1970-04-11"]


def test_a_day_whose_events_changed_is_made_anew(lake: Lake, aggregated: list[str]) -> None:
    _write(lake, FIRST, "a", "b", "b", "c")
    assert _found(lake) == {"a": 2, "b": 2, "c": 1}
    assert aggregated == [f"date={FIRST}"]


@pytest.mark.parametrize("same", ["size", "time"])
def test_nor_is_one_used_whose_events_only_look_the_same(lake: Lake, aggregated: list[str], same: str) -> None:
    path = lake.event_partition(LAST)
    before = path.stat()
    _write(lake, LAST, "a", plan="paid") if same == "size" else _write(lake, LAST, "a", "a")
    if same == "time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        assert path.stat().st_size == before.st_size
    assert _found(lake, "is_paid_user")["a"] == (same == "size")
    assert _found(lake)["a"] == (3 if same == "size" else 4)
    assert aggregated == [f"date={LAST}"]


def test_another_definition_makes_it_anew(lake: Lake, aggregated: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    other = churn.io.session_days._SQL.replace("cast(kind = 'play' as integer)", "2 * cast(kind = 'play' as integer)")
    monkeypatch.setattr(churn.io.session_days, "_SQL", other)
    assert _found(lake) == {"a": 6, "b": 2}
    assert aggregated == [f"date={FIRST}", f"date={LAST}"]


@pytest.mark.parametrize("damage", ["none", "empty", "half", "end"])
def test_what_is_no_pre_aggregate_is_replaced(lake: Lake, aggregated: list[str], damage: str) -> None:
    path = _kept(lake, FIRST)
    whole = path.read_bytes()
    content = {"empty": b"", "half": whole[: len(whole) // 2], "end": whole[:-40] + b"\xff" * 30 + whole[-10:]}
    path.unlink() if damage == "none" else path.write_bytes(content[damage])
    assert _found(lake) == {"a": 3, "b": 1}
    assert aggregated == [f"date={FIRST}"]
    assert path.read_bytes() == whole


def test_what_was_known_then_is_never_taken_from_it(lake: Lake) -> None:
    at = (LAST - date(1970, 1, 1)).days * _DAY_MS
    events = [event("a", at), event("b", at, ingested_ms=at + 5 * _DAY_MS)]
    write_parquet(lake.event_partition(LAST), pa.Table.from_pylist(events, EVENT_SCHEMA))
    assert _found(lake) == {"a": 3, "b": 2}
    then = features_at(lake, AS_OF, known_at="then").to_pydict()
    assert dict(zip(then["customer_id"], then["total_songs_played"], strict=True)) == {"a": 3, "b": 1}


@pytest.mark.parametrize("at_once", [1, 1 << 28])
def test_days_that_are_missing_are_made_together_and_no_more_than_fit(
    lake: Lake, aggregated: list[str], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(churn.io.session_days, "_AT_ONCE", at_once)
    views = []
    view = DuckDBEngine.view
    monkeypatch.setattr(DuckDBEngine, "view", lambda self, name, paths: views.append(name) or view(self, name, paths))
    whole = {day: _kept(lake, day).read_bytes() for day in (FIRST, LAST)}
    for day in whole:
        _kept(lake, day).unlink()
    assert _found(lake) == {"a": 3, "b": 1}
    assert {day: _kept(lake, day).read_bytes() for day in whole} == whole
    assert aggregated == [f"date={FIRST}", f"date={LAST}"]
    assert views.count("day_events") == (2 if at_once == 1 else 1)


@pytest.mark.parametrize("days", [-1, 1])
def test_an_event_in_another_day_s_partition_is_refused_and_nothing_is_kept(lake: Lake, days: int) -> None:
    at = (LAST - date(1970, 1, 1)).days * _DAY_MS
    events = [event("a", at), event("a", at + days * _DAY_MS)]
    write_parquet(lake.event_partition(LAST), pa.Table.from_pylist(events, EVENT_SCHEMA))
    with pytest.raises(BadInput, match=f"events of date={LAST} .* hold some of {LAST + timedelta(days=days)}"):
        features_at(lake, AS_OF)
    assert not _kept(lake, LAST).exists()


def test_a_day_without_a_session_in_its_events_is_kept_empty(lake: Lake) -> None:
    _write(lake, FIRST)
    assert _found(lake) == {"a": 1}
    assert pq.ParquetFile(_kept(lake, FIRST)).metadata.num_rows == 0


def test_it_holds_one_row_a_customer_session_and_day(lake: Lake) -> None:
    table = pq.ParquetFile(_kept(lake, FIRST)).read()
    assert table["customer_id"].to_pylist() == ["a", "b"]
    assert table["plays"].to_pylist() == [2, 1]
