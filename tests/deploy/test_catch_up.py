"""What a start runs, for which date, and what it goes on with when a run fails or a DAG is switched off."""

from collections.abc import Callable, Mapping
from datetime import date

import pytest

from churn.io.lake import Lake
from churn.settings import Settings
from deploy.local.catch_up import CatchUp, Outcome
from deploy.local.console import Console
from deploy.local.runs import RunFailed, SwitchedOff
from deploy.local.state import State

TODAY = date(2026, 3, 5)
YESTERDAY = date(2026, 3, 4)
INGEST, TRAIN, SCORE = "ingest_events", "retrain_model", "score_nightly"
SCORED_BEFORE = State(production="3", as_of="2026-03-01", customers=100, scored_by="3")


class SmallAirflow:
    """Runs what it is asked to run; named DAGs fail or are off. Ingesting publishes ``log_ends``."""

    def __init__(self, settings: Settings, log_ends: date | None, **trouble: Exception) -> None:
        self.settings = settings
        self.log_ends = log_ends
        self.trouble = trouble
        self.ran: list[tuple[str, str]] = []
        self.forms: dict[str, Mapping[str, object]] = {}

    def run(self, dag_id: str, day: str, conf: Mapping[str, object]) -> None:
        if dag_id == INGEST and self.log_ends:
            partition = Lake(self.settings.data_home).event_partition(self.log_ends)
            partition.parent.mkdir(parents=True, exist_ok=True)
            partition.touch()
        if dag_id in self.trouble:
            raise self.trouble[dag_id]
        self.ran.append((dag_id, day))
        self.forms[dag_id] = conf

    def bring(self, state: State) -> Outcome:
        return CatchUp(self.settings, Console(), self.run).bring(state, TODAY)


Started = Callable[..., SmallAirflow]


@pytest.fixture
def airflow(settings: Settings) -> Started:
    def make(log_ends: date | None = YESTERDAY, **trouble: Exception) -> SmallAirflow:
        return SmallAirflow(settings, log_ends, **trouble)

    return make


def test_a_night_scored_by_a_model_that_is_no_longer_in_production_is_scored_again(airflow: Started) -> None:
    start = airflow()
    assert start.bring(State(production="4", as_of="2026-03-05", customers=100, scored_by="3")).complete
    assert start.ran == [(INGEST, "2026-03-05"), (SCORE, "2026-03-05")]


def test_without_a_model_one_is_trained_and_with_one_it_is_not(airflow: Started) -> None:
    first, later = airflow(), airflow()
    assert first.bring(State()).complete
    assert first.ran == [(INGEST, "2026-03-05"), (TRAIN, "2026-03-05"), (SCORE, "2026-03-05")]
    assert first.forms[TRAIN]["force"] is True  # also within days of a start whose training failed
    assert later.bring(SCORED_BEFORE).complete
    assert later.ran == [(INGEST, "2026-03-05"), (SCORE, "2026-03-05")]


def test_nothing_runs_when_today_is_scored(airflow: Started, capsys: pytest.CaptureFixture[str]) -> None:
    idle = airflow()
    assert idle.bring(State(production="3", as_of="2026-03-05", scored_by="3")).complete
    assert idle.ran == []
    assert "nothing to run" in capsys.readouterr().out


def test_a_log_that_ends_in_the_past_is_trained_and_scored_at_its_end(
    airflow: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    past = airflow(date(2018, 11, 30))
    past.bring(State())
    assert past.ran == [(INGEST, "2026-03-05"), (TRAIN, "2018-12-01"), (SCORE, "2018-12-01")]
    assert "the log ends on 2018-11-30: scoring as of 2018-12-01" in capsys.readouterr().out


def test_a_past_log_that_is_scored_is_looked_through_for_news_but_not_scored_again(airflow: Started) -> None:
    past = airflow(date(2018, 11, 30))
    assert past.bring(State(production="3", as_of="2018-12-01", scored_by="3")).complete
    assert past.ran == [(INGEST, "2026-03-05")]


@pytest.mark.parametrize("log_ends", [YESTERDAY, TODAY, date(2026, 3, 9)])
def test_today_is_as_late_as_it_gets_and_then_goes_unsaid(
    airflow: Started, log_ends: date, capsys: pytest.CaptureFixture[str]
) -> None:
    late = airflow(log_ends)
    late.bring(SCORED_BEFORE)
    assert late.ran[-1] == (SCORE, "2026-03-05")
    assert "the log ends" not in capsys.readouterr().out


def test_with_a_model_a_failed_ingestion_is_told_and_scoring_goes_on(
    airflow: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = airflow(ingest_events=RunFailed("ingest_events failed.\n  | bad.csv: no column userId"))
    outcome = broken.bring(SCORED_BEFORE)
    assert broken.ran == [(SCORE, "2026-03-05")]
    assert not outcome.complete
    assert outcome.amiss == ["ingest_events failed, see above"]
    told = capsys.readouterr().out
    assert "| bad.csv: no column userId" in told
    assert "Going on with the events that are in the lake" in told


def test_with_a_model_but_no_events_scoring_is_skipped_and_that_is_told(
    airflow: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = airflow(None, ingest_events=RunFailed("ingest_events failed."))
    assert not empty.bring(SCORED_BEFORE).complete
    assert empty.ran == []
    assert "score_nightly is skipped: there are no events in the lake" in capsys.readouterr().out


def test_with_a_model_a_failed_scoring_leaves_the_older_scores(
    airflow: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = airflow(score_nightly=RunFailed("score_nightly failed.")).bring(SCORED_BEFORE)
    assert outcome.model
    assert not outcome.complete
    assert "The scores as of 2026-03-01 stay." in capsys.readouterr().out


def test_a_model_that_was_only_just_trained_is_enough_to_go_on_when_scoring_fails(
    airflow: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = airflow(score_nightly=RunFailed("score_nightly failed.")).bring(State())
    assert outcome.model
    assert not outcome.complete
    assert "No customers are scored yet." in capsys.readouterr().out


@pytest.mark.parametrize("dag_id", [INGEST, SCORE])
def test_with_a_model_a_dag_that_a_person_switched_off_is_told_and_is_no_failure(airflow: Started, dag_id: str) -> None:
    off = airflow(**{dag_id: SwitchedOff(dag_id)})
    outcome = off.bring(SCORED_BEFORE)
    assert outcome.complete
    assert outcome.amiss == [f"{dag_id} is switched off in Airflow"]
    assert len(off.ran) == 1


@pytest.mark.parametrize("dag_id", [INGEST, TRAIN])
def test_without_a_model_a_failed_run_ends_the_start(airflow: Started, dag_id: str) -> None:
    with pytest.raises(RunFailed, match="it broke"):
        airflow(**{dag_id: RunFailed("it broke")}).bring(State())


@pytest.mark.parametrize("dag_id", [INGEST, TRAIN])
def test_without_a_model_a_dag_that_is_off_leaves_airflow_up_to_switch_it_on(
    airflow: Started, dag_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = airflow(**{dag_id: SwitchedOff(dag_id)}).bring(State())
    assert not outcome.model
    assert not outcome.complete
    assert f"http://127.0.0.1:8080/dags/{dag_id}" in capsys.readouterr().out
