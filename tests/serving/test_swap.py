"""Model swaps under load: no request fails, and every answer is, bit for bit, that of the one version that it names."""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from churn.core.features import FEATURE_NAMES, FEATURES
from churn.io.registry import Models
from tests.serving.conftest import NAMES, eventually, platform_in, random_customers
from tests.serving.test_server import started

PREDICT, BATCH, EXPLAIN = (f"/api/churn/{name}" for name in ("predict", "batch_predict", "explain"))
MIXED = random_customers(120, 9, FEATURES)
"""Every third one comes with the core features alone."""
CUSTOMERS = [
    dict(zip(FEATURE_NAMES if i % 3 else NAMES, row, strict=False)) for i, row in enumerate(MIXED.to_numpy().tolist())
]


def probabilities(models: Models) -> list[float]:
    """What the models say of each of the customers."""
    core, full = models.core.predict_proba(MIXED[NAMES]), models.full.predict_proba(MIXED)
    return [float(full[i] if i % 3 else core[i]) for i in range(len(MIXED))]


class Asked(NamedTuple):
    path: str
    first: int
    """Place of the first customer that is asked about; a batch goes on from there, again and again."""

    def expected(self, probability: list[float]) -> list[float]:
        """From the probability of each of the customers."""
        return probability[self.first : self.first + 60] * 20 if self.path == BATCH else [probability[self.first]]


@cache
def body(asked: Asked) -> bytes:
    if asked.path == BATCH:  # large enough for a swap to fall into it
        return json.dumps(CUSTOMERS[asked.first : asked.first + 60] * 20).encode()
    return json.dumps(CUSTOMERS[asked.first]).encode()


class Callers:
    """Threads that ask without a pause, each on a connection that it keeps, and look at every answer."""

    def __init__(self, port: int, count: int = 4) -> None:
        self._port, self._stop = port, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(place,)) for place in range(count)]
        self.expected: dict[str, list[float]] = {}
        """By version, of each customer."""
        self.answered: Counter[tuple[str, str]] = Counter()
        """By path and version."""
        self.wrong: list[str] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(timeout=60)

    def have_met(self, version: str, before: Mapping[tuple[str, str], int]) -> bool:
        """Whether each endpoint has answered by that version, again and again, since then."""
        pairs = [(path, version) for path in (PREDICT, BATCH, EXPLAIN)]
        return all(self.answered[pair] >= before[pair] + 10 for pair in pairs)

    def _run(self, place: int) -> None:
        random = np.random.default_rng(place)
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stop.is_set():
            asked = Asked((PREDICT, BATCH, EXPLAIN)[random.integers(3)], int(random.integers(4)) * 20)
            try:
                connection.request("POST", asked.path, body(asked), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                self._look(asked, answer.status, answer.getheader("X-Model-Version") or "", answer.read())
            except (OSError, HTTPException) as error:
                self.wrong.append(f"{asked}: {error!r}")
                connection.close()
        connection.close()

    def _look(self, asked: Asked, status: int, version: str, said: bytes) -> None:
        if status != 200:
            self.wrong.append(f"{asked}: {status} {said!r}")
            return
        scored = json.loads(said)
        found = [score["churn_probability"] for score in (scored["predictions"] if asked.path == BATCH else [scored])]
        if found != asked.expected(self.expected[version]):
            self.wrong.append(f"{asked}: not what version {version} says")
        self.answered[asked.path, version] += 1


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_fails_and_no_batch_is_mixed_while_versions_change_under_load(
    tmp_path: Path, first_models: Models, second_models: Models, workers: int
) -> None:
    (tmp_path / "home").mkdir()
    platform = platform_in(tmp_path / "home")
    versions = [platform.register(models) for models in (first_models, second_models)]
    platform.registry.promote(versions[0], "a test")
    with started(tmp_path, "--workers", str(workers), app=None, registry_poll_seconds="0.2") as service:
        eventually(lambda: service.answers("/readyz"), seconds=120)
        callers = Callers(service.port)
        callers.expected = {"1": probabilities(first_models), "2": probabilities(second_models)}
        assert callers.expected["1"] != callers.expected["2"]
        with callers.at_work():
            for swap in range(8):
                version, before = versions[1 - swap % 2], callers.answered.copy()
                platform.registry.promote(version, "a test")
                eventually(lambda: callers.wrong or callers.have_met(version.version, before), seconds=60)  # noqa: B023
    print(dict(callers.answered))
    assert callers.wrong == []
