"""How fast is it, and how does it grow? ``make bench``, or ``python -m benchmarks [--quick] [--only PART,…] [--write]``

One run on one machine: the generator, features beside plain SQL, Polars, pandas and Spark, drift beside Evidently, the
API beside `mlflow models serve`, training, and whole nights of three sizes. Peers are installed, pinned, into
environments of their own under .venv-peers; one that cannot be had is in the table with the reason. What is generated
is kept in a work folder and used again: some 15 minutes on two cores, and some five more the first time.

  make bench                                   everything
  make bench ARGS="--quick"                    the same on a tenth of the customers: three minutes, no measurement
  make bench ARGS="--only features,night"      these parts; the page then has the others as they were last measured
  make bench ARGS="--write"                    put the page into benchmarks/RESULTS.md too

Nothing is asserted: a target that is not reached, or that could not be measured, is said to be so.
"""

import argparse
import os
import platform
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks import results, scale_night, scale_parts, scale_peers
from benchmarks.scale_data import DAYS, Log, generated, replicated, trained
from benchmarks.scale_features import SNAPSHOTS
from benchmarks.scale_night import Size
from benchmarks.scale_process import Failed
from benchmarks.scale_table import Found, as_of_now, beside_earlier, keep, kept, none_measured, summary
from churn.io.provenance import code_version
from churn.settings import REPOSITORY

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
TITLE = "How fast is it, and how does it grow?"
_PACKAGES = ("duckdb", "pyarrow", "numpy", "pandas", "xgboost", "mlflow")
_FIGURES = "figures"
MODEL_CUSTOMERS, MODEL_TRIALS = 2_840, 2
_EVENTS_A_CUSTOMER = 16
"""And day, of those who ever registered."""
_BYTES_AN_EVENT = 7.5
"""Of canonical partitions, with their pre-aggregates."""
_RAW_BYTES_AN_EVENT = 80
_MAKING_EVENTS_A_SECOND = 1_500_000
"""Copying partitions and aggregating them, on two cores."""


@dataclass(frozen=True)
class Bench:
    """How much is done, and where."""

    work: Path
    quick: bool
    largest: bool
    began: float

    def say(self, what: str) -> None:
        """Progress."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        sys.stderr.write(f"{minutes:3}:{seconds:02} {what}\n")
        sys.stderr.flush()

    @property
    def customers(self) -> int:
        """Of the reference night."""
        return 2_840 if self.quick else 28_400

    @property
    def repeats(self) -> int:
        return 1 if self.quick else 3

    def log(self) -> Log:
        """The reference."""
        return generated(self.work, self.customers, self.say)

    def nights(self) -> list[Size]:
        """A tenth, the reference, ten times, and a hundred times where asked for; each made when it comes to it."""
        tenth = partial(generated, self.work, self.customers // 10, self.say)
        few = 1 if self.quick else 2
        copies = [Size(times, 1, partial(self._copies, times)) for times in ((10, 100) if self.largest else (10,))]
        return [Size(0.1, few, tenth), Size(1, few, self.log), *copies]

    def model(self) -> str:
        """In production, for nights of every size: the same work for each customer."""
        return trained(self.work, generated(self.work, MODEL_CUSTOMERS, self.say), MODEL_TRIALS, self.say)

    def _copies(self, times: int) -> Log:
        of = self.log()
        self._check_room(times)
        return replicated(self.work, of, times, self.say)

    def _check_room(self, times: int) -> None:
        """Say what a replica needs before it is made, and stop where the disk does not hold it."""
        folder = self.work / f"log-{self.customers}x{times}"
        day = self.customers * times * _EVENTS_A_CUSTOMER
        # The night itself writes what its own day takes again, and spills up to the raw rows.
        needed = (day * DAYS * _BYTES_AN_EVENT + 3 * day * _RAW_BYTES_AN_EVENT) / 1e9
        minutes = day * DAYS / _MAKING_EVENTS_A_SECOND / 60
        free = shutil.disk_usage(self.work).free / 1e9
        if (folder / "made.json").is_file():
            return
        self.say(
            f"{times} times the night: some {day * DAYS / 1e6:,.0f} million events of history, {needed:,.0f} GB and "
            f"{minutes:,.0f} minutes to make; {free:,.0f} GB are free"
        )
        if needed > 0.9 * free:
            raise Failed(f"{times} times the night needs some {needed:,.0f} GB of disk, and {free:,.0f} GB are free")


@dataclass(frozen=True)
class Part:
    """One section of the page."""

    title: str
    measure: Callable[[Bench], Found]
    wanted: Sequence[tuple[str, str]]
    """What its rows say and what is wanted, for when there are no others."""


def _generator(bench: Bench) -> Found:
    return scale_parts.measure_generator(bench.work, bench.customers, 14, 1, bench.say)


def _features(bench: Bench) -> Found:
    return scale_peers.measure(bench.log(), bench.work, bench.repeats, (1, SNAPSHOTS), bench.say)


def _drift(bench: Bench) -> Found:
    return scale_parts.measure_drift(1 if bench.quick else 3, bench.say)


def _serving(bench: Bench) -> Found:
    customers, seconds, rounds = (600, 1, 1) if bench.quick else (2_000, 2, 3)
    return scale_parts.measure_serving(bench.work, customers, seconds, rounds, bench.say)


def _training(bench: Bench) -> Found:
    return scale_parts.measure_training(bench.work, 10_000 if bench.quick else 100_000, 0.25, bench.say)


def _night(bench: Bench) -> Found:
    lived = scale_night.measure(bench.nights(), bench.model(), bench.work, bench.say)
    on = f"a generated log of {MODEL_CUSTOMERS:,} customers, {MODEL_TRIALS} settings tried"
    return scale_night.told_of(lived, on)


PARTS: Mapping[str, Part] = {
    "generator": Part("The generator", _generator, scale_parts.GENERATOR),
    "features": Part("Features of a log", _features, scale_peers.WANTED),
    "drift": Part("Drift", _drift, scale_parts.DRIFT),
    "serving": Part("The API", _serving, scale_parts.SERVING),
    "training": Part("Training", _training, scale_parts.TRAINING),
    "night": Part("A whole night", _night, scale_night.WANTED),
}


def main() -> None:
    """Measure the parts asked for, each kept as soon as it is known; the page at the end."""
    ask = arguments()
    given = ask.parse_args()
    if given.quick and given.write:
        ask.error("--write needs a measurement, which --quick is not: leave one of them away")
    bench = Bench(given.work / "quick" if given.quick else given.work, given.quick, given.largest, time.monotonic())
    bench.work.mkdir(parents=True, exist_ok=True)
    ignored(given.work)
    for name in given.only:
        bench.say(PARTS[name].title.lower())
        path = bench.work / _FIGURES / f"{name}.json"
        keep(path, measured(name, bench, kept(path)))
    page = shown(bench.work, quick=given.quick, now=given.only)
    sys.stdout.write(f"# {TITLE}\n\n{page}\n")
    if given.write:
        held = given.out.read_text() if given.out.is_file() else ""
        order = [line[3:].strip() for line in held.splitlines() if line.startswith("## ")]
        given.out.write_text(results.merge(given.out, {TITLE: page}, order))


def ignored(work: Path) -> None:
    """What is generated is not for a repository, should the folder be in one."""
    file = work / ".gitignore"
    if work.resolve() != REPOSITORY.resolve() and not file.exists():
        file.write_text("*\n")


def measured(name: str, bench: Bench, earlier: Found | None = None) -> Found:
    """A part; one that fails is told as such beside its earlier figures, and the other parts go on."""
    began = time.monotonic()
    try:
        found = PARTS[name].measure(bench)
    except (Exception, SystemExit) as e:
        traceback.print_exc()
        why = f"{type(e).__name__}: {e}".partition("\n")[0]
        return replace(earlier or Found(none_measured(PARTS[name].wanted, why), ""), failed=why)
    made = f"{datetime.now(UTC).date()}, {time.monotonic() - began:,.0f} s"
    found = replace(found, made=made, code=code_version())
    return beside_earlier(found, earlier) if earlier else found


def shown(work: Path, *, quick: bool, now: Collection[str] = ()) -> str:
    """Every part that was ever measured in this folder, its targets first of all. ``now``: those of this very run."""
    found = {name: part for name in PARTS if (part := kept(work / _FIGURES / f"{name}.json"))}
    code = code_version()
    # Two states of changed files have the same version.
    codes = {name: code if name in now or not code.endswith("+") else "" for name in found}
    parts = [f"### {PARTS[name].title}\n\n{_of_part(part)}" for name, part in found.items()]
    tried = "**A quick trial on a tenth of the customers, not a measurement.** " if quick else ""
    return "\n\n".join(
        [
            f"`make bench`. {tried}{machine()}. Ratios carry over to other machines, seconds do not.",
            summary(target for name, part in found.items() for target in as_of_now(part, codes[name])),
            *parts,
        ]
    )


def _of_part(part: Found) -> str:
    made = f"{part.made}, code {part.code or 'unknown'}\n\n{part.text}" if part.made else ""
    if not part.failed:
        return made
    return f"**Not measured**: {part.failed}" + (f"\n\nAs of before: {made}" if made else "")


def machine() -> str:
    """What it ran on."""
    packages = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    memory = psutil.virtual_memory().total / 1e9
    return (
        f"{os.cpu_count()} cores, {memory:,.0f} GB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {packages}"
    )


def arguments() -> argparse.ArgumentParser:
    """What may be asked for."""
    ask = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--quick", action="store_true", help="a tenth of the customers and no repeats: to try it")
    ask.add_argument("--only", type=_parts, default=list(PARTS), metavar="PART,…",
                     help=f"these parts, of: {', '.join(PARTS)}")  # fmt: skip
    ask.add_argument(
        "--largest",
        action="store_true",
        help="the night also at a hundred times the events: 32 GB of disk and an hour; what it needs is told first",
    )
    ask.add_argument("--work", type=Path, default=REPOSITORY / "build" / "bench",
                     help="folder of what is generated, some 5 GB; default build/bench")  # fmt: skip
    ask.add_argument("--write", action="store_true", help="put the page into benchmarks/RESULTS.md too")
    ask.add_argument("--out", type=Path, default=RESULTS, help=argparse.SUPPRESS)
    return ask


def _parts(text: str) -> list[str]:
    wanted = [name.strip() for name in text.split(",")]
    if unknown := [name for name in wanted if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"there is no part {unknown[0]!r}: choose of {', '.join(PARTS)}")
    return wanted


if __name__ == "__main__":
    main()
