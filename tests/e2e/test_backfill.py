"""Nights of the past through Airflow, several at once: each published once, as `churn backfill` would, and no alarm."""

import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from running_platform import Platform, wait_for

from churn.io.score_tables import REASONS, SCORES
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.backfill import backfill
from tests.alert_servers import Chat, serving

NIGHTS = 5
TODAY = datetime.now(UTC).date()
FIRST, LAST = TODAY - timedelta(days=NIGHTS), TODAY - timedelta(days=1)
TABLES = (SCORES, REASONS)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]


@pytest.fixture
def alerts() -> Iterator[Chat]:
    """What is sent to the webhook meanwhile."""
    chat = Chat()
    with serving(chat):
        yield chat


@pytest.fixture
def platform(tmp_path_factory: pytest.TempPathFactory, alerts: Chat) -> Iterator[Platform]:
    """One that scores a night in two shards, and would ask for a retraining after one night of drift."""
    platform = Platform(
        tmp_path_factory.mktemp("backfill") / "home",
        CHURN_SEARCH_TRIALS="0",
        CHURN_SCORE_SHARDS="2",
        CHURN_DRIFT_NIGHTS="1",
        CHURN_RETRAIN_COOLDOWN_DAYS="0",
        CHURN_ALERT_WEBHOOK=alerts.url,
    )
    try:
        platform.start()
        yield platform
    finally:
        platform.stop(signal.SIGTERM)
        platform.api.close()
        platform.airflow.close()


def test_a_backfill_publishes_every_night_once_as_the_command_line_does(platform: Platform, alerts: Chat) -> None:
    before = len(platform.runs("retrain_model"))
    alerts.got.clear()
    platform.backfill("score_nightly", FIRST, LAST, at_once=3)
    wait_for(lambda: _ended(platform, "score_nightly", NIGHTS), seconds=1500)
    nights = {str(FIRST + timedelta(days=n)) for n in range(NIGHTS)}
    runs = [run for run in platform.runs("score_nightly") if run["run_type"] == "backfill"]
    assert {run["partition_key"]: run["state"] for run in runs} == dict.fromkeys(nights, "success")
    assert len(runs) == NIGHTS

    with closing(ScoreBook(platform.settings.score_database)) as book:
        published = [str(p.as_of) for p in book.publications()]
    assert published == sorted({*nights, str(TODAY)})
    alone = platform.settings.model_copy(
        update={"database_url": f"sqlite:///{platform.settings.data_home / 'alone'}.db"}
    )
    backfill(alone, FIRST, LAST)
    assert _rows(platform.settings) == _rows(alone)
    assert len(_rows(alone)[0]) > NIGHTS * 100

    # Each night is looked at, too; but only yesterday's, which may be a late one, could ring or ask.
    wait_for(lambda: _ended(platform, "monitor_model", NIGHTS), seconds=900)
    asked = {run["partition_key"] for run in platform.runs("retrain_model")[before:]}
    assert asked <= {str(LAST)}
    assert {alert.get("as_of") for alert in alerts.got} <= {str(LAST), None}
    assert not [subject for subject in alerts.subjects if subject.endswith("failed")]


def _ended(platform: Platform, dag: str, nights: int) -> bool:
    """Whether so many runs of past nights are there, and none of them is at work."""
    states = [run["state"] for run in platform.runs(dag) if run["partition_key"] in _past()]
    return len(states) >= nights and not {"queued", "running"} & set(states)


def _past() -> set[str]:
    return {str(FIRST + timedelta(days=n)) for n in range(NIGHTS)}


def _rows(settings: Settings) -> list[list[Any]]:
    """Every score and every reason of the past nights, as they are stored."""
    with closing(ScoreBook(settings.score_database)) as book, book._database.transaction() as db:
        return [
            [tuple(row) for row in db.execute(
                sa.select(t).where(t.c.as_of <= LAST).order_by(t.c.as_of, t.c.customer_id)
            )]
            for t in TABLES
        ]  # fmt: skip
