"""Additive curves compiled for one row: a search and a straight line per feature, in plain floats."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from operator import getitem

import numpy as np

from churn.core.curves import LIMIT, Curve, Curves, finite, signed_log
from churn.errors import ContractViolation

_Line = tuple[float, float, float]
"""slope, x0 and y0 of y = slope · (x - x0) + y0, as numpy.interp works it out."""

_EDGE = float(signed_log(finite(np.array([np.finfo(np.float64).max])))[0])
"""The furthest that a value gets on the signed-log scale."""


class CompiledCurves:
    """Gives :meth:`Curves.log_odds` of one row."""

    def __init__(self, curves: Curves) -> None:
        self._intercept = curves.intercept
        self._knots = [_bounds(c) for c in curves.curves]
        self._lines = [_lines(c) for c in curves.curves]

    def log_odds(self, row: Sequence[float]) -> float:
        x = np.array(row, dtype=np.float64)
        s = signed_log(x).tolist()
        added = self._added(s, s)
        total = float(added.sum())
        # A value that is missing or off the scale has made the sum NaN.
        if total != total:
            logs = signed_log(finite(x))
            added = self._added(logs.tolist(), np.nan_to_num(logs).tolist())
            total = float(added.sum())
        capped = min(max(total, -LIMIT - self._intercept), LIMIT - self._intercept)
        if capped != total:
            total = float((added * (capped / total)).sum())
        return total + self._intercept

    def _added(self, s: list[float], values: list[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """What each feature adds (k,): the line is found by ``s``, NaN for missing, and taken at ``values``."""
        lines = map(getitem, self._lines, map(bisect_right, self._knots, s))
        return np.array([slope * (v - x0) + y0 for (slope, x0, y0), v in zip(lines, values)])


def _bounds(curve: Curve) -> list[float]:
    """Where another line of :func:`_lines` begins. NaN sorts behind everything."""
    steps = np.diff([-_EDGE, *curve.knots, _EDGE])
    if not (np.isfinite([*curve.values, curve.missing]).all() and (steps[1:-1] > 0).all() and (steps >= 0).all()):
        raise ContractViolation(
            f"a curve that is not finite or not ascending from -{_EDGE:.1f} to {_EDGE:.1f}: {curve}"
        )
    return [-_EDGE, *curve.knots, math.nextafter(_EDGE, math.inf), math.inf]


def _lines(curve: Curve) -> list[_Line]:
    """One for each place between the bounds: off the scale, level, rising or falling …, level, off, missing."""
    off = (math.nan, 0.0, 0.0)
    if not curve.knots:
        return [off, (0.0, 0.0, 0.0), off, (0.0, 0.0, 0.0)]
    knots = list(zip(curve.knots, curve.values, strict=True))
    inner = [((y1 - y0) / (x1 - x0), x0, y0) for (x0, y0), (x1, y1) in pairwise(knots)]
    first, last, missing = ((0.0, 0.0, y) for y in (curve.values[0], curve.values[-1], curve.missing))
    return [off, first, *inner, last, off, missing]
