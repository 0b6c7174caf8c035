"""The figures of a minute in a real MLflow: one run a process and day, never in the way of a request."""

import logging
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run

from churn.errors import BadInput
from churn.io.mlflow_traffic import TrafficRun
from churn.io.registry import Models, Registry
from churn.settings import Settings
from serving.traffic import Traffic
from tests.serving.conftest import Platform, eventually

NOON = datetime(2026, 3, 19, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, empty_mlflow: Path) -> Settings:
    """With an MLflow database of its own."""
    (tmp_path / "mlflow").mkdir()
    shutil.copy(empty_mlflow, tmp_path / "mlflow" / "mlflow.db")
    return Settings(home=tmp_path, mlflow_tracking_uri=None, _env_file=None)  # type: ignore[call-arg]


def client_of(settings: Settings) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(settings.tracking_uri, settings.tracking_uri)


def runs(settings: Settings) -> Sequence[Run]:
    """Newest first."""
    client = client_of(settings)
    experiment = client.get_experiment_by_name("churn-serving")
    return client.search_runs([experiment.experiment_id]) if experiment else []


def answer(traffic: Traffic, version: str = "3", seconds: float = 0.002, status: int = 200) -> None:
    traffic.answered(version, status, seconds)
    traffic.count(version, 0.25, 1)


def test_a_minute_is_logged_by_version(settings: Settings) -> None:
    dropped = 5
    traffic = Traffic(TrafficRun(settings), dropped=lambda: dropped)
    for n in range(100):
        answer(traffic, seconds=0.002 if n < 98 else 0.5)
    traffic.answered("3", 422, 0.002)
    traffic.answered("none", 503, 0.0001)
    traffic.answered("4", 200, 0.01)
    traffic.count_many("4", np.array([0.5, 0.7, 0.9]), np.array([0, 1, 1]))
    traffic.minute()
    (run,) = runs(settings)
    found = run.data.metrics
    assert (found["version_3/requests"], found["version_3/customers"], found["version_3/errors"]) == (101, 100, 0)
    assert (found["version_3/mean_probability"], found["version_3/share_to_contact"]) == (0.25, 1.0)
    assert found["version_3/latency_p50_ms"] == pytest.approx(2, rel=0.05)
    assert found["version_3/latency_p99_ms"] == pytest.approx(500, rel=0.05)
    assert (found["version_4/requests"], found["version_4/customers"]) == (1, 3)
    assert found["version_4/mean_probability"] == pytest.approx(0.7)
    assert found["version_4/share_to_contact"] == pytest.approx(2 / 3)
    assert (found["version_none/requests"], found["version_none/errors"]) == (1, 1)
    assert "version_none/mean_probability" not in found
    assert found["log_rows_dropped"] == 5


def test_each_minute_is_told_apart_and_one_without_requests_is_none(settings: Settings) -> None:
    traffic = Traffic(TrafficRun(settings))
    traffic.minute()
    assert runs(settings) == []
    for requests in (2, 0, 3):
        for _ in range(requests):
            answer(traffic)
        traffic.minute()
    (run,) = runs(settings)
    history = client_of(settings).get_metric_history(run.info.run_id, "version_3/requests")
    assert [metric.value for metric in history] == [2, 3]


@pytest.mark.parametrize("seconds", [0.0, 0.00005, 0.001, 0.37, 20.0, 59.0, 3600.0])
def test_a_latency_is_right_to_five_per_cent_between_a_tenth_of_a_millisecond_and_a_minute(
    settings: Settings, seconds: float
) -> None:
    logged: dict[str, float] = {}

    class Minute(TrafficRun):
        def log(self, figures: Any, at: datetime) -> None:
            logged.update(figures)

    traffic = Traffic(Minute(settings))
    answer(traffic, seconds=seconds)
    traffic.minute()
    expected = min(max(seconds, 0.0001), 60) * 1000
    assert logged["version_3/latency_p50_ms"] == pytest.approx(expected, rel=0.05)
    assert logged["version_3/latency_p50_ms"] == logged["version_3/latency_p99_ms"]


def test_a_day_has_a_run_of_its_own_and_the_stop_finishes_it(settings: Settings) -> None:
    run = TrafficRun(settings)
    run.log({"version_3/requests": 1.0}, NOON)
    run.log({"version_3/requests": 2.0}, NOON + timedelta(minutes=1))
    run.log({"version_3/requests": 3.0}, NOON + timedelta(days=1))
    second, first = runs(settings)
    assert (first.info.status, second.info.status) == ("FINISHED", "RUNNING")
    assert first.info.run_name.startswith("API on 2026-03-19, process ")
    history = client_of(settings).get_metric_history(first.info.run_id, "version_3/requests")
    assert [(m.step, m.value) for m in history] == [(720, 1), (721, 2)]
    assert history[0].timestamp == int(NOON.timestamp() * 1000)
    run.end()
    run.end()
    assert [r.info.status for r in runs(settings)] == ["FINISHED", "FINISHED"]


def test_each_process_has_its_own_run_in_the_one_experiment(settings: Settings) -> None:
    for _ in range(2):
        TrafficRun(settings).log({"version_3/requests": 1.0}, NOON)
    assert len(runs(settings)) == 2


def test_a_run_that_somebody_deleted_is_made_anew(settings: Settings) -> None:
    run = TrafficRun(settings)
    run.log({"version_3/requests": 1.0}, NOON)
    client_of(settings).delete_run(runs(settings)[0].info.run_id)
    with pytest.raises(BadInput):
        run.log({"version_3/requests": 2.0}, NOON)
    run.log({"version_3/requests": 3.0}, NOON)
    (found,) = runs(settings)
    assert found.data.metrics == {"version_3/requests": 3.0}


def test_it_is_logged_in_the_background_and_the_last_minute_at_the_stop(settings: Settings) -> None:
    traffic = Traffic(TrafficRun(settings), seconds=0.2)
    traffic.start()
    answer(traffic)
    eventually(lambda: runs(settings) and runs(settings)[0].data.metrics)
    traffic.stop()
    late = Traffic(TrafficRun(settings), seconds=3600.0)
    late.start()
    answer(late, "4")
    late.stop()
    assert [run.info.status for run in runs(settings)] == ["FINISHED", "FINISHED"]
    assert {name for run in runs(settings) for name in run.data.metrics} > {"version_3/requests", "version_4/requests"}


def test_a_registry_that_is_away_costs_the_minute_and_one_line(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "serving")
    database = settings.data_home / "mlflow" / "mlflow.db"
    away = settings.model_copy(update={"mlflow_tracking_uri": f"sqlite:///{settings.data_home}/mlflow/folder/x.db"})
    (settings.data_home / "mlflow" / "folder").write_text("a file in the place of a folder")
    traffic = Traffic(TrafficRun(away))
    for _ in range(3):
        answer(traffic)
        traffic.minute()
    assert [r.getMessage() for r in caplog.records] == ["the traffic's figures in MLflow: failed"]
    (settings.data_home / "mlflow" / "folder").unlink()
    (settings.data_home / "mlflow" / "folder").mkdir()
    shutil.copy(database, settings.data_home / "mlflow" / "folder" / "x.db")
    answer(traffic, "4")
    traffic.minute()
    assert [r.getMessage() for r in caplog.records][1:] == ["the traffic's figures in MLflow: works again"]
    (run,) = runs(away)
    assert set(run.data.metrics) >= {"version_4/requests"}
    assert "version_3/requests" not in run.data.metrics
    traffic.stop()


@pytest.mark.slow
def test_the_trainings_do_not_take_its_runs_for_theirs(settings: Settings, first_models: Models) -> None:
    platform = Platform(settings, settings.data_home)
    TrafficRun(platform.settings).log({"version_1/requests": 1.0}, NOON)
    version = platform.promote(first_models)
    TrafficRun(platform.settings).log({"version_1/requests": 1.0}, NOON)
    again = platform.register(first_models)
    registry = Registry(platform.settings)
    assert [v.version for v in registry.versions()] == [again.version, version.version]
    assert registry.production() is not None
    assert len(runs(platform.settings)) == 2
