"""Whether scores are stale: the day's are due by a time of day, UTC."""

from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta, timezone

import numpy as np
import pytest
from pydantic import ValidationError

from churn.errors import BadInput
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.check_freshness import check_freshness

TODAY = date(2026, 3, 5)


@pytest.fixture
def scored(settings: Settings) -> Settings:
    """Scores as of the day before ``TODAY``."""
    with closing(ScoreBook(settings.score_database)) as book:
        yesterday = TODAY - timedelta(days=1)
        book.publish(yesterday, "1", ["a", "b"], np.array([0.1, 0.9]), np.array([0, 1]), threshold=0.5)
    return settings


def at(hour: int, minute: int = 0) -> datetime:
    return datetime.combine(TODAY, time(hour, minute), UTC)


def test_until_they_are_due_yesterdays_scores_will_do(scored: Settings) -> None:
    report = check_freshness(scored, at(5, 59))
    assert not report.alarm
    assert report.due == "2026-03-04"
    assert report.summary == "the latest scores are as of 2026-03-04, as they should be"


def test_at_the_minute_they_are_due_yesterdays_scores_are_stale(scored: Settings) -> None:
    report = check_freshness(scored, at(6))
    assert report.alarm
    assert report.as_of == "2026-03-04"
    assert report.summary == (
        "the latest scores are as of 2026-03-04; those as of 2026-03-05 were due by 06:00 UTC on that day"
    )


def test_another_deadline_can_be_set(scored: Settings) -> None:
    assert not check_freshness(scored.model_copy(update={"scores_due": time(9, 30)}), at(9, 29)).alarm


def test_the_deadline_is_in_utc_whatever_the_clock_of_the_caller_says(scored: Settings) -> None:
    tokyo = timezone(timedelta(hours=9))
    assert not check_freshness(scored, datetime(2026, 3, 5, 14, 59, tzinfo=tokyo)).alarm
    assert check_freshness(scored, datetime(2026, 3, 5, 15, 0, tzinfo=tokyo)).alarm
    with pytest.raises(BadInput, match="no time zone"):
        check_freshness(scored, datetime(2026, 3, 5, 15, 0))  # noqa: DTZ001 - that is the point


def test_a_deadline_with_a_zone_is_refused_when_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_SCORES_DUE", "06:00Z")
    with pytest.raises(ValidationError, match="UTC already: write it without a zone, for example 06:00"):
        Settings(_env_file=None)  # type: ignore[call-arg]


def test_nothing_was_ever_published(settings: Settings) -> None:
    report = check_freshness(settings, at(12))
    assert report.alarm
    assert report.as_of is None
    assert report.summary.startswith("no scores were ever published; those as of 2026-03-05 were due")
