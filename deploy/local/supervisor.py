"""Starts services, watches them, restarts those that die, and leaves no process behind."""

import contextlib
import ctypes
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import psutil

from churn.errors import ChurnError
from deploy.local import guard, processes
from deploy.local.console import Console
from deploy.local.processes import Identity, RunFile
from deploy.local.services import Service

STOP_SECONDS = 20.0
"""How long services may take to stop by themselves."""
LEFTOVER_SECONDS = 5.0
_TICK_SECONDS = 0.2
_CENSUS_SECONDS = 2.0
"""How often the processes below the services are counted; one count reads /proc once, a few milliseconds."""
_SECOND_SIGNAL_SECONDS = 1.0
"""make passes TERM on, so one stop of a process group arrives twice; a person needs longer to press Ctrl-C again."""
_REAP_SECONDS = 3.0
_RESTARTS = 5
_RESTART_WINDOW_SECONDS = 600.0
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


class ServiceFailed(ChurnError):
    """A service did not start, or died too often."""


class Stopped(Exception):
    """Somebody asked the supervisor to stop. Carries the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass
class Running:
    """A service and its present process."""

    service: Service
    process: "subprocess.Popen[bytes]"
    leader: Identity
    log: Path
    since: datetime
    healthy: bool = False
    deaths: list[float] = field(default_factory=list)
    restart_at: float | None = None


class Supervisor:
    """Use as a context manager: leaving it, by whatever way, stops everything that was started in it.

    ``with_parent`` also stops when the parent process ends or was asked to (see ``ParentWatch``).
    """

    def __init__(
        self, console: Console, home: Path, *, with_parent: bool = False, stop_seconds: float = STOP_SECONDS
    ) -> None:
        self._console = console
        self._stop_seconds = stop_seconds
        self._logs = home / "logs"
        self._run_file = RunFile(home / "run" / "processes.json")
        self._cwd = Path(__file__).parents[2]
        self._running: dict[str, Running] = {}
        self._known: set[Identity] = set()
        self._written: tuple[list[Identity], set[Identity]] | None = None
        self._next_census = 0.0
        self._signals = _Signals()
        self._parent = ParentWatch() if with_parent else None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._signals.install()
        _become_subreaper()
        if left := self._run_file.end_leftovers(LEFTOVER_SECONDS):
            self._console.say(f"ended {left} processes that an earlier start left behind")
        self._run_file.clear()
        self._logs.mkdir(parents=True, exist_ok=True)
        self._guard = guard.start(self._run_file.path, self._cwd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._signals.restore()

    # -- starting ------------------------------------------------------------------------------------------------

    def start(self, service: Service) -> None:
        """In a session of its own, with standard output and error in ``logs/<name>.log``."""
        log = self._logs / f"{service.name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        self._spawn(service, log)

    def _spawn(self, service: Service, log: Path) -> Running:
        with log.open("ab") as output:
            process = subprocess.Popen(
                service.argv,
                env=dict(service.env),
                cwd=service.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        leader = processes.identify(psutil.Process(process.pid)) or Identity(process.pid, time.time())
        running = Running(service, process, leader, log, datetime.now(UTC))
        self._running[service.name] = running
        self._take_census()
        return running

    def run(self, service: Service, timeout: float = 180.0) -> str:
        """Runs it to its end and returns what it printed."""
        self.start(service)
        return self.finish(service, timeout)

    def finish(self, service: Service, timeout: float = 180.0) -> str:
        """Waits until a service that was started ends by itself, which it must do with exit code 0."""
        running = self._running[service.name]
        for _ in self.every(_TICK_SECONDS, timeout, f"{service.title} to finish"):
            if (code := running.process.poll()) is not None:
                del self._running[service.name]
                if code:
                    raise ServiceFailed(_death_notice(running, code))
                return running.log.read_text(errors="replace")
        raise AssertionError("every() ends by time or by an error")

    def await_healthy(self, services: Iterable[Service], timeout: float = 180.0) -> None:
        """Returns when all are up; the first to die, or time passing, is an error that shows the log's end."""
        wanted = [self._running[service.name] for service in services]
        names = ", ".join(running.service.title for running in wanted)

        def waiting() -> list[Running]:
            return [running for running in wanted if not running.healthy]

        for _ in self.every(_TICK_SECONDS, timeout, f"{names} to be up", lambda: _tails(waiting())):
            for running in waiting():
                if running.service.health is None or running.service.health.ok(running.since):
                    running.healthy = True
                    self._console.say(f"{running.service.title} is up")
            if not waiting():
                return

    def started_at(self, name: str) -> datetime:
        return self._running[name].since

    # -- watching ------------------------------------------------------------------------------------------------

    def every(
        self, seconds: float, timeout: float | None, awaited: str, details: Callable[[], str] = lambda: ""
    ) -> Iterator[int]:
        """Yields now and then each ``seconds``, watching meanwhile; ``timeout`` seconds of it are an error."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for count in itertools.count():
            self.tick()
            yield count
            if deadline is not None and time.monotonic() > deadline:
                raise ServiceFailed(f"Waited {timeout:.0f} s for {awaited}, in vain.\n{details()}".rstrip())
            self.pause(seconds)

    def pause(self, seconds: float) -> None:
        """Sleeps, but stays awake to signals and deaths."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _TICK_SECONDS))
            self.tick()

    def tick(self) -> None:
        """One look at everything. Raises ``Stopped`` when asked to stop."""
        if self._parent and self._parent.wants_to_stop():
            self._signals.received.append((signal.SIGTERM, time.monotonic()))
        if self._signals.received:
            raise Stopped(self._signals.received[0][0])
        if time.monotonic() >= self._next_census:
            self._reap()
            self._take_census()
        for running in list(self._running.values()):
            self._watch(running)

    def _watch(self, running: Running) -> None:
        """Before it was up, a death is an error; later it is an accident, and the service is started again."""
        code, now = running.process.poll(), time.monotonic()
        if code is None or running.service.health is None:
            return
        if not running.healthy and not running.deaths:
            raise ServiceFailed(_death_notice(running, code))
        if running.restart_at is None:
            running.deaths = [t for t in running.deaths if now - t < _RESTART_WINDOW_SECONDS] + [now]
            if len(running.deaths) > _RESTARTS:
                raise ServiceFailed(f"{running.service.title} died {len(running.deaths)} times in a few minutes.\n"
                                    + _death_notice(running, code))  # fmt: skip
            delay = 2.0 ** (len(running.deaths) - 1)
            running.restart_at = now + delay
            self._console.say(
                f"{running.service.title} {_how(code)}; starting it again in {delay:.0f} s ({running.log})"
            )
            processes.end([running.leader], grace=0.0, reap=self._reap)  # what it left of its own children
        elif now >= running.restart_at:
            self._spawn(running.service, running.log).deaths = running.deaths

    def _take_census(self) -> None:
        """Remembers everything below the services, so that it can be ended even after it lost its parents."""
        leaders = [running.leader for running in self._running.values()]
        guarded = self._guard.pid if self._guard else None
        for child in psutil.Process().children(recursive=True):
            if child.pid != guarded and (identity := processes.identify(child)):
                self._known.add(identity)
        self._known = processes.alive(self._known)
        if self._written != (leaders, self._known):
            self._run_file.write(leaders, self._known)
            self._written = (leaders, set(self._known))
        self._next_census = time.monotonic() + _CENSUS_SECONDS

    def _reap(self) -> None:
        """As subreaper we inherit orphans; nobody else collects their exit codes."""
        ours = {running.process.pid for running in self._running.values()} | {self._guard.pid if self._guard else -1}
        for running in self._running.values():
            running.process.poll()
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error, ChildProcessError):
                if child.pid not in ours and child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, os.WNOHANG)

    # -- stopping ------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ends everything that was started. A second signal from a person ends it at once."""
        if anything := bool(self._running):
            self._console.say("stopping " + ", ".join(r.service.title for r in self._running.values()))
        with contextlib.suppress(OSError):  # a full disk must not keep processes alive
            self._take_census()
        leaders = [running.leader for running in self._running.values()]
        killed = processes.end(
            leaders, self._known, grace=self._stop_seconds, hurry=self._signals.impatient, reap=self._reap
        )
        self._collect_exit_codes()
        self._run_file.clear()
        self._release_guard()
        if anything:
            self._console.say("stopped" + (f" ({len(killed)} processes had to be killed)" if killed else ""))

    def _collect_exit_codes(self) -> None:
        """Ended processes stay in the process table until their parent asks; not every container's init does."""
        deadline = time.monotonic() + _REAP_SECONDS
        for running in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(max(0.0, deadline - time.monotonic()))
        guarded = self._guard.pid if self._guard else None
        while time.monotonic() < deadline and any(c.pid != guarded for c in psutil.Process().children()):
            self._reap()
            time.sleep(0.05)
        self._running.clear()

    def _release_guard(self) -> None:
        if self._guard and self._guard.stdin:
            self._guard.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(10.0)
            self._guard.kill()
            self._guard.wait()
            self._guard = None


class ParentWatch:
    """Whether the parent, make, has gone or was told to.

    make passes TERM on to its children but not INT, which it expects the terminal to send to everyone. A ``kill -INT``
    at make alone is seen on Linux by make no longer catching INT: it resets the handler and waits for its children.
    """

    def __init__(self) -> None:
        self._pid = os.getppid()
        self._caught = self._catches_interrupt()

    def wants_to_stop(self) -> bool:
        return os.getppid() != self._pid or (self._caught and not self._catches_interrupt())

    def _catches_interrupt(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
                if line.startswith("SigCgt:"):
                    return bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1)
        return False


class _Signals:
    """Notes signals instead of raising from wherever the program happens to be."""

    _NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.received: list[tuple[int, float]] = []
        self._before: dict[signal.Signals, object] = {}

    def install(self) -> None:
        # nohup starts us with HUP ignored, and means it. A script's `&` ignores INT too, but there make relies on it.
        for number in self._NUMBERS:
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned

    def impatient(self) -> bool:
        """Whether a second one came, later than one stop needs to arrive by two ways."""
        return any(at - self.received[0][1] > _SECOND_SIGNAL_SECONDS for _, at in self.received[1:])

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received.append((number, time.monotonic()))


def _become_subreaper() -> None:
    """Orphans below us become our children instead of init's (Linux)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _how(code: int) -> str:
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"was ended by signal {-code}"


def _death_notice(running: Running, code: int) -> str:
    return f"{running.service.title} {_how(code)} instead of staying up.\n{_tails([running])}"


def _tails(waiting: Sequence[Running], lines: int = 20) -> str:
    """The last lines of each log, and where the whole of it is."""
    parts = []
    for running in waiting:
        tail = running.log.read_text(errors="replace").splitlines()[-lines:]
        parts += [f"The last lines of {running.log}:", *(f"  | {line}" for line in tail or ["(empty)"])]
    return "\n".join(parts)
