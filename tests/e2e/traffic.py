"""Callers of the API while something breaks: what they were answered, and for how long they were not."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx
from running_platform import CUSTOMER

_PAUSE_SECONDS = 0.02


@dataclass
class Seen:
    """Answers of one kind of request, by status; ``0``: no answer at all."""

    statuses: Counter[int] = field(default_factory=Counter)
    down_since: float | None = None
    longest_down: float = 0.0
    """Seconds from the first request that failed to the next one that did not."""

    def note(self, status: int) -> None:
        now = time.monotonic()
        self.statuses[status] += 1
        if status == 200:
            if self.down_since is not None:
                self.longest_down = max(self.longest_down, now - self.down_since)
            self.down_since = None
        elif self.down_since is None:
            self.down_since = now

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)


class Traffic:
    """Predictions and looks at tonight's list, until the end of the ``with``."""

    def __init__(self, address: str) -> None:
        """``address``: of ``/api/churn``."""
        self._address = address
        self._ending = threading.Event()
        self.predictions, self.lists = Seen(), Seen()
        self._threads = [
            threading.Thread(target=self._ask, args=("POST", "/predict", self.predictions)),
            threading.Thread(target=self._ask, args=("GET", "/top?limit=5", self.lists)),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, method: str, path: str, seen: Seen) -> None:
        body = {"json": CUSTOMER} if method == "POST" else {}
        with httpx.Client(timeout=10, trust_env=False) as client:
            while not self._ending.is_set():
                try:
                    status = client.request(method, self._address + path, **body).status_code
                except httpx.TransportError:
                    status = 0
                seen.note(status)
                time.sleep(_PAUSE_SECONDS)
