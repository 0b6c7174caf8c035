"""The bounded, seeded search for the settings of both members, by cross-validated log loss (Optuna's TPE sampler).

Bergstra et al., Algorithms for Hyper-Parameter Optimization (2011).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from time import monotonic
from typing import TypeVar

import numpy as np
import optuna
from numpy.typing import NDArray

from churn.core.arrays import Floats
from churn.core.boosting import BoostingParameters, Fold, FoldedBoosting
from churn.core.calibration import log_loss
from churn.core.logistic import LogisticParameters, fit_logistic

P = TypeVar("P")
_QUIET_SECONDS = 2.0


@dataclass(frozen=True)
class Tuned:
    """The settings found, and the out-of-fold log-odds (n,) of ``curves`` and ``trees`` with them."""

    curves: LogisticParameters
    trees: BoostingParameters
    log_odds: Mapping[str, Floats]


def search(
    x: Floats,
    churned: NDArray[np.int64],
    folds: Sequence[Fold],
    weights: Floats | None = None,
    *,
    seed: int,
    trials: int,
    pool: Executor,
    progress: Callable[[str], None],
) -> Tuned:
    """Try the defaults first and ``trials`` settings in all, a third of them for the curves; at least one for each.

    Trials run one after the other, so that the same seed tries the same settings; folds run side by side in ``pool``.
    """
    for_curves = max(1, trials // 3)
    for_trees = max(1, trials - for_curves)
    say = _now_and_then(progress, for_curves + for_trees)
    curves = _best(_curves_by(x, churned, folds, weights, pool), _DEFAULT_CURVES, for_curves, seed, say)
    forest = FoldedBoosting(x, churned, folds, seed, pool, weights)
    trees = _best(_trees_by(forest, curves[2]), _DEFAULT_TREES, for_trees, seed, say)
    return Tuned(curves[1], trees[1], {"curves": curves[2], "trees": trees[2]})


_DEFAULT_CURVES = asdict(LogisticParameters())
_DEFAULT_TREES = {k: v for k, v in asdict(BoostingParameters()).items() if k not in ("learning_rate", "rounds")}


def _curves_by(
    x: Floats, churned: NDArray[np.int64], folds: Sequence[Fold], weights: Floats | None, pool: Executor
) -> "Attempt[LogisticParameters]":
    def attempt(trial: optuna.Trial) -> tuple[float, LogisticParameters, Floats]:
        given = LogisticParameters(
            C=trial.suggest_float("C", 1e-3, 3.0, log=True),
            bend=trial.suggest_float("bend", 0.03, 2.0, log=True),
            knots=trial.suggest_int("knots", 2, 18, step=4),
        )

        def held_out(fold: Fold) -> Floats:
            fit, held = fold
            weigh = None if weights is None else weights[fit]
            return fit_logistic(x[fit], churned[fit], given, weigh).log_odds(x[held])

        log_odds = np.empty(len(x))
        for (_, held), z in zip(folds, pool.map(held_out, folds), strict=True):
            log_odds[held] = z
        return log_loss(churned, log_odds, weights), given, log_odds

    return attempt


def _trees_by(forest: FoldedBoosting, beside: Floats) -> "Attempt[BoostingParameters]":
    def attempt(trial: optuna.Trial) -> tuple[float, BoostingParameters, Floats]:
        given = BoostingParameters(
            max_depth=trial.suggest_int("max_depth", 1, 6),
            min_child_weight=trial.suggest_float("min_child_weight", 0.5, 30.0, log=True),
            subsample=trial.suggest_float("subsample", 0.5, 1.0),
            colsample_bytree=trial.suggest_float("colsample_bytree", 0.2, 1.0),
            reg_lambda=trial.suggest_float("reg_lambda", 0.5, 50.0, log=True),
        )
        loss, rounds, log_odds = forest.out_of_fold(given, beside)
        return loss, replace(given, rounds=rounds), log_odds

    return attempt


Attempt = Callable[[optuna.Trial], tuple[float, P, Floats]]
"""Asks for settings; gives the log loss, the settings and the out-of-fold log-odds (n,)."""


def _best(
    attempt: "Attempt[P]", first: Mapping[str, float], trials: int, seed: int, say: Callable[[float], None]
) -> tuple[float, P, Floats]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Half of the trials look around before the sampler begins to conclude.
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(1, trials // 2)))
    study.enqueue_trial(dict(first))
    best: tuple[float, P, Floats] | None = None
    for _ in range(trials):
        trial = study.ask()
        found = attempt(trial)
        study.tell(trial, found[0])
        best = found if best is None or found[0] < best[0] else best
        say(best[0])
    assert best is not None  # there is always one trial
    return best


def _now_and_then(progress: Callable[[str], None], trials: int) -> Callable[[float], None]:
    done, last = 0, monotonic()

    def say(loss: float) -> None:
        nonlocal done, last
        done += 1
        if monotonic() - last >= _QUIET_SECONDS:
            last = monotonic()
            progress(f"tried {done} of {trials} settings, log loss {loss:.4f}")

    return say
