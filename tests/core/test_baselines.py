"""Baselines: fitted on whatever a feature table holds, without a warning."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from churn.core.baselines import BASELINES, fit_baselines
from churn.errors import BadInput


def table(rows: int = 800) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Two features that matter, recency among them, and one that does not."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame(
        {
            "time_since_last_activity": rng.exponential(10, rows),
            "songs": rng.poisson(50, rows).astype(float),
            "noise": rng.normal(size=rows),
        }
    )
    z = -3 + np.log1p(x["time_since_last_activity"]) - 0.05 * (x["songs"] - 50)
    return x, (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(np.int64).to_numpy()


def test_three_baselines_each_better_than_the_one_before() -> None:
    x, y = table()
    found = fit_baselines(x, y).predict(x)
    assert list(found) == list(BASELINES)
    assert set(found["base rate"]) == {y.mean()}
    assert 0.6 < roc_auc_score(y, found["recency rule"]) < roc_auc_score(y, found["logistic regression"])
    assert all(((p > 0) & (p < 1)).all() for p in found.values())
    # Calibrated in the large, as a logistic regression with an intercept is.
    assert found["recency rule"].mean() == pytest.approx(y.mean(), abs=1e-3)


def test_the_recency_rule_follows_one_column_only_and_is_left_out_without_it() -> None:
    x, y = table()
    fitted = fit_baselines(x, y)
    changed = x.assign(songs=0.0, noise=99.0)
    assert np.array_equal(fitted.predict(x)["recency rule"], fitted.predict(changed)["recency rule"])
    recency = np.argsort(x["time_since_last_activity"].to_numpy())
    rising = np.diff(fitted.predict(x)["recency rule"][recency])
    assert (rising >= 0).all()
    renamed = x.rename(columns={"time_since_last_activity": "days_since_purchase"})
    assert list(fit_baselines(renamed, y).predict(renamed)) == ["base rate", "logistic regression"]
    again = fit_baselines(renamed, y, recency="days_since_purchase").predict(renamed)
    assert np.array_equal(again["recency rule"], fitted.predict(x)["recency rule"])


def test_missing_infinite_constant_empty_repeated_and_huge_columns_do_no_harm() -> None:
    x, y = table()
    x.loc[::3, "songs"], x.loc[::5, "noise"], x.loc[::7, "time_since_last_activity"] = np.nan, np.inf, -np.inf
    x = x.assign(constant=1.0, empty=np.nan, same=x["songs"], huge=np.where(y > 0, 1e300, 1.0), negative=-5)
    found = fit_baselines(x, y).predict(x)
    assert all(np.isfinite(p).all() for p in found.values())
    assert fit_baselines(x.assign(time_since_last_activity=-3.0), y).predict(x).keys() == found.keys()


def test_a_missing_value_is_taken_as_the_training_median() -> None:
    x, y = table()
    fitted = fit_baselines(x, y)
    one = x.iloc[[0]]
    assert np.array_equal(
        fitted.predict(one.assign(songs=np.nan))["logistic regression"],
        fitted.predict(one.assign(songs=x["songs"].median()))["logistic regression"],
    )


def test_columns_go_by_name_and_no_row_is_no_probability() -> None:
    x, y = table()
    fitted = fit_baselines(x, y)
    shuffled = x[["noise", "songs", "time_since_last_activity"]].assign(more=1)
    for name, p in fitted.predict(x).items():
        assert np.array_equal(p, fitted.predict(shuffled)[name])
        assert fitted.predict(x.iloc[:0])[name].shape == (0,)


def test_separable_outcomes_converge() -> None:
    x = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) ** 2})
    assert roc_auc_score(x["a"] > 19, fit_baselines(x, x["a"] > 19).predict(x)["logistic regression"]) == 1


def test_what_cannot_be_fitted_is_refused() -> None:
    x, y = table()
    for features, churned in ((x, y[:-1]), (x, np.zeros_like(y)), (x[[]], y), (x.iloc[:0], y[:0])):
        with pytest.raises(BadInput, match="baselines need columns and both outcomes"):
            fit_baselines(features, churned)
    with pytest.raises(BadInput, match=r"need the columns \['songs'\]"):
        fit_baselines(x, y).predict(x.drop(columns="songs"))
