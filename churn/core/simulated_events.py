"""The days of a simulated life as raw log rows: the 18 columns of the ``sparkify`` contract, one table a day."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from churn.core import simulated_names as names
from churn.core.arrays import Bools, Floats, Ints
from churn.core.events import DAY_MS
from churn.core.simulated_customers import EVENTS, PEOPLE, catalogue, stream
from churn.core.simulated_sessions import (
    CANCEL,
    HANGING,
    LEAD_MS,
    LOG_IN,
    LOG_OUT,
    LOG_OUT_AND_HOME,
    SIGN_UP,
    VISITOR,
    Day,
    Sessions,
)
from churn.core.simulation import Life

# How each page shows in the log: method and status.
_PAGES = {
    "NextSong": ("PUT", 200), **dict.fromkeys(HANGING, ("GET", 200)),
    "Thumbs Up": ("PUT", 307), "Thumbs Down": ("PUT", 307), "Add to Playlist": ("PUT", 200),
    "Add Friend": ("PUT", 307), "Error": ("GET", 404), "Login": ("PUT", 307), "Logout": ("PUT", 307),
    "Register": ("GET", 200), "Submit Registration": ("PUT", 307), "Save Settings": ("PUT", 307),
    "Submit Upgrade": ("PUT", 307), "Submit Downgrade": ("PUT", 307),
    "Cancel": ("PUT", 307), "Cancellation Confirmation": ("GET", 200),
}  # fmt: skip
PAGES = tuple(_PAGES)
AUTHS = ("Logged In", "Logged Out", "Cancelled")
_IN, _OUT, _CANCELLED = range(3)

# Pages before the log-in and after the last play: (page, milliseconds after the start / after the last play, auth).
_PRELUDES: dict[int, tuple[tuple[str, int, int], ...]] = {
    LOG_IN: (("Home", 0, _OUT), ("Login", 6_000, _OUT)),
    SIGN_UP: (("Home", 0, _OUT), ("Register", 4_000, _OUT), ("Submit Registration", 12_000, _OUT)),
    VISITOR: (("Home", 0, _OUT),),
    VISITOR + 1: (("Home", 0, _OUT), ("About", 31_000, _OUT)),
    VISITOR + 2: (("Home", 0, _OUT), ("Help", 24_000, _OUT), ("Login", 55_000, _OUT)),
}
_OUTROS: dict[int, tuple[tuple[str, int, int], ...]] = {
    LOG_OUT: (("Logout", 20_000, _IN),),
    LOG_OUT_AND_HOME: (("Logout", 20_000, _IN), ("Home", 27_000, _OUT)),
    CANCEL: (("Cancel", 25_000, _IN), ("Cancellation Confirmation", 40_000, _CANCELLED)),
}
_OPENING_MS = 15_000
"""The first page after the log-in; between SIGN_UP_MS and LEAD_MS."""
_OPENING_SHARE = 0.55
_RETURNING: tuple[tuple[str, int, int], ...] = (("Home", 2_000, _OUT), ("Login", 5_000, _OUT), ("Home", 6_000, _IN))
"""Half of those who log out log in again and go on with the same session: (page, milliseconds after, auth)."""
_SAVED_SHARE, _SAVING_MS = 0.18, 12_000
_TURNING_MS = 4_000
"""From the Upgrade or Downgrade page to its submission."""


@dataclass(frozen=True)
class Coded:
    """A column of few distinct values: ``values[codes]``, null where the code is -1."""

    codes: NDArray[np.integer]
    values: Sequence[str | int | float]


RawTable = dict[str, Coded | Ints]
"""Raw columns by name, in file order, all of one length."""


@dataclass(frozen=True)
class _Rows:
    """Log rows of some sessions; one value each."""

    ts: Ints
    session: Ints
    """Number of the session."""
    customer: Ints
    item: Ints
    page: Ints
    auth: Ints
    track: Ints
    """-1: not a play."""
    paid: Bools

    def take(self, where: Ints | Bools) -> "_Rows":
        return _Rows(**{name: column[where] for name, column in self.__dict__.items()})

    def after(self, earlier: "_Rows") -> "_Rows":
        return _Rows(**{name: np.concatenate([getattr(earlier, name), c]) for name, c in self.__dict__.items()})


class Log:
    """Writes down each day of a life: ``day(d)`` must be given every day from one before the first that is wanted."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._past_midnight: _Rows | None = None
        self._vocabulary = _vocabulary(life)

    def day(self, day: Day) -> RawTable:
        """The rows of one day, in order of time: of the sessions started on it, and of those running on from before."""
        rows = _rows(day, self._life.seed)
        later = rows.ts >= day.start_ms + DAY_MS
        self._past_midnight, before = rows.take(later), self._past_midnight
        rows = rows.take(~later)
        rows = rows.after(before) if before is not None else rows
        return self._table(rows.take(np.argsort(rows.ts, kind="stable")), day.index)

    def _table(self, rows: _Rows, day: int) -> RawTable:
        of, known, change = self._vocabulary, rows.auth != _OUT, self._life.change
        who = np.where(known, rows.customer, -1)
        artist = np.where(rows.track >= 0, rows.track % len(names.ARTISTS), -1)
        song = np.where(rows.track >= 0, rows.track % len(names.SONGS), -1)
        return {
            "artist": Coded(artist, names.ARTISTS),
            "auth": Coded(rows.auth, AUTHS),
            "firstName": Coded(who, of["firstName"]),
            "gender": Coded(who, of["gender"]),
            "itemInSession": rows.item,
            "lastName": Coded(who, of["lastName"]),
            "length": Coded(rows.track, of["length"]),
            "level": Coded(rows.paid.astype(np.int8), ("free", "paid")),
            "location": Coded(who, of["location"]),
            "method": Coded(rows.page, of["method"]),
            "page": Coded(rows.page, PAGES if change is None else change.pages(PAGES, day)),
            "registration": Coded(who, of["registration"]),
            "sessionId": rows.session,
            "song": Coded(song, names.SONGS),
            "status": Coded(rows.page, of["status"]),
            "ts": rows.ts,
            "userAgent": Coded(who, of["userAgent"]),
            "userId": Coded(np.where(known, rows.customer, len(of["firstName"])), of["userId"]),
        }


def customer_ids(n: int) -> list[str]:
    """``userId`` of each customer row."""
    return [str(i + 1) for i in range(n)]


def _vocabulary(life: Life) -> dict[str, Sequence[str | int | float]]:
    """Distinct values of the columns that follow from the customer, the page or the track."""
    registered = life.who.registered_ms
    n = len(registered)
    # One row of luck a customer, so that those who come in a later period change nothing for others.
    luck = stream(life.seed, PEOPLE, 2_000_000).random((n, 5))

    def pick(column: int, *words: str) -> list[str]:
        return [words[i] for i in (luck[:, column] * len(words)).astype(int)]

    woman = luck[:, 0] < 0.55
    women, men = pick(1, *names.WOMEN), pick(1, *names.MEN)
    return {
        "firstName": [women[i] if woman[i] else men[i] for i in range(n)],
        "gender": ["F" if is_woman else "M" for is_woman in woman],
        "lastName": pick(2, *names.FAMILIES),
        "location": pick(3, *names.LOCATIONS),
        "userAgent": pick(4, *names.USER_AGENTS),
        "registration": registered.astype(np.float64).tolist(),  # with a decimal point, as in the public log
        "userId": [*customer_ids(n), ""],
        "length": catalogue(life.seed).seconds.tolist(),
        "method": [_PAGES[page][0] for page in PAGES],
        "status": [_PAGES[page][1] for page in PAGES],
    }


_Part = tuple[Ints, Ints, int | Ints, int, int | Ints]
"""Rows of one sort: index of the session, milliseconds after its start, page, auth, track."""


def _rows(day: Day, seed: int) -> _Rows:
    """All rows of the sessions that start on the day, by session and time."""
    sessions, rng = day.sessions, stream(seed, EVENTS, day.index + 1)
    parts = [*_plays(sessions, seed), *_hanging(sessions, rng), *_turning(sessions), *_edges(sessions)]
    of = np.concatenate([part[0] for part in parts])
    at = np.concatenate([part[1] for part in parts])
    page, auth, track = (
        np.concatenate([np.broadcast_to(part[k], part[0].shape) for part in parts]).astype(np.int64) for k in (2, 3, 4)
    )
    # Sessions are shorter than 2^28 ms (74 hours): one integer key sorts by session, then time.
    order = np.argsort((of << 28) + at, kind="stable")
    of, at = of[order], at[order]
    size = np.bincount(of, minlength=len(sessions.number))
    change = sessions.change_ms[of]
    return _Rows(
        ts=sessions.start_ms[of] + at,
        session=sessions.number[of],
        customer=sessions.customer[of],
        item=np.arange(len(of)) - np.repeat(np.cumsum(size) - size, size),
        page=page[order],
        auth=auth[order],
        track=track[order],
        paid=sessions.paid[of] ^ ((change >= 0) & (at > change)),
    )


def _page(name: str) -> int:
    return PAGES.index(name)


def _plays(s: Sessions, seed: int) -> Iterator[_Part]:
    """Each play begins when the one before it ends."""
    songs = catalogue(seed)
    of = np.repeat(np.arange(len(s.plays)), s.plays)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(s.plays) - s.plays, s.plays)
    at = s.first_play[of] + nth
    yield of, LEAD_MS + songs.starts_ms[at] - songs.starts_ms[s.first_play[of]], _page("NextSong"), _IN, songs.tape[at]


def _hanging(s: Sessions, rng: np.random.Generator) -> Iterator[_Part]:
    """Pages anywhere between the first play and the end of the last, and what follows from some of them."""
    kind, session = np.divmod(np.repeat(np.arange(s.pages.size), s.pages.ravel()), s.pages.shape[1])
    luck: Floats = rng.random((2, len(kind)))
    at = LEAD_MS + (luck[0] * s.span_ms[session]).astype(np.int64)
    yield session, at, np.array([_page(name) for name in HANGING])[kind], _IN, -1
    saved = (kind == HANGING.index("Settings")) & (luck[1] < _SAVED_SHARE)
    yield session[saved], at[saved] + _SAVING_MS, _page("Save Settings"), _IN, -1
    back = kind == HANGING.index("Logout")
    for page, ms, auth in _RETURNING:
        yield session[back], at[back] + ms, _page(page), auth, -1
    opening = np.flatnonzero((s.customer >= 0) & ((rng.random(len(s.plays)) < _OPENING_SHARE) | (s.plays == 0)))
    yield opening, np.full(len(opening), _OPENING_MS), _page("Home"), _IN, -1


def _turning(s: Sessions) -> Iterator[_Part]:
    """A change of plan: the page, and its submission, which still shows the old plan."""
    for paid, looks, submits in ((False, "Upgrade", "Submit Upgrade"), (True, "Downgrade", "Submit Downgrade")):
        of = np.flatnonzero((s.change_ms >= 0) & (s.paid == paid))
        yield of, s.change_ms[of] - _TURNING_MS, _page(looks), _IN, -1
        yield of, s.change_ms[of], _page(submits), _IN, -1


def _edges(s: Sessions) -> Iterator[_Part]:
    """What comes before the log-in and after the last play."""
    end = LEAD_MS + s.span_ms
    for which, after, table in ((s.prelude, np.zeros_like(end), _PRELUDES), (s.outro, end, _OUTROS)):
        for code, pages in table.items():
            of = np.flatnonzero(which == code)
            for page, ms, auth in pages:
                yield of, after[of] + ms, _page(page), auth, -1
