"""How often are the automatic decisions wrong? ``python -m benchmarks.decisions [--quick] [--only PART …] [--write]``

Simulated services of known truth: drift alarms, early warnings and the gate, where nothing changes and where something
does. Each world's record is kept under ``--work`` as soon as it is known; a run that was stopped goes on there, and
records that other code made are not used. Prints the tables; ``--write`` puts them into benchmarks/RESULTS.md.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import (
    decision_drift,
    decision_gate,
    decision_tables,
    decision_watch,
    drift_peers,
    results,
    world_models,
    world_truth,
    worlds,
)
from benchmarks.decision_records import Records, made_by
from churn.core import (
    assessment,
    boosting,
    calibration,
    categories,
    core_features,
    criteria,
    curves,
    distances,
    drift,
    drift_policy,
    drift_reference,
    early_warning,
    extended_features,
    features,
    gate_figures,
    gate_rows,
    labels,
    logistic,
    paired,
    promotion,
    promotion_policy,
    realised_performance,
    reliability,
    resampling,
    simulated_change,
    simulated_customers,
    simulated_events,
    simulated_risk,
    simulated_sessions,
    simulation,
    training,
    weighted_metrics,
)
from churn.io.provenance import code_version

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
TITLE = "How often are the automatic decisions wrong?"
_PACKAGES = ("xgboost", "scikit-learn", "scipy", "numpy", "pandas")
_WORLD = (simulation, simulated_change, simulated_customers, simulated_events, simulated_risk, simulated_sessions,
          features, core_features, extended_features, labels, worlds)  # fmt: skip
_MODEL = (training, boosting, calibration, curves, logistic, world_models)
_DRIFT = (drift, drift_policy, drift_reference, categories, distances, decision_drift)
_WATCH = (early_warning, decision_watch)
_REALISED = (realised_performance, assessment, weighted_metrics, resampling, decision_watch)
_GATE = (promotion, promotion_policy, gate_figures, criteria, paired, gate_rows, reliability, resampling,
         weighted_metrics, world_truth, decision_gate)  # fmt: skip

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """One question, put to many worlds."""

    title: str
    run: Callable[[int, Path], dict[str, Any]]
    """The record of a seed, worlds kept in a folder."""
    worlds: int
    first_seed: int
    """Parts have different worlds, unless they ask about the same ones."""
    table: Callable[[list[dict[str, Any]]], str]
    code: tuple[ModuleType, ...]
    """What a record depends on."""


PARTS: Mapping[str, Part] = {
    "drift": Part("Drift alarms where nothing changes", decision_drift.quiet, 24, 1_000,
                  decision_tables.quiet_drift, _DRIFT),
    "peers": Part("Fixed thresholds where nothing changes", drift_peers.quiet, 6, 1_000, decision_tables.quiet_peers,
                  (*_DRIFT, drift_peers)),
    "early": Part("Early warnings where nothing changes", decision_watch.quiet, 60, 1_000,
                  decision_tables.quiet_watch, _WATCH),
    "degraded": Part("Called degraded where nothing changes", decision_watch.degraded, 24, 1_000,
                     decision_tables.quiet_degraded, _REALISED),
    "renamed": Part("A page is renamed", decision_drift.renamed, 90, 2_000, decision_tables.renamed, _DRIFT),
    "altered": Part("A feature is shifted, or missing for some", decision_drift.altered, 16, 1_000,
                    decision_tables.altered, _DRIFT),
    "price": Part("A price rise doubles the hazard of who pays", decision_watch.price_rise, 60, 4_000,
                  decision_tables.price_rise, _WATCH),
    "gate": Part("A challenger of the same distribution", decision_gate.equal, 67, 5_000,
                 decision_tables.equal, _GATE),
    "retrained": Part("Retrained after the price rise", decision_gate.price_rise, 40, 4_000,
                      decision_tables.retrained, _GATE),
    "retrained-large": Part("Retrained after the price rise, more customers",
                            decision_gate.price_rise_large, 20, 6_000, decision_tables.retrained, _GATE),
    "retrained-renamed": Part("Retrained after a page is renamed", decision_gate.renamed, 12, 7_000,
                              decision_tables.retrained, _GATE),
    "retrained-quiet": Part("Retrained where nothing changes", decision_gate.quiet, 20, 1_000,
                            decision_tables.retrained, _GATE),
}  # fmt: skip


def main() -> None:
    """Ask world after world; tables at the end."""
    given = _arguments()
    sections = []
    for name in given.only or PARTS:
        part = PARTS[name]
        wanted = given.worlds or (max(1, part.worlds // 20) if given.quick else part.worlds)
        found, seconds = _asked(name, part, 0 if given.recorded else wanted, given.work)
        if not found:
            continue
        sections.append(f"### {part.title}\n\n{_made(name, len(found), seconds, given)}\n\n{part.table(found)}")
    text = "\n\n".join(sections)
    sys.stdout.write(text + "\n")
    if given.write:
        order = [line.removeprefix("## ").strip() for line in given.out.read_text().splitlines() if line[:3] == "## "]
        given.out.write_text(results.merge(given.out, {TITLE: text}, [*(t for t in order if t != TITLE), TITLE]))


def _asked(name: str, part: Part, wanted: int, work: Path) -> tuple[list[dict[str, Any]], float]:
    """The records of the first ``wanted`` seeds (0: of all that are there), and the seconds that it took now."""
    records = Records(work / f"{name}.jsonl", made_by(*_WORLD, *_MODEL, *part.code))
    folder, began = work / f"worlds-{made_by(*_WORLD)}", time.monotonic()
    seeds = range(part.first_seed, part.first_seed + wanted) if wanted else sorted(records.found)
    for done, seed in enumerate(seeds, 1):
        if seed in records.found:
            continue
        records.add(seed, part.run(seed, folder))
        _say(f"{name}: world {done} of {wanted}, {time.monotonic() - began:,.0f} s")
    return [records.found[seed] for seed in seeds], time.monotonic() - began


def _made(name: str, count: int, seconds: float, given: argparse.Namespace) -> str:
    """When, with what and how."""
    packages = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    tried = "**A quick trial, not a measurement.** " if given.quick else ""
    ran = f"{seconds:,.0f} s of this run, " if seconds >= 1 else ""
    return (
        f"{tried}{datetime.now(UTC).date()}, {count} worlds (seeds from {PARTS[name].first_seed}), "
        f"{ran}code {code_version()}, Python {platform.python_version()}, {packages}: "
        f"`python -m benchmarks.decisions --only {name} --worlds {count}`"
    )


def _arguments() -> argparse.Namespace:
    ask = argparse.ArgumentParser(prog="benchmarks.decisions", description=(__doc__ or "").partition("``")[0])
    ask.add_argument("--only", nargs="+", choices=list(PARTS), help="these parts, default all")
    ask.add_argument("--worlds", type=int, help="of each part; default: as many as its claim needs")
    ask.add_argument("--quick", action="store_true", help="a twentieth of the worlds: to try it")
    ask.add_argument("--recorded", action="store_true", help="tables of what is on record; nothing is run")
    ask.add_argument("--work", type=Path, default=Path(".churn") / "benchmarks" / "decisions",
                     help="folder of worlds and records, a few GB; default .churn/benchmarks/decisions")  # fmt: skip
    ask.add_argument("--write", action="store_true", help="put the tables into the page too")
    ask.add_argument("--out", type=Path, default=RESULTS, help="the page, default benchmarks/RESULTS.md")
    return ask.parse_args()


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - progress for whoever waits


if __name__ == "__main__":
    main()
