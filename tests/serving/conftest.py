"""Real parts on a temporary directory: trained models, an MLflow registry and a score book on SQLite, uvicorn."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import uvicorn

from churn.core.features import CORE_FEATURES, FEATURES, Feature
from churn.core.model import CORE, FULL
from churn.core.training import train
from churn.io.registry import Candidate, Models, ModelVersion, Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from serving.app import create_app

NAMES = [f.name for f in CORE_FEATURES]

CUSTOMER: dict[str, Any] = {
    "total_sessions": 10, "avg_session_duration": 3600.0, "total_songs_played": 100, "avg_songs_per_session": 10.0,
    "thumbs_up_count": 20, "thumbs_down_count": 5, "add_playlist_count": 15, "add_friend_count": 8,
    "time_since_last_activity": 2, "days_since_registration": 30, "thumbs_up_ratio": 0.2, "thumbs_down_ratio": 0.05,
    "is_paid_user": 1,
}  # fmt: skip
"""The reference write-up's example, as written."""


FULL_CUSTOMER: dict[str, Any] = {f.name: f.example for f in FEATURES}
"""With every feature."""

EXTENDED = [f.name for f in FEATURES if f.name not in NAMES]


def random_customers(rows: int, seed: int, features: Sequence[Feature] = CORE_FEATURES) -> pd.DataFrame:
    random = np.random.default_rng(seed)

    def column(f: Feature) -> Any:
        drawn = random.integers(0, 200, rows) if f.whole else random.gamma(2, f.example or 1, rows)
        return drawn % 2 if f.kind == "flag" else drawn.clip(f.minimum, f.maximum)

    return pd.DataFrame({f.name: column(f) for f in features}).astype(float)


def trained(seed: int) -> Models:
    """The outcome depends on a core feature and on an extended one, so that the two models differ."""
    features = random_customers(400, seed, FEATURES)
    risk = features["time_since_last_activity"] / 4 - features["is_paid_user"] * 1.5 + seed / 10
    risk += (features[EXTENDED[0]] - 100) / 50
    churned = (np.random.default_rng(seed).random(400) < 1 / (1 + np.exp(-risk))).astype(int)
    return Models(train(features[NAMES], churned, seed=seed, trials=0), train(features, churned, seed=seed, trials=0))


@dataclass(frozen=True)
class Platform:
    """A registry and a score book that the service under test looks at."""

    settings: Settings
    folder: Path

    @property
    def registry(self) -> Registry:
        return Registry(self.settings)

    @property
    def book(self) -> ScoreBook:
        return ScoreBook(self.settings.score_database)

    def register(self, models: Models, **metrics: float) -> ModelVersion:
        attachments = self.folder / "attachments"
        attachments.mkdir(exist_ok=True)
        (attachments / "note.txt").write_text("figures go here")
        return self.registry.register(
            Candidate(
                models={CORE: models.core, FULL: models.full},
                name="a training",
                description="what it is",
                identity=f"{models.full.card.seed}-{time.monotonic_ns()}",
                parameters={"seed": models.full.card.seed},
                metrics={
                    **models.full.card.cross_validation,
                    **{f"core_{name}": value for name, value in models.core.card.cross_validation.items()},
                    **metrics,
                },
                tags={"as_of": "2018-11-19"},
                attachments=attachments,
                input_example=pd.DataFrame([[1.0] * len(models.full.features)], columns=list(models.full.features)),
            )
        )

    def promote(self, models: Models, **metrics: float) -> ModelVersion:
        version = self.register(models, **metrics)
        self.registry.promote(version, "a test")
        return version

    def publish(self, as_of: date, probability: list[float], version: str = "1") -> None:
        p = np.array(probability)
        ids = [f"c{i:03d}" for i in range(len(p))]
        self.book.publish(as_of, version, ids, p, (p >= 0.5).astype(np.int64), threshold=0.5)


def platform_in(folder: Path, **settings: Any) -> Platform:
    given = {"home": folder, "registry_poll_seconds": 0.2, "mlflow_tracking_uri": None, **settings}
    return Platform(Settings(**given), folder)


@pytest.fixture(scope="session")
def first_models() -> Models:
    return trained(seed=1)


@pytest.fixture(scope="session")
def second_models() -> Models:
    return trained(seed=2)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """With nothing in it yet."""
    return platform_in(tmp_path)


@pytest.fixture
def scored(tmp_path: Path, served: Platform) -> Platform:
    """With a score book of its own; the registry is the one that all share, because a new one takes seconds."""
    return platform_in(tmp_path, mlflow_tracking_uri=served.settings.tracking_uri)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, first_models: Models) -> Platform:
    """One platform with a model in production, for tests that change nothing."""
    platform = platform_in(tmp_path_factory.mktemp("served"))
    platform.promote(first_models)
    return platform


@contextmanager
def running(settings: Settings) -> Iterator[httpx.Client]:
    """The service behind a real uvicorn on a free port, in a thread."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def client(served: Platform) -> Iterator[httpx.Client]:
    """A running service with a model loaded, for tests that change nothing."""
    with running(served.settings) as client:
        eventually(lambda: client.get("/readyz").status_code == 200)
        yield client


def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
