"""What is known about tonight's scores without asking the database: looked at now and then in the background."""

from dataclasses import dataclass
from datetime import UTC, datetime

from churn.io.scorebook import Publication, ScoreBook
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

    def __init__(self, book: ScoreBook) -> None:
        self._book = book
        self.latest = LatestScores()
        self.curves = Curves(book)

    def look(self) -> None:
        """Ask the score book once. Keeps the last known publication where it does not answer."""
        try:
            self.latest = LatestScores(self._book.latest(), True, datetime.now(UTC))
        except Exception:
            self.latest = LatestScores(self.latest.publication, False, datetime.now(UTC))
            raise


def age_days(publication: Publication) -> int:
    """Whole UTC days from the scores' cut-off to today."""
    return (datetime.now(UTC).date() - publication.as_of).days


def is_stale(publication: Publication) -> bool:
    """A night is missing since."""
    return age_days(publication) > STALE_DAYS
