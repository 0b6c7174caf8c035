"""Drift alarms: how often where nothing changed, and how soon where the data did change."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.world_models import Trained, trained
from benchmarks.worlds import Service, World, features, world_of
from churn.core.categories import compare_categories
from churn.core.drift import DriftPolicy, DriftReference, compare
from churn.core.features import FEATURE_NAMES
from churn.core.simulated_change import Change
from churn.steps.drift_tables import SCORE

TRAINED = 90
"""Day that the model is trained as of; it stays, for the longest way from its reference."""
NIGHTS = range(TRAINED, TRAINED + 70)
"""Ten weeks of nights."""
CHANGED = 100
WITHIN = 7
HISTORY_DAYS = 56
"""Of log at the reference as at every night: ``churn.steps.drift_tables`` takes eight weeks where there are as many."""
PAGES = ("Thumbs Up", "Thumbs Down", "Add to Playlist", "Add Friend", "Roll Advert", "Help", "Error",
         "Submit Upgrade", "Submit Downgrade")  # fmt: skip
"""Every page that a feature counts; but plays, without which ingestion refuses the file, and the cancellation."""
SHIFT_SDS, MISSING_SHARE = 0.3, 0.1
_COLUMNS = list(FEATURE_NAMES)


class Watch:
    """The drift check of one world: the reference of its model, and any night against it."""

    def __init__(self, world: World, model: Trained) -> None:
        self.world, self._model = world, model
        self.table = self.night(model.holdout_day)
        self.reference = DriftReference.of(self.table)
        self._kinds: Counter[str] = Counter()
        for day in range(model.holdout_day - HISTORY_DAYS, model.holdout_day):
            self._kinds.update(world.kinds[day])

    def night(self, night: int) -> pd.DataFrame:
        """The columns that are compared."""
        return self._scored(features(self.world, [night], history_days=HISTORY_DAYS)[night])

    def table_alarm(self, table: pd.DataFrame, night: int) -> tuple[str, ...]:
        """The columns that have drifted."""
        found = compare(self.reference, table, elapsed_days=night - self._model.holdout_day)
        return tuple(f.name for f in found.drifted_features)

    def page_alarm(self, night: int) -> bool:
        """Of the events of the day before, with what is in quarantine."""
        day = night - 1
        pages = {f"page {page!r}": count for page, count in self.world.unknown[day].items()}
        return compare_categories(self._kinds, {**self.world.kinds[day], **pages}).drifted

    def _scored(self, table: pd.DataFrame) -> pd.DataFrame:
        """Ages grow by themselves, and the scores with them: the scores are those of customers of the usual age."""
        model = self._model.model
        usual = {name: model.card.usual[name] for name in DriftPolicy().ages}
        return table[_COLUMNS].assign(**{SCORE: model.predict_proba(table.assign(**usual))})


def quiet(seed: int, folder: Path) -> dict[str, Any]:
    """Nothing changes for ten weeks: every alarm of every night is a false one."""
    world = world_of(Service(seed), folder)
    watch = Watch(world, trained(world, TRAINED))
    found: dict[str, Any] = {"drift": [], "drifted": {}}
    for night in NIGHTS:
        drifted, pages = watch.table_alarm(watch.night(night), night), watch.page_alarm(night)
        if drifted or pages:
            found["drift"].append(night)
            found["drifted"][night] = [*drifted, *["kinds of events"] * pages]
    return found


def renamed(seed: int, folder: Path) -> dict[str, Any]:
    """A page is called otherwise from a day on; which one follows from the seed."""
    page = PAGES[seed % len(PAGES)]
    change = Change(CHANGED, renamed={page: f"{page} 2"})
    world = world_of(Service(seed, days=CHANGED + WITHIN, change=change), folder)
    watch = Watch(world, trained(world, TRAINED))
    nights = range(CHANGED + 1, CHANGED + WITHIN + 1)
    tables = {night: bool(watch.table_alarm(watch.night(night), night)) for night in nights}
    pages = {night: watch.page_alarm(night) for night in nights}
    return {
        "what": page,
        "delay": _first({n: tables[n] or pages[n] for n in nights}),
        "delay_of_features": _first(tables),
    }


def altered(seed: int, folder: Path, *, runs: int = 16) -> dict[str, Any]:
    """One feature of the table is shifted, or missing for some, from a day on: ``runs`` features of each world."""
    world = world_of(Service(seed), folder)
    watch = Watch(world, trained(world, TRAINED))
    nights = range(CHANGED + 1, CHANGED + WITHIN + 1)
    tables = {night: watch.night(night) for night in nights}
    moving = [name for name in _COLUMNS if watch.table[name].std() > 0]
    chosen = [moving[(seed * runs + k) % len(moving)] for k in range(runs)]
    found: dict[str, Any] = {"before": [n for n, t in tables.items() if watch.table_alarm(t, n)], "runs": []}
    for name in chosen:
        change: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
            "shifted": partial(_shift, name, SHIFT_SDS * float(watch.table[name].std())),
            "missing": partial(_lose, name, np.random.default_rng(seed)),
        }
        for how, alter in change.items():
            alarms = {n: watch.table_alarm(alter(t), n) for n, t in tables.items()}
            found["runs"].append({
                "how": how,
                "what": name,
                "delay": _first({n: bool(a) for n, a in alarms.items()}),
                "named": _first({n: name in a for n, a in alarms.items()}),
            })  # fmt: skip
    return found


def _shift(name: str, by: float, table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{name: table[name] + by})


def _lose(name: str, rng: np.random.Generator, table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{name: table[name].mask(rng.random(len(table)) < MISSING_SHARE)})


def _first(alarms: Mapping[int, bool]) -> int | None:
    """Nights from the change to the first alarm, 1 for the night after the day it happened on; None: there was none."""
    return next((night - CHANGED for night, rang in sorted(alarms.items()) if rang), None)
