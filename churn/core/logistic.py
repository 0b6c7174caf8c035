"""Fits the additive logistic regression: ridge-regularised, linear on the log scale unless the data ask for a bend."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from churn.core.arrays import Floats
from churn.core.curves import LIMIT, Curve, Curves, signed_log

_STEPS = 400


@dataclass(frozen=True)
class LogisticParameters:
    """How much a curve may bend."""

    C: float = 0.1
    """Inverse strength of the ridge penalty on standardised columns."""
    bend: float = 0.3
    """Scale of the hinge columns against the linear ones: the smaller, the more a bend costs."""
    knots: int = 10
    """Hinges per feature, at equal shares of the rows; fewer where there are fewer distinct values."""


def fit_logistic(
    x: Floats, churned: NDArray[np.int64], parameters: LogisticParameters, weights: Floats | None = None
) -> Curves:
    """Curves from raw values (n, k), NaN for missing, labels 0/1 (n,), and how many rows each stands for (n,).

    Each feature brings its signed log x, hinges max(0, x - knot), and whether it is missing where some are. Knots lie
    where the rows at hand are, however much these weigh.
    """
    columns = [_Column.of(x[:, j], parameters) for j in range(x.shape[1])]
    widths = [len(c.weights(parameters.bend)) for c in columns]
    if sum(widths) == 0:  # nothing varies: the churn rate is all there is to say
        each = np.ones(len(churned)) if weights is None else weights
        rate = (each @ churned + 0.5) / (each.sum() + 1)
        return Curves(float(np.log(rate / (1 - rate))), tuple(Curve((), (), 0.0) for _ in columns))
    starts = np.cumsum([0, *widths])
    # Single precision: a third of the time and half of the memory, and the same curves to the fourth digit.
    design = np.empty((len(x), starts[-1]), np.float32)
    mean, scale = np.empty(starts[-1]), np.empty(starts[-1])
    for j, column in enumerate(columns):
        at = slice(starts[j], starts[j + 1])
        basis = column.basis(x[:, j])
        mean[at], spread = _moments(basis, weights)
        scale[at] = column.weights(parameters.bend) / np.where(spread > 1e-12, spread, np.inf)
        design[:, at] = (basis - mean[at]) * scale[at]
    found = LogisticRegression(C=parameters.C, max_iter=_STEPS, tol=1e-4).fit(design, churned, weights)
    slopes = found.coef_[0].astype(np.float64) * scale
    curves = [c.curve(slopes[i:k], mean[i:k]) for c, i, k in zip(columns, starts[:-1], starts[1:], strict=True)]
    return Curves(float(np.clip(found.intercept_[0], -LIMIT, LIMIT)), tuple(curves))


def _moments(basis: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column."""
    if weights is None:
        return basis.mean(axis=0), basis.std(axis=0)
    share = weights / weights.sum()
    mean = share @ basis
    return mean, np.sqrt(share @ (basis - mean) ** 2)


@contextmanager
def stopping_early() -> Iterator[None]:
    """Around fits, and around the threads they run in (warning filters belong to the process).

    A fit stopped after so many steps is a little more regularised than asked for; it is cross-validated as it is.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@dataclass(frozen=True)
class _Column:
    """What a feature looks like in the design: nothing at all where it does not vary."""

    low: float
    high: float
    hinges: tuple[float, ...]
    median: float
    """Where a missing value is put, on the log scale."""
    gaps: bool
    """Some values are missing and some are not."""

    @classmethod
    def of(cls, x: Floats, parameters: LogisticParameters) -> "_Column":
        seen = signed_log(x[~np.isnan(x)])
        if len(seen) == 0 or seen.min() == seen.max():
            return cls(0.0, 0.0, (), 0.0, gaps=0 < len(seen) < len(x))
        shares = np.linspace(0, 1, parameters.knots + 2)[1:-1]
        at = np.unique(np.quantile(seen, shares, method="lower"))  # values that occur: no rounding between equal ones
        low, high = float(seen.min()), float(seen.max())
        inner = tuple(float(v) for v in at if low < v < high)
        return cls(low, high, inner, float(np.quantile(seen, 0.5, method="lower")), gaps=len(seen) < len(x))

    @property
    def varies(self) -> bool:
        return self.low < self.high

    def basis(self, x: Floats) -> Floats:
        """Columns of the design (n, m)."""
        missing = np.isnan(x)
        columns = []
        if self.varies:
            log = np.where(missing, self.median, signed_log(x))
            columns = [log, *(np.maximum(log - knot, 0.0) for knot in self.hinges)]
        if self.gaps:
            columns.append(missing.astype(np.float64))
        return np.stack(columns, axis=1) if columns else np.empty((len(x), 0))

    def weights(self, bend: float) -> Floats:
        linear = [1.0, *[bend] * len(self.hinges)] if self.varies else []
        return np.array([*linear, *([1.0] if self.gaps else [])])

    def curve(self, slopes: Floats, mean: Floats) -> Curve:
        """The feature's part of the fitted sum, less its mean over the training rows."""
        average = float(slopes @ mean)
        if not self.varies:
            # Only being missing says something: the same at every value, and something else without one.
            if not self.gaps:
                return Curve((), (), 0.0)
            return Curve((0.0,), (-average,), float(slopes[-1]) - average)

        def value(at: float) -> float:
            return float(slopes[0] * at + sum(s * max(at - k, 0.0) for s, k in zip(slopes[1:], self.hinges))) - average

        knots = (self.low, *self.hinges, self.high)
        missing = value(self.median) + (float(slopes[-1]) if self.gaps else 0.0)
        return Curve(knots, tuple(map(value, knots)), missing)
