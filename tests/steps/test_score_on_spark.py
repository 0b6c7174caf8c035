"""A night on Spark: one process scores the version in production and the challenger, and publishes the same."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

import churn.io.engines.chosen
from churn.io.engines.spark_process import SparkProcess, open_process
from churn.io.lake import Lake, write_parquet
from churn.io.registry import Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.score import ScoreReport, publish_scores

AS_OF = date(2026, 3, 1)
N = 500

pytestmark = pytest.mark.slow


@pytest.fixture
def night(versions: Settings) -> Settings:
    """Features of a night, a version in production, and a challenger of other columns."""
    columns = dict(zip("cba", np.random.default_rng(1).normal(size=(3, N)), strict=True))
    ids = sorted(str(i) for i in range(N))
    write_parquet(Lake(versions.data_home).features(AS_OF), pa.table({"customer_id": ids, **columns}))
    registry = Registry(versions)
    registry.promote(registry.version("1"), "a test")
    registry.stage(registry.version("5"), "a test")
    return versions


def _published(night: Settings, engine: str) -> tuple[ScoreReport, list[dict[str, str]]]:
    """The report, and the scores of champion and challenger."""
    book = {"database_url": f"sqlite:///{night.data_home / engine}.db"}
    settings = night.model_copy(update={"engine": engine, "spark_master": "local[2]", **book})
    report = publish_scores(settings, AS_OF)
    with closing(ScoreBook(settings.score_database)) as kept:
        found = [
            kept.scores(publication, shadow=shadow)
            for shadow in (False, True)
            for publication in kept.publications(shadow=shadow)
        ]
    return report, [dict(zip(f["customer_id"], map(float.hex, f["churn_probability"]), strict=True)) for f in found]


def test_the_published_scores_are_the_same_for_champion_and_challenger(
    night: Settings, open_spark: Callable[..., AbstractContextManager[SparkProcess]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []

    @contextmanager
    def counted(*given: object) -> Iterator[SparkProcess]:
        opened.append(given)
        with open_process(*given) as process:  # type: ignore[arg-type]
            yield process

    monkeypatch.setattr(churn.io.engines.chosen, "open_process", counted)
    here, here_scores = _published(night, "duckdb")
    assert opened == []
    there, there_scores = _published(night, "spark")
    assert len(opened) == 1
    assert [len(set(scores.values())) > N / 2 for scores in here_scores] == [True, True]
    assert there_scores == here_scores
    assert (there.mean_probability, there.shadow_version) == (here.mean_probability, "5")
