"""Reasons: what each feature adds, adding up to the score exactly, in words an analyst reads."""

import json
import tracemalloc
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit

from churn.core.calibration import Calibration, fit_calibration, log_loss
from churn.core.curves import LIMIT, Curve, Curves
from churn.core.features import FEATURES
from churn.core.logistic import LogisticParameters, fit_logistic
from churn.core.model import ChurnModel, ModelCard
from churn.core.reasons import in_words
from churn.core.training import train


def _table(rows: int = 900) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    x = pd.DataFrame(
        {
            "time_since_last_activity": rng.exponential(4, rows),
            "total_sessions": rng.poisson(9, rows),
            "is_paid_user": rng.integers(0, 2, rows),
            "noise": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
        }
    )
    risk = -2 + 0.3 * x["time_since_last_activity"] - x["is_paid_user"] * (x["total_sessions"] > 9)
    return x, (rng.random(rows) < 1 / (1 + np.exp(-risk))).astype(int)


@pytest.fixture(scope="module")
def model() -> ChurnModel:
    return train(*_table(), trials=0)


def _with_members(model: ChurnModel, *, curves: bool, trees: bool) -> ChurnModel:
    weights = (0.7,) * (curves + trees)
    x, churned = _table()
    fitted = fit_logistic(x.to_numpy(float), churned, LogisticParameters()) if curves else None
    grown = xgb.train({"objective": "binary:logistic", "nthread": 1}, xgb.DMatrix(x, churned), 20) if trees else None
    if grown is not None:
        grown.feature_names = None
    return ChurnModel(Calibration(0.1, weights), fitted, grown, model.card)


@pytest.mark.parametrize(("curves", "trees"), [(True, False), (False, True), (True, True)])
def test_contributions_of_every_family_add_up_to_the_log_odds(
    model: ChurnModel, tmp_path: Path, curves: bool, trees: bool
) -> None:
    made = _with_members(model, curves=curves, trees=trees)
    made.save(tmp_path / "m")
    assert {p.name for p in (tmp_path / "m").iterdir()} >= {"model.json", "manifest.json"}
    assert (tmp_path / "m" / "model.ubj").exists() == trees
    loaded = ChurnModel.load(tmp_path / "m")
    x, _ = _table()
    x.loc[3] = np.nan
    x.loc[4] = 1e300
    added = loaded.contributions(x)
    assert added.shape == (len(x), x.shape[1] + 1)
    assert added.sum(axis=1) == pytest.approx(logit(loaded.predict_proba(x)), abs=1e-9)
    assert np.array_equal(added, made.contributions(x))
    # The last column is what everybody starts from, but for the rounding of single precision.
    assert np.ptp(added[:, -1]) < 1e-5


def test_the_tree_part_is_xgboosts_own_tree_shap(model: ChurnModel) -> None:
    made, (x, _) = _with_members(model, curves=False, trees=True), _table()
    shap = made._trees.predict(xgb.DMatrix(x.to_numpy(float)), pred_contribs=True)
    assert made.contributions(x)[:, :-1] == pytest.approx(0.7 * shap[:, :-1], abs=1e-6)


def test_reasons_are_the_strongest_first_and_as_many_as_asked_for(model: ChurnModel) -> None:
    x, _ = _table()
    added = model.contributions(x)[:, :-1]
    for row, reasons in enumerate(model.reasons(x.head(40), 2)):
        assert len(reasons) <= 2
        found = [abs(r.contribution) for r in reasons]
        assert found == sorted(found, reverse=True)
        assert found[0] == np.abs(added[row]).max()
    everything = model.reasons(x.head(1), k=99)[0]
    assert sum(r.contribution for r in everything) == pytest.approx(added[0].sum())
    json.dumps([asdict(r) for r in everything], allow_nan=False)


def test_reasons_do_not_depend_on_how_many_customers_are_explained_at_a_time(
    model: ChurnModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = _table()[0].head(41)
    together = model.reasons(x, 3)
    alone = [model.reasons(x.iloc[[row]], 3)[0] for row in range(len(x))]
    monkeypatch.setattr("churn.core.model._EXPLAINED_AT_ONCE", 10)
    some = model.reasons(x, 3)
    assert len(some) == 41
    assert list(some) == list(together) == list(together) == alone
    assert list(model.reasons(x.head(0), 3)) == []


def test_reasons_take_little_memory_until_they_are_put_into_words(model: ChurnModel) -> None:
    x = pd.concat([_table()[0]] * 20)
    tracemalloc.start()
    try:
        found = model.reasons(x, 3)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(found) == len(x)
    numbers = 3 * 3 * 8  # three of eight bytes for each of three reasons; in words, thousands of bytes
    assert numbers <= held / len(x) < 2 * numbers


def test_a_customer_with_a_missing_value_still_gets_reasons_in_json(model: ChurnModel) -> None:
    reasons = model.reasons(pd.DataFrame([dict.fromkeys(model.features, np.nan)]), k=9)[0]
    assert all(r.value is None for r in reasons)
    json.dumps([asdict(r) for r in reasons], allow_nan=False)


@pytest.mark.parametrize(
    ("name", "value", "usual", "text"),
    [
        ("time_since_last_activity", 12.2, 3.0, "12 days since the last visit, usually 3"),
        ("time_since_last_activity", 3.02, 3.0, "3 days since the last visit, as usual"),
        ("total_sessions", 1.0, 10.0, "1 visit so far, usually 10"),
        ("is_paid_user", 1.0, 0.0, "on the paid plan, usually free"),
        ("thumbs_down_ratio", 0.05, 0.012, "5 dislikes per 100 songs, usually 1.2"),
        ("page_help", 4.0, 1234.5, "page help is 4, usually 1,234"),
        ("page_help", None, 2.0, "page help is missing, usually 2"),
    ],
)
def test_an_analyst_can_read_them(name: str, value: float | None, usual: float, text: str) -> None:
    assert in_words(name, value, usual) == text


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
def test_every_feature_of_ours_has_words_for_any_value_it_may_take(feature: object) -> None:
    for value in (None, feature.minimum, feature.maximum, feature.example):  # type: ignore[attr-defined]
        text = in_words(feature.name, value, feature.example)  # type: ignore[attr-defined]
        assert text
        assert "{" not in text
        assert "nan" not in text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=2, max_size=2))
def test_curves_never_go_beyond_what_rows_can_support_and_still_add_up(values: list[float]) -> None:
    steep = Curve((-5.0, 0.0, 5.0), (-900.0, 0.0, 900.0), missing=30.0)
    curves = Curves(-1.0, (steep, steep))
    x = np.array([values])
    at = curves.log_odds(x)
    assert abs(at[0]) <= LIMIT + 1e-9
    assert curves.contributions(x).sum(axis=1) - 1.0 == pytest.approx(at)


def test_a_fitted_curve_is_the_fitted_regression_at_every_training_value() -> None:
    x, churned = _table()
    parameters = LogisticParameters(C=1.0, bend=1.0, knots=6)
    fitted = fit_logistic(x.to_numpy(float), churned, parameters)
    # Without regularisation to speak of, a logistic regression's mean probability is the churn rate.
    loose = fit_logistic(x.to_numpy(float), churned, LogisticParameters(C=1e4, bend=1.0, knots=3))
    assert (1 / (1 + np.exp(-loose.log_odds(x.to_numpy(float))))).mean() == pytest.approx(churned.mean(), abs=1e-3)
    # Each curve is centred: it adds nothing to the average customer.
    assert fitted.contributions(x.to_numpy(float)).mean(axis=0) == pytest.approx(0, abs=1e-8)


def test_calibration_undoes_any_stretch_and_shift_and_weighs_members_alike() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(-2, 1.5, 20_000)
    churned = (rng.random(20_000) < 1 / (1 + np.exp(-true))).astype(np.int64)
    found = fit_calibration([3 * true + 1], churned)
    assert found.weights[0] == pytest.approx(1 / 3, rel=0.05)
    assert log_loss(churned, found.log_odds([3 * true + 1])) == pytest.approx(log_loss(churned, true), abs=1e-3)
    both = fit_calibration([4 * true, 2 * true], churned)
    assert both.weights == pytest.approx((1 / 6, 1 / 6), rel=0.05)
    # A member that points the wrong way is left out, not turned round.
    assert fit_calibration([-true], churned).weights == (0.0,)


def test_one_confident_mistake_counts_in_full() -> None:
    assert log_loss(np.array([0, 1]), np.array([400.0, 400.0])) == 200.0


def test_the_card_is_json(model: ChurnModel) -> None:
    assert isinstance(model.card, ModelCard)
    json.dumps(asdict(model.card), allow_nan=False)
    assert sum(model.card.importance.values()) == pytest.approx(1)
