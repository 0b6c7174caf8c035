"""Runs the feature and label SQL over the lake for any set of cut-offs, in one pass."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import pyarrow as pa

from churn.core.events import SourceContract
from churn.core.features import CORE_FEATURES, features_from_totals_sql, features_sql, session_days_sql
from churn.core.labels import labels_sql
from churn.errors import NotReady
from churn.io.engines.duckdb import open_engine
from churn.io.engines.engine import Opener
from churn.io.lake import Lake
from churn.io.session_days import kept_session_days
from churn.io.totals import totals_tables

_EPOCH = date(1970, 1, 1)


def features_at(
    lake: Lake,
    as_of: date,
    *,
    known_at: Literal["now", "then"] = "now",
    history_days: int | None = None,
    engine: Opener = open_engine,
) -> pa.Table:
    """``customer_id`` and one double column per feature for every customer at risk at ``as_of``, by customer.

    ``known_at="then"`` leaves out events that were ingested at or after the cut-off, as a run on that day did.
    ``history_days`` looks at so many days of log before the cut-off only: totals and rates of two cut-offs are alike
    only over equal lengths of log. Raises NotReady when there are no such events.
    """
    with engine({}) as sql:
        if known_at == "now" and history_days is None:
            found = features_from_totals_sql(_number(as_of), totals_tables(lake, as_of, sql))
            return sql.table(f"{found} order by customer_id").drop_columns(["as_of_day"])
        files = _files(lake, as_of, history_days)
        sql.register("snapshots", _snapshots([as_of]))
        if known_at == "now":
            sql.view("session_days", kept_session_days(files, sql))
        else:
            known_before = int(datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC).timestamp() * 1000)
            sql.view("events", files)
            known = session_days_sql("events", known_before_ms=known_before)
            sql.execute(f"create temp table session_days as {known}")
        found = sql.table(f"{features_sql('session_days', 'snapshots')} order by customer_id")
    return found.drop_columns(["as_of_day"])


def panel_at(
    lake: Lake, as_of: date, snapshots: Sequence[date], contract: SourceContract, *, engine: Opener = open_engine
) -> pa.Table:
    """``as_of`` (date), ``customer_id``, ``churned`` and the features, for every customer at risk at each snapshot.

    By snapshot, in the order given, and customer. Only events before ``as_of`` are read, for features and for labels
    alike. The caller makes sure that every label window ends by then.
    """
    return pa.concat_tables(panel_parts(lake, as_of, snapshots, contract, engine=engine))


def panel_parts(
    lake: Lake, as_of: date, snapshots: Sequence[date], contract: SourceContract, *, engine: Opener = open_engine
) -> Iterator[pa.Table]:
    """:func:`panel_at`, a table for each snapshot, all computed in one pass: memory holds the customers of one."""
    with engine({}) as sql:
        sql.register("snapshots", _snapshots(snapshots))
        sql.view("session_days", kept_session_days(lake.event_files(before=as_of), sql))
        sql.execute(f"create temp table features as {features_sql('session_days', 'snapshots')}")
        labels = labels_sql(
            "session_days",
            "(select as_of_day, customer_id from features)",
            churn=contract.churn,
            horizon_days=contract.horizon_days,
        )
        sql.execute(f"create temp table labels as {labels}")
        for snapshot in snapshots:
            day = _number(snapshot)
            yield sql.table(
                f"select date '{snapshot}' as as_of, churned, f.* exclude (as_of_day) "
                f"from (select customer_id, churned from labels where as_of_day = {day}) as l "
                f"join (select * from features where as_of_day = {day}) as f using (customer_id) order by customer_id"
            )


def everyone_at(lake: Lake, as_of: date, *, engine: Opener = open_engine) -> pa.Table:
    """``customer_id``, the core features and ``cancelled`` (0/1, at any time before) of everyone seen before ``as_of``.

    For the reference protocol only: whoever has cancelled is among them, and silent since.
    """
    with engine({}) as sql:
        sql.register("snapshots", _snapshots([as_of]))
        sql.view("session_days", kept_session_days(lake.event_files(before=as_of), sql))
        everyone = features_sql("session_days", "snapshots", CORE_FEATURES, at_risk=False)
        cancelled = "max(case when cancels > 0 then 1 else 0 end) as cancelled"
        return sql.table(
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
    return pa.table({"as_of_day": pa.array(map(_number, days), pa.int64())})


def _number(day: date) -> int:
    return (day - _EPOCH).days
