"""A sample with weights says what the whole table would have said; without them it does not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from churn.core.baselines import BASE_RATE, LOGISTIC_REGRESSION, fit_baselines
from churn.core.calibration import Calibration, centred, fit_calibration, log_loss
from churn.core.evaluation import evaluate
from churn.core.sampling import Shares, class_weights, metrics_of
from churn.core.training import train
from churn.errors import BadInput

Sample = tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.float64]]


def table(rows: int, seed: int) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Some 4 % churn, by a line, a bend and a product."""
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.normal(size=(rows, 4)), columns=list("abcd"))
    risk = -3.9 + 0.8 * x["a"] + np.maximum(x["b"], 0) + 0.4 * x["a"] * x["c"]
    return x, (rng.random(rows) < 1 / (1 + np.exp(-risk))).astype(np.int64).to_numpy()


@pytest.fixture(scope="module")
def sample() -> Sample:
    """All who churned of 40,000 rows, and a tenth of the others."""
    x, churned = table(40_000, seed=0)
    kept = (churned == 1) | (np.random.default_rng(1).random(len(x)) < 0.1)
    weights = class_weights(churned[kept], int((churned == 0).sum()), int(churned.sum()))
    return x[kept], churned[kept], weights


def test_predictions_of_a_weighted_sample_are_right_on_average_and_without_weights_they_are_not(sample: Sample) -> None:
    x, churned, weights = sample
    later, outcome = table(40_000, seed=2)
    rate = float(outcome.mean())
    # Of both tables' rates; what the sample adds, of a mean over 4,000 rows that vary less than outcomes, is smaller.
    error = np.sqrt(rate * (1 - rate) * (1 / 40_000 + 1 / 40_000 + 1 / len(x)))
    right = train(x, churned, weights=weights, trials=0)
    found = right.predict_proba(later)
    assert abs(found.mean() - rate) < 4 * error
    assert evaluate(outcome, found, 0.5)["ece"] < 0.015
    wrong = train(x, churned, trials=0).predict_proba(later)
    assert wrong.mean() > 4 * rate
    assert log_loss(outcome, np.log(wrong / (1 - wrong))) > 1.2 * log_loss(outcome, np.log(found / (1 - found)))


def test_the_card_of_a_weighted_sample_speaks_of_the_whole_table(sample: Sample) -> None:
    x, churned, weights = sample
    whole, outcome = table(40_000, seed=0)
    card = train(x, churned, weights=weights, trials=0).card
    assert card.churn_rate == pytest.approx(outcome.mean())
    rate = outcome.mean()
    base = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert card.families["base rate"] == pytest.approx(base, rel=0.01)
    assert 0.8 * base < card.cross_validation["log_loss"] < base
    assert card.usual["a"] == pytest.approx(whole["a"].median(), abs=5 * 1.25 / np.sqrt(len(x)))
    said = card.parameters["sample"]
    assert (said["rows_in_all"], said["rows_used"], said["rows_of_the_trees"]) == (40_000, len(x), len(x))
    assert said["share_of_churned"] == pytest.approx(1.0)
    assert said["share_of_stayed"] == pytest.approx(0.1, abs=0.01)


def test_without_weights_a_card_says_nothing_of_a_sample() -> None:
    x, churned = table(600, seed=4)
    assert "sample" not in train(x, churned, trials=0).card.parameters


def test_the_same_sample_gives_the_same_model_and_other_weights_another(sample: Sample) -> None:
    x, churned, weights = (part[:1_000] for part in sample)
    one, two, other = (train(x, churned, weights=w, trials=0) for w in (weights, weights, np.sqrt(weights)))
    assert np.array_equal(one.predict_proba(x), two.predict_proba(x))
    assert one.card == two.card
    assert not np.array_equal(one.predict_proba(x), other.predict_proba(x))


@pytest.mark.parametrize("wrong", [[1.0], np.zeros(600), np.full(600, np.nan), -np.ones(600)])
def test_weights_that_are_none_are_refused(wrong: Any) -> None:
    x, churned = table(600, seed=4)
    with pytest.raises(BadInput, match="weights must be 600 numbers above 0"):
        train(x, churned, weights=wrong)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_a_row_of_weight_three_counts_as_three_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, times = rng.normal(size=200), rng.integers(1, 5, 200)
    y = np.where(np.arange(200) < 2, [0, 1] * 100, rng.random(200) < 0.3).astype(np.int64)
    again, weights = np.repeat(np.arange(200), times), times.astype(float)
    assert log_loss(y, z, weights) == pytest.approx(log_loss(y[again], z[again]))
    one, many = fit_calibration([z], y, weights), fit_calibration([z[again]], y[again])
    assert one.intercept == pytest.approx(many.intercept, abs=1e-4)
    assert one.weights == pytest.approx(many.weights, abs=1e-4)
    p = 1 / (1 + np.exp(-z))
    assert metrics_of(y, p, 0.4, weights) == pytest.approx(evaluate(y[again], p[again], 0.4))


def test_a_calibration_is_moved_to_the_rate_that_is_known_and_keeps_its_slope() -> None:
    rng = np.random.default_rng(0)
    z, weights = rng.normal(size=500), rng.uniform(1, 9, 500)
    given = Calibration(0.3, (0.7,))
    moved = centred(given, given.log_odds([z]), 0.05, weights)
    assert np.average(1 / (1 + np.exp(-moved.log_odds([z]))), weights=weights) == pytest.approx(0.05)
    assert moved.weights == given.weights


def test_baselines_of_a_weighted_sample_are_those_of_the_whole_table_and_without_weights_far_from_it(
    sample: Sample,
) -> None:
    x, churned, weights = sample
    later, outcome = table(40_000, seed=2)
    found = fit_baselines(x, churned, weights).predict(later)
    assert found[BASE_RATE] == pytest.approx(np.average(churned, weights=weights))
    whole = fit_baselines(*table(40_000, seed=0)).predict(later)[LOGISTIC_REGRESSION]
    assert found[LOGISTIC_REGRESSION].mean() == pytest.approx(whole.mean(), rel=0.1)
    assert fit_baselines(x, churned).predict(later)[LOGISTIC_REGRESSION].mean() > 4 * outcome.mean()


@settings(max_examples=200, deadline=None)
@given(rows=st.integers(1, 10_000), stayed=st.integers(0, 100_000), churned=st.integers(0, 100_000))
def test_a_sample_fits_and_leaves_out_nobody_who_churned_unless_they_fill_half_of_it(
    rows: int, stayed: int, churned: int
) -> None:
    shares = Shares.for_rows(rows, stayed, churned)
    kept = shares.stayed * stayed + shares.churned * churned
    assert kept == pytest.approx(min(rows, stayed + churned))
    if churned <= rows // 2:
        assert shares.churned == 1.0 or churned == 0
    assert 0 <= shares.stayed <= 1
    assert 0 <= shares.churned <= 1


def test_weights_add_up_to_the_rows_of_each_class() -> None:
    churned = np.array([1, 0, 0, 1, 0])
    weights = class_weights(churned, stayed_there=30, churned_there=2)
    assert weights.tolist() == [1, 10, 10, 1, 10]
