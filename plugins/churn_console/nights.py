"""The last nights: which ones are looked at, and what each came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

from churn.io.checks import Check
from churn.io.score_queries import Publication
from churn_console.quality import NightQuality, quality_of
from churn_console.reading import Reading, Section

SHOWN = 30
"""Nights on a page; however many there are, no more are read."""
_FIRST = date(1970, 1, 1)
"""No window ends before it: nothing is known of the time before, and dates have an end."""


@dataclass(frozen=True)
class Window:
    """The nights from ``first`` to ``last``, both included."""

    first: date
    last: date
    newest: date
    """The last night that is known at all."""

    @property
    def days(self) -> list[date]:
        """Newest first."""
        return [self.last - timedelta(days=k) for k in range((self.last - self.first).days + 1)]

    @property
    def earlier(self) -> date:
        return self.first - timedelta(days=1)

    @property
    def later(self) -> date | None:
        """Where the next later window ends; None for the newest."""
        return min(self.last + timedelta(days=SHOWN), self.newest) if self.last < self.newest else None


@dataclass(frozen=True)
class Night:
    """A night in one line."""

    day: date
    publication: Publication | None
    others: int
    """Further versions that published this night before."""
    checks: Mapping[str, Check]
    """By kind: of several versions' the last one."""
    quality: Section[NightQuality | None]

    @property
    def anything(self) -> bool:
        return bool(self.publication or self.checks or self.quality.found or self.quality.away)


def window(reading: Reading, until: date | None) -> Window:
    """The newest nights that anything is known of, or those up to ``until``. Without any, those up to today (UTC)."""

    def newest() -> date:
        latest, checked = reading.ask(lambda s: (s.book.latest(), s.checks.newest_night()))
        known = [day for day in (latest.as_of if latest else None, checked) if day]
        return max(known, default=datetime.now(UTC).date())

    known = reading.section(newest).found or datetime.now(UTC).date()
    last = max(_FIRST, min(until, known) if until else known)
    return Window(last - timedelta(days=SHOWN - 1), last, known)


def nights(reading: Reading, shown: Window) -> list[Night]:
    """Newest first; none before the first that has anything to show."""
    published = reading.ask(lambda s: s.book.publications(since=shown.first, until=shown.last))
    checked = reading.ask(lambda s: s.checks.headlines(shown.first, shown.last))
    found = []
    for day in shown.days:
        own = [p for p in published if p.as_of == day]
        # Oldest first, so that of several versions' the last one stands.
        checks = {c.what: c for c in reversed(checked) if c.as_of == day}
        quality = reading.section(partial(quality_of, reading.kept, day))
        found.append(Night(day, own[-1] if own else None, max(0, len(own) - 1), checks, quality))
    while found and not found[-1].anything:
        found.pop()
    return found
