"""Trees fitted from disk: the same as in memory, and nothing left behind."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churn.core.boosting import BoostingParameters, fit_boosting
from churn.core.external_memory import Batch, WholeTable, fit_boosting_from_disk
from churn.core.training import train

PARAMETERS = BoostingParameters(rounds=150, max_depth=4)


def rows(count: int = 9_000) -> Batch:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 6))
    x[:, 1] = rng.poisson(2, count)
    x[rng.random(x.shape) < 0.05] = np.nan
    return x, (rng.random(count) < 1 / (1 + np.exp(2.5 - np.nan_to_num(x[:, 0])))).astype(np.int64)


def in_batches(table: Batch, size: int, cache: Path) -> WholeTable:
    def batches() -> Iterator[Batch]:
        x, y = table
        for start in range(0, len(x), size):
            yield x[start : start + size], y[start : start + size]

    return WholeTable(len(table[0]), batches, cache)


@pytest.mark.parametrize("size", [9_000, 2_500, 777])
def test_trees_from_disk_are_those_from_memory_to_the_last_bit(tmp_path: Path, size: int) -> None:
    table, said = rows(), []
    found = fit_boosting_from_disk(in_batches(table, size, tmp_path), PARAMETERS, 42, said.append)
    assert found.save_raw() == fit_boosting(*table, PARAMETERS, 42).save_raw()
    assert said == ["100 of 150 rounds on all 9,000 rows"]
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_cannot_be_read_stops_the_training_and_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Batch]:
        yield rows(1_000)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        fit_boosting_from_disk(WholeTable(2_000, broken, tmp_path), PARAMETERS, 42)
    assert list(tmp_path.iterdir()) == []


def test_training_takes_settings_from_the_sample_and_trees_from_all_rows(tmp_path: Path) -> None:
    x, churned = rows(3_000)
    names = list("abcdef")
    half = np.arange(len(x)) % 2 == 0
    sample = pd.DataFrame(x[half], columns=names)
    whole, weights = in_batches((x, churned), 700, tmp_path), np.full(half.sum(), 2.0)
    one, two = (train(sample, churned[half], weights=weights, whole=whole, trials=0) for _ in "ab")
    alone = train(sample, churned[half], weights=weights, trials=0)
    assert one.trees is not None
    assert two.trees is not None
    assert one.trees.save_raw() == two.trees.save_raw()
    parameters = BoostingParameters(**one.card.parameters["trees"])
    assert one.trees.save_raw() == fit_boosting(x, churned, parameters, 42).save_raw()
    assert one.calibration.weights == alone.calibration.weights
    assert np.average(one.predict_proba(sample), weights=weights) == pytest.approx(one.card.churn_rate, rel=1e-6)
    assert one.curves == alone.curves
    assert one.card.parameters["sample"]["rows_of_the_trees"] == len(x)
