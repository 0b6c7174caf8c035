"""Thirty nights in a row on the containers, by nobody's hand: all published, and nothing that only grows."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from running_platform import wait_for
from running_stack import Stack, docker, needs_docker

NIGHTS = 30
TODAY = datetime.now(UTC).date()
FIRST = TODAY - timedelta(days=NIGHTS - 1)
STAYING = (
    "airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "airflow-metrics",
    "mlflow", "postgres", "api", "prometheus",
)  # fmt: skip
WARM = 10
"""Nights until caches are full; memory is compared from there on."""

pytestmark = [
    *needs_docker("info", "compose version"),
    pytest.mark.nights,
    pytest.mark.timeout(5400),
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One whose schedule is off: its nights are of the past, started one after the other."""
    with Stack(
        "churn-nights",
        CHURN_SEARCH_TRIALS="0",
        CHURN_DEMO_CUSTOMERS="400",
        CHURN_DEMO_DAYS="60",
        CHURN_KEEP_LOGS_DAYS="1",
    ) as stack:
        stack.build()
        stack.up(*[name for name in STAYING if name != "api"])
        stack.compose("up", "--detach", "api")  # well when there is a model
        stack.log_in()
        for dag in ("ingest_events", "retrain_model", "score_nightly", "monitor_model", "rollback_model"):
            _switched_on(stack, dag)
        yield stack


def test_thirty_nights_are_published_and_nothing_only_grows(stack: Stack) -> None:
    stack.run_dag("ingest_events", str(FIRST), {})
    trained = stack.run_dag("retrain_model", str(FIRST), {"force": True, "snapshots": 3})
    assert trained["promote"] == "success"
    seen = []
    for night in (FIRST + timedelta(days=n) for n in range(NIGHTS)):
        if night != FIRST:
            stack.run_dag("ingest_events", str(night), {})
        states = stack.run_dag("score_nightly", str(night), {})
        assert states["publish_scores"] == states["check_drift"] == "success", (night, states)
        seen.append(_look(stack))
        print(f"{night}: {seen[-1]}", flush=True)

    published = _published(stack)
    assert published == [str(FIRST + timedelta(days=n)) for n in range(NIGHTS)]
    warm, last = seen[WARM], seen[-1]
    for service in STAYING:
        grown = last["memory"][service] - warm["memory"][service]
        assert grown < max(60e6, 0.25 * warm["memory"][service]), (service, warm, last)
        assert last["processes"][service] <= warm["processes"][service] + 4, (service, warm, last)
    # A night brings its events, features, scores and reports: as much the last nights as the first ones.
    early = (seen[WARM]["home"] - seen[0]["home"]) / WARM
    late = (last["home"] - seen[-1 - WARM]["home"]) / WARM
    assert late < 1.5 * early, (early, late)
    assert _part_files(stack) == []


def test_what_is_past_its_time_goes_when_a_night_of_today_is_watched(stack: Stack) -> None:
    states = stack.run_dag("monitor_model", str(TODAY), {})
    assert states["prune"] == "success"
    printed = stack.compose("exec", "-T", "airflow-scheduler", "churn", "prune", "--dry-run", "--json", timeout=300)
    left = json.loads(printed.splitlines()[-1])
    assert left["items"] == 0, left["places"]


def _look(stack: Stack) -> dict[str, Any]:
    """Bytes of memory and processes of each service, and bytes of the data home."""
    names = {stack.container(service)["Name"].lstrip("/"): service for service in STAYING}
    lines = docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", *names).splitlines()
    found = {names[line.split()[0]]: line.split() for line in lines}
    return {
        "memory": {service: _bytes(words[1]) for service, words in found.items()},
        "processes": {service: int(words[-1]) for service, words in found.items()},
        "home": stack.python(
            "import json\nfrom pathlib import Path\n"
            "print(json.dumps(sum(p.stat().st_size for p in Path('/churn').rglob('*') if p.is_file())))\n"
        ),
    }


def _bytes(text: str) -> float:
    for unit, size in (("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30), ("B", 1)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * size
    raise ValueError(text)


def _published(stack: Stack) -> list[str]:
    found: list[str] = stack.python(
        "import json, sqlalchemy as sa\nfrom churn.settings import Settings\n"
        "url = Settings().score_database.replace('postgresql', 'postgresql+psycopg')\n"
        "with sa.create_engine(url).connect() as db:\n"
        "    found = db.execute(sa.text('select as_of from publications order by as_of')).scalars()\n"
        "    print(json.dumps([str(day) for day in found]))\n"
    )
    return [str(date.fromisoformat(day[:10])) for day in found]


def _part_files(stack: Stack) -> list[str]:
    found: list[str] = stack.python(
        "import json\nfrom pathlib import Path\nprint(json.dumps([str(p) for p in Path('/churn').rglob('*.part')]))\n"
    )
    return found


def _switched_on(stack: Stack, dag: str) -> None:
    address = f"/api/v2/dags/{dag}"
    wait_for(lambda: stack.airflow.get(address).status_code == 200, seconds=60)
    stack.airflow.patch(address, json={"is_paused": False}).raise_for_status()
