"""What features cost from the events, from the pre-aggregates, and by plain SQL; a fresh process each, best of some.

``python -m benchmarks.scale_features WAY HOME AS_OF`` is one such process; it says `start` and `stop` around what
counts. The home's pre-aggregates are removed and made again: measure on a copy. Other work on the machine only adds,
so that the least of some times is told, and the largest of some peaks; figures are to be compared within one
measurement.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.plain_features import features_sql as plain_core_sql
from benchmarks.plain_features import mark, say
from benchmarks.scale_data import lived
from benchmarks.scale_process import Cost, best, measured
from churn.core.features import FEATURES, features_sql, session_days_sql
from churn.io.contracts import load_contract
from churn.io.engines.duckdb import open_engine
from churn.io.lake import Lake
from churn.io.point_in_time import features_at, panel_at
from churn.io.session_days import SESSION_DAYS, kept_session_days
from churn.io.totals import TOTALS
from churn.settings import REPOSITORY

SNAPSHOTS = 8
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True)
class Ratio:
    """Of one way's cost to another's."""

    processor: float
    clock: float


@dataclass(frozen=True)
class FeatureFigures:
    """Each the best of some, over the same log. All features, where no others are named."""

    repeats: int

    events: int
    """Before the cut-off."""
    days: int
    customers: int
    """At risk at the cut-off."""
    one: Cost
    """One cut-off from the events, nothing is kept yet; pre-aggregates and totals are made and kept."""
    plain_core: Cost
    """The 13 core features by one plain statement."""
    plain_all: Cost
    """All by one plain statement."""
    eight: Cost
    """Eight weekly cut-offs, no pre-aggregate there."""
    eight_with_labels: Cost
    """The same eight as a panel: with what became of each customer within a week."""
    eight_passes: Cost
    """Eight cut-offs, each from the events by itself."""
    rebuild: Cost
    """One cut-off from the events in one pass; nothing is kept."""
    night: Cost
    """One cut-off after those of the days before: the last day is new."""
    second_night: Cost
    """The same where the day before was the first: totals of three more days have to be made."""

    @property
    def one_to_plain_core(self) -> Ratio:
        return _ratio(self.one, self.plain_core)

    @property
    def one_to_plain_all(self) -> Ratio:
        return _ratio(self.one, self.plain_all)

    @property
    def eight_to_passes(self) -> Ratio:
        return _ratio(self.eight, self.eight_passes)

    @property
    def labels_to_passes(self) -> Ratio:
        return _ratio(self.eight_with_labels, self.eight_passes)

    @property
    def night_to_one(self) -> Ratio:
        return _ratio(self.night, self.one)

    @property
    def night_to_rebuild(self) -> Ratio:
        return _ratio(self.night, self.rebuild)


def measure(home: Path, as_of: date, *, repeats: int = 3) -> FeatureFigures:
    """All of them, in turn. ``home`` is a data home of its own for this: its pre-aggregates come and go."""
    files = Lake(home).event_files(before=as_of)
    costs: dict[str, list[Cost]] = {}
    for _ in range(repeats):
        for way in _WAYS:
            command = [sys.executable, "-m", "benchmarks.scale_features", way, str(home), str(as_of)]
            costs.setdefault(way, []).append(measured(command, folder=REPOSITORY))
    return FeatureFigures(
        repeats=repeats,
        events=sum(pq.read_metadata(file).num_rows for file in files),
        days=len(files),
        customers=int(costs["one"][0].said),
        **{way: best(of) for way, of in costs.items()},
    )


def plain_all_sql(as_of_day: int) -> str:
    """All features of one cut-off by one statement over ``events``, as somebody writes it who wants them once."""
    counts = {
        "plays": "kind = 'play'", "likes": "kind = 'like'", "dislikes": "kind = 'dislike'",
        "playlist_adds": "kind = 'add_to_playlist'", "friend_adds": "kind = 'add_friend'",
        "adverts": "kind = 'advert'", "errors": "kind = 'error'", "helps": "kind = 'help'",
        "upgrades": "kind = 'upgrade'", "downgrades": "kind = 'downgrade'", "cancels": "kind = 'cancel'",
        "free_plays": "kind = 'play' and plan = 'free'", "free_adverts": "kind = 'advert' and plan = 'free'",
    }  # fmt: skip
    spans = {"": "true"} | {f"_{days}d": f"day >= {as_of_day - days}" for days in (7, 14, 28)}
    counted = ", ".join(f"count(case when {sql} then 1 end) as {name}" for name, sql in counts.items())
    summed = ", ".join(
        f"cast(sum(case when {when} then {name} else 0 end) as bigint) as {name}{span}"
        for name in counts for span, when in spans.items()
    )  # fmt: skip
    begun = ", ".join(f"count(case when {when} and nth = 1 then 1 end) as sessions{s}" for s, when in spans.items())
    spent = ", ".join(
        f"cast(sum(case when {when} then last_ms - coalesce(before_ms, first_ms) else 0 end) as bigint) "
        f"as session_ms{s}" for s, when in spans.items()
    )  # fmt: skip
    active = ", ".join(f"count(case when {when} then 1 end) as active_days{s}" for s, when in spans.items())
    features = ", ".join(f"cast(coalesce({f.sql}, 0) as double) as {f.name}" for f in FEATURES)
    return f"""
with parts as (
  select customer_id, session_id, ts_ms // 86400000 as day,
    min(ts_ms) as first_ms, max(ts_ms) as last_ms, min(registered_ms) as registered_ms,
    max_by(plan, row(ts_ms, item_in_session, kind, plan)) as plan, {counted}
  from events group by all
), sessions as (
  select *, lag(last_ms) over one as before_ms, row_number() over one as nth
  from parts window one as (partition by customer_id, session_id order by day)
), totals as (
  select customer_id, min(first_ms) as first_ms, max(last_ms) as last_ms,
    coalesce(min(registered_ms), min(first_ms)) as registered_ms,
    max_by(plan, row(last_ms, session_id)) as last_plan, min(day) as first_day, max(day) as last_day,
    max(case when upgrades + downgrades > 0 then day end) as changed_day, {summed}, {begun}, {spent}
  from sessions group by customer_id
), days as (
  select customer_id, day, day - lag(day) over (partition by customer_id order by day) as gap
  from (select distinct customer_id, day from parts)
), visits as (
  select customer_id, count(gap) as gaps, max(gap) as gap_max, cast(sum(gap) as bigint) as gap_days,
    cast(sum(gap * gap) as bigint) as gap_squares, {active}
  from days group by customer_id
), customers as (
  select *, {as_of_day}::bigint as as_of_day, {as_of_day}::bigint * 86400000 as as_of_ms
  from totals join visits using (customer_id)
)
select customer_id, {features} from customers where cancels = 0 and registered_ms < as_of_ms order by customer_id"""


def _one(home: Path, as_of: date) -> pa.Table:
    return features_at(Lake(home), as_of)


def _plain_core(home: Path, as_of: date) -> pa.Table:
    with open_engine({"events": Lake(home).event_files(before=as_of)}) as engine:
        return engine.table(plain_core_sql("events", _day(as_of)).replace("struct(", "row("))


def _plain_all(home: Path, as_of: date) -> pa.Table:
    with open_engine({"events": Lake(home).event_files(before=as_of)}) as engine:
        return engine.table(plain_all_sql(_day(as_of)))


def _eight(home: Path, as_of: date) -> pa.Table:
    with open_engine() as engine:
        engine.view("session_days", kept_session_days(Lake(home).event_files(before=as_of), engine))
        engine.register("snapshots", pa.table({"as_of_day": pa.array(map(_day, _weeks(as_of)), pa.int64())}))
        return engine.table(f"{features_sql('session_days', 'snapshots')} order by as_of_day, customer_id")


def _eight_with_labels(home: Path, as_of: date) -> pa.Table:
    contract = load_contract("sparkify").model_copy(update={"horizon_days": _WEEK.days})
    return panel_at(Lake(home), as_of, [day - _WEEK for day in _weeks(as_of)], contract)


def _eight_passes(home: Path, as_of: date) -> pa.Table:
    return pa.concat_tables(reversed([_rebuild(home, day) for day in _weeks(as_of)]))


def _rebuild(home: Path, as_of: date) -> pa.Table:
    with open_engine({"events": Lake(home).event_files(before=as_of)}) as engine:
        engine.register("snapshots", pa.table({"as_of_day": pa.array([_day(as_of)], pa.int64())}))
        found = features_sql(f"({session_days_sql('events')})", "snapshots")
        return engine.table(f"{found} order by as_of_day, customer_id")


_WAYS: dict[str, Callable[[Path, date], pa.Table]] = {
    "one": _one, "plain_core": _plain_core, "plain_all": _plain_all, "eight": _eight,
    "eight_with_labels": _eight_with_labels, "eight_passes": _eight_passes, "rebuild": _rebuild,
    "night": _one, "second_night": _one,
}  # fmt: skip
_WITHOUT_ANY = ("one", "eight", "eight_with_labels")
_NIGHTS = ("night", "second_night")


def _weeks(as_of: date) -> list[date]:
    return [as_of - week * _WEEK for week in range(SNAPSHOTS)]


def _day(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _ratio(cost: Cost, to: Cost) -> Ratio:
    one, other = cost.between, to.between
    return Ratio(one.processor_seconds / other.processor_seconds, one.seconds / other.seconds)


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def main(way: str, home: Path, as_of: date) -> None:
    """One process: says how many rows it found."""
    lake = Lake(home)
    totals, days = lake.events / TOTALS, lake.events / SESSION_DAYS
    if way in _WITHOUT_ANY:
        _remove(days, totals)
    elif way in _NIGHTS:
        _remove(days / f"date={as_of - _DAY}", totals)
        if way == "night":
            lived(home, as_of - _DAY)
        else:
            features_at(lake, as_of - _DAY)
    mark("start")
    found = _WAYS[way](home, as_of)
    mark("stop")
    say(str(found.num_rows))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), date.fromisoformat(sys.argv[3]))
