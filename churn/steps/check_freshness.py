"""Check freshness: whether the latest scores are as recent as they should be by now."""

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from churn.errors import BadInput
from churn.io.scorebook import Publication, ScoreBook
from churn.settings import Settings


@dataclass(frozen=True)
class Freshness:
    """Whether somebody should look why there are no newer scores."""

    as_of: str | None
    """Date of the latest scores; None: nothing has ever been published."""
    due: str
    """Date that scores should be of by now."""
    alarm: bool
    summary: str


def check_freshness(settings: Settings, now: datetime) -> Freshness:
    """Scores of a day are due on that day by ``settings.scores_due`` (UTC); until then the day before's will do.

    Raises BadInput for a ``now`` without a time zone.
    """
    if now.tzinfo is None:
        raise BadInput(f"{now} has no time zone: pass an aware datetime")
    now = now.astimezone(UTC)
    due = now.date() if now.time() >= settings.scores_due else now.date() - timedelta(days=1)
    with closing(ScoreBook(settings.score_database)) as book:
        latest = book.latest()
    stale = latest is None or latest.as_of < due
    as_of = latest.as_of.isoformat() if latest else None
    return Freshness(as_of, due.isoformat(), stale, _summary(latest, due, settings, stale=stale))


def _summary(latest: Publication | None, due: date, settings: Settings, *, stale: bool) -> str:
    had = "no scores were ever published" if latest is None else f"the latest scores are as of {latest.as_of}"
    if not stale:
        return f"{had}, as they should be"
    return f"{had}; those as of {due} were due by {settings.scores_due:%H:%M} UTC on that day"
