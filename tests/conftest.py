"""What all tests share: one throwaway Airflow, set up before the first import of it; a data home per test; Spark."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from churn.errors import BadInput
from churn.settings import Settings

if TYPE_CHECKING:
    from churn.io.engines.spark_process import SparkProcess

_REPOSITORY = Path(__file__).resolve().parent.parent

# Airflow reads its configuration when it is imported; a test must never touch a real one.
_AIRFLOW = Path(tempfile.mkdtemp(prefix="churn-airflow-"))
atexit.register(shutil.rmtree, _AIRFLOW, ignore_errors=True)
os.environ.update(
    {
        "AIRFLOW_HOME": str(_AIRFLOW),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(_REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(_REPOSITORY / "plugins"),  # our schedules are one
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_AIRFLOW / 'airflow.db'}",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
)
# CHURN_TEST_DATA (where the public tables are) and CHURN_API_IMAGE are the tests' own; Spark's Python is where it is.
for name in [name for name in os.environ if name.startswith("CHURN_") or name == "MLFLOW_TRACKING_URI"]:
    if name not in ("CHURN_TEST_DATA", "CHURN_API_IMAGE", "CHURN_SPARK_PYTHON"):
        del os.environ[name]


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with its tables and nothing in them: making them takes seconds, copying them does not."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_mlflow: Path) -> Settings:
    """Settings with an own data home, which the environment names too."""
    (tmp_path / "home" / "mlflow").mkdir(parents=True)
    shutil.copy(empty_mlflow, tmp_path / "home" / "mlflow" / "mlflow.db")
    monkeypatch.setenv("CHURN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHURN_SEARCH_TRIALS", "0")  # what is searched for has its own tests
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow writes it there for its subprocesses
    return Settings(_env_file=None)  # type: ignore[call-arg]


@pytest.fixture(scope="session")
def open_spark() -> "Callable[..., AbstractContextManager[SparkProcess]]":
    """Opens a Spark process: ``(master, options)``."""
    from churn.io.engines.spark_process import check_installed, open_process

    python = Settings(_env_file=None).spark_python  # type: ignore[call-arg]
    try:
        check_installed(python)
    except BadInput as e:
        pytest.skip(str(e))
    return partial(open_process, python=python)


@pytest.fixture(scope="session")
def spark(open_spark: "Callable[..., AbstractContextManager[SparkProcess]]") -> "Iterator[SparkProcess]":
    """One Spark for all tests of a process, on a machine whose clock is set to another zone."""
    quick = {
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",  # half the time
    }
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("TZ", "Asia/Kolkata")
            process = stack.enter_context(open_spark("local[2]", quick))
        yield process
