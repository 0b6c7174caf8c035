"""Events by kind over a span of days, and pages in quarantine that the contract does not know."""

from collections import Counter
from collections.abc import Collection
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from churn.core.canonical import judged_sql
from churn.core.events import SourceContract
from churn.io.engines.duckdb import open_engine
from churn.io.lake import Lake

NAMED_FROM = 5
"""Customers who produced a page before its text is shown: a row whose columns have shifted may hold a person's name or
address there, but hardly the same for five. A page that has another name is met by many."""
FEW = "an unknown page seen for few customers"
"""What the other pages are counted as, together."""


def events_by_kind(
    lake: Lake,
    contract: SourceContract,
    first: date,
    before: date,
    named: Collection[str] = (),
    *,
    megabytes: int | None = None,
) -> dict[str, int]:
    """Accepted events of the days from ``first`` until ``before``, and what :func:`unknown_pages` counts.

    Empty where there are no events on these days. ``megabytes``: memory of the engine.
    """
    files = [lake.event_partition(day) for day in lake.event_days() if first <= day < before]
    if not files:
        return {}
    with open_engine({"events": files}, megabytes=megabytes, home=lake.home) as engine:
        found = dict(engine.rows("select kind, count(*) from events group by kind order by kind"))
    return found | unknown_pages(lake, contract, first, before, named, megabytes=megabytes)


def unknown_pages(
    lake: Lake,
    contract: SourceContract,
    first: date,
    before: date,
    named: Collection[str] = (),
    *,
    megabytes: int | None = None,
) -> dict[str, int]:
    """How often each page that the contract does not know came in these days, as ``page 'Its name'`` or :data:`FEW`.

    ``named``: names that a longer span has led to; for these, few customers are enough. A row delivered twice counts
    once.
    """
    if not contract.kinds or not (held := _quarantined(lake, contract)):
        return {}
    columns = [f"raw_{name}" for name, column in contract.columns.items() if column.source is not None]
    texts = ", ".join(columns)
    with open_engine(megabytes=megabytes, home=lake.home) as engine:
        engine.register("held", pa.concat_tables(held))
        rows = engine.rows(f"""
select raw_kind, count(*), count(distinct raw_customer_id) from (
  select distinct {texts}, copy from (
    select {texts}, row_number() over (partition by file_no, {texts}) as copy
    from ({judged_sql(contract, "held")}) as judged
    where raw_kind is not null and kind is null and ts_ms >= {_ms(first)} and ts_ms < {_ms(before)}
  ) as numbered
) as counted group by raw_kind order by raw_kind""")
    counted = Counter[str]()
    for page, n, customers in rows:
        name = f"page {page!r}"
        counted[name if customers >= NAMED_FROM or name in named else FEW] += n
    return dict(counted)


def _quarantined(lake: Lake, contract: SourceContract) -> list[pa.Table]:
    """Quarantined rows as a raw table; files of other contracts, which lack its columns, are left out."""
    found = []
    for number, path in enumerate(sorted(lake.quarantine.glob("*.parquet"))):
        file = pq.ParquetFile(path)
        if set(contract.sources) <= set(file.schema_arrow.names):
            rows = file.read(columns=["line_no", *contract.sources])
            known = {
                "file_no": pa.array([number] * rows.num_rows, pa.int32()),
                "malformed": pa.array([False] * rows.num_rows, pa.bool_()),
                "line_no": rows["line_no"].cast(pa.int64()),
            }
            found.append(pa.table(known | {name: rows[name].cast(pa.string()) for name in contract.sources}))
    return found


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
