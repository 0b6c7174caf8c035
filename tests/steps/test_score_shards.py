"""A night scored in shards is the night scored as a whole, row by row, or nothing is published."""

from contextlib import closing
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from churn.core.model import ChurnModel
from churn.errors import BadInput, NotReady
from churn.io.lake import Lake, write_parquet
from churn.io.score_shards import Shard, read_rows
from churn.io.score_tables import REASONS, SCORES
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.backfill import backfill
from churn.steps.ingest import ingest
from churn.steps.score import ScoreReport, publish_scores
from churn.steps.score_shards import plan_shards, score_shard
from churn.steps.simulate import simulate
from tests.moves import promoted

AS_OF = date(2026, 3, 1)
N = 1_003
"""No multiple of the shards."""


def _table(seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, N)) * 10.0 ** rng.integers(-8, 9, size=(2, N))
    a[::7], b[::11], a[5], b[6] = np.nan, -0.0, np.inf, -np.inf
    ids = sorted(f"{i}{'é' * (i % 3)}{chr(39) * (i % 2)}" for i in range(N))
    return pa.table({"customer_id": ids, "b": b, "x": a, "a": a})


@pytest.fixture
def night(versions: Settings) -> Settings:
    """Features of a night, version 1 in production, and four shards to a night."""
    write_parquet(Lake(versions.data_home).features(AS_OF), _table())
    promoted(versions, "1")
    return versions.model_copy(update={"score_shards": 4})


def _shards(night: Settings) -> tuple[Shard, ...]:
    shards = plan_shards(night, AS_OF).shards
    for shard in reversed(shards):  # in whatever order
        score_shard(night, shard)
    return shards


def _rows(settings: Settings) -> list[tuple[Any, ...]]:
    """Every score and every reason, as they are stored."""
    with closing(ScoreBook(settings.score_database)) as book, book._database.transaction() as db:
        scores = db.execute(sa.select(SCORES).order_by(SCORES.c.as_of, SCORES.c.customer_id)).all()
        why = db.execute(sa.select(REASONS).order_by(REASONS.c.as_of, REASONS.c.customer_id)).all()
    return [tuple(row) for row in chain(scores, why)]


def _of_another_book(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_url": f"sqlite:///{settings.data_home / 'other'}.db"})


def _figures(report: ScoreReport) -> tuple[Any, ...]:
    return (report.model_version, report.model, report.customers, report.predicted_to_churn, report.mean_probability)


def test_shards_give_the_same_rows_as_one_process(night: Settings) -> None:
    whole = _of_another_book(night)
    alone, shards = publish_scores(whole, AS_OF), _shards(night)
    assert [len(shard.rows(N)) for shard in shards] == [250, 251, 251, 251]
    together = publish_scores(night, AS_OF, shards)
    assert _figures(together) == _figures(alone)
    assert len(_rows(night)) == 2 * N
    assert _rows(night) == _rows(whole)
    assert [p.name for p in Lake(night.data_home).features(AS_OF).parent.iterdir()] == ["features.parquet"]


def test_a_night_that_was_published_from_shards_is_published_again_without_them(night: Settings) -> None:
    shards = _shards(night)
    report, rows = publish_scores(night, AS_OF, shards), _rows(night)
    assert publish_scores(night, AS_OF, shards) == report  # as a task that was killed after it had published
    assert _rows(night) == rows


def test_a_shard_scored_again_gives_the_same_bytes(night: Settings) -> None:
    shard = plan_shards(night, AS_OF).shards[2]
    path = Path(score_shard(night, shard).path)
    before = path.read_bytes()
    path.unlink()
    score_shard(night, shard)
    assert path.read_bytes() == before


def test_nothing_is_published_when_a_shard_is_missing(night: Settings) -> None:
    shards = _shards(night)
    shards[1].path(Lake(night.data_home)).unlink()
    with pytest.raises(NotReady, match=r"of the 4 shards as of 2026-03-01, \[2\] are missing"):
        publish_scores(night, AS_OF, shards)
    assert _rows(night) == []
    score_shard(night, shards[1])
    assert publish_scores(night, AS_OF, shards).customers == N


def test_nothing_is_published_of_features_that_were_built_anew(night: Settings) -> None:
    shards = _shards(night)
    write_parquet(Lake(night.data_home).features(AS_OF), _table(seed=2))
    with pytest.raises(NotReady, match="built anew"):
        publish_scores(night, AS_OF, shards)
    with pytest.raises(NotReady, match="built anew"):
        score_shard(night, shards[0])
    assert _rows(night) == []


def test_shards_of_two_plans_are_not_put_together(night: Settings) -> None:
    before = _shards(night)
    promoted(night, "2")
    after = _shards(night)
    assert {s.model_version for s in before} == {"1"} and {s.model_version for s in after} == {"2"}
    for mixed in ((*before[:2], *after[2:]), before[:3], before[::-1]):
        with pytest.raises(BadInput, match="one plan"):
            publish_scores(night, AS_OF, mixed)
    assert _rows(night) == []


def test_the_shards_of_another_plan_stay_when_one_is_published(night: Settings) -> None:
    """Two runs of one night, one from the form and one of a backfill."""
    of_one = _shards(night)
    promoted(night, "2")
    of_two = _shards(night)
    publish_scores(night, AS_OF, of_one)
    assert not of_one[0].folder(Lake(night.data_home)).exists()
    assert publish_scores(night, AS_OF, of_two).model_version == "2"
    assert [p.name for p in Lake(night.data_home).features(AS_OF).parent.iterdir()] == ["features.parquet"]


def test_a_shard_of_other_customers_is_refused(night: Settings) -> None:
    shards, lake = _shards(night), Lake(night.data_home)
    shards[2].path(lake).write_bytes(shards[1].path(lake).read_bytes())
    with pytest.raises(NotReady, match="other customers"):
        publish_scores(night, AS_OF, shards)
    assert _rows(night) == []


def test_a_promotion_in_between_changes_nothing_of_the_night(night: Settings) -> None:
    shards = plan_shards(night, AS_OF).shards
    score_shard(night, shards[0])
    promoted(night, "2")
    for shard in shards[1:]:
        assert score_shard(night, shard).model_version == "1"
    assert publish_scores(night, AS_OF, shards).model_version == "1"
    with closing(ScoreBook(night.score_database)) as book:
        assert [p.model_version for p in book.publications()] == ["1"]


def test_a_plan_is_refused_without_features_or_a_forecasting_model(versions: Settings) -> None:
    with pytest.raises(NotReady, match="no features"):
        plan_shards(versions, AS_OF)
    write_parquet(Lake(versions.data_home).features(AS_OF), _table())
    with pytest.raises(NotReady, match="no model is in production"):
        plan_shards(versions, AS_OF)
    promoted(versions, "1")
    early = date(2026, 2, 1)
    write_parquet(Lake(versions.data_home).features(early), _table())
    with pytest.raises(BadInput, match="hindsight"):
        plan_shards(versions, early)


def test_there_are_no_more_shards_than_customers_and_one_on_spark(night: Settings) -> None:
    assert len(plan_shards(night.model_copy(update={"engine": "spark"}), AS_OF).shards) == 1
    write_parquet(Lake(night.data_home).features(AS_OF), _table().slice(0, 3))
    assert [len(shard.rows(3)) for shard in plan_shards(night, AS_OF).shards] == [1, 1, 1]


@pytest.mark.parametrize("rows", [range(10), range(3), range(3, 7), range(6, 10), range(4, 4)])
def test_only_the_rows_of_a_shard_are_read(tmp_path: Path, rows: range, monkeypatch: pytest.MonkeyPatch) -> None:
    path, table = tmp_path / "rows.parquet", pa.table({"n": pa.array(range(10), pa.int32())})
    pq.write_table(table, path, row_group_size=4)
    groups: list[int] = []
    wanted = pq.ParquetFile.iter_batches

    def counted(self: pq.ParquetFile, *, row_groups: list[int]) -> Any:
        groups.extend(row_groups)
        return wanted(self, batch_size=3, row_groups=row_groups)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    found = read_rows(path, rows)
    assert found["n"].to_pylist() == list(rows)
    assert found.schema == table.schema
    assert groups == sorted({n // 4 for n in rows})


# --- Many nights ---------------------------------------------------------------------------------------------------

FIRST, NIGHTS = date(2026, 3, 1), 4


@pytest.fixture
def log(versions: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A log of a month, and version 1 in production, which is told that two of its features are called otherwise."""
    days = 28 + NIGHTS
    simulate(versions.data_home / "log", customers=60, days=days, seed=3, start=FIRST - timedelta(days=28))
    ingest(versions, [versions.data_home / "log"])
    promoted(versions, "1")
    matrix = ChurnModel._matrix

    def renamed(self: ChurnModel, features: Any) -> Any:
        names = {"total_sessions": "a", "avg_session_duration": "b"}
        return matrix(self, features if isinstance(features, np.ndarray) else features.rename(columns=names))

    monkeypatch.setattr(ChurnModel, "_matrix", renamed)
    return versions


def _range(log: Settings, nights: int = NIGHTS, **given: Any) -> tuple[int, int, list[str]]:
    told: list[str] = []
    report = backfill(log, FIRST, FIRST + timedelta(days=nights - 1), progress=told.append, **given)
    return report.scored, report.passed_over, told


@pytest.mark.slow
def test_a_backfill_publishes_each_night_once_and_goes_on_where_it_ended(log: Settings) -> None:
    scored, passed_over, told = _range(log, 2)
    assert (scored, passed_over) == (2, 0)
    assert told[0].startswith("2026-03-01: ") and told[1].endswith("(2 of 2)")
    with closing(ScoreBook(log.score_database)) as book:
        first = book.publications()
    assert _range(log)[:2] == (2, 2)
    with closing(ScoreBook(log.score_database)) as book:
        found = book.publications()
    assert [str(p.as_of) for p in found] == ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]
    assert found[:2] == first
    rows = _rows(log)
    assert _range(log, again=True)[:2] == (NIGHTS, 0)
    assert _rows(log) == rows


def test_a_backfill_passes_over_what_the_version_has_published(night: Settings) -> None:
    publish_scores(night, AS_OF)
    report = backfill(night, AS_OF, AS_OF)
    assert (report.scored, report.passed_over, report.model_version) == (0, 1, "1")
    promoted(night, "2")
    with pytest.raises(NotReady, match="no events"):  # another version has not: it is scored, from the log
        backfill(night, AS_OF, AS_OF)


def test_a_promotion_in_the_middle_of_a_backfill_ends_it(night: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def promoted_meanwhile(settings: Settings, as_of: date) -> ScoreReport:
        promoted(night, "2")
        return publish_scores(settings, as_of)

    monkeypatch.setattr("churn.steps.backfill.score", promoted_meanwhile)
    with pytest.raises(NotReady, match="version 2 went into production meanwhile"):
        backfill(night, AS_OF, AS_OF)


def test_a_backfill_that_ends_before_it_begins_is_refused(night: Settings) -> None:
    with pytest.raises(BadInput, match="before the first"):
        backfill(night, AS_OF, AS_OF - timedelta(days=1))


def test_a_backfill_of_nights_whose_outcomes_the_model_knows_is_refused(night: Settings) -> None:
    with pytest.raises(BadInput, match="hindsight"):
        backfill(night, date(2026, 2, 14), AS_OF)
    assert _rows(night) == []
