"""How fast the API answers, beside its peers: ``python -m benchmarks.serving``; ten minutes, wrk needed.

Everything in one run on one machine: a demo service is simulated, ingested and trained, and every server then answers
the same customer by the same model, one worker each, in turn and over and over. Medians over the rounds are compared;
servers sit on one core and the load generator on another, where the system can. Figures are of this machine; the
ratios are what carries over.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

import httpx
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import results
from benchmarks.load import Load, NoGenerator, generator, load
from benchmarks.serving_servers import CUSTOMER, EVERYTHING, api, rows, servers, started
from benchmarks.serving_swaps import swaps
from churn.core.features import CORE_FEATURES, FEATURES
from churn.core.model import ChurnModel
from churn.io.registry import Registry
from churn.settings import Settings
from churn.steps.ingest import ingest
from churn.steps.land_demo import land_demo
from churn.steps.score import score
from churn.steps.train import train
from serving.bodies import ARROW

_BATCH = 10_000
OUT = Path(__file__).with_name("RESULTS.md")
TITLE = "How fast does the API answer?"
INTRODUCTION = (
    "`python -m benchmarks.serving`: one worker each, the same customer by the same trained model, servers in turn on "
    "one core and wrk on another, 8 connections; medians over the rounds. The no-op is FastAPI with the same Pydantic "
    "body in and out. Figures are of one machine with two shared cores; the ratios are what carries over.\n"
)


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
            _told(swaps(settings, given.swaps, _say)),
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
    base = median([m.per_second for m in found["noop"]])
    served = median([m.per_second for m in found["mlflow models serve"]])
    lines = ["| one row | req/s | against the no-op | against mlflow | p50 ms | p99 ms | p99 / no-op's | failed |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    quiet = median([m.p99_ms for m in found["noop"]])
    for name, runs in found.items():
        rate, p50, p99 = (median([getattr(m, of) for m in runs]) for of in ("per_second", "p50_ms", "p99_ms"))
        lines.append(
            f"| {name} | {rate:,.0f} | {rate / base:.3f} | {rate / served:.1f} | {p50:.2f} | {p99:.2f} "
            f"| {p99 / quiet:.2f} | {sum(m.failed for m in runs)} |"
        )
    return "\n".join(lines) + "\n"


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
            customers = rows(features, _BATCH)
            table = np.array([list(row.values()) for row in customers], dtype=np.float64)
            for form, body, headers in (
                ("JSON", json.dumps(customers).encode(), _JSON),
                ("Arrow", _stream(customers), _ARROW),
            ):
                ask = partial(client.post, url + "/api/churn/batch_predict", content=body, headers=headers)
                # The first two warm up.
                turns = [_turn(ask, model, table, headers["Content-Type"]) for _ in range(repeats + 2)][2:]
                whole, inside = (median(seconds) * 1e3 for seconds in zip(*turns, strict=True))
                lines.append(
                    f"| {len(features)} features, {form} | {whole:.1f} | {inside:.1f} | {inside / whole:.0%} |"
                )
    return "\n".join(lines) + "\n"


_JSON = {"Content-Type": "application/json"}
_ARROW = {"Content-Type": ARROW, "Accept": ARROW}


def _turn(
    ask: Callable[[], httpx.Response], model: ChurnModel, table: NDArray[np.float64], content_type: str
) -> tuple[float, float]:
    """Seconds until the answer, and of the model by itself."""
    start = time.perf_counter()
    answer = ask()
    middle = time.perf_counter()
    model.decide(model.predict_proba(table))
    end = time.perf_counter()
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["content-type"] == content_type
    return middle - start, end - middle


def _stream(customers: list[dict[str, float]]) -> bytes:
    """The customers as an Arrow stream."""
    table = pa.Table.from_pylist(customers)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


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
            lines.append(f"| {name}, whole request | {median(took):.2f} | {np.quantile(took, 0.99):.2f} |")
    return "\n".join(lines) + "\n"


def _say(what: str) -> None:
    sys.stderr.write(f"… {what}\n")
    sys.stderr.flush()


def _told(table: str) -> str:
    sys.stdout.write(f"\n{table}\n")
    sys.stdout.flush()
    return table


if __name__ == "__main__":
    main()
