"""Who really leaves: the probability of cancelling within a horizon that nobody but the simulator knows."""

from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from benchmarks.worlds import START, World
from churn.core.arrays import Bools, Floats
from churn.core.simulation import WEEKDAY

_EPS = float(np.finfo(np.float64).eps)


def true_probability(world: World, customers: pd.Series, day: int, horizon_days: int) -> Floats:
    """Of each of ``customers`` (n,), at risk at the start of ``day``: that they cancel in the horizon's days.

    Per visit somebody leaves with a probability that follows from the plan, or else may change the plan: between the
    plans and gone, a Markov process over the visits that the days bring. A change in the world falls on its day.
    """
    people = _people(world).loc[customers.to_numpy()]
    paid = _paid(world, day).loc[customers.to_numpy()].to_numpy()
    visits, up, down = (people[name].to_numpy() for name in ("visits", "up", "down"))
    # The share of each customer on each plan, (n, 2): free, paid. What is missing to 1 has left.
    there = np.stack([~paid, paid], axis=1).astype(np.float64)
    for until in sorted({day + horizon_days, *_within(world, day, horizon_days)}):
        expected = visits * sum(WEEKDAY[(START.weekday() + d) % 7] for d in range(day, until))
        free, pays = (_last(world, people, name, day) for name in ("last_free", "last_paid"))
        there = _after(there, expected, free, pays, up * (1 - free), down * (1 - pays))
        day = until
    return np.asarray(1 - there.sum(axis=1))


def expected_log_loss(truth: Floats, probability: Floats) -> float:
    """Mean log loss of ``probability`` (n,) over the outcomes that ``truth`` (n,) makes likely."""
    p = np.clip(probability, _EPS, 1 - _EPS)
    return float(-np.mean(truth * np.log(p) + (1 - truth) * np.log1p(-p)))


def _within(world: World, day: int, horizon_days: int) -> list[int]:
    """The day of the change, where it falls inside the horizon."""
    change = world.change
    return [change.day] if change is not None and day < change.day < day + horizon_days else []


def _last(world: World, people: pd.DataFrame, plan: str, day: int) -> Floats:
    v = people[plan].to_numpy()
    paid: Bools = np.full(len(v), plan == "last_paid")
    return v if world.change is None else world.change.last_visit(v, paid, day)


def _after(there: Floats, expected: Floats, free: Floats, pays: Floats, up: Floats, down: Floats) -> Floats:
    """``there`` times the exponential of the 2×2 matrix of rates between the plans, over ``expected`` visits (n,)."""
    a, b, c, d = -(free + up) * expected, up * expected, down * expected, -(pays + down) * expected
    middle, half = (a + d) / 2, (a - d) / 2
    root = np.sqrt(half**2 + b * c)
    even = np.cosh(root) * np.exp(middle)
    odd = np.where(root > 1e-12, np.sinh(root) / np.maximum(root, 1e-12), 1.0) * np.exp(middle)
    return np.stack(
        [
            there[:, 0] * (even + odd * half) + there[:, 1] * odd * c,
            there[:, 0] * odd * b + there[:, 1] * (even - odd * half),
        ],
        axis=1,
    )


@lru_cache(maxsize=4)
def _people(world: World) -> pd.DataFrame:
    found: pd.DataFrame = world.people.to_pandas().set_index("customer_id")
    return found


@lru_cache(maxsize=16)
def _paid(world: World, day: int) -> pd.Series:
    on_day = world.truth.filter(pc.equal(world.truth["day"], day))
    return on_day.to_pandas().set_index("customer_id")["paid"]
