"""Turns members' out-of-fold log-odds into one calibrated probability: their mean, stretched and shifted.

An affine map of log-odds, so that what each feature adds stays a sum: Platt, Probabilistic Outputs for Support Vector
Machines (1999). All members weigh alike: weights fitted to out-of-fold log-odds favour the member that was searched
hardest, whose folds flatter it (nested on the public panel: log loss 0.1560 with fitted weights, 0.1556 equal).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from churn.core.arrays import Floats

_WIDE = 50.0
"""Log-odds: no intercept is as far off."""


def log_losses(churned: NDArray[np.int64], log_odds: Floats) -> Floats:
    """Negative log-likelihood of each row (n,), exact however extreme: one confident mistake is not forgiven."""
    return -np.asarray(log_expit(np.where(churned == 1, log_odds, -log_odds)))


def log_loss(churned: NDArray[np.int64], log_odds: Floats, weights: Floats | None = None) -> float:
    """Mean of :func:`log_losses`, weighted where rows stand for others."""
    return float(np.average(log_losses(churned, log_odds), weights=weights))


@dataclass(frozen=True)
class Calibration:
    """log-odds = intercept + sum of weight · member's log-odds."""

    intercept: float
    weights: tuple[float, ...]

    def log_odds(self, members: Sequence[Floats]) -> Floats:
        """(n,) from each member's (n,)."""
        total = np.full(len(members[0]), self.intercept)
        for weight, member in zip(self.weights, members, strict=True):
            total += weight * member
        return total


def fit_calibration(
    members: Sequence[Floats], churned: NDArray[np.int64], weights: Floats | None = None
) -> Calibration:
    """Maximum likelihood with a slope of at least 0; ``members`` hold out-of-fold log-odds (n,).

    Labels are softened as Platt does, (N+ + 1)/(N+ + 2) and 1/(N- + 2): separable data get a finite slope.
    """
    from scipy.optimize import minimize  # here: the API's image applies calibrations and leaves this out

    z = np.mean(members, axis=0)
    rows = float(len(churned) if weights is None else weights.sum())
    positive = float(churned.sum() if weights is None else weights @ churned)
    target = np.where(churned == 1, (positive + 1) / (positive + 2), 1 / (rows - positive + 2))
    each = 1.0 if weights is None else weights / weights.mean()
    design = np.stack([np.ones(len(z)), z], axis=1)

    def loss(theta: Floats) -> tuple[float, Floats]:
        at = design @ theta
        value = -np.mean(each * (target * log_expit(at) + (1 - target) * log_expit(-at)))
        return float(value), design.T @ (each * (expit(at) - target)) / len(z)

    intercept, slope = minimize(loss, [0.0, 1.0], jac=True, method="L-BFGS-B", bounds=[(None, None), (0.0, None)]).x
    return Calibration(float(intercept), (float(slope) / len(members),) * len(members))


def centred(calibration: Calibration, log_odds: Floats, rate: float, weights: Floats | None) -> Calibration:
    """Its intercept moved, so that rows of these ``log_odds`` (n,) churn at ``rate`` on average.

    For members that were fitted on more rows than the calibration was: they err less, spread less, and their mean
    probability is too low. That they have seen the outcomes of these rows moves a mean little, where rows are many:
    of a million, such trees said 2.59 % where 2.74 % was true, and 2.72 % moved so.
    """
    from scipy.optimize import brentq  # here: as above

    shift = brentq(lambda by: np.average(expit(log_odds + by), weights=weights) - rate, -_WIDE, _WIDE)
    return replace(calibration, intercept=calibration.intercept + float(shift))


def cross_fitted(
    members: Sequence[Floats],
    churned: NDArray[np.int64],
    held: Sequence[NDArray[np.int64]],
    weights: Floats | None = None,
) -> Floats:
    """Calibrated log-odds (n,), each fold's by a calibration of the other folds."""
    log_odds = np.empty(len(churned))
    for rows in held:
        others = np.ones(len(churned), np.bool_)
        others[rows] = False
        calibration = fit_calibration(
            [m[others] for m in members], churned[others], None if weights is None else weights[others]
        )
        log_odds[rows] = calibration.log_odds([m[rows] for m in members])
    return log_odds
