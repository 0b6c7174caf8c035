"""What a command costs, run in a fresh process: time, processor time and memory of it and of all that it starts."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import IO

import psutil

START, STOP = "start", "stop"
"""What a command may mark (``plain_features.mark``): what lies in between is told apart from the whole."""
_LOOK_SECONDS = 0.1


class Failed(Exception):
    """The command did not end well, and why."""


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock and of the processors."""

    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class Cost:
    """Of one command."""

    between: Spent
    """From `start` to `stop`, where the command says so; the whole otherwise."""
    whole: Spent
    """From the start of the interpreter to its end."""
    peak_megabytes: float
    """Resident memory of all its processes together at its highest, in millions of bytes: what they share counts for
    each."""
    said: str
    """The last line on its standard output that is neither."""


def best(costs: Sequence[Cost]) -> Cost:
    """The least of each time, as other work on the machine only ever adds to it, and the largest of the peaks."""
    return replace(
        costs[0],
        between=_least([cost.between for cost in costs]),
        whole=_least([cost.whole for cost in costs]),
        peak_megabytes=max(cost.peak_megabytes for cost in costs),
    )


def median_seconds(costs: Sequence[Cost]) -> float:
    """Of the clock, in between."""
    return median(cost.between.seconds for cost in costs)


def measured(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None,
    limit_seconds: float = 3_600,
) -> Cost:  # fmt: skip
    """Run it to its end. Raises Failed with its last words."""
    began = time.perf_counter()
    with (
        TemporaryFile() as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=None if environment is None else dict(environment),
            cwd=folder, start_new_session=True, text=True,
        ) as process,
    ):  # fmt: skip
        watch = _Watch(process.pid)
        late = threading.Timer(limit_seconds, _end, [process.pid])
        late.start()
        marks: dict[str, tuple[float, float]] = {}
        said = ""
        try:
            assert process.stdout is not None
            for line in process.stdout:
                words = line.split()
                if words and words[0] in (START, STOP):
                    seconds, used_so_far = map(float, words[1:])
                    marks[words[0]] = (seconds, used_so_far + watch.processor_seconds_of_children())
                elif words:
                    said = line.strip()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            _end(process.pid)
            raise
        finally:
            in_time = late.is_alive()
            late.cancel()
            peak = watch.close()
        seconds = time.perf_counter() - began
        if process.returncode:
            raise Failed(_why(process.returncode, errors) if in_time else f"it took more than {limit_seconds:,.0f} s")
    whole = Spent(seconds, used.ru_utime + used.ru_stime)
    between = whole
    if START in marks and STOP in marks:
        between = Spent(*(after - before for before, after in zip(marks[START], marks[STOP])))
    return Cost(between, whole, peak, said)


class _Watch:
    """Looks at a process and its children every tenth of a second."""

    def __init__(self, pid: int) -> None:
        self._root, self._peak, self._over = psutil.Process(pid), 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def close(self) -> float:
        """Megabytes at the highest."""
        self._over.set()
        self._thread.join()
        return self._peak

    def processor_seconds_of_children(self) -> float:
        """Of all children that live, and of those that these have waited for."""
        total = 0.0
        for process in self._family()[1:]:
            try:
                total += sum(process.cpu_times()[:4])  # user, system, and both of its children that ended
            except psutil.Error:  # it has just ended
                continue
        return total

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            now = 0.0
            for process in self._family():
                try:
                    now += process.memory_info().rss / 1e6
                except psutil.Error:
                    continue
                self._peak = max(self._peak, highest_megabytes(process.pid))
            self._peak = max(self._peak, now)

    def _family(self) -> list[psutil.Process]:
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return []


def _least(spent: Sequence[Spent]) -> Spent:
    return Spent(min(s.seconds for s in spent), min(s.processor_seconds for s in spent))


def highest_megabytes(pid: int) -> float:
    """What Linux remembers of one process, which looking now and then may have missed; elsewhere 0."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")), 0.0)


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _why(code: int, errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    if code == -signal.SIGKILL:
        return "it was killed, as the system does when memory runs out"
    return (lines[-1] if lines else f"it ended with code {code} and no word")[:300]
