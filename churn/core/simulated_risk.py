"""Four temperaments, unseen, and what follows from each: tastes, plan, and the risk that a visit is the last.

A mixture of Poisson counts fitted to the public table (12,461 customers, 50 days of log, who cancels in the 12 days
after) finds these four and nothing between them. Given the temperament, the plan and how often somebody visits, it
finds no trace of anything else in who cancels: no trend, no memory of the latest dislikes or adverts, no effect of how
long the sessions are. So there is none here. Whoever has only the log sees a temperament through the counts it moves.
"""

import numpy as np
from numpy.typing import NDArray

from churn.core.arrays import Floats

ORDINARY, DELIGHTED, DISAPPOINTED, ANNOYED = range(4)

SHARE = np.array([0.71, 0.134, 0.088, 0.068])
"""Of the customers at any time, as in the table (0.715, 0.137, 0.087, 0.061)."""
VISITS = np.array([1.01, 1.11, 0.92, 0.77])
"""Visits against the average: the riskier have fewer because those who visited more have left."""
LIKES = np.array([0.0504, 0.0907, 0.0497, 0.0449])
DISLIKES = np.array([0.0101, 0.0100, 0.0304, 0.0170])
"""Per play. The delighted like nearly twice as much, the disappointed dislike three times as much.

The annoyed's 0.0170 is above the table's 0.0132: here fewer customers are on the free plan than when the table's log
begins, and without it the adverts alone would tell less about them than the real log does."""
ADVERTS = np.array([0.0816, 0.0878, 0.0815, 0.1677])
"""Per play on the free plan: the annoyed are shown twice as many."""
UPGRADES = np.array([0.0116, 0.0251, 0.0083, 0.0123])
DOWNGRADES = np.array([0.0113, 0.0056, 0.0185, 0.0159])
"""Looks at these pages per play on the plan that offers them. Changes of plan follow in the same proportion."""

_LAST_VISIT = np.array([0.0094, 0.0035, 0.0190, 0.0310])
"""Probability that a visit on the free plan ends in a cancellation: 4.1 % of the customers cancel within 12 days.

The table says 0.0085, 0.0024, 0.0242, 0.0627, but of customers who all came before its log. Here newcomers make good
for leavers, so that the riskiest are often people of whom little has been seen yet. With about two thirds of the
differences, on the log scale, the log alone tells a logistic regression as much about them as the real log does.
"""
_PAID = float(np.exp(0.50))
"""A paying customer's visit against that."""


def last_visit(temper: NDArray[np.int64], paid: NDArray[np.bool_]) -> Floats:
    """The probability v that a visit is the customer's last."""
    v: Floats = _LAST_VISIT[temper] * np.where(paid, _PAID, 1.0)
    return v


_UPGRADE, _DOWNGRADE = 0.115, 0.097
"""Per visit of an ordinary customer who visits ``_USUAL`` times a day: 0.85 changes in 50 days, and 54 % pay. In the
table 22 % pay at the start and 58 % in the end; a log that looks the same wherever it is cut has to lie between."""
_USUAL, _KEENER, _LOYALER = 0.18, 0.15, 0.45
"""Those who visit more upgrade more readily and downgrade less: the odds of paying rise tenfold from one session in 50
days to fifty, changes per session fall by half."""


def change_rates(temper: NDArray[np.int64], visits: Floats) -> tuple[Floats, Floats]:
    """Probability that a visit upgrades the free plan, and that it downgrades the paid one."""
    often = visits / _USUAL
    up = _UPGRADE * (UPGRADES / UPGRADES[ORDINARY])[temper] * often**_KEENER
    down = _DOWNGRADE * (DOWNGRADES / DOWNGRADES[ORDINARY])[temper] / often**_LOYALER
    return np.minimum(up, 0.5), np.minimum(down, 0.5)


def newcomers_share() -> Floats:
    """Temperaments of those who come: as of those who leave, so that the mixture stays as it is."""
    leaving = SHARE * VISITS * _LAST_VISIT
    return np.asarray(leaving / leaving.sum(), np.float64)
