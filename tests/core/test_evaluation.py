"""Metrics: scikit-learn's where it has them, by definition where not, and never a matter of the order of rows."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from churn.core.evaluation import METRICS, Economics, evaluate, profit_curve
from churn.core.weighted_metrics import Ranking, scores
from churn.errors import BadInput


def sample(seed: int, rows: int = 200, digits: int = 2) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Outcomes and probabilities with ties: about two rows for each hundredth."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.beta(1, 3, rows), digits)
    return (rng.random(rows) < p).astype(np.int64), p


def by_scikit_learn(
    y: NDArray[np.int64], p: NDArray[np.float64], threshold: float, w: NDArray[np.float64]
) -> list[float]:
    decided = p >= threshold
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        y, decided, average="binary", zero_division=0, sample_weight=w
    )
    return [
        sk.accuracy_score(y, decided, sample_weight=w), precision, recall, f1,
        sk.roc_auc_score(y, p, sample_weight=w), sk.average_precision_score(y, p, sample_weight=w),
        sk.log_loss(y, p, labels=[0, 1], sample_weight=w), sk.brier_score_loss(y, p, sample_weight=w),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_weighted_metrics_are_those_of_scikit_learn_ties_zeros_and_certainties_included(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, p = sample(seed, rows=int(rng.integers(20, 300)), digits=int(rng.integers(1, 4)))
    y[:2], p[:2] = (0, 1), (0.0, 1.0)
    weights = rng.random((3, len(y))) * (rng.random((3, len(y))) > 0.3)
    weights[:, 2:6] = 1  # so that some weight is left
    y[2:6] = (0, 1, 0, 1)
    found = scores(Ranking(y, p, np.arange(len(y))).tally(weights), 0.4)
    for line, w in enumerate(weights):
        ours = [found[name][line] for name in METRICS[:8]]
        assert ours == pytest.approx(by_scikit_learn(y, p, 0.4, w), rel=1e-9, abs=1e-12)


def test_evaluate_gives_the_same_figures_as_scikit_learn_unweighted() -> None:
    y, p = sample(1)
    found = evaluate(y, p, 0.4)
    assert tuple(found) == METRICS
    assert [found[name] for name in METRICS[:8]] == pytest.approx(by_scikit_learn(y, p, 0.4, np.ones(len(y))))


def test_a_weight_is_as_good_as_so_many_rows() -> None:
    y, p = sample(2)
    times = np.random.default_rng(2).integers(0, 4, len(y))
    weighted = scores(Ranking(y, p, np.arange(len(y))).tally(times[None, :].astype(float)), 0.4)
    repeated = evaluate(np.repeat(y, times), np.repeat(p, times), 0.4)
    assert {k: v[0] for k, v in weighted.items()} == pytest.approx(repeated, rel=1e-12)


@pytest.mark.parametrize("digits", [0, 1, 2, 6])
def test_no_metric_depends_on_the_order_of_rows_to_the_last_bit(digits: int) -> None:
    y, p = sample(3, digits=digits)
    order = np.random.default_rng(3).permutation(len(y))
    assert evaluate(y, p, 0.4, Economics()) == evaluate(y[order], p[order], 0.4, Economics())


def test_calibration_error_without_ties_is_the_textbook_s_over_equal_bins() -> None:
    y, p = sample(4, rows=500, digits=12)
    bins = np.array_split(np.argsort(p), 10)
    assert evaluate(y, p, 0.5)["ece"] == pytest.approx(sum(abs(p[b].mean() - y[b].mean()) for b in bins) / 10)


def test_calibration_error_of_one_probability_for_all_is_its_distance_from_the_rate() -> None:
    y = np.arange(37) < 9
    assert evaluate(y, np.full(37, 0.5), 0.5)["ece"] == pytest.approx(0.5 - 9 / 37)
    assert evaluate(y, np.full(37, 9 / 37), 0.5)["ece"] == pytest.approx(0)
    assert evaluate(y, y.astype(float), 0.5)["ece"] == 0


def test_lift_is_that_of_the_top_tenth_and_shares_out_ties_at_its_edge() -> None:
    y, p = np.zeros(100), np.linspace(1, 0.01, 100)
    y[[0, 1, 2, 50, 60]] = 1
    found = evaluate(y, p, 0.5)
    assert (found["captured_at_10"], found["lift_at_10"]) == pytest.approx((3 / 5, 6))
    # Four for certain at the top, then eight alike for the six places left: 6/8 of their two churners.
    p[:4], p[4:12] = 1.0, 0.9
    y[:] = 0
    y[[0, 5, 6, 90]] = 1
    assert evaluate(y, p, 0.5)["captured_at_10"] == pytest.approx((1 + 2 * 6 / 8) / 4)
    assert evaluate(y, np.full(100, 0.3), 0.5)["lift_at_10"] == pytest.approx(1)


@pytest.mark.parametrize("rows", [1, 2, 9, 11])
def test_fewer_rows_than_bins_or_a_remainder_are_no_trouble(rows: int) -> None:
    y, p = np.arange(rows) % 2, np.linspace(0.1, 0.9, rows)
    found = evaluate(y, p, 0.5)
    assert 0 <= found["ece"] <= 1
    # Every bin shares the rows out evenly, so that a bin's error is at most the mean error of its rows.
    assert found["ece"] <= sk.mean_absolute_error(y, p) + 1e-12
    if rows <= 2:
        assert found["ece"] == pytest.approx(sk.mean_absolute_error(y, p))


@pytest.mark.parametrize("outcome", [0, 1])
def test_with_one_class_only_what_means_nothing_is_nan_and_the_rest_is_not(outcome: int) -> None:
    found = evaluate([outcome] * 4, [0.1, 0.2, 0.6, 0.7], 0.5, Economics())
    undefined = {"roc_auc", "precision_recall_auc", "lift_at_10", "captured_at_10"}
    undefined |= set() if outcome else {"recall", "f1_score"}
    assert {name for name, value in found.items() if np.isnan(value)} == undefined


def test_without_any_contact_precision_is_nought() -> None:
    found = evaluate([0, 1], [0.1, 0.2], 0.5)
    assert (found["precision"], found["recall"], found["f1_score"]) == (0, 0, 0)


def test_profit_is_that_of_the_economics_at_the_threshold_in_use() -> None:
    y, p = sample(5)
    economics = Economics(20, 150, 0.5)
    found = evaluate(y, p, 0.3, economics)
    assert found["profit"] == economics.profit(y, p >= 0.3) == 75 * y[p >= 0.3].sum() - 20 * (p >= 0.3).sum()
    assert found["profit_per_customer"] == found["profit"] / len(y)
    curve = profit_curve(y, p, economics)
    assert curve["profit"] == [economics.profit(y, p >= t) for t in curve["threshold"]]
    assert curve["contacts"] == [int((p >= t).sum()) for t in curve["threshold"]]


@pytest.mark.parametrize(
    ("churned", "probability", "message"),
    [
        ([], [], "not empty"),
        ([0, 1], [0.5], "one length"),
        ([[0, 1]], [[0.5, 0.5]], "one length"),
        ([0, 2], [0.5, 0.5], r"must be 0 or 1, found \[2\]"),
        ([0, 1], [0.5, np.nan], r"must lie in \[0, 1\], found \[nan\]"),
        ([0, 1], [0.5, 1.5], r"found \[1.5\]"),
    ],
)
def test_what_is_no_outcome_or_no_probability_is_refused(churned: object, probability: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        evaluate(churned, probability, 0.5)  # type: ignore[arg-type]
