"""The data lake in ``CHURN_HOME``: partitions of parquet, each written aside and then renamed."""

import fcntl
import filecmp
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from churn.errors import NotReady, Unavailable


class Lake:
    """Where each kind of data lies, and how it is written so that a reader never sees half of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.events = home / "events"
        self.quarantine = home / "quarantine"
        self.reports = home / "reports"
        self.ingesting = home / ".ingesting"
        """What an ingestion writes aside until it has ended."""

    def event_partition(self, day: date) -> Path:
        return self.events / f"date={day}" / "events.parquet"

    def event_days(self) -> list[date]:
        """Days that have events, in order."""
        return sorted(date.fromisoformat(p.parent.name.removeprefix("date=")) for p in self._partitions())

    def event_files(self, *, before: date) -> list[Path]:
        """Partitions of the days before a date. Raises NotReady when there is none."""
        days = self.event_days()
        files = [self.event_partition(d) for d in days if d < before]
        if not files:
            held = f"there are events from {days[0]} to {days[-1]}" if days else "there are no events at all"
            raise NotReady(f"no events before {before}: {held}. Run `churn ingest` first, or choose a later date")
        return files

    def known_until(self, as_of: date) -> date:
        """The day up to which outcomes are known at ``as_of``: as_of itself, or the end of the log before it."""
        days = [d for d in self.event_days() if d < as_of]
        return min(as_of, days[-1] + timedelta(days=1)) if days else as_of

    def features(self, as_of: date, *, known_at: Literal["now", "then"] = "now") -> Path:
        """What was known then is kept apart: it must never be scored in place of the night's features."""
        folder = "features" if known_at == "now" else "features_known_then"
        return self.home / folder / f"as_of={as_of}" / "features.parquet"

    def panel(self, as_of: date) -> Path:
        return self.home / "panels" / f"as_of={as_of}" / "panel.parquet"

    def receipt(self, fingerprint: str) -> Path:
        """What ingesting one file came to. Beside the events, so that whoever removes these removes it too."""
        return self.events / "_receipts" / f"{fingerprint}.json"

    def _partitions(self) -> Iterator[Path]:
        return self.events.glob("date=*/events.parquet")

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One process at a time; a second one is told so instead of waiting. The lock ends with its process."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / f".{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                raise Unavailable(f"another `{name}` is running on {self.home}; wait for it to end") from e
            yield


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table, whole or not at all. Equal tables give equal bytes; an equal file is left untouched."""
    whole = table.combine_chunks()  # where an engine's chunks end would decide where pages end
    _write(path, lambda aside: pq.write_table(whole, aside, compression="zstd"))


def write_parts(path: Path, parts: Iterable[pa.Table], *, row_group: int, more_than: int = -1) -> int:
    """Write one table that comes in parts, at least one, whole or not at all. Equal parts give equal bytes.

    ``row_group``: rows that a reader decodes together. Where all parts have no more rows than ``more_than``, the file
    stays as it is. Returns how many they have.
    """
    rows = 0

    def write(aside: Path) -> bool:
        nonlocal rows
        rest = iter(parts)
        first = next(rest)
        with pq.ParquetWriter(aside, first.schema, compression="zstd") as writer:
            for part in chain([first], rest):
                writer.write_table(part.combine_chunks(), row_group_size=row_group)
                rows += part.num_rows
        return rows > more_than

    _write(path, write)
    return rows


def even_parts(parts: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows, so many in each part but the last: how they came then says nothing."""
    held: list[pa.Table] = []
    for part in parts:
        held.append(part)
        while sum(p.num_rows for p in held) >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows)
            held = [whole.slice(rows)]
    if held and (rest := pa.concat_tables(held)).num_rows:
        yield rest


def fingerprint(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    _write(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """``write`` fills a file; if it then says False, nothing comes of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.part"):
        _remove_if_dead(left)
    # Hidden, and each attempt its own: of two that write the same file, the later one wins whole.
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.{os.getpid()}.part")
    try:
        with aside.open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # says that its writer lives, in other containers too
            worth = write(aside) is not False
            if worth and not (path.is_file() and filecmp.cmp(path, aside, shallow=False)):
                aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _remove_if_dead(left: Path) -> None:
    """What a killed attempt left. The number of a process says nothing of those in other containers, its lock does."""
    if psutil.pid_exists(int(left.name.split(".")[-2])):
        return
    with suppress(FileNotFoundError, PermissionError, BlockingIOError), left.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        left.unlink()
