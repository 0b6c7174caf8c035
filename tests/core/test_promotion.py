"""Champion against challenger: better is promoted, and anything doubtful is not."""

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from churn.core.evaluation import evaluate
from churn.core.evidence import evidence_hash
from churn.core.gate_rows import THE_REST
from churn.core.promotion import PromotionPolicy, decide, guard

RNG = np.random.default_rng(0)
N = 2000
RISK = RNG.beta(1, 6, N)
CHURNED = (RNG.random(N) < RISK).astype(int)
CUSTOMERS = np.arange(N)
WORSE = np.full(N, CHURNED.mean())
PLAN = np.where(RNG.random(N) < 0.5, "free", "paid")
QUICK = PromotionPolicy(resamples=300)


def noisy(p: Any, rng: np.random.Generator, noise: float = 0.2) -> Any:
    """The probabilities as a model knows them that errs by so much in log-odds."""
    return expit(logit(p) + rng.normal(0, noise, len(p)))


def population(rng: np.random.Generator, n: int) -> Any:
    """Probabilities of which about 5 % leave on average."""
    return expit(rng.normal(logit(0.05) - 0.35, 0.9, n))


def promoted_of(trials: int, n: int, seed: int, make: Any) -> int:
    """How often the gate says yes; ``make`` gives the true probabilities and both models' from a generator."""
    rng, yes = np.random.default_rng(seed), 0
    for _ in range(trials):
        truth, old, new = make(rng, population(rng, n))
        churned = (rng.random(n) < truth).astype(int)
        plan = rng.choice(["free", "paid"], n)
        policy = PromotionPolicy(resamples=200)
        yes += decide(churned, old, new, np.arange(n), segments={"plan": plan}, policy=policy).promote
    return yes


@pytest.mark.slow
def test_an_equal_challenger_is_rarely_promoted() -> None:
    """Nominally in 2.5 % of the trials."""
    assert promoted_of(100, 1450, 0, lambda rng, p: (p, noisy(p, rng), noisy(p, rng))) <= 5


@pytest.mark.slow
def test_a_worse_challenger_is_never_promoted() -> None:
    assert promoted_of(40, 1450, 1, lambda rng, p: (p, noisy(p, rng), noisy(p, rng, 0.6))) == 0


@pytest.mark.slow
def test_a_challenger_that_knows_that_half_the_hazards_doubled_is_promoted() -> None:
    def doubled(rng: np.random.Generator, p: Any) -> Any:
        truth = np.where(rng.random(len(p)) < 0.5, 1 - (1 - p) ** 2, p)
        return truth, noisy(p, rng), noisy(truth, rng)

    assert promoted_of(20, 4000, 2, doubled) >= 18


def test_a_clearly_better_challenger_is_promoted_with_its_figures() -> None:
    decision = decide(CHURNED, WORSE, RISK, CUSTOMERS, segments={"plan": PLAN})
    assert decision.promote is True
    assert decision.evidence["customers"] == N
    assert decision.evidence["challenger"]["log_loss"] < decision.evidence["champion"]["log_loss"]
    assert decision.reasons[0].startswith("log loss 0.3") and "95 % interval below 0" in decision.reasons[0]
    assert len(decision.reasons) == 5 + 2


def test_the_figures_are_those_of_the_evaluation() -> None:
    found, policy = decide(CHURNED, WORSE, RISK, CUSTOMERS).evidence, PromotionPolicy()
    known = evaluate(CHURNED, RISK, policy.economics.threshold, policy.economics)
    assert found["challenger"]["log_loss"] == pytest.approx(known["log_loss"], rel=1e-12)
    assert found["challenger"]["roc_auc"] == pytest.approx(known["roc_auc"], rel=1e-12)
    assert found["challenger"]["profit"] == pytest.approx(known["profit_per_customer"], rel=1e-12)
    assert found["challenger"]["calibration_in_the_large"] == pytest.approx(abs(RISK.mean() - CHURNED.mean()))


@pytest.mark.parametrize("challenger", [WORSE, RISK])
def test_no_better_than_the_champion_means_no(challenger: Any) -> None:
    assert decide(CHURNED, RISK, challenger, CUSTOMERS).promote is False


def test_a_gain_too_small_to_matter_is_none_however_certain() -> None:
    slightly = expit(logit(RISK) + 0.02 * (2 * CHURNED - 1))  # nearer the outcome in every single row
    decision = decide(CHURNED, RISK, slightly, CUSTOMERS, policy=replace(QUICK, log_loss_gain=0.05))
    assert not decision.promote
    assert decision.evidence["criteria"]["log_loss"]["difference"]["high"] < 0
    assert "is less than the 5.0 % asked for" in decision.reasons[0]


def test_the_more_a_challenger_knows_the_lower_the_interval_ends() -> None:
    ends = []
    for share in (0.0, 0.3, 0.6, 1.0):
        knows = expit((1 - share) * logit(WORSE) + share * logit(RISK))
        criteria = decide(CHURNED, WORSE, knows, CUSTOMERS, policy=QUICK).evidence["criteria"]
        ends.append(criteria["log_loss"]["difference"]["high"])
    assert ends == sorted(ends, reverse=True)


@pytest.mark.parametrize(
    ("name", "policy", "challenger"),
    [
        ("profit", replace(QUICK, profit_margin=0.0), np.minimum(RISK, 0.3)),  # right, and never sure enough to act
        ("calibration_in_the_large", QUICK, expit(logit(RISK) + 0.6)),
        ("ece", QUICK, expit(2.2 * logit(RISK) + 2.2)),
    ],
)
def test_each_figure_that_gets_worse_speaks_against(name: str, policy: PromotionPolicy, challenger: Any) -> None:
    decision = decide(CHURNED, RISK, challenger, CUSTOMERS, policy=policy)
    assert not decision.promote
    assert not decision.evidence["criteria"][name]["passed"]


def test_a_better_log_loss_does_not_pay_for_a_worse_ranking() -> None:
    """Calibrated, and the customers at random within halves: against one that ranks well and is far too sure."""
    upper = np.median(RISK) < RISK
    halves = np.where(upper, CHURNED[upper].mean(), CHURNED[~upper].mean())
    decision = decide(CHURNED, expit(logit(RISK) + 2.5), halves, CUSTOMERS)
    assert decision.evidence["criteria"]["log_loss"]["passed"]
    assert not decision.promote
    assert decision.reasons[0].startswith("ROC AUC")


def test_a_segment_that_pays_for_the_others_speaks_against() -> None:
    paid = PLAN == "paid"
    challenger = np.where(paid, expit(logit(RISK) + np.where(CHURNED == 1, -0.3, 0.3)), RISK)
    assert decide(CHURNED, WORSE, RISK, CUSTOMERS, segments={"plan": PLAN}, policy=QUICK).promote
    champion = np.where(paid, RISK, WORSE / 3)
    whole = decide(CHURNED, champion, challenger, CUSTOMERS, policy=QUICK)
    parts = decide(CHURNED, champion, challenger, CUSTOMERS, segments={"plan": PLAN}, policy=QUICK)
    assert whole.evidence["criteria"]["log_loss"]["passed"]
    assert not parts.promote
    found = parts.evidence["segments"]["plan"]
    assert (found["free"]["passed"], found["paid"]["passed"]) == (True, False)


def test_segments_that_are_too_small_are_judged_together_and_said_to_be() -> None:
    kind = np.array(["a", "b", "c", "large"])[np.minimum(CUSTOMERS // 70, 3)]
    found = decide(CHURNED, WORSE, RISK, CUSTOMERS, segments={"kind": kind}, policy=QUICK).evidence["segments"]["kind"]
    assert [name for name, part in found.items() if part["judged"]] == ["large", THE_REST]
    assert found[THE_REST]["of"] == ["a", "b", "c"]
    assert "too few" in found["a"]["reason"]
    one = decide(CHURNED, WORSE, RISK, CUSTOMERS, segments=np.where(CUSTOMERS < 100, "a", "c"), policy=QUICK)
    assert set(one.evidence["segments"]["segment"]) == {"a", "c"}


def test_the_order_of_the_rows_changes_no_bit_of_the_decision() -> None:
    several = CUSTOMERS // 2  # two rows of each
    turned = np.random.default_rng(3).permutation(N)
    first = decide(CHURNED, WORSE, RISK, several, segments={"plan": PLAN}, policy=QUICK)
    second = decide(
        CHURNED[turned], WORSE[turned], RISK[turned], several[turned], segments={"plan": PLAN[turned]}, policy=QUICK
    )
    assert first == second


def test_several_rows_of_a_customer_are_not_so_many_customers() -> None:
    """Ten copies of everybody say no more than one."""
    ten = [np.repeat(x, 10) for x in (CHURNED, WORSE, RISK, CUSTOMERS)]
    one = decide(CHURNED, WORSE, RISK, CUSTOMERS, policy=QUICK).evidence["criteria"]["log_loss"]["difference"]
    assert decide(*ten, policy=QUICK).evidence["criteria"]["log_loss"]["difference"] == pytest.approx(one)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((CHURNED, WORSE, np.where(CUSTOMERS == 3, np.nan, RISK), CUSTOMERS), "challenger's scores are not all"),
        ((CHURNED, WORSE + 2, RISK, CUSTOMERS), "champion's scores are not all"),
        ((CHURNED, WORSE, RISK[:-1], CUSTOMERS), "lengths differ"),
        ((CHURNED, WORSE, RISK.reshape(-1, 1), CUSTOMERS), "lengths differ"),
        ((CHURNED[:150], WORSE[:150], RISK[:150], CUSTOMERS[:150]), "150 customers, 200 are needed"),
        ((CHURNED, WORSE, RISK, CUSTOMERS // 20), "100 customers, 200 are needed"),
        ((np.zeros(N, int), WORSE, RISK, CUSTOMERS), f"0 of {N} churned"),
        ((np.ones(N, int), WORSE, RISK, CUSTOMERS), f"{N} of {N} churned"),
        ((CHURNED * 2, WORSE, RISK, CUSTOMERS), "not all 0 or 1"),
        ((np.where(CUSTOMERS == 3, np.nan, CHURNED), WORSE, RISK, CUSTOMERS), "not all 0 or 1"),
        ((CHURNED, None, RISK, CUSTOMERS), "lengths differ"),
        ((CHURNED, WORSE, ["high"] * N, CUSTOMERS), "not numbers: challenger's scores"),
        ((CHURNED, WORSE, RISK, [None, *CUSTOMERS[1:]]), "some are missing: customers"),
        (([], [], [], []), "0 customers"),
    ],
)
def test_missing_or_impossible_evidence_means_no(arguments: Any, reason: str) -> None:
    decision = decide(*arguments)
    assert decision.promote is False
    assert reason in "; ".join(decision.reasons)
    assert guard(*arguments, label="it", margin=0.1).promote is False


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        ({"plan": PLAN[:-1]}, "lengths differ"),
        ({"plan": [None, *PLAN[1:]]}, "some are missing: segments by plan"),
    ],
)
def test_missing_segments_mean_no(segments: Any, reason: str) -> None:
    decision = decide(CHURNED, WORSE, RISK, CUSTOMERS, segments=segments)
    assert decision.promote is False
    assert reason in decision.reasons[0]


def test_a_wrong_certainty_is_not_forgiven_and_breaks_nothing() -> None:
    sure = RISK.copy()
    sure[np.argmax(CHURNED)] = 0.0
    assert decide(CHURNED, RISK, sure, CUSTOMERS, policy=QUICK).promote is False


@pytest.mark.parametrize("churn_rate", [0.0005, 0.999])
def test_where_too_few_left_or_stayed_nothing_is_promoted(churn_rate: float) -> None:
    few = (np.random.default_rng(4).random(N) < churn_rate).astype(int)
    assert decide(few, WORSE, RISK, CUSTOMERS, policy=QUICK).promote is False


def test_a_guard_asks_that_nothing_is_lost_and_not_that_something_is_won() -> None:
    same = guard(CHURNED, RISK, RISK, CUSTOMERS, label="log loss of the core model", margin=0.05, policy=QUICK)
    assert same.promote is True
    assert same.reasons[0].endswith(": the same, at most 5.0 % higher, as asked")
    assert guard(CHURNED, RISK, WORSE, CUSTOMERS, label="it", margin=0.05, policy=QUICK).promote is False


def test_past_nights_speak_against_a_challenger_only_beyond_doubt() -> None:
    def asked(challenger: Any, rows: int = N) -> Any:
        return guard(
            CHURNED[:rows], RISK[:rows], challenger[:rows], CUSTOMERS[:rows], label="it", margin=None, policy=QUICK
        )

    assert asked(WORSE).promote is False
    assert asked(noisy(RISK, np.random.default_rng(5), 0.1)).promote is True
    few = asked(WORSE, 100)
    assert few.promote is True
    assert "100 customers, 200 are needed" in few.reasons[0]


def test_the_evidence_is_plain_json_and_its_hash_changes_with_any_of_it() -> None:
    decision = decide(CHURNED, WORSE, RISK, CUSTOMERS, segments={"plan": PLAN}, policy=QUICK)
    report = {"challenger": "2", "champion": "1", **asdict(decision), "summary": "not hashed"}
    known = evidence_hash(report)
    assert evidence_hash(json.loads(json.dumps(report))) == known
    assert evidence_hash({**report, "summary": "other words"}) == known
    for path in _leaves(json.loads(json.dumps({k: v for k, v in report.items() if k != "summary"}))):
        changed = json.loads(json.dumps(report))
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = "changed"
        assert evidence_hash(changed) != known, path
    with pytest.raises(KeyError):
        evidence_hash({k: v for k, v in report.items() if k != "champion"})


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for key, inner in items for leaf in _leaves(inner, (*path, key))]
    return found or [path]
