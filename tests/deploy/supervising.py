"""Starting a supervisor over real child processes, and looking at what is left of them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[2]
SUPERVISED = Path(__file__).with_name("supervised.py")

SAY_UP = (
    "import os, pathlib, signal, subprocess, sys, time; pathlib.Path(os.environ['UP']).write_text(str(os.getpid()))\n"
)
POLITE = SAY_UP + "time.sleep(300)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + POLITE
# Leaves a grandchild in a session of its own whose parent has ended: nothing but its pid leads to it.
RUNAWAY = (
    """
import subprocess, sys
grandchild = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)"
subprocess.run([sys.executable, "-c", child, grandchild], check=True)
"""
    + POLITE
)


def _heed() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Started:
    """A running supervisor. ``everything`` is each process that carries this test's data home or was below it."""

    def __init__(self, home: Path, argv: list[str]) -> None:
        self.home = home
        self.output = home / "output"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                argv, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, cwd=REPOSITORY, env=_environment(),
                # What a shell runs in the background ignores SIGINT, what nohup runs SIGHUP, and both hand that down.
                preexec_fn=_heed,
            )  # fmt: skip
        self._seen: set[psutil.Process] = set()

    def text(self) -> str:
        return self.output.read_text()

    def await_text(self, text: str, seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.text():
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.text()}"
            assert self.process.poll() is None or text in self.text(), f"ended without {text!r}:\n{self.text()}"
            time.sleep(0.02)

    def look(self) -> set[psutil.Process]:
        """Notes everything below the process as it is now."""
        top = psutil.Process(self.process.pid)
        self._seen |= {top, *top.children(recursive=True)}
        return self._seen

    def left(self) -> list[psutil.Process]:
        return [p for p in self._seen if _lives(p)]

    def await_nothing_left(self, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while self.left():
            assert time.monotonic() < deadline, f"still there: {self.left()}\n{self.text()}"
            time.sleep(0.02)

    def supervisor(self) -> psutil.Process:
        """The process itself, or the one that make started."""
        top = psutil.Process(self.process.pid)
        return next(p for p in [top, *top.children()] if str(SUPERVISED) in _command_line(p))

    def clean_up(self) -> None:
        for process in self.left():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait()


def _lives(process: psutil.Process) -> bool:
    """Whether it has not ended; it may do so between any two questions."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


Supervise = Callable[..., Started]
