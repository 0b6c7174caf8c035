"""Champion against challenger: whether a new model may replace the one in production."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from churn.core.criteria import Criterion, Measure, not_shown_worse, not_worse
from churn.core.gate_figures import by_segment, calibration, draws_of, over_all, segments_said
from churn.core.gate_rows import checked_rows, parts
from churn.core.paired import Rows, log_losses, relative
from churn.core.promotion_policy import PromotionPolicy

__all__ = ["Decision", "PromotionPolicy", "decide", "guard"]


@dataclass(frozen=True)
class Decision:
    """Yes or no, why, and the figures it rests on. JSON-serialisable."""

    promote: bool
    reasons: tuple[str, ...]
    """One sentence per criterion; where the answer is no, what speaks against it first."""
    evidence: Mapping[str, Any]


def decide(
    churned: ArrayLike,
    champion: ArrayLike,
    challenger: ArrayLike,
    customers: ArrayLike,
    *,
    segments: Mapping[str, ArrayLike] | ArrayLike | None = None,
    policy: PromotionPolicy | None = None,
) -> Decision:
    """Compare two models' probabilities (n,) for the same rows: outcomes 0/1 (n,) of ``customers`` (n,).

    ``segments``: the segment of each row (n,), by kind of segment, or of one kind. Differences are paired and their
    intervals come from draws of customers with all their rows (see :mod:`churn.core.resampling`); the same rows in any
    order give the same decision, bit for bit. Anything missing, of unequal length, undefined or not a probability
    means no.
    """
    policy = policy or PromotionPolicy()
    found = checked_rows(churned, champion, challenger, customers, segments)
    if isinstance(found, str):
        return _refused((found,), policy)
    rows, kinds = found
    if few := _too_few(rows, policy):
        return Decision(False, few, _sample(rows, policy))
    groups = parts(rows, kinds, policy.minimum_churned)
    criteria = over_all(rows, policy)
    segmented = by_segment(rows, groups, policy)
    everything = [*criteria, *segmented.values()]
    evidence = {
        **_sample(rows, policy),
        "champion": {c.name: c.champion for c in criteria},
        "challenger": {c.name: c.challenger for c in criteria},
        "criteria": {c.name: asdict(c) for c in criteria},
        "segments": segments_said(groups, segmented),
        "calibration": calibration(rows, policy),
    }
    return Decision(all(c.passed for c in everything), reasons_of(everything), evidence)


def guard(
    churned: ArrayLike,
    champion: ArrayLike,
    challenger: ArrayLike,
    customers: ArrayLike,
    *,
    label: str,
    margin: float | None,
    policy: PromotionPolicy | None = None,
) -> Decision:
    """Only whether the challenger's log loss is no worse, arguments as those of :func:`decide`.

    ``margin``: the share by which it may be higher, the unfavourable end of the interval as well. None asks for less,
    of evidence that may be too little to show it: that the challenger is not worse beyond doubt; too few customers
    then say nothing against it.
    """
    policy = policy or PromotionPolicy()
    found = checked_rows(churned, champion, challenger, customers)
    if isinstance(found, str):
        return _refused((f"{label}: {found}",), policy)
    rows, _ = found
    if few := _too_few(rows, policy):
        said = tuple(f"{label}: {reason}" for reason in few)
        return Decision(margin is None, said, {**_sample(rows, policy), "criteria": {}})
    measure = Measure("log_loss", label, higher_is_better=False, share=True)
    everybody = {label: np.ones(len(rows.churned), dtype=np.bool_)}
    change = relative(*log_losses(rows, draws_of(policy), everybody)[label], policy.level)
    shown = (
        not_shown_worse(measure, change, policy.level)
        if margin is None
        else not_worse(measure, change, margin, policy.level)
    )
    return Decision(shown.passed, (shown.reason,), {**_sample(rows, policy), "criteria": {shown.name: asdict(shown)}})


def reasons_of(criteria: Iterable[Criterion]) -> tuple[str, ...]:
    """What each says, those that were not met first."""
    return tuple(c.reason for c in sorted(criteria, key=lambda c: c.passed))


def _refused(faults: tuple[str, ...], policy: PromotionPolicy) -> Decision:
    return Decision(False, faults, {"policy": asdict(policy)})


def _too_few(rows: Rows, policy: PromotionPolicy) -> tuple[str, ...]:
    size, churned = len(rows.churned), int(rows.churned.sum())
    found = []
    if rows.customers < policy.minimum_customers:
        found.append(f"{rows.customers} customers, {policy.minimum_customers} are needed")
    if min(churned, size - churned) < policy.minimum_churned:
        found.append(f"{churned} of {size} churned; {policy.minimum_churned} of either kind are needed")
    return tuple(found)


def _sample(rows: Rows, policy: PromotionPolicy) -> dict[str, Any]:
    return {
        "rows": len(rows.churned),
        "customers": rows.customers,
        "churned": int(rows.churned.sum()),
        "policy": asdict(policy),
    }
