"""Drift of what can be counted by name: the events of a day by kind."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from churn.core.distances import js_distance
from churn.core.drift_policy import DriftPolicy
from churn.errors import BadInput

_MOST_NAMED = 5


@dataclass(frozen=True)
class CategoryShare:
    """One category: how many in the reference and now."""

    name: str
    reference: int
    current: int
    reference_share: float
    current_share: float


@dataclass(frozen=True)
class CategoryDrift:
    """What is new, what has vanished, and how far the shares have moved."""

    drifted: bool
    js: float
    """Jensen–Shannon distance, base 2; 0 where either side is empty."""
    limit: float
    """The distance from which the shares have moved: the policy's, or what so few events reach by chance."""
    new: tuple[CategoryShare, ...]
    vanished: tuple[CategoryShare, ...]
    shares: tuple[CategoryShare, ...]
    """Every category, the most frequent of the reference first."""
    why: str
    """A sentence, or nothing."""


def compare_categories(
    reference: Mapping[str, int], current: Mapping[str, int], policy: DriftPolicy | None = None
) -> CategoryDrift:
    """Events by name, then and now. Raises BadInput for a reference without any.

    A category is new from ``policy.new_share`` of the events on, vanished where it had ``policy.vanished_share``.
    """
    policy = policy or DriftPolicy()
    before, now = sum(reference.values()), sum(current.values())
    if before == 0:
        raise BadInput("the reference holds no events: there is nothing to compare with")
    names = sorted({*reference, *current}, key=lambda name: (-reference.get(name, 0), name))
    shares = tuple(
        CategoryShare(name, (a := reference.get(name, 0)), (b := current.get(name, 0)), a / before, b / max(now, 1))
        for name in names
    )
    new = tuple(
        s for s in shares
        if s.reference == 0 and s.current >= policy.fewest_new_events and s.current_share >= policy.new_share
    )  # fmt: skip
    vanished = tuple(
        s for s in shares
        if s.current == 0 and s.reference_share >= policy.vanished_share
        and s.reference_share * now >= policy.fewest_expected_events
    )  # fmt: skip
    js = 0.0 if now == 0 else js_distance(*np.array([[s.reference_share, s.current_share] for s in shares]).T)
    chance = math.sqrt((len(shares) - 1) * policy.events_alike / (8 * math.log(2) * max(now, 1)))
    limit = max(policy.smallest_event_js, chance)
    moved = js >= limit
    why = _why(new, vanished, js, moved, now)
    return CategoryDrift(bool(new or vanished or moved), js, limit, new, vanished, shares, why)


def _why(new: tuple[CategoryShare, ...], vanished: tuple[CategoryShare, ...], js: float, moved: bool, now: int) -> str:
    said = [f"{s.name} is new: {s.current:,} of {now:,} events" for s in new]
    said += [f"{s.name} has vanished: {s.reference_share:.1%} of the events before, none now" for s in vanished]
    if moved and not said:
        said.append(f"the shares of the kinds of events have moved: Jensen–Shannon distance {js:.2f}")
    more = [f"and {len(said) - _MOST_NAMED} more"] if len(said) > _MOST_NAMED else []
    return "; ".join(said[:_MOST_NAMED] + more)
