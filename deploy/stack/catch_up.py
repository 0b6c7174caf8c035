"""What ``make run`` does once its services are up, for the containers: scores up to today, as DAG runs, with progress.

``python -m deploy.stack.catch_up`` switches on the DAGs of a first start in their order, brings the chain to today and
then sleeps: Airflow's schedule goes on by itself. A file says when it is done, which is the container's health.
"""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from churn.errors import ChurnError
from churn.settings import Settings
from deploy.local.airflow_api import AirflowApi
from deploy.local.airflow_home import USER
from deploy.local.catch_up import CHAIN, INGEST, MONITOR, SCORE, CatchUp, Outcome
from deploy.local.console import Console
from deploy.local.runs import Runner
from deploy.local.schedule import Schedule
from deploy.local.state import State, scores

AIRFLOW = "http://airflow-api-server:8080"
DONE = Path("/tmp/caught-up")  # noqa: S108 - in a container of its own
_READ_SECONDS = 300.0
_DUE_SECONDS = 15.0
"""The scheduler starts a run that is due within a second or two; later than this it is not coming."""


class Patience:
    """Waits. In a container there is nothing to watch meanwhile: others restart what dies."""

    def every(
        self, seconds: float, timeout: float | None, awaited: str, details: Callable[[], str] = lambda: ""
    ) -> Iterator[int]:
        """Yields now and then each ``seconds``; ``timeout`` seconds of it are an error."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for count in itertools.count():
            yield count
            if deadline is not None and time.monotonic() > deadline:
                raise ChurnError(f"Waited {timeout:.0f} s for {awaited}, in vain.\n{details()}".rstrip())
            self.pause(seconds)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


def bring(settings: Settings, address: str, console: Console) -> Outcome:
    """Scores up to today. Raises ChurnError while there is no model and none can be had."""
    patience = Patience()
    api = AirflowApi(address, USER, settings.airflow_password, patience.pause)
    # Beside the other files of Airflow: whoever removes these removes it too.
    schedule = Schedule(api, Path(os.environ["AIRFLOW_HOME"]) / "schedule.json")
    try:
        _await_dags(api, patience)
        _await_open(api, patience, console)
        state = _state()
        if _overtaken(settings, api):
            console.say("events came after the scores were published: scoring again")
            state = replace(state, as_of=None)
        schedule.release_idle(but=CHAIN if state.production is None else (INGEST, SCORE))
        outcome = CatchUp(settings, console, Runner(patience, console, api, schedule).run).bring(
            state, datetime.now(UTC).date()
        )
        schedule.release_all()
        return outcome
    finally:
        api.close()


def main() -> int:
    """1 where there is no model and none could be had; otherwise it stays."""
    DONE.unlink(missing_ok=True)
    console = Console()
    settings = Settings()
    try:
        outcome = bring(settings, AIRFLOW, console)
    except ChurnError as error:
        console.error(str(error))
        return 1
    found = scores(settings)
    if found.customers is None:
        console.say("no customers are scored yet")
    else:
        console.say(f"{found.customers:,} customers are scored as of {found.as_of}, by version {found.scored_by}")
    for line in outcome.amiss:
        console.say(f"attention: {line}")
    DONE.touch()
    # Some kilobytes, where this process holds a hundred megabytes.
    return os.execvp("sleep", ["sleep", "infinity"])  # noqa: S606 - it takes this process' place


def _state() -> State:
    """What an earlier start left. By a child: the registry's client takes 250 MB."""
    file = DONE.with_name("state.json")
    subprocess.run([sys.executable, "-m", "deploy.local.state", str(file)], check=True)
    return State.read(file)


def _await_dags(api: AirflowApi, patience: Patience) -> None:
    began = datetime.now(UTC)
    wanted = {*CHAIN, MONITOR}
    for _ in patience.every(1.0, _READ_SECONDS, f"Airflow to read the DAGs {', '.join(sorted(wanted))}"):
        if wanted.issubset(api.dags()):
            return
        if errors := api.import_errors(began):
            raise ChurnError("\n".join(["Airflow cannot read a DAG file:", *errors]))


def _await_open(api: AirflowApi, patience: Patience, console: Console) -> None:
    """After days off the schedule owes an ingestion and a scoring, and starts both at once: they go first."""
    dags = api.dags()
    owed = [dag_id for dag_id in (INGEST, SCORE) if not dags[dag_id].paused and dags[dag_id].due]
    until = time.monotonic() + _DUE_SECONDS
    while owed and time.monotonic() < until and not all(api.open_runs(dag_id) for dag_id in owed):
        patience.pause(1.0)
    for dag_id in (INGEST, SCORE):
        if runs := api.open_runs(dag_id):
            console.say(f"{dag_id}: waiting for {', '.join(run.run_id for run in runs)}")
        for _ in patience.every(1.0, None, dag_id):
            if not api.open_runs(dag_id):
                break


def _overtaken(settings: Settings, api: AirflowApi) -> bool:
    """Whether an ingestion ended after the scoring of the newest night had begun: it did not see those events, then.

    By Airflow's runs: the same scores again leave the time of their publication as it is."""
    latest = scores(settings)
    ingested = api.last_success(INGEST)
    scored = api.last_success(SCORE, latest.as_of)
    return bool(ingested and scored and ingested[1] > scored[0])


if __name__ == "__main__":
    sys.exit(main())
