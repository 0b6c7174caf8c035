"""The reference write-up's way to measure, kept for comparison: features at the end of the log, label "ever cancelled".

A customer who has cancelled produces no more events. Whatever measures time from the end of the log, or grows with the
time somebody was there, therefore knows the label. This module measures that way, and shows how much that makes up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from churn.core.assessment import assess
from churn.core.core_features import CORE_FEATURES
from churn.core.evaluation import Economics, evaluate
from churn.core.resampling import Estimate
from churn.errors import BadInput

FOLDS, SEED, THRESHOLD = 5, 42, 0.5
"""As in the write-up."""

SILENCE = "time_since_last_activity"
CLOCKS = (SILENCE, "days_since_registration")
"""Measured from the end of the log, whatever happened before."""
TOTALS = tuple(f.name for f in CORE_FEATURES if f.unit == "count" and not f.name.startswith("avg_"))
"""Stop growing with a cancellation."""


@dataclass(frozen=True)
class SingleFeature:
    """What one feature alone tells, nothing fitted."""

    name: str
    roc_auc: float
    """In the direction that tells more: at least 0.5."""
    more_is_churn: bool
    median_cancelled: float
    median_others: float


@dataclass(frozen=True)
class Ablation:
    """The recipe on fewer features."""

    without: tuple[str, ...]
    features: int
    roc_auc: float


@dataclass(frozen=True)
class ReferenceResult:
    """What the write-up's table would say about this log, and what is in it."""

    as_of: str
    customers: int
    churned: int
    """Cancelled at any time before the cut-off."""
    threshold: float
    metrics: Mapping[str, Estimate]
    """Of the out-of-fold probabilities, pooled as in the write-up; intervals draw customers, not folds."""
    confusion: Mapping[str, int]
    singles: tuple[SingleFeature, ...]
    """Strongest first."""
    ablations: tuple[Ablation, ...]
    """Without :data:`CLOCKS`, then without :data:`TOTALS` too."""

    def single(self, name: str) -> SingleFeature:
        return next(s for s in self.singles if s.name == name)


def recipe(columns: Sequence[str]) -> Pipeline:
    """The write-up's pipeline. One thread: the same result on any machine."""
    scaled = ColumnTransformer([("num", StandardScaler(), list(columns))])
    trees = XGBClassifier(objective="binary:logistic", eval_metric="auc", random_state=SEED, n_jobs=1)
    return Pipeline([("preprocessor", scaled), ("classifier", trees)])


def reference_protocol(as_of: str, features: pd.DataFrame, cancelled: NDArray[np.int64]) -> ReferenceResult:
    """Measure the recipe on the 13 core features (n, 13) at the end of the log against ``cancelled`` 0/1 (n,).

    Raises BadInput with fewer than five customers of either kind: the write-up's five folds each need one.
    """
    columns = [f.name for f in CORE_FEATURES]
    kinds = np.bincount(cancelled, minlength=2)
    if kinds.min() < FOLDS:
        raise BadInput(
            f"before {as_of} the log knows {kinds[1]} customers who cancelled and {kinds[0]} who did not: the "
            f"reference protocol's folds need at least {FOLDS} of each. Ingest a longer log, or choose a later --as-of"
        )
    measured = assess(
        cancelled, _out_of_fold(features[columns], cancelled), np.arange(len(features)),
        threshold=THRESHOLD, economics=Economics(),
    )  # fmt: skip
    return ReferenceResult(
        as_of=as_of,
        customers=len(features),
        churned=int(kinds[1]),
        threshold=THRESHOLD,
        metrics=measured.metrics,
        confusion=measured.confusion,
        singles=tuple(sorted((_single(features[c], cancelled) for c in columns), key=lambda s: -s.roc_auc)),
        ablations=tuple(_without(out, features[columns], cancelled) for out in (CLOCKS, (*CLOCKS, *TOTALS))),
    )


def _out_of_fold(features: pd.DataFrame, cancelled: NDArray[np.int64]) -> NDArray[np.float64]:
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    found = cross_val_predict(recipe(list(features.columns)), features, cancelled, cv=folds, method="predict_proba")
    return np.asarray(found[:, 1], dtype=np.float64)


def _single(values: pd.Series, cancelled: NDArray[np.int64]) -> SingleFeature:
    x = values.to_numpy(dtype=np.float64)
    rank = np.unique(x, return_inverse=True)[1] / len(x)  # a ranking only needs an order, not the unit
    auc = evaluate(cancelled, rank, THRESHOLD)["roc_auc"]
    return SingleFeature(
        name=str(values.name),
        roc_auc=max(auc, 1 - auc),
        more_is_churn=auc >= 0.5,
        median_cancelled=float(np.median(x[cancelled == 1])),
        median_others=float(np.median(x[cancelled == 0])),
    )


def _without(out: tuple[str, ...], features: pd.DataFrame, cancelled: NDArray[np.int64]) -> Ablation:
    fewer = features.drop(columns=list(out))
    roc_auc = evaluate(cancelled, _out_of_fold(fewer, cancelled), THRESHOLD)["roc_auc"]
    return Ablation(out, fewer.shape[1], roc_auc)
