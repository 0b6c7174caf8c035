"""A whole night on top of 61 days of history, at several sizes: what it costs, step by step, and how that grows."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.scale_data import AS_OF, DAYS, Log, Say, linked, step
from benchmarks.scale_process import Cost, Failed
from benchmarks.scale_step import STEPS
from benchmarks.scale_table import Found, Target, at_most, exponent, none_measured, not_measured, table, told

SECONDS, MEGABYTES, EXPONENT = 30.0, 2_000.0, 1.05
_GROWTH = tuple(
    (what, f"≤ {EXPONENT:g}")
    for what in (
        "growth exponent of the night",
        "the same, starting and importing left out",
        "the same, of the last step in size alone",
    )
)
_JUDGED_UP_TO = 10
"""Times the reference, at the least: where one of these sizes is missing, growth is not judged."""
WANTED = (
    ("a night at the reference's size: seconds of the processors", f"≤ {SECONDS:g} s"),
    ("a night at the reference's size: memory", f"≤ {MEGABYTES:,g} MB"),
    *_GROWTH,
)
"""Of a night that takes in some 430,000 events, of some 22 thousand customers, and of how nights grow."""


@dataclass(frozen=True)
class Size:
    """What is to be measured."""

    times: float
    """The reference's events."""
    repeats: int
    made: Callable[[], Log]
    """Raises Failed where it cannot be."""


@dataclass(frozen=True)
class Lived:
    """What came of a size: nights, and why there are fewer than were asked for, none even."""

    times: float
    nights: Sequence["Night"]
    failed: str = ""


@dataclass(frozen=True)
class Night:
    """One night of one size: what each step cost."""

    events: int
    """New ones that were accepted."""
    customers: int
    """Scored."""
    steps: Mapping[str, Cost]

    @property
    def processor_seconds(self) -> float:
        return sum(cost.whole.processor_seconds for cost in self.steps.values())

    @property
    def own_seconds(self) -> float:
        """Processor seconds without starting interpreters and importing: what can grow."""
        return sum(cost.between.processor_seconds for cost in self.steps.values())

    @property
    def seconds(self) -> float:
        return sum(cost.whole.seconds for cost in self.steps.values())

    @property
    def peak_megabytes(self) -> float:
        return max(cost.peak_megabytes for cost in self.steps.values())


def lived(log: Log, model: str, aside: Path) -> Night:
    """One night, in a data home that is thrown away after it. Raises Failed where a step fails."""
    shutil.rmtree(aside, ignore_errors=True)
    try:
        home = linked(log.home, aside)
        (home / "landing").mkdir()
        os.link(log.new_day, home / "landing" / log.new_day.name)
        costs = {
            name: step(name, None if name == "ingest" else AS_OF, home=home, MLFLOW_TRACKING_URI=model)
            for name in STEPS
        }
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    events, customers = json.loads(costs["ingest"].said)["new_events"], json.loads(costs["publish"].said)["customers"]
    return Night(events, customers, costs)


def measure(sizes: Sequence[Size], model: str, work: Path, say: Say) -> list[Lived]:
    """By size, the smallest first. One that fails leaves the others, and its own nights before, as they are."""
    found = []
    for size in sizes:
        nights: list[Night] = []
        failed = ""
        try:
            log = size.made()
            for _ in range(size.repeats):
                nights.append(night := lived(log, model, work / "night"))
                say(
                    f"a night of {night.events:,} events: {night.seconds:.1f} s, {night.processor_seconds:.1f} s of "
                    f"the processors, {night.peak_megabytes:,.0f} MB"
                )
        except (Failed, OSError, MemoryError) as e:
            failed = (f"{e}" or type(e).__name__).partition("\n")[0]
            say(f"the night at {size.times:g} times the reference: {failed}")
        found.append(Lived(size.times, nights, failed))
    return found


def told_of(sizes: Sequence[Lived], model: str) -> Found:
    """The targets and the tables. ``model``: what it was trained on."""
    known = [size for size in sizes if size.nights]
    if not known:  # whoever has earlier figures keeps them
        raise Failed("; ".join(dict.fromkeys(size.failed for size in sizes)))
    targets = [*_of_reference(sizes), *_growth(sizes)]
    targets += [not_measured(f"a night at {s.times:g} times the reference", "", s.failed) for s in sizes if s.failed]
    steps = table(
        ["times", "nights", "new events", "customers", *STEPS, "the night", "of it starting", "on the clock",
         "peak MB", "of the step"],
        map(_row, known),
    )  # fmt: skip
    said = (
        f"Ingest, features, validation, scores and drift of one new day on {DAYS} days of history, each step in a "
        "fresh process as Airflow runs it; seconds of the processors, of the cheapest of the nights, starting Python "
        "and importing included (“of it starting”); the median on the clock; memory of the step that took most of it "
        "in any of the nights. The history has its pre-aggregates and totals, as the nights before left them. The "
        "landing folder holds the new day's raw file alone. Sizes above 1 are copies of the one log, with customers "
        "and sessions of their own; that of 1 and smaller ones are generated. The model, the same for all, was trained "
        f"on {model}."
    )
    failures = [
        f"The night at {size.times:g} times the reference failed: {size.failed}." for size in sizes if size.failed
    ]
    return Found(tuple(targets), "\n\n".join([said, steps, *failures]))


def _of_reference(sizes: Sequence[Lived]) -> Sequence[Target]:
    reference = next(size for size in sizes if size.times == 1)
    if not reference.nights:
        return none_measured(WANTED[:2], reference.failed)
    night = _cheapest(reference)
    named = f"{night.events:,} new events, {night.customers:,} customers"
    return [
        at_most(WANTED[0][0], SECONDS, night.processor_seconds, " s", 1, of=named),
        at_most(WANTED[1][0], MEGABYTES, _heaviest(reference).peak_megabytes, " MB", 0),
    ]


def _cheapest(size: Lived) -> Night:
    return min(size.nights, key=lambda night: night.processor_seconds)


def _heaviest(size: Lived) -> Night:
    return max(size.nights, key=lambda night: night.peak_megabytes)


def _growth(sizes: Sequence[Lived]) -> Sequence[Target]:
    """Over all sizes, if those that the target names are among them."""
    best = [_cheapest(size) for size in sizes if size.nights]
    missing = [size.failed for size in sizes if size.times <= _JUDGED_UP_TO and not size.nights]
    if missing:
        return none_measured(_GROWTH, missing[0])
    events = [night.events for night in best]
    whole = exponent(events, [night.processor_seconds for night in best])
    own = exponent(events, [night.own_seconds for night in best])
    last = exponent(events[-2:], [night.own_seconds for night in best[-2:]])
    times = f"{events[0]:,} to {events[-1]:,} events"
    return [
        at_most(_GROWTH[0][0], EXPONENT, whole, of=times),
        at_most(_GROWTH[1][0], EXPONENT, own),
        at_most(_GROWTH[2][0], EXPONENT, last),
        told("events a processor second, at the largest", f"{best[-1].events / best[-1].processor_seconds:,.0f}"),
    ]


def _row(size: Lived) -> list[str]:
    best, heaviest = _cheapest(size), _heaviest(size)
    return [
        f"{size.times:g}",
        f"{len(size.nights)}",
        f"{best.events:,}",
        f"{best.customers:,}",
        *(f"{cost.whole.processor_seconds:.1f}" for cost in best.steps.values()),
        f"**{best.processor_seconds:.1f}**",
        f"{best.processor_seconds - best.own_seconds:.1f}",
        f"{median(night.seconds for night in size.nights):.1f}",
        f"{heaviest.peak_megabytes:,.0f}",
        max(heaviest.steps, key=lambda name: heaviest.steps[name].peak_megabytes),
    ]
