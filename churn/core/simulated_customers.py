"""Who the simulated customers are, when they come, and the music they listen to. All of it follows from the seed."""

from dataclasses import dataclass, fields
from datetime import date
from functools import lru_cache

import numpy as np

from churn.core import simulated_risk as risk
from churn.core.arrays import Bools, Floats, Ints
from churn.core.events import DAY_MS

NEWCOMER_PERIOD_DAYS = 90
"""By the end of the first period exactly `customers` exist; later periods bring newcomers at the same rate."""
FIRST_SHARE = 0.75
"""Share of `customers` registered before the start. The rest arrive as fast as others leave: 0.36 % of them a day."""

PEOPLE, LIFE, EVENTS, CATALOGUE = range(4)
"""Independent random streams, so that rendering fewer days changes nothing about the days lived."""


def stream(seed: int, purpose: int, index: int) -> np.random.Generator:
    """The random numbers of one purpose and one day (or period)."""
    return np.random.default_rng(np.random.SeedSequence((seed, purpose, index)))


def day_zero_ms(start: date) -> int:
    """Epoch milliseconds of midnight UTC at the start of ``start``."""
    return (start - date(1970, 1, 1)).days * DAY_MS


# --- the catalogue ----------------------------------------------------------------------------------------------------

TRACKS = 10_000
TAPE_PLAYS = 65_536
MAX_PLAYS = 640
"""Longest session, the 43 hours from midnight to the next evening."""


@dataclass(frozen=True)
class Catalogue:
    """Tracks, and one long tape of plays that every session listens to a stretch of: its span is one subtraction."""

    seconds: Floats
    """Length of each track, (TRACKS,)."""
    tape: Ints
    """Track of each play, (TAPE_PLAYS + MAX_PLAYS,); the end repeats the beginning."""
    starts_ms: Ints
    """When each play begins on the tape, one longer than ``tape``."""


@lru_cache(maxsize=2)
def catalogue(seed: int) -> Catalogue:
    """Track lengths and popularity as in the public log: median 235 s, mean 248 s, 80 % between 163 and 339 s."""
    rng = stream(seed, CATALOGUE, 0)
    seconds = np.round(np.clip(235 * np.exp(0.24 * rng.standard_t(4, TRACKS)), 30, 1_200), 5)
    popularity = 1 / (np.arange(TRACKS) + 500.0)  # a long tail, without one song that everybody hears
    plays = rng.choice(TRACKS, TAPE_PLAYS, p=popularity / popularity.sum())
    tape = np.concatenate([plays, plays[:MAX_PLAYS]]).astype(np.int64)
    lengths = np.rint(seconds[tape] * 1000).astype(np.int64)
    return Catalogue(seconds, tape, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


# --- customers --------------------------------------------------------------------------------------------------------

_OFTEN, _OFTEN_SPREAD = 0.292, 0.67
_SELDOM, _SELDOM_SPREAD = 0.097, 0.70
"""Sessions a day: median, and standard deviation of the logarithm, of two halves. Fitted to the sessions in 50 days of
the public table, whose cumulative distribution two such halves meet within 0.003 (one log-normal: 0.010, a gamma:
0.025), and 5 % more, for those who have left by then visited more."""
_OFTEN_AMONG_NEW = 1 / (1 + _SELDOM / _OFTEN * float(np.exp((_SELDOM_SPREAD**2 - _OFTEN_SPREAD**2) / 2)))
_MOST_VISITS = 2.5
_TENURE_DAYS, _LONGEST_TENURE_DAYS = 36.0, 350.0
"""Mean time since registration of those who are there at the start, and the longest: as in the public table."""


@dataclass
class Customers:
    """What is particular about each customer and does not change; one value each."""

    registered_ms: Ints
    temper: Ints
    """Which temperament; see ``simulated_risk``."""
    visits: Floats
    """Sessions expected a day."""
    plays: Floats
    """Appetite for music, a factor of the plays a session with median 1."""
    paid_at_first: Bools

    @classmethod
    def draw(cls, rng: np.random.Generator, registered_ms: Ints, *, new: bool) -> "Customers":
        """Those of any one day or, ``new``, those who come: chosen as the risk chooses who leaves.

        The risk is proportional to the visits. The distribution that stays as it is therefore gains what it loses when
        newcomers are drawn with a weight proportional to theirs; of a log-normal, that is one with a larger median.
        """
        n = len(registered_ms)
        temper = rng.choice(len(risk.SHARE), n, p=risk.newcomers_share() if new else risk.SHARE)
        often = rng.random(n) < (_OFTEN_AMONG_NEW if new else 0.5)
        median, sigma = np.where(often, _OFTEN, _SELDOM), np.where(often, _OFTEN_SPREAD, _SELDOM_SPREAD)
        visits = median * np.exp(sigma * rng.standard_normal(n) + new * sigma**2) * risk.VISITS[temper]
        visits = np.minimum(visits, _MOST_VISITS)
        up, down = risk.change_rates(temper, visits)
        return cls(
            registered_ms=registered_ms,
            temper=temper,
            visits=visits,
            plays=np.exp(0.15 * rng.standard_normal(n)),  # what the average length differs by, less the luck in it
            paid_at_first=rng.random(n) < (0.0 if new else up / (up + down)),
        )

    @classmethod
    def concatenate(cls, parts: list["Customers"]) -> "Customers":
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


# Share of session starts in each hour of the day, UTC, as in the public log.
_HOURS = np.array([185, 201, 157, 130, 159, 206, 230, 219, 246, 311, 356, 391,
                   368, 415, 504, 577, 626, 572, 579, 431, 397, 326, 247, 223])  # fmt: skip
_HOUR_CDF = np.concatenate([[0], np.cumsum(_HOURS)]) / _HOURS.sum()
LAST_START_MS = DAY_MS - 300_000
"""A session starts at least five minutes before midnight: enough for one that cancels to end on its own day."""
SIGN_UP_MS = 13_000
"""From the first page of a visitor who signs up to the registration."""


def time_of_day(rng: np.random.Generator, n: int) -> Ints:
    """Milliseconds after midnight, more in the afternoon than at night."""
    at = np.interp(rng.random(n), _HOUR_CDF, np.arange(25) * 3_600_000)
    return np.clip(at, 60_000, LAST_START_MS).astype(np.int64)


def everyone(customers: int, seed: int, start: date, days: int) -> Customers:
    """All customers who register before the end of day ``days`` - 1's period; row = customer number."""
    zero = day_zero_ms(start)
    first = round(customers * FIRST_SHARE)
    rng = stream(seed, PEOPLE, 0)
    long_ago = np.minimum(rng.exponential(_TENURE_DAYS, first), _LONGEST_TENURE_DAYS)
    parts = [Customers.draw(rng, zero - (long_ago * DAY_MS).astype(np.int64) - 1, new=False)]
    for period in range(-(-days // NEWCOMER_PERIOD_DAYS)):
        rng = stream(seed, PEOPLE, period + 1)
        n = customers - first
        day = np.sort(rng.integers(0, NEWCOMER_PERIOD_DAYS, n)) + period * NEWCOMER_PERIOD_DAYS
        parts.append(Customers.draw(rng, zero + day * DAY_MS + time_of_day(rng, n) + SIGN_UP_MS, new=True))
    return Customers.concatenate(parts)
