"""What was started and how all of it is ended: the count of processes, its file on disk, the guard, the subreaper."""

import contextlib
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.local import guard, processes
from deploy.local.processes import Identity, RunFile

_LEFTOVER_SECONDS = 5.0
_CENSUS_SECONDS = 2.0
"""How often the processes below the services are counted; one count reads /proc once, a few milliseconds."""
_REAP_SECONDS = 3.0
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


@dataclass
class Child:
    """A process that was started, and the session below it."""

    process: "subprocess.Popen[bytes]"
    leader: Identity


class Census:
    """Knows everything below ``children``, which the supervisor keeps up to date."""

    def __init__(self, run_file: Path, cwd: Path, children: Mapping[str, Child]) -> None:
        self._run_file = RunFile(run_file)
        self._cwd = cwd
        self._children = children
        self._known: set[Identity] = set()
        self._written: tuple[list[Identity], set[Identity]] | None = None
        self._next = 0.0
        self._guard: subprocess.Popen[bytes] | None = None

    def open(self) -> int:
        """Ends what an earlier supervisor left, and starts the guard. Returns how many processes were left."""
        _become_subreaper()
        left = self._run_file.end_leftovers(_LEFTOVER_SECONDS)
        self._run_file.clear()
        self._guard = guard.start(self._run_file.path, self._cwd)
        return left

    def take_when_due(self) -> None:
        if time.monotonic() >= self._next:
            self._reap()
            self.take()

    def take(self) -> None:
        """Remembers everything below the services, so that it can be ended even after it lost its parents."""
        leaders = self._leaders()
        guarded = self._guard.pid if self._guard else None
        for child in psutil.Process().children(recursive=True):
            if child.pid != guarded and (identity := processes.identify(child)):
                self._known.add(identity)
        self._known = processes.alive(self._known)
        if self._written != (leaders, self._known):
            self._run_file.write(leaders, self._known)
            self._written = (leaders, set(self._known))
        self._next = time.monotonic() + _CENSUS_SECONDS

    def end_family(self, child: Child) -> None:
        """At once, what a process that died left of its own children."""
        processes.end([child.leader], grace=0.0, reap=self._reap)

    def close(self, grace: float, hurry: Callable[[], bool]) -> int:
        """Ends everything, and lets the guard go. Returns how many had to be killed after ``grace`` seconds."""
        with contextlib.suppress(OSError):  # a full disk must not keep processes alive
            self.take()
        killed = processes.end(self._leaders(), self._known, grace=grace, hurry=hurry, reap=self._reap)
        self._collect_exit_codes()
        self._run_file.clear()
        self._release_guard()
        return len(killed)

    def _leaders(self) -> list[Identity]:
        return [child.leader for child in self._children.values()]

    def _reap(self) -> None:
        """As subreaper we inherit orphans; nobody else collects their exit codes."""
        ours = {child.process.pid for child in self._children.values()} | {self._guard.pid if self._guard else -1}
        for child in self._children.values():
            child.process.poll()
        for process in psutil.Process().children():
            with contextlib.suppress(psutil.Error, ChildProcessError):
                if process.pid not in ours and process.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(process.pid, os.WNOHANG)

    def _collect_exit_codes(self) -> None:
        """Ended processes stay in the process table until their parent asks; not every container's init does."""
        deadline = time.monotonic() + _REAP_SECONDS
        for child in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
        guarded = self._guard.pid if self._guard else None
        while time.monotonic() < deadline and any(c.pid != guarded for c in psutil.Process().children()):
            self._reap()
            time.sleep(0.05)

    def _release_guard(self) -> None:
        if self._guard and self._guard.stdin:
            self._guard.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(10.0)
            self._guard.kill()
            self._guard.wait()
            self._guard = None


def _become_subreaper() -> None:
    """Orphans below us become our children instead of init's (Linux)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
