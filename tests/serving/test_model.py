"""Health, metrics and info of the served model, and how the service follows the registry."""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from churn.core.model import ChurnModel
from churn.core.training import train
from tests.serving.conftest import CUSTOMER, NAMES, Platform, eventually, running

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


def test_it_follows_promotion_and_rollback_without_a_restart(
    platform: Platform, first_model: ChurnModel, second_model: ChurnModel
) -> None:
    first = platform.promote(first_model)
    with running(platform.settings) as client:
        eventually(lambda: version_of(client) == "1")
        before = client.post(PREDICT, json=CUSTOMER).json()
        platform.promote(second_model, roc_auc=0.8125)
        eventually(lambda: version_of(client) == "2")
        assert client.post(PREDICT, json=CUSTOMER).json() != before
        assert client.get("/api/churn/model/metrics").json()["roc_auc"] == 0.8125
        assert client.get("/api/churn/model/info").json()["model_path"] == "models:/churn/2"
        platform.registry.promote(first, "a rollback")
        eventually(lambda: version_of(client) == "1")
        assert client.post(PREDICT, json=CUSTOMER).json() == before


@pytest.fixture
def two_versions(platform: Platform, first_model: ChurnModel) -> Iterator[httpx.Client]:
    """A service at version 1, for tests in which something goes wrong afterwards."""
    platform.promote(first_model)
    with running(platform.settings) as client:
        eventually(lambda: version_of(client) == "1")
        yield client


def error_of(client: httpx.Client) -> str:
    return client.get(HEALTH).json()["last_error"] or ""


def files(platform: Platform, name: str) -> set[Path]:
    return set(platform.settings.artifact_root.rglob(name))


def test_a_registry_that_goes_away_changes_nothing_for_callers(
    platform: Platform, two_versions: httpx.Client, second_model: ChurnModel
) -> None:
    database = Path(platform.settings.tracking_uri.removeprefix("sqlite:///"))
    kept = database.with_suffix(".kept")
    shutil.copy(database, kept)
    database.write_bytes(b"no database " * 2000)
    eventually(lambda: two_versions.get(HEALTH).json()["registry_reachable"] is False)
    health = two_versions.get(HEALTH).json()
    assert (health["status"], health["model_version"]) == ("healthy", "1")
    assert health["last_error"]
    assert version_of(two_versions) == "1"
    shutil.copy(kept, database)
    eventually(lambda: two_versions.get(HEALTH).json()["registry_reachable"])
    eventually(lambda: not error_of(two_versions))
    platform.promote(second_model)
    eventually(lambda: version_of(two_versions) == "2")


def test_a_version_whose_files_were_changed_is_not_taken(
    platform: Platform, two_versions: httpx.Client, second_model: ChurnModel
) -> None:
    before = files(platform, "model.ubj")
    bad = platform.register(second_model)
    (changed,) = files(platform, "model.ubj") - before
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    platform.registry.promote(bad, "a test")
    eventually(lambda: "version 2 was not taken" in error_of(two_versions))
    assert "manifest says" in error_of(two_versions)
    health = two_versions.get(HEALTH).json()
    assert (health["model_version"], health["production_version"], health["status"]) == ("1", "2", "healthy")
    assert version_of(two_versions) == "1"


def test_a_version_whose_files_are_gone_is_not_taken(
    platform: Platform, two_versions: httpx.Client, second_model: ChurnModel
) -> None:
    before = files(platform, "model.ubj")
    lost = platform.register(second_model)
    (file,) = files(platform, "model.ubj") - before
    shutil.rmtree(file.parent)
    platform.registry.promote(lost, "a test")
    eventually(lambda: "version 2 was not taken" in error_of(two_versions))
    assert version_of(two_versions) == "1"


def test_a_model_of_other_features_is_not_taken(platform: Platform, two_versions: httpx.Client) -> None:
    random = np.random.default_rng(5)
    other = train(pd.DataFrame({"weight": random.normal(size=200)}), random.integers(0, 2, 200))
    platform.promote(other)
    eventually(lambda: "'weight'" in error_of(two_versions))
    assert version_of(two_versions) == "1"


def test_an_emptied_production_stage_keeps_the_last_model_and_says_so(
    platform: Platform, two_versions: httpx.Client
) -> None:
    version = platform.registry.version("1")
    platform.registry.stage(version, "taken out of production by a test")
    eventually(lambda: "still serving version 1" in error_of(two_versions))
    assert version_of(two_versions) == "1"


def test_nothing_that_was_downloaded_is_left_behind(
    platform: Platform, first_model: ChurnModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    platform.promote(first_model)
    monkeypatch.setattr("tempfile.tempdir", str(aside))
    with running(platform.settings) as client:
        eventually(lambda: version_of(client) == "1")
    assert not list(aside.iterdir())
