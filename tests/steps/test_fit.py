"""Fitting a panel: both models, their measure on the hold-out, and nothing at all when a canary falls silent."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from churn.core.features import CORE_FEATURES, FEATURES
from churn.errors import BadInput, ContractViolation
from churn.settings import Settings
from churn.steps.fit import fit_panel, split

CUT_OFFS = [date(2026, 5, d) for d in (1, 8, 15)] + [date(2026, 6, 1)]


def panel(customers: int = 400, seed: int = 0) -> pd.DataFrame:
    """Rows of random features; who visits often and dislikes much is likelier to leave."""
    rng = np.random.default_rng(seed)
    frames = []
    for day in CUT_OFFS:
        values = {f.name: rng.gamma(2.0, max(f.example, 0.1) / 2, customers) for f in FEATURES}
        rows = pd.DataFrame(values).assign(is_paid_user=rng.integers(0, 2, customers).astype(float))
        risk = -3.2 + 0.1 * rows["total_sessions"] + 8 * rows["thumbs_down_ratio"]
        rows["churned"] = (rng.random(customers) < 1 / (1 + np.exp(-risk))).astype(int)
        frames.append(rows.assign(as_of=day, customer_id=[f"c{i}" for i in range(customers)]))
    return pd.concat(frames, ignore_index=True)


def test_both_models_are_fitted_on_the_earlier_cut_offs_and_measured_on_the_latest(settings: Settings) -> None:
    table, said = panel(), []
    fitted = fit_panel(table, settings, progress=said.append)
    training, holdout = split(table)
    assert set(holdout["as_of"]) == {CUT_OFFS[-1]}
    assert set(training["as_of"]) == set(CUT_OFFS[:-1])
    assert fitted.models["core"].features == tuple(f.name for f in CORE_FEATURES)
    assert fitted.models["full"].features == tuple(f.name for f in FEATURES)
    for name, model in fitted.models.items():
        found = fitted.assessments[name]
        assert model.card.rows == len(training)
        assert found.rows == len(holdout)
        assert np.array_equal(fitted.probability[name], model.predict_proba(holdout))
        assert set(found.baselines) == {"base rate", "recency rule", "logistic regression"}
        auc = found.metrics["roc_auc"]
        assert auc.low is not None
        assert auc.high is not None
        assert 0.5 < auc.low < auc.value < auc.high  # type: ignore[operator]
        assert model.contributions(holdout).sum(axis=1) == pytest.approx(logit(fitted.probability[name]))
    assert {c.name: c.passed for c in fitted.canaries} == {"leakage": True, "shuffled labels": True}
    assert any(f"{len(FEATURES)} features" in s for s in said)


def test_outcomes_of_the_hold_out_are_not_trained_on(settings: Settings) -> None:
    table = panel()
    changed = table.copy()
    latest = changed["as_of"] == CUT_OFFS[-1]
    changed.loc[latest, "churned"] = np.random.default_rng(9).permutation(changed.loc[latest, "churned"])
    one, two = (fit_panel(t, settings) for t in (table, changed))
    for name in ("core", "full"):
        assert np.array_equal(one.probability[name], two.probability[name])


def test_a_feature_that_knows_the_outcome_stops_the_training_and_is_named(settings: Settings) -> None:
    table = panel()
    noise = np.random.default_rng(1).normal(size=len(table))
    table["gap_max"] = np.where(table["churned"] == 1, 60.0, 5.0) + noise
    with pytest.raises(ContractViolation, match=r"leakage.*gap_max: ROC AUC 0\.99. alone.*CHURN_LEAKAGE_AUC"):
        fit_panel(table, settings)
    assert fit_panel(table, settings.model_copy(update={"leakage_auc": 1.0})).models


def test_a_feature_that_knew_the_outcome_only_in_training_is_named(settings: Settings) -> None:
    table = panel(900)
    noise = np.random.default_rng(1).normal(size=len(table))
    training = table["as_of"] != CUT_OFFS[-1]
    table["help_28d"] = np.where(training, 1.2 * table["churned"], 0.0) + noise
    with pytest.raises(ContractViolation, match=r"help_28d.*collapses out of time"):
        fit_panel(table, settings)


def test_where_churning_is_staying_away_long_gone_customers_do_not_make_recency_a_leak(settings: Settings) -> None:
    table = panel()
    gone = np.random.default_rng(2).random(len(table)) < 0.7
    table["time_since_last_activity"] = np.where(gone, 200.0, table["time_since_last_activity"].clip(upper=80))
    table["churned"] = np.where(gone, 1, table["churned"])
    with pytest.raises(ContractViolation, match="time_since_last_activity"):
        fit_panel(table, settings)
    assert fit_panel(table, settings.model_copy(update={"contract": "transactions"})).canaries[0].passed


def test_a_panel_in_which_nobody_churned_is_refused_with_the_reason(settings: Settings) -> None:
    with pytest.raises(BadInput, match="0 of 1200 rows churned"):
        fit_panel(panel().assign(churned=0), settings)
