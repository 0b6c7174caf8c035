"""Shards, slots, nights of the past, and what passes between tasks: what keeps the DAGs fit for many customers."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from alert_servers import Chat, serving

from churn.io.lake import Lake
from churn.io.score_tables import REASONS, SCORES
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.score import score
from churn.steps.simulate import simulate

pytestmark = pytest.mark.filterwarnings("ignore")  # Airflow's and its providers' own deprecations

AS_OF = date(2026, 3, 1)
_LARGEST = 8_192
"""Bytes of one XCom. A night of three shards has none above a kilobyte; the gate's reasons are the longest texts."""


@pytest.fixture
def in_shards(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The DAGs as they are where a night is scored in three shards."""
    from airflow.dag_processing.dagbag import BundleDagBag

    monkeypatch.setenv("CHURN_SCORE_SHARDS", "3")
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")


def test_a_night_in_shards_is_planned_mapped_and_gathered(in_shards: Any) -> None:
    assert in_shards.import_errors == {}
    dag = in_shards.dags["score_nightly"]
    assert {t.task_id: t.downstream_task_ids for t in dag.tasks} == {
        "build_features": {"validate_features"},
        "validate_features": {"plan_shards"},
        "plan_shards": {"score_shard", "publish_scores"},
        "score_shard": {"publish_scores"},
        "publish_scores": {"check_drift"},
        "check_drift": {"request_retraining"},
        "request_retraining": set(),
    }
    assert dag.get_task("score_shard").is_mapped
    assert len(dag.tasks) <= 12


def test_what_reads_the_log_or_trains_takes_two_slots_of_the_pool_that_is_always_there(in_shards: Any) -> None:
    """Of a pool that does not exist, or has fewer slots than a task takes, Airflow never starts the task."""
    tasks = [task for dag in in_shards.dags.values() for task in dag.tasks]
    assert {task.pool for task in tasks} == {"default_pool"}
    heavy = {f"{task.dag_id}.{task.task_id}" for task in tasks if task.pool_slots == 2}
    assert heavy == {
        "ingest_events.ingest", "score_nightly.build_features", "score_nightly.check_drift",
        "monitor_model.monitor", "retrain_model.build_panel", "retrain_model.train",
    }  # fmt: skip
    assert {task.pool_slots for task in tasks} == {1, 2}


# --- Nights of the past -------------------------------------------------------------------------------------------


@pytest.fixture
def log(settings: Settings) -> Settings:
    """Events until 2026-03-09, so that the newest night is 2026-03-10."""
    for day in (AS_OF, date(2026, 3, 9)):
        path = Lake(settings.data_home).event_partition(day)
        path.parent.mkdir(parents=True)
        path.touch()
    return settings


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    """What is sent to the webhook meanwhile."""
    chat = Chat()
    monkeypatch.setenv("CHURN_ALERT_WEBHOOK", chat.url)
    with serving(chat):
        yield chat


@pytest.mark.parametrize(("night", "past"), [("2026-03-08", True), ("2026-03-09", False), ("2026-03-10", False)])
def test_only_the_newest_nights_ask_for_a_retraining(
    dag_bag: Any, log: Settings, night: str, past: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drift that has persisted, in a night that a backfill makes up for and in one that is due."""
    from airflow.sdk.exceptions import AirflowSkipException
    from airflow.sdk.execution_time.context import set_current_context
    from churn_assets import RETRAIN_REQUESTED
    from churn_run import ask_for_retraining

    persists = {"as_of": night, "requested": True, "reason": "drift since 2026-03-06"}
    monkeypatch.setattr("churn_run.run_step", lambda *_: persists)
    emitted = SimpleNamespace(extra=None, keys=[])
    emitted.add_partitions = emitted.keys.append
    run = SimpleNamespace(dag_id="score_nightly", run_id="r", partition_key=night)
    with set_current_context({"params": {}, "dag_run": run}):  # type: ignore[typeddict-item]
        if past:
            with pytest.raises(AirflowSkipException, match="a night of the past"):
                ask_for_retraining({RETRAIN_REQUESTED: emitted}, RETRAIN_REQUESTED, ("drift",))
        else:
            ask_for_retraining({RETRAIN_REQUESTED: emitted}, RETRAIN_REQUESTED, ("drift",))
    assert emitted.keys == ([] if past else [night])


@pytest.mark.parametrize(("night", "told"), [("2026-03-08", []), ("2026-03-09", ["Drift"])])
def test_news_of_a_night_of_the_past_are_not_told(
    dag_bag: Any, log: Settings, chat: Chat, night: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from churn_episodes import drift_news, tell_news

    here = {"dag_run": SimpleNamespace(dag_id="score_nightly", run_id="r")}
    monkeypatch.setattr("churn_alerts.get_current_context", lambda: here)
    report = {
        "as_of": night, "model_version": "1", "alarm": True, "persists": False, "nights": 1, "summary": "far away",
    }  # fmt: skip
    news = drift_news(report)
    assert len(news) == 1
    tell_news(news, "Drift", report)
    assert chat.subjects == told
    assert news[0].is_file() == bool(told)


@pytest.mark.parametrize(
    ("dag_id", "key", "told"),
    [
        ("score_nightly", "2026-03-08", False),
        ("monitor_model", "2026-03-08", False),
        ("score_nightly", "2026-03-09", True),
        ("score_nightly", None, True),
        ("score_nightly", "made up", True),
        ("retrain_model", "2026-03-08", True),  # approved days later, and failed then
    ],
)
def test_the_failure_of_a_night_of_the_past_is_not_told(
    dag_bag: Any, log: Settings, chat: Chat, dag_id: str, key: str | None, told: bool
) -> None:
    from churn_alerts import tell_of_failure

    run = SimpleNamespace(partition_key=key)
    tell_of_failure({"dag": SimpleNamespace(dag_id=dag_id), "run_id": "r", "dag_run": run})
    assert chat.subjects == ([f"{dag_id} failed"] if told else [])


def test_days_that_have_not_begun_make_no_night_a_past_one(dag_bag: Any, log: Settings) -> None:
    """One event with a clock that runs ahead must not keep every alarm from ringing."""
    from churn_past import of_the_past

    from churn.steps.newest_night import newest_night

    ahead = Lake(log.data_home).event_partition(date(2099, 1, 1))
    ahead.parent.mkdir()
    ahead.touch()
    today = date(2026, 3, 10)
    assert newest_night(log, today) == today
    assert of_the_past(date(2026, 3, 8)) is not None
    assert newest_night(log.model_copy(update={"home": log.home / "empty"}), today) is None


# --- What passes between tasks ------------------------------------------------------------------------------------


def _too_much(text: str) -> bool:
    """Whether an XCom holds more than ids, dates and small reports: Airflow names the class of every other value."""
    return len(text) > _LARGEST or "__classname__" in text


def test_a_frame_in_an_xcom_would_be_seen(dag_bag: Any) -> None:
    import pandas as pd
    from airflow.sdk.serde import serialize

    assert _too_much(json.dumps(serialize(pd.DataFrame({"customer_id": ["a"]}))))
    assert not _too_much(json.dumps(serialize({"as_of": "2026-03-01", "customers": 3, "shards": [{"number": 0}]})))


@pytest.mark.slow
def test_a_whole_night_in_shards_passes_on_nothing_but_small_reports(in_shards: Any, settings: Settings) -> None:
    """From the raw log to the look at the model; and the rows are those of one process."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    simulate(settings.landing_dir, customers=250, days=75, seed=3, start=AS_OF - timedelta(days=75))
    ran: dict[str, list[tuple[str, int]]] = {}
    runs = []
    for name in ("ingest_events", "retrain_model", "score_nightly", "monitor_model"):
        run = in_shards.dags[name].test(run_conf={"as_of": str(AS_OF)})
        tis = run.get_task_instances()
        assert run.state == "success", [(ti.task_id, ti.map_index, ti.state) for ti in tis]
        ran[name] = sorted((ti.task_id, ti.map_index) for ti in tis if ti.state == "success")
        runs.append((name, run.run_id))
    assert [ti for ti in ran["score_nightly"] if ti[0] == "score_shard"] == [("score_shard", n) for n in range(3)]

    with create_session() as session:
        found = session.execute(
            sa.select(XComModel.dag_id, XComModel.task_id, XComModel.map_index, XComModel.value).where(
                sa.tuple_(XComModel.dag_id, XComModel.run_id).in_(runs)
            )
        ).all()
    texts = {
        (dag, task, index): value if isinstance(value, str) else json.dumps(value) for dag, task, index, value in found
    }
    assert {(dag, task) for dag, task, _ in texts} >= {
        (d, t) for d, tasks in ran.items() for t, _ in tasks if t != "gate"
    }
    assert {key: len(text) for key, text in texts.items() if _too_much(text)} == {}

    with closing(ScoreBook(settings.score_database)) as book:
        customers = set(book.scores(book.publications()[0])["customer_id"])
    assert len(customers) > 100
    alone = settings.model_copy(update={"database_url": f"sqlite:///{settings.data_home / 'alone'}.db"})
    score(alone, AS_OF)
    assert _rows(settings) == _rows(alone)


def _rows(settings: Settings) -> list[Any]:
    with closing(ScoreBook(settings.score_database)) as book, book._database.transaction() as db:
        return [db.execute(sa.select(t).order_by(t.c.customer_id)).all() for t in (SCORES, REASONS)]
