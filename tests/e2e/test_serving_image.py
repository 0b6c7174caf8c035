"""The API's image as it is deployed: what is in it, and every endpoint out of it, against a real registry and database.

``CHURN_API_IMAGE`` names an image that is built already; else it is built here, on ``PYTHON_IMAGE`` where that is set.
"""

import os
import secrets
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
import mlflow
import numpy as np
import pyarrow as pa
import pytest
from running_platform import free_ports, wait_for
from running_stack import docker, needs_docker

from churn.io.prediction_log import read
from tests.raw_log import raw_rows
from tests.serving.conftest import CUSTOMER, FULL_CUSTOMER, Platform, platform_in, trained
from tests.serving.test_arrow import BOTH, stream_of
from tests.serving.test_lists import RECENCY, SESSIONS, because, publish

# Looked at before a test takes variables away.
IMAGE, PYTHON, POSTGRES = (os.environ.get(name) for name in ("CHURN_API_IMAGE", "PYTHON_IMAGE", "POSTGRES_IMAGE"))
MOST_BYTES = 450_000_000
TOOLS = {
    "sh", "bash", "dash", "busybox", "apt", "apt-get", "dpkg", "pip", "pip3", "uv", "gcc", "cc", "ld", "strip", "make",
    "perl", "curl", "wget", "openssl", "su", "mount", "cat", "ls",
}  # fmt: skip


pytestmark = [*needs_docker("version"), pytest.mark.timeout(900)]


def in_image(image: str, program: str) -> str:
    """What a program prints in it, with all that the image gives and no network."""
    return docker("run", "--rm", "--read-only", "--network", "none", image, "python", "-c", program)


@pytest.fixture(scope="module")
def image() -> str:
    if IMAGE:
        return IMAGE
    python = ("--build-arg", f"PYTHON_IMAGE={PYTHON}") if PYTHON else ()
    docker("build", "--quiet", "--tag", "churn-api-test", "--file", "deploy/serving.Dockerfile", *python, ".")
    return "churn-api-test"


@pytest.fixture(scope="module")
def contents(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tarfile.TarInfo]]:
    """Every file in it."""
    packed = tmp_path_factory.mktemp("image") / "image.tar"
    container = docker("create", image)
    try:
        docker("export", "--output", str(packed), container)
    finally:
        docker("rm", container)
    with tarfile.open(packed) as files:
        yield list(files)
    packed.unlink()


def test_it_is_small(image: str) -> None:
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image))
    print(f"\n{image}: {size / 1e6:.0f} MB")
    assert size <= MOST_BYTES


def test_it_runs_as_a_user_who_owns_nothing_but_the_data(image: str, contents: list[tarfile.TarInfo]) -> None:
    assert in_image(image, "import os, pwd; print(os.getuid(), os.getgid(), pwd.getpwuid(os.getuid()).pw_name)") == (
        "10001 10001 churn"
    )
    own = {f.name.rstrip("/") for f in contents if f.uid or f.gid}
    assert own == {"churn", "churn/predictions", "churn/serving"}
    open_to_all = {f.name.rstrip("/") for f in contents if f.mode & 0o002 and not f.issym()}
    assert open_to_all == {"tmp"}
    assert [f.name for f in contents if f.isfile() and f.mode & 0o6000] == []


def test_no_shell_no_package_manager_and_no_compiler_is_in_it(contents: list[tarfile.TarInfo]) -> None:
    assert [f.name for f in contents if PurePosixPath(f.name).name in TOOLS and not f.isdir()] == []
    programs = [PurePosixPath(f.name) for f in contents if PurePosixPath(f.name).parent.name in ("bin", "sbin")]
    assert [str(path) for path in programs if not path.name.startswith("python")] == []
    assert [f.name for f in contents if PurePosixPath(f.name).name in ("pip", "setuptools", "ensurepip", "uv")] == []
    assert [f.name for f in contents if f.name.endswith((".h", ".a", ".env", ".pem.key", "uv.lock"))] == []


def test_every_module_in_it_is_compiled(image: str, contents: list[tarfile.TarInfo]) -> None:
    names = {f.name for f in contents}
    tag = in_image(image, "import sys; print(sys.implementation.cache_tag)")
    sources = [PurePosixPath(name) for name in names if name.endswith(".py")]
    assert len(sources) > 2_000
    assert [str(p) for p in sources if f"{p.parent}/__pycache__/{p.stem}.{tag}.pyc" not in names] == []


def test_certificates_and_time_zones_are_found(image: str) -> None:
    trusted = in_image(image, "import ssl; print(ssl.create_default_context().cert_store_stats()['x509_ca'])")
    assert int(trusted) > 50
    zone = in_image(
        image, "import datetime as d, zoneinfo as z; print(d.datetime(2026, 7, 1, tzinfo=z.ZoneInfo('CET')))"
    )
    assert zone == "2026-07-01 00:00:00+02:00"


@dataclass(frozen=True)
class Served:
    """The image at work."""

    container: str
    http: httpx.Client
    platform: Platform
    registry: "subprocess.Popen[bytes]"

    def state(self, field: str) -> str:
        return docker("inspect", "--format", f"{{{{.State.{field}}}}}", self.container)

    def ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            assert self.state("Running") == "true", docker("logs", "--tail", "30", self.container)
            return False

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        answer = self.http.request(method, f"/api/churn/{path}", **given)
        assert answer.status_code == 200, f"{path}: {answer.text[:500]}"
        return answer


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """An empty PostgreSQL."""
    name, password = f"churn-image-test-{secrets.token_hex(4)}", secrets.token_hex(8)
    (port,) = free_ports(1)
    docker(
        "run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:5432", "--env", "POSTGRES_USER=churn",
        "--env", f"POSTGRES_PASSWORD={password}", POSTGRES or "postgres:16",
    )  # fmt: skip
    asked = ["docker", "exec", name, "pg_isready", "-q", "-h", "127.0.0.1", "-U", "churn"]
    try:
        wait_for(lambda: subprocess.run(asked, capture_output=True).returncode == 0, seconds=90)
        yield f"postgresql://churn:{password}@127.0.0.1:{port}/churn"
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """MLflow's server as the containers have it: artifacts go through it."""
    folder = tmp_path_factory.mktemp("registry")
    (port,) = free_ports(1)
    command = [
        "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--serve-artifacts",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert server.poll() is None, (folder / "log").read_text()
        try:
            return httpx.get(f"{url}/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for(answers, seconds=120)
        yield url, server
    finally:
        end(server)


def end(server: "subprocess.Popen[bytes]") -> None:
    """The whole group that it started."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def served(
    image: str,
    database: str,
    registry: tuple[str, "subprocess.Popen[bytes]"],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """The image with a read-only root and no capabilities, a model in production and a scored night."""
    url, server = registry
    platform = platform_in(tmp_path_factory.mktemp("platform"), mlflow_tracking_uri=url, database_url=database)
    platform.promote(trained(seed=1))
    publish(
        platform,
        {"a-1": 0.9, "b-2": 0.7, "c-3": 0.2},
        [because((RECENCY, 1.5)), because((SESSIONS, 0.8)), because((SESSIONS, -2.0))],
    )
    (port,) = free_ports(1)
    settings = {
        "MLFLOW_TRACKING_URI": url,
        "CHURN_DATABASE_URL": database,
        "CHURN_API_HOST": "127.0.0.1",
        "CHURN_API_PORT": str(port),
        "CHURN_REGISTRY_POLL_SECONDS": "0.5",
        "CHURN_PREDICTION_LOG_SECONDS": "0.5",
        "CHURN_DRAIN_SECONDS": "0.5",
    }
    container = docker(
        "run", "--detach", "--network", "host", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--volume", "/churn/predictions", "--volume", "/churn/serving",
        *(part for name, value in settings.items() for part in ("--env", f"{name}={value}")), image,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            found = Served(container, http, platform, server)
            wait_for(found.ready, seconds=120)
            yield found
    finally:
        docker("rm", "--force", "--volumes", container)


def test_its_health_check_says_that_it_is_well(served: Served) -> None:
    wait_for(lambda: served.state("Health.Status") == "healthy", seconds=60)


def test_customers_are_scored_one_by_one_and_in_batches(served: Served) -> None:
    one = served.ask("POST", "predict", json=CUSTOMER).json()
    full = served.ask("POST", "predict", json=FULL_CUSTOMER)
    assert (full.headers["x-model-version"], full.headers["x-model"]) == ("1", "full")
    many = served.ask("POST", "batch_predict", json=[CUSTOMER] * 3).json()
    table = pa.table({name: [value] * 3 for name, value in CUSTOMER.items()})
    packed = served.ask("POST", "batch_predict", content=stream_of(table), headers=BOTH)
    back = pa.ipc.open_stream(packed.content).read_all()
    asked = one["churn_probability"]
    assert [p["churn_probability"] for p in many["predictions"]] == pytest.approx([asked] * 3)
    assert back["churn_probability"].to_pylist() == pytest.approx([asked] * 3)
    # As the library that trained it says, in another Python on another system.
    model = trained(seed=1).core
    (expected,) = model.predict_proba(np.array([[float(CUSTOMER[name]) for name in model.features]]))
    assert asked == pytest.approx(expected, abs=1e-9)


def test_raw_events_become_features_and_a_score(served: Served) -> None:
    body = {"events": raw_rows(20), "as_of": "2018-11-03"}
    answer = served.ask("POST", "predict/events", json=body).json()
    assert answer["events"]["used"] == 20
    assert answer["features"]["total_songs_played"] == 20


def test_a_score_is_explained(served: Served) -> None:
    answer = served.ask("POST", "explain", json=FULL_CUSTOMER).json()
    assert len(answer["reasons"]) == 5


def test_the_published_night_is_read_from_postgresql(served: Served) -> None:
    wait_for(lambda: served.ask("GET", "health").json()["customers_scored"] == 3, seconds=30)
    top = served.ask("GET", "top").json()
    assert [c["customer_id"] for c in top["customers"]] == ["a-1", "b-2", "c-3"]
    assert "a-1" in served.ask("GET", "top.csv").text
    assert served.ask("GET", "customers/b-2").json()["customer_id"] == "b-2"
    served.ask("GET", "profit")
    served.ask("GET", "monitoring")


def test_the_model_describes_itself(served: Served) -> None:
    assert served.ask("GET", "model/info").headers["x-model-version"] == "1"
    for path in ("model/metrics", "features", "health"):
        served.ask("GET", path)


def test_the_page_brings_its_charts_and_the_documentation_its_scripts(served: Served) -> None:
    assert "<html" in served.http.get("/").text
    assert len(served.http.get("/static/plotly.min.js").content) > 1_000_000
    assert served.http.get("/docs").status_code == 200
    assert len(served.http.get("/static-offline-docs/swagger-ui-bundle.js").content) > 100_000
    assert "/predict/events" in served.http.get("/openapi.json").text


def test_what_it_did_is_counted(served: Served) -> None:
    served.ask("POST", "predict", json=CUSTOMER)
    wait_for(lambda: "churn_model_version 1.0" in served.http.get("/metrics").text, seconds=10)
    assert 'churn_predictions_total{model_version="1"' in served.http.get("/metrics").text


def test_predictions_are_kept_as_parquet(served: Served, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    for _ in range(3):
        served.ask("POST", "predict", json=FULL_CUSTOMER)
    served.ask("POST", "batch_predict", json=[CUSTOMER] * 4)

    def kept() -> list[str]:
        home = tmp_path / secrets.token_hex(4)
        home.mkdir()
        docker("cp", f"{served.container}:/churn/predictions", f"{home}/")
        table = read(home, before.date(), before.date() + timedelta(days=1))
        since = int(before.timestamp() * 1000)
        return sorted(row["endpoint"] for row in table.to_pylist() if row["ts_ms"] >= since)

    wait_for(lambda: kept() == ["batch"] * 4 + ["predict"] * 3, seconds=30)


def test_told_to_end_it_ends_well_and_goes_on_without_the_registry(served: Served) -> None:
    served.ask("POST", "predict", json=CUSTOMER)
    docker("kill", "--signal", "TERM", served.container)
    wait_for(lambda: served.state("Running") == "false", seconds=30)
    assert served.state("ExitCode") == "0", docker("logs", "--tail", "30", served.container)
    with closing(served.http):
        assert traffic(served.platform) > 0
        end(served.registry)
        docker("start", served.container)
        wait_for(served.ready, seconds=60)
        answer = served.ask("POST", "predict", json=CUSTOMER)
        assert answer.headers["x-model-version"] == "1"


def traffic(platform: Platform) -> float:
    """Requests in the runs that the API logged to the registry."""
    client = mlflow.MlflowClient(platform.settings.tracking_uri)
    experiment = client.get_experiment_by_name("churn-serving")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    return sum(run.data.metrics.get("version_1/requests", 0) for run in runs)


def test_several_processes_serve_and_end_together(image: str, served: Served) -> None:
    settings = served.platform.settings
    (port,) = free_ports(1)
    container = docker(
        "run", "--detach", "--network", "host", "--read-only", "--tmpfs", "/tmp", "--volumes-from", served.container,
        "--env", f"MLFLOW_TRACKING_URI={settings.tracking_uri}", "--env", f"CHURN_DATABASE_URL={settings.database_url}",
        "--env", f"CHURN_API_PORT={port}", "--env", "CHURN_API_HOST=127.0.0.1", "--env", "CHURN_DRAIN_SECONDS=0.5",
        "--env", "CHURN_API_WORKERS=2", image,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            two = Served(container, http, served.platform, served.registry)
            wait_for(two.ready, seconds=120)
            two.ask("POST", "predict", json=CUSTOMER)
            assert "churn_predictions_total" in http.get("/metrics").text
        docker("kill", "--signal", "TERM", container)
        wait_for(lambda: two.state("Running") == "false", seconds=30)
        assert two.state("ExitCode") == "0"
    finally:
        docker("rm", "--force", container)
