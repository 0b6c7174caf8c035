"""Who the simulated customers are, when they come, and the music they listen to. All of it follows from the seed."""

from dataclasses import dataclass, fields
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from churn.core.events import DAY_MS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEWCOMER_PERIOD_DAYS = 90
"""By the end of the first period exactly `customers` exist; later periods bring newcomers at the same rate."""
FIRST_SHARE = 0.70
"""Share of `customers` registered before the start. The rest arrive about as fast as others leave (0.5 % a day)."""
WARM_UP_DAYS = 180
"""Lived through before day 0 and not logged, so that those who are there on day 0 have been through the same selection
as those who are there later. Whoever leaves in it is replaced, which keeps the number."""

PEOPLE, LIFE, EVENTS, CATALOGUE = range(4)
"""Independent random streams, so that rendering fewer days changes nothing about the days lived."""


def stream(seed: int, purpose: int, index: int) -> np.random.Generator:
    """The random numbers of one purpose and one day (or period)."""
    return np.random.default_rng(np.random.SeedSequence((seed, purpose, index)))


def day_zero_ms(start: date) -> int:
    """Epoch milliseconds of midnight UTC at the start of ``start``."""
    return (start - date(1970, 1, 1)).days * DAY_MS


# --- the catalogue ----------------------------------------------------------------------------------------------------

TRACKS = 4_000
TAPE_PLAYS = 65_536
MAX_PLAYS = 240
"""Longest session, about 16 hours of music."""


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
    """Track lengths and popularity as in the public log: median 233 s, 80 % between 163 and 339 s."""
    rng = stream(seed, CATALOGUE, 0)
    seconds = np.round(np.clip(235 * np.exp(0.29 * rng.standard_normal(TRACKS)), 30, 1_200), 5)
    popularity = 1 / (np.arange(TRACKS) + 20.0)  # a long tail, without one song that everybody hears
    plays = rng.choice(TRACKS, TAPE_PLAYS, p=popularity / popularity.sum())
    tape = np.concatenate([plays, plays[:MAX_PLAYS]]).astype(np.int64)
    lengths = np.rint(seconds[tape] * 1000).astype(np.int64)
    return Catalogue(seconds, tape, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


# --- customers --------------------------------------------------------------------------------------------------------


@dataclass
class Customers:
    """What is particular about each customer and does not change; one value each."""

    registered_ms: Ints
    visits: Floats
    """Sessions a day in an average mood."""
    frailty: Floats
    """What is added to the log of v; nobody can observe it."""
    plays: Floats
    """Median plays a session."""
    likes: Floats
    dislikes: Floats
    adverts: Floats
    pages: Floats
    """Appetite for each of these, a factor with median 1."""
    paid_at_first: Bools

    @classmethod
    def draw(cls, rng: np.random.Generator, registered_ms: Ints) -> "Customers":
        n = len(registered_ms)

        def spread(median: float, sigma: float) -> Floats:
            return median * np.exp(sigma * rng.standard_normal(n))

        return cls(
            registered_ms=registered_ms,
            visits=np.minimum(spread(0.40, 0.70), 2.5),  # the public log: 0.23 a day, widely spread
            frailty=0.30 * rng.standard_normal(n),
            plays=spread(36, 0.35),
            likes=spread(1, 0.35),
            dislikes=spread(1, 0.55),
            adverts=spread(1, 0.45),
            pages=spread(1, 0.30),
            paid_at_first=rng.random(n) < 0.5,
        )

    def put(self, where: Ints, other: "Customers") -> None:
        """Other customers in these places."""
        for field in fields(self):
            getattr(self, field.name)[where] = getattr(other, field.name)

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
    long_ago = np.minimum(rng.exponential(150.0, first), 900)  # days; nobody before the service existed
    parts = [Customers.draw(rng, zero - WARM_UP_DAYS * DAY_MS - (long_ago * DAY_MS).astype(np.int64) - 1)]
    for period in range(-(-days // NEWCOMER_PERIOD_DAYS)):
        rng = stream(seed, PEOPLE, period + 1)
        n = customers - first
        day = np.sort(rng.integers(0, NEWCOMER_PERIOD_DAYS, n)) + period * NEWCOMER_PERIOD_DAYS
        parts.append(Customers.draw(rng, zero + day * DAY_MS + time_of_day(rng, n) + SIGN_UP_MS))
    return Customers.concatenate(parts)
