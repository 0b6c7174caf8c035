"""How good are the numbers? ``make bench-quality``, or ``python -m benchmarks.quality [--quick] [--only SECTION …]``

Nested cross-validation on the public tables, CDNOW out of time against BG/NBD, the simulated log against its true
hazard, and how well it resembles the real one. Prints benchmarks/RESULTS.md and writes it; sections that are not asked
for stay as they are. ``--data DIR`` (or CHURN_TEST_DATA) names the folder with the public tables.
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

from benchmarks import results
from benchmarks.cdnow import compare_on_cdnow
from benchmarks.real_tables import compare_on_panel, compare_on_users, leakage_on_mini
from benchmarks.resemblance import compare as compare_columns
from benchmarks.resemblance import default_data, real_panel, simulated_panel
from benchmarks.resemblance import summary as summarise
from benchmarks.resemblance import table as resemblance_table
from benchmarks.simulated import compare_with_truth
from churn.core.training import TRIALS
from churn.io.provenance import code_version

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
_PACKAGES = ("xgboost", "scikit-learn", "optuna", "pandas")


@dataclass(frozen=True)
class Effort:
    """How much is done."""

    folds: int = 5
    trials: int = TRIALS
    customers: int = 8_000
    """Simulated, for the comparison with the truth."""
    days: int = 90
    resembling: int = 16_000
    """Simulated, for the comparison with the real table."""


QUICK = Effort(folds=2, trials=3, customers=1_000, days=75, resembling=3_000)


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    title: str
    measured: Callable[[Path, Effort], str]
    """Markdown, from the data folder."""


def _panel(data: Path, effort: Effort) -> str:
    found = compare_on_panel(data, folds=effort.folds, trials=effort.trials, say=_say)
    elsewhere = (
        "The wanted figures were set on another part of this population, where tuned XGBoost came to a ROC AUC of "
        "0.752 (AP 0.124), logistic regression on logs to 0.753 (0.125) and their rank blend to 0.757 (0.129). The "
        "same kinds of peers, measured here in the same folds, say how hard this part is."
    )
    return f"{elsewhere}\n\n{results.real_table(found, results.PANEL_TARGETS, f1=False)}"


def _users(data: Path, effort: Effort) -> str:
    found = compare_on_users(data, folds=effort.folds, trials=effort.trials, say=_say)
    published = (
        "Published best on the whole table (HistGradientBoosting): ROC AUC 0.93, AP 0.84, F1 0.77. The label is “ever "
        "cancelled” and the features see the cancellation: this shows how well a method learns, not what it foretells. "
        "F1 is at a probability of 0.5, and at the threshold where each method's own probabilities expect the highest "
        "F1; no label is looked at for either."
    )
    return f"{published}\n\n{results.real_table(found, results.USERS_TARGETS, f1=True)}"


def _mini(data: Path, _: Effort) -> str:
    return results.leakage(leakage_on_mini(data))


def _cdnow(data: Path, effort: Effort) -> str:
    # Ten times the rows of the tables above: fewer settings, so that the page is done within the half hour.
    return results.cdnow(compare_on_cdnow(data, trials=effort.trials // 3, say=_say))


def _simulated(_: Path, effort: Effort) -> str:
    found = compare_with_truth(customers=effort.customers, days=effort.days, trials=effort.trials, say=_say)
    return results.simulated(found, customers=effort.customers, days=effort.days)


def _resemblance(data: Path, effort: Effort) -> str:
    real = real_panel(data)
    made = simulated_panel(effort.resembling)
    rows = compare_columns(real, made)
    return f"```text\n{resemblance_table(rows, summarise(real, made, rows))}\n```"


SECTIONS: Mapping[str, Section] = {
    "panel": Section("Real customers, who cancels in the next 12 days (sparkify_panel)", _panel),
    "users": Section("Real customers, who ever cancelled (sparkify_users, leaky by design)", _users),
    "mini": Section("What leakage does (the write-up's 225 customers)", _mini),
    "cdnow": Section("A shop, who buys nothing in the next 90 days (CDNOW, out of time)", _cdnow),
    "simulated": Section("Simulated customers, against the true hazard", _simulated),
    "resemblance": Section("Do simulated customers resemble real ones?", _resemblance),
}


def main() -> None:
    """Measure the sections asked for, one after the other, and write each down as soon as it is known."""
    given = _arguments()
    if not given.data.is_dir():
        sys.exit(
            'The public tables are not there: give their folder with --data (make bench-quality ARGS="--data DIR") '
            "or CHURN_TEST_DATA. It holds sparkify_panel/, sparkify_users/ and cdnow/."
        )
    effort = QUICK if given.quick else Effort()
    page = results.merge(given.out, {}, _titles())
    for key in given.only or SECTIONS:
        section, began = SECTIONS[key], time.monotonic()
        _say(section.title)
        try:
            text = section.measured(given.data, effort)
        except FileNotFoundError as missing:
            _say(f"  left out: {missing}")
            continue
        seconds = time.monotonic() - began
        _say(f"  {seconds:,.0f} s")
        made = _made(key, seconds, quick=given.quick)
        page = results.merge(given.out, {section.title: f"{made}\n\n{text}"}, _titles())
        given.out.write_text(page)
    sys.stdout.write(page)


def _arguments() -> argparse.Namespace:
    ask = argparse.ArgumentParser(prog="benchmarks.quality", description=(__doc__ or "").partition("``")[0])
    ask.add_argument("--data", type=Path, default=default_data(), help="folder of the public tables")
    ask.add_argument("--quick", action="store_true", help="fewer folds, settings and customers: to try it")
    ask.add_argument("--only", nargs="+", choices=list(SECTIONS), help="these sections; the others stay as they are")
    ask.add_argument("--out", type=Path, default=RESULTS, help="the page, default benchmarks/RESULTS.md")
    return ask.parse_args()


def _titles() -> list[str]:
    return [section.title for section in SECTIONS.values()]


def _made(key: str, seconds: float, *, quick: bool) -> str:
    """When, with what and how."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    tried = "**A quick trial, not a measurement.** " if quick else ""
    return (
        f"{tried}{datetime.now(UTC).date()}, {seconds:,.0f} s, code {code_version()}, "
        f"Python {platform.python_version()}, {packages}: "
        f"`python -m benchmarks.quality --only {key}{' --quick' if quick else ''}`"
    )


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - progress for whoever waits


if __name__ == "__main__":
    main()
