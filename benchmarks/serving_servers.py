"""The servers whose answers are timed: this API and its peers, each on a free port, and what they are asked."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.load import pinned
from benchmarks.serving_peers import PATH, TREES
from churn.core.features import CORE_FEATURES, FEATURES, Feature
from churn.io.registry import Registry
from churn.settings import Settings

CUSTOMER = {f.name: int(f.example) if f.whole else f.example for f in CORE_FEATURES}
EVERYTHING = {f.name: int(f.example) if f.whole else f.example for f in FEATURES}
_PEERS = "benchmarks.serving_peers"


def rows(features: Sequence[Feature], count: int) -> list[dict[str, float]]:
    """Customers drawn at random, the same each time."""
    random = np.random.default_rng(1)
    columns = [random.gamma(1.0, f.example or 1.0, count).clip(f.minimum, f.maximum).round(6) for f in features]
    return [
        {f.name: int(value) if f.whole else float(value) for f, value in zip(features, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]


@dataclass(frozen=True)
class Server:
    """A process that answers POSTs of ``body`` at ``path``."""

    name: str
    command: Sequence[str]
    path: str
    body: Any
    ready: str
    environment: Mapping[str, str]


def servers(settings: Settings, folder: Path) -> list[Server]:
    """Ours, and what it is measured beside."""
    registry = Registry(settings)
    production = registry.production()
    assert production is not None
    models = registry.load(production)
    if models.core.trees is None:
        sys.exit("the core model of this training has no trees, and the peers serve trees: try another --customers")
    trees = folder / "trees.ubj"
    models.core.trees.save_model(trees)
    own = base_environment(settings)
    # mlflow's server takes the whole input of the registered model: the core features do.
    frame = {"dataframe_records": [CUSTOMER | {f.name: float(f.example) for f in FEATURES}]}
    uvicorn = (sys.executable, "-m", "uvicorn", "--no-access-log", "--host", "127.0.0.1", "--factory", "--port", "PORT")
    mlflow = (sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--host", "127.0.0.1")
    tracked = own | {"MLFLOW_TRACKING_URI": settings.tracking_uri}
    logged = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'runs.db'}", TREES: str(trees)}
    serve = (sys.executable, "-m", "serving", "--port", "PORT")
    return [
        Server("noop", (*uvicorn, f"{_PEERS}:noop"), PATH, CUSTOMER, "/docs", own),
        Server("this API, 13 features", serve, PATH, CUSTOMER, "/readyz", own),
        Server(f"this API, {len(FEATURES)} features", serve, PATH, EVERYTHING, "/readyz", own),
        Server("booster in the handler", (*uvicorn, f"{_PEERS}:booster"), PATH, CUSTOMER, "/docs", own | logged),
        Server(
            "mlflow models serve", (*mlflow, "--model-uri", f"models:/{registry.name}/{production.version}",
            "--port", "PORT", "--workers", "1"), "/invocations", frame, "/ping", tracked,
        ),
        Server(
            "a run per prediction", (*uvicorn, f"{_PEERS}:run_per_prediction"), PATH, CUSTOMER, "/docs", own | logged
        ),
    ]  # fmt: skip


def base_environment(settings: Settings) -> dict[str, str]:
    """Of every server: byte code kept, one thread, the same data home."""
    env = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE" and not n.startswith("CHURN_")}
    env.pop("MLFLOW_TRACKING_URI", None)
    path = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    return env | {"CHURN_HOME": str(settings.data_home), "OMP_NUM_THREADS": "1", "PATH": path, "NO_PROXY": "127.0.0.1"}


@contextmanager
def started(server: Server) -> Iterator[str]:
    """The server on a free port, its address once it is up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*pinned(0), *(str(port) if part == "PORT" else part for part in server.command)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, env=dict(server.environment), stdout=said, stderr=said, start_new_session=True
        )
        try:
            _until(lambda: _answers(f"http://127.0.0.1:{port}{server.ready}"), process, server.name, said)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def api(settings: Settings) -> AbstractContextManager[str]:
    """This API by itself."""
    serve = (sys.executable, "-m", "serving", "--port", "PORT")
    return started(Server("api", serve, PATH, CUSTOMER, "/readyz", base_environment(settings)))


def _until(up: Callable[[], bool], process: subprocess.Popen[bytes], name: str, said: Any) -> None:
    end = time.monotonic() + 120
    while not up():
        if process.poll() is not None or time.monotonic() > end:
            said.seek(0)
            sys.exit(f"{name} did not start:\n{said.read().decode()[-3000:]}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
