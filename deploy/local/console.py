"""What a person at the terminal sees: one line per event, with the seconds since the start."""

import contextlib
import sys
import time
from collections.abc import Sequence


class Console:
    """Prints progress. A closed terminal is no reason to stop stopping, so write errors are swallowed."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, text: str = "") -> None:
        """One line, behind the elapsed seconds; further lines are indented to match."""
        stamp = f"[{time.monotonic() - self._began:6.1f} s] "
        head, *rest = text.splitlines() or [""]
        self._write("\n".join([stamp + head, *(" " * len(stamp) + line for line in rest)]))

    def box(self, rows: Sequence[tuple[str, str]]) -> None:
        """Label and value pairs in a frame."""
        label_width = max(len(label) for label, _ in rows)
        lines = [f"{label:<{label_width}}  {value}" for label, value in rows]
        width = max(len(line) for line in lines)
        edge = "+" + "-" * (width + 2) + "+"
        self._write("\n".join(["", edge, *(f"| {line:<{width}} |" for line in lines), edge, ""]))

    def error(self, text: str) -> None:
        """To standard error, unstamped."""
        with contextlib.suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(text, flush=True)
