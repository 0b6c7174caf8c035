"""The whole platform as ``make run`` starts it, on ports of its own, and what tests ask of it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import psutil

from churn.settings import REPOSITORY, Settings

CUSTOMER = {
    "total_sessions": 10, "avg_session_duration": 3600.0, "total_songs_played": 100, "avg_songs_per_session": 10.0,
    "thumbs_up_count": 20, "thumbs_down_count": 5, "add_playlist_count": 15, "add_friend_count": 8,
    "time_since_last_activity": 2, "days_since_registration": 30, "thumbs_up_ratio": 0.2, "thumbs_down_ratio": 0.05,
    "is_paid_user": 1,
}  # fmt: skip


class Asking:
    """What tests ask of a running platform, however it was started."""

    api: httpx.Client
    airflow: httpx.Client
    patience = 180.0
    """Seconds that a DAG run may take."""

    def log_in(self) -> None:
        """As Airflow's user; the token outlives every test."""
        token = self.airflow.post("/auth/token", json={"username": "admin", "password": "admin"}).json()["access_token"]
        self.airflow.headers["Authorization"] = f"Bearer {token}"

    def trigger(self, dag: str, key: str | None, conf: dict[str, Any]) -> str:
        """Start a DAG run over REST as the form does; the address of the run."""
        self.log_in()
        body = {"logical_date": None, "partition_key": key, "conf": conf}
        run = self.airflow.post(f"/api/v2/dags/{dag}/dagRuns", json=body).raise_for_status().json()["dag_run_id"]
        return f"/api/v2/dags/{dag}/dagRuns/{run}"

    def ended(self, run: str) -> dict[str, str]:
        """Wait for the end of a run; the state of each task."""
        wait_for(lambda: self.airflow.get(run).json()["state"] in ("success", "failed"), seconds=self.patience)
        tasks = self.airflow.get(f"{run}/taskInstances").json()["task_instances"]
        return {t["task_id"]: t["state"] for t in tasks}

    def run_dag(self, dag: str, key: str | None, conf: dict[str, Any]) -> dict[str, str]:
        """Start a DAG run and wait for its end; the state of each task."""
        return self.ended(self.trigger(dag, key, conf))

    def backfill(self, dag: str, first: date, last: date, *, at_once: int) -> None:
        """Ask for a run of each of these days, so many at a time."""
        self.log_in()
        span = {"from_date": f"{first}T00:00:00Z", "to_date": f"{last}T23:59:00Z"}
        body = {"dag_id": dag, **span, "max_active_runs": at_once}
        self.airflow.post("/api/v2/backfills", json=body).raise_for_status()

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """All runs of a DAG, as Airflow tells them, oldest first."""
        self.log_in()
        answer = self.airflow.get(f"/api/v2/dags/{dag}/dagRuns", params={"order_by": "run_after"})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["dag_runs"]
        return found

    def asked(self, run: str) -> dict[str, Any]:
        """What the person is shown, once somebody is asked about a promotion."""
        address = f"{run}/hitlDetails"
        wait_for(lambda: bool(self.airflow.get(address).json()["hitl_details"]), seconds=180)
        (asked,) = self.airflow.get(address).json()["hitl_details"]
        task = f"{run}/taskInstances/approve"
        wait_for(lambda: self.airflow.get(task).json()["state"] == "awaiting_input", seconds=20)
        # A person takes seconds. An answer within the same second overtakes the scheduler's own note that the task has
        # paused; Airflow 3.3 then takes the task for a lost one and tries it again.
        time.sleep(5)
        found: dict[str, Any] = asked
        return found

    def answer(self, run: str, choice: str, comment: str) -> None:
        """Say yes or no to it."""
        body = {"chosen_options": [choice], "params_input": {"why": comment}}
        self.airflow.patch(f"{run}/taskInstances/approve/-1/hitlDetails", json=body).raise_for_status()

    def served(self) -> str:
        """The version that answers."""
        return self.api.post("/predict", json=CUSTOMER).raise_for_status().headers["X-Model-Version"]


class Platform(Asking):
    """One running platform, on ports of its own."""

    def __init__(self, home: Path, **settings: str) -> None:
        """``settings``: more ``CHURN_*`` variables, by their names."""
        self.ports = ports = free_ports(3)
        self.environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("CHURN_", "AIRFLOW", "MLFLOW"))
        } | {
            "CHURN_HOME": str(home),
            "CHURN_AIRFLOW_PORT": str(ports[0]),
            "CHURN_MLFLOW_PORT": str(ports[1]),
            "CHURN_API_PORT": str(ports[2]),
            "CHURN_REGISTRY_POLL_SECONDS": "1",
            "CHURN_DEMO_CUSTOMERS": "500",
            "CHURN_DEMO_DAYS": "75",
            **settings,
        }
        # None, or the variable that MLflow sets in this process leads to the registry of another test's platform.
        self.settings = Settings(home=home, mlflow_tracking_uri=None, _env_file=None)  # type: ignore[call-arg]
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{ports[2]}/api/churn", timeout=20)
        self.airflow = httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}", timeout=30)

    def start(self) -> None:
        """Returns when the supervisor says that it is ready."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local"],
            cwd=REPOSITORY, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        told = []
        for line in self.process.stdout:
            told.append(line)
            if "ready; Ctrl-C" in line:
                self.told = "".join(told)
                return
        raise AssertionError("it ended before it was ready:\n" + "".join(told))

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: signal.Signals) -> list[psutil.Process]:
        """Stop it; returns what is still alive of everything it had started."""
        family = self.family()
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return [p for p in family if _lives(p)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two
        return False


def wait_for(happened: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        time.sleep(0.5)


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = tuple(s.getsockname()[1] for s in sockets)
    for s in sockets:
        s.close()
    return ports
