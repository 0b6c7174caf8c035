"""The registry adapter on a real MLflow store: stages, aliases, signature, and never two models in production."""

import json
import shutil
import socket
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churn.core.model import CORE, FULL, ChurnModel
from churn.core.training import train
from churn.errors import BadInput, ContractViolation, Unavailable
from churn.io.registry import Candidate, Models, ModelVersion, Registry
from churn.settings import Settings
from tests.early_version import register_early


@pytest.fixture(scope="module")
def models() -> Models:
    """Of the columns a and b, and of these and c."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(300, 3)), columns=["a", "b", "c"])
    churned = (rng.random(300) < 1 / (1 + np.exp(1 - x["c"]))).astype(int)
    return Models(core=train(x[["a", "b"]], churned, trials=0), full=train(x, churned, trials=0))


ROWS = pd.DataFrame({"a": [0.5, -1.0], "b": [0.0, 1.0], "c": [2.0, -2.0]})


def candidate(models: Models, folder: Path, identity: str = "one") -> Candidate:
    folder.mkdir(exist_ok=True)
    (folder / "note.txt").write_text("attached")
    example = pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, 1.0], "c": [3.0, 4.0]})
    return Candidate(
        {CORE: models.core, FULL: models.full},
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
    models: Models, settings: Settings, tmp_path: Path
) -> None:
    registry = Registry(settings)
    assert registry.production() is None
    assert registry.staging() is None

    first = registry.register(candidate(models, tmp_path / "files"))
    assert (first.version, first.stage, first.tags["as_of"]) == ("1", "None", "2026-01-01")
    assert registry.metrics(first) == {"roc_auc": 0.7}  # what is not a number is not logged
    registry.promote(first, "the first")

    second = registry.register(candidate(models, tmp_path / "files", "two"))
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
    models: Models, settings: Settings, tmp_path: Path
) -> None:
    registry = Registry(settings)
    registry.promote(registry.register(candidate(models, tmp_path / "files")), "the first")
    import mlflow

    for uri in ("models:/churn/Production", "models:/churn@champion"):
        loaded = mlflow.pyfunc.load_model(uri)
        signature = loaded.metadata.signature
        assert {i.name: (i.type.name, i.required) for i in signature.inputs} == {
            "a": ("double", True),
            "b": ("double", True),
            "c": ("double", False),
        }
        assert signature.outputs.input_names() == ["churn_probability", "churn_prediction", "model"]
        assert loaded.metadata.saved_input_example_info is not None
        found = loaded.predict(ROWS)
        assert np.array_equal(found["churn_probability"], models.full.predict_proba(ROWS))
        assert found["churn_prediction"].tolist() == models.full.decide(models.full.predict_proba(ROWS)).tolist()
        assert found["model"].tolist() == ["full", "full"]


@pytest.mark.parametrize("missing", [float("nan"), float("inf"), None])
def test_mlflow_answers_a_row_without_every_number_by_the_core_model(
    models: Models, settings: Settings, tmp_path: Path, missing: float | None
) -> None:
    registry = Registry(settings)
    registry.promote(registry.register(candidate(models, tmp_path / "files")), "the first")
    import mlflow

    loaded = mlflow.pyfunc.load_model("models:/churn/Production")
    core, full = models.core.predict_proba(ROWS), models.full.predict_proba(ROWS)
    assert (core != full).all()
    without = loaded.predict(ROWS[["a", "b"]])
    assert (without["churn_probability"].tolist(), set(without["model"])) == (core.tolist(), {"core"})
    partly = ROWS.assign(c=pd.Series([missing, -2.0], dtype=float)).set_index(pd.Index([7, 3]))
    mixed = loaded.predict(partly)
    assert mixed["churn_probability"].tolist() == [core[0], full[1]]
    assert mixed["model"].to_dict() == {7: "core", 3: "full"}
    assert loaded.predict(ROWS.assign(c=np.nan))["churn_probability"].tolist() == core.tolist()
    with pytest.raises(mlflow.MlflowException, match="missing inputs"):
        loaded.predict(ROWS[["a", "c"]])


def test_what_is_attached_to_a_version_is_copied_and_more_can_be_added(
    models: Models, settings: Settings, tmp_path: Path
) -> None:
    registry = Registry(settings)
    version = registry.register(candidate(models, tmp_path / "files"))
    note = registry.attachment(version, "note.txt", tmp_path / "copy")
    assert note is not None and note.parent == tmp_path / "copy"
    assert note.read_text() == "attached"
    for nothing in ("drift", "drift/reference.json", "note.txt/deeper", "note"):
        assert registry.attachment(version, nothing, tmp_path / "copy") is None

    more = tmp_path / "more"
    (more / "deep").mkdir(parents=True)
    (more / "deep" / "reference.json").write_text("{}")
    registry.attach(version, more, "drift")
    folder = registry.attachment(version, "drift", tmp_path / "copy")
    assert folder is not None and (folder / "deep" / "reference.json").read_text() == "{}"
    (more / "deep" / "reference.json").write_text("[]")
    registry.attach(version, more, "drift")  # again: replaced
    file = registry.attachment(version, "drift/deep/reference.json", tmp_path / "again")
    assert file is not None and file.read_text() == "[]"
    assert registry.load(version).core.card == models.core.card  # the models are as they were


def test_no_pickle_is_stored_anywhere(models: Models, settings: Settings, tmp_path: Path) -> None:
    Registry(settings).register(candidate(models, tmp_path / "files"))
    stored = [p for p in settings.artifact_root.rglob("*") if p.is_file()]
    assert {p.parent.name for p in stored if p.name == "manifest.json"} == {"core", "full"}
    assert "note.txt" in {p.name for p in stored}
    assert not {p.name for p in stored if p.suffix in (".pkl", ".pickle", ".joblib")}


def test_a_download_is_the_saved_models_in_a_private_folder(models: Models, settings: Settings, tmp_path: Path) -> None:
    registry = Registry(settings)
    version = registry.register(candidate(models, tmp_path / "files"))
    folder = tmp_path / "private"
    fetched = {name: ChurnModel.load(path) for name, path in registry.download(version, folder).items()}
    loaded = registry.load(version)
    assert fetched[CORE].card == models.core.card == loaded.core.card
    assert fetched[FULL].card == models.full.card == loaded.full.card
    assert folder.stat().st_mode & 0o777 == 0o700


def saved(settings: Settings, version: ModelVersion, name: str) -> Path:
    """The folder of one of the version's models in the artifact store."""
    (folder,) = (p.parent for p in settings.artifact_root.rglob(f"{name}/manifest.json"))
    assert version.version == "1"
    return folder


@pytest.mark.parametrize("name", [CORE, FULL])
def test_a_version_that_lost_or_changed_a_file_is_not_loaded(
    models: Models, settings: Settings, tmp_path: Path, name: str
) -> None:
    registry = Registry(settings)
    version = registry.register(candidate(models, tmp_path / "files"))
    folder = saved(settings, version, name)
    changed = folder / next(iter(json.loads((folder / "manifest.json").read_text())["sha256"]))
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    with pytest.raises(ContractViolation, match="manifest says"):
        registry.load(version)
    shutil.rmtree(folder)
    with pytest.raises(ContractViolation, match=r"holds no manifest\.json"):
        registry.load(version)


def test_a_version_from_before_there_were_two_models_answers_with_its_one(
    models: Models, settings: Settings, tmp_path: Path
) -> None:
    registry = Registry(settings)
    registry.register(candidate(models, tmp_path / "files"))
    early = registry.load(register_early(settings, models.core, tmp_path / "early"))
    assert early.full is early.core
    assert early.core.card == models.core.card
    assert early.best_for(["a", "b", "c"]) == (CORE, early.core)


def test_the_full_model_is_for_tables_with_all_of_its_columns(models: Models) -> None:
    assert models.best_for(["c", "b", "a", "x"]) == (FULL, models.full)
    assert models.best_for(["a", "b"]) == (CORE, models.core)
    assert models.complete(ROWS).tolist() == [True, True]
    assert models.complete(ROWS.assign(c=[None, 1])).tolist() == [False, True]
    assert models.complete(ROWS[["a", "b"]]).tolist() == [False, False]
    assert Models(models.core, models.core).complete(ROWS).tolist() == [False, False]


def test_models_that_do_not_belong_together_are_no_candidate(models: Models, tmp_path: Path) -> None:
    good = candidate(models, tmp_path / "files")
    with pytest.raises(BadInput, match=r"this one has \['core'\]"):
        replace(good, models={CORE: models.core})
    with pytest.raises(BadInput, match=r"does not take \['c'\]"):
        replace(good, models={CORE: models.full, FULL: models.core})


def test_the_same_training_is_found_again_and_an_unfinished_attempt_is_cleared(
    models: Models, settings: Settings, tmp_path: Path
) -> None:
    registry = Registry(settings)
    other = registry.register(candidate(models, tmp_path / "files", "zero"))
    assert registry.find("one") is None
    import mlflow

    # What a killed attempt leaves: a run with the same identity and no version.
    with mlflow.start_run(tags={"churn.identity": "one"}) as unfinished:
        pass
    version = registry.register(candidate(models, tmp_path / "files"))
    assert registry.find("one") == version
    assert registry.find("two") is None
    runs = mlflow.MlflowClient().search_runs(["1"], run_view_type=mlflow.entities.ViewType.ACTIVE_ONLY)
    assert {r.info.run_id for r in runs} == {version.run_id, other.run_id}
    assert unfinished.info.run_id != version.run_id


def test_the_stage_warnings_of_mlflow_do_not_reach_the_user(models: Models, settings: Settings, tmp_path: Path) -> None:
    registry = Registry(settings)
    version = registry.register(candidate(models, tmp_path / "files"))
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
