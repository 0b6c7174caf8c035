"""An additive logistic regression as it is stored and evaluated: one piecewise linear curve per feature.

What a feature adds to the log-odds can be drawn, read and added up: Hastie & Tibshirani, Generalized Additive Models
(1990). Fitting is in :mod:`churn.core.logistic`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from churn.core.arrays import Floats

LIMIT = 12.0
"""Largest log-odds of either sign: one in 160,000. Beyond it a sum of curves is extrapolation, not knowledge."""


_LARGEST = 1e38
"""XGBoost works in single precision, where more than 3.4e38 is infinite."""


def finite(x: Floats) -> Floats:
    """The values with NaN for missing: infinities are missing, what single precision cannot hold is cut off."""
    if np.isfinite(x).all() and np.abs(x).max(initial=0.0) <= _LARGEST:
        return x
    return np.clip(np.where(np.isfinite(x), x, np.nan), -_LARGEST, _LARGEST)


def signed_log(x: Floats) -> Floats:
    """sign(x) · log(1 + |x|): counts on a scale where a ratio is a difference. NaN stays NaN."""
    return np.sign(x) * np.log1p(np.abs(x))


@dataclass(frozen=True)
class Curve:
    """What one feature adds to the log-odds, against the average customer of the training."""

    knots: tuple[float, ...]
    """Ascending, on the signed-log scale; none for a feature that says nothing. Level beyond the first and last."""
    values: tuple[float, ...]
    """Log-odds at each knot."""
    missing: float
    """Log-odds where the feature is missing."""

    def at(self, x: Floats) -> Floats:
        """Log-odds (n,) at raw values (n,)."""
        if not self.knots:
            return np.zeros(len(x))
        return np.where(np.isnan(x), self.missing, np.interp(signed_log(x), self.knots, self.values))


@dataclass(frozen=True)
class Curves:
    """One curve per feature, in the order of the columns, and the log-odds of the average customer."""

    intercept: float
    curves: tuple[Curve, ...]

    def contributions(self, x: Floats) -> Floats:
        """What each feature adds (n, k) at raw values (n, k); NaN is missing.

        Where the sum would go beyond LIMIT, all of a row's contributions are scaled down alike.
        """
        added = np.empty(x.shape)
        for j, curve in enumerate(self.curves):
            added[:, j] = curve.at(x[:, j])
        total = added.sum(axis=1)
        capped = np.clip(total, -LIMIT - self.intercept, LIMIT - self.intercept)
        scale = np.divide(capped, total, out=np.ones(len(x)), where=total != 0)
        scaled: Floats = added * scale[:, None]
        return scaled

    def log_odds(self, x: Floats) -> Floats:
        """Log-odds (n,) at raw values (n, k)."""
        total: Floats = self.contributions(x).sum(axis=1) + self.intercept
        return total

    def as_json(self) -> dict[str, Any]:
        return {"intercept": self.intercept, "curves": [vars(c) for c in self.curves]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        def curve(c: Mapping[str, Any]) -> Curve:
            return Curve(_floats(c["knots"]), _floats(c["values"]), float(c["missing"]))

        return cls(float(data["intercept"]), tuple(map(curve, data["curves"])))


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(map(float, values))
