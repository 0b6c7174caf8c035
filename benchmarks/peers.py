"""The methods that are compared on one table: how each learns from some customers and scores others.

Every choice a method makes (settings, rounds) is made on the customers it learns from.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from churn.core.reference_protocol import recipe
from churn.core.training import train

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Method = Callable[[pd.DataFrame, Labels, pd.DataFrame], Floats]
"""Learns from a table and its labels 0/1, and scores a second table (n,)."""

OURS = "this project"
LOGISTIC, XGBOOST, BLEND, HISTOGRAM = "logistic on logs", "tuned XGBoost", "their rank blend", "HistGradientBoosting"
REFERENCE_CORE, REFERENCE_ALL = "reference recipe, core columns", "reference recipe, all columns"
_SEED = 42
_INNER_FOLDS = 3
_ROUNDS, _PATIENCE = 1_500, 40


def ours(trials: int) -> Method:
    """``churn.core.training.train``, as it comes."""

    def method(x: pd.DataFrame, y: Labels, rows: pd.DataFrame) -> Floats:
        return train(x, y, seed=_SEED, trials=trials).predict_proba(rows)

    return method


def reference(columns: Sequence[str]) -> Method:
    """The reference write-up's pipeline: XGBoost as it comes, behind a scaler."""

    def method(x: pd.DataFrame, y: Labels, rows: pd.DataFrame) -> Floats:
        fitted = recipe(columns).fit(x[list(columns)], y)
        return np.asarray(fitted.predict_proba(rows[list(columns)])[:, 1], dtype=np.float64)

    return method


def logistic_on_logs(x: pd.DataFrame, y: Labels, rows: pd.DataFrame) -> Floats:
    """Logistic regression on sign(x) log(1 + |x|), standardised; its strength by five inner folds' log loss."""
    model = make_pipeline(
        FunctionTransformer(_signed_log),
        StandardScaler(),
        LogisticRegressionCV(
            Cs=np.logspace(-4, 1, 11), cv=StratifiedKFold(5, shuffle=True, random_state=_SEED), scoring="neg_log_loss",
            max_iter=2_000, l1_ratios=(0,), use_legacy_attributes=False,
        ),
    )  # fmt: skip
    return np.asarray(model.fit(x.to_numpy(float), y).predict_proba(rows.to_numpy(float))[:, 1])


def tuned_xgboost(trials: int) -> Method:
    """Optuna's sampler over ``trials`` settings, each with early stopping, by the log loss of three inner folds."""

    def method(x: pd.DataFrame, y: Labels, rows: pd.DataFrame) -> Floats:
        known = xgb.DMatrix(x, y)
        inner = list(StratifiedKFold(_INNER_FOLDS, shuffle=True, random_state=_SEED).split(x, y))

        def loss(trial: optuna.Trial) -> float:
            found: Any = xgb.cv(
                _settings(trial), known, _ROUNDS, folds=inner, early_stopping_rounds=_PATIENCE, as_pandas=False
            )
            losses = found["test-logloss-mean"]
            trial.set_user_attr("rounds", len(losses))
            return float(losses[-1])

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=_SEED))
        study.optimize(loss, n_trials=trials)
        best = study.best_trial
        booster = xgb.train(_settings(optuna.trial.FixedTrial(best.params)), known, best.user_attrs["rounds"])
        return np.asarray(booster.predict(xgb.DMatrix(rows)), dtype=np.float64)

    return method


def histogram_boosting(x: pd.DataFrame, y: Labels, rows: pd.DataFrame) -> Floats:
    """scikit-learn's, as it comes."""
    fitted = HistGradientBoostingClassifier(random_state=_SEED).fit(x, y)
    return np.asarray(fitted.predict_proba(rows)[:, 1])


def rank_blend(*scores: Floats) -> Floats:
    """Mean of the ranks among the scored rows, in (0, 1]."""
    return np.asarray(np.mean([rankdata(s) / len(s) for s in scores], axis=0))


def _settings(trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    return {
        "objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", "seed": _SEED,
        "nthread": 1,  # more only fight with each other where cores are busy
        "max_depth": trial.suggest_int("max_depth", 2, 8),
        "eta": trial.suggest_float("eta", 0.03, 0.2, log=True),
        "min_child_weight": trial.suggest_float("min_child_weight", 1, 30, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1),
        "lambda": trial.suggest_float("lambda", 0.1, 50, log=True),
        "gamma": trial.suggest_float("gamma", 1e-3, 3, log=True),
    }  # fmt: skip


def _signed_log(x: Floats) -> Floats:
    return np.asarray(np.sign(x) * np.log1p(np.abs(x)))
