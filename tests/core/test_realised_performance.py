"""Verdicts on outcomes: a model that tells customers apart no more is called degraded, chance is not."""

import numpy as np
import pytest

from churn.core.assessment import Assessment, assess
from churn.core.evaluation import Economics
from churn.core.realised_performance import judge


def pooled(*, rows: int = 1_500, nights: int = 7, blind: float = 0.0, seed: int = 0) -> tuple[Assessment, int]:
    """Nights of the same customers; the scores see all of the risk, or with ``blind`` noise instead of it."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(-3, 1, rows)
    churned = (rng.random(rows) < 1 / (1 + np.exp(-risk))).astype(int)
    seen = (1 - blind) * risk + blind * rng.normal(-3, 1, rows)
    p = 1 / (1 + np.exp(-seen - rng.normal(0, 0.05, (nights, rows))))
    who = np.tile(np.arange(rows), nights)
    found = assess(np.tile(churned, nights), p.ravel(), who, threshold=0.3, economics=Economics(), resamples=200)
    return found, int(churned.sum())


def test_a_model_that_lost_its_sight_has_degraded() -> None:
    verdict = judge(*pooled(blind=1), 0.75)
    assert (verdict.judged, verdict.degraded) == (True, True)
    assert "degraded: ROC AUC" in verdict.words
    assert verdict.limit == pytest.approx(0.7125)


def test_a_model_as_good_as_on_its_hold_out_has_not() -> None:
    reached = pooled()[0].metrics["roc_auc"].value
    assert reached is not None
    verdicts = [judge(*pooled(seed=seed), reached) for seed in range(1, 11)]
    assert all(v.judged and not v.degraded for v in verdicts)


def test_a_point_below_the_limit_is_none_while_the_interval_reaches_it() -> None:
    found, churned = pooled()
    auc = found.metrics["roc_auc"]
    assert auc.value is not None and auc.high is not None
    just = (auc.value + auc.high) / 2 / 0.95  # a limit between the two
    assert not judge(found, churned, just).degraded
    assert judge(found, churned, auc.high / 0.95 + 0.001).degraded


def test_too_few_who_left_are_no_evidence() -> None:
    found, _ = pooled(rows=120, blind=1)
    verdict = judge(found, 19, 0.9)
    assert (verdict.judged, verdict.degraded) == (False, False)
    assert "19 have left, 20 are needed" in verdict.words
    assert judge(found, 20, 0.99).judged


def test_without_the_hold_out_s_figure_nothing_is_judged() -> None:
    verdict = judge(*pooled(), None)
    assert (verdict.judged, verdict.limit) == (False, None)
