"""The public tables, one row per customer, and nested cross-validation of every method on them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from benchmarks.measured import Measured, Scored, measure
from benchmarks.peers import (
    BLEND,
    HISTOGRAM,
    LOGISTIC,
    OURS,
    REFERENCE_ALL,
    REFERENCE_CORE,
    XGBOOST,
    Floats,
    Labels,
    Method,
    histogram_boosting,
    logistic_on_logs,
    ours,
    rank_blend,
    reference,
    tuned_xgboost,
)

Say = Callable[[str], None]
_SEED = 42

PANEL, USERS, MINI = (
    Path("sparkify_panel") / "train.parquet",
    Path("sparkify_users") / "train.parquet",
    Path("sparkify_users") / "mini_225.parquet",
)
_NO_FEATURES = ("userId", "split", "gender", "state")
_PANEL_LABEL, _USERS_LABEL = "churned_after_2018_11_19", "churn"

PANEL_CORE = (
    "total_sessions", "avg_session_length", "page_nextsong", "songs_per_session", "page_thumbs_up", "page_thumbs_down",
    "page_add_to_playlist", "page_add_friend", "days_since_registration", "thumbs_up_ratio", "thumbs_down_ratio",
    "is_paid",
)  # fmt: skip
"""What the table has of the 13 core features: all but the time since the last activity."""
USERS_NINE = (
    "session_count", "avg_session_length_hours", "next_song_count", "avg_songs_session", "thumbs_up_count",
    "thumbs_down_count", "add_playlist_count", "add_friend_count", "paid",
)  # fmt: skip
"""Core features that measure no time from the end of the log."""
TENURE = "tenure_days"
"""From registration to the last event: it stops at a cancellation."""


@dataclass(frozen=True)
class Table:
    """Features (n, k) and what became of each customer, 0/1 (n,)."""

    features: pd.DataFrame
    churned: Labels


@dataclass(frozen=True)
class Compared:
    """Every method on one table: figures, and seconds per fit."""

    customers: int
    churned: int
    columns: int
    folds: int
    measured: Measured
    seconds: Mapping[str, float]


def panel(data: Path) -> Table:
    """Customers at risk on 2018-11-19 and whether they cancelled in the 12 days after."""
    table = _table(data / PANEL, _PANEL_LABEL)
    songs = table.features.page_nextsong / table.features.total_sessions.clip(lower=1)
    return Table(table.features.assign(songs_per_session=songs), table.churned)


def users(data: Path) -> Table:
    """Customers of the whole log and whether they ever cancelled."""
    return _table(data / USERS, _USERS_LABEL)


def mini(data: Path) -> Table:
    """The same columns for the 225 customers of the reference write-up."""
    return _table(data / MINI, _USERS_LABEL)


def compare_on_panel(data: Path, *, folds: int, trials: int, say: Say) -> Compared:
    """Nested cross-validation on the panel."""
    return _compare(panel(data), PANEL_CORE, ("songs_per_session",), folds, trials, say)


def compare_on_users(data: Path, *, folds: int, trials: int, say: Say) -> Compared:
    """Nested cross-validation on the leaky table."""
    return _compare(users(data), (*USERS_NINE, "thumbs_up_pct", "thumbs_down_rate", TENURE), (), folds, trials, say)


def leakage_on_mini(data: Path) -> Measured:
    """The reference recipe on the 225 customers: without any clock, with one leaky column, and with every column."""
    table = mini(data)
    chosen = {
        "nine columns that measure no time from the end": USERS_NINE,
        f"the same and `{TENURE}`, which stops at a cancellation": (*USERS_NINE, TENURE),
        f"all {table.features.shape[1]} columns": tuple(table.features.columns),
    }
    return measure(
        table.churned,
        {name: _pooled(table, reference(columns), 5) for name, columns in chosen.items()},
        next(iter(chosen)),
    )


def _table(path: Path, label: str) -> Table:
    found = pd.read_parquet(path)
    features = found.drop(columns=[label, *(c for c in _NO_FEATURES if c in found)])
    return Table(features.astype(np.float64), found[label].to_numpy(np.int64))


def _compare(table: Table, core: Sequence[str], made: Sequence[str], folds: int, trials: int, say: Say) -> Compared:
    """``made`` are columns made here for the reference recipe; the other methods get the table as it is published."""
    published = [str(c) for c in table.features if c not in made]
    methods: dict[str, tuple[Method, Sequence[str]]] = {
        OURS: (ours(trials), published),
        REFERENCE_CORE: (reference(core), core),
        REFERENCE_ALL: (reference(published), published),
        LOGISTIC: (logistic_on_logs, published),
        XGBOOST: (tuned_xgboost(trials), published),
        HISTOGRAM: (histogram_boosting, published),
    }
    scores: dict[str, Floats] = {name: np.empty(len(table.churned)) for name in (*methods, BLEND)}
    seconds = dict.fromkeys(scores, 0.0)
    for number, (fit, held) in enumerate(_folds(table, folds)):
        for name, (method, columns) in methods.items():
            began = time.monotonic()
            x = table.features[list(columns)]
            with threadpool_limits(1):  # several only wait for each other where cores are busy: 160 s instead of 5
                scores[name][held] = method(x.iloc[fit], table.churned[fit], x.iloc[held])
            taken = time.monotonic() - began
            seconds[name] += taken / folds
            say(f"  fold {number + 1} of {folds}, {name}: {taken:.0f} s")
        scores[BLEND][held] = rank_blend(scores[LOGISTIC][held], scores[XGBOOST][held])
    seconds[BLEND] = seconds[LOGISTIC] + seconds[XGBOOST]
    scored = {name: Scored(s, seconds[name], probability=name != BLEND) for name, s in scores.items()}
    return Compared(
        len(table.churned), int(table.churned.sum()), len(published), folds,
        measure(table.churned, scored, OURS), seconds,
    )  # fmt: skip


def _pooled(table: Table, method: Method, folds: int) -> Scored:
    score = np.empty(len(table.churned))
    for fit, held in _folds(table, folds):
        score[held] = method(table.features.iloc[fit], table.churned[fit], table.features.iloc[held])
    return Scored(score)


def _folds(table: Table, folds: int) -> list[tuple[Labels, Labels]]:
    splitter = StratifiedKFold(folds, shuffle=True, random_state=_SEED)
    return list(splitter.split(table.features, table.churned))
