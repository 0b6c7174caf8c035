"""The model registry: the only file that knows MLflow's stages, aliases and runs.

Stages are deprecated in MLflow but present; the alias is written beside the stage, so that this file is all that
changes when they go.
"""

import fcntl
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.core.model import ChurnModel
from churn.errors import BadInput, ContractViolation, Unavailable
from churn.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

_IDENTITY = "churn.identity"
"""Tag of a version: what it was trained from. The same again is the same version."""

_REQUIREMENTS = ("xgboost", "numpy", "pandas")
_FINAL = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS")
"""MLflow's codes for what asking again does not change."""

_SERVED = "artifacts/core"
"""Where the saved ChurnModel lies inside a registered version."""


@dataclass(frozen=True)
class ModelVersion:
    """One registered version."""

    version: str
    stage: str
    run_id: str
    created_at: datetime
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Candidate:
    """A trained model with everything that is stored beside it."""

    model: ChurnModel
    name: str
    """What people call the training."""
    description: str
    """One paragraph for the version's page."""
    identity: str
    """Fingerprint of the data, the seed and the parameters it was trained from."""
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    attachments: Path
    """Folder of figures and reports, stored as it is."""
    input_example: "pd.DataFrame"


def make_store(settings: Settings) -> None:
    """Make MLflow's SQLite database, whole or not at all: a half-made one could never be opened again.

    Nothing to do for another kind of store, or when it is there.
    """
    uri = settings.tracking_uri
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.is_file():
        return
    _configure()
    import mlflow

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(".making.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second process waits, and finds it made
        aside = path.with_name(f".{path.name}.part")
        aside.unlink(missing_ok=True)
        if not path.is_file():
            mlflow.MlflowClient(f"sqlite:///{aside}").search_experiments()
            aside.replace(path)


def _configure() -> None:
    """MLflow reads these when it is imported."""
    # A caller waits seconds, not minutes, for a registry that is away.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")  # or it stores whatever uv.lock lies around
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")  # it warns of a missing pip, which uv leaves out


class Registry:
    """Registered versions of one model, and which of them is in production."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.name = settings.registered_model

    def production(self) -> ModelVersion | None:
        """The version at stage Production, or None. Raises Unavailable."""
        return self._at_stage("Production")

    def staging(self) -> ModelVersion | None:
        """The newest version that waits at stage Staging, or None."""
        return self._at_stage("Staging")

    def version(self, version: str) -> ModelVersion:
        """One version by number. Raises BadInput naming those that exist."""
        known = self.versions()
        for found in known:
            if found.version == str(version):
                return found
        raise BadInput(f"there is no version {version} of {self.name}; there are {[v.version for v in known]}")

    def versions(self) -> list[ModelVersion]:
        """All versions, newest first."""
        with self._calls() as client:
            found = client.search_model_versions(f"name = '{self.name}'")
            versions = [_version(v) for v in found]
        return sorted(versions, key=lambda v: int(v.version), reverse=True)

    def find(self, identity: str) -> ModelVersion | None:
        """The version that was trained from exactly this, or None."""
        return next((v for v in self.versions() if v.tags.get(_IDENTITY) == identity), None)

    def metrics(self, version: ModelVersion) -> dict[str, float]:
        """Every metric logged with the version."""
        with self._calls() as client:
            return dict(client.get_run(version.run_id).data.metrics)

    def register(self, candidate: Candidate) -> ModelVersion:
        """Log a run with everything and register it as a new version, last of all: a version is whole by construction.

        A run that an earlier, killed attempt left unfinished is removed first.
        """
        _configure()
        import mlflow

        with self._calls() as client:
            self._prepare(client)
            self._drop_unfinished(client, candidate.identity)
            tags = {**candidate.tags, _IDENTITY: candidate.identity}
            with mlflow.start_run(tags=tags, run_name=candidate.name) as run:
                mlflow.log_params(dict(candidate.parameters))
                mlflow.log_metrics({k: v for k, v in candidate.metrics.items() if v == v})
                mlflow.log_artifacts(str(candidate.attachments))
                info = self._log_model(candidate)
            if info.signature is None:
                raise ContractViolation("MLflow stored no signature with the model; it is not registered")
            created = client.create_model_version(
                self.name, info.model_uri, run.info.run_id, tags=tags, model_id=info.model_id,
                description=candidate.description,
            )  # fmt: skip
            return self.version(str(created.version))

    def promote(self, version: ModelVersion, reason: str) -> None:
        """Make a version the only one at stage Production, alias ``champion``. Doing it twice changes nothing."""
        self._move(version, "Production", "champion", reason)

    def stage(self, version: ModelVersion, reason: str) -> None:
        """Let a version wait at stage Staging, alias ``challenger``."""
        self._move(version, "Staging", "challenger", reason)

    def download(self, version: ModelVersion, directory: Path) -> Path:
        """Copy a version's saved ChurnModel into ``directory`` (made 0700) and return its folder."""
        _configure()
        import mlflow

        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._calls():
            fetched = mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{self.name}/{version.version}",
                dst_path=str(directory),
                tracking_uri=self._settings.tracking_uri,
            )
        return Path(fetched) / _SERVED

    def load(self, version: ModelVersion) -> ChurnModel:
        """Download a version, check its files and load it."""
        aside = Path(tempfile.mkdtemp(prefix="churn-model-"))
        try:
            return ChurnModel.load(self.download(version, aside))
        finally:
            shutil.rmtree(aside)

    def _log_model(self, candidate: Candidate) -> Any:
        import mlflow

        with tempfile.TemporaryDirectory(prefix="churn-model-") as folder:
            saved = Path(folder) / "core"
            candidate.model.save(saved)
            return mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("mlflow_model.py")),
                artifacts={"core": str(saved)},
                signature=_signature(candidate.model),
                input_example=candidate.input_example,
                # Given, not inferred: inferring imports the model in subprocesses for seconds.
                pip_requirements=list(_REQUIREMENTS),
            )

    def _at_stage(self, stage: str) -> ModelVersion | None:
        at_stage = [v for v in self.versions() if v.stage == stage]
        return at_stage[0] if at_stage else None

    def _move(self, version: ModelVersion, stage: str, alias: str, reason: str) -> None:
        with self._calls() as client:
            client.set_model_version_tag(self.name, version.version, f"churn.{stage.lower()}.reason", reason)
            # The stage is what everything here reads, so it comes last: killed before it, the move is made again.
            client.set_registered_model_alias(self.name, alias, version.version)
            client.transition_model_version_stage(self.name, version.version, stage, archive_existing_versions=True)
            aliases = client.get_registered_model(self.name).aliases
            if stage == "Production" and str(aliases.get("challenger")) == version.version:
                client.delete_registered_model_alias(self.name, "challenger")

    def _drop_unfinished(self, client: "MlflowClient", identity: str) -> None:
        """Runs of the same training that never became a version: a killed attempt's, removed so that none lingers."""
        experiment = client.get_experiment_by_name(self.name)
        assert experiment is not None  # made by _prepare
        registered = {v.run_id for v in self.versions()}
        for run in client.search_runs([experiment.experiment_id], f"tags.`{_IDENTITY}` = '{identity}'"):
            if run.info.run_id not in registered:
                left = f"source_run_id = '{run.info.run_id}'"
                for logged in client.search_logged_models([experiment.experiment_id], left):
                    client.delete_logged_model(logged.model_id)
                client.delete_run(run.info.run_id)

    @contextmanager
    def _calls(self) -> Iterator["MlflowClient"]:
        """MLflow's client, its stage warnings silenced and its failures translated."""
        _configure()
        from mlflow.exceptions import MlflowException

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, message=".*stages")
            try:
                yield self._client
            except MlflowException as e:
                where = _without_password(self._settings.tracking_uri)
                said = e.message.replace(self._settings.tracking_uri, where)
                if e.error_code in _FINAL:
                    raise BadInput(f"the model registry at {where} refused: {said}") from e
                raise Unavailable(f"the model registry at {where} did not answer: {said}") from e

    @cached_property
    def _client(self) -> "MlflowClient":
        """A client on the tracking server; nothing is written to it."""
        import mlflow

        uri = self._settings.tracking_uri
        make_store(self._settings)
        mlflow.set_tracking_uri(uri)
        return mlflow.MlflowClient(uri, uri)

    def _prepare(self, client: "MlflowClient") -> None:
        """Make the experiment and the registered model if they are not there."""
        import mlflow

        local = self._settings.artifact_root.as_uri() if self._settings.tracking_uri.startswith("sqlite:") else None
        if client.get_experiment_by_name(self.name) is None:
            client.create_experiment(self.name, artifact_location=local)
        mlflow.set_experiment(self.name)
        if not client.search_registered_models(f"name = '{self.name}'"):
            client.create_registered_model(self.name)


def _signature(model: ChurnModel) -> Any:
    """Doubles in, probability and decision out. Given, not inferred: an inferred one may silently be none."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec("double", name) for name in model.features])
    return ModelSignature(inputs, Schema([ColSpec("double", "churn_probability"), ColSpec("long", "churn_prediction")]))


def _version(v: Any) -> ModelVersion:
    return ModelVersion(
        version=str(v.version),  # an int in MLflow 3.17
        stage=str(v.current_stage),
        run_id=str(v.run_id),
        created_at=datetime.fromtimestamp(v.creation_timestamp / 1000, UTC),
        tags=dict(v.tags),
    )


def _without_password(uri: str) -> str:
    scheme, _, rest = uri.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else uri
