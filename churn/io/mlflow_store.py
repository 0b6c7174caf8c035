"""MLflow's tracking server or database: its settings, making it, a client on it, and its failures in our words."""

import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from churn.errors import BadInput, Unavailable
from churn.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FINAL = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS")
"""MLflow's codes for what asking again does not change."""


def configure() -> None:
    """Set what MLflow reads when it is imported: call it before."""
    # A caller waits seconds, not minutes, for a registry that is away.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")  # or it stores whatever uv.lock lies around
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")  # it warns of a missing pip, which uv leaves out


def make_store(settings: Settings) -> None:
    """Make MLflow's SQLite database, whole or not at all: a half-made one could never be opened again.

    Nothing to do for another kind of store, or when it is there.
    """
    uri = settings.tracking_uri
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.is_file():
        return
    configure()
    import mlflow

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(".making.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second process waits, and finds it made
        aside = path.with_name(f".{path.name}.part")
        aside.unlink(missing_ok=True)
        if not path.is_file():
            mlflow.MlflowClient(f"sqlite:///{aside}").search_experiments()
            aside.replace(path)


class Store:
    """The store that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @contextmanager
    def calls(self) -> Iterator["MlflowClient"]:
        """MLflow's client, its stage warnings silenced and its failures translated."""
        configure()
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


def _without_password(uri: str) -> str:
    scheme, _, rest = uri.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else uri
