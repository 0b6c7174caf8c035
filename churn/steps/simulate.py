"""Write a generated event log, one gzipped JSON-lines file a day, and the truth about it."""

import os
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from churn.core.arrays import Floats, Ints
from churn.core.events import DAY_MS
from churn.core.simulated_change import Change
from churn.core.simulated_events import AUTHS, Coded, Log, RawTable, customer_ids
from churn.core.simulated_sessions import CANCEL, Day
from churn.core.simulation import live
from churn.errors import BadInput
from churn.io.lake import write_parquet
from churn.io.raw import TRUTH
from churn.io.raw_writer import RawWriter

_QUIET_SECONDS = 2.0
_WRITERS = min(4, os.cpu_count() or 1)
_EARLIEST, _LATEST = date(2000, 1, 1), date(2100, 1, 1)
"""Time stamps that the `sparkify` contract accepts."""


@dataclass(frozen=True)
class SimulationReport:
    """What the log holds; events, logged-out rows, sessions and cancellations of the files written by this call."""

    customers: int
    """Customers who have registered by the end."""
    days: int
    events: int
    logged_out: int
    """Rows without a customer."""
    sessions: int
    cancellations: int
    files: int
    start: str
    end: str
    """The last day, ISO date."""
    seed: int


@dataclass
class _Count:
    events: int = 0
    logged_out: int = 0
    sessions: int = 0
    cancellations: int = 0
    files: int = 0

    def add(self, day: Day, table: RawTable) -> None:
        auth = table["auth"]
        assert isinstance(auth, Coded)  # the core says so
        self.events += len(auth.codes)
        self.logged_out += int(np.count_nonzero(auth.codes == AUTHS.index("Logged Out")))
        self.sessions += len(day.sessions.number)
        self.cancellations += int(np.count_nonzero(day.sessions.outro == CANCEL))
        self.files += 1


def day_file(start: date, day: int) -> str:
    """Name of the file of day ``day`` (0 is ``start``)."""
    return f"events-{start + timedelta(days=day)}.json.gz"


def simulate(
    out: Path,
    *,
    customers: int,
    days: int,
    seed: int,
    start: date,
    only: Collection[int] | None = None,
    truth: Path | None = None,
    change: Change | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> SimulationReport:
    """Write the log of ``days`` days into ``out``, a file a day (``only`` these: 0 is ``start``), and ``truth``.

    The truth (``customer_id``, ``day``, ``hazard``: the probability that the customer cancels on the day) always covers
    all days; by default it is ``out``/truth.parquet. A file depends only on ``customers``, ``seed``, ``start`` and its
    day: a longer log begins with the shorter one, byte for byte. ``customers`` have registered by day 90, three in
    four of them before the start; newcomers keep coming at the same rate after that. With a ``change`` in the world,
    files and truth are the same up to its day. Raises BadInput.
    """
    _check(out, customers=customers, days=days, seed=seed, start=start)
    out.mkdir(parents=True, exist_ok=True)
    wanted = set(range(days) if only is None else only)
    life, lived = live(customers, seed, start, days, change)
    log, writer, count = Log(life), RawWriter(), _Count()
    risks: list[tuple[Ints, Floats]] = []
    say = _every(_QUIET_SECONDS, progress)
    with ThreadPoolExecutor(_WRITERS) as pool:
        waiting: deque[Future[None]] = deque()
        for day in lived:
            risks.append((day.at_risk, day.hazard))
            if not {day.index, day.index + 1} & wanted:
                continue
            table = log.day(day)  # also for the day before a wanted one: its sessions run on past midnight
            if day.index in wanted:
                waiting.append(pool.submit(writer.write, out / day_file(start, day.index), table))
                count.add(day, table)
            while len(waiting) > 2 * _WRITERS:  # no more than a few days of rows in memory
                waiting.popleft().result()
            say(f"simulated {day.index + 1} of {days} days: {count.events:,} events")
        for future in waiting:
            future.result()
    write_parquet(truth or out / TRUTH, _truth(risks, start, len(life.gone)))
    end = start + timedelta(days=days - 1)
    registered = int(np.count_nonzero(life.who.registered_ms < life.zero_ms + days * DAY_MS))
    return SimulationReport(registered, days, **vars(count), start=str(start), end=str(end), seed=seed)


def _truth(risks: list[tuple[Ints, Floats]], start: date, customers: int) -> pa.Table:
    """``customer_id`` (text), ``day`` (date) and ``hazard`` (probability), by day and customer."""
    days = np.repeat(np.arange(len(risks)), [len(at_risk) for at_risk, _ in risks])
    who = np.concatenate([at_risk for at_risk, _ in risks]).astype(np.int32)
    return pa.table(
        {
            "customer_id": pa.DictionaryArray.from_arrays(who, customer_ids(customers)).cast(pa.string()),
            "day": pa.array(np.datetime64(start, "D") + days),
            "hazard": np.concatenate([hazard for _, hazard in risks]),
        }
    )


def _check(out: Path, *, customers: int, days: int, seed: int, start: date) -> None:
    faults = {
        f"customers is {customers}: give at least 10": customers < 10,
        f"days is {days}: give at least 1": days < 1,
        f"seed is {seed}: give 0 or more": seed < 0,
        f"the log would run from {start} over {days} days: keep it within {_EARLIEST} and {_LATEST}": (
            start < _EARLIEST or days > (_LATEST - start).days
        ),
        f"{out} is a file: give a folder": out.exists() and not out.is_dir(),
    }
    if found := [text for text, wrong in faults.items() if wrong]:
        raise BadInput("cannot simulate: " + "; ".join(found))


def _every(seconds: float, progress: Callable[[str], None]) -> Callable[[str], None]:
    """Pass on a message when the last one is that long ago."""
    last = time.monotonic()

    def say(message: str) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            progress(message)

    return say
