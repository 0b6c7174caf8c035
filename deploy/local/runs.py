"""One DAG for one date, from switching it on to its end, with progress."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from churn.errors import ChurnError
from deploy.local.airflow_api import OPEN_STATES, AirflowApi, Run, Task
from deploy.local.console import Console
from deploy.local.schedule import Schedule

_SCHEDULED_RUN_SECONDS = 15.0
"""The scheduler starts a run that is due within a second; later than this it is not coming."""
_SILENCE_SECONDS = 20.0
"""How long a task may work before a line says that it still does."""
_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


class RunFailed(ChurnError):
    """A DAG run failed; the message carries the end of the failing task's log."""


class SwitchedOff(ChurnError):
    """A person switched the DAG off."""

    def __init__(self, dag_id: str) -> None:
        super().__init__(f"{dag_id} is switched off in Airflow, so it is not run.")
        self.dag_id = dag_id


class Waiting(Protocol):
    """How time passes between two looks: what else is watched meanwhile, and what ends it."""

    def every(
        self, seconds: float, timeout: float | None, awaited: str, details: Callable[[], str] = ...
    ) -> Iterator[int]: ...

    def pause(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Runner:
    """Runs DAGs through the REST API and tells how far they are."""

    waiting: Waiting
    console: Console
    api: AirflowApi
    schedule: Schedule

    def run(self, dag_id: str, day: str, conf: Mapping[str, object]) -> None:
        """Brings the DAG to a successful run for ``day``, started with ``conf`` where it has to be started.

        What is there goes first: a run that a stop interrupted (Airflow takes it up again), or one that the schedule
        owes. When such a run was for this day, its work is this work. Raises RunFailed, SwitchedOff.
        """
        dag = self.api.dags()[dag_id]
        if not self.schedule.may_run(dag_id):
            raise SwitchedOff(dag_id)
        self.schedule.release(dag_id)
        for run in self._await_due(dag_id) if dag.due else self.api.open_runs(dag_id):
            self.console.say(f"{dag_id}: going on with {run.run_id}")
            if self._follow(run) == "success" and run.partition_key == day:
                return
        run_id = f"start__{day}__{datetime.now(UTC):%Y%m%dT%H%M%S}"
        run = self.api.trigger(dag_id, run_id, day if dag.partitioned else None, conf)
        self.console.say(f"{dag_id}: started for {day}")
        if self._follow(run) != "success":
            raise RunFailed(self._failure(run))

    def _await_due(self, dag_id: str) -> list[Run]:
        deadline = time.monotonic() + _SCHEDULED_RUN_SECONDS
        while not (runs := self.api.open_runs(dag_id)) and time.monotonic() < deadline:
            self.waiting.pause(0.5)
        return runs

    def _follow(self, run: Run) -> str:
        """To the run's end; returns its state."""
        progress = _Progress(run.dag_id, self.console)
        for _ in self.waiting.every(0.5, None, run.run_id):
            state = self.api.run(run.dag_id, run.run_id).state
            progress.show(self.api.tasks(run))
            if state not in OPEN_STATES:
                break
        self.console.say(f"{run.dag_id}: {'done' if state == 'success' else state}, {progress.seconds:.1f} s")
        return state

    def _failure(self, run: Run) -> str:
        lines = [f"{run.dag_id} failed ({run.run_id})."]
        for task in self.api.tasks(run):
            if task.state == "failed":
                lines.append(f"The last lines of {task.name}, try {task.tries}:")
                lines += [f"  | {line}" for line in self.api.log_tail(run, task)]
        return "\n".join(lines)


@dataclass
class _Progress:
    """Says what changed since the last look."""

    dag_id: str
    console: Console
    _seen: dict[str, str | None] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _spoke: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def show(self, tasks: list[Task]) -> None:
        news = [task for task in tasks if self._seen.get(task.name) != task.state]
        self._seen.update({task.name: task.state for task in tasks})
        parts = [self._describe(task) for task in sorted(news, key=lambda t: t.state not in _ENDED)]
        if not any(parts) and time.monotonic() - self._spoke > _SILENCE_SECONDS:
            working = [task.name for task in tasks if task.state == "running"]
            parts = [f"still working on {', '.join(working)}" if working else "waiting for Airflow"]
            parts[0] += f" ({self.seconds:.0f} s)"
        if text := ", ".join(filter(None, parts)):
            self.console.say(f"{self.dag_id}: {text}")
            self._spoke = time.monotonic()

    @staticmethod
    def _describe(task: Task) -> str:
        """Empty for the states on the way to running."""
        match task.state:
            case "success":
                return f"{task.name} done" + ("" if task.seconds is None else f" in {task.seconds:.1f} s")
            case "awaiting_input":
                return f"{task.name} waits for an answer in Airflow (Required Actions)"
            case "up_for_retry":
                return f"{task.name} failed, will be tried again"
            case "running" | "failed" | "skipped" | "upstream_failed":
                return f"{task.name} {task.state.replace('_', ' ')}"
            case _:
                return ""
