"""What happened to the customers that were scored, as far as it was known before a cut-off."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import pandas as pd
import pyarrow as pa

from churn.core.events import SourceContract
from churn.core.labels import labels_sql
from churn.io.engines.duckdb import DuckDBEngine, open_engine
from churn.io.lake import Lake
from churn.io.session_days import kept_session_days

_EPOCH = date(1970, 1, 1)


def outcomes(
    lake: Lake, scored: pd.DataFrame, as_of: date, contract: SourceContract, *, megabytes: int | None = None
) -> pd.Series:
    """0/1 for each row of ``scored`` (n rows of ``as_of``, ``customer_id``): churned within the horizon from then.

    Only events before ``as_of`` are read. The caller makes sure that every horizon has passed in them.
    ``megabytes``: memory of the engine.
    """
    days = scored["as_of"].map(lambda day: (day - _EPOCH).days)
    with _open(lake, min(scored["as_of"]), as_of, megabytes) as engine:
        customers = {
            "as_of_day": pa.array(days, pa.int64()),
            "customer_id": pa.array(scored["customer_id"], pa.string()),
        }
        engine.register("scored", pa.table(customers))
        labels = labels_sql("session_days", "scored", churn=contract.churn, horizon_days=contract.horizon_days)
        found = engine.table(labels).to_pandas()
    known = found.set_index(["as_of_day", "customer_id"])["churned"]
    rows = pd.MultiIndex.from_arrays([days, scored["customer_id"]])
    return pd.Series(known.reindex(rows).to_numpy(dtype="int64"), index=scored.index, name="churned")


def cancellations(lake: Lake, since: date, before: date, *, megabytes: int | None = None) -> pd.DataFrame:
    """``day`` and ``customer_id`` of every cancellation from ``since`` on, only from events before ``before``."""
    with _open(lake, since, before, megabytes) as engine:
        found = engine.table("select distinct day, customer_id from session_days where cancels > 0").to_pandas()
    found["day"] = [_EPOCH + timedelta(days=int(day)) for day in found["day"]]
    ordered: pd.DataFrame = found.sort_values(["day", "customer_id"], ignore_index=True)
    return ordered


@contextmanager
def _open(lake: Lake, since: date, before: date, megabytes: int | None) -> Iterator[DuckDBEngine]:
    """The table ``session_days`` of these days; empty where the log has none of them."""
    files = [lake.event_partition(day) for day in lake.event_days() if since <= day < before]
    with open_engine(megabytes=megabytes, home=lake.home) as engine:
        engine.view("kept", kept_session_days(files or lake.event_files(before=before)[-1:], engine))
        engine.execute(f"create view session_days as select * from kept{'' if files else ' where false'}")
        yield engine
