"""Training: deterministic, honest about what it cannot do, and stored without pickle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from churn.core.evaluation import METRICS, Economics, evaluate, profit_curve
from churn.core.model import ChurnModel
from churn.core.training import train
from churn.errors import BadInput, ContractViolation


def table(rows: int = 600, seed: int = 0) -> tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.int64]]:
    """Features of which the first one matters, labels at about 20 %, and two rows per customer."""
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.normal(size=(rows, 4)), columns=list("abcd"))
    churned = (rng.random(rows) < 1 / (1 + np.exp(1.6 - 1.5 * x["a"]))).astype(np.int64)
    return x, churned.to_numpy(), np.arange(rows) // 2


@pytest.fixture(scope="module")
def model() -> ChurnModel:
    return train(*table())


def test_the_same_inputs_and_seed_give_the_same_model_bit_for_bit(model: ChurnModel, tmp_path: Path) -> None:
    model.save(tmp_path / "one")
    train(*table()).save(tmp_path / "two")
    for name in ("model.ubj", "model.json", "manifest.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_it_learns_what_there_is_to_learn_and_nothing_from_shuffled_labels(model: ChurnModel) -> None:
    x, churned, customers = table()
    assert model.card.cross_validation["roc_auc"] > 0.7
    assert next(iter(model.card.importance)) == "a"
    shuffled = np.random.default_rng(1).permutation(churned)
    # Four standard errors of an AUC at this size are about 0.1.
    assert abs(train(x, shuffled, customers).card.cross_validation["roc_auc"] - 0.5) < 0.1


def test_a_saved_model_predicts_the_same_to_the_bit(model: ChurnModel, tmp_path: Path) -> None:
    x, _, _ = table(seed=5)
    model.save(tmp_path / "m")
    loaded = ChurnModel.load(tmp_path / "m")
    assert loaded.card == model.card
    assert np.array_equal(loaded.predict_proba(x), model.predict_proba(x))


def test_one_row_scores_as_it_does_in_a_batch_and_columns_may_come_in_any_order(model: ChurnModel) -> None:
    x, _, _ = table(seed=5)
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
    assert 0 < train(x, churned, customers).predict_proba(x).mean() < 1


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_model_is_refused_by_name(model: ChurnModel, tmp_path: Path, name: str, damage: str) -> None:
    model.save(tmp_path / "m")
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
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["manifest.json", "model.json", "model.ubj"]


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
        (lambda x, y, g: (x, (np.arange(len(y)) < 8).astype(int), g), "one class has 4 customers"),
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
