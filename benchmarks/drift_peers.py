"""What others ring on: fixed thresholds, on the same worlds and nights as our own drift alarm."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp, wasserstein_distance

from benchmarks.decision_drift import NIGHTS, TRAINED, Watch
from benchmarks.world_models import trained
from benchmarks.worlds import Service, features, world_of
from churn.core.drift import DriftPolicy
from churn.core.features import FEATURE_NAMES

_COLUMNS = list(FEATURE_NAMES)
TABLES = ("all history", "equal history", "equal history without tenure")
"""Features of the log as long as it is, as a peer is given them; of equal lengths of it; and without the one feature
that grows by itself all the same."""
_AGELESS = [name for name in _COLUMNS if name not in DriftPolicy().ages]
ALARMS = ("KS p < 0.05", "KS p < 0.05 / features", "PSI > 0.1", "PSI > 0.2", "half of the features (Evidently)")
PEERS = tuple(f"{alarm}, {tables}" for alarm in ALARMS for tables in TABLES)
_ENOUGH = 5
"""Distinct values up to which Evidently takes a number for a category; our flag is the one."""
_DISTANCE = 0.1
"""Evidently's threshold, from 1,000 rows on: Wasserstein distance in standard deviations, Jensen–Shannon distance."""


def quiet(seed: int, folder: Path) -> dict[str, Any]:
    """Nothing changes for ten weeks: the nights each alarm rings, all of them false."""
    world = world_of(Service(seed), folder)
    model = trained(world, TRAINED)
    watch = Watch(world, model)
    found: dict[str, Any] = {name: [] for name in PEERS}
    for night in NIGHTS:
        table, everything = watch.night(night), features(world, [night])[night]
        views = (model.holdout, everything, _COLUMNS), (watch.table, table, _COLUMNS), (watch.table, table, _AGELESS)
        for tables, (reference, current, columns) in zip(TABLES, views, strict=True):
            for name, rang in _alarms(reference[columns], current[columns]).items():
                if rang:
                    found[f"{name}, {tables}"].append(night)
    return found


def _alarms(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, bool]:
    p, psi, far = [], [], []
    for name in reference.columns:
        before, now = reference[name].to_numpy(), current[name].to_numpy()
        p.append(ks_2samp(before, now, method="asymp").pvalue)
        psi.append(_psi(before, now))
        far.append(_far(before, now))
    return dict(
        zip(
            ALARMS,
            (min(p) < 0.05, min(p) < 0.05 / len(p), max(psi) > 0.1, max(psi) > 0.2, np.mean(far) >= 0.5),
            strict=True,
        )
    )


def _psi(before: np.ndarray, now: np.ndarray) -> float:
    """On the deciles of the reference, empty bins as 0.0001: the usual recipe."""
    edges = np.unique(np.quantile(before, np.arange(1, 10) / 10))
    shares = [np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1) / len(x) for x in (before, now)]
    p, q = (np.maximum(s, 1e-4) for s in shares)
    return float(np.sum((q - p) * np.log(q / p)))


def _far(before: np.ndarray, now: np.ndarray) -> bool:
    """Evidently's default for a column of more than 1,000 rows."""
    if len(values := np.unique(before)) <= _ENOUGH:
        p, q = (np.array([np.mean(x == v) for v in values]) for x in (before, now))
        m = (p + q) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = [np.nansum(s * np.log2(s / m)) / 2 for s in (p, q)]
        return float(np.sqrt(max(sum(parts), 0.0))) >= _DISTANCE
    return float(wasserstein_distance(before, now)) / max(float(np.std(before)), 0.001) >= _DISTANCE
