"""Champion against challenger: better is promoted, and anything doubtful is not."""

from typing import Any

import numpy as np
import pytest

from churn.core.promotion import decide

RNG = np.random.default_rng(0)
RISK = RNG.beta(1, 6, 1000)
CHURNED = (RNG.random(1000) < RISK).astype(int)
CUSTOMERS = np.arange(1000)
WORSE = np.full(1000, CHURNED.mean())


def test_a_clearly_better_challenger_is_promoted_with_its_figures() -> None:
    decision = decide(CHURNED, WORSE, RISK, CUSTOMERS)
    assert decision.promote is True
    assert decision.evidence["customers"] == 1000
    assert decision.evidence["challenger"]["log_loss"] < decision.evidence["champion"]["log_loss"]
    assert all(isinstance(r, str) and r for r in decision.reasons)


@pytest.mark.parametrize("challenger", [WORSE, RISK])
def test_no_better_than_the_champion_means_no(challenger: Any) -> None:
    assert decide(CHURNED, RISK, challenger, CUSTOMERS).promote is False


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((CHURNED, WORSE, np.where(CUSTOMERS == 3, np.nan, RISK), CUSTOMERS), "challenger's scores are not all"),
        ((CHURNED, WORSE + 2, RISK, CUSTOMERS), "champion's scores are not all"),
        ((CHURNED, WORSE, RISK[:-1], CUSTOMERS), "lengths differ"),
        ((CHURNED[:150], WORSE[:150], RISK[:150], CUSTOMERS[:150]), "150 customers, 200 are needed"),
        ((CHURNED, WORSE, RISK, CUSTOMERS // 10), "100 customers, 200 are needed"),
        ((np.zeros(1000, int), WORSE, RISK, CUSTOMERS), "0 of 1000 churned"),
        ((CHURNED * 2, WORSE, RISK, CUSTOMERS), "not all 0 or 1"),
        (([], [], [], []), "0 customers"),
    ],
)
def test_missing_or_impossible_evidence_means_no(arguments: Any, reason: str) -> None:
    decision = decide(*arguments)
    assert decision.promote is False
    assert reason in "; ".join(decision.reasons)
