"""The nightly check on a generated log: quiet while it only grows, alarmed the first night a page has another name."""

import gzip
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from churn.core.drift import DriftReference, compare
from churn.core.features import CORE_FEATURES
from churn.core.model import CORE, FULL, ChurnModel
from churn.core.training import train
from churn.errors import BadInput, NotReady
from churn.io.checks import Checks
from churn.io.contracts import load_contract
from churn.io.drift_store import FOLDER, load_reference, save_reference
from churn.io.lake import Lake
from churn.io.point_in_time import features_at
from churn.io.prediction_log import partition
from churn.io.registry import Candidate, Registry
from churn.settings import Settings
from churn.steps.check_drift import check_drift
from churn.steps.drift_tables import SCORE, drift_reference
from churn.steps.ingest import ingest
from churn.steps.simulate import day_file, simulate
from tests.request_log import FIRST, asked

START = date(2026, 1, 1)
HELD_OUT = START + timedelta(days=63)
RENAMED = START + timedelta(days=91)
"""The first day on which “Thumbs Down” is called “Dislike”."""
DAYS = 94
COLUMNS = [f.name for f in CORE_FEATURES]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A generated log, ingested once; on its last three days a page has another name."""
    home = tmp_path_factory.mktemp("drift")
    simulate(home / "log", customers=300, days=DAYS, seed=11, start=START)
    for day in range(91, DAYS):
        path = home / "log" / day_file(START, day)
        text = gzip.decompress(path.read_bytes()).decode()
        path.write_bytes(gzip.compress(re.sub(r'"Thumbs Down"', '"Dislike"', text).encode(), 1, mtime=0))
    ingest(Settings(home=home, _env_file=None), [home / "log"])  # type: ignore[call-arg]
    yield home


@pytest.fixture(scope="module")
def model(home: Path) -> ChurnModel:
    """Of the core features at the hold-out; who visits seldom leaves."""
    table = features_at(Lake(home), HELD_OUT, history_days=56).to_pandas()
    risk = 1 / (1 + np.exp(table["total_sessions"] - 4))
    return train(table[COLUMNS], (np.random.default_rng(0).random(len(table)) < risk).astype(int), trials=0)


@pytest.fixture
def ready(settings: Settings, home: Path) -> Settings:
    """A data home with these events."""
    for folder in ("events", "quarantine"):
        (settings.data_home / folder).symlink_to(home / folder)
    return settings


def promote(settings: Settings, model: ChurnModel, attachments: Path) -> None:
    """A version with these attachments into production."""
    attachments.mkdir(exist_ok=True)
    (attachments / "note.txt").write_text("attached")
    example = features_at(Lake(settings.data_home), HELD_OUT, history_days=56).to_pandas()[COLUMNS].head(2)
    registry = Registry(settings)
    version = registry.register(
        Candidate({CORE: model, FULL: model}, "a training", "", "one", {}, {}, {"as_of": "x"}, attachments, example)
    )
    registry.promote(version, "the first")


@pytest.fixture
def watched(ready: Settings, model: ChurnModel, tmp_path: Path) -> Settings:
    """… and a model in production that was measured on the hold-out."""
    stored = drift_reference(Lake(ready.data_home), load_contract("sparkify"), HELD_OUT, model)
    save_reference(stored, tmp_path / "attached" / FOLDER)
    promote(ready, model, tmp_path / "attached")
    return ready


def test_the_reference_is_the_hold_out_over_whole_weeks_of_log_with_scores_and_kinds(
    ready: Settings, model: ChurnModel
) -> None:
    lake = Lake(ready.data_home)
    stored = drift_reference(lake, load_contract("sparkify"), HELD_OUT, model)
    assert (stored.as_of, stored.history_days) == (HELD_OUT, 56)
    assert SCORE in stored.reference.columns
    assert "customer_id" not in stored.reference.columns
    assert stored.kinds["play"] > stored.kinds["dislike"] > 0
    assert drift_reference(lake, load_contract("sparkify"), START + timedelta(days=23), model).history_days == 21
    with pytest.raises(NotReady, match="no events before"):
        drift_reference(lake, load_contract("sparkify"), START, model)


def test_a_log_that_only_grows_does_not_drift_though_its_totals_do(watched: Settings) -> None:
    night = check_drift(watched, RENAMED)
    assert not night.alarm
    assert night.drifted == ()
    assert night.summary.startswith("no drift: none of")
    assert (night.nights, night.persists) == (0, False)
    lake = Lake(watched.data_home)
    whole = [features_at(lake, d).to_pandas().drop(columns="customer_id") for d in (HELD_OUT, RENAMED)]
    naive = compare(DriftReference.of(whole[0]), whole[1])
    assert {"days_observed", "days_since_registration"} <= {f.name for f in naive.drifted_features}


def test_a_renamed_page_is_named_the_first_night_and_persists_by_the_third(watched: Settings) -> None:
    nights = [check_drift(watched, RENAMED + timedelta(days=n)) for n in range(4)]
    assert [n.alarm for n in nights] == [False, True, True, True]
    assert [(n.nights, n.persists) for n in nights] == [(0, False), (1, False), (2, False), (3, True)]
    assert {"page 'Dislike'", "dislike"} <= set(nights[1].drifted)
    assert re.search(r"page 'Dislike' is new: \d+ of [\d,]+ events; dislike has vanished", nights[1].summary)
    assert check_drift(watched, RENAMED + timedelta(days=3)) == nights[3]  # the same night again counts once
    with closing(Checks(watched.score_database)) as checks:
        kept = checks.all("drift")
    assert [(c.as_of, c.alarm) for c in kept][:2] == [
        (RENAMED + timedelta(days=3), True),
        (RENAMED + timedelta(days=2), True),
    ]
    assert set(kept[0].detail["features"]["total_sessions"]) == {"ks", "psi", "js", "q", "missing", "drifted"}
    assert len(json.dumps(kept[0].detail)) < 20_000


def test_one_night_without_a_check_is_let_pass_and_two_are_not(watched: Settings) -> None:
    check_drift(watched, RENAMED + timedelta(days=1))
    third = RENAMED + timedelta(days=3)
    assert check_drift(watched, third).nights == 2
    with closing(Checks(watched.score_database)) as checks:
        checks.record(third - timedelta(days=1), "drift", "1", alarm=False, summary="quiet", detail={})
    assert check_drift(watched, third).nights == 1


def test_the_report_is_written_whole_and_the_same_again(watched: Settings) -> None:
    night = check_drift(watched, RENAMED + timedelta(days=1))
    page = Path(night.report)
    assert page == Lake(watched.data_home).reports / f"drift/as_of={RENAMED + timedelta(days=1)}/drift.html"
    first = {p.name: p.read_bytes() for p in page.parent.iterdir()}
    assert set(first) == {"drift.html", "drift.json"}
    assert json.loads(first["drift.json"])["kinds"]["new"][0]["name"] == "page 'Dislike'"
    shutil.rmtree(page.parent)
    check_drift(watched, RENAMED + timedelta(days=1))
    assert {p.name: p.read_bytes() for p in page.parent.iterdir()} == first


def test_a_version_without_a_reference_rings_nothing_and_says_what_to_do(
    ready: Settings, model: ChurnModel, tmp_path: Path
) -> None:
    promote(ready, model, tmp_path / "attached")
    night = check_drift(ready, RENAMED)
    assert (night.alarm, night.report) == (False, "")
    assert night.summary == "version 1 has no drift reference: nothing is compared until the next training"


def test_nights_that_cannot_be_compared_say_why(watched: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"was measured on {HELD_OUT}"):
        check_drift(watched, HELD_OUT - timedelta(days=1))
    with pytest.raises(NotReady, match="no events from"):
        check_drift(watched, START + timedelta(days=300))
    quiet = check_drift(watched, START + timedelta(days=DAYS + 1))
    assert f"no events on {START + timedelta(days=DAYS)}" in quiet.summary


def test_without_a_model_there_is_nothing_to_check(ready: Settings) -> None:
    with pytest.raises(NotReady, match="churn train"):
        check_drift(ready, RENAMED)


def test_the_stored_reference_is_the_one_that_was_attached(
    watched: Settings, model: ChurnModel, tmp_path: Path
) -> None:
    registry = Registry(watched)
    production = registry.production()
    assert production is not None
    folder = registry.attachment(production, FOLDER, tmp_path / "fetched")
    assert folder is not None
    found = load_reference(folder)
    made = drift_reference(Lake(watched.data_home), load_contract("sparkify"), HELD_OUT, model)
    assert found.kinds == made.kinds
    for name, column in made.reference.columns.items():
        assert np.array_equal(column.values, found.reference.columns[name].values)  # type: ignore[union-attr]


def test_other_requests_than_before_are_said_and_ring_nothing(watched: Settings) -> None:
    home, day = watched.data_home, RENAMED - timedelta(days=1)
    for n in range(2, 12):
        asked(home, RENAMED - timedelta(days=n), 100)
    asked(home, day, 600, shift=5.0)
    asked(home, day, 499, model=CORE)
    night = check_drift(watched, RENAMED)
    assert (night.alarm, night.drifted, night.nights, night.persists) == (False, (), 0, False)
    assert night.summary.startswith("no drift: none of")
    assert f"; live requests of {day}, which ring no alarm: full model, 1 of " in night.summary
    with closing(Checks(watched.score_database)) as checks:
        (check,) = checks.all("drift")
    assert (check.alarm, check.summary, check.detail["drifted"]) == (False, night.summary, [])
    assert set(check.detail["requests"]["models"][FULL]["differ"]) == {FIRST}
    page = Path(night.report).read_text()
    assert "<h2>Live requests</h2>" in page
    assert "it rings no alarm and asks for no retraining" in page
    assert f"<li><code>{FIRST}</code>: KS " in page
    assert f"too few requests to compare, 499 of {day} and 0 of the days before" in page
    assert json.loads(Path(night.report).with_name("drift.json").read_text())["requests"]["compared"][FULL]["drifted"]
    check_drift(watched, RENAMED)
    assert Path(night.report).read_text() == page


def test_a_log_of_requests_that_cannot_be_read_is_said_and_fails_nothing(watched: Settings) -> None:
    before = check_drift(watched, RENAMED)
    assert "Live requests" not in Path(before.report).read_text()
    asked(watched.data_home, RENAMED - timedelta(days=1), 600)
    next(partition(watched.data_home, RENAMED - timedelta(days=1)).iterdir()).write_bytes(b"not parquet")
    night = check_drift(watched, RENAMED)
    assert not night.alarm
    assert night.summary.startswith(f"{before.summary}; live requests were not looked at: the log of predictions has")
    assert "They were not looked at: the log of predictions has files" in Path(night.report).read_text()


def test_requests_are_looked_at_though_the_version_has_no_reference(
    ready: Settings, model: ChurnModel, tmp_path: Path
) -> None:
    promote(ready, model, tmp_path / "attached")
    for n, shift in ((4, 0.0), (3, 0.0), (2, 0.0), (1, 5.0)):
        asked(ready.data_home, RENAMED - timedelta(days=n), 600, shift=shift)
    night = check_drift(ready, RENAMED)
    assert (night.alarm, night.report) == (False, "")
    assert re.search(r"until the next training; live requests of .* 1 of \d+ columns differ", night.summary)
