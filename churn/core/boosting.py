"""Boosted trees (XGBoost), grown together in all folds so that the number of rounds is a cross-validated choice too."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from churn.core.arrays import Floats
from churn.core.calibration import log_loss

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows to fit on, rows to predict."""

_BLOCK = 25
"""Rounds between two looks at the log loss."""
_PATIENCE = 4
"""Looks without a better log loss before growing stops."""


@dataclass(frozen=True)
class BoostingParameters:
    """XGBoost's names. Shallow and regularised: on this kind of data its own defaults overfit badly."""

    max_depth: int = 3
    min_child_weight: float = 2.0
    subsample: float = 0.8
    colsample_bytree: float = 0.6
    reg_lambda: float = 5.0
    learning_rate: float = 0.05
    rounds: int = 1_000
    """At most."""

    def for_xgboost(self, seed: int) -> dict[str, Any]:
        given = asdict(self)
        del given["rounds"]
        return given | {
            "objective": "binary:logistic",
            "tree_method": "hist",
            # More threads would add up histograms in another order, and the same seed would give another model.
            "nthread": 1,
            "seed": seed,
            # XGBoost draws from one stream a thread, which boosters that share a thread would take from each other.
            "seed_per_iteration": True,
        }


def fit_boosting(
    x: Floats, churned: NDArray[np.int64], parameters: BoostingParameters, seed: int, weights: Floats | None = None
) -> xgb.Booster:
    """A booster of ``parameters.rounds`` rounds on raw values (n, k), NaN for missing, and labels 0/1 (n,).

    ``weights`` (n,): how many rows each stands for.
    """
    return xgb.train(parameters.for_xgboost(seed), xgb.DMatrix(x, churned, weight=weights), parameters.rounds)


def fit_boosting_log_odds(
    x: Floats, churned: NDArray[np.int64], held: Floats, parameters: BoostingParameters, seed: int
) -> Floats:
    """Log-odds (m,) of the rows ``held`` (m, k) by trees fitted on ``x`` (n, k)."""
    margin = fit_boosting(x, churned, parameters, seed).predict(xgb.DMatrix(held), output_margin=True)
    return np.asarray(margin, dtype=np.float64)


class FoldedBoosting:
    """Out-of-fold log-odds of boosted trees for any parameters, on folds that are prepared once."""

    def __init__(
        self,
        x: Floats,
        churned: NDArray[np.int64],
        folds: Sequence[Fold],
        seed: int,
        pool: Executor,
        weights: Floats | None = None,
    ) -> None:
        self._churned, self._folds, self._seed, self._pool = churned, folds, seed, pool
        self._weights = weights
        self._data = [
            (
                xgb.DMatrix(x[fit], churned[fit], weight=None if weights is None else weights[fit]),
                xgb.DMatrix(x[held], churned[held]),
            )
            for fit, held in folds
        ]

    def out_of_fold(self, parameters: BoostingParameters, beside: Floats) -> tuple[float, int, Floats]:
        """Log loss, rounds and log-odds (n,) at the best number of rounds.

        The log loss is the lower one of the trees alone and of their mean with ``beside``, the log-odds (n,) of
        another model: trees are wanted for what they add to it.
        """
        given = parameters.for_xgboost(self._seed)
        boosters = [xgb.Booster(given, list(pair)) for pair in self._data]
        best, best_rounds, best_log_odds = np.inf, 0, np.zeros(len(self._churned))
        for rounds in range(_BLOCK, parameters.rounds + 1, _BLOCK):
            log_odds = np.empty(len(self._churned))
            grown = self._pool.map(_grow, boosters, self._data, [rounds - _BLOCK] * len(boosters))
            for (_, held), margin in zip(self._folds, grown, strict=True):
                log_odds[held] = margin
            loss = min(self._loss(log_odds), self._loss((log_odds + beside) / 2))
            if loss < best:
                best, best_rounds, best_log_odds = loss, rounds, log_odds
            elif rounds - best_rounds >= _PATIENCE * _BLOCK:
                break
        return float(best), best_rounds, best_log_odds

    def _loss(self, log_odds: Floats) -> float:
        return log_loss(self._churned, log_odds, self._weights)


def _grow(booster: xgb.Booster, data: tuple[xgb.DMatrix, xgb.DMatrix], rounds: int) -> Floats:
    """Add a block of rounds; the log-odds of the held rows."""
    fit, held = data
    for i in range(rounds, rounds + _BLOCK):
        booster.update(fit, i)
    return np.asarray(booster.predict(held, output_margin=True), dtype=np.float64)
