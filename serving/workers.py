"""Several processes of the API behind one port: started, watched, and ended together."""

import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection, get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from time import monotonic, sleep
from types import FrameType

from churn.settings import Settings

_LOG = logging.getLogger(__name__)
_METRICS = "PROMETHEUS_MULTIPROC_DIR"
_LOOK_SECONDS = 0.2
_RESTART_SECONDS = 1.0
_SPARE_SECONDS = 5.0
"""On top of what a process may take to end by itself."""


@contextmanager
def shared_metrics() -> Iterator[None]:
    """A folder where the processes' counts meet. To be entered before anything imports prometheus_client."""
    folder = Path(tempfile.mkdtemp(prefix="churn-metrics-"))
    os.environ[_METRICS] = str(folder)
    try:
        yield
    finally:
        del os.environ[_METRICS]
        shutil.rmtree(folder, ignore_errors=True)


class Workers:
    """``settings.api_workers`` processes that take connections from one listening socket."""

    def __init__(self, settings: Settings, app: str, listening: socket.socket) -> None:
        self._settings = settings
        self._app = app
        self._listening = listening
        self._processes: list[SpawnProcess] = []
        self._signals = 0

    def run(self) -> int:
        """Until a signal; the exit code. The first drains the processes, a second ends them at once.

        A process that was killed is replaced. One that ended by itself would do so again: then all end.
        """
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._processes = [self._start() for _ in range(self._settings.api_workers)]
            while not self._signals:
                connection.wait([p.sentinel for p in self._processes], timeout=_LOOK_SECONDS)
                if self._lost():
                    return 1
        finally:
            killed = self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        if killed:
            _LOG.warning("processes had to be killed", extra={"count": killed})
        return 1 if killed else 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _start(self) -> SpawnProcess:
        process = get_context("spawn").Process(target=work, args=(self._settings, self._app, self._listening))
        process.start()
        return process

    def _lost(self) -> bool:
        """Whether a process has ended by itself. Replaces those that were killed."""
        for place, process in enumerate(self._processes):
            if (code := process.exitcode) is None or self._signals:
                continue
            _forget(process.pid)
            if code >= 0:
                _LOG.error("a process ended by itself", extra={"exit_code": code})
                return True
            _LOG.warning("a process was killed and is replaced", extra={"signal": -code})
            sleep(_RESTART_SECONDS)  # killed at every start, it would be one long start otherwise
            self._processes[place] = self._start()
        return False

    def _end(self) -> int:
        """Ends all; how many had to be killed."""
        # Theirs alone from here on: when the last of them closes it, callers are refused and not left waiting.
        self._listening.close()
        asked, settings = self._signals, self._settings
        for process in self._processes:
            process.terminate()
        until = monotonic() + settings.drain_seconds + settings.request_seconds + _SPARE_SECONDS
        while (left := [p for p in self._processes if p.exitcode is None]) and monotonic() < until:
            if self._signals > max(asked, 1):
                break
            connection.wait([p.sentinel for p in left], timeout=_LOOK_SECONDS)
        for process in left:
            process.kill()
            process.join()
        return len(left)


def work(settings: Settings, app: str, listening: socket.socket) -> None:
    """What one of the processes does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all at once; the parent says what it means
    from serving.__main__ import serve_here

    serve_here(settings, app, listening, worker=True)


def _forget(pid: int | None) -> None:
    """A dead process has nothing at work; what it has counted stays."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
