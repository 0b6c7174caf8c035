"""How far two samples are apart: Kolmogorov–Smirnov, population stability index, Jensen–Shannon.

Definitions are those of Evidently's tests of the same names, except for the base of the logarithm of Jensen–Shannon
(2 here: the distance is between 0 and 1) and for the bins of features with more than 20 distinct values.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, kstwo, norm

from churn.core.arrays import Floats

_SMALL_SHARE, _FAR_SMALLER = 1e-4, 1e6
_FEWEST_EXPECTED = 5
"""In a cell of a chi-squared test, by the usual rule."""


def ks_statistic(before: Floats, now: Floats) -> float:
    """The largest gap between two empirical distribution functions; both samples rising, neither empty.

    That of ``scipy.stats.ks_2samp``, for a reference that was sorted once: the gap is largest at, or just below, a
    value of ``now``. Of equal values the last (at) and the first (just below) count; the others give less.
    """
    m, n = len(before), len(now)
    step = np.arange(n + 1) / n
    at = step[1:] - np.searchsorted(before, now, side="right") / m
    below = np.searchsorted(before, now, side="left") / m - step[:-1]
    return float(max(at.max(), below.max()))


def ks_p_values(ks: ArrayLike, before: ArrayLike, now: ArrayLike) -> Floats:
    """Asymptotic two-sided p-values, as ``scipy.stats.ks_2samp(method="asymp")`` gives them; arrays of one shape.

    ``before`` and ``now`` are the sizes of the samples. With ties the p-values are too large, never too small.
    """
    m, n = np.asarray(before, dtype=np.float64), np.asarray(now, dtype=np.float64)
    found = kstwo.sf(np.asarray(ks, dtype=np.float64), np.maximum(np.round(m * n / (m + n)), 1))
    return np.clip(np.asarray(found, dtype=np.float64), 0, 1)


def psi(before: Floats, now: Floats) -> float:
    """Σ (p - q) ln(p / q) over shares (k,) that add up to 1. An empty bin counts as a share of 0.0001 or less."""
    p, q = _filled(before), _filled(now)
    return float(np.sum((p - q) * np.log(p / q)))


def js_distance(before: Floats, now: Floats) -> float:
    """Jensen–Shannon distance, base 2, between shares (k,): 0 where alike, 1 where nothing is common."""
    found = float(jensenshannon(before, now, 2))
    return found if found == found else 0.0  # of equal shares, rounding may leave the root of less than nothing


def missing_p_values(before: ArrayLike, rows_before: int, now: ArrayLike, rows_now: int) -> Floats:
    """Two-sided p-values that missing counts (k,) come from the same share; pooled z with continuity correction."""
    a, b = np.asarray(before, dtype=np.float64), np.asarray(now, dtype=np.float64)
    pooled = (a + b) / (rows_before + rows_now)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / rows_before + 1 / rows_now))
    gap = np.abs(a / rows_before - b / rows_now) - 0.5 * (1 / rows_before + 1 / rows_now)
    z = np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 0)
    return np.asarray(np.minimum(1, 2 * norm.sf(np.maximum(z, 0))), dtype=np.float64)


def counts_p_value(before: NDArray[np.int64], now: NDArray[np.int64]) -> float:
    """Chi-squared p-value that counts (k,) by category come from the same shares; rare categories are put together."""
    smaller = min(before.sum(), now.sum())
    if smaller == 0:
        return 1.0
    table = np.stack([before, now]).astype(np.float64)
    rare = table.sum(axis=0) * smaller / table.sum() < _FEWEST_EXPECTED
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    return float(chi2_contingency(table, correction=False).pvalue) if table.shape[1] > 1 else 1.0


def _filled(shares: Floats) -> Floats:
    smallest = shares[shares > 0].min()
    return np.where(shares > 0, shares, smallest / _FAR_SMALLER if smallest <= _SMALL_SHARE else _SMALL_SHARE)
