"""Performance and calibration over nights: what the scores expected of themselves against what happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from churn.io.checks import Check
from churn.io.gate_charts import Calibration
from churn.io.gate_charts import calibration as calibration_of
from churn.io.page import figure
from churn_console.drawing import Interval, Plot, over_nights, said
from churn_console.nights import Window
from churn_console.reading import Reading, understood

_BOTH = {
    "churned": "Customers who left", "roc_auc": "ROC AUC", "log_loss": "Log loss", "brier": "Brier score",
    "precision": "Precision", "recall": "Recall", "profit": "Profit",
}  # fmt: skip
_ALONE = {"ece": "Calibration error", "lift_at_10": "Lift of the top tenth"}
"""What cannot be expected: a calibrated model is supposed for that."""


@dataclass(frozen=True)
class Drawn:
    """A drawing and what its lines are."""

    title: str
    meaning: str
    plot: Plot | None
    legend: tuple[tuple[str, str], ...]
    """CSS class and text."""


@dataclass(frozen=True)
class Judged:
    """The week of scores that met their outcomes last."""

    as_of: date
    nights: int
    first: date
    last: date
    customers: int
    churned: int
    """Different customers who left."""
    rows: tuple[tuple[str, str, str], ...]
    """Metric, expected, realised."""


@dataclass(frozen=True)
class Performance:
    """Everything on the page."""

    newest: Check | None
    warning: Check | None
    judged: Judged | None
    """What was known on the newest night of these that knew outcomes."""
    drawings: tuple[Drawn, ...]
    alarms: tuple[Check, ...]


def performance(reading: Reading, shown: Window) -> Performance:
    """Of several versions that were judged on a night, the last one. Raises Unavailable, ContractViolation."""
    found = reading.ask(lambda s: s.checks.all("performance", since=shown.first, until=shown.last))
    warned = reading.ask(lambda s: s.checks.headlines(shown.first, shown.last))
    with understood("a night's check of performance"):
        return _performance(found, warned, shown)


def _performance(found: Sequence[Check], warned: Sequence[Check], shown: Window) -> Performance:
    by_day = {check.as_of: check for check in reversed(found)}
    days = [day for day in reversed(shown.days) if day >= min(by_day, default=shown.last)]
    checks = [by_day.get(day) for day in days]
    known = [c for c in checks if c]
    judged = next((c for c in reversed(known) if c.detail.get("realised")), None)
    return Performance(
        newest=known[-1] if known else None,
        warning=next((c for c in warned if c.what == "early_warning"), None),
        judged=_judged(judged) if judged else None,
        drawings=tuple(_drawings([str(day) for day in days], checks)) if known else (),
        alarms=tuple(c for c in warned if c.what in ("performance", "early_warning") and c.alarm),
    )


def calibration(reading: Reading, judged: date) -> Calibration | None:
    """The curve of the week that was judged on a night, from the report of its monitoring; None where none is kept."""
    facts = reading.kept.monitoring(judged)
    if facts is None or not facts.get("assessment"):
        return None
    with understood(f"the monitoring report of {judged}"):
        return calibration_of({"happened": facts["assessment"]["calibration"]})


def _realised(check: Check | None, name: str) -> Interval:
    found = (check.detail.get("realised") or {}) if check else {}
    return Interval(found.get(name), found.get(f"{name}_low"), found.get(f"{name}_high"))


def _expected(check: Check | None, name: str) -> float | None:
    """Of the scores that have been judged; until some are, of the night's own, as an estimate."""
    if check is None:
        return None
    judged = check.detail.get("realised")
    value: float | None = judged.get(f"expected_{name}") if judged else (check.detail.get("expected") or {}).get(name)
    return value


def _judged(check: Check) -> Judged:
    found = check.detail["realised"]
    return Judged(
        as_of=check.as_of,
        nights=int(found["nights"]),
        first=date.fromisoformat(found["first_night"]),
        last=date.fromisoformat(found["last_night"]),
        customers=int(found["customers"]),
        churned=int(found["churned_customers"]),
        rows=tuple(_rows(found)),
    )


def _share(count: float | None, check: Check | None) -> float | None:
    """In per cent of the scores that were judged, or, before any were, of the night's own."""
    if check is None or count is None:
        return None
    rows = (check.detail.get("realised") or check.detail.get("expected") or {}).get("rows")
    return 100 * count / rows if rows else None


def _drawings(nights: Sequence[str], checks: Sequence[Check | None]) -> list[Drawn]:
    both = (("expected", "expected by the scores themselves"), ("dot", "what happened, with its 95 % interval"))
    limit = ("limit", "below this, with the whole interval, it is a degradation")

    def drawn(title: str, meaning: str, name: str, *, limited: bool = False, alone: bool = False) -> Drawn:
        lines = {} if alone else {"expected": [_expected(c, name) for c in checks]}
        if limited:
            lines["limit"] = [c.detail.get("limit") if c else None for c in checks]
        dots = [_realised(c, name) for c in checks]
        return Drawn(
            title, meaning, over_nights(nights, lines, dots), both[1:] if alone else (*both, limit) if limited else both
        )

    return [
        drawn("Ranking: ROC AUC", "The week of scores whose outcomes became known last.", "roc_auc", limited=True),
        Drawn(
            "Calibration: share who left",
            "Of the customers scored in the same week, in per cent.",
            over_nights(
                nights,
                {"expected": [_share(_expected(c, "churned"), c) for c in checks]},
                [Interval(_share(_realised(c, "churned").value, c)) for c in checks],
            ),
            (both[0], ("dot", "what happened")),
        ),
        drawn("Calibration error", "Zero is perfect; chance alone leaves some.", "ece", alone=True),
        drawn("Log loss", "Ranking and calibration in one; lower is better.", "log_loss"),
    ]


def _rows(realised: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    def happened(name: str) -> str:
        return said(Interval(realised.get(name), realised.get(f"{name}_low"), realised.get(f"{name}_high")))

    both = [(label, figure(realised.get(f"expected_{name}")), happened(name)) for name, label in _BOTH.items()]
    return both + [(label, "–", happened(name)) for name, label in _ALONE.items()]
