"""Canaries: two checks that run with every training and fall silent when its numbers cannot be trusted.

*Shuffled labels*: with the outcomes dealt out again among the customers there is nothing to learn; what both members
of a model then find, they get from somewhere they must not look. *Leakage*: one column that alone says who churned, or
that said so only in the past, knows the outcome.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from churn.core.arrays import Floats
from churn.core.boosting import BoostingParameters, Fold, fit_boosting_log_odds
from churn.core.logistic import LogisticParameters, fit_logistic, stopping_early
from churn.core.training import customer_folds, numbers

_STANDARD_ERRORS = 3.29
"""Two-sided 99.9 %: one false alarm in a thousand trainings."""
_COLUMN_STANDARD_ERRORS = 4.5
"""The same for one of some 60 columns, each looked at in two ways, with room for customers seen several times."""
_BINS = 20
IMPLAUSIBLE_AUC = 0.9
"""No single fact about the past says so much about the future of a customer."""
_COLLAPSE_AUC = 0.1
"""A column's ROC AUC may be this much lower out of time."""


@dataclass(frozen=True)
class Canary:
    """One check. JSON-serialisable."""

    name: str
    passed: bool
    message: str
    """What was found, in one sentence."""
    columns: tuple[str, ...] = ()
    """Columns that failed it."""
    advice: str = ""
    """What to do when it failed."""


def shuffled_labels(
    features: pd.DataFrame, churned: ArrayLike, customers: ArrayLike, *, seed: int = 42, fold: Fold | None = None
) -> Canary:
    """Deal the outcomes out among the customers at random, train on half of them, expect ROC AUC 0.5 on the rest.

    A customer keeps one outcome over all rows, so that a customer on both sides of the fold is found out. The AUC is
    that of one row per customer; one half only, so that its standard error with nothing to learn is exactly that of the
    Mann-Whitney statistic, sqrt((n1 + n0 + 1) / (12 n1 n0)): cross-validated halves would depend on each other.
    """
    x = numbers(features)
    _, who = np.unique(np.asarray(customers), return_inverse=True)
    y = _shuffled(np.asarray(churned, dtype=np.int64), who, seed)
    if min(len(np.unique(who[y == outcome])) for outcome in (0, 1)) < 2:
        return Canary("shuffled labels", True, "too few customers of one kind to tell")
    fit, held = fold or customer_folds(y, who, seed, 2)[0]
    held = held[np.unique(who[held], return_index=True)[1]]
    leavers = int(y[held].sum())
    stayers = len(held) - leavers
    if not (0 < leavers < len(held) and 0 < y[fit].sum() < len(fit)):
        return Canary("shuffled labels", True, "too few customers of one kind to tell")
    with threadpool_limits(1), stopping_early():
        curves = fit_logistic(x[fit], y[fit], LogisticParameters()).log_odds(x[held])
        trees = fit_boosting_log_odds(x[fit], y[fit], x[held], BoostingParameters(rounds=100), seed)
    auc = float(roc_auc_score(y[held], curves + trees))
    allowed = _STANDARD_ERRORS * float(np.sqrt((len(held) + 1) / (12 * leavers * stayers)))
    passed = abs(auc - 0.5) <= allowed
    verdict = "indistinguishable from 0.5" if passed else "that is not 0.5"
    return Canary(
        "shuffled labels", passed, f"ROC AUC {auc:.3f} on outcomes dealt out at random, ± {allowed:.3f}: {verdict}",
        advice="" if passed else "The panel tells customers apart by something that is no feature: look for duplicates",
    )  # fmt: skip


def leaky_columns(
    training: pd.DataFrame,
    churned: ArrayLike,
    customers: ArrayLike,
    later: pd.DataFrame,
    later_churned: ArrayLike,
    *,
    implausible_auc: float = IMPLAUSIBLE_AUC,
) -> Canary:
    """Name each column that alone separates the outcomes implausibly well, or that did so only in the past.

    A column's power is the ROC AUC of the churn rate in its twentieths (missing is one more), learnt from one half of
    the ``training`` customers and measured on the other, both ways, and on ``later``, rows of a later date with their
    own outcomes. What chance could do with as few churners is never suspected. ``implausible_auc`` of 1: no check.
    """
    before, after = np.asarray(churned, dtype=np.int64), np.asarray(later_churned, dtype=np.int64)
    _, who = np.unique(np.asarray(customers), return_inverse=True)
    half = np.random.default_rng(0).random(who.max(initial=0) + 1)[who] < 0.5
    sides = [(before[half], before[~half]), (after,)]
    if implausible_auc >= 1 or not all(0 < y.sum() < len(y) for side in sides for y in side):
        return Canary("leakage", True, "not looked for: switched off, or one kind of outcome only")
    rate = _Rates(before, half, after)
    if 0.5 + _COLUMN_STANDARD_ERRORS * rate.error_before >= 1:
        return Canary("leakage", True, "too few customers of one kind to tell: chance alone could separate them")
    suspects = {}
    for name in training.columns:
        past, future = rate.powers(numbers(training[[name]])[:, 0], numbers(later[[name]])[:, 0])
        # Collapsing is to fall to what chance gives: below 0.5 by luck is not worse.
        chance = _COLUMN_STANDARD_ERRORS * np.hypot(rate.error_before, rate.error_after)
        if past >= implausible_auc and past - 0.5 > _COLUMN_STANDARD_ERRORS * rate.error_before:
            suspects[name] = (
                f"ROC AUC {past:.3f} alone (and {future:.3f} on a later date), {implausible_auc} is implausible"
            )
        elif past - max(future, 0.5) > max(_COLLAPSE_AUC, chance):
            suspects[name] = (
                f"ROC AUC {past:.3f} alone in training and {future:.3f} on a later date: it collapses out of time"
            )
    if not suspects:
        return Canary("leakage", True, f"no column of {training.shape[1]} separates the outcomes implausibly well")
    found = "; ".join(f"{name}: {why}" for name, why in suspects.items())
    return Canary(
        "leakage", False, f"these columns seem to know the outcome: {found}", tuple(suspects),
        "Mend what builds them; if they rightly say so much, raise CHURN_LEAKAGE_AUC (1 switches the check off)",
    )  # fmt: skip


def _shuffled(churned: NDArray[np.int64], who: NDArray[np.intp], seed: int) -> NDArray[np.int64]:
    """Whether a customer ever churned, dealt out again among the customers; one value per row."""
    outcome = np.zeros(who.max() + 1, np.int64)
    np.maximum.at(outcome, who, churned)
    return np.random.default_rng(seed).permutation(outcome)[who]


class _Rates:
    """Churn rates by twentieths of a column, learnt on one part of the rows and measured on another."""

    def __init__(self, before: NDArray[np.int64], half: NDArray[np.bool_], after: NDArray[np.int64]) -> None:
        self._before, self._half, self._after = before, half, after
        # Rows of one customer repeat each other; taking all of them for one look only makes the error larger.
        self.error_before = (
            _null_error(before[half]) if before[half].sum() < before[~half].sum() else _null_error(before[~half])
        )
        self.error_after = _null_error(after)

    def powers(self, values: Floats, later: Floats) -> tuple[float, float]:
        """ROC AUC in the past, the mean of both halves by the other's rates, and on the later rows by all."""
        seen = values[~np.isnan(values)]
        edges = np.unique(np.quantile(seen, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(seen) else np.empty(0)
        bins, bins_later = _binned(values, edges), _binned(later, edges)
        past = [self._auc(~part, bins[part], self._before[part], bins) for part in (self._half, ~self._half)]
        return float(np.mean(past)), self._auc(np.ones(len(bins), np.bool_), bins_later, self._after, bins)

    def _auc(
        self, fit: NDArray[np.bool_], held: NDArray[np.intp], outcome: NDArray[np.int64], bins: NDArray[np.intp]
    ) -> float:
        counts = np.bincount(bins[fit], minlength=_BINS + 2)
        churned = np.bincount(bins[fit], weights=self._before[fit], minlength=_BINS + 2)
        rate = (churned + self._before[fit].mean()) / (counts + 1)
        return float(roc_auc_score(outcome, rate[held]))


def _null_error(churned: NDArray[np.int64]) -> float:
    """Standard error of a ROC AUC where there is nothing to find (Mann-Whitney)."""
    leavers, rows = int(churned.sum()), len(churned)
    return float(np.sqrt((rows + 1) / (12 * leavers * (rows - leavers))))


def _binned(x: Floats, edges: Floats) -> NDArray[np.intp]:
    """Bin of each value; the last one is for missing values."""
    return np.where(np.isnan(x), _BINS + 1, np.searchsorted(edges, x, side="right"))
