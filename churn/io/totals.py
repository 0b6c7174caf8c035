"""What the log of each customer comes to, up to a night: kept, so that the next night adds its own day to it.

A copy whose name says what it was made of, as the pre-aggregates of the days are. Where that changes, another one is
made from the latest that still holds. It goes with a customer who is to be forgotten, and when no night needs it.
"""

import hashlib
import os
from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from churn.core.features import LOOK_BACKS, totals_sql
from churn.io.engines.engine import Engine
from churn.io.lake import Lake, write_parquet
from churn.io.session_days import DIGITS, kept_session_days, readable

TOTALS = "_totals"
"""Folder within the events: whoever removes these removes it too, and readers of a folder pass over such a name."""
_DAY = timedelta(days=1)
_ENDED = """
select b.customer_id, b.session_id, max(b.last_ms) as before_ms
from days_before as b join (select distinct customer_id, session_id from new_days) as n
  on n.customer_id = b.customer_id and n.session_id = b.session_id
group by b.customer_id, b.session_id"""
_FIRST = f"{totals_sql('new_days')} order by customer_id"
_NEXT = f"{totals_sql('new_days', (f'({_ENDED})', 'totals_before'))} order by customer_id"


def totals_tables(lake: Lake, as_of: date, engine: Engine) -> list[str]:
    """Tables of the totals up to ``as_of`` and up to each of LOOK_BACKS days before it, in their order.

    What is not kept is made, the earliest first, each of the one before it and the days between them: whatever is
    missing, no day is looked at twice. Raises NotReady where there are no events before ``as_of``.
    """
    log = _Log(lake, kept_session_days(lake.event_files(before=as_of), engine))
    tables = {back: f"totals_{back}" for back in LOOK_BACKS}
    for back, table in reversed(tables.items()):
        if days := log.days_before(as_of - timedelta(days=back)):
            engine.view(table, [_kept(log, days, engine)])
    for back, table in tables.items():
        if not log.days_before(as_of - timedelta(days=back)):  # the log begins later: nobody is in it
            engine.execute(f"create temp table {table} as select * from {tables[0]} where false")
    return list(tables.values())


class _Log:
    """The days of a log in order, and where totals of the first so many of them lie."""

    def __init__(self, lake: Lake, session_days: Sequence[Path]) -> None:
        self.session_days = session_days
        self._ends = [date.fromisoformat(p.parent.name.removeprefix("date=")) + _DAY for p in session_days]
        """The midnights at which the days end."""
        self._totals: list[Path] = []
        digest = hashlib.sha256(f"{_FIRST}\n{_NEXT}".encode())
        for path, end in zip(session_days, self._ends, strict=True):
            digest.update(path.stem.encode())
            name = digest.hexdigest()[:DIGITS]
            self._totals.append(lake.events / TOTALS / f"as_of={end}" / f"{name}.parquet")

    def days_before(self, midnight: date) -> int:
        """How many days end by then."""
        return bisect_right(self._ends, midnight)

    def totals(self, days: int) -> Path:
        """Of the first so many days. Nothing else is ever written there."""
        return self._totals[days - 1]


def _kept(log: _Log, days: int, engine: Engine) -> Path:
    """The totals of the first so many days, made where there are none."""
    path = log.totals(days)
    if readable(path):
        os.utime(path)  # in use: pruning leaves it for another day
        return path
    before = next((fewer for fewer in range(days - 1, 0, -1) if readable(log.totals(fewer))), 0)
    engine.view("new_days", log.session_days[before:days])
    if before:
        engine.view("days_before", log.session_days[:before])
        engine.view("totals_before", [log.totals(before)])
    write_parquet(path, engine.table(_NEXT if before else _FIRST))
    return path
