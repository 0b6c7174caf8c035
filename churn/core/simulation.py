"""A music service whose cancellation risk is known: customers, their moods and their sessions, day by day.

The number of sessions a customer starts on a day is Poisson(lambda) and each of them ends in a cancellation with
probability v. Both depend only on the state at the start of the day, so the customer cancels on that day with
probability exactly 1 - exp(-lambda v): the hazard. Everything observable (visits, dislikes, adverts, help and error
pages, plan changes) follows the same state and feeds back into it.

Day d depends only on (customers, seed, start) and the days before it: each day draws from its own random stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date

import numpy as np

from churn.core.events import DAY_MS
from churn.core.simulated_customers import (
    LAST_START_MS,
    LIFE,
    MAX_PLAYS,
    PEOPLE,
    SIGN_UP_MS,
    TAPE_PLAYS,
    WARM_UP_DAYS,
    Bools,
    Customers,
    Floats,
    Ints,
    catalogue,
    day_zero_ms,
    everyone,
    stream,
    time_of_day,
)

HANGING = ("Home", "Thumbs Up", "Thumbs Down", "Add to Playlist", "Add Friend", "Roll Advert", "Help", "Error",
           "Settings", "About", "Upgrade", "Downgrade")  # fmt: skip
"""Pages that come anywhere in a session; the rows of ``Sessions.pages``."""
_PER_PLAY = np.array([0.026, 0.052, 0.0095, 0.027, 0.018, 1.0, 0.006, 0.0011, 0.007, 0.0045, 0.006, 0.008])
"""Visits per play, from the public log; adverts are given below, by plan."""
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


_WEEKDAY = (1.05, 1.05, 1.05, 1.05, 1.05, 0.90, 0.85)
"""Monday to Sunday; people listen at work."""
_MOOD_KEPT = float(np.exp(-1 / 30))
"""Moods last for weeks (30 days), so the last fortnight says something about the next."""
_MOOD_SPREAD = 0.65
_SHOCK, _SHOCK_ABOVE = -3.0, 2.60
"""A day on which something goes badly wrong for a customer: about once in nine months (a normal deviate above 2.70).
The tail of the risk."""
_KEPT = float(np.exp(-1 / 10))
"""Dislikes, adverts and troubles are remembered for about ten days."""
_MAX_V = 0.5


class Life:
    """The state of the service at the start of a day; ``advance`` lives the day."""

    def __init__(self, customers: int, seed: int, start: date, days: int) -> None:
        self.seed, self.zero_ms = seed, day_zero_ms(start)
        self.weekday_of_zero = start.weekday()
        self.who = everyone(customers, seed, start, days)
        n = len(self.who.visits)
        self.next_session = 1
        self.gone = np.zeros(n, np.bool_)
        self.paid = self.who.paid_at_first.copy()
        self.busy_until_ms = np.zeros(n, np.int64)
        self.mood = np.zeros(n)
        self.dislikes, self.adverts, self.troubles, self.downgraded = (np.zeros(n) for _ in range(4))
        self._warm_up()

    def _warm_up(self) -> None:
        self.mood = _MOOD_SPREAD * stream(self.seed, LIFE, 0).standard_normal(len(self.mood))
        for day in range(-WARM_UP_DAYS, 0):
            self.advance(day)
            lost = np.flatnonzero(self.gone)
            rng = stream(self.seed, PEOPLE, 1_000_000 + WARM_UP_DAYS + day)
            registered = self.zero_ms + day * DAY_MS + time_of_day(rng, len(lost))
            self.who.put(lost, Customers.draw(rng, registered))
            self.gone[lost], self.paid[lost] = False, self.who.paid_at_first[lost]
            for memory in (self.mood, self.dislikes, self.adverts, self.troubles, self.downgraded):
                memory[lost] = 0.0
        self.next_session = 1

    def rates(self, day: int) -> tuple[Floats, Floats]:
        """Of each customer: sessions expected on the day, and the probability that one of them is the last."""
        visits = self.who.visits * np.exp(0.20 * self.mood) * _WEEKDAY[(self.weekday_of_zero + day) % 7]
        tenure = np.maximum(self.zero_ms + day * DAY_MS - self.who.registered_ms, 0) / DAY_MS
        log_v = (
            -6.30
            + self.who.frailty
            - 1.20 * self.mood
            + 0.45 * np.log1p(self.dislikes)
            + 0.25 * np.log1p(self.adverts)
            + 0.35 * np.log1p(self.troubles)
            + 0.90 * self.downgraded
            - 0.20 * self.paid
            + 0.60 * np.exp(-tenure / 21)  # newcomers are still making up their minds
        )
        return visits, np.minimum(np.exp(log_v), _MAX_V)

    def advance(self, day: int) -> Day:
        """Live day ``day`` (0 is the first that is logged): its sessions, and the risk that was run."""
        rng = stream(self.seed, LIFE, 1 + WARM_UP_DAYS + day)
        midnight = self.zero_ms + day * DAY_MS
        at_risk = np.flatnonzero(~self.gone & (self.who.registered_ms < midnight))
        visits, v = self.rates(day)
        customer, start, cancels = self._arrivals(rng, midnight, at_risk, visits, v)
        sessions = self._sessions(rng, midnight, customer, start, cancels)
        self._remember(rng, sessions)
        return Day(day, midnight, sessions, at_risk, -np.expm1(-visits[at_risk] * v[at_risk]))

    def _arrivals(
        self, rng: np.random.Generator, midnight: int, at_risk: Ints, visits: Floats, v: Floats
    ) -> tuple[Ints, Ints, Bools]:
        """Who starts a session, when (after midnight), and whether it is the last; by customer, then time."""
        customer = np.repeat(at_risk, rng.poisson(visits[at_risk]))
        start = np.maximum(time_of_day(rng, len(customer)), self.busy_until_ms[customer] - midnight + GAP_MS)
        cancels = rng.random(len(customer)) < v[customer]
        registered = self.who.registered_ms - midnight
        new = np.flatnonzero((registered >= 0) & (registered < DAY_MS))
        customer, cancels = np.concatenate([customer, new]), np.concatenate([cancels, np.zeros(len(new), np.bool_)])
        start = np.concatenate([start, registered[new] - SIGN_UP_MS])
        order = np.lexsort((start, customer))
        customer, start, cancels = customer[order], start[order], cancels[order]
        rank, size = _rank(customer)
        # At least GAP_MS apart: push later ones back, then what runs over the day forward again.
        start = _running_max(start - GAP_MS * rank, customer) + GAP_MS * rank
        start = np.minimum(start, LAST_START_MS - GAP_MS * (size - 1 - rank))
        stays = _before(cancels, rank) == 0
        return customer[stays], start[stays], cancels[stays]

    def _sessions(
        self, rng: np.random.Generator, midnight: int, customer: Ints, start: Ints, cancels: Bools
    ) -> Sessions:
        """What happens in each of these, and the day's visitors beside them."""
        n, (rank, _) = len(customer), _rank(customer)
        # A session ends before the customer's next one, by four in the morning, or, if it is the last, by midnight.
        until = np.where(cancels, DAY_MS, DAY_MS + 4 * 3_600_000)
        until[:-1] = np.where(rank[1:] > 0, start[1:], until[:-1])
        first_play, plays, span = self._listening(rng, customer, until - start - LEAD_MS - 2 * TAIL_MS)
        changes = ~cancels & (rng.random(n) < self._change_rate()[customer])
        earlier = _before(changes, rank)
        changes &= earlier == 0
        paid = self.paid[customer] ^ (earlier > 0)
        new = self.who.registered_ms[customer] >= midnight
        known = Sessions(
            number=np.zeros(n, np.int64),
            customer=customer,
            start_ms=midnight + start,
            first_play=first_play,
            plays=plays,
            span_ms=span,
            paid=paid,
            change_ms=np.where(changes, LEAD_MS + (rng.uniform(0.1, 1.0, n) * span).astype(np.int64), -1),
            prelude=np.where(new, SIGN_UP, np.where(rng.random(n) < 0.6, LOG_IN, NO_PRELUDE)),
            outro=np.where(cancels, CANCEL, rng.choice(3, n, p=[0.4, 0.35, 0.25])),
            pages=rng.poisson(self._page_rates(customer, paid) * (plays + 1.0)),
        )
        # One visitor for four sessions: their rows and the log-ins are some 3 % of the log, as in the public one.
        return self._numbered(known, _visitors(rng, midnight, round(0.25 * n)))

    def _listening(self, rng: np.random.Generator, customer: Ints, room_ms: Ints) -> tuple[Ints, Ints, Ints]:
        """Where on the tape each session begins, how many plays it has, and how long they take: at most ``room_ms``."""
        n, tape = len(customer), catalogue(self.seed).starts_ms
        first = rng.integers(0, TAPE_PLAYS, n)
        wanted = self.who.plays[customer] * np.exp(0.95 * rng.standard_normal(n) + 0.15 * self.mood[customer])
        wanted = np.where(rng.random(n) < 0.04, 0, wanted)  # looks in and leaves
        fits = np.searchsorted(tape, tape[first] + np.maximum(room_ms, 0), side="right") - 1 - first
        plays = np.minimum(np.minimum(wanted.astype(np.int64), MAX_PLAYS), fits)
        return first, plays, np.where(plays > 0, tape[first + plays] - tape[first], TAIL_MS)

    def _numbered(self, *parts: Sessions) -> Sessions:
        """All sessions of the day in order of start, numbered on from the day before."""
        order = np.argsort(np.concatenate([p.start_ms for p in parts]), kind="stable")
        joined = {
            f.name: np.concatenate([getattr(p, f.name) for p in parts], axis=-1)[..., order] for f in fields(Sessions)
        }
        joined["number"] = self.next_session + np.arange(len(order))
        self.next_session += len(order)
        return Sessions(**joined)

    def _change_rate(self) -> Floats:
        """Probability that a session changes the plan. Up in a good mood, down in a bad one; 60 % pay."""
        rate: Floats = np.where(self.paid, 0.020 * np.exp(-0.5 * self.mood), 0.034 * np.exp(0.3 * self.mood))
        return rate

    def _page_rates(self, customer: Ints, paid: Bools) -> Floats:
        """Visits per play of each of HANGING, (len(HANGING), n)."""
        who, mood = self.who, self.mood[customer]
        rates = np.repeat(_PER_PLAY[:, None], len(customer), axis=1) * who.pages[customer]
        factor = dict.fromkeys(HANGING, np.ones(len(customer)))
        factor["Thumbs Up"] = who.likes[customer] * np.exp(0.35 * mood)
        factor["Thumbs Down"] = who.dislikes[customer] * np.exp(-1.00 * mood)
        factor["Roll Advert"] = who.adverts[customer] * np.where(paid, 0.002, 0.075)
        factor["Help"] = factor["Error"] = np.exp(-0.60 * mood)
        factor["Upgrade"] = np.where(paid, 0.0, 1.0)
        factor["Downgrade"] = np.where(paid, np.exp(-0.50 * mood), 0.0)
        return rates * np.stack([factor[page] for page in HANGING])

    def _remember(self, rng: np.random.Generator, day: Sessions) -> None:
        """What the day leaves behind: memories, plans, moods, and who is gone."""
        n, theirs = len(self.mood), day.customer >= 0
        customer, pages = day.customer[theirs], day.pages[:, theirs]

        def total(*names: str) -> Floats:
            rows = [HANGING.index(name) for name in names]
            return np.bincount(customer, weights=pages[rows].sum(axis=0), minlength=n).astype(np.float64)

        changed = customer[day.change_ms[theirs] >= 0]
        self.dislikes = _KEPT * self.dislikes + total("Thumbs Down")
        self.adverts = _KEPT * self.adverts + total("Roll Advert")
        self.troubles = _KEPT * self.troubles + total("Help", "Error")
        self.downgraded *= _KEPT
        self.downgraded[changed[self.paid[changed]]] = 1.0
        self.paid[changed] ^= True
        self.busy_until_ms[customer] = 0
        np.maximum.at(self.busy_until_ms, customer, day.end_ms[theirs])
        self.gone[day.customer[day.outro == CANCEL]] = True
        # The last draw of the day and one row a customer: those who come in a later period change nothing for others.
        drift, luck = rng.standard_normal((n, 2)).T
        fresh = _MOOD_SPREAD * np.sqrt(1 - _MOOD_KEPT**2) * drift
        self.mood = _MOOD_KEPT * self.mood + fresh + _SHOCK * (luck > _SHOCK_ABOVE)


def _visitors(rng: np.random.Generator, midnight: int, n: int) -> Sessions:
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


def _rank(group: Ints) -> tuple[Ints, Ints]:
    """Of rows sorted by group: how many of its group come before, and how many there are in all."""
    _, first, size = np.unique(group, return_index=True, return_counts=True)
    return np.arange(len(group)) - np.repeat(first, size), np.repeat(size, size)


def _running_max(values: Ints, group: Ints) -> Ints:
    """Running maximum within each group (sorted by group, ascending)."""
    offset = group * (8 * DAY_MS)
    return np.maximum.accumulate(values + offset) - offset


def _before(flags: Bools, rank: Ints) -> Ints:
    """How many of the group's earlier rows are flagged; rows sorted by group, ``rank`` within it."""
    seen: Ints = np.cumsum(flags) - flags
    first = np.maximum.accumulate(np.where(rank == 0, np.arange(len(rank)), 0))
    return seen - seen[first]


def live(customers: int, seed: int, start: date, days: int) -> tuple[Life, Iterator[Day]]:
    """The service and its days 0 … ``days`` - 1, each lived when asked for."""
    life = Life(customers, seed, start, days)
    return life, (life.advance(day) for day in range(days))
