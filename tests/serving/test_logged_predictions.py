"""The prediction log: sampled, bounded, written in the background; a disk or a shadow that fails costs no request."""

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from churn.core.features import FEATURE_NAMES, FEATURES
from churn.io.prediction_log import read
from churn.io.registry import Models, ModelVersion
from serving import prediction_log
from serving.customers import Customers
from serving.local_copy import Package
from serving.prediction_log import PredictionLog
from serving.served import Score, Scores, Served, checked
from tests.serving.conftest import NAMES, eventually, random_customers

NOW = datetime.now(UTC)
ROW = [f.example for f in FEATURES]
CORE_ROW = ROW[: len(NAMES)]


def kept(home: Path) -> list[dict[str, Any]]:
    """What is on disk, whatever side of midnight the test runs on."""
    found: list[dict[str, Any]] = read(home, NOW.date(), NOW.date() + timedelta(days=1)).to_pylist()
    return found


def log_in(home: Path, **given: Any) -> PredictionLog:
    return PredictionLog(home, **{"share": 1.0, "seconds": 0.05, **given})


def batch(rows: int, seed: int = 0) -> tuple[Scores, Customers]:
    """Every third customer is complete."""
    table = random_customers(rows, seed, FEATURES)
    complete = np.arange(rows) % 3 == 0
    customers = Customers(table.loc[~complete, NAMES].to_numpy(), table[complete].to_numpy(), complete)
    probability = np.arange(rows) / rows
    return Scores(probability, (probability >= 0.5).astype(np.int64), "mixed"), customers


@pytest.fixture(scope="module")
def challenger(second_models: Models) -> Served:
    version = ModelVersion("7", "Staging", "run", NOW, NOW, {})
    return checked(Package(version, second_models, {}, {}))


def test_one_prediction_is_kept_with_its_inputs_score_version_and_time(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    before = datetime.now(UTC)
    log.one("predict", "3", "champion", Score(0.7, 1, "full"), ROW, True)
    log.one("events", "4", "challenger", Score(0.2, 0, "core"), CORE_ROW, False)
    assert (log.waiting, log.written, log.dropped) == (2, 0, 0)
    log.flush()
    assert (log.waiting, log.written, log.dropped) == (0, 2, 0)
    full, core = sorted(kept(tmp_path), key=lambda row: row["model_version"])
    assert [full[name] for name in FEATURE_NAMES] == ROW
    assert [core[name] for name in FEATURE_NAMES] == CORE_ROW + [None] * (len(ROW) - len(CORE_ROW))
    assert (full["endpoint"], full["role"], full["model"]) == ("predict", "champion", "full")
    assert (core["endpoint"], core["role"], core["model"]) == ("events", "challenger", "core")
    assert (full["churn_probability"], full["churn_prediction"]) == (0.7, 1)
    assert (core["churn_probability"], core["churn_prediction"]) == (0.2, 0)
    assert before.timestamp() * 1000 - 1 <= full["ts_ms"] <= datetime.now(UTC).timestamp() * 1000


def test_the_customers_of_a_batch_are_kept_as_they_came(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    scores, customers = batch(100)
    log.many("batch", "3", "champion", scores, customers)
    log.flush()
    rows = {row["churn_probability"]: row for row in kept(tmp_path)}
    table = random_customers(100, 0, FEATURES)
    for i, p in enumerate(scores.probability):
        brought = FEATURE_NAMES if i % 3 == 0 else NAMES
        assert {name: rows[p][name] for name in brought} == table.loc[i, list(brought)].to_dict()
        assert rows[p]["model"] == ("full" if i % 3 == 0 else "core")
        assert rows[p]["churn_prediction"] == (p >= 0.5)
        assert (rows[p][FEATURE_NAMES[-1]] is None) == (i % 3 != 0)
    assert log.written == 100


def test_a_batch_is_sampled_row_by_row_and_keeps_the_right_rows(tmp_path: Path) -> None:
    log = log_in(tmp_path, share=0.2)
    scores, customers = batch(20_000)
    log.many("batch", "3", "champion", scores, customers)
    assert 3_600 < log.waiting < 4_400  # seven standard deviations
    log.flush()
    table = random_customers(20_000, 0, FEATURES)
    rows = kept(tmp_path)
    for row in rows[::50]:
        i = round(row["churn_probability"] * 20_000)
        assert row[NAMES[1]] == table.loc[i, NAMES[1]]
        assert (row["model"] == "full") == (i % 3 == 0)
    assert log.dropped == 0
    assert len(rows) == log.written


def test_single_predictions_are_sampled_by_the_share(tmp_path: Path) -> None:
    log = log_in(tmp_path, share=0.25)
    for _ in range(10_000):
        log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
    assert 2_200 < log.waiting < 2_800


def test_what_there_is_no_room_for_is_dropped_and_counted(tmp_path: Path) -> None:
    log = log_in(tmp_path, most=10)
    for _ in range(4):
        log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
    log.many("batch", "3", "champion", *batch(100))
    log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
    assert (log.waiting, log.dropped) == (10, 95)
    log.flush()
    assert (log.waiting, log.written, log.dropped) == (0, 10, 95)
    log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
    assert log.waiting == 1
    assert max(row["churn_probability"] for row in kept(tmp_path) if row["endpoint"] == "batch") > 0.06


def test_the_bound_holds_while_a_disk_hangs_and_no_request_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, free = threading.Event(), threading.Event()

    def hang(*given: Any) -> None:
        hanging.set()
        assert free.wait(20)
        write(*given)

    write = prediction_log.write
    monkeypatch.setattr(prediction_log, "write", hang)
    log = log_in(tmp_path, most=50)
    log.start()
    log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
    assert hanging.wait(20)
    for _ in range(100):
        log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
    log.many("batch", "3", "champion", *batch(10))
    assert (log.waiting, log.written, log.dropped) == (50, 0, 61)
    free.set()
    log.stop()
    assert (log.waiting, log.written, log.dropped) == (0, 50, 61)


def test_it_is_written_in_the_background_and_what_is_left_at_the_stop(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.start()
    log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
    eventually(lambda: log.written == 1)
    log.stop()
    late = log_in(tmp_path, seconds=3600.0)
    late.start()
    late.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
    late.stop()
    assert late.written == 1
    assert len(kept(tmp_path)) == 2


def test_a_queue_that_is_half_full_does_not_wait_for_its_time(tmp_path: Path) -> None:
    log = log_in(tmp_path, seconds=3600.0, most=20)
    log.start()
    try:
        log.many("batch", "3", "champion", *batch(10))
        eventually(lambda: log.written == 10)
    finally:
        log.stop()


def test_a_share_of_nothing_keeps_nothing_and_starts_no_thread(tmp_path: Path) -> None:
    threads = threading.active_count()
    log = log_in(tmp_path, share=0.0)
    log.start()
    log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
    log.many("batch", "3", "champion", *batch(10))
    assert threading.active_count() == threads
    log.stop()
    assert (log.waiting, log.written, log.dropped) == (0, 0, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_costs_its_rows_and_one_line_until_it_works_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "serving")
    (tmp_path / "predictions").write_text("a file in the place of the folder")
    log = log_in(tmp_path)
    for _ in range(3):
        log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
        log.flush()
    assert (log.waiting, log.written, log.dropped) == (0, 0, 3)
    assert [r.getMessage() for r in caplog.records] == ["writing predictions: failed"]
    (tmp_path / "predictions").unlink()
    for _ in range(2):
        log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
        log.flush()
    assert (log.waiting, log.written, log.dropped) == (0, 2, 3)
    assert [r.getMessage() for r in caplog.records][1:] == ["writing predictions: works again"]


@pytest.mark.parametrize("row", [CORE_ROW[:-1], [*CORE_ROW[:-1], "no number"], []])
def test_a_row_that_cannot_be_is_dropped_and_raises_nothing(tmp_path: Path, row: Sequence[Any]) -> None:
    log = log_in(tmp_path)
    log.one("predict", "3", "champion", Score(0.7, 1, "core"), row, False)
    assert (log.waiting, log.dropped) == (0, 1)
    scores, customers = batch(10)
    log = log_in(tmp_path, share=0.999999)
    log.many("batch", "3", "champion", Scores(scores.probability[:0], scores.decision, "core"), customers._replace(
        core=customers.core[:1]
    ))  # fmt: skip
    log.flush()
    assert log.waiting == 0
    assert log.written + log.dropped == 10
    assert log.dropped > 0


def test_the_shadow_scores_what_the_champion_answered(
    tmp_path: Path, challenger: Served, second_models: Models
) -> None:
    log = log_in(tmp_path, shadow=lambda: challenger)
    log.one("predict", "3", "champion", Score(0.9, 1, "full"), ROW, True)
    log.one("predict", "3", "champion", Score(0.8, 1, "core"), CORE_ROW, False)
    log.one("predict", "7", "challenger", Score(0.7, 1, "core"), CORE_ROW, False)
    scores, customers = batch(40)
    log.many("batch", "3", "champion", scores._replace(probability=scores.probability / 2), customers)
    log.flush()
    rows = {row["churn_probability"]: row for row in kept(tmp_path)}
    assert rows[0.9]["shadow_probability"] == pytest.approx(second_models.full.predict_proba(np.array([ROW]))[0])
    assert rows[0.8]["shadow_probability"] == pytest.approx(second_models.core.predict_proba(np.array([CORE_ROW]))[0])
    assert (rows[0.7]["shadow_version"], rows[0.7]["shadow_probability"]) == (None, None)
    expected = challenger.score(customers).probability
    for i, p in enumerate(scores.probability / 2):
        assert rows[p]["shadow_version"] == "7"
        assert rows[p]["shadow_probability"] == pytest.approx(expected[i], abs=1e-9)


def test_a_shadow_that_fails_is_told_once_a_write_and_costs_no_row(
    tmp_path: Path, challenger: Served, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        version = challenger.version
        asked = 0

        def score(self, _: Customers) -> Scores:
            self.asked += 1
            raise ValueError("a bad model")

    told: list[Exception] = []
    broken = Broken()
    log = log_in(tmp_path, shadow=lambda: broken, on_shadow_failure=told.append)
    for _ in range(2):
        log.one("predict", "3", "champion", Score(0.9, 1, "full"), ROW, True)
        log.one("predict", "3", "champion", Score(0.8, 1, "core"), CORE_ROW, False)
        log.flush()
    assert (log.written, log.dropped, log.shadow_failures, broken.asked) == (4, 0, 2, 2)
    assert [str(e) for e in told] == ["a bad model"] * 2
    assert [r.getMessage() for r in caplog.records] == ["the shadow's scores: failed"]
    assert {row["shadow_version"] for row in kept(tmp_path)} == {None}


def test_rows_that_come_while_others_are_written_are_all_counted(tmp_path: Path) -> None:
    log = log_in(tmp_path, most=3_000)
    scores, customers = batch(50)
    log.start()

    def send() -> None:
        for _ in range(40):
            log.many("batch", "3", "champion", scores, customers)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(4_000):
        log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
    for thread in threads:
        thread.join()
    log.stop()
    assert log.waiting == 0
    assert log.written + log.dropped == 3 * 40 * 50 + 4_000
    assert read(tmp_path, NOW.date(), NOW.date() + timedelta(days=1), ["ts_ms"]).num_rows == log.written


def test_what_is_logged_is_what_the_schema_says(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.one("predict", "3", "champion", Score(0.7, 1, "core"), CORE_ROW, False)
    log.many("batch", "3", "champion", *batch(5))
    (records,) = [log._table(list(log._taken()))]
    assert isinstance(records, pa.Table)
    records.validate(full=True)
