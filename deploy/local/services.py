"""What is started, as data: name, command, environment, and how one sees that it is up."""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Protocol

import httpx

from churn.settings import REPOSITORY, Settings
from deploy.local import airflow_home
from deploy.local.preflight import HOST
from serving.keys import NewKey, new_key

API_APP = "serving.app:create_app"
PYTHON = sys.executable
_NO_LOG_SERVER = "--skip-serve-logs"
"""Airflow's log servers listen on all interfaces, whatever is set; here the log files are read from the disk."""
_HERE = (HOST, "localhost", socket.gethostname())
"""The last one is the name that Airflow gives to this machine, see airflow_home."""


class HealthCheck(Protocol):
    def ok(self, since: datetime) -> bool:
        """Whether the service that was started ``since`` is up. Does not raise."""
        ...


@dataclass(frozen=True)
class Health:
    """Up when ``url`` answers 200 and, where a component is named, that one has sent a heartbeat since the start."""

    url: str
    component: str | None = None
    key: str | None = field(default=None, repr=False)
    """Sent along, to an API that asks for one."""

    def _get(self) -> httpx.Response:
        headers = {"X-API-Key": self.key} if self.key else {}
        return httpx.get(self.url, headers=headers, timeout=5.0, trust_env=False)

    def ok(self, since: datetime) -> bool:
        try:
            answer = self._get()
            if self.component is None or answer.status_code != httpx.codes.OK:
                return answer.status_code == httpx.codes.OK
            part = answer.json()[self.component]
            beat = part[f"latest_{self.component}_heartbeat"]
            return part["status"] == "healthy" and datetime.fromisoformat(beat) >= since
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return False

    def says(self, name: str) -> bool:
        """Whether that field of the answer is true."""
        try:
            return bool(self._get().json()[name])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return False


@dataclass(frozen=True)
class Service:
    """A process that stays. ``name`` also names its log file."""

    name: str
    title: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    health: HealthCheck | None = None
    cwd: Path = REPOSITORY


def base_environment(settings: Settings) -> dict[str, str]:
    """What every child gets: one data home, one registry, no telemetry, byte code kept."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    threads = str(min(os.cpu_count() or 1, 4))  # more threads than that slow small trainings down
    return {
        "OMP_NUM_THREADS": threads,
        **env,
        **_past_proxies(env),
        "PATH": os.pathsep.join([str(Path(PYTHON).parent), env.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "CHURN_HOME": str(settings.data_home),
        "MLFLOW_TRACKING_URI": tracking_url(settings),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GX_ANALYTICS_ENABLED": "false",
    }


def _past_proxies(env: Mapping[str, str]) -> dict[str, str]:
    """A proxy for the outside world has no way back to this machine. Programs differ in which spelling they read."""
    own = [part.strip() for name in ("no_proxy", "NO_PROXY") for part in env.get(name, "").split(",")]
    hosts = "*" if "*" in own else ",".join(dict.fromkeys([*filter(None, own), *_HERE]))
    return {"no_proxy": hosts, "NO_PROXY": hosts}


def tracking_url(settings: Settings) -> str:
    """The user's own registry, or the server that is started here."""
    return settings.mlflow_tracking_uri or f"http://{HOST}:{settings.mlflow_port}"


def starts_mlflow(settings: Settings) -> bool:
    return settings.mlflow_tracking_uri is None


def mlflow(settings: Settings) -> Service:
    """The tracking server over the SQLite store that the command line also opens directly."""
    command = ("-m", "mlflow", "server", "--host", HOST, "--port", str(settings.mlflow_port), "--workers", "1")
    store = ("--backend-store-uri", settings.tracking_uri)
    artifacts = ("--no-serve-artifacts", "--default-artifact-root", str(settings.artifact_root))
    return Service(
        name="mlflow",
        title="MLflow",
        argv=(PYTHON, *command, *store, *artifacts),
        env=base_environment(settings),
        health=Health(f"http://{HOST}:{settings.mlflow_port}/health"),
    )


def mlflow_store(settings: Settings) -> Service:
    """Makes MLflow's database before its server starts: made whole or not at all, however this ends."""
    make = "from churn.io.registry import make_store; from churn.settings import Settings; make_store(Settings())"
    env = {name: value for name, value in base_environment(settings).items() if name != "MLFLOW_TRACKING_URI"}
    return Service("mlflow-store", "MLflow's database", (PYTHON, "-c", make), env)


def api(settings: Settings, app: str = API_APP) -> Service:
    """The REST API and its page, on this machine only."""
    command = ("-m", "serving", "--app", app, "--host", HOST, "--port", str(settings.api_port))
    env = base_environment(settings) | {"OMP_NUM_THREADS": "1"}  # one request needs no second thread
    if settings.api_keys:
        env["CHURN_API_KEYS"] = ",".join([*settings.api_keys, _own_key().digest])
    return Service(name="api", title="API", argv=(PYTHON, *command), env=env, health=api_health(settings))


def api_health(settings: Settings) -> Health:
    key = _own_key().key if settings.api_keys else None
    return Health(f"http://{HOST}:{settings.api_port}/api/churn/health", key=key)


@cache
def _own_key() -> NewKey:
    """This start's, for its look at the API's health where the API asks for keys: it ends with the start."""
    return new_key()


@dataclass(frozen=True)
class Airflow:
    """Airflow's processes. The scheduler comes last: it must not see a DAG before the DAG is held."""

    migrate: Service
    first: tuple[Service, ...]
    last: tuple[Service, ...]


def airflow(settings: Settings, dags: Path) -> Airflow:
    env = base_environment(settings) | airflow_home.environment(settings, dags)
    health = f"http://{HOST}:{settings.airflow_port}/api/v2/monitor/health"

    def component(name: str, title: str, watched: Health | None, *options: str) -> Service:
        argv = (PYTHON, "-m", "airflow", *name.split(), *options)
        return Service("airflow-" + name.replace(" ", "-"), title, argv, env, watched)

    return Airflow(
        migrate=component("db migrate", "Airflow's database", None),
        first=(
            component("api-server", "Airflow", Health(health)),
            component("dag-processor", "Airflow's DAG processor", Health(health, "dag_processor")),
        ),
        last=(
            component("scheduler", "Airflow's scheduler", Health(health, "scheduler"), _NO_LOG_SERVER),
            component("triggerer", "Airflow's triggerer", Health(health, "triggerer"), _NO_LOG_SERVER),
        ),
    )
