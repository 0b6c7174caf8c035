"""Airflow's REST API, as much of it as the start needs."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from churn.errors import ChurnError

OPEN_STATES = ("queued", "running")
_ATTEMPTS = 10
"""Tries, a second apart, while the API server does not answer: it may be starting again, or the machine be busy."""


class AirflowError(ChurnError):
    """Airflow refused a request or did not answer."""


@dataclass(frozen=True)
class Dag:
    dag_id: str
    paused: bool
    partitioned: bool
    parsed_at: datetime | None
    next_run_after: datetime | None

    @property
    def due(self) -> bool:
        """Whether the schedule owes a run that the scheduler starts as soon as the DAG is switched on."""
        return self.next_run_after is not None and self.next_run_after <= datetime.now(UTC)


@dataclass(frozen=True)
class Run:
    dag_id: str
    run_id: str
    state: str
    kind: str
    partition_key: str | None


@dataclass(frozen=True)
class Task:
    task_id: str
    map_index: int
    state: str | None
    tries: int
    seconds: float | None

    @property
    def name(self) -> str:
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


class AirflowApi:
    """``pause`` is called between attempts; it may raise to give up."""

    def __init__(self, address: str, user: str, password: str, pause: Callable[[float], None]) -> None:
        self._login = {"username": user, "password": password}
        self._pause = pause
        self._client = httpx.Client(base_url=address, timeout=httpx.Timeout(10.0, connect=3.0), trust_env=False)

    def close(self) -> None:
        self._client.close()

    def dags(self) -> dict[str, Dag]:
        answer = self._call("GET", "/api/v2/dags", params={"limit": 100})
        return {dag["dag_id"]: _dag(dag) for dag in answer["dags"] if not dag["is_stale"]}

    def switch(self, dag_id: str, *, on: bool) -> None:
        self._call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": not on})

    def import_errors(self, since: datetime) -> list[str]:
        """File and stack trace of each DAG file that could not be read since then."""
        errors = self._call("GET", "/api/v2/importErrors")["import_errors"]
        fresh = [error for error in errors if datetime.fromisoformat(error["timestamp"]) >= since]
        return [f"{error['filename']}\n{error['stack_trace']}" for error in fresh]

    def trigger(self, dag_id: str, run_id: str, partition_key: str | None, conf: Mapping[str, object]) -> Run:
        """``conf``: what the form would say."""
        body: dict[str, object] = {
            "dag_run_id": run_id,
            "logical_date": None,
            "partition_key": partition_key,
            "conf": dict(conf),
        }
        return _run(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body))

    def run(self, dag_id: str, run_id: str) -> Run:
        return _run(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))

    def open_runs(self, dag_id: str) -> list[Run]:
        """Queued and running ones, oldest first."""
        params = {"state": list(OPEN_STATES), "order_by": "run_after", "limit": 100}
        return [_run(run) for run in self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=params)["dag_runs"]]

    def last_success(self, dag_id: str, key: str | None = None) -> tuple[datetime, datetime] | None:
        """Start and end of the newest run that succeeded, of those with that partition key where one is given."""
        params = {"state": "success", "order_by": "-end_date", "limit": 100}
        found = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=params)["dag_runs"]
        for run in found:
            if key is None or run.get("partition_key") == key:
                return datetime.fromisoformat(run["start_date"]), datetime.fromisoformat(run["end_date"])
        return None

    def tasks(self, run: Run) -> list[Task]:
        answer = self._call("GET", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances")
        return [
            Task(t["task_id"], t["map_index"], t["state"], t["try_number"], t["duration"])
            for t in answer["task_instances"]
        ]

    def log_tail(self, run: Run, task: Task, lines: int = 20) -> list[str]:
        """The end of the log of the last try."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task.task_id}/logs/{max(task.tries, 1)}"
        answer = self._call("GET", path, params={"map_index": task.map_index})
        return [line for entry in answer["content"] for line in _log_lines(entry)][-lines:]

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._pause(1.0)
            try:
                if "Authorization" not in self._client.headers:
                    self._authenticate()
                answer = self._client.request(method, path, **arguments)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
                continue
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                del self._client.headers["Authorization"]
            elif answer.is_success:
                content: dict[str, Any] = answer.json()
                return content
            problem = f"{answer.status_code} {answer.text[:500]}"
            if answer.is_client_error and answer.status_code != httpx.codes.UNAUTHORIZED:
                break
        raise AirflowError(f"Airflow did not do what was asked of it: {method} {path} gave {problem}")

    def _authenticate(self) -> None:
        answer = self._client.post("/auth/token", json=self._login)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise AirflowError("Airflow refused the login of its own user; is another Airflow on this port?")
        if answer.is_success:
            self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _dag(answer: dict[str, Any]) -> Dag:
    return Dag(
        dag_id=answer["dag_id"],
        paused=answer["is_paused"],
        partitioned=answer["timetable_partitioned"],
        parsed_at=_instant(answer["last_parsed_time"]),
        next_run_after=_instant(answer["next_dagrun_run_after"]),
    )


def _run(answer: dict[str, Any]) -> Run:
    return Run(answer["dag_id"], answer["dag_run_id"], answer["state"], answer["run_type"], answer.get("partition_key"))


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _log_lines(entry: str | dict[str, Any]) -> list[str]:
    """One log event as text: its message, then the error with the innermost lines of its trace."""
    if isinstance(entry, str):
        return entry.splitlines()
    lines = str(entry.get("event", "")).splitlines()
    for error in entry.get("error_detail") or []:
        frames = (error.get("frames") or [])[-3:]
        lines += [f"  {frame['filename']}:{frame['lineno']} in {frame['name']}" for frame in frames]
        lines += f"{error.get('exc_type')}: {error.get('exc_value')}".splitlines()
    return [line for line in lines if not re.match(r"::(end)?group::", line)]
