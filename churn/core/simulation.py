"""A music service whose cancellation risk is known: customers and their sessions, day by day.

The number of sessions a customer starts on a day is Poisson(lambda) and each of them ends in a cancellation with
probability v. lambda follows from the customer and the weekday, v from the temperament and the plan at the start of the
day, so the customer cancels on that day with probability exactly 1 - exp(-lambda v): the hazard. Nobody who sees only
the log knows lambda or the temperament; both show in the counts.

Newcomers are like leavers and about as many, so a log looks the same wherever it is cut (see ``Customers.draw``).
Day d depends only on (customers, seed, start) and the days before it: each day draws from its own random stream. A
change in the world (``simulated_change``) moves nothing before its day, and the hazard is the one after it.
"""

from collections.abc import Iterator
from datetime import date

import numpy as np

from churn.core import simulated_risk as risk
from churn.core.arrays import Bools, Floats, Ints
from churn.core.events import DAY_MS
from churn.core.simulated_change import Change
from churn.core.simulated_customers import (
    LAST_START_MS,
    LIFE,
    MAX_PLAYS,
    SIGN_UP_MS,
    TAPE_PLAYS,
    catalogue,
    day_zero_ms,
    everyone,
    stream,
    time_of_day,
)
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

WEEKDAY = (1.05, 1.05, 1.05, 1.05, 1.05, 0.90, 0.85)
"""Factor on the visits of a day, Monday to Sunday; people listen at work."""
_PLAYS_FREE, _PLAYS_PAID = 31.0, 100.0
"""Mean plays a session, exponentially distributed: of single sessions in the public table, the standard deviation is
the mean, and 3 % of the free and 1 % of the paid have no play."""
_LATEST_END_MS = DAY_MS + 20 * 3_600_000
"""A session ends by the next day's evening: late enough for the longest, early enough for the sessions of that day."""
_PER_PLAY = {"Home": 0.0245, "Add to Playlist": 0.0285, "Add Friend": 0.0185, "Help": 0.0063, "Error": 0.0012,
             "Settings": 0.0070, "About": 0.0023, "Logout": 0.0122}  # fmt: skip
"""Visits per play of the pages that are alike for everybody, from the public table."""
_ADVERTS_PAID = 0.0008
"""Per play on the paid plan."""


class Life:
    """The state of the service at the start of a day; ``advance`` lives the day."""

    def __init__(self, customers: int, seed: int, start: date, days: int, change: Change | None = None) -> None:
        self.seed, self.zero_ms, self.change = seed, day_zero_ms(start), change
        self.weekday_of_zero = start.weekday()
        self.who = everyone(customers, seed, start, days)
        n = len(self.who.visits)
        self.next_session = 1
        self.gone = np.zeros(n, np.bool_)
        self.paid = self.who.paid_at_first.copy()
        self.busy_until_ms = np.zeros(n, np.int64)
        self.change_rates = np.stack(risk.change_rates(self.who.temper, self.who.visits))

    def advance(self, day: int) -> Day:
        """Live day ``day`` (0 is the first that is logged): its sessions, and the risk that was run."""
        rng = stream(self.seed, LIFE, day)
        midnight = self.zero_ms + day * DAY_MS
        at_risk = np.flatnonzero(~self.gone & (self.who.registered_ms < midnight))
        visits = self.who.visits * WEEKDAY[(self.weekday_of_zero + day) % 7]
        v = risk.last_visit(self.who.temper, self.paid)
        if self.change is not None:
            v = self.change.last_visit(v, self.paid, day)
        customer, start, cancels = self._arrivals(rng, midnight, at_risk, visits, v)
        sessions = self._sessions(rng, midnight, customer, start, cancels)
        self._leave(sessions)
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
        # A session ends before the customer's next one and, if it is the last, by midnight.
        until = np.where(cancels, DAY_MS, _LATEST_END_MS)
        until[:-1] = np.where(nth[1:] > 0, start[1:], until[:-1])
        changes = ~cancels & (rng.random(n) < self.change_rates[self.paid[customer].astype(np.int64), customer])
        earlier = before(changes, nth)
        changes &= earlier == 0
        paid = self.paid[customer] ^ (earlier > 0)
        first_play, plays, span = self._listening(rng, customer, paid, until - start - LEAD_MS - 2 * TAIL_MS)
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
            prelude=np.where(new, SIGN_UP, np.where(rng.random(n) < 0.35, LOG_IN, NO_PRELUDE)),
            outro=np.where(cancels, CANCEL, rng.choice(3, n, p=[0.8, 0.1, 0.1])),
            pages=rng.poisson(self._page_rates(customer, paid) * (plays + 1.0)),
        )
        # One visitor for six sessions: their rows and the log-ins are some 3 % of the log, as in the public one.
        sessions = numbered(self.next_session, known, visitors(rng, midnight, round(n / 6)))
        self.next_session += len(sessions.number)
        return sessions

    def _listening(
        self, rng: np.random.Generator, customer: Ints, paid: Bools, room_ms: Ints
    ) -> tuple[Ints, Ints, Ints]:
        """Where on the tape each session begins, how many plays it has, and how long they take: at most ``room_ms``."""
        n, tape = len(customer), catalogue(self.seed).starts_ms
        first = rng.integers(0, TAPE_PLAYS, n)
        wanted = self.who.plays[customer] * np.where(paid, _PLAYS_PAID, _PLAYS_FREE) * rng.exponential(size=n)
        fits = np.searchsorted(tape, tape[first] + np.maximum(room_ms, 0), side="right") - 1 - first
        plays = np.minimum(np.minimum(wanted.astype(np.int64), MAX_PLAYS), fits)
        return first, plays, np.where(plays > 0, tape[first + plays] - tape[first], TAIL_MS)

    def _page_rates(self, customer: Ints, paid: Bools) -> Floats:
        """Visits per play of each of HANGING, (len(HANGING), n); a change of plan brings one more look at its page."""
        temper = self.who.temper[customer]
        rates = {page: np.full(len(customer), rate) for page, rate in _PER_PLAY.items()}
        rates["Thumbs Up"], rates["Thumbs Down"] = risk.LIKES[temper], risk.DISLIKES[temper]
        rates["Roll Advert"] = np.where(paid, _ADVERTS_PAID, risk.ADVERTS[temper])
        rates["Upgrade"] = np.where(paid, 0.0, risk.UPGRADES[temper])
        rates["Downgrade"] = np.where(paid, risk.DOWNGRADES[temper], 0.0)
        return np.stack([rates[page] for page in HANGING])

    def _leave(self, day: Sessions) -> None:
        """What the day leaves behind: plans, who is still listening, and who is gone."""
        theirs = day.customer >= 0
        self.paid[day.customer[theirs & (day.change_ms >= 0)]] ^= True
        self.busy_until_ms[day.customer[theirs]] = 0
        np.maximum.at(self.busy_until_ms, day.customer[theirs], day.end_ms[theirs])
        self.gone[day.customer[day.outro == CANCEL]] = True


def live(customers: int, seed: int, start: date, days: int, change: Change | None = None) -> tuple[Life, Iterator[Day]]:
    """The service and its days 0 … ``days`` - 1, each lived when asked for; up to a ``change`` as they were without."""
    life = Life(customers, seed, start, days, change)
    return life, (life.advance(day) for day in range(days))
