"""Assessments: intervals that mean what they say, the same for the same rows, and JSON without exceptions."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from churn.core import resampling
from churn.core.assessment import assess, segments_of, tenure_band
from churn.core.evaluation import METRICS, Economics, evaluate
from churn.core.resampling import customer_weights, estimate, estimate_calibration_error
from churn.core.weighted_metrics import Ranking, calibration_error, scores
from churn.errors import BadInput

ECONOMICS = Economics(20, 200, 0.75)
Sample = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]


def clustered(rng: np.random.Generator, customers: int, shift: float = 0.3) -> Sample:
    """One to seven rows a customer, alike in what the model sees and in what it does not; probabilities ``shift``ed."""
    who = np.repeat(np.arange(customers), rng.integers(1, 8, customers))
    seen = -2.5 + 0.9 * rng.normal(size=customers)[who] + rng.normal(size=len(who)) * 0.3
    unseen = 1.5 * rng.normal(size=customers)[who]
    churned = rng.random(len(who)) < 1 / (1 + np.exp(-seen - unseen))
    return churned.astype(np.int64), 1 / (1 + np.exp(-(0.75 * seen + shift))), who


@pytest.fixture(scope="module")
def case() -> dict[str, Any]:
    churned, probability, who = clustered(np.random.default_rng(0), 300)
    rng = np.random.default_rng(1)
    return {
        "churned": churned,
        "probability": probability,
        "customers": np.char.add("c", who.astype(str)),
        "threshold": ECONOMICS.threshold,
        "economics": ECONOMICS,
        "baselines": {"base rate": np.full(len(who), 0.15), "noise": rng.random(len(who)).round(2)},
        "segments": {"plan": np.where(who % 3 == 0, "paid", "free"), "tenure": tenure_band(who * 3)},
        "resamples": 200,
    }


def test_every_metric_has_its_value_and_an_interval_around_it(case: dict[str, Any]) -> None:
    found = assess(**case)
    expected = evaluate(case["churned"], case["probability"], case["threshold"], ECONOMICS)
    assert tuple(found.metrics) == (*METRICS, "profit", "profit_per_customer") == tuple(expected)
    for name, estimated in found.metrics.items():
        assert estimated.value == pytest.approx(expected[name], rel=1e-12), name
        assert estimated.low < estimated.value < estimated.high, name
    assert (found.rows, found.customers, found.churned) == (len(case["churned"]), 300, case["churned"].sum())
    assert sum(found.confusion.values()) == found.rows
    assert found.confusion["tp"] + found.confusion["fn"] == found.churned
    assert found.profit_curve["low"][0] < found.profit_curve["profit"][0] < found.profit_curve["high"][0]
    assert sum(b.rows for b in found.calibration) == pytest.approx(found.rows)
    assert sum(b.rows * abs(b.predicted - b.observed) for b in found.calibration) / found.rows == pytest.approx(
        found.metrics["ece"].value
    )
    assert all(b.low <= b.observed <= b.high for b in found.calibration)


def test_baselines_stand_next_to_the_model_and_differences_are_paired(case: dict[str, Any]) -> None:
    found = assess(
        **case,
    )
    for name, p in case["baselines"].items():
        alone = evaluate(case["churned"], p, case["threshold"], ECONOMICS)
        assert found.baselines[name]["log_loss"].value == pytest.approx(alone["log_loss"])
        for metric in ("roc_auc", "log_loss", "profit"):
            difference = found.versus[name][metric]
            assert difference.value == pytest.approx(found.metrics[metric].value - found.baselines[name][metric].value)
    # The same probabilities differ by nothing in every single resample: only pairing shows that.
    same = assess(**{**case, "baselines": {"itself": case["probability"]}}).versus["itself"]
    assert all((e.value, e.low, e.high) == (0, 0, 0) for e in same.values())


def test_segments_are_the_model_on_their_rows(case: dict[str, Any]) -> None:
    found = assess(**case).segments
    assert {kind: list(parts) for kind, parts in found.items()} == {
        "plan": ["free", "paid"],
        "tenure": ["under 30 days", "30 to 90 days", "90 days to a year", "over a year"],
    }
    paid = case["segments"]["plan"] == "paid"
    alone = evaluate(case["churned"][paid], case["probability"][paid], case["threshold"], ECONOMICS)
    segment = found["plan"]["paid"]
    assert (segment.rows, segment.customers) == (paid.sum(), 100)
    assert segment.observed_rate == case["churned"][paid].mean()
    for metric in ("roc_auc", "log_loss", "ece", "profit"):
        assert getattr(segment, metric).value == pytest.approx(alone[metric])


def test_the_same_rows_in_any_order_and_any_block_give_the_same_figures(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.dumps(asdict(assess(**case)), allow_nan=False)
    assert json.dumps(asdict(assess(**case)), allow_nan=False) == first
    order = np.random.default_rng(2).permutation(len(case["churned"]))
    shuffled = {
        **case,
        **{name: case[name][order] for name in ("churned", "probability", "customers")},
        **{name: {k: v[order] for k, v in case[name].items()} for name in ("baselines", "segments")},
    }
    assert json.dumps(asdict(assess(**shuffled)), allow_nan=False) == first
    other = asdict(assess(**case, seed=7))
    assert other["metrics"]["roc_auc"]["low"] != json.loads(first)["metrics"]["roc_auc"]["low"]
    monkeypatch.setattr(resampling, "_BLOCK", 1)
    blocked = assess(**case).metrics["log_loss"]
    assert (blocked.low, blocked.high) == pytest.approx(
        tuple(json.loads(first)["metrics"]["log_loss"][end] for end in ("low", "high"))
    )


def test_one_class_only_leaves_undefined_what_is_and_stays_json() -> None:
    found = assess([0] * 20, np.linspace(0, 1, 20), np.arange(20), threshold=0.5, economics=ECONOMICS, resamples=50)
    assert (found.metrics["roc_auc"].value, found.metrics["roc_auc"].low) == (None, None)
    assert found.metrics["brier"].low is not None
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["metrics"]["lift_at_10"]["value"] is None


def test_one_row_can_be_assessed() -> None:
    found = assess([1], [0.7], ["c"], threshold=0.5, economics=ECONOMICS, resamples=10)
    assert found.metrics["profit"].value == found.metrics["profit"].high == 130
    assert found.confusion == {"tn": 0, "fp": 0, "fn": 0, "tp": 1}


def test_no_interval_where_most_resamples_say_nothing() -> None:
    few = np.where(np.arange(100) < 49, 0.5, np.nan)
    assert estimate(0.5, few).low is None
    assert estimate(0.5, few[:98]).low == 0.5
    assert estimate(float("nan"), np.ones(9)).value is None


def test_a_customer_s_rows_come_and_go_together() -> None:
    # Ten alike rows of each customer say as much as one of each.
    churned, p, who = clustered(np.random.default_rng(3), 100)
    first = np.unique(who, return_index=True)[1]
    once = {"threshold": 0.2, "economics": ECONOMICS, "resamples": 200}
    one = assess(churned[first], p[first], who[first], **once).metrics["log_loss"]
    ten = assess(*(np.repeat(v[first], 10) for v in (churned, p, who)), **once).metrics["log_loss"]
    assert (ten.value, ten.low, ten.high) == pytest.approx((one.value, one.low, one.high))


def test_weights_are_draws_with_replacement() -> None:
    weights = np.concatenate(list(customer_weights(50, 50, 400, seed=0)))
    assert weights.shape == (400, 50)
    assert set(weights.sum(axis=1)) == {50}
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.05)


def test_chance_alone_explains_the_error_of_a_calibrated_model_but_not_of_a_shifted_one() -> None:
    rng = np.random.default_rng(4)
    p = rng.beta(1, 9, 3000)
    churned = (rng.random(3000) < p).astype(int)
    kind = {"customers": np.arange(3000), "threshold": 0.3, "economics": ECONOMICS, "resamples": 200}
    calibrated = assess(churned, p, **kind)
    assert calibrated.ece_by_chance.low < calibrated.metrics["ece"].value < calibrated.ece_by_chance.high
    assert calibrated.metrics["ece"].low == 0
    shifted = assess(churned, p / 2, **kind)
    assert shifted.metrics["ece"].value > shifted.ece_by_chance.high
    assert shifted.metrics["ece"].low > 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"customers": ["a"]}, "customers: found"),
        ({"segments": {"plan": np.array(["free"])}}, "plan: found"),
        ({"baselines": {"b": np.array([0.1])}}, "one length"),
        ({"probability": np.array([0.1, 7])}, "must lie in"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict[str, Any], message: str) -> None:
    rows: dict[str, Any] = {"churned": [0, 1], "probability": [0.1, 0.2], "customers": ["a", "b"]}
    with pytest.raises(BadInput, match=message):
        assess(**{**rows, **change}, threshold=0.5, economics=ECONOMICS, resamples=5)


def test_tenure_bands_include_their_lower_end() -> None:
    assert tenure_band([0, 29.9, 30, 89, 90, 364.9, 365, 9000, np.nan]).tolist() == [
        *["under 30 days"] * 2, *["30 to 90 days"] * 2, *["90 days to a year"] * 2, *["over a year"] * 2, "unknown",
    ]  # fmt: skip


def test_segments_are_those_that_the_table_can_tell_apart() -> None:
    table = pd.DataFrame({"is_paid_user": [1, 0, np.nan], "days_since_registration": [1, 40, 400]})
    found = segments_of(table)
    assert found["plan"].tolist() == ["paid", "free", "unknown"]
    assert list(found) == ["plan", "tenure"]
    assert list(segments_of(table.assign(days_since_registration=5))) == ["plan"]
    assert segments_of(table[["days_since_registration"]].iloc[:1]) == {}


def intervals(sample: Sample, unit: NDArray[np.int64], seed: int) -> Iterator[tuple[str, resampling.Estimate]]:
    churned, p, _ = sample
    ranking, units = Ranking(churned, p, unit), int(unit.max()) + 1
    value = scores(ranking.tally(np.ones((1, units))), 0.15)
    blocks = [scores(ranking.tally(w), 0.15) for w in customer_weights(units, len(p), 300, seed)]
    for name in METRICS:
        judge = estimate_calibration_error if name == "ece" else estimate
        yield name, judge(value[name][0], np.concatenate([b[name] for b in blocks]))


@pytest.mark.slow
def test_95_percent_intervals_hold_the_true_value_95_percent_of_the_time_and_row_by_row_ones_do_not() -> None:
    """300 data sets of 400 customers, about 1,600 rows. Measured: 93 to 96 % by customers, 79 to 92 % by rows."""
    rng = np.random.default_rng(7)
    truth = evaluate(*clustered(rng, 300_000)[:2], 0.15)
    held = {kind: dict.fromkeys(METRICS, 0.0) for kind in ("customers", "rows")}
    for seed in range(300):
        sample = clustered(rng, 400)
        for kind, unit in (("customers", sample[2]), ("rows", np.arange(len(sample[0])))):
            for name, found in intervals(sample, unit, seed):
                held[kind][name] += (found.low <= truth[name] <= found.high) / 300
    print({kind: {name: round(share, 3) for name, share in shares.items()} for kind, shares in held.items()})
    for name in METRICS:
        assert 0.90 <= held["customers"][name] <= 0.99, name
        assert held["rows"][name] < held["customers"][name], name
    assert all(held["rows"][name] < 0.9 for name in ("accuracy", "log_loss", "brier", "roc_auc"))


@pytest.mark.slow
@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.5])
def test_the_interval_of_the_calibration_error_holds_it_for_good_and_bad_models(shift: float) -> None:
    """Measured: 97, 91 and 98 %. Plain percentiles hold the true value of the middle one, 0.004, in 0 %."""
    rng = np.random.default_rng(8)
    churned, p, _ = clustered(rng, 300_000, shift)
    truth, held = evaluate(churned, p, 0.5)["ece"], 0.0
    for seed in range(200):
        churned, p, who = clustered(rng, 400, shift)
        ranking = Ranking(churned, p, who)
        value = calibration_error(ranking.tally(np.ones((1, 400))))[0]
        drawn = np.concatenate([calibration_error(ranking.tally(w)) for w in customer_weights(400, len(p), 200, seed)])
        found = estimate_calibration_error(value, drawn)
        held += (found.low <= truth <= found.high) / 200
    print(shift, round(truth, 4), round(held, 3))
    assert 0.86 <= held <= 0.99
