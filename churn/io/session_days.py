"""The (customer, session, day) pre-aggregate of each day, kept beside the events: a new night reads its own day's.

Snapshots and nights share it. It is a copy whose name says what it was made of: where that changes, another
one is made. It goes with the events, by age or with a customer who is to be forgotten.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from churn.core.features import session_days_sql
from churn.errors import BadInput
from churn.io.engines.engine import Engine
from churn.io.lake import write_parquet

SESSION_DAYS = "_session_days"
"""Folder within the events: whoever removes these removes it too, and readers of a folder pass over such a name."""
DIGITS = 32
"""Of a sha256 in hexadecimal, in a name."""
_TAIL = 1 << 16
_SQL = f"{session_days_sql('day_events')} order by day, customer_id, session_id"
_AT_ONCE = 5_000_000
"""Events that are aggregated together. Where a session is a day, nearly as many rows come out, of some 130 bytes."""
_WRITERS = 2
_EPOCH = date(1970, 1, 1)


def kept_session_days(partitions: Sequence[Path], engine: Engine) -> list[Path]:
    """The pre-aggregate of each partition of events, made where there is none of these very events."""
    kept = {events: session_days_path(events) for events in partitions}
    for some in _chunks([events for events, path in kept.items() if not readable(path)]):
        engine.view("day_events", some)
        days = _split(engine.table(_SQL), some)
        with ThreadPoolExecutor(_WRITERS) as writers:
            list(writers.map(write_parquet, (kept[events] for events in some), list(days)))  # raises what one raised
    return list(kept.values())


def session_days_path(events: Path) -> Path:
    """Where the pre-aggregate of a partition lies, as the partition is now.

    Nothing else is ever written there: whoever took a look at the events before they changed works on in other files.
    """
    day = events.parent
    return day.parent / SESSION_DAYS / day.name / f"{_identity(events)}.parquet"


def readable(path: Path) -> bool:
    """Whether there is a parquet file, whole as far as its end can tell."""
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _chunks(partitions: Sequence[Path]) -> Iterator[list[Path]]:
    """A day at least, and no more than so many events."""
    some, size = list[Path](), 0
    for events in partitions:
        of_day = pq.read_metadata(events).num_rows
        if some and size + of_day > _AT_ONCE:
            yield some
            some, size = [], 0
        some.append(events)
        size += of_day
    if some:
        yield some


def _split(found: pa.Table, partitions: Sequence[Path]) -> Iterator[pa.Table]:
    """The rows of each partition, of rows in the order of their days. Raises BadInput where one is of none of them."""
    rows = {count["values"]: count["counts"] for count in found["day"].value_counts().to_pylist()}
    at = 0
    for path in partitions:
        length = rows.pop((date.fromisoformat(path.parent.name.removeprefix("date=")) - _EPOCH).days, 0)
        yield found.slice(at, length)
        at += length
    if rows:
        strays = ", ".join(str(_EPOCH + timedelta(days=day)) for day in sorted(rows))
        raise BadInput(
            f"the events of {partitions[0].parent.name} to {partitions[-1].parent.name} hold some of {strays}, which "
            "have partitions of their own: move these days away and ingest them again"
        )


def _identity(events: Path) -> str:
    """Of the SQL and of a partition, which is only ever replaced as a whole: its time, its size, and its last bytes.

    These hold the bounds and counts of every column. To read all of a month's bytes takes as long as to aggregate them.
    """
    with events.open("rb") as file:
        state = os.fstat(file.fileno())
        file.seek(max(0, state.st_size - _TAIL))
        tail = file.read()
    seen = hashlib.sha256(f"{_SQL}\n{state.st_mtime_ns} {state.st_size}\n".encode() + tail)
    return seen.hexdigest()[:DIGITS]
