"""What of the data home's files is older than it is kept for. Only ``remove…`` removes anything."""

import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import psutil

GRACE_SECONDS = 86_400.0
"""What was written within a day may belong to a step that is at work, whatever its date says."""
_DATE = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)")
_PART_OF = re.compile(r"^\..+\.(\d+)\.part$")
_PART_OF_PREDICTIONS = re.compile(r"^\..+\.parquet\.part$")
_LASTING = ("decisions", "alerts", "replay")
"""Reports that are read again: evidence of the ledger, which alarm rings already, nights that a replay has lived."""
_DAGS = ("ingest_events", "monitor_model", "retrain_model", "rollback_model", "score_nightly")
"""Whose logs are ours to remove."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Old:
    """A file or folder past its time."""

    path: Path
    files: int
    bytes: int
    shorten: bool = False
    """A service may be writing to it: emptied, not removed."""
    keep_last: bool = False
    """Before it is emptied it becomes ``<name>.1``."""


def dated_folders(folder: Path, before: date, kept: Collection[date] = ()) -> Iterator[Old]:
    """``as_of=…`` and ``date=…`` folders of the days before, but for the days to be kept and what is being written."""
    for path in sorted(folder.glob("*=*-*-*")):
        day = _date_of(path.name.partition("=")[2])
        if path.is_dir() and not path.is_symlink() and day is not None and day < before and day not in kept:
            yield from _old(path)


def superseded(folder: Path) -> Iterator[Old]:
    """Of copies that are made anew under other names, in a folder for each day, all but the one last made or used."""
    for day in sorted(folder.glob("*=*-*-*")):
        copies = sorted(day.glob("*.parquet"), key=lambda path: path.stat().st_mtime)
        for path in copies[:-1]:
            yield from _old(path)


def reports(folder: Path, before: date) -> Iterator[Old]:
    """Reports that carry the date of a night."""
    for kind in sorted(folder.iterdir()) if folder.is_dir() else ():
        for path in sorted(kind.iterdir()) if kind.is_dir() and kind.name not in _LASTING else ():
            found = _DATE.search(path.name)
            day = _date_of(found[1]) if found else None
            if day is not None and day < before:
                yield from _old(path)


def files_before(folder: Path, pattern: str, before_s: float) -> Iterator[Old]:
    """Files last written before a time."""
    for path in sorted(folder.glob(pattern)):
        if path.is_file() and not path.is_symlink() and (state := path.stat()).st_mtime < before_s:
            yield Old(path, 1, state.st_size)


def service_logs(folder: Path, before_s: float, most_bytes: int) -> Iterator[Old]:
    """Logs of services, which stay open: emptied where nothing was written lately or too much in all."""
    for path in sorted(folder.glob("*.log")):
        if not path.is_file() or path.is_symlink() or not (state := path.stat()).st_size:
            continue
        if state.st_mtime < before_s or state.st_size > most_bytes:
            yield Old(path, 1, state.st_size, shorten=True, keep_last=state.st_mtime >= before_s)
    yield from files_before(folder, "*.log.1", before_s)


def folders_of_tasks(folder: Path) -> list[Path]:
    """Where Airflow keeps the logs of our DAGs' tasks. Whatever else lies beside them is not ours."""
    named = [folder / f"dag_id={name}" for name in _DAGS]
    return [path for path in named if path.is_dir() and not path.is_symlink()]


def parsing_logs(folder: Path, before: date) -> Iterator[Old]:
    """What Airflow's DAG processor wrote on the days before, a folder each."""
    top = folder / "dag_processor"
    for path in sorted(top.glob("????-??-??")) if not top.is_symlink() else ():
        day = _date_of(path.name)
        if path.is_dir() and not path.is_symlink() and day is not None and day < before:
            yield from _old(path)


def days_of_work(folders: Iterable[Path]) -> set[date]:
    """The days (UTC) on which a file below these folders was written last."""
    seconds = {s for folder in folders for path in folder.rglob("*") if (s := _written(path)) is not None}
    return {datetime.fromtimestamp(s, UTC).date() for s in seconds}


def stale_parts(home: Path, landing: Path, *, older_than: float = GRACE_SECONDS) -> Iterator[Old]:
    """Files that a step or the API was writing when it was killed; never one in the landing folder."""
    for top in sorted(
        p for p in home.glob("*") if p.is_dir() and p.name not in (".spill", "airflow", "mlflow", "serving")
    ):
        for path in sorted(top.rglob(".*.part")):
            ours = _PART_OF.search(path.name)
            others = top.name == "predictions" and _PART_OF_PREDICTIONS.search(path.name)
            if path.is_relative_to(landing) or not (ours or others):
                continue
            try:
                state = path.stat()
            except FileNotFoundError:  # finished at this moment
                continue
            least = older_than if ours else GRACE_SECONDS
            if time.time() - state.st_mtime >= least and path.is_file() and not _written_by(path):
                yield Old(path, 1, state.st_size)


def remove(old: Old) -> None:
    """Remove it, or what is left of it. A reader that has the file open reads it to its end."""
    if old.shorten:
        _shorten(old)
    elif old.path.is_dir():
        # Files first, and each of them whole: killed in between, the rest is found again next time.
        shutil.rmtree(old.path)
    else:
        old.path.unlink(missing_ok=True)


def remove_empty_folders(before_s: float, times: dict[Path, float]) -> None:
    """Folders of a tree that are empty and had not changed since before their files went."""
    for path in sorted((p for p in times if p.is_dir()), key=lambda p: -len(p.parts)):
        if times[path] < before_s and not any(path.iterdir()):
            with suppress(OSError):  # somebody put something there at this moment
                path.rmdir()


def folder_times(folder: Path) -> dict[Path, float]:
    """When each folder of a tree was changed last; its top is not among them."""
    return {p: p.stat().st_mtime for p in folder.rglob("*") if p.is_dir() and not p.is_symlink()}


def total(olds: Iterable[Old]) -> tuple[int, int]:
    """Files and bytes."""
    every = list(olds)
    return sum(old.files for old in every), sum(old.bytes for old in every)


def _old(path: Path) -> Iterator[Old]:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    states = [p.stat() for p in files]
    if not states or max(s.st_mtime for s in states) < time.time() - GRACE_SECONDS:
        yield Old(path, len(states), sum(s.st_size for s in states))


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime if path.is_file() and not path.is_symlink() else None
    except FileNotFoundError:  # gone at this moment
        return None


def _date_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _written_by(path: Path) -> bool:
    """Whether the process that it is named after lives."""
    found = _PART_OF.search(path.name)
    return bool(found and psutil.pid_exists(int(found[1])) and time.time() - path.stat().st_mtime < 7 * GRACE_SECONDS)


def _shorten(old: Old) -> None:
    """Services append to their logs: the next line comes to the new end. Lines of the very moment are lost."""
    if old.keep_last:
        copy = old.path.with_name(f"{old.path.name}.1")
        aside = copy.with_name(f".{copy.name}.{os.getpid()}.part")
        try:
            with old.path.open("rb") as source, aside.open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
            aside.replace(copy)
        finally:
            aside.unlink(missing_ok=True)
    os.truncate(old.path, 0)
