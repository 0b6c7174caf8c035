"""Every DAG parses, explains itself, has the shape it should, and runs against a real data home."""

from datetime import date, timedelta
from typing import Any

import pytest

from churn.io.lake import Lake
from churn.io.registry import Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.simulate import simulate

pytestmark = pytest.mark.filterwarnings("ignore")  # Airflow's and its providers' own deprecations

SHAPES = {
    "ingest_events": {"land_demo": {"ingest"}, "ingest": set()},
    "score_nightly": {
        "build_features": {"validate_features"},
        "validate_features": {"publish_scores"},
        "publish_scores": set(),
    },
    "retrain_model": {"build_panel": {"train"}, "train": {"compare"}, "compare": {"promote"}, "promote": set()},
}


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


@pytest.mark.slow
def test_a_night_and_a_retraining_run_as_dags(dag_bag: Any, settings: Settings) -> None:
    as_of = date(2026, 3, 1)
    simulate(settings.landing_dir, customers=250, days=75, seed=3, start=as_of - timedelta(days=75))
    conf = {"as_of": str(as_of)}

    assert _run(dag_bag, "ingest_events", conf) == {"land_demo": "success", "ingest": "success"}
    assert Lake(settings.data_home).event_days()[-1] == as_of - timedelta(days=1)

    # No model yet: scoring fails at once, without a retry, and publishes nothing.
    states = _run(dag_bag, "score_nightly", conf, expected="failed")
    assert states["publish_scores"] == "failed"
    assert ScoreBook(settings.score_database).latest() is None

    assert _run(dag_bag, "retrain_model", conf | {"comment": "first"})["promote"] == "success"
    production = Registry(settings).production()
    assert production is not None
    assert production.tags["comment"] == "first"

    # The same data again: no second version, nothing to promote.
    assert _run(dag_bag, "retrain_model", conf)["promote"] == "skipped"
    assert len(Registry(settings).versions()) == 1

    for _ in range(2):
        assert set(_run(dag_bag, "score_nightly", conf).values()) == {"success"}
    published = ScoreBook(settings.score_database).latest()
    assert published is not None
    assert published.as_of == as_of
    assert published.model_version == production.version
    assert len(ScoreBook(settings.score_database).top(10_000)) == published.customers > 100


def _run(dag_bag: Any, name: str, conf: dict[str, Any], *, expected: str = "success") -> dict[str, str]:
    """Run a DAG in this process; ``dag.test()`` never raises, so its state is what counts."""
    run = dag_bag.dags[name].test(run_conf=conf)
    states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    assert run.state == expected, states
    return states
