"""Runs the feature and label SQL over the lake for any set of cut-offs, in one pass."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import pyarrow as pa

from churn.core.events import SourceContract
from churn.core.features import CORE_FEATURES, features_sql, session_days_sql
from churn.core.labels import labels_sql
from churn.errors import NotReady
from churn.io.engines.duckdb import open_engine
from churn.io.lake import Lake

_EPOCH = date(1970, 1, 1)


def features_at(
    lake: Lake, as_of: date, *, known_at: Literal["now", "then"] = "now", history_days: int | None = None
) -> pa.Table:
    """``customer_id`` and one double column per feature for every customer at risk at ``as_of``, by customer.

    ``known_at="then"`` leaves out events that were ingested at or after the cut-off, as a run on that day did.
    ``history_days`` looks at so many days of log before the cut-off only: totals and rates of two cut-offs are alike
    only over equal lengths of log. Raises NotReady when there are no such events.
    """
    known_before = int(datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC).timestamp() * 1000)
    with open_engine({"events": _files(lake, as_of, history_days)}) as engine:
        engine.register("snapshots", _snapshots([as_of]))
        session_days = session_days_sql("events", known_before_ms=known_before if known_at == "then" else None)
        engine.execute(f"create temp table session_days as {session_days}")
        found = engine.table(f"{features_sql('session_days', 'snapshots')} order by customer_id")
    return found.drop_columns(["as_of_day"])


def panel_at(lake: Lake, as_of: date, snapshots: Sequence[date], contract: SourceContract) -> pa.Table:
    """``as_of`` (date), ``customer_id``, ``churned`` and the features, for every customer at risk at each snapshot.

    Only events before ``as_of`` are read, for features and for labels alike. The caller makes sure that every
    label window ends by then.
    """
    with open_engine({"events": lake.event_files(before=as_of)}) as engine:
        engine.register("snapshots", _snapshots(snapshots))
        engine.execute(f"create temp table session_days as {session_days_sql('events')}")
        engine.execute(f"create temp table features as {features_sql('session_days', 'snapshots')}")
        labels = labels_sql(
            "session_days",
            "(select as_of_day, customer_id from features)",
            churn=contract.churn,
            horizon_days=contract.horizon_days,
        )
        return engine.table(
            f"select date '1970-01-01' + cast(as_of_day as integer) as as_of, churned, "
            f"f.* exclude (as_of_day) from ({labels}) as l join features as f using (as_of_day, customer_id) "
            "order by as_of, customer_id"
        )


def everyone_at(lake: Lake, as_of: date) -> pa.Table:
    """``customer_id``, the core features and ``cancelled`` (0/1, at any time before) of everyone seen before ``as_of``.

    For the reference protocol only: whoever has cancelled is among them, and silent since.
    """
    with open_engine({"events": lake.event_files(before=as_of)}) as engine:
        engine.register("snapshots", _snapshots([as_of]))
        engine.execute(f"create temp table session_days as {session_days_sql('events')}")
        everyone = features_sql("session_days", "snapshots", CORE_FEATURES, at_risk=False)
        cancelled = "max(case when cancels > 0 then 1 else 0 end) as cancelled"
        return engine.table(
            f"select f.* exclude (as_of_day), c.cancelled from ({everyone}) as f "
            f"join (select customer_id, {cancelled} from session_days group by customer_id) as c using (customer_id) "
            "order by customer_id"
        )


def _files(lake: Lake, as_of: date, history_days: int | None) -> list[Path]:
    files = lake.event_files(before=as_of)  # says what is missing when there is nothing
    if history_days is None:
        return files
    first = as_of - timedelta(days=history_days)
    if not (recent := [lake.event_partition(day) for day in lake.event_days() if first <= day < as_of]):
        raise NotReady(f"there are no events from {first} to {as_of}: ingest these days, or choose an earlier date")
    return recent


def _snapshots(days: Sequence[date]) -> pa.Table:
    return pa.table({"as_of_day": pa.array([(d - _EPOCH).days for d in days], pa.int64())})
