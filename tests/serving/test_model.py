"""Health, metrics and info of the served model, and how the service follows the registry."""

import json
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

from churn.core.features import FEATURES
from churn.core.model import CORE, FULL
from churn.core.training import train
from churn.io.registry import Models, ModelVersion
from tests.early_version import register_early
from tests.serving.conftest import (
    CUSTOMER,
    FULL_CUSTOMER,
    NAMES,
    Platform,
    eventually,
    platform_in,
    random_customers,
    running,
)

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


def test_metrics_are_those_of_the_version(client: httpx.Client, first_models: Models) -> None:
    body = client.get("/api/churn/model/metrics").json()
    six = ["accuracy", "precision", "recall", "f1_score", "roc_auc", "precision_recall_auc"]
    assert list(body)[:6] == six
    full, core = first_models.full.card.cross_validation, first_models.core.card.cross_validation
    assert {name: body[name] for name in six} == {n: pytest.approx(full[n]) for n in six}
    assert {name: body[f"core_{name}"] for name in six} == {n: pytest.approx(core[n]) for n in six}


def test_info_says_what_is_served(client: httpx.Client, first_models: Models) -> None:
    body = client.get("/api/churn/model/info").json()
    assert list(body)[:5] == ["model_type", "features", "target", "model_path", "last_updated"]
    assert body["model_type"] in (
        "XGBoost Classifier",
        "Logistic Regression",
        "Blend of Logistic Regression and XGBoost",
    )
    assert body["features"] == NAMES
    assert (body["target"], body["model_path"]) == ("churn", "models:/churn/1")
    assert datetime.fromisoformat(body["last_updated"])
    assert body["origin"] == {"as_of": "2018-11-19"}
    core, full = body["models"]["core"], body["models"]["full"]
    assert {name: body[name] for name in core} == core  # what stands outside is the core model's
    assert full["features"] == [f.name for f in FEATURES]
    assert (core["threshold"], full["threshold"]) == (first_models.core.threshold, first_models.full.threshold)
    assert full["importance"] == pytest.approx(dict(first_models.full.card.importance))
    assert body["model_note"] is None


def test_features_say_what_a_form_needs(client: httpx.Client) -> None:
    body = client.get("/api/churn/features").json()
    assert {f["name"]: f["example"] for f in body} == FULL_CUSTOMER
    assert [f["name"] for f in body if f["required"]] == NAMES
    assert {name: FULL_CUSTOMER[name] for name in NAMES} == CUSTOMER
    assert all(f["meaning"] and f["unit"] and f["minimum"] < f["maximum"] for f in body)


def test_without_a_model_it_waits_says_so_and_then_serves(platform: Platform, first_models: Models) -> None:
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
        platform.promote(first_models)
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

    def saved(self, name: str) -> set[Path]:
        """Folders of that model of every version."""
        return {p.parent for p in self.platform.settings.artifact_root.rglob(f"{name}/manifest.json")}


@pytest.fixture(scope="module")
def following(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, httpx.Client]]:
    platform = platform_in(tmp_path_factory.mktemp("followed"))
    with running(platform.settings) as client:
        yield platform, client


@pytest.fixture
def followed(following: tuple[Platform, httpx.Client], first_models: Models) -> Followed:
    platform, client = following
    good = platform.promote(first_models)
    eventually(lambda: version_of(client) == good.version)
    return Followed(platform, client, good)


def test_it_follows_promotion_and_rollback_without_a_restart(followed: Followed, second_models: Models) -> None:
    client, platform = followed.client, followed.platform
    before = client.post(PREDICT, json=CUSTOMER).json()
    second = platform.promote(second_models, roc_auc=0.8125)
    eventually(lambda: version_of(client) == second.version)
    assert client.post(PREDICT, json=CUSTOMER).json() != before
    assert client.get("/api/churn/model/metrics").json()["roc_auc"] == 0.8125
    assert client.get("/api/churn/model/info").json()["model_path"] == f"models:/churn/{second.version}"
    platform.registry.promote(followed.good, "a rollback")
    eventually(lambda: version_of(client) == followed.good.version)
    assert client.post(PREDICT, json=CUSTOMER).json() == before


def test_a_registry_that_goes_away_changes_nothing_for_callers(followed: Followed, second_models: Models) -> None:
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
    second = followed.platform.promote(second_models)
    eventually(lambda: version_of(followed.client) == second.version)


@pytest.mark.parametrize("name", [CORE, FULL])
def test_a_version_whose_files_were_changed_is_not_taken(followed: Followed, second_models: Models, name: str) -> None:
    before = followed.saved(name)
    bad = followed.platform.register(second_models)
    (folder,) = followed.saved(name) - before
    changed = folder / next(iter(json.loads((folder / "manifest.json").read_text())["sha256"]))
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    followed.platform.registry.promote(bad, "a test")
    eventually(lambda: f"version {bad.version} was not taken" in followed.error)
    assert "manifest says" in followed.error
    assert followed.health["production_version"] == bad.version
    assert followed.health["status"] == "healthy"
    assert followed.still_serves_the_good_one()


@pytest.mark.parametrize("name", [CORE, FULL])
def test_a_version_whose_files_are_gone_is_not_taken(followed: Followed, second_models: Models, name: str) -> None:
    before = followed.saved(name)
    lost = followed.platform.register(second_models)
    (folder,) = followed.saved(name) - before
    shutil.rmtree(folder)
    followed.platform.registry.promote(lost, "a test")
    eventually(lambda: f"version {lost.version} was not taken" in followed.error)
    assert followed.still_serves_the_good_one()


def test_a_model_of_other_features_is_not_taken(followed: Followed) -> None:
    random = np.random.default_rng(5)
    other = train(pd.DataFrame({"weight": random.normal(size=200)}), random.integers(0, 2, 200), trials=0)
    followed.platform.promote(Models(other, other))
    eventually(lambda: "it takes ['weight']" in followed.error)
    assert followed.still_serves_the_good_one()


def test_a_version_whose_full_model_takes_other_features_answers_with_its_core(
    followed: Followed, second_models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    features = random_customers(300, 3).assign(weight=1.0)
    other = train(features, np.random.default_rng(5).integers(0, 2, 300), trials=0)
    answers_with_core_alone(followed, followed.platform.promote(Models(second_models.core, other)), second_models)
    assert "it takes ['weight'], lacks" in followed.health["model_note"]
    assert "the core model answers every request" in caplog.text
    metrics = followed.client.get("/api/churn/model/metrics").json()
    assert metrics["roc_auc"] == pytest.approx(second_models.core.card.cross_validation["roc_auc"])


def test_a_version_from_before_there_were_two_models_answers_with_its_one(
    followed: Followed, second_models: Models, tmp_path: Path
) -> None:
    early = register_early(followed.platform.settings, second_models.core, tmp_path / "early")
    followed.platform.registry.promote(early, "a rollback")
    answers_with_core_alone(followed, early, second_models)
    assert followed.health["model_note"] == "the version was registered without a full model"


def answers_with_core_alone(followed: Followed, version: ModelVersion, models: Models) -> None:
    client = followed.client
    eventually(lambda: version_of(client) == version.version)
    core = models.core.predict_proba(pd.DataFrame([CUSTOMER, FULL_CUSTOMER])[NAMES])
    for customer, probability in zip((CUSTOMER, FULL_CUSTOMER), core, strict=True):
        answer = client.post(PREDICT, json=customer)
        assert (answer.json()["churn_probability"], answer.headers["x-model"]) == (probability, "core")
    batch = client.post("/api/churn/batch_predict", json=[FULL_CUSTOMER, CUSTOMER, FULL_CUSTOMER])
    assert [p["churn_probability"] for p in batch.json()["predictions"]] == core[[1, 0, 1]].tolist()
    assert batch.headers["x-model"] == "core"
    info = client.get("/api/churn/model/info").json()
    assert info["models"]["full"] is None
    assert info["model_note"] == followed.health["model_note"]
    assert not followed.error  # it is the version in production


def test_an_emptied_production_stage_keeps_the_last_model_and_says_so(followed: Followed) -> None:
    import mlflow

    # By hand, as on MLflow's page: the registry itself never leaves the stage empty.
    client = mlflow.MlflowClient(followed.platform.settings.tracking_uri)
    client.transition_model_version_stage("churn", followed.good.version, "Archived")
    eventually(lambda: f"still serving version {followed.good.version}" in followed.error)
    assert followed.still_serves_the_good_one()


def test_nothing_that_was_downloaded_is_left_behind(
    served: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with running(served.settings) as client:
        eventually(lambda: version_of(client) == "1")
    assert not list(tmp_path.iterdir())
