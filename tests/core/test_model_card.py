"""Model cards: sentences that are true for whatever the figures are."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from churn.core.assessment import Assessment, assess
from churn.core.evaluation import Economics
from churn.core.model_card import model_card
from churn.core.model_words import difference, interval, number, percent
from churn.core.resampling import Estimate

FACTS = {"as of": "2018-12-01", "code": "abc|def\nsecond line"}


def holdout(rows: int = 1000, churned: float = 1, shift: float = 1, **economics: Any) -> Assessment:
    """Probabilities that are right, times ``shift``; outcomes at ``churned`` times what they say."""
    rng = np.random.default_rng(0)
    risk = rng.beta(1, 8, rows)
    money = Economics(**economics)
    return assess(
        (rng.random(rows) < risk * churned).astype(int),
        np.minimum(risk * shift, 1),
        np.arange(rows),
        threshold=money.threshold,
        economics=money,
        baselines={"base rate": np.full(rows, 0.11), "logistic regression": np.minimum(risk * shift, 1)},
        segments={"plan": np.where(np.arange(rows) < 50, "paid", "free")},
        resamples=100,
    )


def card(*findings: str, **assessments: Assessment) -> str:
    return model_card("Churn", FACTS, assessments, {"full": {"recency": 0.7, "songs": 0.3}}, findings)


def test_a_card_tells_where_a_model_comes_from_how_good_it_is_and_what_to_doubt() -> None:
    full = holdout()
    text = card("`leak` alone ranks with ROC AUC 0.99", full=full, core=replace(full, baselines={}, versus={}))
    assert text.startswith("# Churn\n")
    assert "| as of | 2018-12-01 |" in text
    assert "| code | abc\\|def second line |" in text
    assert f"| ROC AUC | {interval(full.metrics['roc_auc'], 3)} | 0.500 | " in text
    assert re.search(
        r"Against the base rate: log loss 0\.\d{4} lower \(95 % interval: .* lower\): better; ROC AUC", text
    )
    assert "Against the logistic regression: log loss the same; ROC AUC the same; profit the same." in text
    assert f"| churned | {full.confusion['fn']} | {full.confusion['tp']} |" in text
    assert "| paid | 50 |" in text
    assert "a contact costs 50, a customer who stays is worth 200, and a contact keeps 75 %" in text
    assert "- Canary, `leak` alone ranks with ROC AUC 0.99" in text
    assert "“full”: Segments with too few churners to judge: paid (" in text
    assert text.index("`recency` 70 %") < text.index("`songs` 30 %")
    assert "nan" not in text.lower().replace("finance", "")
    assert "None" not in text


def test_figures_are_linked_where_they_are_written() -> None:
    linked = set(re.findall(r"\(figures/(\w+)/(\w+)\.png\)", card(full=holdout(), core=holdout())))
    curves = {"metrics", "roc", "precision_recall", "calibration", "gains", "profit", "confusion_matrix"}
    assert linked == {("full", name) for name in (*curves, "importance")} | {("core", name) for name in curves}


def test_every_table_has_as_many_cells_in_each_line() -> None:
    for table in re.findall(r"(?:^\|.*\|\n)+", card(full=holdout()), flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_a_hold_out_without_churners_judges_nothing() -> None:
    text = card(full=holdout(30, churned=0))
    assert "| ROC AUC | – | – | – |" in text
    assert "Nobody in the hold-out churned: it cannot tell how well the model ranks." in text
    assert "With one outcome only there is nothing to tell models apart by." in text
    assert "better" not in text
    assert "roc.png" not in text


def test_few_churners_are_said_to_be_few() -> None:
    few = holdout(150)
    assert 0 < few.churned < 50
    assert f"Only {few.churned} rows of the hold-out churned" in card(full=few)
    assert "Only" not in card(full=holdout(2000))


@pytest.mark.parametrize(("shift", "verdict"), [(1, "This is not more."), (3, "the probabilities are off")])
def test_calibration_is_judged_against_chance(shift: float, verdict: str) -> None:
    assert verdict in card(full=holdout(3000, shift=shift))


@pytest.mark.parametrize(
    ("economics", "sentence"),
    [
        ({}, r"The contacts pay if they keep more than \d+ % of the churners they reach \(75 % is assumed\)"),
        ({"contact_cost": 2, "retained_value": 9, "contact_success": 1}, "is assumed"),
        ({"contact_cost": 500}, "nobody in the hold-out is contacted"),
    ],
)
def test_profit_comes_with_what_it_rests_on(economics: dict[str, float], sentence: str) -> None:
    assert re.search(sentence, card(full=holdout(**economics)))


def test_contacts_that_can_never_pay_are_called_so() -> None:
    found = replace(holdout(), confusion={"tn": 900, "fp": 99, "fn": 0, "tp": 1})
    assert "would not pay even if they kept every churner they reach" in card(full=found)


def test_a_threshold_other_than_the_economics_is_told() -> None:
    assert "By the figures of the business alone it would be 0.333." in card(full=replace(holdout(), threshold=0.2))
    assert "alone it would be" not in card(full=holdout())


@pytest.mark.parametrize(
    ("found", "higher_is_better", "words"),
    [
        (Estimate(-0.012, -0.02, -0.004), False, "0.012 lower (95 % interval: 0.020 lower to 0.004 lower): better"),
        (Estimate(-0.012, -0.02, -0.004), True, "0.012 lower (95 % interval: 0.020 lower to 0.004 lower): worse"),
        (Estimate(0.01, -0.02, 0.03), True, "0.010 higher (95 % interval: 0.020 lower to 0.030 higher): indistinguish"),
        (Estimate(0.01, 0.0, 0.03), True, "unchanged to 0.030 higher): indistinguishable"),
        (Estimate(0.01, 0.005, 0.03), True, "): better"),
        (Estimate(0.0, 0.0, 0.0), True, "the same"),
        (Estimate(0.01), True, "0.010 higher, without an interval: undecided"),
        (Estimate(None), True, "cannot be compared"),
    ],
)
def test_differences_in_words_know_which_way_is_better(found: Estimate, higher_is_better: bool, words: str) -> None:
    assert words in difference("x", 3, higher_is_better, found, 0.95)


def test_numbers_read_well() -> None:
    assert [number(v, d) for v, d in ((-1234.4, 0), (-0.0001, 2), (50.0, 2), (49.5, 2), (0.1, 3))] == [
        "−1,234", "0.00", "50", "49.50", "0.100",
    ]  # fmt: skip
    assert [percent(v) for v in (0, 0.041, 0.0996, 0.5, 0.95, 1)] == ["0.0 %", "4.1 %", "10 %", "50 %", "95 %", "100 %"]
    assert interval(Estimate(None), 3) == "–"
    assert interval(Estimate(0.5, 0.5, 0.5), 2) == "0.50"
    assert interval(Estimate(-5, -10, 1000), 0) == "−5 (−10 to 1,000)"
    assert interval(Estimate(0.5), 1) == "0.5 (no interval)"
