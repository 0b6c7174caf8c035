"""Training, comparing and promoting through the steps, on a small generated log and a real registry."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from churn.core.evidence import evidence_hash
from churn.core.features import FEATURE_NAMES
from churn.errors import BadInput, NotReady
from churn.io.lake import Lake
from churn.io.registry import Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.build_features import build_features
from churn.steps.build_panel import build_panel
from churn.steps.compare import compare, decision_path
from churn.steps.ingest import ingest
from churn.steps.promote import promote
from churn.steps.score import publish_scores, score
from churn.steps.simulate import simulate
from churn.steps.train import train

pytestmark = pytest.mark.slow  # real trainings; `make test` sees one in tests/dags

AS_OF = date(2026, 3, 1)
WEEK = timedelta(days=7)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Events of a generated log, ingested once."""
    home = tmp_path_factory.mktemp("events")
    simulate(home / "log", customers=800, days=80, seed=5, start=AS_OF - timedelta(days=80))
    ingest(Settings(home=home, _env_file=None), [home / "log"])  # type: ignore[call-arg]
    yield home / "events"


@pytest.fixture
def ready(settings: Settings, events: Path) -> Settings:
    """A data home with these events."""
    (settings.data_home / "events").symlink_to(events)
    return settings


def test_the_panel_holds_out_the_latest_snapshot_behind_a_gap_of_a_horizon(ready: Settings) -> None:
    report = build_panel(ready, AS_OF)
    assert report.holdout_snapshot == str(AS_OF - 2 * WEEK)
    assert report.training_snapshots[-1] == str(AS_OF - 4 * WEEK)
    assert report.snapshots_asked == 8
    assert len(report.training_snapshots) == 7  # the log of 80 days is too short for an eighth
    panel = pq.ParquetFile(report.path).read().to_pandas()
    assert tuple(panel.columns) == ("as_of", "churned", "customer_id", *FEATURE_NAMES)
    assert not panel.duplicated(["as_of", "customer_id"]).any()
    assert report.training_rows + report.holdout_rows == len(panel)
    assert report.training_churned > 0 < report.holdout_churned


def test_a_panel_row_equals_the_nightly_features_of_its_cut_off(ready: Settings) -> None:
    path = build_panel(ready, AS_OF).path
    panel = pq.ParquetFile(path).read().to_pandas()
    cut_off = AS_OF - 5 * WEEK
    nightly = pq.ParquetFile(build_features(ready, cut_off).path).read().to_pandas()
    rows = panel[panel["as_of"] == cut_off].drop(columns=["as_of", "churned"]).reset_index(drop=True)
    assert rows.equals(nightly)


def test_the_first_model_goes_into_production_and_training_again_finds_it(ready: Settings) -> None:
    first = train(ready, AS_OF)
    assert (first.model_version, first.stage, first.new) == ("1", "Production", True)
    assert {"accuracy", "precision", "recall", "f1_score", "roc_auc", "precision_recall_auc"} <= set(first.metrics)
    again = train(ready, AS_OF)
    assert (again.model_version, again.stage, again.new) == ("1", "Production", False)
    assert again.metrics == first.metrics
    tags = Registry(ready).version("1").tags
    assert tags["data_until"] == str(AS_OF - timedelta(days=1))
    assert tags["code_version"].startswith("0.1.0")


def test_a_later_model_waits_at_staging_and_is_promoted_only_by_the_comparison(ready: Settings) -> None:
    train(ready, AS_OF - WEEK)
    second = train(ready, AS_OF)
    assert (second.model_version, second.stage) == ("2", "Staging")
    assert promote(ready).promoted is False  # nothing has been compared yet

    report = compare(ready)
    assert (report.challenger, report.champion) == ("2", "1")
    outcome = promote(ready)
    assert outcome.promoted is report.promote
    production = Registry(ready).production()
    assert production is not None
    assert production.version == ("2" if report.promote else "1")


def test_a_decision_about_another_champion_promotes_nothing(ready: Settings) -> None:
    train(ready, AS_OF - WEEK)
    train(ready, AS_OF)
    compare(ready)
    path = decision_path(Lake(ready.data_home), "2")
    decision = json.loads(path.read_text()) | {"champion": "7", "promote": True}
    path.write_text(json.dumps(decision | {"evidence_sha256": evidence_hash(decision)}))
    outcome = promote(ready)
    assert outcome.promoted is False
    assert "compared with 7" in outcome.reason


def test_a_challenger_is_not_compared_on_outcomes_its_champion_has_seen(ready: Settings) -> None:
    train(ready, AS_OF)
    train(ready, AS_OF - WEEK)
    report = compare(ready)
    assert report.promote is False
    assert "trained on outcomes" in report.reasons[0]


def test_scoring_a_date_again_gives_the_same_rows(ready: Settings) -> None:
    train(ready, AS_OF)
    first = score(ready, AS_OF)
    book = ScoreBook(ready.score_database)
    rows = book.top(10_000)
    assert first.customers == len(rows) == len({r.customer_id for r in rows})
    assert score(ready, AS_OF) == first
    assert book.top(10_000) == rows
    earlier = score(ready, AS_OF - WEEK)
    assert earlier.as_of < first.as_of
    assert book.top(10_000) == rows  # the newest night is what is shown


def test_steps_out_of_order_say_what_comes_first(settings: Settings, ready: Settings) -> None:
    with pytest.raises(NotReady, match="churn features"):
        publish_scores(ready, AS_OF)
    build_features(ready, AS_OF)
    with pytest.raises(NotReady, match="churn train"):
        publish_scores(ready, AS_OF)
    with pytest.raises(NotReady, match="churn train"):
        compare(ready)


def test_a_night_whose_outcomes_the_model_knows_is_not_scored(ready: Settings) -> None:
    train(ready, AS_OF)
    assert score(ready, AS_OF - 2 * WEEK).customers > 0  # the hold-out: nothing after it was trained on
    with pytest.raises(BadInput, match="hindsight"):
        score(ready, AS_OF - 3 * WEEK)


def test_a_cut_off_long_after_the_end_of_the_log_is_refused_with_the_one_that_works(ready: Settings) -> None:
    assert build_features(ready, AS_OF + timedelta(days=3)).log_ends == str(AS_OF - timedelta(days=1))
    with pytest.raises(NotReady, match=f"use the cut-off {AS_OF}"):
        build_features(ready, AS_OF + timedelta(days=4))


def test_what_was_known_then_is_kept_apart_from_the_night(ready: Settings) -> None:
    night = build_features(ready, AS_OF)
    with pytest.raises(NotReady, match="known then"):  # all of it was ingested just now
        build_features(ready, AS_OF, known_at="then")
    assert pq.ParquetFile(night.path).read().num_rows == night.customers


def test_other_business_figures_move_the_threshold_through_a_comparison(ready: Settings) -> None:
    train(ready, AS_OF)
    cheaper = ready.model_copy(update={"contact_cost": 10.0})
    assert train(cheaper, AS_OF).new
    assert compare(cheaper).promote is True
    assert promote(cheaper).promoted is True
    assert score(cheaper, AS_OF).threshold == pytest.approx(10 / 150)


def test_a_version_of_another_contract_or_without_its_tags_is_not_promoted(ready: Settings) -> None:
    train(ready, AS_OF - WEEK)
    train(ready, AS_OF)
    registry = Registry(ready)
    import mlflow

    client = mlflow.MlflowClient()
    client.set_model_version_tag("churn", "1", "horizon_days", "30")
    assert "different questions" in compare(ready).reasons[0]
    client.delete_model_version_tag("churn", "1", "horizon_days")
    assert "has no tag" in compare(ready).reasons[0]
    assert registry.production() == registry.version("1")


def test_a_champion_that_cannot_be_read_stays_and_the_reason_says_the_way_out(ready: Settings) -> None:
    train(ready, AS_OF - WEEK)
    for manifest in ready.artifact_root.rglob("manifest.json"):
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 1}))
    train(ready, AS_OF)
    report = compare(ready)
    assert not report.promote
    assert "the champion cannot be read" in report.reasons[0]
    assert "archive version 1 in MLflow" in report.reasons[1]
    import mlflow

    mlflow.MlflowClient().transition_model_version_stage("churn", "1", "Archived")
    assert compare(ready).promote
    promote(ready)
    assert Registry(ready).production() == Registry(ready).version("2")


def test_a_panel_that_has_changed_since_is_no_evidence(ready: Settings) -> None:
    train(ready, AS_OF - WEEK)
    train(ready, AS_OF)
    build_panel(ready.model_copy(update={"panel_snapshots": 2}), AS_OF)
    report = compare(ready)
    assert report.promote is False
    assert "has changed" in report.reasons[0]


def test_a_date_before_the_log_says_what_there_is(ready: Settings) -> None:
    with pytest.raises(NotReady, match="there are events from 2025-12-11 to 2026-02-28"):
        build_features(ready, date(2025, 12, 1))
    with pytest.raises(BadInput, match="train as of"):
        train(ready, date(2026, 1, 10))


def test_a_date_after_the_log_trains_on_the_outcomes_that_are_known(ready: Settings) -> None:
    assert build_panel(ready, AS_OF + 10 * WEEK).holdout_snapshot == str(AS_OF - 2 * WEEK)
