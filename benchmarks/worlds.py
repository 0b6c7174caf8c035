"""Simulated services whose true hazards are known, as the feature tables of any night, without files of raw log.

The raw rows of each day become canonical events by the contract's own names and limits, and these the pre-aggregate
that all features are computed from (``churn.core.features.session_days_sql``): what ``churn ingest`` and
``churn features`` give, row for row, which tests/benchmarks/test_decisions.py checks. Everything follows from the
:class:`Service`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churn.core.events import SourceContract
from churn.core.features import features_sql, session_days_sql
from churn.core.labels import labels_sql
from churn.core.simulated_change import Change
from churn.core.simulated_events import Coded, Log, RawTable, customer_ids
from churn.core.simulated_risk import last_visit
from churn.core.simulation import Life, live
from churn.errors import ContractViolation
from churn.io.contracts import load_contract
from churn.io.engines.duckdb import DuckDBEngine, open_engine
from churn.io.lake import write_json, write_parquet

START = date(2026, 1, 5)
"""A Monday."""
_EPOCH = date(1970, 1, 1)
_BATCH_DAYS = 8
"""Days of events that are aggregated at a time: half a million rows."""
_BATCH_NIGHTS = 20
_SMALL = 10
"""As ingestion: so few broken rows are no share."""


@dataclass(frozen=True)
class Service:
    """One simulated service: what :func:`build` needs."""

    seed: int
    customers: int = 3_500
    days: int = 160
    change: Change | None = None

    @property
    def name(self) -> str:
        """Of its folder; equal services have equal names."""
        if self.change is None:
            return f"{self.customers}-{self.days}-{self.seed}"
        what = hashlib.sha256(json.dumps(asdict(self.change), sort_keys=True).encode()).hexdigest()[:10]
        return f"{self.customers}-{self.days}-{self.seed}-{what}"


@dataclass(frozen=True, eq=False)
class World:
    """A service that has been lived. Days are numbers; 0 is the first that is logged."""

    session_days: pa.Table
    """As ``session_days_sql`` gives it."""
    truth: pa.Table
    """``day``, ``customer_id``, ``paid`` (at its start) and ``hazard``, the probability of cancelling on the day."""
    people: pa.Table
    """``customer_id`` and what never changes: ``visits`` a day; per visit, ``last_free`` and ``last_paid``, the
    probability that it is the last on that plan, ``up`` and ``down``, that it changes the plan."""
    change: Change | None
    kinds: dict[int, dict[str, int]] = field(repr=False)
    """Accepted events of each day by kind."""
    unknown: dict[int, dict[str, int]] = field(repr=False)
    """Rows in quarantine of each day by the page that the contract does not know."""


def moment(day: int) -> date:
    """The date of a day's number: as a cut-off, its midnight."""
    return START + timedelta(days=day)


def world_of(service: Service, folder: Path) -> World:
    """The world as it was lived before, or lived now and kept in ``folder``."""
    home = folder / service.name
    counts = home / "counts.json"
    if not counts.is_file():  # written last
        world = build(service)
        write_parquet(home / "session_days.parquet", world.session_days)
        write_parquet(home / "truth.parquet", world.truth)
        write_parquet(home / "people.parquet", world.people)
        write_json(counts, {"kinds": world.kinds, "unknown": world.unknown})
        return world
    found = json.loads(counts.read_text())
    return World(
        pq.read_table(home / "session_days.parquet"),
        pq.read_table(home / "truth.parquet"),
        pq.read_table(home / "people.parquet"),
        service.change,
        *({int(day): of for day, of in found[name].items()} for name in ("kinds", "unknown")),
    )


def build(service: Service, contract: SourceContract | None = None) -> World:
    """Live the service. Raises ContractViolation where ingestion would refuse a day's file."""
    contract = contract or load_contract("sparkify")
    life, days = live(service.customers, service.seed, START, service.days, service.change)
    log, ids = Log(life), pa.array(customer_ids(len(life.gone)))
    aggregated, risks, waiting, paid = [], [], [], life.paid.copy()
    kinds: dict[int, dict[str, int]] = {}
    unknown: dict[int, dict[str, int]] = {}
    with engine() as sql:
        for day in days:
            risks.append(
                pa.table({
                    "day": pa.array(np.full(len(day.at_risk), day.index, np.int32)),
                    "customer_id": ids.take(pa.array(day.at_risk)),
                    "paid": paid[day.at_risk],
                    "hazard": day.hazard,
                })
            )  # fmt: skip
            paid = life.paid.copy()  # at the start of the next day
            events, unknown[day.index] = canonical(log.day(day), contract)
            kinds[day.index] = {c["values"]: c["counts"] for c in pc.value_counts(events["kind"]).to_pylist()}
            waiting.append(events)
            if len(waiting) == _BATCH_DAYS or day.index == service.days - 1:
                sql.register("events", pa.concat_tables(waiting))
                aggregated.append(_named(sql.table(session_days_sql("events")), ids))
                waiting.clear()
    return World(
        pa.concat_tables(aggregated).combine_chunks(),
        pa.concat_tables(risks).combine_chunks(),
        _people(life, ids),
        service.change,
        kinds,
        unknown,
    )


def canonical(table: RawTable, contract: SourceContract) -> tuple[pa.Table, dict[str, int]]:
    """The events that ingestion would accept of a simulated day, and how many rows it would put aside by page.

    Customers and sessions are numbers, which are aggregated in half of the time that texts take.
    """
    page, plan, who, registered = (table[name] for name in ("page", "level", "userId", "registration"))
    assert isinstance(page, Coded) and isinstance(plan, Coded)
    assert isinstance(who, Coded) and isinstance(registered, Coded)
    known = registered.codes >= 0  # a visitor has no registration, as no id
    understood = np.array([name in contract.kinds for name in page.values])[page.codes]
    odd = Counter(page.values[code] for code in page.codes[known & ~understood].tolist())
    broken = sum(odd.values())
    if broken > max(_SMALL, contract.limits.max_bad_share * len(known)):
        raise ContractViolation(f"{broken:,} of {len(known):,} rows have a page that is not known: {dict(odd)}")
    rows = known & understood
    numbers = np.rint(np.asarray(registered.values, dtype=np.float64)).astype(np.int64)
    events = pa.table({
        "customer_id": who.codes[rows],
        "ts_ms": table["ts"][rows],
        "session_id": table["sessionId"][rows],
        "kind": _texts(Coded(page.codes, [contract.kinds.get(str(name), "") for name in page.values]), rows),
        "plan": _texts(Coded(plan.codes, [contract.plans[str(name)] for name in plan.values]), rows),
        "registered_ms": numbers[registered.codes[rows]],
        "item_in_session": pa.array(table["itemInSession"][rows].astype(np.int32)),
    })  # fmt: skip
    return events, {str(name): count for name, count in odd.items()}


def features(world: World, nights: Sequence[int], *, history_days: int | None = None) -> dict[int, pd.DataFrame]:
    """``customer_id`` and the features of everybody at risk at each cut-off, by customer.

    ``history_days``: of the log's last so many days only.
    """
    found: dict[int, pd.DataFrame] = {}
    with engine() as sql:
        sql.register("all_days", world.session_days)
        # Whole histories of several nights in one pass; a window's first day has no day before it, so one by one.
        size = 1 if history_days else _BATCH_NIGHTS
        for batch in (nights[at : at + size] for at in range(0, len(nights), size)):
            since = "" if history_days is None else f" and day >= {number(batch[0]) - history_days}"
            sql.execute(f"create or replace temp table known as {_before(batch[-1])}{since}")
            sql.register("snapshots", pa.table({"as_of_day": [number(night) for night in batch]}))
            table: pd.DataFrame = sql.table(
                f"{features_sql('known', 'snapshots')} order by as_of_day, customer_id"
            ).to_pandas()
            for day, rows in table.groupby("as_of_day"):
                found[day - number(0)] = rows.drop(columns="as_of_day").reset_index(drop=True)
    return found


def panel(world: World, snapshots: Sequence[int], horizon_days: int) -> pd.DataFrame:
    """``as_of`` (number of the day), ``customer_id``, ``churned`` and the features, as ``churn.io.point_in_time``."""
    with engine() as sql:
        sql.register("all_days", world.session_days)
        sql.register("snapshots", pa.table({"as_of_day": [number(day) for day in snapshots]}))
        sql.execute(f"create temp table features as {features_sql('all_days', 'snapshots')}")
        labels = labels_sql(
            "all_days", "(select as_of_day, customer_id from features)", churn="cancel", horizon_days=horizon_days
        )
        found: pd.DataFrame = sql.table(
            f"select as_of_day - {number(0)} as as_of, churned, f.* exclude (as_of_day) "
            f"from ({labels}) as l join features as f using (as_of_day, customer_id) order by as_of, customer_id"
        ).to_pandas()
    return found


def _before(night: int) -> str:
    return f"select * from all_days where day < {number(night)}"


def number(day: int) -> int:
    """Days since 1970 of a day."""
    return (moment(day) - _EPOCH).days


@contextmanager
def engine() -> Iterator[DuckDBEngine]:
    """One thread: worlds run beside each other, or beside somebody's work."""
    with open_engine() as sql:
        sql.execute("set threads = 1")
        yield sql


def _named(session_days: pa.Table, ids: pa.Array) -> pa.Table:
    """Customers and sessions by name, as in the lake."""
    names = {"customer_id": ids.take(session_days["customer_id"].combine_chunks()),
             "session_id": session_days["session_id"].cast(pa.string())}  # fmt: skip
    for name, column in names.items():
        session_days = session_days.set_column(session_days.schema.get_field_index(name), name, column)
    return session_days


def _people(life: Life, ids: pa.Array) -> pa.Table:
    free = np.zeros(len(life.gone), np.bool_)
    up, down = life.change_rates
    return pa.table({
        "customer_id": ids,
        "visits": life.who.visits,
        "last_free": last_visit(life.who.temper, free),
        "last_paid": last_visit(life.who.temper, ~free),
        "up": up,
        "down": down,
    })  # fmt: skip


def _texts(column: Coded, rows: np.ndarray) -> pa.Array:
    """The column's values in these rows."""
    values = pa.array([str(value) for value in column.values])
    return values.take(pa.array(column.codes[rows].astype(np.int32)))
