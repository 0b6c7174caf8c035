"""How fast the API answers, beside its peers: ``python -m benchmarks.serving``; ten minutes, wrk needed.

Everything in one run on one machine: a demo service is simulated, ingested and trained, and every server then answers
the same customer by the same model, one worker each, in turn and over and over. Medians over the rounds are compared;
servers sit on one core and the load generator on another, where the system can. Figures are of this machine; the
ratios are what carries over.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

from benchmarks import results
from benchmarks.load import Load, NoGenerator, generator, load, pinned
from benchmarks.serving_peers import PATH, TREES
from churn.core.features import CORE_FEATURES, FEATURES
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings
from churn.steps.ingest import ingest
from churn.steps.land_demo import land_demo
from churn.steps.score import score
from churn.steps.train import train
from serving.bodies import ARROW

CUSTOMER = {f.name: int(f.example) if f.whole else f.example for f in CORE_FEATURES}
EVERYTHING = {f.name: int(f.example) if f.whole else f.example for f in FEATURES}
API, PEERS = "serving.app:create_app", "benchmarks.serving_peers"
_BATCH = 10_000
OUT = Path(__file__).with_name("RESULTS.md")
TITLE = "How fast does the API answer?"
INTRODUCTION = (
    "`python -m benchmarks.serving`: one worker each, the same customer by the same trained model, servers in turn on "
    "one core and wrk on another, 8 connections; medians over the rounds. The no-op is FastAPI with the same Pydantic "
    "body in and out. Figures are of one machine with two shared cores; the ratios are what carries over.\n"
)


@dataclass(frozen=True)
class Server:
    """A process that answers POSTs of ``body`` at ``path``."""

    name: str
    command: Sequence[str]
    path: str
    body: Any
    ready: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Swap:
    """A promotion under load."""

    first_new: float
    """Seconds from the promotion's return to the first answer by the new version."""
    answers: int
    failed: int
    mixed: int
    """Batches whose probabilities are not all of one version, the one they name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4, help="of one measurement (default 4)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each server (default 5)")
    parser.add_argument("--connections", type=int, default=8, help="open at a time (default 8)")
    parser.add_argument("--trials", type=int, default=24, help="search budget of the training (default 24)")
    parser.add_argument("--customers", type=int, default=2000, help="of the simulated service (default 2,000)")
    parser.add_argument("--swaps", type=int, default=6, help="promotions under load (default 6)")
    parser.add_argument("--work", type=Path, help="keep the trained service here and use it again")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {OUT} too")
    given = parser.parse_args()
    try:
        generator()
    except NoGenerator as e:
        sys.exit(str(e))
    with tempfile.TemporaryDirectory(prefix="churn-benchmark-") as folder:
        settings = prepared(given.work or Path(folder), given.customers, given.trials)
        parts = [
            _told(throughput(settings, Path(folder), given.seconds, given.rounds, given.connections)),
            _told(batches(settings)),
            _told(reasons(settings)),
            _told(swaps(settings, given.swaps)),
        ]
    if given.write:
        OUT.write_text(results.merge(OUT, {TITLE: "\n".join([INTRODUCTION, *parts])}, ()))


def prepared(home: Path, customers: int, trials: int) -> Settings:
    """A demo service with two trained versions and tonight's scores; made once."""
    settings = Settings(
        _env_file=None, home=home / "home", demo_customers=customers, search_trials=trials, mlflow_tracking_uri=None,
    )  # type: ignore[call-arg]  # fmt: skip
    today = datetime.now(UTC).date()
    if not (home / "made").exists():
        _say("simulating a service, ingesting its log")
        land_demo(settings, today)
        ingest(settings)
        _say("training two versions")
        first = train(settings, today)
        train(settings.model_copy(update={"search_trials": 0, "panel_snapshots": 6}), today)
        assert first.stage == "Production", first
        _say("scoring")
        score(settings, today)
        (home / "made").touch()
    return settings


# ---------------------------------------------------------------- one row, many times


def throughput(settings: Settings, folder: Path, seconds: float, rounds: int, connections: int) -> str:
    """The table of requests a second."""
    found: dict[str, list[Load]] = {}
    with ExitStack() as stack:
        running = [(server, stack.enter_context(started(server))) for server in servers(settings, folder)]
        for turn in range(rounds + 1):
            for server, url in running:
                measured = load(url + server.path, server.body, seconds=seconds if turn else 1, connections=connections)
                if turn:  # the first time warms up
                    found.setdefault(server.name, []).append(measured)
            _say(f"round {turn} of {rounds}")
    base = _median([m.per_second for m in found["noop"]])
    served = _median([m.per_second for m in found["mlflow models serve"]])
    lines = ["| one row | req/s | against the no-op | against mlflow | p50 ms | p99 ms | p99 / no-op's | failed |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    quiet = _median([m.p99_ms for m in found["noop"]])
    for name, runs in found.items():
        rate, p50, p99 = (_median([getattr(m, of) for m in runs]) for of in ("per_second", "p50_ms", "p99_ms"))
        lines.append(
            f"| {name} | {rate:,.0f} | {rate / base:.3f} | {rate / served:.1f} | {p50:.2f} | {p99:.2f} "
            f"| {p99 / quiet:.2f} | {sum(m.failed for m in runs)} |"
        )
    return "\n".join(lines) + "\n"


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
        Server("noop", (*uvicorn, f"{PEERS}:noop"), PATH, CUSTOMER, "/docs", own),
        Server("this API, 13 features", serve, PATH, CUSTOMER, "/readyz", own),
        Server(f"this API, {len(FEATURES)} features", serve, PATH, EVERYTHING, "/readyz", own),
        Server("booster in the handler", (*uvicorn, f"{PEERS}:booster"), PATH, CUSTOMER, "/docs", own | logged),
        Server(
            "mlflow models serve", (*mlflow, "--model-uri", f"models:/{registry.name}/{production.version}",
            "--port", "PORT", "--workers", "1"), "/invocations", frame, "/ping", tracked,
        ),
        Server(
            "a run per prediction", (*uvicorn, f"{PEERS}:run_per_prediction"), PATH, CUSTOMER, "/docs", own | logged
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


# ---------------------------------------------------------------- batches and reasons


def batches(settings: Settings, repeats: int = 15) -> str:
    """How much of a batch's time is the model itself, over HTTP."""
    registry = Registry(settings)
    production = registry.production()
    assert production is not None
    models = registry.load(production)
    lines = ["| batch of 10,000 | answer ms | the model itself ms | share |", "|---|---|---|---|"]
    with api(settings) as url, httpx.Client(trust_env=False, timeout=120) as client:
        for features, model in ((CORE_FEATURES, models.core), (FEATURES, models.full)):
            rows = _rows(features, _BATCH)
            table = np.array([list(row.values()) for row in rows], dtype=np.float64)
            for form, body, headers in (("JSON", json.dumps(rows).encode(), _JSON), ("Arrow", _stream(rows), _ARROW)):
                whole, inside = [], []
                for turn in range(repeats + 2):
                    start = time.perf_counter()
                    answer = client.post(url + "/api/churn/batch_predict", content=body, headers=headers)
                    middle = time.perf_counter()
                    model.decide(model.predict_proba(table))
                    end = time.perf_counter()
                    assert answer.status_code == 200, answer.text[:500]
                    assert answer.headers["content-type"] == headers["Content-Type"]
                    if turn >= 2:
                        whole.append(middle - start)
                        inside.append(end - middle)
                w, i = statistics.median(whole) * 1e3, statistics.median(inside) * 1e3
                lines.append(f"| {len(features)} features, {form} | {w:.1f} | {i:.1f} | {i / w:.0%} |")
    return "\n".join(lines) + "\n"


_JSON = {"Content-Type": "application/json"}
_ARROW = {"Content-Type": ARROW, "Accept": ARROW}


def _stream(rows: Sequence[Mapping[str, float]]) -> bytes:
    """The rows as an Arrow stream."""
    table = pa.Table.from_pylist(list(rows))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _rows(features: Sequence[Any], count: int) -> list[dict[str, float]]:
    random = np.random.default_rng(1)
    columns = [random.gamma(1.0, f.example or 1.0, count).clip(f.minimum, f.maximum).round(6) for f in features]
    return [
        {f.name: int(value) if f.whole else float(value) for f, value in zip(features, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]


def reasons(settings: Settings, repeats: int = 300) -> str:
    """Milliseconds of the reasons of one row, over HTTP."""
    lines = ["| reasons for one row | median ms | 99 % ms |", "|---|---|---|"]
    with api(settings) as url, httpx.Client(trust_env=False) as client:
        for name, body in (("13 features", CUSTOMER), (f"{len(FEATURES)} features", EVERYTHING)):
            took = []
            for _ in range(repeats):
                start = time.perf_counter()
                answer = client.post(url + "/api/churn/explain", json=body)
                took.append((time.perf_counter() - start) * 1e3)
                assert answer.status_code == 200, answer.text[:500]
            lines.append(f"| {name}, whole request | {statistics.median(took):.2f} | {np.quantile(took, 0.99):.2f} |")
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- a promotion under load


def swaps(settings: Settings, count: int) -> str:
    """Promotions of one version and the other in turn while four clients ask."""
    registry = Registry(settings)
    versions = sorted(registry.versions(), key=lambda v: int(v.version))[:2]
    assert len(versions) == 2, versions
    production = registry.production()
    assert production is not None
    expected = {v.version: _answers_of(registry, v) for v in versions}
    found: list[Swap] = []
    with api(settings) as url:
        for turn in range(count):
            others = [v for v in versions if v.version != production.version]
            found.append(_swap(url, registry, others[0], expected))
            production = others[0]
            _say(f"promotion {turn + 1} of {count}")
    longest = max(s.first_new for s in found)
    return (
        f"{count} promotions under load, polling every {settings.registry_poll_seconds:g} s: the first answer by the "
        f"new version after {statistics.median(s.first_new for s in found):.1f} s (median), {longest:.1f} s (longest); "
        f"{sum(s.answers for s in found):,} answers, {sum(s.failed for s in found)} failed, "
        f"{sum(s.mixed for s in found)} batches of mixed versions\n"
    )


def _answers_of(registry: Registry, version: ModelVersion) -> list[float]:
    model = registry.load(version).core
    probability: list[float] = model.predict_proba(
        np.array([list(r.values()) for r in _rows(CORE_FEATURES, 50)])
    ).tolist()
    return probability


def _swap(url: str, registry: Registry, version: ModelVersion, expected: Mapping[str, list[float]]) -> Swap:
    end, first_new = threading.Event(), [float("inf")]
    counts = {"answers": 0, "failed": 0, "mixed": 0}
    lock, promoted = threading.Lock(), [float("inf")]
    batch = _rows(CORE_FEATURES, 50)

    def ask(path: str, body: Any) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not end.is_set():
                try:
                    answer = client.post(url + path, json=body)
                    good = answer.status_code == 200
                except httpx.HTTPError:
                    good = False
                now, mixed = time.monotonic(), False
                if good and path.endswith("batch_predict"):
                    said = [p["churn_probability"] for p in answer.json()["predictions"]]
                    mixed = not np.allclose(said, expected[answer.headers["x-model-version"]], rtol=0, atol=1e-9)
                with lock:
                    counts["answers"] += 1
                    counts["failed"] += not good
                    counts["mixed"] += mixed
                    if good and answer.headers["x-model-version"] == version.version:
                        first_new[0] = min(first_new[0], now)

    threads = [
        threading.Thread(target=ask, args=arguments)
        for arguments in [("/api/churn/predict", CUSTOMER), ("/api/churn/batch_predict", batch)] * 2
    ]
    for thread in threads:
        thread.start()
    time.sleep(1)
    registry.promote(version, "a benchmark")
    promoted[0] = time.monotonic()
    limit = time.monotonic() + 60
    while first_new[0] == float("inf") and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(1)
    end.set()
    for thread in threads:
        thread.join()
    return Swap(max(0.0, first_new[0] - promoted[0]), counts["answers"], counts["failed"], counts["mixed"])


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


def _say(what: str) -> None:
    sys.stderr.write(f"… {what}\n")
    sys.stderr.flush()


def _told(table: str) -> str:
    sys.stdout.write(f"\n{table}\n")
    sys.stdout.flush()
    return table


if __name__ == "__main__":
    main()
