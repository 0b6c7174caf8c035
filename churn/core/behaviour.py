"""What a model must do whatever it was trained on: checked on the challenger before any figure counts."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from churn.core.arrays import Floats
from churn.errors import ChurnError

if TYPE_CHECKING:
    import pandas as pd

LATENCY_MS = 5.0
"""For one row, the fastest of many. A row of a full model takes 0.5 to 0.7 ms through a data frame (two cores of a busy
machine); seven times that would be felt in the API's answers."""

_SAMPLE = 64
"""Rows asked one by one: enough to meet every kind of customer, few enough to take no time."""
_SAME = 1e-12
"""Sums over a batch may be added in another order; nothing else may differ."""

CHECKS = ("schema", "probabilities", "deterministic", "batch", "order", "saved", "latency")
"""Every one has to be there and to pass."""


class Model(Protocol):
    """What is checked; :class:`churn.core.model.ChurnModel` in earnest."""

    @property
    def features(self) -> tuple[str, ...]: ...

    def predict_proba(self, features: "pd.DataFrame | NDArray[np.float64]") -> Floats: ...


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. The message never has a measured time in it unless that is what failed: the same
    model gives the same evidence, to the letter."""

    name: str
    passed: bool
    message: str


def check_behaviour(
    model: Model,
    table: "pd.DataFrame",
    takes: Collection[str],
    *,
    reloaded: Callable[[], Model],
    milliseconds: Callable[[], float],
) -> tuple[Check, ...]:
    """Every check of :data:`CHECKS` on the rows of ``table``, whose columns are features of the code as it is now.

    ``takes``: the features that a model of this kind is fed. ``reloaded`` gives the model after a way through its
    saved form, ``milliseconds`` how long one row takes (core has no disk and no clock). Without the right features the
    other checks cannot be made and are missing.
    """
    schema = _schema(model, takes)
    if not schema.passed:
        return (schema,)
    rows = table[list(model.features)]
    checks: dict[str, Callable[[], tuple[bool, str]]] = {
        "probabilities": lambda: _probabilities(model.predict_proba(rows)),
        "deterministic": lambda: _deterministic(model, rows),
        "batch": lambda: _batch(model, rows),
        "order": lambda: _order(model, rows),
        "saved": lambda: _saved(model, reloaded(), rows),
        "latency": lambda: _latency(milliseconds()),
    }
    return (schema, *(_made(name, check) for name, check in checks.items()))


def failures(checks: Sequence[Check]) -> tuple[str, ...]:
    """What speaks against the model: checks that failed, and those of :data:`CHECKS` that are missing."""
    made = {check.name for check in checks}
    failed = [f"{check.name}: {check.message}" for check in checks if not check.passed]
    return (*failed, *(f"{name}: not checked" for name in CHECKS if name not in made))


def _made(name: str, check: Callable[[], tuple[bool, str]]) -> Check:
    try:
        return Check(name, *check())
    except ChurnError as e:
        return Check(name, False, f"the model refused: {e}")


def _schema(model: Model, takes: Collection[str]) -> Check:
    unknown, absent = set(model.features) - set(takes), set(takes) - set(model.features)
    faults = []
    if unknown:
        faults.append(f"it takes {sorted(unknown)}, which this code does not build")
    if absent:
        faults.append(f"it does not take {sorted(absent)}")
    if len(set(model.features)) < len(model.features):
        faults.append("it takes a feature twice")
    return Check("schema", not faults, "; ".join(faults) or f"takes the {len(takes)} features that the code builds")


def _probabilities(p: Floats) -> tuple[bool, str]:
    wrong = int(np.sum(~((p >= 0) & (p <= 1))))  # NaN is neither
    return (False, f"{wrong} of {len(p)} are not in [0, 1]") if wrong else (len(p) > 0, f"all {len(p):,} in [0, 1]")


def _deterministic(model: Model, rows: "pd.DataFrame") -> tuple[bool, str]:
    first, second = model.predict_proba(rows), model.predict_proba(rows)
    if np.array_equal(first, second):
        return True, "asked twice, the same to the last bit"
    return False, f"asked twice, it differs by up to {_distance(first, second):.1e}"


def _batch(model: Model, rows: "pd.DataFrame") -> tuple[bool, str]:
    at = np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(int))
    alone = np.concatenate([model.predict_proba(rows.iloc[[i]]) for i in at])
    return _equal(model.predict_proba(rows)[at], alone, f"{len(at)} rows one by one")


def _order(model: Model, rows: "pd.DataFrame") -> tuple[bool, str]:
    turned = rows.iloc[::-1, ::-1]  # rows and columns
    return _equal(model.predict_proba(rows), model.predict_proba(turned)[::-1], "rows and columns in another order")


def _saved(model: Model, again: Model, rows: "pd.DataFrame") -> tuple[bool, str]:
    return _equal(model.predict_proba(rows), again.predict_proba(rows), "saved and read back")


def _latency(milliseconds: float) -> tuple[bool, str]:
    budget = f"{LATENCY_MS:g} ms"
    if milliseconds <= LATENCY_MS:
        return True, f"one row within {budget}"
    return False, f"one row takes {milliseconds:.1f} ms, {budget} is the budget"


def _equal(batch: Floats, other: Floats, how: str) -> tuple[bool, str]:
    apart = _distance(batch, other)
    return (True, f"{how}: the same") if apart <= _SAME else (False, f"{how}: differs by up to {apart:.1e}")


def _distance(a: Floats, b: Floats) -> float:
    """Largest difference; infinite where the shapes differ or either is undefined."""
    if a.shape != b.shape or not len(a):
        return float("inf")
    apart = float(np.max(np.abs(a - b)))
    return apart if np.isfinite(apart) else float("inf")
