"""The newest night: the one whose findings count for today."""

from datetime import date, timedelta

from churn.io.lake import Lake
from churn.settings import Settings


def newest_night(settings: Settings, today: date) -> date | None:
    """Today's, or the last one that the log reaches where it ended before; None without any log.

    Days of the log that have not begun do not count.
    """
    days = Lake(settings.data_home).event_days()
    return min(today, days[-1] + timedelta(days=1)) if days else None
