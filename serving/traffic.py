"""What the service did, in sums: a request adds to numbers in memory, and once a minute they go to MLflow."""

import logging
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from churn.io.mlflow_traffic import TrafficRun
from serving.poller import Poller
from serving.standing import Standing

_LOG = logging.getLogger(__name__)
_LAST_SECONDS = 5.0
"""What a stop waits for the registry at most."""

_REQUESTS, _ERRORS, _CUSTOMERS, _CONTACTS, _PROBABILITY, _LATENCIES = range(6)
"""Places in the numbers of a version; the last one is where the latencies begin, one number a bin."""
_STEP = 1.1
_BOUNDS = [1e-4 * _STEP**n for n in range(141)]
"""Upper ends of the bins in seconds, 0.1 ms to one minute: a percentile is right to 5 %."""


class Traffic:
    """Adds up, by the version that answered. Nothing here raises, and no request waits for MLflow.

    ``dropped``: how many rows the prediction log has dropped so far.
    """

    def __init__(self, run: TrafficRun, *, dropped: Callable[[], int] = lambda: 0, seconds: float = 60.0) -> None:
        self._run, self._dropped = run, dropped
        # They only grow, each by one thread at a time; a minute is a difference. So none is lost and none waits.
        self._of_loop: dict[str, list[float]] = defaultdict(_nothing)
        self._of_batches: dict[str, list[float]] = defaultdict(_nothing)
        self._lock = threading.Lock()  # of the batches, which are scored by several threads
        self._before: dict[str, list[float]] = defaultdict(_nothing)
        self._dropped_before = 0
        self._logging = threading.Lock()
        self._thread = Poller("traffic", self.minute, seconds)
        self._standing = Standing(_LOG, "the traffic's figures in MLflow")

    def answered(self, version: str, status: int, seconds: float) -> None:
        """A request that scores was answered. ``version``: the one that did, or ``none``. From the event loop only."""
        sums = self._of_loop[version]
        sums[_REQUESTS] += 1
        sums[_LATENCIES + bisect_left(_BOUNDS, seconds)] += 1
        if status >= 500:
            sums[_ERRORS] += 1

    def count(self, version: str, probability: float, decision: int) -> None:
        """One customer was scored. From the event loop only."""
        sums = self._of_loop[version]
        sums[_CUSTOMERS] += 1
        sums[_CONTACTS] += decision
        sums[_PROBABILITY] += probability

    def count_many(self, version: str, probability: NDArray[np.float64], decision: NDArray[np.int64]) -> None:
        """Many customers were scored. From any thread."""
        with self._lock:
            sums = self._of_batches[version]
            sums[_CUSTOMERS] += len(probability)
            sums[_CONTACTS] += int(decision.sum())
            sums[_PROBABILITY] += float(probability.sum())

    def start(self) -> None:
        """Log every minute from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Log the minute that has begun and end the run; waits for that a few seconds."""
        self._thread.stop()
        # A daemon: a registry that hangs must not keep the process from ending.
        last = threading.Thread(target=self._last, name="traffic-last", daemon=True)
        last.start()
        last.join(_LAST_SECONDS)

    def minute(self) -> None:
        """Log what there was since the last time, if anything. Where MLflow is away, that is lost."""
        with self._logging:
            figures = self._since_last()
            if figures:
                self._told(lambda: self._run.log(figures, datetime.now(UTC)))

    def _last(self) -> None:
        self.minute()
        with self._logging:
            self._told(self._run.end)

    def _told(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as e:  # a minute's figures are worth no more than this line
            self._standing.fails(e)
        else:
            self._standing.works()

    def _since_last(self) -> dict[str, float]:
        # Lists of what is there, in one instruction: a request may add a version in between.
        parts = [*list(self._of_loop.items()), *list(self._of_batches.items())]
        now: dict[str, list[float]] = defaultdict(_nothing)
        for version, sums in parts:
            now[version] = [a + b for a, b in zip(now[version], sums.copy(), strict=True)]
        figures: dict[str, float] = {}
        for version, sums in now.items():
            figures |= _figures(version, [b - a for a, b in zip(self._before[version], sums, strict=True)])
        dropped = self._dropped()
        if figures or dropped > self._dropped_before:
            figures["log_rows_dropped"] = float(dropped - self._dropped_before)
        self._before, self._dropped_before = now, dropped
        return figures


def _nothing() -> list[float]:
    return [0.0] * (_LATENCIES + len(_BOUNDS) + 1)


def _figures(version: str, sums: Sequence[float]) -> dict[str, float]:
    """By MLflow's name of each, which it shows in groups by what is before the slash."""
    found: dict[str, float] = {}
    if requests := sums[_REQUESTS]:
        latencies = sums[_LATENCIES:]
        found |= {"requests": requests, "errors": sums[_ERRORS]}
        found |= {f"latency_p{p}_ms": _percentile(latencies, p) * 1000 for p in (50, 99)}
    if customers := sums[_CUSTOMERS]:
        found |= {"customers": customers, "mean_probability": sums[_PROBABILITY] / customers}
        found |= {"share_to_contact": sums[_CONTACTS] / customers}
    return {f"version_{version}/{name}": value for name, value in found.items()}


def _percentile(counts: Sequence[float], percent: int) -> float:
    """Seconds: the middle (on a log scale) of the bin that the percentile lies in; the last bin begins at a minute."""
    up_to = list(accumulate(counts))
    place = bisect_left(up_to, up_to[-1] * percent / 100)
    return float(_BOUNDS[min(place, len(_BOUNDS) - 1)] / _STEP**0.5)
