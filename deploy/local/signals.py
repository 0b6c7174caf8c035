"""How the supervisor learns that it should stop: signals, and the parent process going away."""

import contextlib
import os
import signal
import time
from pathlib import Path
from types import FrameType

_SECOND_SIGNAL_SECONDS = 1.0
"""make passes TERM on, so one stop of a process group arrives twice; a person needs longer to press Ctrl-C again."""


class Stopped(Exception):
    """Somebody asked the supervisor to stop. Carries the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Signals:
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
