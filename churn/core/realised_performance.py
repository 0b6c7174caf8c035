"""Whether a model still tells customers apart as well as on its hold-out, now that their outcomes are known."""

from dataclasses import dataclass

from churn.core.assessment import Assessment
from churn.core.model_words import interval

POOLED_NIGHTS = 7
"""Nights of scores that are judged together. A week holds each weekday once; a longer window would see a decline later,
and adds little: the horizons of 7 nights in a row overlap by half anyway."""
KEPT = 0.95
"""Share of the hold-out's ROC AUC below which a model has degraded."""
LEAST_CHURNED = 20
"""Customers who left, at least, for a verdict: of fewer, the bootstrap's interval of a ROC AUC is too narrow."""


@dataclass(frozen=True)
class Verdict:
    """What outcomes say of the model."""

    judged: bool
    """False while too few have left to say anything."""
    degraded: bool
    limit: float | None
    """The ROC AUC that the whole interval must lie below to be a degradation."""
    words: str


def judge(assessment: Assessment, churned_customers: int, holdout_roc_auc: float | None) -> Verdict:
    """Degraded when the interval of the ROC AUC lies wholly below 95 % of the hold-out's.

    ``churned_customers``: different ones; ``assessment.churned`` counts one for each night that scored them.
    """
    found = assessment.metrics["roc_auc"]
    if holdout_roc_auc is None:
        return Verdict(False, False, None, "not judged: no ROC AUC of the hold-out is stored with the version")
    limit = KEPT * holdout_roc_auc
    if churned_customers < LEAST_CHURNED or found.high is None:
        return Verdict(
            False, False, limit, f"not judged yet: {churned_customers} have left, {LEAST_CHURNED} are needed at least"
        )
    against = f"the hold-out's was {holdout_roc_auc:.3f}, 95 % of which is {limit:.3f}"
    if found.high < limit:
        return Verdict(True, True, limit, f"degraded: ROC AUC {interval(found)}, wholly below the limit; {against}")
    return Verdict(True, False, limit, f"no degradation: ROC AUC {interval(found)}; {against}")
