"""A model against whoever knows the truth."""

import numpy as np
import pytest

from churn.core.oracle import compare_with_oracle, true_probability
from churn.errors import BadInput

RNG = np.random.default_rng(11)
TRUTH = true_probability(RNG.gamma(0.5, 0.02, 3000).clip(max=1.0), 14)
CHURNED = (RNG.random(3000) < TRUTH).astype(int)
BASE = np.full(3000, CHURNED.mean())
CUSTOMERS = np.array([f"c{i}" for i in range(3000)])


def test_a_hazard_becomes_the_chance_of_leaving_at_least_once_within_the_horizon() -> None:
    assert true_probability([0.0, 0.01, 1.0], 14) == pytest.approx([0.0, 1 - 0.99**14, 1.0])
    assert true_probability([1e-12], 14) == pytest.approx([1.4e-11], rel=1e-4)
    for wrong in ([-0.1], [1.1], [np.nan]):
        with pytest.raises(BadInput, match="between 0 and 1"):
            true_probability(wrong, 14)


def test_the_oracle_has_all_of_its_lead_and_the_base_rate_none() -> None:
    blurred = np.sqrt(TRUTH * BASE)
    models = {"itself": TRUTH, "nothing": BASE, "half": blurred}
    found = compare_with_oracle("2026-03-01", CHURNED, TRUTH, BASE, models, customers=CUSTOMERS)
    assert found.mean_probability == pytest.approx(CHURNED.mean(), abs=0.02)
    for closed in (found.models["itself"].roc_auc_closed, found.models["itself"].log_loss_closed):
        assert (closed.value, closed.low, closed.high) == pytest.approx((1.0, 1.0, 1.0))  # paired: no noise at all
    for closed in (found.models["nothing"].roc_auc_closed, found.models["nothing"].log_loss_closed):
        assert (closed.value, closed.low, closed.high) == pytest.approx((0.0, 0.0, 0.0))
    half = found.models["half"]
    assert half.roc_auc_closed.value == pytest.approx(1.0)  # the same order …
    assert 0.3 < (half.log_loss_closed.value or 0) < 0.99  # … with less to say


def test_a_share_of_a_lead_that_is_not_there_is_not_given() -> None:
    blind = RNG.permutation(TRUTH)
    found = compare_with_oracle("2026-03-01", CHURNED, blind, BASE, {"model": TRUTH}, customers=CUSTOMERS)
    assert found.models["model"].roc_auc_closed.value is None
    assert found.models["model"].log_loss_closed.value is None
    assert found.models["model"].roc_auc.value is not None
