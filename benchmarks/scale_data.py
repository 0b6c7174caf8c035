"""The data of the speed benchmark: generated once, kept in a work folder, made again when the generator changes.

A log of 62 days. The first 61 are the history: canonical partitions with their pre-aggregates and totals, as the
nights before left them. The last is the new day: a raw file that has yet to be ingested.
"""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.decision_records import made_by
from benchmarks.scale_process import Cost, Failed, measured
from churn.core import events, simulated_customers, simulated_events, simulated_sessions, simulation
from churn.core.features import LOOK_BACKS
from churn.io import raw_writer
from churn.io.engines.duckdb import open_engine
from churn.io.lake import Lake
from churn.io.provenance import training_code_fingerprint
from churn.io.totals import totals_tables
from churn.settings import REPOSITORY
from churn.steps.simulate import day_file

START = date(2026, 8, 1)
DAYS = 61
"""Of history."""
NEW_DAY = START + timedelta(days=DAYS)
AS_OF = NEW_DAY + timedelta(days=1)
"""Cut-off of the night that the new day belongs to."""
SEED = 1
_AT_ONCE = 300_000
"""Customers times days that one ingestion reads: some five million events."""
_BLOCK_LINES = 2_000
"""Of a raw file, copied together: far more than the 32 kB that gzip looks back for what it has seen."""
_REPLICAS = 2
"""Version of how copies are made."""
_STAMP = "made.json"
_NAMED = ["customer_id", "session_id"]
_PLACE = re.compile(rb'("sessionId":"?|"userId":")([0-9]+)')

Say = Callable[[str], None]


@dataclass(frozen=True)
class Log:
    """One size: its folder, and how many customers there ever were."""

    folder: Path
    customers: int

    @property
    def home(self) -> Path:
        """A data home with the history in its lake."""
        return self.folder / "home"

    @property
    def new_day(self) -> Path:
        return self.folder / f"events-{NEW_DAY}.json.gz"


def generated(work: Path, customers: int, say: Say) -> Log:
    """A log of so many customers from the generator, ingested by this project."""

    def make(folder: Path) -> None:
        raw = folder / "raw"
        say(f"generating {DAYS + 1} days of {customers:,} customers")
        churn("simulate", "--out", str(raw), "--customers", str(customers), "--days", str(DAYS + 1),
              "--seed", str(SEED), "--start", str(START))  # fmt: skip
        for first in range(0, DAYS, at_once := max(1, _AT_ONCE // customers)):
            last = min(first + at_once, DAYS)
            say(f"ingesting days {first + 1} to {last} of {DAYS}")
            churn("ingest", *(str(raw / day_file(START, day)) for day in range(first, last)), home=folder / "home")
        (raw / day_file(START, DAYS)).rename(folder / f"events-{NEW_DAY}.json.gz")
        shutil.rmtree(raw)
        say("making what the nights before left")
        lived(folder / "home", NEW_DAY)

    return Log(_made(work / f"log-{customers}", {"customers": customers}, make), customers)


def replicated(work: Path, of: Log, times: int, say: Say) -> Log:
    """The same log, every customer as often, under names of their own: what a larger service would have written.

    The history's partitions are copied; the new day is a raw file, its lines repeated block by block.
    """

    def make(folder: Path) -> None:
        lake, there = Lake(folder / "home"), Lake(of.home)
        say(f"copying {DAYS} days {times} times")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            days = there.event_days()
            list(pool.map(lambda d: _replicate(there.event_partition(d), lake.event_partition(d), times), days))
        say(f"writing the new day {times} times")
        _repeat(of.new_day, folder / f"events-{NEW_DAY}.json.gz", times)
        say("making what the nights before left")
        lived(lake.home, NEW_DAY)

    made = _made(work / f"log-{of.customers}x{times}", {"of": of.customers, "times": times, "way": _REPLICAS}, make)
    return Log(made, of.customers * times)


def trained(work: Path, on: Log, trials: int, say: Say) -> str:
    """A model in production, fitted on this log: the MLflow store that holds it."""

    def make(folder: Path) -> None:
        home = linked(on.home, folder / "home")
        say(f"training on {on.customers:,} customers, {trials} settings tried for each model")
        step("train", NEW_DAY, home=home, CHURN_SEARCH_TRIALS=str(trials))

    parameters = {"on": on.customers, "trials": trials, "code": training_code_fingerprint()}
    return f"sqlite:///{_made(work / 'model', parameters, make) / 'home' / 'mlflow' / 'mlflow.db'}"


def linked(home: Path, to: Path, *, kept: bool = True) -> Path:
    """Another data home with the same events, and with or without what is kept beside them; no byte is copied.

    What this project writes it replaces, so that a link's other end stays as it is.
    """
    for path in sorted((home / "events").glob("**/*.parquet" if kept else "date=*/events.parquet")):
        target = to / path.relative_to(home)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)
    return to


def lived(home: Path, newest: date) -> None:
    """Make what the nights up to ``newest`` left beside the events, as far back as a later one needs it."""
    for back in range(max(LOOK_BACKS), -1, -1):
        with open_engine(megabytes=2_048) as engine:
            totals_tables(Lake(home), newest - timedelta(days=back), engine)


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Of a step: this data home, no settings of whoever runs this, and byte code kept."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("CHURN_", "MLFLOW_", "PYTHONDONTWRITE"))}
    return kept | {"CHURN_HOME": str(home), "CHURN_DEMO": "false", **settings}


def step(name: str, as_of: date | None, *, home: Path, **settings: str) -> Cost:
    """Run one in a process of its own; what it cost. Raises Failed."""
    command = [sys.executable, "-m", "benchmarks.scale_step", name, *([str(as_of)] if as_of else [])]
    return measured(command, environment=environment(home, **settings), folder=REPOSITORY)


def churn(*words: str, home: Path | None = None) -> None:
    """A command of this project. Raises Failed."""
    given = environment(home or Path(".churn"))
    done = subprocess.run(
        [sys.executable, "-m", "churn.cli", *words],
        env=given,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        raise Failed(f"`churn {words[0]}` failed while the benchmark's data were made: {last}")


def _replicate(given: Path, to: Path, times: int) -> None:
    """A copy after the other: with their numbers in front, customers stay in order."""
    table = pq.read_table(given, read_dictionary=_NAMED, partitioning=None).combine_chunks()
    to.parent.mkdir(parents=True)
    with pq.ParquetWriter(to, table.schema, compression="zstd", store_schema=False) as writer:
        for number in range(times):
            copy = table
            for name in _NAMED:
                held = table[name].chunk(0)
                names = pc.binary_join_element_wise(_mark(number), held.dictionary, "")
                column = pa.DictionaryArray.from_arrays(held.indices, names)
                copy = copy.set_column(table.schema.get_field_index(name), name, column)
            writer.write_table(copy)


def _repeat(given: Path, to: Path, times: int) -> None:
    """Copies of a line lie a block apart: side by side, gzip would make next to nothing of all but the first."""
    marks = [_mark(number).encode() for number in range(times)]
    with gzip.open(given, "rb") as lines, gzip.open(to, "wb", compresslevel=1) as out:
        while block := list(islice(lines, _BLOCK_LINES)):
            # Each line: text, key, number, text, key, number, text.
            split = [_PLACE.split(line) for line in block]
            for mark in marks:
                out.writelines(b"".join(_marked(parts, mark)) for parts in split)


def _marked(parts: Sequence[bytes], mark: bytes) -> Iterator[bytes]:
    return (mark + part if place % 3 == 2 else part for place, part in enumerate(parts))


def _mark(number: int) -> str:
    """Before a name, of a customer or a session, in one of the copies: of a fixed length, so that no two are the same,
    and digits, as the generator's names are.
    """
    return f"9{number:04}"


def _made(folder: Path, parameters: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """The folder, made anew unless its stamp says that it holds this. The stamp comes last: half is nothing."""
    modules = (simulation, simulated_customers, simulated_events, simulated_sessions, raw_writer, events)
    wanted = {**parameters, "days": DAYS, "seed": SEED, "made by": made_by(*modules)}
    stamp = folder / _STAMP
    if stamp.is_file() and json.loads(stamp.read_text()) == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make(folder)
    stamp.write_text(json.dumps(wanted))
    return folder
