"""What all tests share: one throwaway Airflow, set up before the first import of it, and a data home per test."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from churn.settings import Settings

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
# CHURN_TEST_DATA (where the public tables are) and CHURN_API_IMAGE are the tests' own.
for name in [name for name in os.environ if name.startswith("CHURN_") or name == "MLFLOW_TRACKING_URI"]:
    if name not in ("CHURN_TEST_DATA", "CHURN_API_IMAGE"):
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
