"""Every DAG parses, explains itself, has the shape it should, and runs against a real data home."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_servers import Chat, serving
from weak_champion import put_weak_champion

from churn.io.lake import Lake
from churn.io.ledger import Ledger
from churn.io.registry import Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.ingest import ingest
from churn.steps.simulate import simulate

pytestmark = pytest.mark.filterwarnings("ignore")  # Airflow's and its providers' own deprecations

SHAPES = {
    "ingest_events": {"land_demo": {"ingest"}, "ingest": set()},
    "score_nightly": {
        "build_features": {"validate_features"},
        "validate_features": {"publish_scores"},
        "publish_scores": {"check_drift"},
        "check_drift": {"request_retraining"},
        "request_retraining": set(),
    },
    "monitor_model": {
        "check_freshness": set(),
        "monitor": {"request_retraining"},
        "request_retraining": set(),
        "prune": set(),
    },
    "retrain_model": {
        "start_retraining": {"build_panel"},
        "build_panel": {"train"},
        "train": {"compare"},
        "compare": {"gate", "promote"},
        "gate": {"approve", "promote"},
        "approve": {"promote"},
        "promote": set(),
    },
    "rollback_model": {"rollback": set()},
}
AS_OF = date(2026, 3, 1)
EVERYTHING_RAN = {
    "start_retraining": "success", "build_panel": "success", "train": "success", "compare": "success",
    "gate": "success", "approve": "skipped", "promote": "success",
}  # fmt: skip


def test_all_dags_parse_and_every_dag_has_its_shape(dag_bag: Any) -> None:
    assert dag_bag.import_errors == {}
    found = {name: {t.task_id: t.downstream_task_ids for t in dag.tasks} for name, dag in dag_bag.dags.items()}
    assert found == SHAPES


@pytest.mark.parametrize("name", SHAPES)
def test_a_dag_explains_itself_and_keeps_the_rules_of_the_house(dag_bag: Any, name: str) -> None:
    dag = dag_bag.dags[name]
    for heading in ("**What**", "**When**", "**When it fails**"):
        assert heading in dag.doc_md
    assert "churn" in dag.tags
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert len(dag.tasks) <= 12
    assert all(task.retries == 2 for task in dag.tasks)
    for key in dag.params:
        param = dag.params.get_param(key)
        assert param.schema["title"], key
        assert param.description, key
        assert param.schema["type"], key


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events of a generated log, ingested once; 31 customers of the hold-out leave, enough for the gate to judge."""
    home = tmp_path_factory.mktemp("events")
    simulate(home / "log", customers=800, days=80, seed=5, start=AS_OF - timedelta(days=80))
    ingest(Settings(home=home, _env_file=None), [home / "log"])  # type: ignore[call-arg]
    return home / "events"


@pytest.fixture
def ready(settings: Settings, events: Path) -> Settings:
    """A data home with these events."""
    (settings.data_home / "events").symlink_to(events)
    return settings


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    """What is sent to the webhook meanwhile."""
    chat = Chat()
    monkeypatch.setenv("CHURN_ALERT_WEBHOOK", chat.url)
    with serving(chat):
        yield chat


@pytest.mark.slow
def test_a_morning_runs_as_dags_from_the_raw_log_to_the_way_back(
    dag_bag: Any, settings: Settings, alerts: Chat
) -> None:
    simulate(settings.landing_dir, customers=250, days=75, seed=3, start=AS_OF - timedelta(days=75))
    conf = {"as_of": str(AS_OF)}

    assert _run(dag_bag, "ingest_events", conf) == {"land_demo": "success", "ingest": "success"}
    assert Lake(settings.data_home).event_days()[-1] == AS_OF - timedelta(days=1)

    # No model yet: scoring fails at once, without a retry, publishes nothing, and somebody is told.
    states = _run(dag_bag, "score_nightly", conf, expected="failed")
    assert states["publish_scores"] == "failed"
    assert states["check_drift"] == "upstream_failed"
    assert ScoreBook(settings.score_database).latest() is None
    assert alerts.subjects == ["score_nightly failed"]

    # The first model goes into production without a person, also where one is asked otherwise.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHURN_PROMOTION", "approve")
        assert _run(dag_bag, "retrain_model", conf | {"comment": "first"}) == EVERYTHING_RAN
    production = Registry(settings).production()
    assert production is not None
    assert production.tags["comment"] == "first"

    # The same data again: no second version, nothing to promote, nobody to be told.
    states = _run(dag_bag, "retrain_model", conf | {"force": True})
    assert (states["gate"], states["approve"], states["promote"]) == ("success", "skipped", "skipped")
    assert len(Registry(settings).versions()) == 1

    for _ in range(2):
        states = _run(dag_bag, "score_nightly", conf)
        assert states.pop("request_retraining") == "skipped"
        assert set(states.values()) == {"success"}
    published = ScoreBook(settings.score_database).latest()
    assert published is not None
    assert published.as_of == AS_OF
    assert published.model_version == production.version
    assert len(ScoreBook(settings.score_database).top(10_000)) == published.customers > 100

    # The night is long past: a look at it does not ring for today's scores.
    states = _run(dag_bag, "monitor_model", conf)
    ran = {"check_freshness": "success", "monitor": "success", "request_retraining": "skipped"}
    assert states == ran | {"prune": "skipped"}  # it is for the run of today

    # There is nothing to go back to; and nothing is moved without a reason.
    assert _run(dag_bag, "rollback_model", {}, expected="failed") == {"rollback": "failed"}
    assert _run(dag_bag, "rollback_model", {"reason": "a test"}, expected="failed") == {"rollback": "failed"}
    assert alerts.subjects == ["score_nightly failed", "rollback_model failed", "rollback_model failed"]


@pytest.mark.slow
def test_a_better_model_is_promoted_and_a_person_can_take_it_back(
    dag_bag: Any, ready: Settings, alerts: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = put_weak_champion(ready, AS_OF)
    conf = {"as_of": str(AS_OF), "comment": "the champion is wrong"}

    # Marked as done by hand, nobody has approved: nothing is promoted.
    monkeypatch.setenv("CHURN_PROMOTION", "approve")
    states = _run(dag_bag, "retrain_model", conf, expected="failed", by_hand="approve")
    assert (states["gate"], states["promote"]) == ("success", "failed")
    assert Registry(ready).production() == weak

    monkeypatch.setenv("CHURN_PROMOTION", "auto")
    assert _run(dag_bag, "retrain_model", conf | {"force": True}) == EVERYTHING_RAN
    production = Registry(ready).production()
    assert production is not None
    assert int(production.version) > int(weak.version)
    with closing(Ledger(ready.score_database)) as ledger:
        promotion = ledger.entries("promotion")[-1]
    assert (promotion.from_version, promotion.to_version) == (weak.version, production.version)
    assert promotion.who == "the gate"
    assert promotion.evidence_sha256

    # A model that is no better than it: the gate says no, and somebody is told.
    alerts.got.clear()
    states = _run(dag_bag, "retrain_model", conf | {"force": True, "snapshots": 3})
    assert (states["gate"], states["approve"], states["promote"]) == ("success", "skipped", "skipped")
    assert Registry(ready).production() == production
    assert len(alerts.got) == 1
    assert alerts.subjects[0].endswith("was not promoted")

    assert _run(dag_bag, "rollback_model", {"reason": "the old one was fine"}) == {"rollback": "success"}
    assert Registry(ready).production().version == weak.version
    with closing(Ledger(ready.score_database)) as ledger:
        row = ledger.entries("rollback")[-1]
    assert (row.from_version, row.to_version, row.why) == (production.version, weak.version, "the old one was fine")


@pytest.mark.slow
def test_scores_that_are_missing_today_ring(dag_bag: Any, settings: Settings, alerts: Chat) -> None:
    """Without a model there is nothing to monitor, and the run fails; that scores are missing is told before."""
    today = str(datetime.now(UTC).date())  # said, because dag.test() leaves the last form's values in the DAG
    states = _run(dag_bag, "monitor_model", {"as_of": today}, expected="failed")
    failed = {"monitor": "failed", "request_retraining": "upstream_failed"}
    assert states == failed | {"check_freshness": "success", "prune": "success"}
    assert alerts.subjects == ["Scores are stale", "monitor_model failed"]


def _run(
    dag_bag: Any, name: str, conf: dict[str, Any], *, expected: str = "success", by_hand: str | None = None
) -> dict[str, str]:
    """Run a DAG in this process; ``dag.test()`` never raises, so its state is what counts."""
    run = dag_bag.dags[name].test(run_conf=conf, mark_success_pattern=by_hand)
    states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    assert run.state == expected, states
    return states
