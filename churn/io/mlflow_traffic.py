"""What the API did, minute by minute, as metrics of one MLflow run for each of its processes and UTC days."""

import os
import socket
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from churn.errors import BadInput
from churn.io.mlflow_store import Store
from churn.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient


class TrafficRun:
    """The run of this process and day, made when there is something to log. One thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._calls = Store(settings).calls
        # An experiment of its own: among the trainings a run of these would only be in the way.
        self.experiment = f"{settings.registered_model}-serving"
        self._run_id: str | None = None
        self._day = date.min

    def log(self, figures: Mapping[str, float], at: datetime) -> None:
        """Log the figures of one minute in one call; the step is the minute of the UTC day. Raises Unavailable.

        Raises BadInput where somebody deleted the run; the next call makes another one.
        """
        at = at.astimezone(UTC)
        if self._day != at.date():
            self.end()
            self._day = at.date()
        try:
            with self._calls() as client:
                from mlflow.entities import Metric

                self._run_id = self._run_id or self._started(client)
                ms, minute = int(at.timestamp() * 1000), at.hour * 60 + at.minute
                client.log_batch(self._run_id, [Metric(name, value, ms, minute) for name, value in figures.items()])
        except BadInput:
            self._run_id = None
            raise

    def end(self) -> None:
        """Finish the run, where there is one. Raises Unavailable."""
        run_id, self._run_id = self._run_id, None
        if run_id is not None:
            with self._calls() as client:
                client.set_terminated(run_id, "FINISHED")

    def _started(self, client: "MlflowClient") -> str:
        run = client.create_run(
            self._experiment_id(client), run_name=f"API on {self._day}, process {os.getpid()}",
            tags={"churn.serving.host": socket.gethostname(), "churn.serving.process": str(os.getpid())},
        )  # fmt: skip
        return str(run.info.run_id)

    def _experiment_id(self, client: "MlflowClient") -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            local = self._settings.tracking_uri.startswith("sqlite:")
            place = self._settings.artifact_root.as_uri() if local else None
            try:
                return str(client.create_experiment(self.experiment, artifact_location=place))
            except MlflowException:  # another process was first, or the store is away: the next line tells
                found = client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        return str(found.experiment_id)
