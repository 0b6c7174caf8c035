"""Finding and ending processes by identity: pid and creation time together, so a reused pid is never hit."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

_SAME_START_SECONDS = 1.0
"""Creation times are kept to the clock tick and move with the wall clock; a pid is not reused within a second."""


class Identity(NamedTuple):
    """A process, also after it has ended."""

    pid: int
    created: float

    def find(self) -> psutil.Process | None:
        """The process, if it still lives."""
        try:
            process = psutil.Process(self.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE
            same = abs(process.create_time() - self.created) <= _SAME_START_SECONDS
        except psutil.Error:
            return None
        return process if alive and same else None

    @property
    def reused(self) -> bool:
        """The pid belongs to another process now. No pid is given away that is still a session's: that is over too."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.created) > _SAME_START_SECONDS
        except psutil.Error:
            return False


def identify(process: psutil.Process) -> Identity | None:
    """``None`` when it ended meanwhile."""
    try:
        return Identity(process.pid, process.create_time())
    except psutil.Error:
        return None


def family(leaders: Collection[Identity]) -> set[Identity]:
    """The leaders, everything below them, and everything in their sessions (orphans keep their session)."""
    found: set[Identity] = set()
    for leader in leaders:
        if process := leader.find():
            found.add(leader)
            with contextlib.suppress(psutil.Error):
                found.update(filter(None, map(identify, process.children(recursive=True))))
    oldest = {leader.pid: leader.created - _SAME_START_SECONDS for leader in leaders if not leader.reused}
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            session = os.getsid(pid)
            member = identify(psutil.Process(pid)) if session in oldest else None
            if member and member.created >= oldest[session]:
                found.add(member)
    return found


def send(processes: Iterable[Identity], number: signal.Signals) -> None:
    """The signal, to those that still live."""
    for identity in processes:
        if process := identity.find():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)


def alive(processes: Iterable[Identity]) -> set[Identity]:
    return {identity for identity in processes if identity.find()}


def end(
    leaders: Collection[Identity],
    known: Iterable[Identity] = (),
    *,
    grace: float,
    hurry: Callable[[], bool] = lambda: False,
    reap: Callable[[], None] = lambda: None,
) -> set[Identity]:
    """TERM to the leaders, ``grace`` seconds (or until ``hurry``), then KILL for all that is left of their families.

    Returns those that had to be killed.
    """
    everyone = alive(family(leaders) | set(known))
    send(leaders, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while everyone and time.monotonic() < deadline and not hurry():
        time.sleep(0.1)
        reap()
        everyone = alive(everyone | family(leaders))
    killed: set[Identity] = set()
    deadline = time.monotonic() + 5.0
    while everyone and time.monotonic() < deadline:
        killed |= everyone
        send(everyone, signal.SIGKILL)
        time.sleep(0.05)
        reap()
        everyone = alive(everyone | family(leaders))
    return killed


class RunFile:
    """What a supervisor started, on disk, for whoever must end it when the supervisor no longer can."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, leaders: Iterable[Identity], known: Iterable[Identity]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".tmp")
        aside.write_text(json.dumps({"leaders": list(leaders), "known": sorted(known)}))
        aside.replace(self.path)

    def read(self) -> tuple[list[Identity], list[Identity]]:
        """Leaders and the other processes seen; empty when there is no readable file."""
        try:
            content = json.loads(self.path.read_text())
            return [Identity(*pair) for pair in content["leaders"]], [Identity(*pair) for pair in content["known"]]
        except (OSError, ValueError, KeyError, TypeError):
            return [], []

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)

    def end_leftovers(self, grace: float) -> int:
        """Ends what an earlier supervisor left running. Returns how many processes there were."""
        leaders, known = self.read()
        left = alive(family(leaders) | set(known))
        if left:
            end(leaders, known, grace=grace)
        return len(left)
