"""From a numeric table and 0/1 labels to a :class:`~churn.core.model.ChurnModel`.

Two members, curves and trees, are each tuned by cross-validated log loss; either alone and both together are then
calibrated out of fold. Both together are fitted on all rows, unless one alone is clearly better.

Of a table beyond memory, all of this is done on a weighted sample, and the trees are then fitted on all of its rows.
Weights make the sample's sums those of the table, so that settings and the slope of the calibration hold for it; its
intercept is set anew for such trees. Curves, of some hundred coefficients, are as sharp as the churned rows let them
be, and the sample has these.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from churn.core.arrays import Floats
from churn.core.boosting import Fold, fit_boosting
from churn.core.calibration import centred, cross_fitted, fit_calibration, log_loss, log_losses
from churn.core.curves import finite
from churn.core.evaluation import Economics
from churn.core.external_memory import WholeTable, fit_boosting_from_disk
from churn.core.logistic import fit_logistic, stopping_early
from churn.core.model import ChurnModel, ModelCard
from churn.core.sampling import metrics_of, said_of_sample
from churn.core.search import Tuned, search
from churn.errors import BadInput

FOLDS = 5
TRIALS = 30
"""Settings tried by default, a third of them for the curves."""

_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "logistic": ("curves",),
    "xgboost": ("trees",),
    "blend": ("curves", "trees"),
}
_EXPLAINED_ROWS = 2_000
"""Enough for mean contributions; more cost time and change no order that matters."""


def train(
    features: pd.DataFrame,
    churned: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    whole: WholeTable | None = None,
    seed: int = 42,
    economics: Economics | None = None,
    trials: int = TRIALS,
    progress: Callable[[str], None] = lambda _: None,
) -> ChurnModel:
    """Fit on ``features`` (n, k), any numeric columns, with labels 0/1 (n,) and optionally a customer per row (n,).

    Cross-validated in five stratified folds (fewer with fewer than five customers of a class) that never split a
    customer; ``trials`` settings are searched (0: the defaults). NaN and infinities are missing values. Same inputs
    and seed give the same model, bit for bit. Raises BadInput where nothing can be learnt.

    ``weights`` (n,): how many rows of a larger table each one stands for (:mod:`churn.core.sampling`); every figure is
    then that table's. With ``whole``, that table itself, the trees are fitted on all of it.
    """
    economics = economics or Economics()
    x, y, customers = _checked(features, churned, groups)
    w = _checked_weights(weights, len(x))
    # One thread of linear algebra: results do not depend on the number of cores, and folds run side by side instead.
    with threadpool_limits(1), stopping_early(), ThreadPoolExecutor(min(FOLDS, os.cpu_count() or 1)) as pool:
        folds = customer_folds(y, customers, seed)
        tuned = search(x, y, folds, w, seed=seed, trials=trials, pool=pool, progress=progress)
        held = [rows for _, rows in folds]
        log_odds = {name: cross_fitted(_members(tuned, name), y, held, w) for name in _FAMILIES}
        losses = {name: log_loss(y, z, w) for name, z in log_odds.items()}
        family = _family(y, log_odds, w)
        of = "all" if w is None else f"a sample of {w.sum():,.0f} rows:"
        progress(f"fitting the {family} model on {of} {len(x):,} rows")
        uses = _FAMILIES[family]
        curves = fit_logistic(x, y, tuned.curves, w) if "curves" in uses else None
        if "trees" not in uses:
            trees = None
        elif whole is None:
            trees = fit_boosting(x, y, tuned.trees, seed, w)
        else:
            trees = fit_boosting_from_disk(whole, tuned.trees, seed, progress)
        card = ModelCard(
            features=tuple(features.columns),
            threshold=economics.threshold,
            family=family,
            families=losses | {"base rate": _base_log_loss(y, folds, w)},
            parameters={name: asdict(getattr(tuned, name)) for name in uses}
            | {"trials": trials}
            | ({} if w is None else {"sample": said_of_sample(y, w, _rows_of(trees, len(y), whole))}),
            rows=len(x),
            customers=len(np.unique(customers)),
            churn_rate=float(np.average(y, weights=w)),
            cross_validation=metrics_of(y, expit(log_odds[family]), economics.threshold, w),
            importance={},
            usual=_medians(x, features.columns, w),
            seed=seed,
        )
        calibration = fit_calibration(_members(tuned, family), y, w)
        model = ChurnModel(calibration, curves, trees, card)
        if whole is not None and trees is not None:
            calibration = centred(calibration, logit(model.predict_proba(x)), card.churn_rate, w)
            model = ChurnModel(calibration, curves, trees, card)
        model.card = replace(card, importance=_importance(model, x, seed, w))
    return model


def customer_folds(churned: NDArray[np.int64], customers: NDArray[Any], seed: int, count: int = FOLDS) -> list[Fold]:
    """At most ``count`` stratified folds (rows to fit on, rows held) in which no customer is on both sides."""
    fewest = min(len(np.unique(customers[churned == label])) for label in (0, 1))
    for size in range(min(count, fewest), 1, -1):
        splitter = StratifiedGroupKFold(size, shuffle=True, random_state=seed)
        folds = list(splitter.split(np.zeros((len(churned), 1)), churned, customers))
        if all(0 < churned[fit].sum() < len(fit) for fit, _ in folds):
            return folds
    raise BadInput("customers with both outcomes are too few to be parted into folds that each have both")


def _rows_of(trees: xgb.Booster | None, rows: int, whole: WholeTable | None) -> int:
    """How many the trees were fitted on."""
    return 0 if trees is None else rows if whole is None else whole.rows


def _family(y: NDArray[np.int64], log_odds: Mapping[str, Floats], weights: Floats | None = None) -> str:
    """The blend, unless a member alone has a log loss lower by two standard errors of the paired difference.

    The search flatters the folds of the member it worked on most; the blend is what is left when it errs. (Nested on
    the public panel: log loss 0.1559 and ROC AUC 0.740 by the lowest figure, 0.1556 and 0.743 by this rule.)
    """
    each = np.ones(len(y)) if weights is None else weights / weights.mean()
    losses = {name: each * log_losses(y, z) for name, z in log_odds.items()}
    chosen = "blend"
    for name in ("logistic", "xgboost"):
        gain = losses["blend"] - losses[name]
        clear = gain.mean() > 2 * gain.std() / np.sqrt(len(y))
        if clear and losses[name].mean() < losses[chosen].mean():
            chosen = name
    return chosen


def _members(tuned: Tuned, family: str) -> Sequence[Floats]:
    return [tuned.log_odds[name] for name in _FAMILIES[family]]


def _base_log_loss(y: NDArray[np.int64], folds: Sequence[Fold], weights: Floats | None) -> float:
    rate = np.empty(len(y))
    for fit, held in folds:
        rate[held] = np.average(y[fit], weights=None if weights is None else weights[fit])
    return log_loss(y, logit(rate), weights)


def _medians(x: Floats, names: pd.Index, weights: Floats | None) -> dict[str, float]:
    """Of what is there; 0 where nothing is."""
    return {name: _median(column, weights) for name, column in zip(names, x.T, strict=True)}


def _median(column: Floats, weights: Floats | None) -> float:
    there = ~np.isnan(column)
    if not there.any():
        return 0.0
    if weights is None:
        return float(np.median(column[there]))
    return float(np.quantile(column[there], 0.5, weights=weights[there], method="inverted_cdf"))


def _importance(model: ChurnModel, x: Floats, seed: int, weights: Floats | None) -> dict[str, float]:
    """Share of the mean absolute contribution on a sample of the rows, largest first."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(x))[:_EXPLAINED_ROWS])
    each = None if weights is None else weights[rows]
    moved = np.average(np.abs(model.contributions(x[rows])[:, :-1]), axis=0, weights=each)
    total = float(moved.sum()) or 1.0
    share = {name: float(m) / total for name, m in zip(model.features, moved, strict=True)}
    return dict(sorted(share.items(), key=lambda item: -item[1]))


def _checked(
    features: pd.DataFrame, churned: ArrayLike, groups: ArrayLike | None
) -> tuple[Floats, NDArray[np.int64], NDArray[Any]]:
    if not isinstance(features, pd.DataFrame):
        raise BadInput(f"features must be a pandas DataFrame, this is {type(features).__name__}")
    y = np.asarray(churned)
    groups = np.arange(len(features)) if groups is None else groups
    customers, _ = pd.factorize(np.asarray(groups, dtype=object))  # which rows belong together is all that matters
    if not y.shape == customers.shape == (len(features),):
        raise BadInput(f"{len(features)} feature rows, labels {y.shape}, customers {customers.shape}: they must match")
    if (customers < 0).any():
        raise BadInput(f"{(customers < 0).sum()} rows have no customer: leave them out, or give each one of its own")
    named = all(isinstance(c, str) for c in features.columns) and not features.columns.has_duplicates
    if features.shape[1] == 0 or not named:
        raise BadInput(f"the feature table needs columns with different names (text), it has {list(features.columns)}")
    if text := [c for c in features.columns if not _is_real(features[c])]:
        raise BadInput(f"the columns {text} are not numeric; leave them out or encode them")
    if not np.isin(y, (0, 1)).all():
        raise BadInput(f"labels must be 0 or 1, found {sorted(set(y.tolist()) - {0, 1}, key=str)[:5]}")
    fewest = min(len(np.unique(customers[y == label])) for label in (0, 1))
    if fewest < 2:
        raise BadInput(
            f"{int(y.sum())} of {len(y)} rows churned, so that one class has {fewest} customers; at least two are "
            "needed: use a longer log, a longer horizon or more snapshots"
        )
    return numbers(features), y.astype(np.int64), customers


def _checked_weights(weights: ArrayLike | None, rows: int) -> Floats | None:
    if weights is None:
        return None
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (rows,) or not (np.isfinite(w) & (w > 0)).all():
        raise BadInput(f"weights must be {rows} numbers above 0, one a row; these are {w.shape}, from {w.min()} on")
    return w


def _is_real(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column)


def numbers(features: pd.DataFrame) -> Floats:
    """The table as an array (n, k), whatever is missing or infinite as NaN."""
    return finite(np.ascontiguousarray(features.to_numpy(dtype=np.float64, na_value=np.nan)))
