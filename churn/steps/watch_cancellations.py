"""Watch: each night's cancellations against those that the version's scores expected, per segment."""

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from churn.core.arrays import Floats
from churn.core.assessment import PLANS, TENURES
from churn.core.early_warning import EVERYBODY, EarlyWarning, next_day, watch, weekday_factors
from churn.core.model import CORE, FULL
from churn.io.lake import Lake
from churn.io.outcomes import cancellations
from churn.io.registry import ModelVersion, Registry
from churn.steps.published_nights import KINDS, LOOKED_BACK, Night

SEGMENTS = (EVERYBODY, *PLANS, *TENURES)


@dataclass(frozen=True, eq=False)
class Watched:
    """The nights of a version whose next day is over, and what they say."""

    nights: tuple[date, ...]
    warning: EarlyWarning


def watch_cancellations(
    lake: Lake,
    nights: Sequence[Night],
    as_of: date,
    horizon_days: int,
    known: Mapping[str, tuple[float, float]],
    *,
    megabytes: int | None = None,
) -> Watched | None:
    """Over the last ``LOOKED_BACK`` nights; None while no night's day is over.

    Days that are missing from the log are left out: nobody knows who left. ``known``: what the version's hold-out says
    of the level; see :func:`holdout_level`.
    """
    logged = [day for day in lake.event_days() if day < as_of]
    first, there = as_of - timedelta(days=LOOKED_BACK), set(logged)
    over = [night for night in nights if night.as_of >= first and night.as_of in there]
    if not over:
        return None
    before = over[0].as_of - timedelta(days=LOOKED_BACK)
    by_day: dict[date, set[str]] = {}
    for day, customer in cancellations(lake, before, as_of, megabytes=megabytes).itertuples(index=False):
        by_day.setdefault(day, set()).add(customer)
    past = [day for day in logged if before <= day < over[0].as_of]
    weekday = weekday_factors([day.weekday() for day in past], [len(by_day.get(day, ())) for day in past])
    counted = [_counts(night, by_day.get(night.as_of, ()), horizon_days) for night in over]
    observed = np.array([counts[0] for counts in counted])
    expected = np.array([weekday[night.as_of.weekday()] * counts[1] for night, counts in zip(over, counted)])
    return Watched(tuple(night.as_of for night in over), watch(observed, expected, SEGMENTS, known=known))


def holdout_level(registry: Registry, version: ModelVersion) -> dict[str, tuple[float, float]]:
    """By segment, churners on the version's hold-out and how many it expected; empty where that is not stored."""
    with tempfile.TemporaryDirectory(prefix="churn-evaluation-") as folder:
        path = registry.attachment(version, "evaluation.json", Path(folder))
        if path is None:
            return {}
        holdouts = json.loads(path.read_text())["holdout"]
    found: Mapping[str, Any] = holdouts[FULL] if FULL in holdouts else holdouts[CORE]
    # The rows of each kind are everybody's, in parts.
    parts = {name: part for kind in KINDS for name, part in found["segments"].get(kind, {}).items()}
    level = {name: (float(part["churned"]), part["mean_probability"] * part["rows"]) for name, part in parts.items()}
    predicted = sum(bin_["predicted"] * bin_["rows"] for bin_ in found["calibration"])
    return level | {EVERYBODY: (float(found["churned"]), float(predicted))}


def _counts(night: Night, gone: Collection[str], horizon_days: int) -> tuple[Floats, Floats]:
    """Cancellations of the next day, observed and expected, (segments,) each."""
    left = night.scores["customer_id"].isin(gone).to_numpy(dtype=float)
    hazard = next_day(night.scores["churn_probability"], horizon_days)
    inside = [np.ones(len(left), dtype=bool)]
    inside += [(night.scores["plan"] == name).to_numpy() for name in PLANS]
    inside += [(night.scores["tenure"] == name).to_numpy() for name in TENURES]
    return np.array([left[who].sum() for who in inside]), np.array([hazard[who].sum() for who in inside])
