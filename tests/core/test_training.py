"""Training: deterministic, honest about what it cannot do, and stored without pickle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from churn.core.evaluation import METRICS, Economics, evaluate, profit_curve
from churn.core.model import ChurnModel, check_manifest
from churn.core.training import _family, customer_folds, train
from churn.errors import BadInput, ContractViolation


def table(rows: int = 600, seed: int = 0) -> tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.int64]]:
    """Features of which the first one matters, labels at about 20 %, and two rows per customer."""
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.normal(size=(rows, 4)), columns=list("abcd"))
    churned = (rng.random(rows) < 1 / (1 + np.exp(1.6 - 1.5 * x["a"]))).astype(np.int64)
    return x, churned.to_numpy(), np.arange(rows) // 2


@pytest.fixture(scope="module")
def model() -> ChurnModel:
    return train(*table(), trials=0)


def test_the_same_inputs_and_seed_give_the_same_model_bit_for_bit(tmp_path: Path) -> None:
    for name in ("one", "two"):
        train(*table(), trials=6).save(tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert "manifest.json" in files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_customers_are_called_changes_nothing_and_the_seed_does() -> None:
    x, churned, customers = table()
    as_text = [f"customer {c:05d}" for c in customers]
    one, two, other = (
        train(x, churned, g, trials=0, seed=s) for g, s in ((customers, 1), (as_text, 1), (customers, 2))
    )
    assert np.array_equal(one.predict_proba(x), two.predict_proba(x))
    assert not np.array_equal(one.predict_proba(x), other.predict_proba(x))


def test_it_learns_what_there_is_to_learn_and_nothing_from_shuffled_labels(model: ChurnModel) -> None:
    x, churned, customers = table()
    assert model.card.cross_validation["roc_auc"] > 0.7
    assert next(iter(model.card.importance)) == "a"
    assert model.card.families[model.card.family] < 0.9 * model.card.families["base rate"]
    shuffled = np.random.default_rng(1).permutation(churned)
    noise = train(x, shuffled, customers, trials=0)
    # Four standard errors of an AUC at this size are about 0.1.
    assert abs(noise.card.cross_validation["roc_auc"] - 0.5) < 0.1
    assert noise.predict_proba(x).std() < model.predict_proba(x).std() / 3


def test_a_search_is_no_worse_than_the_defaults_by_its_own_measure(model: ChurnModel) -> None:
    searched = train(*table(), trials=8)
    # Chosen before calibration, measured after: equal up to what calibration changes.
    assert min(searched.card.families.values()) <= min(model.card.families.values()) + 0.005


@pytest.mark.parametrize(
    ("risk", "weaker"),
    [
        (lambda x: 2 * np.sin(3 * x["a"]), "base rate"),  # a curve that no straight line follows
        (lambda x: 3 * (x["a"] > 0) * (x["b"] > 0) - 3 * (x["c"] > 0) * (x["d"] > 0), "logistic"),  # interactions
    ],
)
def test_curves_and_interactions_are_found(risk: Any, weaker: str) -> None:
    x, _, _ = table(3000, seed=3)
    churned = (np.random.default_rng(4).random(3000) < 1 / (1 + np.exp(1 - risk(x)))).astype(int)
    found = train(x, churned, trials=0).card
    assert found.families[found.family] < 0.97 * found.families[weaker]


def _awkward(rows: int, rate: float, seed: int = 0) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Columns as they come in real tables: constant, empty, infinite, with gaps, huge, integer and boolean."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=rows)
    base = np.log(rate / (1 - rate))
    churned = (rng.random(rows) < 1 / (1 + np.exp(-base - signal))).astype(np.int64)
    x = pd.DataFrame(
        {
            "signal": signal,
            "constant": 3.0,
            "empty": np.nan,
            "infinite": np.where(rng.random(rows) < 0.2, np.inf, rng.normal(size=rows)),
            "gaps": np.where(rng.random(rows) < 0.5, np.nan, rng.normal(size=rows)),
            "known_once": np.where(np.arange(rows) == 7, 1.0, np.nan),
            "huge": rng.lognormal(20, 5, rows),
            "tiny": 1e-12 * rng.random(rows),
            "whole": rng.poisson(0.1, rows),
            "flag": rng.random(rows) < 0.3,
            "nullable": pd.array(rng.integers(0, 5, rows), dtype="Int64"),
        }
    )
    x.loc[::9, "nullable"] = pd.NA
    return x, churned


@pytest.mark.parametrize(("rows", "rate"), [(200, 0.2), (200, 0.05), (4000, 0.01), (1000, 0.97)])
def test_awkward_tables_give_finite_probabilities_near_the_base_rate(rows: int, rate: float) -> None:
    x, churned = _awkward(rows, rate)
    found = train(x, churned, trials=3)
    fresh, later = _awkward(2000, rate, seed=1)
    probability = found.predict_proba(fresh)
    assert np.isfinite(probability).all()
    assert ((probability > 0) & (probability < 1)).all()
    error = np.sqrt(rate * (1 - rate) * (1 / rows + 1 / 2000))
    assert abs(probability.mean() - later.mean()) < 5 * error + 0.01
    assert np.isfinite(found.contributions(fresh)).all()


def test_two_customers_who_left_are_enough_and_one_is_not() -> None:
    x, _ = _awkward(200, 0.2)
    found = train(x, (np.arange(200) < 2).astype(int), trials=0)
    assert found.predict_proba(x).mean() < 0.1
    with pytest.raises(BadInput, match="1 of 200 rows churned"):
        train(x, (np.arange(200) < 1).astype(int))


def test_columns_that_say_nothing_at_all_give_the_base_rate() -> None:
    x = pd.DataFrame({"constant": np.ones(300), "empty": np.full(300, np.nan)})
    churned = (np.arange(300) % 4 == 0).astype(int)
    assert train(x, churned, trials=0).predict_proba(x) == pytest.approx(0.25, abs=0.01)


def test_probabilities_are_calibrated_on_customers_never_seen() -> None:
    x, churned, customers = table(6000, seed=1)
    later, outcome, _ = table(20_000, seed=2)
    found = evaluate(outcome, train(x, churned, customers, trials=0).predict_proba(later), 0.5)
    # A calibration error of 0.006 is what 20,000 outcomes in ten bins show of perfect probabilities.
    assert found["ece"] < 0.02


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_no_customer_is_in_two_folds_and_every_row_is_held_once(data: Any) -> None:
    customers = np.array(data.draw(st.lists(st.integers(0, 40), min_size=60, max_size=200)))
    labels = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(customers), max_size=len(customers))))
    assume(min(len(np.unique(customers[labels == k])) for k in (0, 1)) >= 2)
    try:
        folds = customer_folds(labels, customers, seed=data.draw(st.integers(0, 9)))
    except BadInput:
        assume(False)  # rare: customers of both outcomes that no parting does justice to
        raise
    for fit, held in folds:
        assert set(labels[fit]) == {0, 1}
        assert not set(customers[fit]) & set(customers[held])
        assert len(fit) + len(held) == len(customers)
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(len(customers)))


def test_a_saved_model_predicts_the_same_to_the_bit(model: ChurnModel, tmp_path: Path) -> None:
    x, _, _ = table(seed=5)
    x.loc[::3, "a"] = np.nan
    model.save(tmp_path / "m")
    loaded = ChurnModel.load(tmp_path / "m")
    assert loaded.card == model.card
    assert np.array_equal(loaded.predict_proba(x), model.predict_proba(x))


def test_one_row_scores_as_it_does_in_a_batch_and_columns_may_come_in_any_order(model: ChurnModel) -> None:
    x, _, _ = table(seed=5)
    x.loc[::3, "a"], x.loc[::4, "b"], x.loc[::5, "c"] = np.nan, np.inf, -np.inf
    batch = model.predict_proba(x)
    assert np.array_equal(batch[:50], np.concatenate([model.predict_proba(x.iloc[[i]].to_numpy()) for i in range(50)]))
    assert np.array_equal(batch, model.predict_proba(x[["d", "b", "a", "c"]].assign(other=1)))
    assert model.predict_proba(x.iloc[:0]).shape == (0,)
    assert ((batch > 0) & (batch < 1)).all()


def test_missing_and_infinite_values_are_taken_as_missing(model: ChurnModel) -> None:
    rows = np.array([[np.nan, 0, 0, 0], [np.inf, 0, 0, 0], [-np.inf, 0, 0, 0]])
    assert len(set(model.predict_proba(rows))) == 1
    x, churned, customers = table()
    x.loc[::7, "b"], x.loc[::5, "c"] = np.inf, np.nan
    assert 0 < train(x, churned, customers, trials=0).predict_proba(x).mean() < 1


@pytest.fixture(scope="module")
def blend() -> ChurnModel:
    """Risk with an interaction and a slope: both members are wanted."""
    x, _, _ = table(3000, seed=3)
    risk = x["a"] + 3 * (x["a"] > 0) * (x["b"] > 0) - 3 * (x["c"] > 0) * (x["d"] > 0)
    return train(x, (np.random.default_rng(4).random(3000) < 1 / (1 + np.exp(1 - risk))).astype(int), trials=0)


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_model_is_refused_by_name(blend: ChurnModel, tmp_path: Path, name: str, damage: str) -> None:
    blend.save(tmp_path / "m")
    path = tmp_path / "m" / name
    path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ContractViolation, match=name):
        ChurnModel.load(tmp_path / "m")


def test_a_folder_without_a_manifest_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ContractViolation, match="manifest"):
        ChurnModel.load(tmp_path)


def test_saving_again_replaces_the_folder_and_leaves_nothing_aside(model: ChurnModel, tmp_path: Path) -> None:
    for _ in range(2):
        model.save(tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert {p.name for p in (tmp_path / "m").iterdir()} == {"manifest.json", *check_manifest(tmp_path / "m")}


def _with(column: str, value: Any) -> pd.DataFrame:
    return table()[0].assign(**{column: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, g: (x, y[:-1], g), "must match"),
        (lambda x, y, g: (x, y, g[:-1]), "must match"),
        (lambda x, y, g: (x, y + 1, g), "0 or 1"),
        (lambda x, y, g: (_with("a", "text"), y, g), r"\['a'\] are not numeric"),
        (lambda x, y, g: (x, np.zeros_like(y), g), "0 of 600 rows churned"),
        (lambda x, y, g: (x, np.ones_like(y), g), "600 of 600 rows churned"),
        (lambda x, y, g: (x, (np.arange(len(y)) < 2).astype(int), g), "one class has 1 customers"),
        (lambda x, y, g: (x, np.where(y == 1, "yes", None), g), "labels must be 0 or 1"),
        (lambda x, y, g: (x, y[:, None], g), "must match"),
        (lambda x, y, g: (x, y, np.where(g < 5, None, g)), "10 rows have no customer"),
        (lambda x, y, g: (x, y, np.where(g < 5, np.nan, g)), "10 rows have no customer"),
        (lambda x, y, g: (x.to_numpy(), y, g), "must be a pandas DataFrame, this is ndarray"),
        (lambda x, y, g: (x.astype({"a": complex}), y, g), r"\['a'\] are not numeric"),
        (lambda x, y, g: (x.iloc[:, :0], y, g), "columns with different names"),
        (lambda x, y, g: (x.rename(columns={"a": "b"}), y, g), "columns with different names"),
        (lambda x, y, g: (x.rename(columns={"a": 1}), y, g), "columns with different names"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_with_the_reason(change: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        train(*change(*table()))


def test_the_model_names_the_columns_it_misses(model: ChurnModel) -> None:
    with pytest.raises(BadInput, match=r"needs the columns \['a'\]"):
        model.predict_proba(table()[0][["b", "c", "d"]])
    with pytest.raises(BadInput, match=r"array \(n, 4\)"):
        model.predict_proba(np.zeros((2, 3)))
    with pytest.raises(BadInput, match=r"more than one column of the name \['a'\]"):
        model.predict_proba(pd.concat([table()[0][["a"]], table()[0]], axis=1))
    with pytest.raises(BadInput, match="takes numbers"):
        model.predict_proba(table()[0].assign(b="text"))


def test_the_threshold_is_where_a_contact_begins_to_pay(model: ChurnModel) -> None:
    assert model.threshold == Economics().threshold == 50 / (0.75 * 200)
    assert Economics(contact_success=0).threshold == 1.0
    assert Economics(contact_cost=500).threshold == 1.0
    churned, contacted = np.array([1, 1, 0, 0]), np.array([True, False, True, False])
    assert Economics().profit(churned, contacted) == 0.75 * 200 - 2 * 50


def test_the_profit_curve_counts_contacts_and_is_json() -> None:
    curve = profit_curve([1, 0, 1], [0.9, 0.5, 0.1], Economics())
    assert curve["contacts"][0] == 3
    assert curve["contacts"][50] == 2
    assert curve["contacts"][100] == 0
    assert curve["profit"][91] == 0
    json.dumps(curve)


def test_metrics_are_those_of_the_textbook() -> None:
    found = evaluate([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1], 0.5)
    assert tuple(found) == METRICS
    assert (found["accuracy"], found["precision"], found["recall"], found["f1_score"]) == (0.5, 0.5, 0.5, 0.5)
    assert found["roc_auc"] == 0.75
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert np.isnan(evaluate([0, 0], [0.1, 0.2], 0.5)["roc_auc"])


def test_a_member_alone_is_kept_only_when_it_is_clearly_better() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(-2, 1.5, 4000)
    churned = (rng.random(4000) < 1 / (1 + np.exp(-true))).astype(np.int64)
    noise = rng.normal(size=4000)
    assert _family(churned, {"logistic": true, "xgboost": -true, "blend": 0 * true - 2}) == "logistic"
    assert _family(churned, {"logistic": -true, "xgboost": true, "blend": 0 * true - 2}) == "xgboost"
    assert _family(churned, {"logistic": true, "xgboost": true + noise, "blend": true + 0.02 * noise}) == "blend"
