"""Which DAGs are on: held while a start works, released after it, and a person's choice stays."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.local.airflow_api import AirflowApi, Dag
from deploy.local.schedule import Schedule

START = datetime(2026, 3, 1, 9, tzinfo=UTC)


class SmallAirflow(AirflowApi):
    """Remembers what is on, as Airflow's database does."""

    def __init__(self, on: Iterable[str] = (), off: Iterable[str] = ()) -> None:
        self.on = dict.fromkeys(on, True) | dict.fromkeys(off, False)
        self.owing: set[str] = set()
        self.parsed_at = START - timedelta(days=1)

    def dags(self) -> dict[str, Dag]:
        past = datetime.now(UTC) - timedelta(hours=1)
        return {
            name: Dag(name, not on, True, self.parsed_at, past if name in self.owing else None)
            for name, on in self.on.items()
        }

    def switch(self, dag_id: str, *, on: bool) -> None:
        self.on[dag_id] = on


def test_new_dags_are_off_until_they_are_released(tmp_path: Path) -> None:
    airflow = SmallAirflow(off=["ingest", "score", "monitor"])
    schedule = Schedule(airflow, tmp_path / "ledger")
    schedule.hold()
    schedule.release_idle(but=["ingest", "score"])
    assert airflow.on == {"ingest": False, "score": False, "monitor": True}
    schedule.release("ingest")
    schedule.release_all()
    assert all(airflow.on.values())


def test_a_dag_whose_schedule_owes_a_run_stays_off_until_the_chain_is_done(tmp_path: Path) -> None:
    airflow = SmallAirflow(off=["ingest", "retrain", "monitor"])
    airflow.owing = {"retrain"}
    schedule = Schedule(airflow, tmp_path / "ledger")
    schedule.release_idle(but=["ingest"])
    assert airflow.on == {"ingest": False, "retrain": False, "monitor": True}
    schedule.release_all()
    assert all(airflow.on.values())


def test_a_later_start_holds_what_was_on_and_releases_it(tmp_path: Path) -> None:
    airflow = SmallAirflow(off=["ingest", "score"])
    Schedule(airflow, tmp_path / "ledger").release_all()
    later = Schedule(airflow, tmp_path / "ledger")
    later.hold()
    assert not any(airflow.on.values())
    later.release_all()
    assert all(airflow.on.values())


def test_a_dag_that_a_person_switched_off_stays_off(tmp_path: Path) -> None:
    airflow = SmallAirflow(off=["ingest", "score"])
    Schedule(airflow, tmp_path / "ledger").release_all()
    airflow.switch("score", on=False)
    later = Schedule(airflow, tmp_path / "ledger")
    later.hold()
    assert later.may_run("ingest")
    assert not later.may_run("score")
    later.release_all()
    assert airflow.on == {"ingest": True, "score": False}


def test_a_start_that_was_killed_while_holding_leaves_no_dag_off_for_good(tmp_path: Path) -> None:
    airflow = SmallAirflow(off=["ingest", "score"])
    Schedule(airflow, tmp_path / "ledger").release_all()
    Schedule(airflow, tmp_path / "ledger").hold()
    last = Schedule(airflow, tmp_path / "ledger")
    last.hold()
    last.release_all()
    assert all(airflow.on.values())


def test_a_dag_counts_as_read_only_when_this_start_read_it(tmp_path: Path) -> None:
    airflow = SmallAirflow(off=["ingest"])
    schedule = Schedule(airflow, tmp_path / "ledger")
    assert not schedule.parsed(["ingest"], START)
    airflow.parsed_at = START + timedelta(seconds=1)
    assert schedule.parsed(["ingest"], START)
    assert not schedule.parsed(["ingest", "score"], START)


@pytest.mark.parametrize(("minutes", "due"), [(-1, True), (60, False)])
def test_a_dag_is_due_when_its_next_run_is_past(minutes: int, due: bool) -> None:
    assert Dag("d", False, True, None, datetime.now(UTC) + timedelta(minutes=minutes)).due is due
