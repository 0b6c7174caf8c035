"""Early warnings from cancellations: how often where nothing changed, and how soon where a price rise hits one plan."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.world_models import HORIZON_DAYS, Trained, cancelled_on, published, trained
from benchmarks.worlds import Service, World, moment, world_of
from churn.core.arrays import Bools
from churn.core.assessment import PLANS, TENURES, assess, segments_of
from churn.core.early_warning import next_day, watch, weekday_factors
from churn.core.evaluation import Economics, evaluate
from churn.core.realised_performance import POOLED_NIGHTS, judge
from churn.core.simulated_change import Change
from churn.steps.performance import RESAMPLES
from churn.steps.published_nights import LOOKED_BACK
from churn.steps.watch_cancellations import SEGMENTS

TRAINED = 90
NIGHTS = range(TRAINED, TRAINED + 70)
CHANGED = 100
WITHIN = 14
DAYS = 172
"""Long enough for retraining on outcomes of the change; see ``decision_gate``."""
PRICE_RISE = Change(CHANGED, hazard=2.0, plan="paid")


def quiet(seed: int, folder: Path) -> dict[str, Any]:
    """Nothing changes for ten weeks."""
    service = Service(seed)
    world = world_of(service, folder)
    return warnings(world, trained(world, TRAINED), NIGHTS, folder / service.name)


def price_rise(seed: int, folder: Path) -> dict[str, Any]:
    """The hazard of who pays doubles on a day. ``delay``: nights from then to the first alarm that follows."""
    service = Service(seed, days=DAYS, change=PRICE_RISE)
    world = world_of(service, folder)
    found = warnings(world, trained(world, TRAINED), range(TRAINED, CHANGED + 30), folder / service.name)
    after = [night for night in found["alarms"] if night > CHANGED]
    segments = sorted({name for night in after[:1] for name in found["ringing"][night]})
    return {**found, "delay": after[0] - CHANGED if after else None, "segments": segments}


def warnings(world: World, model: Trained, nights: Sequence[int], home: Path) -> dict[str, Any]:
    """The nights that an alarm rings, and what rings on each: as ``churn monitor`` on each night, of days gone by."""
    scores = published(world, model.model, nights, home / "published")
    gone = cancelled_on(world)
    counted = {night: _counts(rows, set(gone.index[gone == night])) for night, rows in scores.groupby("night")}
    left = gone.value_counts()
    level, alarms = holdout_level(model), {}
    for as_of in nights[1:]:
        over = [night for night in nights if as_of - LOOKED_BACK <= night < as_of]
        past = range(max(0, over[0] - LOOKED_BACK), over[0])
        weekday = weekday_factors([moment(d).weekday() for d in past], [int(left.get(d, 0)) for d in past])
        observed = np.array([counted[night][0] for night in over])
        expected = np.array([weekday[moment(night).weekday()] * counted[night][1] for night in over])
        if ringing := watch(observed, expected, SEGMENTS, known=level).ringing:
            alarms[as_of] = [f"{chart.segment}, {chart.side}" for chart in ringing]
    total = np.sum([counted[night] for night in nights], axis=0)
    return {"alarms": list(alarms), "ringing": alarms, "observed": total[0].tolist(), "expected": total[1].tolist()}


def degraded(seed: int, folder: Path) -> dict[str, Any]:
    """Nothing changes for ten weeks: the nights that call the model degraded, by matured outcomes."""
    service = Service(seed)
    world = world_of(service, folder)
    model = trained(world, TRAINED)
    scores = published(world, model.model, NIGHTS, folder / service.name / "published")
    gone = scores["customer_id"].map(cancelled_on(world))
    scores["churned"] = ((gone >= scores["night"]) & (gone < scores["night"] + HORIZON_DAYS)).astype(int)
    rows = model.holdout
    reached = evaluate(rows["churned"], model.model.predict_proba(rows), model.model.threshold)["roc_auc"]
    alarms, aucs = [], []
    for as_of in NIGHTS[::2]:  # weeks of scores are judged together: the nights between differ little
        last = as_of - HORIZON_DAYS
        pooled = scores[(scores["night"] <= last) & (scores["night"] > last - POOLED_NIGHTS)]
        if pooled.empty:
            continue
        found = assess(
            pooled["churned"], pooled["probability"], pooled["customer_id"].to_numpy(dtype=str),
            threshold=model.model.threshold, economics=Economics(), resamples=RESAMPLES,
        )  # fmt: skip
        verdict = judge(found, pooled.loc[pooled["churned"] == 1, "customer_id"].nunique(), reached)
        aucs.append(found.metrics["roc_auc"].value)
        if verdict.degraded:
            alarms.append(as_of)
    return {"alarms": alarms, "holdout": reached, "aucs": aucs}


def holdout_level(model: Trained) -> dict[str, tuple[float, float]]:
    """By segment, churners on the hold-out and how many were expected."""
    rows, p = model.holdout, model.model.predict_proba(model.holdout)
    return {
        name: (float(rows["churned"].to_numpy()[who].sum()), float(p[who].sum()))
        for name, who in zip(SEGMENTS, _inside(rows), strict=True)
    }


def _counts(rows: pd.DataFrame, gone: set[str]) -> np.ndarray:
    """Cancellations of the next day, observed and expected, (2, segments)."""
    left = rows["customer_id"].isin(gone).to_numpy(dtype=float)
    hazard = next_day(rows["probability"], HORIZON_DAYS)
    return np.array([[values[who].sum() for who in _inside(rows)] for values in (left, hazard)])


def _inside(rows: pd.DataFrame) -> list[Bools]:
    """Who belongs to each of SEGMENTS."""
    found = segments_of(rows)
    none = np.zeros(len(rows), dtype=bool)
    kinds = [("plan", name) for name in PLANS] + [("tenure", name) for name in TENURES]
    return [~none, *(found[kind] == name if kind in found else none for kind, name in kinds)]
