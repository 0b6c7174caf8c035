"""A music service whose cancellation risk is known: customers, their moods and their sessions, day by day.

The number of sessions a customer starts on a day is Poisson(lambda) and each of them ends in a cancellation with
probability v. Both depend only on the state at the start of the day, so the customer cancels on that day with
probability exactly 1 - exp(-lambda v): the hazard. Everything observable (visits, dislikes, adverts, help and error
pages, plan changes) follows the same state and feeds back into it.

Day d depends only on (customers, seed, start) and the days before it: each day draws from its own random stream.
"""

from collections.abc import Iterator
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
from churn.core.simulated_risk import Hidden
from churn.core.simulated_sessions import (
    CANCEL,
    GAP_MS,
    HANGING,
    LEAD_MS,
    LOG_IN,
    NO_PRELUDE,
    SIGN_UP,
    TAIL_MS,
    Day,
    Sessions,
    before,
    numbered,
    rank,
    running_max,
    visitors,
)

_PER_PLAY = np.array([0.026, 0.052, 0.0095, 0.027, 0.018, 1.0, 0.006, 0.0011, 0.007, 0.0045, 0.006, 0.008])
"""Visits per play, from the public log; adverts are given below, by plan."""


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
        self.hidden = Hidden.begin(stream(seed, LIFE, 0), n)
        self._warm_up()

    def _warm_up(self) -> None:
        for day in range(-WARM_UP_DAYS, 0):
            self.advance(day)
            lost = np.flatnonzero(self.gone)
            rng = stream(self.seed, PEOPLE, 1_000_000 + WARM_UP_DAYS + day)
            registered = self.zero_ms + day * DAY_MS + time_of_day(rng, len(lost))
            self.who.put(lost, Customers.draw(rng, registered))
            self.gone[lost], self.paid[lost] = False, self.who.paid_at_first[lost]
            self.hidden.reset(lost)
        self.next_session = 1

    def advance(self, day: int) -> Day:
        """Live day ``day`` (0 is the first that is logged): its sessions, and the risk that was run."""
        rng = stream(self.seed, LIFE, 1 + WARM_UP_DAYS + day)
        midnight = self.zero_ms + day * DAY_MS
        at_risk = np.flatnonzero(~self.gone & (self.who.registered_ms < midnight))
        visits, v = self.hidden.rates(self.who, self.paid, midnight, (self.weekday_of_zero + day) % 7)
        customer, start, cancels = self._arrivals(rng, midnight, at_risk, visits, v)
        sessions = self._sessions(rng, midnight, customer, start, cancels)
        self._leave(rng, sessions)
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
        nth, size = rank(customer)
        # At least GAP_MS apart: push later ones back, then what runs over the day forward again.
        start = running_max(start - GAP_MS * nth, customer) + GAP_MS * nth
        start = np.minimum(start, LAST_START_MS - GAP_MS * (size - 1 - nth))
        stays = before(cancels, nth) == 0
        return customer[stays], start[stays], cancels[stays]

    def _sessions(
        self, rng: np.random.Generator, midnight: int, customer: Ints, start: Ints, cancels: Bools
    ) -> Sessions:
        """What happens in each of these, and the day's visitors beside them."""
        n, (nth, _) = len(customer), rank(customer)
        # A session ends before the customer's next one, by four in the morning, or, if it is the last, by midnight.
        until = np.where(cancels, DAY_MS, DAY_MS + 4 * 3_600_000)
        until[:-1] = np.where(nth[1:] > 0, start[1:], until[:-1])
        first_play, plays, span = self._listening(rng, customer, until - start - LEAD_MS - 2 * TAIL_MS)
        changes = ~cancels & (rng.random(n) < self._change_rate()[customer])
        earlier = before(changes, nth)
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
        sessions = numbered(self.next_session, known, visitors(rng, midnight, round(0.25 * n)))
        self.next_session += len(sessions.number)
        return sessions

    def _listening(self, rng: np.random.Generator, customer: Ints, room_ms: Ints) -> tuple[Ints, Ints, Ints]:
        """Where on the tape each session begins, how many plays it has, and how long they take: at most ``room_ms``."""
        n, tape = len(customer), catalogue(self.seed).starts_ms
        first = rng.integers(0, TAPE_PLAYS, n)
        wanted = self.who.plays[customer] * np.exp(0.95 * rng.standard_normal(n) + 0.15 * self.hidden.mood[customer])
        wanted = np.where(rng.random(n) < 0.04, 0, wanted)  # looks in and leaves
        fits = np.searchsorted(tape, tape[first] + np.maximum(room_ms, 0), side="right") - 1 - first
        plays = np.minimum(np.minimum(wanted.astype(np.int64), MAX_PLAYS), fits)
        return first, plays, np.where(plays > 0, tape[first + plays] - tape[first], TAIL_MS)

    def _change_rate(self) -> Floats:
        """Probability that a session changes the plan. Up in a good mood, down in a bad one; 60 % pay."""
        rate: Floats = np.where(
            self.paid, 0.020 * np.exp(-0.5 * self.hidden.mood), 0.034 * np.exp(0.3 * self.hidden.mood)
        )
        return rate

    def _page_rates(self, customer: Ints, paid: Bools) -> Floats:
        """Visits per play of each of HANGING, (len(HANGING), n)."""
        who, mood = self.who, self.hidden.mood[customer]
        rates = np.repeat(_PER_PLAY[:, None], len(customer), axis=1) * who.pages[customer]
        factor = dict.fromkeys(HANGING, np.ones(len(customer)))
        factor["Thumbs Up"] = who.likes[customer] * np.exp(0.35 * mood)
        factor["Thumbs Down"] = who.dislikes[customer] * np.exp(-1.00 * mood)
        factor["Roll Advert"] = who.adverts[customer] * np.where(paid, 0.002, 0.075)
        factor["Help"] = factor["Error"] = np.exp(-0.60 * mood)
        factor["Upgrade"] = np.where(paid, 0.0, 1.0)
        factor["Downgrade"] = np.where(paid, np.exp(-0.50 * mood), 0.0)
        return rates * np.stack([factor[page] for page in HANGING])

    def _leave(self, rng: np.random.Generator, day: Sessions) -> None:
        """What the day leaves behind: memories, plans, moods, and who is gone."""
        theirs = day.customer >= 0
        changed = day.customer[theirs & (day.change_ms >= 0)]
        self.hidden.remember(rng, day, changed[self.paid[changed]])
        self.paid[changed] ^= True
        self.busy_until_ms[day.customer[theirs]] = 0
        np.maximum.at(self.busy_until_ms, day.customer[theirs], day.end_ms[theirs])
        self.gone[day.customer[day.outro == CANCEL]] = True


def live(customers: int, seed: int, start: date, days: int) -> tuple[Life, Iterator[Day]]:
    """The service and its days 0 … ``days`` - 1, each lived when asked for."""
    life = Life(customers, seed, start, days)
    return life, (life.advance(day) for day in range(days))
