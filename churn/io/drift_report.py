"""The drift report: one HTML page with the verdict in words, the distributions that moved, and every figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn.core.categories import CategoryDrift
from churn.core.drift import DriftPolicy, DriftReference, DriftReport, FeatureDrift, comparable
from churn.core.drift_reference import Categories, Numbers, read_categories
from churn.core.live_requests import LiveRequests
from churn.io.page import figure, render

_ALSO_DRAWN = 12
"""Columns drawn beside those that have drifted: the farthest of the others, to see what usual looks like."""
_BINS = 24
_MOST_BARS = 24
_WIDTH, _HEIGHT = 300.0, 104.0
"""Of a drawing, in units of its viewBox."""


Counts = NDArray[np.int64] | NDArray[np.intp]


@dataclass(frozen=True)
class Drawing:
    """Two overlaid histograms: bars of the reference, and the outline of now over them."""

    feature: FeatureDrift
    bars: tuple[tuple[float, float, float, float], ...]
    """x, y, width, height of each."""
    outline: str
    """Points of a polyline."""
    ticks: tuple[tuple[float, str, str], ...]
    """x, text, and how it is anchored."""


def drift_page(
    facts: Mapping[str, Any],
    found: DriftReport,
    kinds: CategoryDrift | None,
    reference: DriftReference,
    table: pd.DataFrame,
    *,
    policy: DriftPolicy,
    elapsed_days: float,
    enough: int,
    requests: LiveRequests | None = None,
) -> str:
    """The page; equal input gives equal text.

    ``facts``: as_of, model_version, reference (its date), history_days, alarm, nights. ``enough``: nights of alarm in a
    row after which a retraining is asked for. ``requests``: what the API was asked, where it was.
    """
    moved = found.drifted_features
    others = sorted((f for f in found.features if not f.drifted), key=lambda f: (-(f.ks or f.js or 0.0), f.name))
    drawn = [
        drawing
        for f in (*moved, *others[:_ALSO_DRAWN])
        if (drawing := _drawing(f, reference.columns[f.name], table[f.name], policy, elapsed_days)) is not None
    ]
    return render(
        "drift.html",
        facts=facts,
        found=found,
        moved=moved,
        ordered=(*moved, *others),
        kinds=kinds,
        drawn=drawn,
        policy=policy,
        elapsed_days=round(elapsed_days),
        ages=[name for name in policy.ages if name in reference.columns],
        enough=enough,
        requests=requests,
        width=_WIDTH,
        height=_HEIGHT,
    )


def _drawing(
    feature: FeatureDrift, then: Numbers | Categories, column: pd.Series, policy: DriftPolicy, elapsed_days: float
) -> Drawing | None:
    if isinstance(then, Categories):
        now_counts = read_categories(column).counts
        names = sorted({*then.counts, *now_counts}, key=lambda n: -(then.counts.get(n, 0) + now_counts.get(n, 0)))
        names = names[:_MOST_BARS]
        before, now = (np.array([c.get(n, 0) for n in names], np.int64) for c in (then.counts, now_counts))
        return None if not before.sum() or not now.sum() else _drawn(feature, before, now, names)
    values, _ = comparable(feature.name, column, policy, elapsed_days)
    if not len(values) or not len(then.values):
        return None
    both = np.concatenate([then.values, values])
    distinct = np.unique(both) if then.discrete else both
    if len(distinct) <= _MOST_BARS:
        before, now = (
            np.searchsorted(v, distinct, side="right") - np.searchsorted(v, distinct) for v in (then.values, values)
        )
        return _drawn(feature, before, now, [figure(v) for v in distinct])
    # A long tail would leave no room for the rest: its end is drawn within the last bin, and said.
    low, high = np.quantile(both, [0.005, 0.98])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    before, now = (np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] for v in (then.values, values))
    least, most = "≤ " * bool(both.min() < low), "≥ " * bool(both.max() > high)
    return _drawn(feature, before, now, [f"{least}{figure(edges[0])}", f"{most}{figure(edges[-1])}"])


def _drawn(feature: FeatureDrift, before: Counts, now: Counts, labels: Sequence[str]) -> Drawing:
    p, q = before / before.sum(), now / now.sum()
    top, step = max(p.max(), q.max()), _WIDTH / len(p)
    gap = min(1.0, step / 8)
    y, z = (_HEIGHT * (1 - share / top) for share in (p, q))
    bars = tuple((i * step + gap / 2, y[i], step - gap, _HEIGHT - y[i]) for i in range(len(p)))
    points = [(0.0, _HEIGHT)]
    for i, level in enumerate(z):
        points += [(i * step, level), ((i + 1) * step, level)]
    points.append((_WIDTH, _HEIGHT))
    outline = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    return Drawing(feature, bars, outline, _ticks(labels, len(p), step))


def _ticks(labels: Sequence[str], bars: int, step: float) -> tuple[tuple[float, str, str], ...]:
    if len(labels) < bars or bars > 8 or max(map(len, labels)) * 6.5 > step:  # only the ends have room
        return ((0.0, labels[0], "start"), (_WIDTH, labels[-1], "end"))
    return tuple(((i + 0.5) * step, label, "middle") for i, label in enumerate(labels))
