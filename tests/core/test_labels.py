"""The panel plan: what is trained on, what is held out, and that no label window overlaps."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.core.labels import plan_panel
from churn.errors import BadInput


@given(horizon=st.integers(1, 90), snapshots=st.integers(1, 20), step=st.integers(1, 30), history=st.integers(0, 400))
def test_every_training_label_is_known_before_the_held_out_cut_off(
    horizon: int, snapshots: int, step: int, history: int
) -> None:
    as_of = date(2026, 6, 1)
    first = as_of - timedelta(days=2 * horizon + step + history)
    plan = plan_panel(as_of, first, horizon_days=horizon, snapshots=snapshots, step_days=step)
    days = timedelta(days=horizon)
    assert plan.holdout + days == as_of
    assert 1 <= len(plan.training) <= snapshots
    assert all(day + days <= plan.holdout for day in plan.training)
    assert all(day >= first + timedelta(days=step) for day in plan.training)


def test_a_log_that_is_too_short_says_when_it_will_be_long_enough() -> None:
    with pytest.raises(BadInput, match="train as of 2026-02-05 or later"):
        plan_panel(date(2026, 2, 4), date(2026, 1, 1), horizon_days=14)
    assert plan_panel(date(2026, 2, 5), date(2026, 1, 1), horizon_days=14).training == (date(2026, 1, 8),)
