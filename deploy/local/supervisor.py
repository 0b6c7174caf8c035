"""Starts services, watches them, restarts those that die, and leaves no process behind."""

import contextlib
import itertools
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from churn.errors import ChurnError
from deploy.local import processes
from deploy.local.census import Census, Child
from deploy.local.console import Console
from deploy.local.processes import Identity
from deploy.local.services import Service
from deploy.local.signals import ParentWatch, Signals, Stopped

STOP_SECONDS = 20.0
"""How long services may take to stop by themselves."""
_TICK_SECONDS = 0.2
_RESTARTS = 5
_RESTART_WINDOW_SECONDS = 600.0


class ServiceFailed(ChurnError):
    """A service did not start, or died too often."""


@dataclass
class Running(Child):
    """A service and its present process."""

    service: Service
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
        self._cwd = Path(__file__).parents[2]
        self._running: dict[str, Running] = {}
        self._census = Census(home / "run" / "processes.json", self._cwd, self._running)
        self._signals = Signals()
        self._parent = ParentWatch() if with_parent else None

    def __enter__(self) -> Self:
        self._signals.install()
        if left := self._census.open():
            self._console.say(f"ended {left} processes that an earlier start left behind")
        self._logs.mkdir(parents=True, exist_ok=True)
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
        running = Running(process, leader, service, log, datetime.now(UTC))
        self._running[service.name] = running
        self._census.take()
        return running

    def run(self, service: Service, timeout: float = 180.0) -> None:
        """Runs it to its end."""
        self.start(service)
        self.finish(service, timeout)

    def finish(self, service: Service, timeout: float = 180.0) -> None:
        """Waits until a service that was started ends by itself, which it must do with exit code 0."""
        running = self._running[service.name]
        for _ in self.every(_TICK_SECONDS, timeout, f"{service.title} to finish"):
            if (code := running.process.poll()) is not None:
                del self._running[service.name]
                if code:
                    raise ServiceFailed(_death_notice(running, code))
                return

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
        self._census.take_when_due()
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
            self._census.end_family(running)
        elif now >= running.restart_at:
            self._spawn(running.service, running.log).deaths = running.deaths

    # -- stopping ------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ends everything that was started. A second signal from a person ends it at once."""
        if anything := bool(self._running):
            self._console.say("stopping " + ", ".join(r.service.title for r in self._running.values()))
        killed = self._census.close(self._stop_seconds, self._signals.impatient)
        self._running.clear()
        if anything:
            self._console.say("stopped" + (f" ({killed} processes had to be killed)" if killed else ""))


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
