"""The compiled model: one row's probability, bit for bit the one that the model gives the row in a table."""

import json
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.core import compiled_trees
from churn.core.calibration import Calibration
from churn.core.compiled import CompiledModel
from churn.core.curves import Curve, Curves, signed_log
from churn.core.logistic import LogisticParameters, fit_logistic
from churn.core.model import ChurnModel, ModelCard
from churn.core.training import train
from churn.errors import BadInput, ContractViolation

K = 11
"""Features: more than eight, where NumPy begins to add up in another order."""
MEMBERS = {"curves": (True, False), "trees": (False, True), "both": (True, True)}
FAMILIES = st.sampled_from(list(MEMBERS))
DEPTHS = st.sampled_from([1, 3, 4, 5, 6])


@cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.gamma(1.5, 20, (600, K)) * rng.choice([1, 1, 1e-3, -1, 1e6], K)
    x[:, 3] = np.round(x[:, 3])
    x[:, 4] = rng.integers(0, 2, 600)
    x[:, 5] = 7.0
    x[rng.random(x.shape) < 0.05] = np.nan
    x[0] = 1e38
    risk = 0.02 * np.nan_to_num(x[:, 3]) + x[:, 4] * (np.nan_to_num(x[:, 0]) > 10) - np.isnan(x[:, 1])
    return x, (rng.random(600) < 1 / (1 + np.exp(0.5 - risk))).astype(int)


@cache
def _booster(depth: int) -> xgb.Booster:
    x, churned = _table()
    given = {"objective": "binary:logistic", "max_depth": depth, "nthread": 1, "min_child_weight": 0.1}
    return xgb.train(given, xgb.DMatrix(x, churned), 30)


def _card() -> ModelCard:
    names = tuple(f"f{i}" for i in range(K))
    return ModelCard(names, 0.5, "blend", {}, {}, 1, 1, 0.5, {}, {}, dict.fromkeys(names, 0.0), 0)


@cache
def _model(family: str, depth: int = 3) -> ChurnModel:
    curves, trees = MEMBERS[family]
    fitted = fit_logistic(*_table(), LogisticParameters(knots=5)) if curves else None
    return ChurnModel(
        Calibration(0.1, (0.7, 0.4)[: curves + trees]), fitted, _booster(depth) if trees else None, _card()
    )


@cache
def _compiled(family: str, depth: int = 3) -> CompiledModel:
    return CompiledModel(_model(family, depth))


def _agree(model: ChurnModel, compiled: CompiledModel, rows: np.ndarray) -> None:
    assert [compiled.probability(row) for row in rows.tolist()] == model.predict_proba(rows).tolist()


@cache
def _thresholds() -> tuple[float, ...]:
    """Of all depths, and the neighbours at which rounding to single precision begins to matter."""
    found: set[float] = {0.0, 1e38, float(np.float32(1e38))}
    for depth in (1, 3, 4, 5, 6):
        trees = json.loads(bytes(_booster(depth).save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]
        found |= {
            t
            for tree in trees
            for t, left in zip(tree["split_conditions"], tree["left_children"], strict=True)
            if left >= 0
        }
    t = np.array(sorted(found), dtype=np.float32)
    edges = [t.astype(np.float64)]
    for direction in (-np.inf, np.inf):
        halfway = (t.astype(np.float64) + np.nextafter(t, np.float32(direction))) / 2
        edges += [halfway, np.nextafter(halfway, -np.inf), np.nextafter(halfway, np.inf)]
    return tuple(np.concatenate(edges).tolist())


VALUES = st.one_of(
    st.floats(),
    st.floats(width=32),
    st.floats(-100, 100),
    st.integers(-3, 200).map(float),
    st.sampled_from([np.nan, np.inf, -np.inf, -0.0, 1e38, -1e38, 1.1e38, 3.5e38, 1.7e308, 5e-324]),
    st.deferred(lambda: st.sampled_from(_thresholds())),
)
ROWS = st.lists(VALUES, min_size=K, max_size=K)


@settings(deadline=None)  # the first one fits the models
@given(FAMILIES, DEPTHS, ROWS)
def test_any_row_gets_the_bits_that_the_model_gives_it(family: str, depth: int, row: list[float]) -> None:
    _agree(_model(family, depth), _compiled(family, depth), np.array([row]))


@settings(deadline=None)
@given(FAMILIES, DEPTHS, st.lists(st.sampled_from(range(600)), min_size=K, max_size=K))
def test_values_that_occur_get_the_bits_that_the_model_gives_them(family: str, depth: int, of: list[int]) -> None:
    _agree(_model(family, depth), _compiled(family, depth), _table()[0][of, range(K)][None, :])


@pytest.mark.parametrize("family", MEMBERS)
def test_a_whole_table_gets_the_bits_of_one_batch(family: str) -> None:
    _agree(_model(family), _compiled(family), _table()[0])


@pytest.mark.parametrize("depth", [1, 6])
def test_a_value_on_a_threshold_or_an_edge_of_single_precision_falls_to_the_same_side(depth: int) -> None:
    edges, rng = np.array(_thresholds()), np.random.default_rng(1)
    rows = np.stack([rng.permutation(edges) for _ in range(K)], axis=1)
    _agree(_model("trees", depth), _compiled("trees", depth), rows)


def test_a_value_on_a_knot_is_on_the_same_line() -> None:
    curves = _model("curves").curves
    assert curves is not None
    rows = np.stack([np.resize(np.expm1(np.abs(c.knots or (0.0,))), 40) for c in curves.curves], axis=1)
    rows = np.concatenate([rows, -rows, np.nextafter(rows, np.inf), np.nextafter(rows, -np.inf)])
    assert np.isin(signed_log(rows), np.concatenate([c.knots for c in curves.curves])).any()
    _agree(_model("curves"), _compiled("curves"), rows)


@settings(deadline=None)
@given(st.lists(VALUES, min_size=9, max_size=9), st.floats(-15, 15))
def test_curves_that_go_beyond_the_limit_are_scaled_down_alike(row: list[float], intercept: float) -> None:
    steep = Curve((-5.0, 0.0, 5.0), (-900.0, 0.0, 900.0), missing=30.0)
    point, none = Curve((0.0,), (-2.0,), missing=1.0), Curve((), (), 0.0)
    curves = Curves(intercept, (steep, point, none, *[steep] * 6))
    names = tuple("abcdefghi")
    card = ModelCard(names, 0.5, "logistic", {}, {}, 1, 1, 0.5, {}, {}, dict.fromkeys(names, 0.0), 0)
    model = ChurnModel(Calibration(0.0, (0.3,)), curves, None, card)
    _agree(model, CompiledModel(model), np.array([row]))


def test_a_trained_model_on_the_platforms_own_scale_agrees() -> None:
    x, churned = _table()
    model = train(pd.DataFrame(x, columns=[f"f{i}" for i in range(K)]), churned, trials=0)
    _agree(model, CompiledModel(model), x)


def test_a_row_of_another_length_is_refused() -> None:
    for row in ([1.0] * (K - 1), [1.0] * (K + 1), []):
        with pytest.raises(BadInput, match=f"{K} numbers"):
            _compiled("both").probability(row)


NOISE = xgb.DMatrix(np.random.default_rng(0).random((600, K)), np.arange(600) % 2)


def _grown(given: dict[str, object], data: xgb.DMatrix | None = None, rounds: int = 2) -> xgb.Booster:
    return xgb.train({"nthread": 1, **given}, data or xgb.DMatrix(*_table()), rounds)


def _categories() -> xgb.Booster:
    rng = np.random.default_rng(0)
    x = pd.DataFrame({f"f{i}": pd.Categorical(rng.integers(0, 4, 200)) for i in range(K)})
    y = (x["f0"].isin([1, 2])).astype(int)
    return _grown({"objective": "binary:logistic"}, xgb.DMatrix(x, y, enable_categorical=True))


@pytest.mark.parametrize(
    ("booster", "says"),
    [
        (lambda: _grown({"objective": "reg:squarederror"}), "reg:squarederror"),
        (lambda: _grown({"objective": "multi:softprob", "num_class": 2}), "multi:softprob"),
        (lambda: _grown({"objective": "binary:logistic", "booster": "dart"}), "dart"),
        (lambda: _grown({"objective": "binary:logistic", "booster": "gblinear"}), "gblinear"),
        (lambda: _grown({"objective": "binary:logistic", "max_depth": 9, "min_child_weight": 0}, NOISE), "at most 64"),
        (lambda: _grown({"objective": "binary:logistic"}, xgb.DMatrix(_table()[0][:, :4], _table()[1])), "4 features"),
        (_categories, "categories"),
    ],
)
def test_a_booster_that_cannot_be_compiled_is_refused_by_what_it_is(booster, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ContractViolation, match=says):
        CompiledModel(ChurnModel(Calibration(0.0, (1.0,)), None, booster(), _card()))


def test_trees_that_would_take_too_much_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_trees, "_MEMORY", 1000)
    with pytest.raises(ContractViolation, match="at most 1,000"):
        CompiledModel(_model("trees"))


@pytest.mark.parametrize("knots", [(1.0, 1.0), (2.0, 1.0), (0.0, 1000.0), (0.0, np.nan)])
def test_a_curve_that_no_value_could_follow_is_refused(knots: Sequence[float]) -> None:
    curves = Curves(0.0, (Curve(tuple(knots), (0.0, 1.0), 0.0),) * K)
    with pytest.raises(ContractViolation, match="ascending"):
        CompiledModel(ChurnModel(Calibration(0.0, (1.0,)), curves, None, _card()))
