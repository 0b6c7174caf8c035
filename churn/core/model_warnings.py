"""What an assessment's own figures warn of, in sentences."""

from churn.core.assessment import Assessment
from churn.core.model_words import interval, number, percent, verdict

FEW = 50
"""Churners (or stayers) below which intervals are so wide that a figure is a hint: ROC AUC then has ± 0.08 or more."""
FEW_IN_A_SEGMENT = 20


def warnings_of(found: Assessment) -> list[str]:
    """Sentences, the gravest first."""
    return [
        sentence
        for part in (_size(found), _baselines(found), _calibration(found), _profit(found), _segments(found))
        for sentence in part
    ]


def _size(found: Assessment) -> list[str]:
    stayed = found.rows - found.churned
    if not found.churned or not stayed:
        nobody = "stayed" if found.churned else "churned"
        return [f"Nobody in the hold-out {nobody}: it cannot tell how well the model ranks."]
    kind, n = ("churned", found.churned) if found.churned <= stayed else ("stayed", stayed)
    if n >= FEW:
        return []
    return [f"Only {n} {'row' if n == 1 else 'rows'} of the hold-out {kind}: read the intervals, not the figures."]


def _baselines(found: Assessment) -> list[str]:
    unproven = [name for name, d in found.versus.items() if verdict(d["log_loss"], higher_is_better=False) != "better"]
    if not unproven or not 0 < found.churned < found.rows:
        return []
    return [f"On this hold-out the model's log loss is not shown to be lower than that of: {', '.join(unproven)}."]


def _calibration(found: Assessment) -> list[str]:
    ece, chance = found.metrics["ece"], found.ece_by_chance
    if ece.value is None or chance.value is None or chance.high is None:
        return []
    off = "This is more: the probabilities are off." if ece.value > chance.high else "This is not more."
    return [
        f"Calibration error {interval(ece, 3)}. On a hold-out of this size a perfectly calibrated model shows "
        f"{number(chance.value, 3)} on average, by chance alone, and rarely more than {number(chance.high, 3)}. {off}"
    ]


def _profit(found: Assessment) -> list[str]:
    economics, cells, profit = found.economics, found.confusion, found.metrics["profit"]
    contacts, reached = cells["tp"] + cells["fp"], cells["tp"]
    if not contacts:
        return ["At this threshold nobody in the hold-out is contacted: the model earns and costs nothing."]
    said = []
    if profit.low is not None and profit.high is not None and profit.low <= 0 <= profit.high:
        said.append(f"The profit, {interval(profit, 0)}, cannot be told from that of contacting nobody.")
    said.append(
        "Profit rests on what a contact is assumed to cost, to keep and to be worth; none of it is measured here."
    )
    worth = economics.retained_value * reached
    if economics.contact_cost * contacts <= worth:
        needed, assumed = percent(economics.contact_cost * contacts / worth), percent(economics.contact_success)
        said.append(
            f"The contacts pay if they keep more than {needed} of the churners they reach ({assumed} is assumed)."
        )
    else:
        said.append("The contacts would not pay even if they kept every churner they reach.")
    return said


def _segments(found: Assessment) -> list[str]:
    few = [
        f"{name} ({part.churned})"
        for parts in found.segments.values()
        for name, part in parts.items()
        if part.churned < FEW_IN_A_SEGMENT
    ]
    return [f"Segments with too few churners to judge: {', '.join(few)}."] if few else []
