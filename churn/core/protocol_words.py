"""What the figures of the protocols come to, in plain words: every sentence follows from the numbers at hand."""

from collections.abc import Sequence

from churn.core.honest_protocol import HonestResult
from churn.core.model import CORE, FULL
from churn.core.model_words import interval
from churn.core.oracle import OracleResult, Rival
from churn.core.reference_protocol import CLOCKS, SILENCE, TOTALS, ReferenceResult
from churn.core.resampling import Estimate

_TELLS_NOTHING = 0.55
"""A single feature's ROC AUC below this is not worth a reason."""


def explain_reference(found: ReferenceResult) -> list[str]:
    """Where the reference protocol's figure comes from."""
    auc, silence, best = found.metrics["roc_auc"], found.single(SILENCE), found.singles[0]
    words = [
        f"The reference protocol reports ROC AUC {interval(auc)}: who of {found.customers:,} customers had cancelled "
        f"before {found.as_of} ({found.churned:,} had), told from features computed at that same moment."
    ]
    medians = (
        f"those who had cancelled have been silent for a median of {silence.median_cancelled:.1f} days, the others for "
        f"{silence.median_others:.1f}"
    )
    if silence.roc_auc >= _TELLS_NOTHING and silence.more_is_churn:
        words.append(
            f"{SILENCE} alone, with nothing learnt, gives {silence.roc_auc:.3f}: {medians}. Whoever has cancelled "
            "produces no events, so this feature partly is the label."
        )
    else:
        words.append(f"{SILENCE} tells little in this log ({silence.roc_auc:.3f} alone): {medians}.")
    if best.name != SILENCE and best.roc_auc >= _TELLS_NOTHING:
        direction = "more" if best.more_is_churn else "less"
        words.append(f"The strongest single feature is {best.name} ({direction} of it: cancelled), {best.roc_auc:.3f}.")
    clocks, rates = found.ablations
    words.append(
        f"Without {' and '.join(CLOCKS)}, which measure time up to the end of the log, the same recipe gives "
        f"{clocks.roc_auc:.3f}; without the {len(TOTALS)} totals too, which stop growing with a cancellation, "
        f"{rates.roc_auc:.3f} from the {rates.features} features that are left."
    )
    return words


def explain_honest(found: HonestResult) -> list[str]:
    """What can be said before the fact."""
    core, full = found.models[CORE].metrics["roc_auc"], found.models[FULL].metrics["roc_auc"]
    best = max(found.baselines, key=lambda name: found.baselines[name]["roc_auc"].value or 0.0)
    words = [
        f"Before the fact, for the {found.customers:,} customers at risk on {found.holdout}, of whom {found.churned:,} "
        f"churned within {found.horizon_days} days, this platform's model reaches ROC AUC {interval(core)} on the 13 "
        f"core features and {interval(full)} on all.",
    ]
    lead = found.models[FULL].versus[best]["roc_auc"]
    if lead.value is not None and lead.low is not None and lead.high is not None:
        beats = "surely more than" if lead.low > 0 else "surely less than" if lead.high < 0 else "not surely other than"
        words.append(
            f"That is {beats} the best baseline here, {best} "
            f"with {interval(found.baselines[best]['roc_auc'])}: paired difference {lead.value:+.3f} "
            f"({lead.low:+.3f} to {lead.high:+.3f})."
        )
    return [*words, _decision(found)]


def _decision(found: HonestResult) -> str:
    """Why recall is low and accuracy says little."""
    full, stay = found.models[FULL], 1 - found.churned / found.customers
    contacted = full.confusion["tp"] + full.confusion["fp"]
    whom = f"{contacted:,} of them, {full.confusion['tp']:,} rightly" if contacted else "none of them"
    return (
        f"At {full.threshold:.2f}, from where on a contact pays, the full model would contact {whom}; hence its "
        f"recall. Saying that nobody leaves would be right for {stay:.1%}: accuracy tells little."
    )


def explain_difference(reference: ReferenceResult, honest: HonestResult) -> list[str]:
    """The same recipe and features under both protocols: what remains is the protocol's part."""
    before, after = honest.recipe.metrics["roc_auc"], reference.metrics["roc_auc"]
    words = [
        f"The reference recipe itself – same 13 features, same classifier – fitted on earlier dates and asked on "
        f"{honest.holdout} who churns within {honest.horizon_days} days, gives {interval(before)}."
    ]
    if None in (before.value, before.low, before.high, after.value, after.low, after.high):
        return words
    assert before.value is not None and before.low is not None and before.high is not None
    assert after.value is not None and after.low is not None and after.high is not None
    gap = after.value - before.value
    if after.low > before.high:
        words.append(
            f"So {gap:.2f} of the reference's ROC AUC is not there when the recipe is asked beforehand: "
            "that part forecasts nobody's leaving."
        )
    elif after.high < before.low:
        words.append(f"Here the reference protocol reports {-gap:.2f} less than the recipe reaches before the fact.")
    else:
        words.append(
            f"The two intervals overlap: this log does not clearly show that the protocols differ (by {gap:+.2f} here)."
        )
    return words


def explain_oracle(found: OracleResult, horizon_days: int) -> list[str]:
    """What of the knowable the models know."""
    rate = found.churned / found.customers
    return [
        f"The oracle knows each customer's true hazard on {found.holdout} and takes it as constant for {horizon_days} "
        f"days, an approximation, so that a share of its lead can exceed 100%. Its ROC AUC on this hold-out is "
        f"{interval(found.roc_auc)}, its log loss {interval(found.log_loss, 4)} "
        f"(base rate {interval(found.base_log_loss, 4)}); it expects {found.mean_probability:.2%} to leave, and "
        f"{rate:.2%} did.",
        *(
            f"The {name} model's {interval(rival.roc_auc)} {_closed(rival, 'roc_auc')}; its log loss of "
            f"{interval(rival.log_loss, 4)} {_closed(rival, 'log_loss')}."
            for name, rival in found.models.items()
        ),
    ]


_WAY = {"roc_auc": "from chance (0.5) to the oracle", "log_loss": "from the base rate to the oracle"}


def _closed(rival: Rival, metric: str) -> str:
    share: Estimate = getattr(rival, f"{metric}_closed")
    if share.value is None:
        return f"cannot be placed on the way {_WAY[metric]}: with this few churners the oracle has no sure lead itself"
    within = "" if share.low is None or share.high is None else f" ({share.low:.0%} to {share.high:.0%})"
    return f"is {share.value:.0%}{within} of the way {_WAY[metric]}"


def numbered(sentences: Sequence[str]) -> str:
    """One numbered line a sentence."""
    return "\n".join(f"{i}. {text}" for i, text in enumerate(sentences, 1))
