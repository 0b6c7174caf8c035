"""Canaries: two checks that run with every training and fall silent when its numbers cannot be trusted.

*Shuffled labels*: with the outcomes dealt out again among the customers there is nothing to learn; whatever the same
training then finds, it gets from somewhere it must not look. *Leakage*: one column that alone says who churned, or
that said so only in the past, knows the outcome.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from churn.core.boosting import BoostingParameters, Fold, fit_boosting_log_odds
from churn.core.curves import Floats
from churn.core.logistic import LogisticParameters, fit_logistic
from churn.core.training import customer_folds, numbers

_STANDARD_ERRORS = 3.29
"""Two-sided 99.9 %: one false alarm in a thousand trainings."""
_BINS = 20
IMPLAUSIBLE_AUC = 0.9
"""No single fact about the past says so much about the future of a customer."""
_COLLAPSE_AUC = 0.1
_COLLAPSE_STANDARD_ERRORS = 4.0
"""A column's ROC AUC out of time may be this much lower, and this many standard errors: some 50 columns are tried."""


@dataclass(frozen=True)
class Canary:
    """One check. JSON-serialisable."""

    name: str
    passed: bool
    message: str
    """What was found, in one sentence."""
    columns: tuple[str, ...] = ()
    """Columns that failed it."""


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
    with threadpool_limits(1):
        curves = fit_logistic(x[fit], y[fit], LogisticParameters()).log_odds(x[held])
        trees = fit_boosting_log_odds(x[fit], y[fit], x[held], BoostingParameters(rounds=100), seed)
    auc = float(roc_auc_score(y[held], curves + trees))
    allowed = _STANDARD_ERRORS * float(np.sqrt((len(held) + 1) / (12 * leavers * stayers)))
    passed = abs(auc - 0.5) <= allowed
    verdict = "indistinguishable from 0.5" if passed else "that is not 0.5"
    return Canary(
        "shuffled labels", passed, f"ROC AUC {auc:.3f} on outcomes dealt out at random, ± {allowed:.3f}: {verdict}"
    )


def leaky_columns(
    training: pd.DataFrame,
    churned: ArrayLike,
    later: pd.DataFrame,
    later_churned: ArrayLike,
    *,
    implausible_auc: float = IMPLAUSIBLE_AUC,
) -> Canary:
    """Name each column that alone separates the outcomes implausibly well, or that did so only in the past.

    A column's power is the ROC AUC of the churn rate in its twentieths (missing is one more), fitted on ``training``
    and measured there and on ``later``, rows of a later date with their own outcomes.
    """
    before, after = np.asarray(churned, dtype=np.int64), np.asarray(later_churned, dtype=np.int64)
    if not (0 < before.sum() < len(before) and 0 < after.sum() < len(after)):
        return Canary("leakage", True, "one kind of outcome only: there is nothing to separate")
    suspects = {
        str(name): why
        for name in training.columns
        if (why := _suspicion(training[name], before, later[name], after, implausible_auc))
    }
    if not suspects:
        return Canary("leakage", True, f"no column of {training.shape[1]} separates the outcomes implausibly well")
    found = "; ".join(f"{name}: {why}" for name, why in suspects.items())
    return Canary("leakage", False, f"these columns seem to know the outcome: {found}", tuple(suspects))


def _shuffled(churned: NDArray[np.int64], who: NDArray[np.intp], seed: int) -> NDArray[np.int64]:
    """Whether a customer ever churned, dealt out again among the customers; one value per row."""
    outcome = np.zeros(who.max() + 1, np.int64)
    np.maximum.at(outcome, who, churned)
    return np.random.default_rng(seed).permutation(outcome)[who]


def _suspicion(
    column: pd.Series, before: NDArray[np.int64], later: pd.Series, after: NDArray[np.int64], implausible: float
) -> str | None:
    """Why a column is suspected, or None."""
    seen = numbers(column.to_frame())
    seen = seen[~np.isnan(seen)]
    edges = np.unique(np.quantile(seen, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(seen) else np.empty(0)
    bins, bins_later = (_binned(values, edges) for values in (column, later))
    counts = np.bincount(bins, minlength=_BINS + 2)
    rate = (np.bincount(bins, weights=before, minlength=_BINS + 2) + before.mean()) / (counts + 1)
    past, future = (float(roc_auc_score(y, rate[b])) for y, b in ((before, bins), (after, bins_later)))
    if past >= implausible:
        return f"ROC AUC {past:.3f} alone (and {future:.3f} on a later date), {implausible} is implausible"
    # Hanley & McNeil (1982), simplified: the rarer outcome limits the precision.
    error = float(
        np.sqrt(sum(a * (1 - a) / min(y.sum(), len(y) - y.sum()) for a, y in ((past, before), (future, after))))
    )
    if past - future > max(_COLLAPSE_AUC, _COLLAPSE_STANDARD_ERRORS * error):
        return f"ROC AUC {past:.3f} alone in training and {future:.3f} on a later date: it collapses out of time"
    return None


def _binned(values: pd.Series, edges: Floats) -> NDArray[np.intp]:
    """Bin of each value; the last one is for missing values."""
    x = numbers(values.to_frame())[:, 0]
    return np.where(np.isnan(x), _BINS + 1, np.searchsorted(edges, x, side="right"))
