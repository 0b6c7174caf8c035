"""Figures: every one drawn and readable, from a full hold-out down to one without a churner."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from churn.core.assessment import Assessment, assess
from churn.core.evaluation import Economics
from churn.io.figures import save_figures

ALWAYS = {"metrics.png", "calibration.png", "confusion_matrix.png", "profit.png", "importance.png"}
WITH_BOTH_OUTCOMES = {"roc.png", "precision_recall.png", "gains.png"}


def holdout(
    customers: int, churned: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, Any], Assessment]:
    rng = np.random.default_rng(0)
    p = rng.beta(1, 10, customers)
    y = (rng.random(customers) < p * churned).astype(np.int64)
    baselines = {"base rate": np.full(customers, 0.09), "recency rule": np.round(p, 1)}
    economics = Economics()
    found = assess(
        y,
        p,
        np.arange(customers),
        threshold=economics.threshold,
        economics=economics,
        baselines=baselines,
        resamples=50,
    )
    return y, p, baselines, found


def drawn(path: Path) -> bool:
    """A picture of some size that is not blank."""
    pixels = imread(path)[..., :3]
    return pixels.shape[0] > 300 and pixels.shape[1] > 400 and float(np.ptp(pixels)) > 0.5


def test_all_figures_of_a_hold_out_are_drawn_and_named(tmp_path: Path) -> None:
    y, p, baselines, found = holdout(800, churned=1)
    importance = {f"feature_{i}": 1 / 20 for i in range(20)}
    written = save_figures(tmp_path / "a" / "b", y, p, found, importance=importance, baselines=baselines)
    assert (
        {path.name for path in written}
        == ALWAYS | WITH_BOTH_OUTCOMES
        == {path.name for path in (tmp_path / "a" / "b").iterdir()}
    )
    assert all(drawn(path) for path in written)


@pytest.mark.parametrize("importance", [{}, {"a": 0.0, "b": 0.0}, {"a": 1.0}])
def test_without_a_churner_the_curves_that_do_not_exist_are_left_out(
    tmp_path: Path, importance: dict[str, float]
) -> None:
    y, p, baselines, found = holdout(20, churned=0)
    written = save_figures(tmp_path, y, p, found, importance=importance, baselines=baselines)
    assert {path.name for path in written} == ALWAYS
    assert all(drawn(path) for path in written)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_one_probability_for_all_can_be_drawn(tmp_path: Path, probability: float) -> None:
    y, p = np.array([0, 1, 0, 0]), np.full(4, probability)
    found = assess(y, p, np.arange(4), threshold=0.5, economics=Economics(), resamples=50)
    assert len(save_figures(tmp_path, y, p, found, importance={"a": 1.0})) == 8


def test_a_tenth_in_which_everybody_churned_can_be_drawn(tmp_path: Path) -> None:
    """Their share is a rounding above one, where its interval ends: that is no negative length."""
    y, p = np.repeat([1, 0], [166, 167]), np.linspace(0.01, 0.99, 333)  # the wrong way round
    found = assess(y, p, np.arange(333), threshold=0.5, economics=Economics(), resamples=5)
    assert any(b.high < b.observed for b in found.calibration)
    save_figures(tmp_path, y, p, found, importance={"a": 1.0})
    assert drawn(tmp_path / "calibration.png")


def test_contacts_that_cost_nothing_can_be_drawn(tmp_path: Path) -> None:
    y, p = np.zeros(4, dtype=np.int64), np.zeros(4)
    found = assess(y, p, np.arange(4), threshold=0.0, economics=Economics(contact_cost=0), resamples=50)
    assert all(drawn(path) for path in save_figures(tmp_path, y, p, found, importance={}))


def test_the_same_assessment_gives_the_same_bytes(tmp_path: Path) -> None:
    y, p, baselines, found = holdout(100, churned=2)
    for name in ("one", "two"):
        save_figures(tmp_path / name, y, p, found, importance={"a": 1.0}, baselines=baselines)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
