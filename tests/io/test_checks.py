"""The checks' table on SQLite and on a real PostgreSQL: one row for each date, check and version."""

from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from churn.io.checks import Check, Checks
from churn.io.ledger import Ledger
from churn.io.scorebook import ScoreBook

NIGHT = date(2026, 3, 1)
DAY = timedelta(days=1)


def recorded(url: str, night: date = NIGHT, what: str = "drift", version: str = "1", alarm: bool = False) -> Check:
    with closing(Checks(url)) as checks:
        return checks.record(night, what, version, alarm=alarm, summary=f"{what} of {night}", detail={"n": 1})


def test_what_is_recorded_is_what_is_read(url: str) -> None:
    before = datetime.now(UTC)
    with closing(Checks(url)) as checks:
        assert checks.all() == []
        written = checks.record(
            NIGHT, "performance", "12", alarm=True, summary="Rückgang; --'", detail={"roc_auc": 0.61, "by": ["a", None]}
        )
        assert checks.all() == [written]
    assert (written.alarm, written.detail) == (True, {"roc_auc": 0.61, "by": ["a", None]})
    assert before <= written.checked_at <= datetime.now(UTC)


def test_a_check_done_again_replaces_what_it_found_and_nothing_else(url: str) -> None:
    recorded(url)
    others = [recorded(url, NIGHT + DAY), recorded(url, what="early_warning"), recorded(url, version="2")]
    again = recorded(url, alarm=True)
    with closing(Checks(url)) as checks:
        assert len(checks.all()) == 4
        assert all(check in checks.all() for check in [*others, again])


def test_the_newest_date_comes_first_and_only_what_is_asked_for(url: str) -> None:
    for night in (NIGHT + DAY, NIGHT, NIGHT + 2 * DAY):
        recorded(url, night)
        recorded(url, night, "early_warning")
    with closing(Checks(url)) as checks:
        assert [c.as_of for c in checks.all("drift")] == [NIGHT + 2 * DAY, NIGHT + DAY, NIGHT]
        assert [c.as_of for c in checks.all("drift", until=NIGHT + DAY)] == [NIGHT + DAY, NIGHT]
        assert [c.as_of for c in checks.all("drift", limit=1)] == [NIGHT + 2 * DAY]
        assert {c.what for c in checks.all()} == {"drift", "early_warning"}
        assert checks.all("performance") == []


def test_what_no_json_can_say_becomes_what_it_can(url: str) -> None:
    given = {
        "nan": float("nan"),
        "deep": [{"inf": np.float64("inf"), "share": np.float32(0.5)}],
        "count": np.int64(3),
        "flag": np.bool_(True),
        "row": np.array([1.0, np.nan]),
        "day": NIGHT,
        7: (1, 2),
    }
    with closing(Checks(url)) as checks:
        written = checks.record(NIGHT, "drift", "1", alarm=np.bool_(False), summary="s", detail=given)  # type: ignore[arg-type]
        assert checks.all() == [written]
    assert written.detail == {
        "nan": None, "deep": [{"inf": None, "share": 0.5}], "count": 3, "flag": True, "row": [1.0, None],
        "day": "2026-03-01", "7": [1, 2],
    }  # fmt: skip


@pytest.mark.parametrize("first", [Checks, Ledger, ScoreBook])
def test_scores_checks_and_decisions_share_one_database(url: str, first: type) -> None:
    with (
        closing(first(url)),
        closing(Checks(url)) as checks,
        closing(Ledger(url)) as ledger,
        closing(ScoreBook(url)) as b,
    ):
        recorded(url)
        ledger.append("gate", key="k", who="the gate", why="tests")
        b.publish(NIGHT, "1", ["a"], np.array([0.5]), np.array([1]), threshold=0.5)
        assert (len(checks.all()), len(ledger.entries()), len(b.top(5))) == (1, 1, 1)
