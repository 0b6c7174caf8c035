"""The sessions of one simulated day, as columns: what can happen in them, and the order they come in."""

from dataclasses import dataclass, fields

import numpy as np

from churn.core.arrays import Bools, Floats, Ints
from churn.core.events import DAY_MS
from churn.core.simulated_customers import time_of_day

HANGING = ("Home", "Thumbs Up", "Thumbs Down", "Add to Playlist", "Add Friend", "Roll Advert", "Help", "Error",
           "Settings", "About", "Upgrade", "Downgrade", "Logout")  # fmt: skip
"""Pages that come anywhere in a session; the rows of ``Sessions.pages``."""
NO_PRELUDE, LOG_IN, SIGN_UP, VISITOR = 0, 1, 2, 3
"""What comes before the customer is logged in; from VISITOR on there is no customer at all."""
VISITOR_KINDS = 3
NO_OUTRO, LOG_OUT, LOG_OUT_AND_HOME, CANCEL = range(4)
"""How a session ends."""
LEAD_MS = 20_000
"""From the start of a session to its first play."""
TAIL_MS = 60_000
"""Room for the pages after the last play."""
GAP_MS = 600_000
"""Between two session starts of one customer, at least."""


@dataclass(frozen=True)
class Sessions:
    """The sessions that start on one day, in order of start; one value each, ``pages`` (len(HANGING), n)."""

    number: Ints
    customer: Ints
    """Row in ``Customers``, or -1: a visitor who never logs in."""
    start_ms: Ints
    first_play: Ints
    """Where on the tape it begins to listen."""
    plays: Ints
    span_ms: Ints
    """How long it listens."""
    paid: Bools
    """The plan it begins with."""
    change_ms: Ints
    """When it changes plan, after the start; -1: it does not."""
    prelude: Ints
    outro: Ints
    pages: Ints

    @property
    def end_ms(self) -> Ints:
        return self.start_ms + LEAD_MS + self.span_ms + TAIL_MS


@dataclass(frozen=True)
class Day:
    """One day lived."""

    index: int
    start_ms: int
    sessions: Sessions
    at_risk: Ints
    """Customers registered before the day and not gone by its start."""
    hazard: Floats
    """The probability that each of them cancels on the day."""


def visitors(rng: np.random.Generator, midnight: int, n: int) -> Sessions:
    """Short sessions of people who never log in."""
    none = np.zeros(n, np.int64)
    return Sessions(
        number=none,
        customer=none - 1,
        start_ms=midnight + time_of_day(rng, n),
        first_play=none,
        plays=none,
        span_ms=none,
        paid=rng.random(n) < 0.5,
        change_ms=none - 1,
        prelude=VISITOR + rng.integers(0, VISITOR_KINDS, n),
        outro=none + NO_OUTRO,
        pages=np.zeros((len(HANGING), n), np.int64),
    )


def numbered(first: int, *parts: Sessions) -> Sessions:
    """All of these in order of start, numbered from ``first`` on."""
    order = np.argsort(np.concatenate([p.start_ms for p in parts]), kind="stable")
    joined = {
        f.name: np.concatenate([getattr(p, f.name) for p in parts], axis=-1)[..., order] for f in fields(Sessions)
    }
    joined["number"] = first + np.arange(len(order))
    return Sessions(**joined)


def rank(group: Ints) -> tuple[Ints, Ints]:
    """Of rows sorted by group: how many of its group come before, and how many there are in all."""
    _, first, size = np.unique(group, return_index=True, return_counts=True)
    return np.arange(len(group)) - np.repeat(first, size), np.repeat(size, size)


def running_max(values: Ints, group: Ints) -> Ints:
    """Running maximum within each group (sorted by group, ascending)."""
    offset = group * (8 * DAY_MS)
    return np.maximum.accumulate(values + offset) - offset


def before(flags: Bools, nth: Ints) -> Ints:
    """How many of the group's earlier rows are flagged; rows sorted by group, ``nth`` within it."""
    seen: Ints = np.cumsum(flags) - flags
    first = np.maximum.accumulate(np.where(nth == 0, np.arange(len(nth)), 0))
    return seen - seen[first]
