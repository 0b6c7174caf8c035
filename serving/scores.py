"""What is known about tonight's scores, and what the checks found of them, without asking the database: looked at now
and then in the background."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from churn.io.checks import Checks
from churn.io.scorebook import Publication, ScoreBook
from serving.check_watch import CheckWatch
from serving.profit import Curves

STALE_DAYS = 1
"""Scores are made every night; older ones than this mean that a night is missing."""


@dataclass(frozen=True)
class LatestScores:
    """The newest publication, or None, and whether the score book answered."""

    publication: Publication | None = None
    reachable: bool | None = None
    looked_at: datetime | None = None


class ScoreWatch:
    """``latest`` is swapped in one assignment, so that health never waits for a database."""

    def __init__(self, book: ScoreBook, checks: Checks) -> None:
        self._book = book
        self.latest = LatestScores()
        self.curves = Curves(book)
        self.checks = CheckWatch(checks)

    def look(self) -> None:
        """Ask the score book once, and the checks beside it. Keeps what was last known where they do not answer."""
        try:
            self.latest = LatestScores(self._book.latest(), True, datetime.now(UTC))
        except Exception:  # a surprise too means that nothing new is known; the poller logs it
            self.latest = LatestScores(self.latest.publication, False, datetime.now(UTC))
            self.checks.lost()  # it is the same store: no second wait for it
            raise
        self.checks.look()


def age_days(as_of: date) -> int:
    """Whole UTC days from a cut-off to today."""
    return (datetime.now(UTC).date() - as_of).days


def is_stale(publication: Publication) -> bool:
    """A night is missing since."""
    return age_days(publication.as_of) > STALE_DAYS
