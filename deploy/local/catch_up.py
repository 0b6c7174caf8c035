"""Brings scores up to date: ingest, train when there is no model, score.

One bad file or one DAG that is switched off must not make the platform unreachable: with a model in production a step
that did not happen is told, and the next goes on with what is there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from churn.settings import Settings
from deploy.local.console import Console
from deploy.local.preflight import HOST
from deploy.local.runs import RunFailed, SwitchedOff
from deploy.local.state import State

INGEST = "ingest_events"
TRAIN = "retrain_model"
SCORE = "score_nightly"
CHAIN = (INGEST, TRAIN, SCORE)
MONITOR = "monitor_model"
"""Started by the scores that the chain publishes."""
_FIRST_TRAINING = {"force": True, "comment": "there was no model"}
"""As the form would say it. Without force, a start that had failed would keep the next one from training for days."""


@dataclass
class Outcome:
    """What came of it. ``amiss``: one short line for each thing that a person should look after."""

    model: bool
    failed: bool = False
    amiss: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether there is a model and no run failed."""
        return self.model and not self.failed


class CatchUp:
    """``run`` brings one DAG to a successful run for one ISO date, started with that form, as ``runs.Runner`` does."""

    def __init__(
        self, settings: Settings, console: Console, run: Callable[[str, str, Mapping[str, object]], None]
    ) -> None:
        self._settings = settings
        self._say = console.say
        self._run = run

    def bring(self, state: State, today: date) -> Outcome:
        """Raises RunFailed only while there is no model: then there is nothing that services could go on with."""
        outcome = Outcome(model=state.production is not None)
        if outcome.model and state.scored(today.isoformat()):
            self._say(f"customers are scored as of {today} already, nothing to run")
            return outcome
        wanted = [dag_id for dag_id in CHAIN if dag_id != TRAIN or not outcome.model]
        self._say(f"bringing scores up to date: {', then '.join(wanted)}")
        try:
            self._chain(state, today, outcome)
        except SwitchedOff as off:
            page = f"http://{HOST}:{self._settings.airflow_port}/dags/{off.dag_id}"
            self._say(
                f"{off}\nThere is no model yet, so nothing is scored. Everything stays up for you to switch it on:\n"
                f"{page}\nThen stop this and start it again."
            )
            outcome.amiss.append(f"{off.dag_id} is switched off in Airflow, no model yet")
        return outcome

    def _chain(self, state: State, today: date, outcome: Outcome) -> None:
        self._attempt(INGEST, today, outcome, "Going on with the events that are in the lake.")
        end = self._log_end()
        if outcome.model and end is None:
            self._say(f"{SCORE} is skipped: there are no events in the lake")
            outcome.amiss.append(f"{SCORE} skipped, no events")
            return
        as_of = today if end is None else min(today, end)
        if end and as_of < today:
            self._say(f"the log ends on {end - timedelta(days=1)}: scoring as of {as_of}")
        if not outcome.model:
            self._run(TRAIN, as_of.isoformat(), _FIRST_TRAINING)
            outcome.model = True
        elif state.scored(as_of.isoformat()):
            self._say(f"customers are scored as of {as_of} already")
            return
        kept = f"The scores as of {state.as_of} stay." if state.as_of else "No customers are scored yet."
        self._attempt(SCORE, as_of, outcome, kept)

    def _attempt(self, dag_id: str, day: date, outcome: Outcome, otherwise: str) -> None:
        """With a model, says what went wrong and what happens instead; without one, raises it."""
        try:
            self._run(dag_id, day.isoformat(), {})
        except (RunFailed, SwitchedOff) as error:
            if not outcome.model:
                raise
            self._say(f"{error}\n{otherwise}")
            failed = isinstance(error, RunFailed)
            outcome.failed |= failed
            outcome.amiss.append(f"{dag_id} failed, see above" if failed else f"{dag_id} is switched off in Airflow")

    def _log_end(self) -> date | None:
        """The day after the last one that has events: the latest date that a score can be as of."""
        from churn.io.lake import Lake  # here, because it imports pyarrow, which a start with nothing to run need not

        days = Lake(self._settings.data_home).event_days()
        return days[-1] + timedelta(days=1) if days else None
