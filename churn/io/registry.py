"""The model registry: the only file that knows MLflow's stages, aliases and runs; what is stored is beside it.

Stages are deprecated in MLflow but present; the alias is written beside the stage, so that this file is all that
changes when they go.
"""

import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from churn.errors import BadInput
from churn.io.mlflow_logging import log_models, model_folders
from churn.io.mlflow_store import Store, configure, make_store
from churn.io.versions import Candidate, Models, ModelVersion
from churn.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Candidate", "Current", "ModelVersion", "Models", "Registry", "make_store"]

_IDENTITY = "churn.identity"
"""Tag of a version: what it was trained from. The same again is the same version."""
_NOTE = "churn.production.note"
"""Tag of a version: what was to be written down of its last move to Production."""


class Current(NamedTuple):
    """Who is in production and who waits, seen in one look."""

    production: ModelVersion | None
    staging: ModelVersion | None
    """The newest one that waits."""


class Registry:
    """Registered versions of one model, and which of them is in production."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._calls = Store(settings).calls
        self.name = settings.registered_model

    def production(self) -> ModelVersion | None:
        """The version at stage Production, or None. Raises Unavailable."""
        return self.current().production

    def staging(self) -> ModelVersion | None:
        """The newest version that waits at stage Staging, or None."""
        return self.current().staging

    def current(self) -> Current:
        """The versions at stage Production and at stage Staging. Raises Unavailable."""
        newest: dict[str, ModelVersion] = {}
        for version in self.versions():
            newest.setdefault(version.stage, version)
        return Current(newest.get("Production"), newest.get("Staging"))

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
        configure()
        import mlflow

        with self._calls() as client:
            self._prepare(client)
            self._drop_unfinished(client, candidate.identity)
            tags = {**candidate.tags, _IDENTITY: candidate.identity}
            with mlflow.start_run(tags=tags, run_name=candidate.name) as run:
                mlflow.log_params(dict(candidate.parameters))
                mlflow.log_metrics({k: v for k, v in candidate.metrics.items() if v == v})
                mlflow.log_artifacts(str(candidate.attachments))
                info = log_models(candidate)
            created = client.create_model_version(
                self.name, info.model_uri, run.info.run_id, tags=tags, model_id=info.model_id,
                description=candidate.description,
            )  # fmt: skip
            return self.version(str(created.version))

    def promote(self, version: ModelVersion, reason: str, *, note: str | None = None) -> None:
        """Make a version the only one at stage Production, alias ``champion``. Doing it twice changes nothing.

        ``note`` is kept with the version before anything moves; ``Registry.note`` reads it.
        """
        self._move(version, "Production", "champion", {"churn.production.reason": reason, _NOTE: note or ""})

    def stage(self, version: ModelVersion, reason: str) -> None:
        """Let a version wait at stage Staging, alias ``challenger``.

        Raises BadInput for the one in production: no model would be left there.
        """
        if self.version(version.version).stage == "Production":
            raise BadInput(f"version {version.version} is in production: promote another one before it can wait")
        self._move(version, "Staging", "challenger", {"churn.staging.reason": reason})

    def mend(self) -> tuple[str, ...]:
        """Leave one version at stage Production, and make the aliases name what the stages say; what was mended.

        Only what was killed in the middle, or done by hand in MLflow, needs it.
        """
        mended = []
        versions = self.versions()
        production, staging = ([v for v in versions if v.stage == stage] for stage in ("Production", "Staging"))
        if len(production) > 1:
            self._transition(production[0], "Production")
            rest = ", ".join(v.version for v in production[1:])
            mended.append(f"version {production[0].version} alone is at stage Production; {rest} archived")
        with self._calls() as client:
            models = client.search_registered_models(f"name = '{self.name}'")
            aliases = {name: str(version) for name, version in models[0].aliases.items()} if models else {}
            for alias, holders in (("champion", production), ("challenger", staging)):
                if holders and aliases.get(alias) != holders[0].version:
                    client.set_registered_model_alias(self.name, alias, holders[0].version)
                    mended.append(f"alias {alias} names version {holders[0].version}")
                elif not holders and alias in aliases:
                    client.delete_registered_model_alias(self.name, alias)
                    mended.append(f"alias {alias} names no version")
        return tuple(mended)

    def attachment(self, version: ModelVersion, path: str, directory: Path) -> Path | None:
        """Copy a file or folder attached to the version into ``directory``; where it lies there, or None without it."""
        configure()
        import mlflow

        with self._calls() as client:
            folder = str(Path(path).parent)
            there = client.list_artifacts(version.run_id, None if folder == "." else folder)
            if path not in {artifact.path for artifact in there}:
                return None
            directory.mkdir(parents=True, exist_ok=True)
            copied = mlflow.artifacts.download_artifacts(
                run_id=version.run_id,
                artifact_path=path,
                dst_path=str(directory),
                tracking_uri=self._settings.tracking_uri,
            )
            return Path(copied)

    def attach(self, version: ModelVersion, folder: Path, path: str) -> None:
        """Add the files of ``folder`` to what is attached to the version, under ``path``; files there are replaced."""
        with self._calls() as client:
            client.log_artifacts(version.run_id, str(folder), path)

    def note(self, version: ModelVersion) -> str:
        """The note of the version's last promotion, or of one that was killed before it; empty without one."""
        return version.tags.get(_NOTE, "")

    def forget(self, version: ModelVersion) -> None:
        """Delete the note of a promotion that did not happen."""
        with self._calls() as client:
            client.delete_model_version_tag(self.name, version.version, _NOTE)

    def download(self, version: ModelVersion, directory: Path) -> dict[str, Path]:
        """Copy a version's saved models into ``directory`` (made 0700); the folder of each, by name.

        A version registered before there were two models has ``CORE`` only.
        """
        configure()
        import mlflow

        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._calls():
            fetched = mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{self.name}/{version.version}",
                dst_path=str(directory),
                tracking_uri=self._settings.tracking_uri,
            )
            return model_folders(Path(fetched))

    def load(self, version: ModelVersion) -> Models:
        """Download a version, check its files and load both models."""
        aside = Path(tempfile.mkdtemp(prefix="churn-model-"))
        try:
            return Models.load(self.download(version, aside))
        finally:
            shutil.rmtree(aside)

    def _move(self, version: ModelVersion, stage: str, alias: str, tags: Mapping[str, str]) -> None:
        with self._calls() as client:
            for key, value in tags.items():
                client.set_model_version_tag(self.name, version.version, key, value)
            client.set_registered_model_alias(self.name, alias, version.version)
            # The stage is what everything here reads, so it comes last: killed before it, the move is made again.
            self._transition(version, stage)
            aliases = client.get_registered_model(self.name).aliases
            if stage == "Production" and str(aliases.get("challenger")) == version.version:
                client.delete_registered_model_alias(self.name, "challenger")

    def _transition(self, version: ModelVersion, stage: str) -> None:
        """One transaction of MLflow's: the one that was there goes as this one comes, never none and never two."""
        with self._calls() as client:
            client.transition_model_version_stage(self.name, version.version, stage, archive_existing_versions=True)

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

    def _prepare(self, client: "MlflowClient") -> None:
        """Make the experiment and the registered model if they are not there."""
        import mlflow

        local = self._settings.artifact_root.as_uri() if self._settings.tracking_uri.startswith("sqlite:") else None
        if client.get_experiment_by_name(self.name) is None:
            client.create_experiment(self.name, artifact_location=local)
        mlflow.set_experiment(self.name)
        if not client.search_registered_models(f"name = '{self.name}'"):
            client.create_registered_model(self.name)


def _version(v: Any) -> ModelVersion:
    return ModelVersion(
        version=str(v.version),  # an int in MLflow 3.17
        stage=str(v.current_stage),
        run_id=str(v.run_id),
        created_at=datetime.fromtimestamp(v.creation_timestamp / 1000, UTC),
        changed_at=datetime.fromtimestamp(v.last_updated_timestamp / 1000, UTC),
        tags=dict(v.tags),
    )
