"""Parts of the running containers killed, cut off and filled up, with callers at the API and a night at work.

Each fault comes from outside, as an accident does: a process killed by its number, a network unplugged. What must hold
is always the same: callers of `/predict` noticed nothing (but of the API's own death), the night is published once and
whole, and nobody had to do anything. ``docs/operations.md`` has the table that is printed at the end.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from running_platform import wait_for
from running_stack import Stack, docker, needs_docker
from traffic import Traffic

from churn.settings import REPOSITORY

TODAY = str(datetime.now(UTC).date())

pytestmark = [
    *needs_docker("info", "compose version"),
    pytest.mark.faults,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="processes in containers are killed by root alone"),
]


@dataclass(frozen=True)
class Record:
    """A row of the table."""

    fault: str
    recovered: float
    answers: str


class Records:
    """The table."""

    def __init__(self) -> None:
        self.rows: list[Record] = []

    def add(self, fault: str, recovered: float, traffic: Traffic) -> None:
        """``recovered``: seconds from the fault until everything was well."""
        said = [
            f"{sum(seen.statuses.values()):,} {what}, {seen.failed} failed"
            + (f" within {seen.longest_down:.1f} s" if seen.failed else "")
            for what, seen in (("predictions", traffic.predictions), ("lists", traffic.lists))
        ]
        self.rows.append(Record(fault, recovered, "; ".join(said)))


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The containers' clocks are ahead by the seconds that are written there; None without a C compiler."""
    if (compiler := shutil.which("cc")) is None:
        return None
    folder = tmp_path_factory.mktemp("clock")
    folder.chmod(0o755)  # whoever runs in the containers reads it
    library, source = folder / "moved_clock.so", REPOSITORY / "tests" / "e2e" / "moved_clock.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    (folder / "offset").write_text("0")
    return folder / "offset"


@pytest.fixture(scope="module")
def stack(clock: Path | None) -> Iterator[Stack]:
    files, moved = ["docker-compose.yaml", "tests/e2e/faults.compose.yaml"], {}
    if clock is not None:
        files.append("tests/e2e/clock.compose.yaml")
        moved = {"TEST_CLOCK": str(clock.parent)}
    with Stack(
        "churn-faults",
        COMPOSE_FILE=":".join(files),
        CHURN_SEARCH_TRIALS="0",
        CHURN_DEMO_CUSTOMERS="500",
        CHURN_DEMO_DAYS="75",
        **moved,
    ) as stack:
        stack.build()
        stack.up()
        yield stack


@pytest.fixture(scope="module")
def records() -> Iterator[Records]:
    found = Records()
    yield found
    print("\n| fault | well again after | callers meanwhile |\n|---|---|---|")
    for row in found.rows:
        print(f"| {row.fault} | {row.recovered:.0f} s | {row.answers} |")


@pytest.fixture
def traffic(stack: Stack) -> Iterator[Traffic]:
    with Traffic(str(stack.api.base_url).rstrip("/")) as running:
        yield running


# -- the faults ----------------------------------------------------------------------------------------------------


def test_the_scheduler_is_killed_in_the_middle_of_a_night(stack: Stack, traffic: Traffic, records: Records) -> None:
    before = published(stack)
    run = at_work(stack, "score_nightly")
    began = killed(stack, "airflow-scheduler")
    wait_for(lambda: well(stack, "airflow-scheduler"), seconds=180)
    states = stack.ended(run)
    assert states["publish_scores"] == "success"
    records.add("scheduler killed in the middle of a night, its tasks with it", time.monotonic() - began, traffic)
    assert published(stack) == before
    assert traffic.predictions.failed == traffic.lists.failed == 0


@pytest.mark.parametrize("whole", [False, True], ids=["by itself", "with the worker that runs it"])
def test_a_task_is_killed_and_tried_again(stack: Stack, traffic: Traffic, records: Records, whole: bool) -> None:
    before = published(stack)
    run = at_work(stack, "score_nightly")
    began = time.monotonic()
    for number in at_task(stack, "airflow-scheduler", whole=whole):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    assert stack.ended(run)["publish_scores"] == "success"
    tasks = stack.airflow.get(f"{run}/taskInstances").json()["task_instances"]
    assert max(t["try_number"] for t in tasks) > 1
    records.add("task killed" + (", its worker with it" if whole else ""), time.monotonic() - began, traffic)
    assert published(stack) == before
    assert traffic.predictions.failed == 0


def test_mlflow_is_killed(stack: Stack, traffic: Traffic, records: Records) -> None:
    began = killed(stack, "mlflow")
    wait_for(lambda: not stack.api.get("/health").json()["registry_reachable"], seconds=30)
    wait_for(lambda: stack.api.get("/health").json()["registry_reachable"], seconds=120)
    records.add("MLflow killed", time.monotonic() - began, traffic)
    assert traffic.predictions.failed == traffic.lists.failed == 0


def test_postgresql_is_killed_in_the_middle_of_a_night(stack: Stack, traffic: Traffic, records: Records) -> None:
    before = published(stack)
    run = at_work(stack, "score_nightly")
    began = killed(stack, "postgres")
    wait_for(lambda: well(stack, "postgres"), seconds=120)
    wait_for(lambda: answered(lambda: stack.ended(run)) is not None, seconds=400)
    states = stack.ended(run)
    assert states["publish_scores"] == "success", states
    records.add("PostgreSQL killed in the middle of a night", time.monotonic() - began, traffic)
    assert published(stack) == before
    assert traffic.predictions.failed == 0


def test_the_api_is_killed(stack: Stack, traffic: Traffic, records: Records) -> None:
    version = stack.served()
    began = killed(stack, "api")
    wait_for(lambda: answered(stack.served) == version, seconds=60)
    records.add("API killed", time.monotonic() - began, traffic)
    wait_for(lambda: well(stack, "api"), seconds=60)
    assert traffic.predictions.longest_down < 45


def test_the_api_is_cut_off_from_the_registry_and_takes_the_next_version_afterwards(
    stack: Stack, traffic: Traffic, records: Records
) -> None:
    network, mlflow = f"{stack.name}_inside", stack.container("mlflow")["Name"].lstrip("/")
    docker("network", "disconnect", network, mlflow)
    try:
        wait_for(lambda: not stack.api.get("/health").json()["registry_reachable"], seconds=30)
        wait_for(lambda: stack.samples("churn_registry_up == 0") != [], seconds=60)
        wait_for(lambda: stack.samples('ALERTS{alertname="RegistryAway"}') != [], seconds=60)
        stack.compose("restart", "--timeout", "10", "api")
        wait_for(lambda: answered(stack.served) is not None, seconds=60)
        assert stack.api.get("/health").json()["local_copy"]  # the last good one, from its own disk
    finally:
        docker("network", "connect", "--alias", "mlflow", network, mlflow)
    began = time.monotonic()
    wait_for(lambda: stack.api.get("/health").json()["registry_reachable"], seconds=120)
    records.add("network cut between API and MLflow, API started anew meanwhile", time.monotonic() - began, traffic)


def test_a_full_disk_publishes_no_half_and_goes_on_when_there_is_room(
    stack: Stack, traffic: Traffic, records: Records
) -> None:
    before = published(stack)
    fill = "import errno\ntry:\n    with open('/churn/filler', 'wb') as f:\n        while True: f.write(b'0' * 65536)\n"
    stack.python(fill + "except OSError as e:\n    assert e.errno == errno.ENOSPC\n")
    try:
        stack.python("from pathlib import Path\nimport shutil\nshutil.rmtree('/churn/features')\n")
        stack.python(fill.replace("filler", "filler-2") + "except OSError as e:\n    assert e.errno == errno.ENOSPC\n")
        run = stack.trigger("score_nightly", TODAY, {})
        wait_for(lambda: "No space left" in task_log(stack, run, "build_features"), seconds=120)
        assert published(stack) == before
        features = "[str(p) for p in Path('/churn/features').rglob('*.parquet')]"
        assert stack.python(f"import json\nfrom pathlib import Path\nprint(json.dumps({features}))\n") == []
    finally:
        stack.python("from pathlib import Path\nfor f in Path('/churn').glob('filler*'): f.unlink()\n")
    began = time.monotonic()
    assert stack.ended(run)["publish_scores"] == "success"  # the retry of the task, by itself
    records.add("disk of the lake full", time.monotonic() - began, traffic)
    assert published(stack) == before
    assert traffic.predictions.failed == traffic.lists.failed == 0


def test_two_schedulers_run_a_night_once(stack: Stack, traffic: Traffic, records: Records) -> None:
    before = published(stack)
    began = time.monotonic()
    two = ("--no-recreate", "--no-deps", "--scale", "airflow-scheduler=2", "airflow-scheduler")
    stack.compose("up", "--detach", "--wait", *two, timeout=180)
    try:
        running = docker("ps", "--filter", f"name={stack.name}-airflow-scheduler", "--format", "{{.Names}}").split()
        assert len(running) == 2
        run = stack.trigger("score_nightly", TODAY, {})
        states = stack.ended(run)
        assert states["publish_scores"] == "success"
        tasks = stack.airflow.get(f"{run}/taskInstances").json()["task_instances"]
        assert {t["try_number"] for t in tasks if t["state"] == "success"} == {1}
    finally:
        stack.compose("up", "--detach", "--no-recreate", "--no-deps", "--scale", "airflow-scheduler=1",
                      "airflow-scheduler")  # fmt: skip
    records.add("two schedulers", time.monotonic() - began, traffic)
    assert published(stack) == before


def test_the_same_night_scored_twice_at_once_is_published_once(
    stack: Stack, traffic: Traffic, records: Records
) -> None:
    before = published(stack)
    began = time.monotonic()
    runs = [stack.trigger("score_nightly", TODAY, {}) for _ in range(2)]
    by_hand = [
        subprocess.Popen(
            ["docker", "compose", "exec", "-T", "airflow-scheduler", "churn", "score", "--as-of", TODAY],
            cwd=REPOSITORY, env=stack.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in by_hand:
        _, said = process.communicate(timeout=180)
        assert process.returncode == 0, said
    for run in runs:
        assert stack.ended(run)["publish_scores"] == "success"
    records.add("the same night scored four times at once", time.monotonic() - began, traffic)
    assert published(stack) == before
    assert traffic.predictions.failed == traffic.lists.failed == 0


def test_the_clock_is_set_forward_in_the_middle_of_a_night_and_back_in_the_middle_of_another(
    stack: Stack, clock: Path | None, traffic: Traffic, records: Records
) -> None:
    """Back by minutes: Airflow goes on with a run when the clock is again where it was when the run was asked for."""
    if clock is None:
        pytest.skip("there is no C compiler here, and so no clock that can be set: apt-get install gcc libc6-dev")
    before = published(stack)
    for offset, fault in (
        ("3600", "clock set forward by an hour in the middle of a night"),
        ("3480", "clock set back by two minutes in the middle of a night"),
    ):
        run = at_work(stack, "score_nightly")
        began = time.monotonic()
        clock.write_text(offset)
        wait_for(lambda ahead=int(offset): abs(seconds_ahead(stack) - ahead) < 60, seconds=30)
        stack.log_in()  # of two clocks, one finds the other's tokens too old or not yet issued
        assert stack.ended(run)["publish_scores"] == "success"
        assert stack.run_dag("score_nightly", TODAY, {})["publish_scores"] == "success"
        records.add(fault, time.monotonic() - began, traffic)
        assert published(stack) == before
    assert traffic.predictions.failed == traffic.lists.failed == 0


def test_a_night_that_has_not_begun_is_refused(stack: Stack, traffic: Traffic, records: Records) -> None:
    """What a machine whose clock is a day ahead would ask for."""
    before = published(stack)
    began = time.monotonic()
    said = stack.python(
        "import json, subprocess\n"
        "from datetime import UTC, datetime, timedelta\n"
        "day = (datetime.now(UTC) + timedelta(days=1)).date()\n"
        "done = subprocess.run(['churn', 'score', '--as-of', str(day)], capture_output=True, text=True)\n"
        "print(json.dumps([done.returncode, done.stderr]))\n"
    )
    assert said[0] != 0
    assert "has not begun" in said[1]
    records.add("a night of tomorrow asked for", time.monotonic() - began, traffic)
    assert published(stack) == before


# -- what is looked at ---------------------------------------------------------------------------------------------


def published(stack: Stack) -> list[Any]:
    """Tonight's publication, and whether its scores are as many as it says, each customer once."""
    found: list[Any] = stack.python(
        "import json, sqlalchemy as sa\n"
        "from churn.io.scorebook import ScoreBook\nfrom churn.settings import Settings\n"
        "settings = Settings()\nlatest = ScoreBook(settings.score_database).latest()\n"
        "engine = sa.create_engine(settings.score_database.replace('postgresql', 'postgresql+psycopg'))\n"
        "with engine.connect() as db:\n"
        "    rows = db.execute(sa.text('select count(*), count(distinct customer_id), sum(churn_probability) '\n"
        "        'from scores '\n"
        "        'where as_of = :d and model_version = :v'), {'d': latest.as_of, 'v': latest.model_version}).one()\n"
        "    many = db.execute(sa.text('select count(*) from publications where as_of = :d and model_version = :v'),\n"
        "        {'d': latest.as_of, 'v': latest.model_version}).scalar()\n"
        "print(json.dumps([str(latest.as_of), latest.model_version, latest.customers, many, rows[0], rows[1],\n"
        "    round(rows[2], 9)]))\n"
    )
    _, _, customers, publications, rows, different, _ = found
    assert publications == 1
    assert customers == rows == different
    return found


def at_work(stack: Stack, dag: str) -> str:
    """A run of today, one of whose tasks is at work."""
    run = stack.trigger(dag, TODAY, {})
    wait_for(
        lambda: "running" in {t["state"] for t in stack.airflow.get(f"{run}/taskInstances").json()["task_instances"]},
        seconds=60,
    )
    return run


def seconds_ahead(stack: Stack) -> float:
    """How far the scheduler's clock is from this machine's."""
    ahead: float = stack.python("import time; print(time.time())\n") - time.time()
    return ahead


def killed(stack: Stack, service: str) -> float:
    """Kill the first process of a container, all others with it; when."""
    os.kill(stack.container(service)["State"]["Pid"], signal.SIGKILL)
    return time.monotonic()


def at_task(stack: Stack, service: str, *, whole: bool) -> list[int]:
    """Numbers, on this machine, of the processes that run a task: the task's own, and LocalExecutor's that waits for it
    too where ``whole``. An idle worker is left alone: it holds the executor's queue, and nothing would start any more
    until the scheduler does."""
    lines = docker("top", stack.container(service)["Name"].lstrip("/"), "-eo", "pid,ppid,args").splitlines()[1:]
    rows = [(int(line.split()[0]), int(line.split()[1]), line) for line in lines]
    busy = [number for number, _, line in rows if "LocalExecutor:" in line and "<idle>" not in line]
    tasks = [number for number, parent, _ in rows if parent in busy]
    assert tasks, "no task at work among\n" + "\n".join(lines)
    return tasks + (busy if whole else [])


def well(stack: Stack, service: str) -> bool:
    return stack.states().get(service) == "running healthy"


def answered(ask: Callable[[], Any]) -> Any:
    """What comes back, or None while there is no answer."""
    try:
        return ask()
    except (httpx.HTTPError, KeyError, ValueError):
        return None


def task_log(stack: Stack, run: str, task: str) -> str:
    return str(answered(lambda: stack.airflow.get(f"{run}/taskInstances/{task}/logs/1").text) or "")
