"""Canaries: silent on honest data at the promised rate, and loud about each kind of leak, by name."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

from churn.core.canaries import leaky_columns, shuffled_labels


def panel(customers: int = 500, snapshots: int = 3, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Customers with lasting traits, seen at several snapshots; about one in eight leaves, some traits matter."""
    rng = np.random.default_rng(seed)
    traits = np.repeat(rng.normal(size=(customers, 4)), snapshots, axis=0)
    x = pd.DataFrame(traits + 0.05 * rng.normal(size=traits.shape), columns=list("abcd"))
    who = np.repeat(np.arange(customers), snapshots)
    churned = (rng.random(len(x)) < 1 / (1 + np.exp(2.2 - x["a"]))).astype(int)
    return x, churned, who


def test_shuffled_outcomes_teach_nothing_on_honest_folds() -> None:
    canary = shuffled_labels(*panel())
    assert canary.passed
    assert "indistinguishable from 0.5" in canary.message


def test_a_customer_on_both_sides_of_a_fold_is_found_out() -> None:
    x, churned, who = panel()
    fold = next(KFold(2, shuffle=True, random_state=0).split(x))
    canary = shuffled_labels(x, churned, who, fold=fold)
    assert not canary.passed
    assert "that is not 0.5" in canary.message


def test_with_one_kind_of_customer_there_is_nothing_to_shuffle() -> None:
    x, churned, who = panel()
    for outcome in (np.zeros_like(churned), np.ones_like(churned), (who == 3).astype(int)):
        assert shuffled_labels(x, outcome, who).passed


@pytest.mark.slow
def test_the_shuffled_canary_rings_falsely_no_more_often_than_it_promises() -> None:
    """One in a thousand is promised; of 300 honest trainings three or more false alarms come once in 250 times."""
    alarms = sum(not shuffled_labels(*panel(250, 2, seed), seed=seed).passed for seed in range(300))
    assert alarms <= 2


def _leaks(x: pd.DataFrame, churned: np.ndarray, seed: int = 1) -> tuple[bool, tuple[str, ...], str]:
    later, after, who = panel(seed=seed)
    missing = {c: np.nan for c in x.columns if c not in later}
    found = leaky_columns(x, churned, who, later.assign(**missing), after)
    return found.passed, found.columns, found.message


def test_honest_columns_are_not_suspected() -> None:
    for seed in range(20):
        x, churned, _ = panel(seed=seed)
        assert _leaks(x, churned, seed + 100)[0]


@pytest.mark.slow
@pytest.mark.parametrize("churners", [2, 4, 10, 20, 80])
def test_many_columns_of_noise_and_few_churners_are_not_suspected(churners: int) -> None:
    """Eight small tables of 64 columns each: 512 columns, none of which knows anything."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, later = (pd.DataFrame(rng.normal(size=(300, 64))).add_prefix("x") for _ in range(2))
        churned, after = ((rng.permutation(300) < churners).astype(int) for _ in range(2))
        found = leaky_columns(x, churned, np.arange(300), later, after)
        assert found.passed, found.message
        if churners <= 10:  # it does not call a table clean that it could not judge
            assert "too few" in found.message or "one kind" in found.message


@pytest.mark.parametrize(
    "leak",
    [
        lambda y, rng: y,  # the outcome itself
        lambda y, rng: np.where(rng.random(len(y)) < 0.05, 1 - y, y),  # nearly
        lambda y, rng: 100 - 50 * y + rng.normal(size=len(y)),  # turned round
        lambda y, rng: np.where(y == 1, np.nan, 1.0),  # being missing gives it away
        lambda y, rng: np.where(y == 1, rng.normal(size=len(y)) * 0.1, rng.choice([-3, 3], len(y))),  # in the middle
    ],
)
def test_a_leaky_column_is_named(leak: object) -> None:
    x, churned, _ = panel()
    column = leak(churned, np.random.default_rng(0))  # type: ignore[operator]
    passed, columns, message = _leaks(x.assign(days_since_cancellation=column), churned)
    assert not passed
    assert columns == ("days_since_cancellation",)
    assert "days_since_cancellation: ROC AUC" in message


def test_a_column_that_knew_the_outcome_only_in_the_past_is_named() -> None:
    x, churned, who = panel(1500)
    later, after, _ = panel(1500, seed=1)
    rng = np.random.default_rng(0)
    column = 1.2 * churned + rng.normal(size=len(x))  # as when a field is filled in after the fact
    found = leaky_columns(
        x.assign(closed=column), churned, who, later.assign(closed=rng.normal(size=len(later))), after
    )
    assert found.columns == ("closed",)
    assert "collapses out of time" in found.message


def test_with_one_kind_of_outcome_there_is_nothing_to_check() -> None:
    x, churned, who = panel()
    assert leaky_columns(x, churned, who, x, np.zeros(len(x))).passed


def test_what_counts_as_implausible_can_be_set() -> None:
    x, churned, who = panel()
    leak = x.assign(e=np.where(np.random.default_rng(0).random(len(x)) < 0.05, 1 - churned, churned))
    assert not leaky_columns(leak, churned, who, leak, churned).passed
    assert leaky_columns(leak, churned, who, leak, churned, implausible_auc=1.0).passed
