"""The product as its user meets it: ``make run``'s supervisor, real MLflow, Airflow and API, a real browser's requests.

Takes minutes: left out of ``make test``, run by ``make e2e`` and CI.
"""

import gzip
import json
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
from running_platform import CUSTOMER, Platform, wait_for
from test_readme import block

from churn.io.registry import Registry
from churn.io.scorebook import ScoreBook

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("e2e") / "home")
    platform.start()
    yield platform
    if platform.process.poll() is None:
        platform.stop(signal.SIGINT)
    platform.api.close()
    platform.airflow.close()


def test_the_first_start_ends_with_a_model_in_production_and_customers_scored(platform: Platform) -> None:
    health = platform.api.get("/health").json()
    assert health["model_loaded"] is True
    assert health["status"] == "healthy"
    assert health["customers_scored"] > 200
    assert health["scores_as_of"] == str(datetime.now(UTC).date())
    for told in ("admin", str(platform.ports[0]), str(platform.ports[1]), str(platform.ports[2]), "customers"):
        assert told in platform.told


def test_the_first_start_runs_each_dag_once_and_the_night_it_scored_is_monitored(platform: Platform) -> None:
    today = str(datetime.now(UTC).date())
    wait_for(lambda: [run["state"] for run in platform.runs("monitor_model")] == ["success"], seconds=60)
    (monitored,) = platform.runs("monitor_model")
    assert (monitored["run_type"], monitored["partition_key"]) == ("asset_triggered", today)
    for dag in ("ingest_events", "retrain_model", "score_nightly"):
        (run,) = platform.runs(dag)
        assert (run["state"], run["partition_key"]) == ("success", today), dag
    assert platform.runs("rollback_model") == []
    dags = platform.airflow.get("/api/v2/dags").json()["dags"]
    assert {dag["dag_id"]: dag["is_paused"] for dag in dags if dag["is_paused"]} == {}


def test_the_five_endpoints_answer_with_their_fixed_bodies(platform: Platform) -> None:
    one = platform.api.post("/predict", json=CUSTOMER)
    assert set(one.json()) == {"churn_prediction", "churn_probability", "no_churn_probability"}
    assert one.headers["X-Model-Version"] == "1"
    many = platform.api.post("/batch_predict", json=[CUSTOMER, CUSTOMER]).json()
    assert many == {"predictions": [{"index": i, **one.json()} for i in range(2)]}
    six = {"accuracy", "precision", "recall", "f1_score", "roc_auc", "precision_recall_auc"}
    assert six <= set(platform.api.get("/model/metrics").json())
    info = platform.api.get("/model/info").json()
    assert {"model_type", "features", "target", "model_path", "last_updated"} <= set(info)
    assert platform.api.post("/predict", json=CUSTOMER | {"total_sessions": "ten"}).status_code == 422


def test_the_example_in_the_readme_runs_as_it_is_written(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    code = block("python", "ChurnClient").replace("http://127.0.0.1:8000", str(platform.api.base_url).split("/api")[0])
    names: dict[str, Any] = {}
    exec(code, names)
    probability, *reasons, riskiest = capsys.readouterr().out.splitlines()
    assert names["customer"].keys() == CUSTOMER.keys()
    assert float(probability) == platform.api.post("/predict", json=names["customer"]).json()["churn_probability"]
    assert len(reasons) == 3
    assert riskiest.count("customer_id") == 10


def test_a_customers_raw_events_give_the_stored_score_and_its_reasons(platform: Platform) -> None:
    stored = platform.api.get("/top", params={"limit": 3}).json()
    wanted: dict[str, list[Any]] = {customer["customer_id"]: [] for customer in stored["customers"]}
    for file in sorted((platform.settings.data_home / "landing").glob("*.json.gz")):
        with gzip.open(file, "rt") as lines:
            for event in map(json.loads, lines):
                if str(event.get("userId")) in wanted:
                    wanted[str(event["userId"])].append(event)
    for customer in stored["customers"]:
        body = {"as_of": stored["as_of"], "events": wanted[customer["customer_id"]]}
        answer = platform.api.post("/predict/events", json=body).json()
        assert answer["churn_probability"] == pytest.approx(customer["churn_probability"], abs=1e-9)
        texts = [reason["text"] for reason in answer["reasons"]]
        assert texts == [reason["text"] for reason in customer["reasons"]][: len(texts)]


def test_nothing_listens_beyond_this_machine(platform: Platform) -> None:
    listening = {
        (c.laddr.ip, c.laddr.port)
        for process in [psutil.Process(platform.process.pid), *platform.family()]
        for c in process.net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    }
    assert {port for _, port in listening} >= set(platform.ports)
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1"}, listening


def test_a_stored_score_is_what_the_api_gives_for_the_same_features(platform: Platform) -> None:
    import pyarrow.parquet as pq

    as_of = datetime.now(UTC).date()
    path = platform.settings.data_home / f"features/as_of={as_of}/features.parquet"
    features = pq.ParquetFile(path).read().to_pandas().set_index("customer_id")
    stored = ScoreBook(platform.settings.score_database).top(20)
    bodies = [features.loc[s.customer_id].to_dict() for s in stored]
    answers = platform.api.post("/batch_predict", json=bodies).json()["predictions"]
    assert [a["churn_probability"] for a in answers] == [s.churn_probability for s in stored]


def test_a_retraining_from_the_form_and_a_past_night_run_and_change_no_other_night(platform: Platform) -> None:
    today = datetime.now(UTC).date()
    before = ScoreBook(platform.settings.score_database).top(10_000)
    states = platform.run_dag(
        "retrain_model", str(today), {"snapshots": 3, "comment": "tried", "promote": False, "force": True}
    )
    assert {task for task, state in states.items() if state == "skipped"} == {"approve", "promote"}
    assert set(states.values()) == {"success", "skipped"}
    staging = Registry(platform.settings).staging()
    assert staging is not None
    assert staging.tags["comment"] == "tried"

    past = str(today - timedelta(days=3))
    states = platform.run_dag("score_nightly", past, {})
    assert states.pop("request_retraining") in ("skipped", "success")
    assert set(states.values()) == {"success"}
    assert ScoreBook(platform.settings.score_database).top(10_000) == before


def test_the_api_follows_the_registry_without_a_restart(platform: Platform) -> None:
    registry = Registry(platform.settings)
    staging = registry.staging()
    assert staging is not None
    registry.promote(staging, "the test says so")
    wait_for(
        lambda: platform.api.post("/predict", json=CUSTOMER).headers["X-Model-Version"] == staging.version, seconds=20
    )


def _command(process: psutil.Process) -> str:
    """Its command line; empty for one that has ended by now, as a task's process may at any time."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_the_api_goes_on_answering_while_the_registry_is_away(platform: Platform) -> None:
    mlflow = [p for p in platform.family() if f"--port {platform.ports[1]}" in _command(p)]
    assert mlflow
    for process in mlflow:
        process.suspend()
    try:
        for _ in range(10):
            assert platform.api.post("/predict", json=CUSTOMER).status_code == 200
            time.sleep(0.3)
    finally:
        for process in mlflow:
            process.resume()


def test_stopping_leaves_no_process_and_no_half_written_file_and_a_second_start_trains_nothing(
    platform: Platform,
) -> None:
    versions = len(Registry(platform.settings).versions())
    assert platform.stop(signal.SIGTERM) == []
    assert list(platform.settings.data_home.rglob("*.part")) == []
    platform.start()
    # Another version was promoted meanwhile: tonight is scored again with it, and nothing is trained.
    assert "score_nightly: done" in platform.told
    assert "retrain_model: started" not in platform.told
    assert len(Registry(platform.settings).versions()) == versions
    assert (
        platform.api.get("/top").json()["model_version"] == platform.api.get("/health").json()["model_version"] == "2"
    )
    assert platform.stop(signal.SIGINT) == []
    platform.start()
    assert "nothing to run" in platform.told
    assert platform.stop(signal.SIGINT) == []
