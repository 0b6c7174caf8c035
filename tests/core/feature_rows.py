"""Hand-made and generated events, and what the feature and label SQL make of them."""

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from churn.core.events import DAY_MS, EVENT_COLUMNS, KINDS
from churn.core.features import features_sql, session_days_sql
from churn.core.labels import labels_sql
from churn.io.engines.duckdb import open_engine

AS_OF_DAY = 100
AS_OF = AS_OF_DAY * DAY_MS
_TYPES = {"varchar": pa.string(), "bigint": pa.int64(), "integer": pa.int32(), "double": pa.float64()}
EVENT_SCHEMA = pa.schema([(c, _TYPES[t]) for c, t in EVENT_COLUMNS.items()])

Event = dict[str, Any]
Rows = dict[tuple[int, str], dict[str, float]]


def event(customer: str, ts_ms: int, kind: str = "play", **other: Any) -> Event:
    defaults = {"session_id": "s", "plan": "free", "registered_ms": 50 * DAY_MS, "item_in_session": 0}
    return {"customer_id": customer, "ts_ms": ts_ms, "kind": kind, "duration_s": None, "ingested_ms": 0} | (
        defaults | other
    )


def events_between(first_ms: int, end_ms: int, *, kinds: Iterable[str] = KINDS) -> st.SearchStrategy[Event]:
    """Events in [first, end), often on the edges of days; few customers and sessions, so that they meet."""
    days = range(first_ms // DAY_MS, end_ms // DAY_MS + 1)
    edges = [t for d in days for t in (d * DAY_MS - 1, d * DAY_MS) if first_ms <= t < end_ms]
    return st.builds(
        event,
        customer=st.sampled_from("abc"),
        ts_ms=st.integers(first_ms, end_ms - 1) | st.sampled_from(edges),
        kind=st.sampled_from(sorted(kinds)),
        session_id=st.sampled_from(["1", "2", "3", "4"]),
        plan=st.sampled_from(["free", "paid"]),
        item_in_session=st.none() | st.integers(0, 5),
        registered_ms=st.none() | st.integers(0, first_ms),
        ingested_ms=st.integers(first_ms, end_ms + 5 * DAY_MS),
    )


def features(
    events: list[Event],
    *days: int,
    known_before_ms: int | None = None,
    sql: Callable[[str, str], str] = features_sql,
) -> Rows:
    """Feature rows by (cut-off, customer)."""
    with open_engine() as engine:
        engine.register("events", pa.Table.from_pylist(events, EVENT_SCHEMA))
        engine.register("snapshots", pa.table({"as_of_day": pa.array(days or (AS_OF_DAY,), pa.int64())}))
        engine.execute(f"create table sd as {session_days_sql('events', known_before_ms=known_before_ms)}")
        engine.execute(f"create table found as {sql('sd', 'snapshots')}")
        names = [name for (name,) in engine.rows("select column_name from (describe found)")]
        assert names[:2] == ["as_of_day", "customer_id"]
        return {(d, c): dict(zip(names[2:], row, strict=True)) for d, c, *row in engine.rows("from found")}


def labels(
    events: list[Event], churn: Any, horizon_days: int, *, sql: Callable[[str], str] = lambda text: text
) -> dict[str, int]:
    """Outcomes of every customer in ``events``; ``sql`` may alter the statement."""
    with open_engine() as engine:
        engine.register("events", pa.Table.from_pylist(events, EVENT_SCHEMA))
        engine.execute(f"create table sd as {session_days_sql('events')}")
        customers = f"(select distinct cast({AS_OF_DAY} as bigint) as as_of_day, customer_id from events)"
        text = labels_sql("sd", customers, churn=churn, horizon_days=horizon_days)
        return {c: churned for _, c, churned in engine.rows(sql(text))}
