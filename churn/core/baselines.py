"""What a model must beat to be worth anything: the base rate, a rule about recency, and plain logistic regression."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from churn.core.arrays import Floats
from churn.errors import BadInput

BASE_RATE, RECENCY_RULE, LOGISTIC_REGRESSION = "base rate", "recency rule", "logistic regression"

BASELINES: Mapping[str, str] = {
    BASE_RATE: "everyone gets the churn rate of the training rows",
    RECENCY_RULE: "logistic regression on one number, the logarithm of the time since the last activity",
    LOGISTIC_REGRESSION: "logistic regression on all features, standardised, with scikit-learn's default settings",
}
"""The baselines, and what each does, for people to read."""

_LARGEST = 1e15
"""No feature is as large; whatever is would make the variance of its column overflow."""


@dataclass(frozen=True)
class Baselines:
    """The baselines as fitted on training rows."""

    columns: tuple[str, ...]
    recency: str | None
    """The column of the recency rule; None where there is no such column, and no such baseline."""
    _medians: pd.Series
    _base_rate: float
    _fitted: Mapping[str, Pipeline]

    def predict(self, features: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
        """Probabilities (n,) by the baseline's name. Raises BadInput where a column is missing."""
        if missing := [name for name in self.columns if name not in features]:
            raise BadInput(f"the baselines need the columns {missing}; the table has {list(features.columns)}")
        x = _filled(features[list(self.columns)], self._medians)
        found = {BASE_RATE: np.full(len(x), self._base_rate)}
        for name, model in self._fitted.items():
            inputs = _logarithm(x, self.recency) if name == RECENCY_RULE else x.to_numpy()
            found[name] = model.predict_proba(inputs)[:, 1] if len(x) else np.empty(0)
        return found


def fit_baselines(
    features: pd.DataFrame,
    churned: ArrayLike,
    weights: Floats | None = None,
    *,
    recency: str = "time_since_last_activity",
) -> Baselines:
    """Fit on ``features`` (n, k), numeric, and labels 0/1 (n,). ``weights`` (n,): how many rows each stands for.

    Missing and infinite values become the training median of their column (0 where it has no value at all).
    Raises BadInput where there is nothing to fit: no column, lengths that differ, one class only.
    """
    y = np.asarray(churned)
    if features.shape[1] == 0 or y.shape != (len(features),) or set(np.unique(y)) != {0, 1}:
        raise BadInput(
            f"baselines need columns and both outcomes: found a table {features.shape}, "
            f"labels {y.shape} with the values {np.unique(y)[:5].tolist()}"
        )
    medians = _finite(features).median().fillna(0.0)
    x = _filled(features, medians)
    # Standardised columns need few steps; scikit-learn's 100 are not always enough where columns repeat each other.
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    weigh = {"logisticregression__sample_weight": weights}
    fitted = {LOGISTIC_REGRESSION: logistic.fit(x.to_numpy(), y, **weigh)}
    known = recency if recency in features else None
    if known is not None:
        rule = make_pipeline(StandardScaler(), LogisticRegression())
        fitted = {RECENCY_RULE: rule.fit(_logarithm(x, known), y, **weigh), **fitted}
    rate = float(np.average(y, weights=weights))
    return Baselines(tuple(features.columns), known, medians, rate, fitted)


def _logarithm(x: pd.DataFrame, recency: str | None) -> NDArray[np.float64]:
    return np.asarray(np.log1p(x[[recency]].to_numpy().clip(min=0.0)))


def _filled(features: pd.DataFrame, medians: pd.Series) -> pd.DataFrame:
    return _finite(features).fillna(medians).clip(-_LARGEST, _LARGEST)


def _finite(features: pd.DataFrame) -> pd.DataFrame:
    x = features.astype(np.float64)
    return x.where(np.isfinite(x))
