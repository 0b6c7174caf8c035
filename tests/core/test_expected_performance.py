"""Expected performance: what calibrated scores say of themselves comes true, and what wrong ones say does not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from churn.core.evaluation import Economics, evaluate
from churn.core.expected_performance import expected_performance
from churn.errors import BadInput

ECONOMICS = Economics(20, 200, 0.75)
THRESHOLD = ECONOMICS.threshold
_REALISED = ("roc_auc", "precision", "recall", "log_loss", "brier", "profit")


@pytest.fixture(scope="module")
def probability() -> NDArray[np.float64]:
    return np.random.default_rng(0).beta(1, 12, 3_000)


@pytest.fixture(scope="module")
def realised(probability: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Each figure of 200 services whose customers leave with these very probabilities."""
    rng = np.random.default_rng(1)
    outcomes = (rng.random((200, len(probability))) < probability).astype(int)
    found = [evaluate(churned, probability, THRESHOLD, ECONOMICS) for churned in outcomes]
    figures = {name: np.array([one[name] for one in found]) for name in _REALISED}
    return {**figures, "churned": outcomes.sum(axis=1).astype(float)}


@pytest.mark.parametrize("name", [*_REALISED, "churned"])
def test_calibrated_scores_expect_what_happens_on_average(
    name: str, probability: NDArray[np.float64], realised: dict[str, NDArray[np.float64]]
) -> None:
    expected = getattr(expected_performance(probability, THRESHOLD, ECONOMICS), name)
    values = realised[name]
    assert expected == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(len(values)))


def test_the_number_of_churners_scatters_as_it_was_said(
    probability: NDArray[np.float64], realised: dict[str, NDArray[np.float64]]
) -> None:
    expected = expected_performance(probability, THRESHOLD, ECONOMICS)
    assert expected.churned_deviation == pytest.approx(realised["churned"].std(), rel=0.15)


def test_scores_that_are_too_high_show_as_soon_as_outcomes_are_known(
    probability: NDArray[np.float64], realised: dict[str, NDArray[np.float64]]
) -> None:
    expected = expected_performance(np.minimum(1.5 * probability, 1), THRESHOLD, ECONOMICS)
    assert (np.abs(expected.churned - realised["churned"]) > 3 * expected.churned_deviation).all()


def test_scores_without_any_churner_leave_undefined_what_is() -> None:
    found = expected_performance(np.zeros(5), THRESHOLD, ECONOMICS)
    assert (found.churned, found.roc_auc, found.recall, found.profit) == (0, None, None, 0)


@pytest.mark.parametrize("wrong", [[], [0.5, 1.2], [[0.1, 0.2]], [float("nan")]])
def test_what_is_no_column_of_probabilities_is_refused(wrong: list[float]) -> None:
    with pytest.raises(BadInput, match="probabilities in"):
        expected_performance(wrong, THRESHOLD, ECONOMICS)
