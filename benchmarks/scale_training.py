"""Training on panels that grow beyond memory: ``python -m benchmarks.scale_training``; about an hour.

Generated panels of 64 features, of which the chance to churn is known: some 3 % of the rows, by lines, bends and
products. Each way to train gets a process of its own and the default settings, so that only the rows differ: all of
them in memory, a weighted sample, a sample for the settings with the trees fitted from disk on all rows, and, as a
warning, a sample whose weights are thrown away. "Above the truth" is how much log loss is left to gain, known here
without noise of the outcomes.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import expit, xlogy

from benchmarks.scale_process import highest_megabytes
from churn.core.arrays import Floats
from churn.core.evaluation import evaluate
from churn.core.training import train
from churn.io.panel_file import PanelFile
from churn.settings import REPOSITORY

Way = Literal["whole", "sample", "disk", "uncorrected"]
ROWS = (200_000, 1_000_000, 4_000_000)
FEATURES, SNAPSHOTS, FRESH, SEED = 64, 8, 200_000, 42
SAID = (
    "Every way once. Time is of reading the rows and training; memory is the highest of the process until it has also "
    "scored the hold-out. Log loss and what is right of it are of the hold-out: rows of a later cut-off that no way "
    "has trained on, the same for all ways of one size."
)
_BLOCK = 50_000
_START = date(2026, 1, 1)
_BYTES = 8_000
"""Of memory a row that a training in memory takes at its peak, as measured with two cores."""


@dataclass(frozen=True)
class Run:
    """One training, in a process of its own."""

    way: Way
    rows: int
    used: int
    """Rows in memory."""
    seconds: float
    cpu_seconds: float
    peak_megabytes: float
    log_loss: float
    above_truth: float
    roc_auc: float
    ece: float
    predicted: float
    """Mean probability."""
    true: float
    """Mean of the true chances."""


@dataclass(frozen=True)
class Skipped:
    """A training that this machine's memory does not hold, or that did not come to its end."""

    way: Way
    rows: int
    why: str


def measure(sizes: Sequence[int], shares: Sequence[float], work: Path) -> list[Run | Skipped]:
    """Every way at every size, one after the other. Panels and what is cached of them lie under ``work`` meanwhile."""
    found: list[Run | Skipped] = []
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="training-", dir=work.absolute()) as folder:
        for rows in sizes:
            path = Path(folder) / "panel.parquet"
            write_panel(path, rows)
            ways: list[tuple[Way, int]] = [("whole", rows)]
            ways += [("sample", round(rows * share)) for share in shares]
            ways += [("disk", round(rows * shares[-1])), ("uncorrected", round(rows * shares[-1]))]
            found += [_apart(path, way, rows, most) for way, most in ways]
    return found


def write_panel(path: Path, rows: int, fresh: int = FRESH) -> None:
    """A panel of ``rows`` rows and a hold-out of ``fresh`` ones, block by block, each block by its own seed.

    The column ``truth`` is the chance to churn by which ``churned`` was drawn.
    """
    last = _START + timedelta(weeks=SNAPSHOTS + 1)
    writer = None
    for start in [*range(0, rows, _BLOCK), *range(rows, rows + fresh, _BLOCK)]:
        earlier = start < rows
        count = min(_BLOCK, (rows if earlier else rows + fresh) - start)
        snapshot = _START + timedelta(weeks=SNAPSHOTS * start // rows) if earlier else last
        block = pa.Table.from_pandas(_block(start, count, snapshot), preserve_index=False)
        writer = writer or pq.ParquetWriter(path, block.schema, compression="zstd")
        writer.write_table(block)
    assert writer is not None
    writer.close()


def _block(start: int, count: int, snapshot: date) -> pd.DataFrame:
    rng = np.random.default_rng([SEED, start])
    z = rng.normal(size=(count, FEATURES))
    truth = expit(-4.0 + _risk(z))
    x = np.where(np.arange(FEATURES) % 2, np.exp(z), np.floor(4 * np.exp(z)))  # durations and counts have long tails
    columns = {f"f{j:02}": x[:, j] for j in range(FEATURES)}
    customers = [f"c{(start + i) % 1_000_003}" for i in range(count)]
    return pd.DataFrame(
        {"as_of": snapshot, "customer_id": customers, "churned": (rng.random(count) < truth).astype(int)}
        | columns
        | {"truth": truth}
    )


def _risk(z: Floats) -> Floats:
    """Half of the features say something: lines, bends, and pairs that matter together."""
    weights = 0.35 / np.sqrt(1 + np.arange(FEATURES // 2))
    bends = 0.4 * np.maximum(z[:, 3], 0) - 0.4 * np.abs(z[:, 5]) + 0.3 * (z[:, 7] > 1)
    pairs = 0.35 * z[:, 0] * z[:, 1] + 0.5 * (z[:, 2] > 0) * (z[:, 4] > 0.5)
    return np.asarray(z[:, : FEATURES // 2] @ weights + bends + pairs)


def _apart(path: Path, way: Way, rows: int, most: int) -> Run | Skipped:
    there = psutil.virtual_memory().available
    if most * _BYTES > there:
        return Skipped(way, rows, f"some {most * _BYTES / 1e9:.0f} GB are needed, {there / 1e9:.0f} GB are free")
    command = [sys.executable, "-m", "benchmarks.scale_training", "--one", str(path), way, str(most)]
    spills = os.environ | {"TMPDIR": str(path.parent)}
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=spills)
    if done.returncode:
        return Skipped(way, rows, _ended(done.returncode))
    return Run(**json.loads(done.stdout))


def _ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return f"it was killed (code {code}), as the system does when memory runs out"
    return f"it failed with code {code}"


def one(path: Path, way: Way, most: int) -> Run:
    """Read and train in this process; scoring the hold-out is not in the time, and is in the memory."""
    started = time.monotonic()
    panel = PanelFile(path, megabytes=1_024)
    given = panel.training(most, SEED)
    columns = [f"f{j:02}" for j in range(FEATURES)]
    with panel.whole(columns) if way == "disk" else nullcontext() as whole:
        model = train(
            given.rows[columns], given.rows["churned"], given.rows["customer_id"], trials=0, seed=SEED,
            weights=None if way == "uncorrected" else given.weights, whole=whole,
        )  # fmt: skip
    seconds, used = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = used.ru_utime + used.ru_stime
    fresh = panel.holdout()
    probability = model.predict_proba(fresh)
    found, truth = evaluate(fresh["churned"], probability, model.threshold), fresh["truth"].to_numpy()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return Run(
        way, panel.training_rows, len(given.rows), seconds, cpu_seconds, highest_megabytes(os.getpid()) or peak,
        found["log_loss"], divergence(truth, probability), found["roc_auc"], found["ece"],
        float(probability.mean()), float(truth.mean()),
    )  # fmt: skip


def divergence(truth: Floats, probability: Floats) -> float:
    """Mean Kullback–Leibler divergence: the log loss that is expected above that of the truth itself."""
    each = xlogy(truth, truth / probability) + xlogy(1 - truth, (1 - truth) / (1 - probability))
    return float(each.mean())


_HEADS = (
    "rows", "way", "rows in memory", "seconds", "CPU s", "peak MB", "log loss", "above the truth", "ROC AUC", "ECE",
    "predicted", "true",
)  # fmt: skip
_NAMES = {
    "whole": "all in memory",
    "sample": "weighted sample",
    "disk": "weighted sample, trees on all rows from disk",
    "uncorrected": "WRONG: sample without weights",
}


def table(found: Sequence[Run | Skipped]) -> str:
    """Markdown."""
    lines = [_HEADS, ["---", "---", *["---:"] * (len(_HEADS) - 2)], *map(_cells, found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(run: Run | Skipped) -> Sequence[str]:
    first = [f"{run.rows:,}", _NAMES[run.way]]
    if isinstance(run, Skipped):
        return [*first, f"not run: {run.why}", *[""] * (len(_HEADS) - 3)]
    return [
        *first, f"{run.used:,}", f"{run.seconds:,.0f}", f"{run.cpu_seconds:,.0f}", f"{run.peak_megabytes:,.0f}",
        f"{run.log_loss:.5f}", f"{run.above_truth:.5f}", f"{run.roc_auc:.4f}", f"{run.ece:.4f}",
        f"{run.predicted:.2%}", f"{run.true:.2%}",
    ]  # fmt: skip


def main() -> None:
    """Print the table, or the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--shares", type=float, nargs="+", default=(0.25, 0.1), help="of the rows that a sample holds")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "build" / "bench", help="folder that panels lie in")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--one", nargs=3, metavar=("PANEL", "WAY", "MOST"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(asdict(one(Path(given.one[0]), given.one[1], int(given.one[2])))))  # noqa: T201
        return
    found = measure(given.rows, given.shares, given.work)
    print(json.dumps([asdict(run) for run in found]) if given.json else f"{SAID}\n\n{table(found)}")  # noqa: T201 - for a person


if __name__ == "__main__":
    main()
