"""Requests of a day against those of the weeks before, from a log on disk."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from churn.core.features import CORE_FEATURES, FEATURE_NAMES
from churn.core.model import CORE, FULL
from churn.io.prediction_log import partition
from churn.steps.live_requests import live_requests
from tests.request_log import FIRST, asked

AS_OF = date(2026, 3, 20)
DAY = AS_OF - timedelta(days=1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With requests of the ten days before the last one, a hundred a day to either model."""
    for n in range(2, 12):
        for model in (FULL, CORE):
            asked(tmp_path, AS_OF - timedelta(days=n), 100, model=model)
    return tmp_path


def test_where_nothing_was_asked_there_is_nothing_to_say(home: Path, tmp_path: Path) -> None:
    assert live_requests(home, AS_OF, "1") is None
    assert live_requests(tmp_path / "empty", AS_OF, "1") is None


def test_each_model_is_compared_by_the_features_it_takes_but_ages(home: Path) -> None:
    asked(home, DAY, 600)
    asked(home, DAY, 700, model=CORE, shift=5.0)
    found = live_requests(home, AS_OF, "1")
    assert found is not None
    names = {model: {f.name for f in report.features} for model, report in found.compared.items()}
    score = "churn_probability"
    assert names[FULL] == {*FEATURE_NAMES, score} - {"days_since_registration"}
    assert names[CORE] == {*(f.name for f in CORE_FEATURES), score} - {"days_since_registration"}
    assert found.detail["models"][FULL] == {"rows": {"before": 1000, "day": 600}, "differ": {}}
    assert set(found.detail["models"][CORE]["differ"]) == {FIRST}
    assert found.summary.startswith(
        "live requests of 2026-03-19, which ring no alarm: full model, as in the days before (600 requests against "
        "1,000); core model, 1 of 13 columns differ from the days before: total_sessions (KS 0."
    )


def test_another_versions_requests_are_left_out_on_both_sides(home: Path) -> None:
    asked(home, DAY, 600, version="2", shift=5.0)
    assert live_requests(home, AS_OF, "1") is None
    found = live_requests(home, AS_OF, "2")
    assert found is not None
    assert (dict(found.compared), found.too_few, found.summary) == ({}, {FULL: (0, 600)}, "")


@pytest.mark.parametrize(("rows", "compared"), [(499, False), (500, True)])
def test_five_hundred_requests_are_enough(home: Path, rows: int, compared: bool) -> None:
    asked(home, DAY, rows)
    found = live_requests(home, AS_OF, "1")
    assert found is not None
    assert (FULL in found.compared) == compared
    assert found.too_few == ({} if compared else {FULL: (1000, rows)})


def test_days_before_the_four_weeks_and_the_night_itself_are_not_looked_at(tmp_path: Path) -> None:
    for day in (AS_OF, DAY - timedelta(days=29)):
        asked(tmp_path, day, 1000, shift=5.0)
    for n, rows in ((0, 500), (28, 250), (1, 250)):
        asked(tmp_path, DAY - timedelta(days=n), rows)
    found = live_requests(tmp_path, AS_OF, "1")
    assert found is not None
    assert found.since == "2026-02-19"
    assert found.detail["models"][FULL] == {"rows": {"before": 500, "day": 500}, "differ": {}}


def test_a_busy_day_is_sampled(tmp_path: Path) -> None:
    asked(tmp_path, DAY, 6_000)
    for n in range(2, 5):
        asked(tmp_path, AS_OF - timedelta(days=n), 3_000)
    found = live_requests(tmp_path, AS_OF, "1")
    assert found is not None
    assert found.detail["models"][FULL]["rows"] == {"before": 750, "day": 5_000}
    assert live_requests(tmp_path, AS_OF, "1") == found


def test_a_log_that_cannot_be_read_is_said(home: Path) -> None:
    asked(home, DAY, 600)
    next(partition(home, DAY - timedelta(days=3)).iterdir()).write_bytes(b"not parquet")
    found = live_requests(home, AS_OF, "1")
    assert found is not None
    assert "files that cannot be read: predictions/date=2026-03-16/" in (found.problem or "")
    assert found.summary.startswith("live requests were not looked at: the log of predictions has files that")
