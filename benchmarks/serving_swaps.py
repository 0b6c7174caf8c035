"""Promotions under load: when the new version answers, and whether anybody is answered wrongly meanwhile."""

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from benchmarks.serving_servers import CUSTOMER, api, rows
from churn.core.features import CORE_FEATURES
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings


@dataclass(frozen=True)
class Swap:
    """A promotion under load."""

    first_new: float
    """Seconds from the promotion's return to the first answer by the new version."""
    answers: int
    failed: int
    mixed: int
    """Batches whose probabilities are not all of one version, the one they name."""


def swaps(settings: Settings, count: int, say: Callable[[str], None]) -> str:
    """Promotions of one version and the other in turn while four clients ask."""
    registry = Registry(settings)
    versions = sorted(registry.versions(), key=lambda v: int(v.version))[:2]
    assert len(versions) == 2, versions
    production = registry.production()
    assert production is not None
    expected = {v.version: _answers_of(registry, v) for v in versions}
    found: list[Swap] = []
    with api(settings) as url:
        for turn in range(count):
            others = [v for v in versions if v.version != production.version]
            found.append(_swap(url, registry, others[0], expected))
            production = others[0]
            say(f"promotion {turn + 1} of {count}")
    longest = max(s.first_new for s in found)
    return (
        f"{count} promotions under load, polling every {settings.registry_poll_seconds:g} s: the first answer by the "
        f"new version after {statistics.median(s.first_new for s in found):.1f} s (median), {longest:.1f} s (longest); "
        f"{sum(s.answers for s in found):,} answers, {sum(s.failed for s in found)} failed, "
        f"{sum(s.mixed for s in found)} batches of mixed versions\n"
    )


def _answers_of(registry: Registry, version: ModelVersion) -> list[float]:
    model = registry.load(version).core
    probability: list[float] = model.predict_proba(
        np.array([list(r.values()) for r in rows(CORE_FEATURES, 50)])
    ).tolist()
    return probability


def _swap(url: str, registry: Registry, version: ModelVersion, expected: Mapping[str, list[float]]) -> Swap:
    end, first_new = threading.Event(), [float("inf")]
    counts = {"answers": 0, "failed": 0, "mixed": 0}
    lock, batch = threading.Lock(), rows(CORE_FEATURES, 50)

    def ask(path: str, body: Any) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not end.is_set():
                try:
                    answer = client.post(url + path, json=body)
                    good = answer.status_code == 200
                except httpx.HTTPError:
                    good = False
                now, mixed = time.monotonic(), False
                if good and path.endswith("batch_predict"):
                    said = [p["churn_probability"] for p in answer.json()["predictions"]]
                    mixed = not np.allclose(said, expected[answer.headers["x-model-version"]], rtol=0, atol=1e-9)
                with lock:
                    counts["answers"] += 1
                    counts["failed"] += not good
                    counts["mixed"] += mixed
                    if good and answer.headers["x-model-version"] == version.version:
                        first_new[0] = min(first_new[0], now)

    threads = [
        threading.Thread(target=ask, args=arguments)
        for arguments in [("/api/churn/predict", CUSTOMER), ("/api/churn/batch_predict", batch)] * 2
    ]
    for thread in threads:
        thread.start()
    time.sleep(1)
    registry.promote(version, "a benchmark")
    promoted = time.monotonic()
    limit = time.monotonic() + 60
    while first_new[0] == float("inf") and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(1)
    end.set()
    for thread in threads:
        thread.join()
    return Swap(max(0.0, first_new[0] - promoted), counts["answers"], counts["failed"], counts["mixed"])
