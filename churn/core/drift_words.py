"""What a comparison came to, in a sentence for a log, an alert and the head of a page."""

from churn.core.categories import CategoryDrift
from churn.core.drift import DriftReport
from churn.core.drift_policy import DriftPolicy

_MOST_NAMED = 5


def summary_of(found: DriftReport, kinds: CategoryDrift | None, policy: DriftPolicy, *, since: str, day: str) -> str:
    """``since`` is the reference's date, ``day`` that of the events by kind (None: there are none)."""
    moved = found.drifted_features
    said = []
    if moved:
        named = ", ".join(f"{f.name} ({f.why})" for f in moved[:_MOST_NAMED])
        more = f" and {len(moved) - _MOST_NAMED} more" if len(moved) > _MOST_NAMED else ""
        said.append(f"{len(moved)} of {len(found.features)} columns moved since {since}: {named}{more}")
    if kinds is not None and kinds.drifted:
        said.append(kinds.why)
    if not said:
        said.append(_nothing(found, policy, since))
    if kinds is None:
        said.append(f"there are no events on {day} to count by kind")
    return ("drift: " if moved or (kinds is not None and kinds.drifted) else "no drift: ") + "; ".join(said)


def _nothing(found: DriftReport, policy: DriftPolicy, since: str) -> str:
    farthest = max(found.features, key=lambda f: f.ks or 0.0)
    near = "" if farthest.ks is None else f"; farthest is {farthest.name}, KS {farthest.ks:.3f}"
    return (
        f"none of {len(found.features)} columns differs from {since} both beyond chance and by KS "
        f"{policy.smallest_ks:g}{near}"
    )
