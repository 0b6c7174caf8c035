"""From a numeric table and 0/1 labels to a :class:`~churn.core.model.ChurnModel`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import ArrayLike, NDArray
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from churn.core.evaluation import Economics, evaluate
from churn.core.model import ChurnModel, ModelCard, importance
from churn.errors import BadInput

FOLDS = 5

PARAMETERS: Mapping[str, Any] = {
    # Shallow, slow and strongly regularised: on this kind of data default trees overfit badly.
    "n_estimators": 300,
    "learning_rate": 0.03,
    "max_depth": 3,
    "min_child_weight": 10,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
    "reg_lambda": 10.0,
    "objective": "binary:logistic",
    "tree_method": "hist",
    "n_jobs": 1,  # more threads add up histograms in another order: the same seed would give another model
}


def train(
    features: pd.DataFrame,
    churned: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    seed: int = 42,
    economics: Economics | None = None,
) -> ChurnModel:
    """Fit on ``features`` (n, k), any numeric columns, with labels 0/1 (n,) and optionally a customer per row (n,).

    Cross-validated in five stratified folds that never split a customer; the model is then fitted on all rows.
    Same inputs and seed give the same model. Raises BadInput where nothing can be learnt.
    """
    economics = economics or Economics()
    x, y, customers = _checked(features, churned, groups)
    pipeline = _pipeline(list(x.columns), seed)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    out_of_fold = cross_val_predict(pipeline, x, y, groups=customers, cv=folds, method="predict_proba")[:, 1]
    booster: xgb.Booster = pipeline.fit(x, y).named_steps["trees"].get_booster()
    card = ModelCard(
        features=tuple(x.columns),
        threshold=economics.threshold,
        family="xgboost",
        parameters=dict(PARAMETERS),
        rows=len(x),
        customers=len(np.unique(customers)),
        churn_rate=float(y.mean()),
        cross_validation=evaluate(y, out_of_fold, economics.threshold),
        importance=importance(booster, list(x.columns)),
        seed=seed,
    )
    return ChurnModel(booster, card)


def _checked(
    features: pd.DataFrame, churned: ArrayLike, groups: ArrayLike | None
) -> tuple[pd.DataFrame, NDArray[np.int64], NDArray[Any]]:
    y = np.asarray(churned)
    customers = np.arange(len(features)) if groups is None else np.asarray(groups)
    if not len(features) == len(y) == len(customers):
        raise BadInput(f"{len(features)} feature rows, {len(y)} labels, {len(customers)} customers: they must match")
    if text := [str(c) for c in features.columns if not pd.api.types.is_numeric_dtype(features[c])]:
        raise BadInput(f"the columns {text} are not numeric; leave them out or encode them")
    if not np.isin(y, (0, 1)).all():
        raise BadInput(f"labels must be 0 or 1, found {sorted(set(y.tolist()) - {0, 1})[:5]}")
    fewest = min(len(np.unique(customers[y == label])) for label in (0, 1))
    if fewest < FOLDS:
        raise BadInput(
            f"{int(y.sum())} of {len(y)} rows churned, so that one class has {fewest} customers; {FOLDS} are needed: "
            "use a longer log, a longer horizon or more snapshots"
        )
    return features.astype(np.float64), y.astype(np.int64), customers


def _finite(values: "pd.DataFrame | NDArray[Any]") -> NDArray[np.float64]:
    rows = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(rows), rows, np.nan)


def _pipeline(columns: list[str], seed: int) -> Pipeline:
    """Columns by name, infinities as missing, then trees. Scaling is left out: trees do not see it."""
    prepare = ColumnTransformer([("finite", FunctionTransformer(_finite), columns)])
    return Pipeline([("prepare", prepare), ("trees", xgb.XGBClassifier(**PARAMETERS, random_state=seed))])
