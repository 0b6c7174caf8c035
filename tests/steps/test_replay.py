"""Replaying past nights: nothing after a cut-off is seen, production never notices, and a killed replay goes on."""

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from churn.errors import BadInput, NotReady
from churn.io.lake import Lake
from churn.io.registry import Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.ingest import ingest
from churn.steps.replay import ReplayReport, replay, text_of
from churn.steps.simulate import simulate
from tests.moves import settings_of

FIRST = date(2026, 3, 6)
"""A Friday: Sunday's retraining is the third night."""
LAST = FIRST + timedelta(days=2)
_START = FIRST - timedelta(days=60)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy days of log, ten of them after the first night."""
    home = tmp_path_factory.mktemp("replay") / "home"
    simulate(home.parent / "log", customers=300, days=70, seed=5, start=_START)
    ingest(settings_of(home), [home.parent / "log"])
    return home


@pytest.fixture(scope="module")
def replayed(home: Path) -> ReplayReport:
    return replay(_quick(home), FIRST, LAST)


def _quick(home: Path) -> Settings:
    return settings_of(home).model_copy(update={"search_trials": 0, "panel_snapshots": 2})


@pytest.mark.slow
def test_every_night_is_scored_and_the_weekly_retraining_is_decided(replayed: ReplayReport) -> None:
    assert [night.as_of for night in replayed.nights] == [str(FIRST + timedelta(days=n)) for n in range(3)]
    assert all(night.customers > 100 and night.model_version == "1" for night in replayed.nights)
    first, plain, sunday = replayed.nights
    assert (first.trained, first.promoted) == ("1", True)
    assert (plain.trained, plain.retraining) == (None, "")
    assert sunday.trained == "2"
    assert sunday.decision
    assert "3 of 3 nights scored" in text_of(replayed)


@pytest.mark.slow
def test_production_does_not_notice(home: Path, replayed: ReplayReport) -> None:
    assert Registry(settings_of(home)).production() is None
    assert ScoreBook(settings_of(home).score_database).latest() is None
    assert len(Registry(settings_of(Path(replayed.home))).versions()) == 2


@pytest.mark.slow
def test_what_happened_later_changes_no_line_of_the_timeline(
    home: Path, replayed: ReplayReport, tmp_path: Path
) -> None:
    cut = Lake(tmp_path / "home")
    shutil.copytree(Lake(home).events, cut.events)
    for day in Lake(home).event_days():
        if day >= LAST:
            shutil.rmtree(cut.event_partition(day).parent)
    again = replay(_quick(tmp_path / "home"), FIRST, LAST)
    assert again.nights == replayed.nights


@pytest.mark.slow
def test_a_replay_that_was_interrupted_goes_on_and_can_be_prolonged(home: Path, replayed: ReplayReport) -> None:
    lake = Lake(Path(replayed.home))
    for night in (FIRST, LAST):  # as if it had been killed at the end of these nights
        (lake.reports / "replay" / f"as_of={night}.json").unlink()
    versions = len(Registry(settings_of(Path(replayed.home))).versions())
    said: list[str] = []
    longer = replay(_quick(home), FIRST, LAST + timedelta(days=1), progress=said.append)
    assert longer.nights[:2] == replayed.nights[:2]
    assert longer.nights[2] == replayed.nights[2]
    assert len(longer.nights) == len(said) == 4
    assert len(Registry(settings_of(Path(replayed.home))).versions()) == versions


def test_dates_in_the_wrong_order_and_folders_of_something_else_are_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="before it begins"):
        replay(settings_of(home), LAST, FIRST)
    (tmp_path / "mine.txt").write_text("important")
    with pytest.raises(BadInput, match="holds no replay"):
        replay(settings_of(home), FIRST, LAST, into=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_without_events_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="churn ingest"):
        replay(settings_of(tmp_path / "empty"), FIRST, LAST)
    assert not (tmp_path / "empty" / "replays").exists()


@pytest.mark.slow
def test_a_gap_in_the_log_is_a_night_without_scores_and_the_replay_goes_on(
    home: Path, replayed: ReplayReport, tmp_path: Path
) -> None:
    gap = Lake(tmp_path / "home")
    shutil.copytree(Lake(home).events, gap.events)
    for day in range(1, 6):
        shutil.rmtree(gap.event_partition(FIRST + timedelta(days=day)).parent)
    report = replay(_quick(tmp_path / "home"), FIRST + timedelta(days=1), FIRST + timedelta(days=8))
    assert report.nights[0].customers > 100
    assert [night.customers for night in report.nights[4:5]] == [0]
    assert "the log ends" in report.nights[4].decision
    assert report.nights[-1].customers > 100


def test_a_log_that_is_too_short_for_a_model_is_said_night_by_night(home: Path, tmp_path: Path) -> None:
    early = _START + timedelta(days=10)
    report = replay(_quick(home), early, early + timedelta(days=1), into=tmp_path / "early")
    assert [night.model_version for night in report.nights] == [None, None]
    assert "not scored: the log starts" in text_of(report)
    assert "train as of" in report.nights[0].decision
