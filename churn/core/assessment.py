"""A model on a hold-out: every metric with its interval, next to baselines, by segment, in money."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from churn.core.arrays import Floats
from churn.core.evaluation import THRESHOLDS, Economics, checked, profit_curve
from churn.core.reliability import CalibrationBin, calibration_bins, ece_by_chance
from churn.core.resampling import Estimate, customer_weights, estimate, estimate_calibration_error, indexed
from churn.core.weighted_metrics import Ranking, Tally, scores
from churn.errors import BadInput

TENURES = ("under 30 days", "30 to 90 days", "90 days to a year", "over a year")
PLANS = ("free", "paid")
_UNKNOWN = "unknown"

_PAIRED = ("roc_auc", "log_loss", "profit")
_OF_A_SEGMENT = ("roc_auc", "log_loss", "ece", "profit")

_Key = tuple[str, ...]
_MODEL: _Key = ("model",)


@dataclass(frozen=True)
class SegmentAssessment:
    """The model on a part of the hold-out."""

    rows: int
    customers: int
    churned: int
    mean_probability: float
    observed_rate: float
    roc_auc: Estimate
    log_loss: Estimate
    ece: Estimate
    profit: Estimate


@dataclass(frozen=True)
class Assessment:
    """What a hold-out says about a model. JSON-serialisable through ``dataclasses.asdict``: undefined is None."""

    rows: int
    customers: int
    churned: int
    threshold: float
    level: float
    """Of every interval, such as 0.95."""
    resamples: int
    economics: Economics
    metrics: Mapping[str, Estimate]
    """Every metric of ``METRICS``, ``profit`` in total and ``profit_per_customer``, which is per row."""
    ece_by_chance: Estimate
    """ECE that a perfectly calibrated model with these very probabilities would show: mean and interval."""
    confusion: Mapping[str, int]
    """``tn`` ``fp`` ``fn`` ``tp`` at the threshold."""
    profit_curve: Mapping[str, Any]
    """Lists of one length: ``threshold`` ``contacts`` ``profit``, and the interval of the profit, ``low`` ``high``."""
    calibration: tuple[CalibrationBin, ...]
    baselines: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    """The same metrics of each baseline, at the same threshold."""
    versus: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    """Model − baseline in ROC AUC, log loss and profit; paired: both on the same resamples."""
    segments: Mapping[str, Mapping[str, SegmentAssessment]] = field(default_factory=dict)


def assess(
    churned: ArrayLike,
    probability: ArrayLike,
    customers: ArrayLike,
    *,
    threshold: float,
    economics: Economics,
    baselines: Mapping[str, NDArray[np.float64]] | None = None,
    segments: Mapping[str, NDArray[Any]] | None = None,
    resamples: int = 1000,
    seed: int = 42,
    level: float = 0.95,
) -> Assessment:
    """Measure ``probability`` (n,) against the outcomes ``churned`` 0/1 (n,) of ``customers`` (n,).

    ``baselines``: probabilities (n,) by name. ``segments``: the segment of each row (n,), by kind of segment.
    Intervals are percentiles over ``resamples`` draws of customers with all their rows (see
    :mod:`churn.core.resampling`); the same input gives the same figures, in whatever order the rows come.
    Raises BadInput for anything that is not a 0/1 outcome, a probability, or of the same length.
    """
    y, p = checked(churned, probability)
    count, unit = indexed(_column("customers", customers, len(y)))
    rivals = {name: checked(y, q)[1] for name, q in (baselines or {}).items()}
    parts = {
        (kind, name): values == name
        for kind, column in (segments or {}).items()
        for values in [_column(kind, column, len(y))]
        for name in _names(values)
    }
    views: dict[_Key, Ranking] = {
        _MODEL: Ranking(y, p, unit),
        **{("baseline", name): Ranking(y, q, unit) for name, q in rivals.items()},
        **{("segment", *part): Ranking(y[rows], p[rows], unit[rows]) for part, rows in parts.items()},
    }
    drawn = _resampled(views, count, len(y), threshold, economics, resamples, seed)
    model, whole = drawn[_MODEL], views[_MODEL].tally(np.ones((1, count)))
    low, high = np.quantile(model.pop("curve")[1:], [(1 - level) / 2, (1 + level) / 2], axis=0)
    found: dict[str, dict[str, SegmentAssessment]] = {kind: {} for kind in (segments or {})}
    for (kind, name), rows in parts.items():
        found[kind][name] = _segment(y[rows], p[rows], unit[rows], drawn["segment", kind, name], level)
    return Assessment(
        rows=len(y),
        customers=count,
        churned=int(y.sum()),
        threshold=float(threshold),
        level=level,
        resamples=resamples,
        economics=economics,
        metrics=_estimates(model, level),
        ece_by_chance=ece_by_chance(whole, resamples, seed, level),
        confusion=_confusion(whole, threshold),
        profit_curve={**profit_curve(y, p, economics), "low": low.tolist(), "high": high.tolist()},
        calibration=calibration_bins(whole, count, level),
        baselines={name: _estimates(drawn["baseline", name], level) for name in rivals},
        versus={
            name: _estimates({m: model[m] - drawn["baseline", name][m] for m in _PAIRED}, level) for name in rivals
        },
        segments=found,
    )


def segments_of(features: pd.DataFrame) -> dict[str, NDArray[np.str_]]:
    """``plan`` and ``tenure`` of each row (n,), where the table has the column for it and more than one is found."""
    found = {}
    if "is_paid_user" in features:
        paid = features["is_paid_user"].to_numpy(dtype=float)
        found["plan"] = np.select([np.isnan(paid), paid > 0], [_UNKNOWN, PLANS[1]], PLANS[0])
    if "days_since_registration" in features:
        found["tenure"] = tenure_band(features["days_since_registration"])
    return {kind: values for kind, values in found.items() if len(np.unique(values)) > 1}


def tenure_band(days: ArrayLike) -> NDArray[np.str_]:
    """Band of :data:`TENURES` for days since registration (n,); "unknown" where they are missing."""
    since = np.asarray(days, dtype=np.float64)
    band = np.digitize(since, (30, 90, 365))  # NaN lands in the last, and is mended below
    return np.where(np.isnan(since), _UNKNOWN, np.array(TENURES)[band])


def _column(name: str, values: ArrayLike, rows: int) -> NDArray[Any]:
    column = np.asarray(values)
    if column.shape != (rows,):
        raise BadInput(f"{name}: found {column.shape}, expected one value for each of {rows} rows")
    return column


def _names(values: NDArray[Any]) -> list[str]:
    """The segments that occur, ours in their own order, others by name."""
    known = (*PLANS, *TENURES)
    return sorted(np.unique(values).tolist(), key=lambda name: (known.index(name) if name in known else 99, name))


def _resampled(
    views: Mapping[_Key, Ranking],
    customers: int,
    rows: int,
    threshold: float,
    economics: Economics,
    resamples: int,
    seed: int,
) -> dict[_Key, dict[str, Floats]]:
    """Every figure of every view: first of the sample itself, then of each resample, (1 + resamples,).

    All views see the same draws, which is what makes differences between them paired.
    """
    drawn: dict[_Key, list[dict[str, Floats]]] = {key: [] for key in views}
    for weights in chain([np.ones((1, customers))], customer_weights(customers, rows, resamples, seed)):
        for key, ranking in views.items():
            tally = ranking.tally(weights)
            figures = {**scores(tally, threshold), **_money(tally, threshold, economics)}
            if key == _MODEL:
                figures["curve"] = economics.earned(*tally.decided(THRESHOLDS))
            drawn[key].append(figures)
    return {
        key: {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]} for key, blocks in drawn.items()
    }


def _money(tally: Tally, threshold: float, economics: Economics) -> dict[str, Floats]:
    rows = tally.rows_above[:, -1]
    profit = economics.earned(*(part[:, 0] for part in tally.decided(threshold)))
    return {
        "profit": profit,
        "profit_per_customer": np.divide(profit, rows, out=np.full_like(rows, np.nan), where=rows > 0),
    }


def _estimates(figures: Mapping[str, Floats], level: float) -> dict[str, Estimate]:
    return {
        name: (estimate_calibration_error if name == "ece" else estimate)(values[0], values[1:], level)
        for name, values in figures.items()
    }


def _segment(
    y: NDArray[np.int64], p: Floats, unit: NDArray[np.intp], figures: Mapping[str, Floats], level: float
) -> SegmentAssessment:
    return SegmentAssessment(
        rows=len(y),
        customers=len(np.unique(unit)),
        churned=int(y.sum()),
        mean_probability=float(np.sort(p).mean()),  # sorted: the last digit too is the same in any order of the rows
        observed_rate=float(y.mean()),
        **_estimates({name: figures[name] for name in _OF_A_SEGMENT}, level),
    )


def _confusion(whole: Tally, threshold: float) -> dict[str, int]:
    hit, contacted = (int(part[0, 0]) for part in whole.decided(threshold))
    rows, churned = int(whole.rows.sum()), int(whole.churned.sum())
    return {"tn": rows - churned - contacted + hit, "fp": contacted - hit, "fn": churned - hit, "tp": hit}
