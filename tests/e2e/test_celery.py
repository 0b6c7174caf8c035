"""The containers with Celery: shards of a night side by side on two workers, and nights of the past several at once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from running_platform import wait_for
from running_stack import Stack, needs_docker

SHARDS, NIGHTS = 3, 4
TODAY = datetime.now(UTC).date()
FIRST, LAST = TODAY - timedelta(days=NIGHTS), TODAY - timedelta(days=1)

pytestmark = [*needs_docker("info", "compose version"), pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(
        "churn-celery",
        COMPOSE_PROFILES="celery",
        CHURN_EXECUTOR="CeleryExecutor",
        CHURN_AIRFLOW_GROUP="celery",
        CHURN_CELERY_WORKERS="2",
        CHURN_SCORE_SHARDS=str(SHARDS),
        CHURN_TASKS="8",
        CHURN_SEARCH_TRIALS="0",
        CHURN_DEMO_CUSTOMERS="400",
        CHURN_DEMO_DAYS="60",
    ) as stack:
        stack.build()
        print(f"\neverything well after {stack.up():.0f} s")
        stack.log_in()
        yield stack


def test_tonight_was_scored_in_shards_on_both_workers_and_published_once(stack: Stack) -> None:
    (run,) = stack.runs("score_nightly")
    tasks = _tasks(stack, run)
    assert {task["state"] for task in tasks if task["task_id"] != "request_retraining"} == {"success"}
    shards = [task for task in tasks if task["task_id"] == "score_shard"]
    assert sorted(task["map_index"] for task in shards) == list(range(SHARDS))
    workers = {task["hostname"] for task in tasks if task["hostname"]}
    print(f"\n{len(workers)} workers; shards on {[task['hostname'] for task in shards]}")
    assert len(workers) == 2
    scheduler = stack.container("airflow-scheduler")["Config"]["Hostname"]
    assert scheduler not in workers

    health = stack.api.get("/health").json()
    assert health["scores_as_of"] == str(TODAY)
    counted = stack.python(
        "import json\nfrom contextlib import closing\nfrom churn.io.scorebook import ScoreBook\n"
        "from churn.settings import Settings\n"
        "with closing(ScoreBook(Settings().score_database)) as book:\n"
        "    latest = book.latest()\n    print(json.dumps([book.matching(latest), len(book.profile(latest))]))\n"
    )
    assert counted == [health["customers_scored"]] * 2
    assert counted[0] > 150


def test_nights_of_the_past_are_made_up_for_several_at_once(stack: Stack) -> None:
    stack.backfill("score_nightly", FIRST, LAST, at_once=2)
    wait_for(lambda: len(_past(stack)) == NIGHTS and set(_past(stack).values()) <= {"success", "failed"}, seconds=900)
    assert _past(stack) == {str(FIRST + timedelta(days=n)): "success" for n in range(NIGHTS)}
    published = stack.python(
        "import json\nfrom contextlib import closing\nfrom churn.io.scorebook import ScoreBook\n"
        "from churn.settings import Settings\n"
        "with closing(ScoreBook(Settings().score_database)) as book:\n"
        "    print(json.dumps([str(p.as_of) for p in book.publications()]))\n"
    )
    assert sorted(published) == [str(FIRST + timedelta(days=n)) for n in range(NIGHTS + 1)]


def _past(stack: Stack) -> dict[str, str]:
    """State of each run that a backfill made."""
    return {r["partition_key"]: r["state"] for r in stack.runs("score_nightly") if r["run_type"] == "backfill"}


def _tasks(stack: Stack, run: dict[str, Any]) -> list[dict[str, Any]]:
    address = f"/api/v2/dags/score_nightly/dagRuns/{run['dag_run_id']}/taskInstances"
    found: list[dict[str, Any]] = stack.airflow.get(address).raise_for_status().json()["task_instances"]
    return found
