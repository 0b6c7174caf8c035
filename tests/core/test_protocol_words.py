"""The words say what the figures say, whichever way they turn out."""

from collections.abc import Mapping

from churn.core.honest_protocol import HonestResult, Measured
from churn.core.model_words import interval
from churn.core.oracle import OracleResult, Rival
from churn.core.protocol_text import report_text
from churn.core.protocol_words import (
    explain_difference,
    explain_honest,
    explain_oracle,
    explain_reference,
)
from churn.core.reference_protocol import CLOCKS, SILENCE, TOTALS, Ablation, ReferenceResult, SingleFeature
from churn.core.resampling import Estimate

TABLE = ("accuracy", "precision", "recall", "f1_score", "roc_auc", "precision_recall_auc", "log_loss", "brier",
         "lift_at_10")  # fmt: skip
CONFUSION = {"tn": 90, "fp": 3, "fn": 5, "tp": 2}


def figures(roc_auc: Estimate) -> Mapping[str, Estimate]:
    return dict.fromkeys(TABLE, Estimate(0.5, 0.4, 0.6)) | {"roc_auc": roc_auc}


def reference(roc_auc: Estimate, *, silence: float = 0.9, more: bool = True) -> ReferenceResult:
    singles = (SingleFeature("total_sessions", 0.6, False, 9.0, 12.0), SingleFeature(SILENCE, silence, more, 40.0, 3.0))
    ablations = (Ablation(CLOCKS, 11, 0.58), Ablation((*CLOCKS, *TOTALS), 5, 0.55))
    best_first = tuple(sorted(singles, key=lambda s: -s.roc_auc))
    return ReferenceResult("2026-03-01", 100, 30, 0.5, figures(roc_auc), CONFUSION, best_first, ablations)


def honest(roc_auc: Estimate, lead: Estimate = Estimate(0.05, 0.01, 0.09)) -> HonestResult:  # noqa: B008 - frozen
    measured = Measured(1 / 3, figures(roc_auc), CONFUSION, {"recency rule": {"roc_auc": lead}})
    return HonestResult(
        "2026-02-15", 14, ("2026-02-01",), 400, 100, 7, {"core": measured, "full": measured},
        {"recency rule": figures(Estimate(0.6, 0.5, 0.7))}, measured,
    )  # fmt: skip


def test_silence_is_named_as_the_label_only_where_it_tells_something() -> None:
    told = " ".join(explain_reference(reference(Estimate(0.93, 0.91, 0.95))))
    assert "median of 40.0 days, the others for 3.0" in told
    assert "partly is the label" in told
    for found in (reference(Estimate(0.6, 0.5, 0.7), silence=0.52), reference(Estimate(0.6, 0.5, 0.7), more=False)):
        told = " ".join(explain_reference(found))
        assert "is the label" not in told
    told = " ".join(explain_reference(reference(Estimate(0.6, 0.5, 0.7), silence=0.52)))
    assert "The strongest single feature is total_sessions (less of it: cancelled), 0.600" in told


def test_the_difference_is_claimed_only_as_far_as_the_intervals_go() -> None:
    high, low, wide = Estimate(0.93, 0.91, 0.95), Estimate(0.7, 0.65, 0.75), Estimate(0.8, 0.6, 0.94)
    assert (
        "So 0.23 of the reference's ROC AUC is not there when" in explain_difference(reference(high), honest(low))[-1]
    )
    assert "0.23 less" in explain_difference(reference(low), honest(high))[-1]
    assert "does not clearly show that the protocols differ" in explain_difference(reference(high), honest(wide))[-1]
    assert len(explain_difference(reference(high), honest(Estimate(None)))) == 1


def test_a_lead_over_the_baselines_is_sure_only_where_its_interval_is_above_zero() -> None:
    auc = Estimate(0.7, 0.65, 0.75)
    for lead, says in (
        (Estimate(0.05, 0.01, 0.09), "surely more than"),
        (Estimate(0.02, -0.01, 0.05), "not surely other than"),
        (Estimate(-0.05, -0.09, -0.01), "surely less than"),
    ):
        assert says in explain_honest(honest(auc, lead))[1]
    last = explain_honest(honest(auc))[-1]
    assert "would contact 5 of them, 2 rightly" in last
    assert "93.0%" in last


def test_a_share_that_means_nothing_is_not_put_into_words() -> None:
    auc, loss = Estimate(0.7, 0.65, 0.75), Estimate(0.17, 0.15, 0.19)
    rivals = {"core": Rival(auc, loss, Estimate(0.8, 0.6, 0.9), Estimate(None))}
    oracle = OracleResult("2026-02-15", 100, 7, 0.05, auc, loss, loss, rivals)
    told = explain_oracle(oracle, 14)[-1]
    assert "is 80% (60% to 90%) of the way from chance" in told
    assert "no sure lead" in told


def test_the_text_holds_the_write_ups_table_and_its_confusion_matrix() -> None:
    found = reference(Estimate(0.93, 0.91, 0.95))
    text = report_text("2026-03-01", explain_reference(found), found, None, None)
    assert "No Churn     90      3     (TN: 90, FP: 3)" in text
    assert "Churn         5      2     (FN: 5, TP: 2)" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table[5:11]] == [
        "Accuracy", "Precision", "Recall", "F1-Score", "ROC AUC", "PR AUC",
    ]  # fmt: skip
    assert len({len(line) for line in table[:11]}) == 1  # aligned: readable in a terminal


def test_an_undefined_figure_has_no_made_up_interval() -> None:
    assert interval(Estimate(None)) == "–"
    assert interval(Estimate(0.5)) == "0.500 (no interval)"
    assert interval(Estimate(0.1234, 0.1, 0.2), 4) == "0.1234 (0.1000 to 0.2000)"
