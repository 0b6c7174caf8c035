"""Wherever the DAGs run, the pool of their tasks has slots enough for the heaviest of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from churn.settings import REPOSITORY, Settings
from deploy.local.airflow_home import environment
from deploy.stack.check import problems

SLOTS = "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT"
HEAVY = 2
"""As dags/churn_run.py has it; tests/dags/test_scale.py looks at what the tasks take."""


def test_a_local_start_makes_as_many_slots_as_it_runs_tasks(tmp_path: Path) -> None:
    found = environment(Settings(home=tmp_path, _env_file=None), tmp_path)  # type: ignore[call-arg]
    assert found[SLOTS] == found["AIRFLOW__CORE__PARALLELISM"]
    assert int(found[SLOTS]) >= HEAVY


def test_the_containers_make_as_many_slots_as_they_run_tasks() -> None:
    services: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())["services"]
    found = {service["environment"]["AIRFLOW__CORE__PARALLELISM"] for name, service in services.items()
             if name.startswith("airflow-") and name != "airflow-metrics"}  # fmt: skip
    assert found == {services["airflow-init"]["environment"][SLOTS]} == {"${CHURN_TASKS:-4}"}


@pytest.mark.parametrize(("slots", "wrong"), [("1", True), ("0", True), ("many", True), ("2", False), ("16", False)])
def test_fewer_slots_than_the_heaviest_task_takes_are_refused_before_anything_starts(slots: str, wrong: bool) -> None:
    said = [line for line in problems({SLOTS: slots}) if line.startswith("CHURN_TASKS")]
    assert bool(said) == wrong
