"""The story of ``make run``: start everything, bring scores up to today, stay until told to stop."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from churn.settings import REPOSITORY, Settings
from deploy.local import airflow_home, services
from deploy.local.airflow_api import AirflowApi
from deploy.local.catch_up import CHAIN, INGEST, MONITOR, SCORE, CatchUp, Outcome
from deploy.local.console import Console
from deploy.local.preflight import HOST, require_free_ports
from deploy.local.runs import Runner
from deploy.local.schedule import Schedule
from deploy.local.services import Service
from deploy.local.state import State, scores
from deploy.local.supervisor import ServiceFailed, Supervisor

_DAG_PROCESSOR = "airflow-dag-processor"
_MODEL_SECONDS = 60.0
"""The API polls the registry every few seconds and loads the model in one more."""


@dataclass(frozen=True)
class Options:
    dags: Path = REPOSITORY / "dags"
    api_app: str = services.API_APP
    exit_when_ready: bool = False


def require_ports(settings: Settings) -> None:
    ports = {
        "CHURN_AIRFLOW_PORT": ("Airflow", settings.airflow_port),
        "CHURN_MLFLOW_PORT": ("MLflow", settings.mlflow_port),
        "CHURN_API_PORT": ("the API", settings.api_port),
    }
    if not services.starts_mlflow(settings):
        del ports["CHURN_MLFLOW_PORT"]
    require_free_ports(ports)


@dataclass(frozen=True)
class Start:
    """One start."""

    settings: Settings
    options: Options
    supervisor: Supervisor
    console: Console

    def run(self) -> bool:
        """Returns when everything is up, scored and printed: whether there is a model and no DAG run failed."""
        for folder in (airflow_home.folder(self.settings), self.settings.artifact_root):
            folder.mkdir(parents=True, exist_ok=True)
        airflow_home.write_passwords(self.settings)
        address = f"http://{HOST}:{self.settings.airflow_port}"
        api = AirflowApi(address, airflow_home.USER, self.settings.airflow_password, self.supervisor.pause)
        schedule = Schedule(api, airflow_home.folder(self.settings) / "schedule.json")
        try:
            state = self._start_services(schedule)
            self._await_dags(api, schedule)
            # A retraining that the night's scores ask for starts only where the chain does not train anyway.
            schedule.release_idle(but=CHAIN if state.production is None else (INGEST, SCORE))
            runner = Runner(self.supervisor, self.console, api, schedule)
            outcome = CatchUp(self.settings, self.console, runner.run).bring(state, datetime.now(UTC).date())
            schedule.release_all()
        finally:
            api.close()
        if outcome.model:
            self._await_model()
        self._summary(scores(self.settings), outcome)
        return outcome.complete

    def _start_services(self, schedule: Schedule) -> State:
        """Two cores are busy with imports all the while, so what others wait for goes first."""
        settings, supervisor = self.settings, self.supervisor
        airflow = services.airflow(settings, self.options.dags)
        first = list(airflow.first)
        if services.starts_mlflow(settings):
            first.insert(0, services.mlflow(settings))
        self.console.say("starting " + ", ".join(service.title for service in [*first, *airflow.last]) + ", the API")
        store = services.mlflow_store(settings) if services.starts_mlflow(settings) else None
        if store:  # beside the migration: both are mostly imports
            supervisor.start(store)
        if not airflow_home.is_migrated(settings):
            airflow_home.drop_half_made(settings)
            supervisor.run(airflow.migrate)
            airflow_home.remember_migrated(settings)
        if store:
            supervisor.finish(store)
        last = [*airflow.last, services.api(settings, self.options.api_app)]
        for service in first:
            supervisor.start(service)
        supervisor.await_healthy(s for s in first if s.name != _DAG_PROCESSOR)
        schedule.hold()
        look = self._look()
        for service in [*last, look]:
            supervisor.start(service)
        supervisor.await_healthy([*airflow.first[1:], *last])
        supervisor.finish(look)
        return State.read(self._answer)

    @property
    def _answer(self) -> Path:
        return self.settings.data_home / "run" / "state.json"

    def _look(self) -> Service:
        argv = (services.PYTHON, "-m", "deploy.local.state", str(self._answer))
        return Service("state", "the look at what is there", argv, services.base_environment(self.settings))

    def _await_dags(self, api: AirflowApi, schedule: Schedule) -> None:
        """Until the chain's DAGs, and the one that its scores start, were read by this start's DAG processor."""
        since, wanted = self.supervisor.started_at(_DAG_PROCESSOR), (*CHAIN, MONITOR)
        for _ in self.supervisor.every(0.5, 120.0, f"Airflow to read the DAGs {', '.join(wanted)}"):
            if schedule.parsed(wanted, since):
                return
            if errors := api.import_errors(since):
                raise ServiceFailed("\n".join(["Airflow cannot read a DAG file:", *errors]))

    def _await_model(self) -> None:
        """The API serves what was just trained and scored. Later than a minute is worth a line, not a stop."""
        wanted = ["model_loaded"]
        if scores(self.settings).customers:
            wanted.append("customers_scored")
        health = services.api_health(self.settings)
        try:
            for _ in self.supervisor.every(0.5, _MODEL_SECONDS, "the API to load the model"):
                if all(health.says(name) for name in wanted):
                    return
        except ServiceFailed as error:
            self.console.say(f"{error} See {self.settings.data_home / 'logs' / 'api.log'}.")

    def _summary(self, state: State, outcome: Outcome) -> None:
        settings = self.settings
        scored = "no customers yet"
        if state.customers is not None:
            scored = f"{state.customers:,} customers as of {state.as_of}, by model version {state.scored_by}"
        login = f"user {airflow_home.USER}, password {settings.airflow_password}"
        self.console.box(
            [
                ("Airflow", f"http://{HOST}:{settings.airflow_port}  ({login})"),
                ("MLflow", services.tracking_url(settings)),
                ("API, page", f"http://{HOST}:{settings.api_port}/"),
                ("Scored", scored),
                *(("Attention", line) for line in outcome.amiss),
            ]
        )
