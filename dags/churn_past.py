"""Nights of the past, as a backfill works them off: they are published and looked at, and nobody is woken up."""

from datetime import UTC, date, datetime, timedelta

from churn.settings import Settings

_LATE = timedelta(days=1)
"""A night that is cleared or finished a day late still rings."""


def of_the_past(day: date | str) -> str | None:
    """Why what is found of this night asks for nothing; None: it counts.

    By the log, not by the kind of run: monitor_model runs on what a backfill of score_nightly published, and a log
    that ends long ago has a newest night all the same.
    """
    from churn.steps.newest_night import newest_night

    if isinstance(day, str):
        try:
            day = date.fromisoformat(day)
        except ValueError:  # a key that somebody made up
            return None
    newest = newest_night(Settings(), datetime.now(UTC).date())
    if newest is None or day >= newest - _LATE:
        return None
    return f"{day} is a night of the past: what counts is what the newest one, {newest}, finds"
