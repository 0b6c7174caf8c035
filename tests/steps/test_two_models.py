"""Which of a version's two models scores the night and is compared, through the steps and a real registry."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.special import logit

from churn.core.features import CORE_FEATURES, FEATURE_NAMES
from churn.core.model import CORE, FULL, ChurnModel
from churn.core.training import train
from churn.io.lake import Lake, fingerprint
from churn.io.registry import Candidate, Models, ModelVersion, Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.build_panel import build_panel
from churn.steps.compare import compare
from churn.steps.ingest import ingest
from churn.steps.score import score
from churn.steps.simulate import simulate
from tests.early_version import register_early

AS_OF = date(2026, 3, 1)


@dataclass(frozen=True)
class Trained:
    """A data home with a panel, models of it, and the version that holds them."""

    settings: Settings
    models: Models
    holdout: pd.DataFrame
    tags: dict[str, str]
    version: ModelVersion

    @property
    def registry(self) -> Registry:
        return Registry(self.settings)

    def scores(self) -> dict[str, float]:
        """Tonight's, by customer."""
        return {s.customer_id: s.churn_probability for s in ScoreBook(self.settings.score_database).top(10_000)}

    def expected(self, model: ChurnModel) -> dict[str, float]:
        features = pq.ParquetFile(Lake(self.settings.data_home).features(AS_OF)).read().to_pandas()
        return dict(zip(features["customer_id"], model.predict_proba(features).tolist(), strict=True))


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Events of a generated log, ingested once."""
    home = tmp_path_factory.mktemp("events")
    simulate(home / "log", customers=400, days=80, seed=5, start=AS_OF - timedelta(days=80))
    ingest(Settings(home=home, _env_file=None), [home / "log"])  # type: ignore[call-arg]
    yield home / "events"


@pytest.fixture
def trained(settings: Settings, events: Path, tmp_path: Path) -> Trained:
    (settings.data_home / "events").symlink_to(events)
    report = build_panel(settings, AS_OF)
    panel = pq.ParquetFile(report.path).read().to_pandas()
    latest = panel["as_of"] == panel["as_of"].max()
    rows = panel[~latest]
    columns = {CORE: [f.name for f in CORE_FEATURES], FULL: list(FEATURE_NAMES)}
    fitted = {name: train(rows[c], rows["churned"], rows["customer_id"], trials=0) for name, c in columns.items()}
    tags = {
        "as_of": str(AS_OF),
        "holdout_snapshot": report.holdout_snapshot,
        "contract": settings.contract,
        "horizon_days": str(report.horizon_days),
        "panel_sha256": fingerprint(Path(report.path)),
    }
    (tmp_path / "files").mkdir()
    example = rows[list(FEATURE_NAMES)].head(2)
    version = Registry(settings).register(
        Candidate(fitted, "a training", "what it is", "one", {}, {}, tags, tmp_path / "files", example)
    )
    return Trained(settings, Models(fitted[CORE], fitted[FULL]), panel[latest], tags, version)


def test_the_night_is_scored_by_the_full_model(trained: Trained) -> None:
    trained.registry.promote(trained.version, "the first")
    report = score(trained.settings, AS_OF)
    assert (report.model, report.threshold) == ("full", trained.models.full.threshold)
    assert trained.scores() == pytest.approx(trained.expected(trained.models.full), abs=1e-12)


def test_a_scored_night_says_why_and_the_reasons_add_up_to_what_the_model_says(trained: Trained) -> None:
    trained.registry.promote(trained.version, "the first")
    report = score(trained.settings, AS_OF)
    json.dumps(asdict(report), allow_nan=False)
    model = trained.models.full
    features = pq.ParquetFile(Lake(trained.settings.data_home).features(AS_OF)).read().to_pandas()
    added = dict(zip(features["customer_id"], model.contributions(features), strict=True))
    with closing(ScoreBook(trained.settings.score_database)) as book:
        night = book.top(10_000)
        strongest = night[0].reasons[0].feature
        raised = {s.customer_id for s in book.top(10_000, book.latest(), raised_by=strongest)}
    assert len(night) == len(features) > 100
    for scored in night:
        *parts, average = added[scored.customer_id]
        told = {reason.feature: reason.contribution for reason in scored.reasons}
        others = [part for name, part in zip(model.features, parts, strict=True) if name not in told]
        assert average + sum(told.values()) + sum(others) == pytest.approx(logit(scored.churn_probability), abs=1e-9)
        assert len(told) == 5
        assert min(map(abs, told.values())) >= max(map(abs, others))
        raising = max(scored.reasons, key=lambda reason: reason.contribution)
        assert (scored.customer_id in raised) == (raising.feature == strongest and raising.contribution > 0)
    assert raised


def test_an_early_version_scores_the_night_with_its_one_model_and_is_compared_by_it(
    trained: Trained, tmp_path: Path
) -> None:
    registry, core, full = trained.registry, trained.models.core, trained.models.full
    early = register_early(trained.settings, core, tmp_path / "early", **trained.tags)
    registry.promote(early, "a rollback")
    assert score(trained.settings, AS_OF).model == "core"
    assert trained.scores() == pytest.approx(trained.expected(core), abs=1e-12)

    registry.stage(trained.version, "waits")
    report = compare(trained.settings)
    assert (report.challenger, report.champion) == (trained.version.version, early.version)
    assert np.any(core.predict_proba(trained.holdout) != full.predict_proba(trained.holdout))
    assert report.evidence  # the two were measured against each other
