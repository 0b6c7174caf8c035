"""The registry adapter on a real MLflow store: stages, aliases, signature, and never two models in production."""

import socket
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churn.core.model import ChurnModel
from churn.core.training import train
from churn.errors import BadInput, Unavailable
from churn.io.registry import Candidate, Registry
from churn.settings import Settings


@pytest.fixture(scope="module")
def model() -> ChurnModel:
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(300, 3)), columns=["a", "b", "c"])
    return train(x, (rng.random(300) < 0.3).astype(int))


def candidate(model: ChurnModel, folder: Path, identity: str = "one") -> Candidate:
    folder.mkdir(exist_ok=True)
    (folder / "note.txt").write_text("attached")
    example = pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, 1.0], "c": [3.0, 4.0]})
    return Candidate(
        model,
        "a training",
        "what it is",
        identity,
        {"depth": 3},
        {"roc_auc": 0.7, "undefined": float("nan")},
        {"as_of": "2026-01-01"},
        folder,
        example,
    )


def test_a_version_is_registered_with_everything_and_moves_through_the_stages(
    model: ChurnModel, settings: Settings, tmp_path: Path
) -> None:
    registry = Registry(settings)
    assert registry.production() is None
    assert registry.staging() is None

    first = registry.register(candidate(model, tmp_path / "files"))
    assert (first.version, first.stage, first.tags["as_of"]) == ("1", "None", "2026-01-01")
    assert registry.metrics(first) == {"roc_auc": 0.7}  # what is not a number is not logged
    registry.promote(first, "the first")

    second = registry.register(candidate(model, tmp_path / "files", "two"))
    registry.stage(second, "waits")
    assert (registry.production(), registry.staging()) == (registry.version("1"), registry.version("2"))

    registry.promote(second, "better")
    stages = {v.version: v.stage for v in registry.versions()}
    assert stages == {"2": "Production", "1": "Archived"}
    assert registry.staging() is None
    assert registry.version("2").tags["churn.production.reason"] == "better"
    registry.promote(registry.version("2"), "again")  # changes nothing
    assert {v.version: v.stage for v in registry.versions()} == stages
    with pytest.raises(BadInput, match=r"no version 9 of churn; there are \['2', '1'\]"):
        registry.version("9")


def test_mlflow_itself_loads_the_production_model_and_the_champion(
    model: ChurnModel, settings: Settings, tmp_path: Path
) -> None:
    registry = Registry(settings)
    version = registry.register(candidate(model, tmp_path / "files"))
    registry.promote(version, "the first")
    import mlflow

    rows = pd.DataFrame({"a": [0.5, -1.0], "b": [0.0, 1.0], "c": [2.0, 2.0]})
    for uri in ("models:/churn/Production", "models:/churn@champion"):
        loaded = mlflow.pyfunc.load_model(uri)
        assert loaded.metadata.signature.inputs.input_names() == ["a", "b", "c"]
        assert loaded.metadata.saved_input_example_info is not None
        found = loaded.predict(rows)
        assert np.array_equal(found["churn_probability"], model.predict_proba(rows))
        assert found["churn_prediction"].tolist() == model.decide(model.predict_proba(rows)).tolist()


def test_no_pickle_is_stored_anywhere(model: ChurnModel, settings: Settings, tmp_path: Path) -> None:
    Registry(settings).register(candidate(model, tmp_path / "files"))
    stored = {p.name for p in settings.artifact_root.rglob("*") if p.is_file()}
    assert {"model.ubj", "model.json", "manifest.json", "note.txt"} <= stored
    assert not {n for n in stored if n.endswith((".pkl", ".pickle", ".joblib"))}


def test_a_download_is_the_saved_model_in_a_private_folder(
    model: ChurnModel, settings: Settings, tmp_path: Path
) -> None:
    registry = Registry(settings)
    version = registry.register(candidate(model, tmp_path / "files"))
    folder = tmp_path / "private"
    fetched = ChurnModel.load(registry.download(version, folder))
    assert fetched.card == model.card == registry.load(version).card
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_same_training_is_found_again_and_an_unfinished_attempt_is_cleared(
    model: ChurnModel, settings: Settings, tmp_path: Path
) -> None:
    registry = Registry(settings)
    other = registry.register(candidate(model, tmp_path / "files", "zero"))
    assert registry.find("one") is None
    import mlflow

    # What a killed attempt leaves: a run with the same identity and no version.
    with mlflow.start_run(tags={"churn.identity": "one"}) as unfinished:
        pass
    version = registry.register(candidate(model, tmp_path / "files"))
    assert registry.find("one") == version
    assert registry.find("two") is None
    runs = mlflow.MlflowClient().search_runs(["1"], run_view_type=mlflow.entities.ViewType.ACTIVE_ONLY)
    assert {r.info.run_id for r in runs} == {version.run_id, other.run_id}
    assert unfinished.info.run_id != version.run_id


def test_the_stage_warnings_of_mlflow_do_not_reach_the_user(
    model: ChurnModel, settings: Settings, tmp_path: Path
) -> None:
    registry = Registry(settings)
    version = registry.register(candidate(model, tmp_path / "files"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        registry.promote(version, "the first")
        assert registry.production() is not None


def test_a_registry_that_is_away_says_so_and_shows_no_password(settings: Settings) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    away = settings.model_copy(update={"mlflow_tracking_uri": f"http://user:secret@127.0.0.1:{port}"})
    with pytest.raises(Unavailable, match="did not answer") as failure:
        Registry(away).production()
    assert "secret" not in str(failure.value)
