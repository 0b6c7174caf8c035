"""Health, metrics and info of the served model, and how the service follows the registry."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from churn.core.model import ChurnModel
from churn.core.training import train
from churn.io.registry import ModelVersion
from tests.serving.conftest import CUSTOMER, NAMES, Platform, eventually, platform_in, running

HEALTH, PREDICT = "/api/churn/health", "/api/churn/predict"


def version_of(client: httpx.Client) -> str | None:
    return client.post(PREDICT, json=CUSTOMER).headers.get("x-model-version")


def test_health_is_healthy_with_a_model(client: httpx.Client) -> None:
    body = client.get(HEALTH).json()
    assert list(body)[:3] == ["status", "model_loaded", "timestamp"]
    assert (body["status"], body["model_loaded"]) == ("healthy", True)
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert (body["model_version"], body["production_version"]) == ("1", "1")
    assert (body["registry_reachable"], body["last_error"]) == (True, None)


def test_metrics_are_those_of_the_version(client: httpx.Client, first_model: ChurnModel) -> None:
    body = client.get("/api/churn/model/metrics").json()
    six = ["accuracy", "precision", "recall", "f1_score", "roc_auc", "precision_recall_auc"]
    assert list(body)[:6] == six
    assert {name: body[name] for name in six} == {n: pytest.approx(first_model.card.cross_validation[n]) for n in six}


def test_info_says_what_is_served(client: httpx.Client) -> None:
    body = client.get("/api/churn/model/info").json()
    assert list(body)[:5] == ["model_type", "features", "target", "model_path", "last_updated"]
    assert body["model_type"] == "XGBoost Classifier"
    assert body["features"] == NAMES
    assert (body["target"], body["model_path"]) == ("churn", "models:/churn/1")
    assert datetime.fromisoformat(body["last_updated"])
    assert body["origin"] == {"as_of": "2018-11-19"}


def test_features_say_what_a_form_needs(client: httpx.Client) -> None:
    body = client.get("/api/churn/features").json()
    assert [f["name"] for f in body] == NAMES
    assert {f["name"]: f["example"] for f in body} == CUSTOMER
    assert all(f["meaning"] and f["unit"] and f["minimum"] < f["maximum"] for f in body)


def test_without_a_model_it_waits_says_so_and_then_serves(platform: Platform, first_model: ChurnModel) -> None:
    with running(platform.settings) as client:
        assert client.get("/livez").status_code == 200
        eventually(lambda: client.get(HEALTH).json()["registry_reachable"])
        health = client.get(HEALTH)
        assert (health.status_code, health.json()["model_loaded"]) == (200, False)
        assert health.json()["status"] == "waiting for a model"
        for answer in (
            client.post(PREDICT, json=CUSTOMER),
            client.post("/api/churn/batch_predict", json=[CUSTOMER]),
            client.get("/api/churn/model/info"),
            client.get("/api/churn/model/metrics"),
            client.get("/readyz"),
        ):
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert "no model" in answer.json()["detail"]
        platform.promote(first_model)
        eventually(lambda: client.get("/readyz").status_code == 200)
        assert version_of(client) == "1"


@dataclass(frozen=True)
class Followed:
    """A platform and a service that follows it. Every test begins with a good version in production."""

    platform: Platform
    client: httpx.Client
    good: ModelVersion

    @property
    def health(self) -> dict[str, Any]:
        body: dict[str, Any] = self.client.get(HEALTH).json()
        return body

    @property
    def error(self) -> str:
        return self.health["last_error"] or ""

    def still_serves_the_good_one(self) -> bool:
        return version_of(self.client) == self.good.version == self.health["model_version"]

    def files(self, name: str) -> set[Path]:
        return set(self.platform.settings.artifact_root.rglob(name))


@pytest.fixture(scope="module")
def following(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, httpx.Client]]:
    platform = platform_in(tmp_path_factory.mktemp("followed"))
    with running(platform.settings) as client:
        yield platform, client


@pytest.fixture
def followed(following: tuple[Platform, httpx.Client], first_model: ChurnModel) -> Followed:
    platform, client = following
    good = platform.promote(first_model)
    eventually(lambda: version_of(client) == good.version)
    return Followed(platform, client, good)


def test_it_follows_promotion_and_rollback_without_a_restart(followed: Followed, second_model: ChurnModel) -> None:
    client, platform = followed.client, followed.platform
    before = client.post(PREDICT, json=CUSTOMER).json()
    second = platform.promote(second_model, roc_auc=0.8125)
    eventually(lambda: version_of(client) == second.version)
    assert client.post(PREDICT, json=CUSTOMER).json() != before
    assert client.get("/api/churn/model/metrics").json()["roc_auc"] == 0.8125
    assert client.get("/api/churn/model/info").json()["model_path"] == f"models:/churn/{second.version}"
    platform.registry.promote(followed.good, "a rollback")
    eventually(lambda: version_of(client) == followed.good.version)
    assert client.post(PREDICT, json=CUSTOMER).json() == before


def test_a_registry_that_goes_away_changes_nothing_for_callers(followed: Followed, second_model: ChurnModel) -> None:
    database = Path(followed.platform.settings.tracking_uri.removeprefix("sqlite:///"))
    kept = database.with_suffix(".kept")
    shutil.copy(database, kept)
    database.write_bytes(b"no database " * 2000)
    eventually(lambda: followed.health["registry_reachable"] is False)
    assert followed.health["status"] == "healthy"
    assert followed.error
    assert followed.still_serves_the_good_one()
    shutil.copy(kept, database)
    eventually(lambda: followed.health["registry_reachable"] and not followed.error)
    second = followed.platform.promote(second_model)
    eventually(lambda: version_of(followed.client) == second.version)


def test_a_version_whose_files_were_changed_is_not_taken(followed: Followed, second_model: ChurnModel) -> None:
    before = followed.files("model.ubj")
    bad = followed.platform.register(second_model)
    (changed,) = followed.files("model.ubj") - before
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    followed.platform.registry.promote(bad, "a test")
    eventually(lambda: f"version {bad.version} was not taken" in followed.error)
    assert "manifest says" in followed.error
    assert followed.health["production_version"] == bad.version
    assert followed.health["status"] == "healthy"
    assert followed.still_serves_the_good_one()


def test_a_version_whose_files_are_gone_is_not_taken(followed: Followed, second_model: ChurnModel) -> None:
    before = followed.files("model.ubj")
    lost = followed.platform.register(second_model)
    (file,) = followed.files("model.ubj") - before
    shutil.rmtree(file.parent)
    followed.platform.registry.promote(lost, "a test")
    eventually(lambda: f"version {lost.version} was not taken" in followed.error)
    assert followed.still_serves_the_good_one()


def test_a_model_of_other_features_is_not_taken(followed: Followed) -> None:
    random = np.random.default_rng(5)
    other = train(pd.DataFrame({"weight": random.normal(size=200)}), random.integers(0, 2, 200))
    followed.platform.promote(other)
    eventually(lambda: "it takes ['weight']" in followed.error)
    assert followed.still_serves_the_good_one()


def test_an_emptied_production_stage_keeps_the_last_model_and_says_so(followed: Followed) -> None:
    followed.platform.registry.stage(followed.good, "taken out of production by a test")
    eventually(lambda: f"still serving version {followed.good.version}" in followed.error)
    assert followed.still_serves_the_good_one()


def test_nothing_that_was_downloaded_is_left_behind(
    served: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with running(served.settings) as client:
        eventually(lambda: version_of(client) == "1")
    assert not list(tmp_path.iterdir())
