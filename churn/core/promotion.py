"""Champion against challenger: whether a new model may replace the one in production."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from churn.core.evaluation import evaluate


@dataclass(frozen=True)
class PromotionPolicy:
    """What a challenger must show on the latest hold-out. Simple and explicit; without sampling error for now."""

    minimum_customers: int = 200
    minimum_churned: int = 20
    """Fewer than this, and any difference is noise."""
    log_loss_gain: float = 0.005
    """Share by which the challenger's log loss must be lower: less is within what another seed changes."""
    roc_auc_margin: float = 0.01
    """How much lower its ROC AUC may be."""


@dataclass(frozen=True)
class Decision:
    """Yes or no, why, and the figures it rests on. JSON-serialisable."""

    promote: bool
    reasons: tuple[str, ...]
    evidence: Mapping[str, Any]


def decide(
    churned: ArrayLike,
    champion: ArrayLike,
    challenger: ArrayLike,
    customers: ArrayLike,
    *,
    policy: PromotionPolicy | None = None,
) -> Decision:
    """Compare two models' probabilities (n,) for the same customers (n,) with known outcomes 0/1 (n,).

    Anything missing, of unequal length or not a probability means no.
    """
    policy = policy or PromotionPolicy()
    y, old, new, who = (np.asarray(x) for x in (churned, champion, challenger, customers))
    if faults := _faults(y, old, new, who, policy):
        return Decision(False, tuple(faults), {"rows": len(y)})
    # The threshold does not enter the two figures that decide.
    before, after = evaluate(y, old, 0.5), evaluate(y, new, 0.5)
    evidence = {
        "customers": len(np.unique(who)),
        "churned": int(y.sum()),
        "champion": {k: before[k] for k in ("log_loss", "roc_auc")},
        "challenger": {k: after[k] for k in ("log_loss", "roc_auc")},
    }
    gain = 1 - after["log_loss"] / before["log_loss"]
    lost = before["roc_auc"] - after["roc_auc"]
    better = gain >= policy.log_loss_gain
    safe = lost <= policy.roc_auc_margin
    lower = "not lower" if lost <= 0 else f"{lost:.4f} lower, {'within' if safe else 'more than'} the allowed"
    reasons = (
        f"log loss {after['log_loss']:.4f} against {before['log_loss']:.4f}: {gain:+.1%}, "
        f"{'at least' if better else 'less than'} the {policy.log_loss_gain:.1%} asked for",
        f"ROC AUC {after['roc_auc']:.4f} against {before['roc_auc']:.4f}: {lower}"
        + (f" {policy.roc_auc_margin}" if lost > 0 else ""),
    )
    return Decision(bool(better and safe), reasons, evidence)


def _faults(y: Any, old: Any, new: Any, who: Any, policy: PromotionPolicy) -> list[str]:
    if not len(y) == len(old) == len(new) == len(who):
        return [f"lengths differ: {len(y)} outcomes, {len(old)} and {len(new)} scores, {len(who)} customers"]
    faults = [
        f"the {name}'s scores are not all probabilities"
        for name, p in (("champion", old), ("challenger", new))
        if not (np.isfinite(p.astype(float)).all() and ((p >= 0) & (p <= 1)).all())
    ]
    churned = int(np.sum(y == 1))
    if not np.isin(y, (0, 1)).all():
        faults.append("outcomes are not all 0 or 1")
    if len(np.unique(who)) < policy.minimum_customers:
        faults.append(f"{len(np.unique(who))} customers, {policy.minimum_customers} are needed")
    if min(churned, len(y) - churned) < policy.minimum_churned:
        faults.append(f"{churned} of {len(y)} churned; {policy.minimum_churned} of either kind are needed")
    return faults
