"""What else the speed benchmark measures: the generator, drift, the API and training, each by its own module."""

import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import drift_speed, scale_training
from benchmarks.load import Load, NoGenerator, generator, load
from benchmarks.peer_environment import NoPeer
from benchmarks.scale_data import SEED, START, Say, environment
from benchmarks.scale_process import Cost, best, measured
from benchmarks.scale_table import Found, at_least, none_measured, not_measured, runs, table, told
from benchmarks.serving import prepared
from benchmarks.serving_servers import servers, started
from churn.settings import REPOSITORY

EVENTS_A_SECOND = 500_000
GENERATOR = (("generator: events a second", f"≥ {EVENTS_A_SECOND:,}"),)
DRIFT = (("drift: Evidently's report / this project", ""), ("drift: its bare functions / this project", ""))
SERVING = (
    ("API / `mlflow models serve`, requests a second", ""),
    ("API / a server that logs a run per prediction", ""),
    ("API / a no-op of its framework", ""),
)
TRAINING = (
    ("training, a weighted sample / all in memory: memory", ""),
    ("training, trees on all rows from disk / all in memory: memory", ""),
)
_SERVED = ("noop", "this API, 13 features", "mlflow models serve", "a run per prediction")


def measure_generator(work: Path, customers: int, days: int, repeats: int, say: Say) -> Found:
    """`churn simulate`, from the start of the interpreter to the last file."""
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory(prefix="generator-", dir=work) as folder:
        for turn in range(repeats):
            command = [sys.executable, "-m", "churn.cli", "simulate", "--out", f"{folder}/{turn}", "--json",
                       "--customers", str(customers), "--days", str(days), "--seed", str(SEED),
                       "--start", str(START)]  # fmt: skip
            costs.append(cost := measured(command, environment=environment(Path(folder)), folder=REPOSITORY))
            say(f"generator: {cost.whole.seconds:.1f} s")
    events = json.loads(costs[0].said)["events"]
    fastest = min(cost.whole.seconds for cost in costs)
    rows = [[f"{events:,}", f"{fastest:.1f}", f"{best(costs).whole.processor_seconds:.1f}",
             f"{max(c.peak_megabytes for c in costs):,.0f}", f"{events / fastest:,.0f}"]]  # fmt: skip
    text = table(["events written", "seconds", "processor seconds", "peak MB", "events a second"], rows)
    return Found(
        (at_least(GENERATOR[0][0], EVENTS_A_SECOND, events / fastest),),
        f"`churn simulate`, {customers:,} customers and {days} days, start of Python and gzipped files on disk "
        f"included, {runs(repeats)}.\n\n{text}",
    )


def measure_drift(repeats: int, say: Say) -> Found:
    """Beside Evidently."""
    say("drift, beside Evidently (its environment is made first where there is none)")
    try:
        found = drift_speed.measure(repeats=repeats)
    except NoPeer as e:
        return Found(none_measured(DRIFT, str(e)), f"Evidently cannot be had here: {e}")
    rows = [
        (name, found[key])
        for name, key in (
            ("**this project**, reference prepared at training", "seconds"),
            ("**this project**, from two tables", "from_tables_seconds"),
            (f"{found['evidently']}, its report", "evidently_report_seconds"),
            (f"{found['evidently']}, its bare functions", "evidently_function_seconds"),
        )
    ]
    worst = ", ".join(f"{measure} {value:.1e}" for measure, value in found["largest_difference"].items())
    said = (
        f"{found['rows']:,} customers, {found['columns']} columns: KS, PSI, Jensen–Shannon; each {runs(repeats)}. "
        f"Largest difference of values where the definitions are equal: {worst}."
    )
    cells = ([name, f"{s * 1e3:,.0f}", f"{s / found['seconds']:.1f}"] for name, s in rows)
    return Found(
        (
            told(DRIFT[0][0], f"{found['ratio']:.1f}, each {runs(repeats)}"),
            told(DRIFT[1][0], f"{found['ratio_functions']:.1f}, each {runs(repeats)}"),
        ),
        f"{said}\n\n{table(['', 'processor ms', 'ratio'], cells)}",
    )


def measure_serving(work: Path, customers: int, seconds: float, rounds: int, say: Say) -> Found:
    """One worker each, the same customer and model, in turn; a short form of `python -m benchmarks.serving`."""
    try:
        generator()
    except NoGenerator as e:
        return Found(none_measured(SERVING, str(e)), str(e))
    say("the API and its peers: a service is simulated and trained first where there is none")
    settings = prepared(work / "serving", customers, 2)
    found: dict[str, list[Load]] = {}
    with tempfile.TemporaryDirectory(prefix="churn-serving-") as folder:
        for server in (s for s in servers(settings, Path(folder)) if s.name in _SERVED):
            with started(server) as url:
                for turn in range(rounds + 1):  # the first one warms up
                    answered = load(url + server.path, server.body, seconds=seconds if turn else 1, connections=8)
                    found.setdefault(server.name, []).extend([answered] if turn else [])
            say(f"{server.name}: {median(m.per_second for m in found[server.name]):,.0f} requests a second")
    rate = {name: median(m.per_second for m in taken) for name, taken in found.items()}
    own = rate["this API, 13 features"]
    rows = (
        [
            f"**{name}**" if name.startswith("this") else name,
            f"{rate[name]:,.0f}",
            f"{own / rate[name]:.2f}",
            f"{median(m.p50_ms for m in taken):.2f}",
            f"{median(m.p99_ms for m in taken):.2f}",
            f"{sum(m.failed for m in taken)}",
        ]
        for name, taken in found.items()
    )
    said = (
        f"A short form: each the {runs(rounds, 'median')} of {seconds:g} s, after one to warm up; the long one is "
        "`python -m benchmarks.serving`. The no-op is FastAPI with the same bodies."
    )
    heads = ["one row, 8 connections", "requests a second", "this API / it", "p50 ms", "p99 ms", "failed"]
    return Found(
        (
            told(SERVING[0][0], f"{own / rate['mlflow models serve']:.0f}, {runs(rounds, 'median')}"),
            told(SERVING[1][0], f"{own / rate['a run per prediction']:.0f}, {runs(rounds, 'median')}"),
            told(SERVING[2][0], f"{own / rate['noop']:.2f}, {runs(rounds, 'median')}"),
        ),
        f"{said}\n\n{table(heads, rows)}",
    )


def measure_training(work: Path, rows: int, share: float, say: Say) -> Found:
    """In memory, on a weighted sample, from disk; a short form of `python -m benchmarks.scale_training`."""
    say(f"training on {rows:,} rows, four ways")
    found = scale_training.measure((rows,), (share,), work)
    trained = {run.way: run for run in found if isinstance(run, scale_training.Run)}
    why = {run.way: run.why for run in found if isinstance(run, scale_training.Skipped)}
    targets = []
    for way, (what, wanted) in zip(("sample", "disk"), TRAINING):
        if way in trained and "whole" in trained:
            ratio = trained[way].peak_megabytes / trained["whole"].peak_megabytes
            targets.append(told(what, f"{ratio:.2f} ({rows:,} rows, one run)"))
        else:
            targets.append(not_measured(what, wanted, why.get(way) or why["whole"]))
    said = "A short form; the long one, with sizes beyond memory, is `python -m benchmarks.scale_training`."
    return Found(tuple(targets), f"{said} {scale_training.SAID}\n\n{scale_training.table(found)}")
