"""The log of predictions: a bounded queue in memory, written to disk by a thread; no request waits for it or fails."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import random
from time import monotonic, time_ns

import numpy as np
import pyarrow as pa

from churn.io.prediction_log import write
from serving.customers import Customers
from serving.logged import PACK, Block, Entry, blocks_of_batch, blocks_of_ones
from serving.poller import Poller
from serving.rollout import CHAMPION
from serving.served import Score, Scores, Served
from serving.standing import Standing

_LOG = logging.getLogger(__name__)
_TICK_SECONDS = 1.0
"""How often is looked whether it is time to write, or half of the queue is full."""
_LAST_SECONDS = 5.0
"""What a stop waits for a disk at most."""
_AT_ONCE = 2_000
"""Single predictions made columns in one go, in about a millisecond."""


class PredictionLog:
    """Takes a share of the predictions and writes them every ``seconds``.

    It holds ``most`` rows, some 70 MB, those that are being written included; more are dropped, and counted. What
    cannot be written is not kept either: a disk that is full or away costs its rows, never memory.

    ``shadow``: the version that is asked about what the champion answered, when rows are written; None: nobody.
    ``on_shadow_failure`` is told what it raises; the rows are written without it.
    """

    def __init__(
        self,
        home: Path,
        *,
        share: float,
        seconds: float,
        shadow: Callable[[], Served | None] = lambda: None,
        on_shadow_failure: Callable[[Exception], None] = lambda _: None,
        most: int = 100_000,
    ) -> None:
        self._home, self._share, self._seconds, self._most = home, share, seconds, most
        self._shadow, self._on_shadow_failure = shadow, on_shadow_failure
        self._ones: deque[Entry] = deque()
        self._batches: deque[Block] = deque()
        self._lock = threading.Lock()  # of the counts below, for a few instructions at a time
        self._elsewhere = 0
        """Rows in ``_batches``, and those taken out to be written."""
        self._written = self._dropped = self._shadow_failures = 0
        self._flushing = threading.Lock()
        self._due = monotonic() + seconds
        self._thread = Poller("prediction-log", self._tick, min(seconds, _TICK_SECONDS)) if share > 0 else None
        self._writing, self._shadowing = Standing(_LOG, "writing predictions"), Standing(_LOG, "the shadow's scores")
        self._taking = Standing(_LOG, "taking predictions")

    @property
    def waiting(self) -> int:
        """Rows not on disk yet."""
        return len(self._ones) + self._elsewhere

    @property
    def written(self) -> int:
        """Rows on disk, of this process."""
        return self._written

    @property
    def dropped(self) -> int:
        """Rows that were to be kept and were not: no room, or a disk that did not take them."""
        return self._dropped

    @property
    def shadow_failures(self) -> int:
        """How often the shadow raised something."""
        return self._shadow_failures

    def one(self, endpoint: str, version: str, role: str, score: Score, row: Sequence[float], complete: bool) -> None:
        """Take one prediction; ``row`` has every feature where it is ``complete``, else the core ones in their order.

        On the hot path: a microsecond or two, no lock, and whatever happens, it does not raise.
        """
        if random() >= self._share:  # noqa: S311 - a sample, not a secret
            return
        try:
            if len(self._ones) + self._elsewhere >= self._most:
                self._drop(1)
                return
            packed = PACK[complete](time_ns() // 1_000_000, score.probability, score.decision, *row)
            self._ones.append(((endpoint, version, role, score.model, complete), packed))
        except Exception as e:  # a row of the wrong length is a fault of ours, and no reason to fail a request
            self._drop(1)
            self._taking.fails(e)

    def many(self, endpoint: str, version: str, role: str, scores: Scores, customers: Customers) -> None:
        """Take the predictions of a batch, each with the chance of one that comes alone. Does not raise."""
        if self._share <= 0:
            return
        # Seeded anew by the system: a worker that was forked must not draw what its siblings draw.
        chance, rows = np.random.default_rng(), len(customers.complete)
        kept = np.arange(rows) if self._share >= 1 else np.flatnonzero(chance.random(rows) < self._share)
        room = self._reserve(len(kept))
        if not room:
            return
        if room < len(kept):  # some at random: the first ones of a batch need not be like the others
            kept = np.sort(chance.permutation(kept)[:room])
        try:
            blocks = blocks_of_batch(endpoint, version, role, scores, customers, kept)
        except Exception as e:  # as above
            self._settle(room, written=False)
            self._taking.fails(e)
        else:
            self._batches.extend(blocks)

    def start(self) -> None:
        """Write in the background from now on."""
        if self._thread is not None:
            self._thread.start()

    def stop(self) -> None:
        """Write what is there, and wait for that a few seconds."""
        if self._thread is None:
            return
        self._thread.stop()
        # A daemon: a disk that hangs must not keep the process from ending.
        last = threading.Thread(target=self.flush, name="prediction-log-last", daemon=True)
        last.start()
        last.join(_LAST_SECONDS)
        if last.is_alive():
            _LOG.warning("predictions were left unwritten", extra={"rows": self.waiting})

    def flush(self) -> None:
        """Write what waits now. What cannot be written is dropped."""
        with self._flushing:
            blocks = list(self._taken())
            if not (rows := sum(len(block.ts_ms) for block in blocks)):
                return
            try:
                write(self._home, self._table(blocks))
            except Exception as e:  # a disk fails in as many ways as there are disks
                self._settle(rows, written=False)
                self._writing.fails(e)
            else:
                self._settle(rows, written=True)
                self._writing.works()

    def _tick(self) -> None:
        if monotonic() >= self._due or self.waiting >= self._most / 2:
            self._due = monotonic() + self._seconds
            self.flush()

    def _taken(self) -> Iterator[Block]:
        """What waits now, out of the queues."""
        ones, batches = len(self._ones), len(self._batches)
        for start in range(0, ones, _AT_ONCE):
            rows = min(_AT_ONCE, ones - start)
            entries = [self._ones.popleft() for _ in range(rows)]
            with self._lock:
                self._elsewhere += rows
            yield from blocks_of_ones(entries)
        for _ in range(batches):
            yield self._batches.popleft()

    def _table(self, blocks: list[Block]) -> pa.Table:
        """The blocks, with what the shadow says of what the champion answered.

        The first block that it fails on is the last that it is asked about.
        """
        shadow, records = self._shadow(), []
        for block in blocks:
            said = None
            if shadow is not None and block.role == CHAMPION and block.version != shadow.version.version:
                try:
                    said = (shadow.version.version, shadow.score(block.customers()).probability)
                    self._shadowing.works()
                except Exception as e:  # its failure is its own; the rows are written
                    shadow = None
                    self._shadow_failures += 1
                    self._shadowing.fails(e)
                    self._on_shadow_failure(e)
            records.append(block.record(said))
        return pa.Table.from_batches(records)

    def _reserve(self, rows: int) -> int:
        """Room for so many rows or fewer; those without are dropped."""
        with self._lock:
            room = max(0, min(rows, self._most - len(self._ones) - self._elsewhere))
            self._elsewhere += room
            self._dropped += rows - room
        return room

    def _settle(self, rows: int, *, written: bool) -> None:
        """These rows are on disk, or lost."""
        with self._lock:
            self._elsewhere -= rows
            if written:
                self._written += rows
            else:
                self._dropped += rows

    def _drop(self, rows: int) -> None:
        with self._lock:
            self._dropped += rows
