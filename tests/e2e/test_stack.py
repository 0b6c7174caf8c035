"""The containers at work, from building the images to a rollback: what docker-compose.yaml promises."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from running_platform import CUSTOMER, wait_for
from running_stack import Stack, docker, needs_docker

from churn.settings import REPOSITORY
from deploy.stack.passwords import fresh
from tests.deploy.panels import run_every_panel

TODAY = datetime.now(UTC).date()
TESTS = Path(__file__).parents[1]
REAL_LOG = REPOSITORY.parent / "shared" / "data" / "sparkify_logs" / "daily_json"

pytestmark = [*needs_docker("info", "compose version"), pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One that asks before a promotion, on a generated log."""
    with Stack(
        "churn-e2e",
        CHURN_PROMOTION="approve",
        CHURN_APPROVERS="admin",
        CHURN_SEARCH_TRIALS="0",
        CHURN_DEMO_CUSTOMERS="800",
        CHURN_DEMO_DAYS="75",
    ) as stack:
        built, up = stack.build(), stack.up()
        print(f"\nimages built in {built:.0f} s, everything well after another {up:.0f} s")
        yield stack


def test_it_comes_up_well_with_tonights_customers_scored(stack: Stack) -> None:
    states = stack.states()
    assert all(state in ("running healthy", "running", "exited") for state in states.values()), states
    assert {name for name, state in states.items() if state == "exited"} == {"check", "airflow-init"}
    health = stack.api.get("/health").json()
    assert health["model_loaded"]
    assert health["scores_as_of"] == str(TODAY)
    assert health["customers_scored"] > 300
    assert stack.served() == "1"
    assert stack.api.get("/top?limit=3").json()["customers"][0]["reasons"]


def test_nothing_but_the_three_doors_and_the_dashboards_is_open(stack: Stack) -> None:
    published = {
        service: [b["HostIp"] for bindings in stack.container(service)["NetworkSettings"]["Ports"].values()
                  for b in bindings or ()]
        for service, state in stack.states().items() if state.startswith("running")
    }  # fmt: skip
    open_ones = {service for service, addresses in published.items() if addresses}
    assert open_ones <= {"airflow-api-server", "api", "prometheus", "grafana"}
    assert {address for addresses in published.values() for address in addresses} == {"127.0.0.1"}
    inside = stack.python(
        "import json, socket\n"
        "try:\n    socket.create_connection(('192.0.2.1', 80), 2)\n    print(json.dumps('out'))\n"
        "except OSError as error:\n    print(json.dumps(error.strerror or 'timed out'))\n",
        "mlflow",
    )
    assert inside == "Network is unreachable"


@pytest.mark.parametrize("service", ["api", "airflow-scheduler", "airflow-api-server", "mlflow", "prometheus"])
def test_nobody_is_root_and_no_capability_is_left(stack: Stack, service: str) -> None:
    found = stack.container(service)
    assert found["Config"]["User"] not in ("", "0", "root")
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert not found["HostConfig"]["CapAdd"]
    assert "no-new-privileges:true" in found["HostConfig"]["SecurityOpt"]
    assert found["HostConfig"]["Memory"] > 0


def test_the_api_writes_nowhere_but_into_its_volumes(stack: Stack) -> None:
    assert stack.container("api")["HostConfig"]["ReadonlyRootfs"]
    code = (
        "import json, os\nfrom pathlib import Path\nfound = []\n"
        "for place in ('/opt/venv', '/etc', '/churn', '/churn/serving', '/churn/predictions', '/tmp'):\n"
        "    try:\n        (Path(place) / 'try').touch(); (Path(place) / 'try').unlink(); found.append(place)\n"
        "    except OSError:\n        pass\nprint(json.dumps(found))\n"
    )
    assert stack.python(code, "api") == ["/churn/serving", "/churn/predictions", "/tmp"]


def test_predictions_reach_the_log_that_the_nightly_check_reads(stack: Stack) -> None:
    for _ in range(20):
        stack.api.post("/predict", json=CUSTOMER).raise_for_status()
    code = (
        "import json\nfrom datetime import date\n"
        "from churn.io import prediction_log\nfrom churn.settings import Settings\n"
        f"folder = prediction_log.partition(Settings().data_home, date.fromisoformat('{TODAY}'))\n"
        "import pyarrow.parquet as pq\n"
        "print(json.dumps(sum(pq.ParquetFile(f).metadata.num_rows for f in folder.glob('*.parquet'))))\n"
    )
    wait_for(lambda: stack.python(code) >= 20, seconds=30)


@pytest.mark.skipif(not REAL_LOG.is_dir(), reason="the public Sparkify log is not there: ../shared/data/sparkify_logs")
def test_a_real_log_is_ingested_and_its_features_are_built(stack: Stack) -> None:
    """In a data home of its own: real and generated customers are never mixed."""
    container = stack.container("airflow-scheduler")["Name"].lstrip("/")
    docker("cp", f"{REAL_LOG}/.", f"{container}:/tmp/real")
    found = stack.python(
        "import json, os, subprocess\n"
        "env = os.environ | {'CHURN_HOME': '/tmp/real-home'}\n"
        "def churn(*words):\n"
        "    done = subprocess.run(['churn', *words, '--json'], env=env, capture_output=True, text=True, check=True)\n"
        "    return json.loads(done.stdout.splitlines()[-1])\n"
        "print(json.dumps([churn('ingest', '/tmp/real'), churn('features', '--as-of', '2018-12-01')]))\n"
    )
    ingested, built = found
    assert [ingested[name] for name in ("read", "accepted", "set_aside", "quarantined")] == [8_056, 7_770, 286, 0]
    assert built["customers"] == 97


def test_a_retraining_is_approved_served_and_rolled_back(stack: Stack) -> None:
    code = (TESTS / "weak_champion.py").read_text() + (
        f"\nfound = put_weak_champion(Settings(search_trials=0), date.fromisoformat('{TODAY}'))\n"
        "print(__import__('json').dumps(found.version))\n"
    )
    weak = stack.python(code)
    wait_for(lambda: stack.served() == weak, seconds=20)

    run = stack.trigger("retrain_model", str(TODAY), {"force": True, "snapshots": 4, "comment": "it is wrong"})
    asked = stack.asked(run)
    compared = stack.airflow.get(f"{run}/taskInstances/compare/xcomEntries/return_value").json()["value"]
    challenger = compared["challenger"]
    assert asked["subject"] == f"Promote churn model version {challenger}?"
    assert stack.served() == weak
    stack.answer(run, "Approve", "looked at the segments")
    assert set(stack.ended(run).values()) == {"success"}
    wait_for(lambda: stack.served() == challenger, seconds=20)

    states = stack.run_dag("score_nightly", str(TODAY), {})
    assert states["publish_scores"] == "success"
    wait_for(lambda: stack.api.get("/top?limit=1").json()["model_version"] == challenger, seconds=20)

    assert stack.run_dag("rollback_model", None, {"reason": "a test"}) == {"rollback": "success"}
    wait_for(lambda: stack.served() == weak, seconds=20)


def test_every_panel_of_the_dashboards_has_data(stack: Stack) -> None:
    """Asked of the Prometheus that runs there; DAG runs, predictions and checks have happened by now."""
    address = str(stack.prometheus.base_url)
    wait_for(lambda: _used(stack) and not run_every_panel(address), seconds=150)
    assert run_every_panel(address) == []
    targets = stack.prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]
    assert {target["health"] for target in targets} == {"up"}


def test_another_start_finds_everything_as_it_was(stack: Stack) -> None:
    before = stack.api.get("/health").json()
    stack.compose("down", "--timeout", "20", timeout=180)
    took = stack.up()
    print(f"\nwell again after {took:.0f} s")
    after = stack.api.get("/health").json()
    assert after["model_version"] == before["model_version"]
    assert after["scores_as_of"] >= before["scores_as_of"]  # after midnight a start scores the new day too
    assert len(stack.runs("retrain_model")) == 2


def test_a_start_scores_again_when_events_came_after_the_scores(stack: Stack) -> None:
    """As after days off, when the schedule owes an ingestion and a scoring and starts both at once."""
    before = len(stack.runs("score_nightly"))
    assert stack.run_dag("ingest_events", str(TODAY), {})["ingest"] == "success"
    stack.compose("restart", "catch-up")
    wait_for(lambda: stack.states()["catch-up"] == "running healthy", seconds=240)
    assert "scoring again" in stack.told("catch-up")
    assert [run["state"] for run in stack.runs("score_nightly")[before:]] == ["success"]
    stack.compose("restart", "catch-up")
    wait_for(lambda: stack.states()["catch-up"] == "running healthy", seconds=240)
    assert "nothing to run" in "".join(stack.told("catch-up").splitlines()[-3:])
    assert len(stack.runs("score_nightly")) == before + 1


def test_where_others_reach_the_ports_nothing_starts_on_known_passwords() -> None:
    with Stack("churn-exposed", CHURN_BIND="0.0.0.0") as exposed:
        with pytest.raises(AssertionError, match="everybody knows: CHURN_AIRFLOW_PASSWORD"):
            exposed.up("api")
        states = exposed.states()
        assert states["check"] == "exited"
        assert not any(state.startswith("running") for state in states.values())


def test_with_keys_set_the_api_asks_for_one() -> None:
    secrets = fresh()
    with Stack("churn-locked", CHURN_BIND="127.0.0.1", **secrets) as locked:
        locked.compose("up", "--detach", "--no-deps", "api")
        wait_for(lambda: _status(locked.api, "/health") == 401, seconds=30)
        key = {"X-API-Key": secrets["CHURN_METRICS_KEY"]}
        assert locked.api.get("/health", headers=key).status_code == 200


def _used(stack: Stack) -> bool:
    """Some traffic, so that rates have something to say."""
    stack.api.post("/batch_predict", json=[CUSTOMER] * 5).raise_for_status()
    stack.api.get("/top?limit=3").raise_for_status()
    return stack.served() != ""


def _status(client: httpx.Client, path: str) -> int | None:
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return None
