"""Promote: move a challenger to Production when the comparison with today's champion said yes."""

import json
from dataclasses import dataclass

from churn.io.lake import Lake
from churn.io.registry import Registry
from churn.settings import Settings
from churn.steps.compare import decision_path


@dataclass(frozen=True)
class PromoteReport:
    """Which version is in production now, and why."""

    production: str | None
    promoted: bool
    reason: str


def promote(settings: Settings, version: str | None = None) -> PromoteReport:
    """Promote a version (default: the one at Staging). Doing it twice changes nothing.

    Anything missing means no: no challenger, no decision, or a decision about another champion.
    """
    registry = Registry(settings)
    champion, challenger = registry.production(), registry.version(version) if version else registry.staging()
    serving = champion.version if champion else None
    if challenger is None:
        return PromoteReport(serving, False, "no model waits at stage Staging")
    path = decision_path(Lake(settings.data_home), challenger.version)
    if not path.is_file():
        return PromoteReport(serving, False, f"version {challenger.version} has not been compared: run `churn compare`")
    decision = json.loads(path.read_text())
    reason = "; ".join(decision["reasons"])
    if decision["promote"] is not True:
        return PromoteReport(serving, False, reason)
    if challenger.version == serving:  # an attempt before this one was ended after the move
        return PromoteReport(serving, True, reason)
    if decision["champion"] != serving:
        return PromoteReport(serving, False, f"it was compared with {decision['champion']}: run `churn compare` again")
    registry.promote(challenger, reason)
    return PromoteReport(challenger.version, True, reason)
