"""Promote: move a challenger to Production when the comparison with today's champion said yes, and write it down."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn.core.promotion import evidence_hash
from churn.io.lake import Lake
from churn.io.ledger import Ledger, rolled_back_from
from churn.io.registry import ModelVersion
from churn.settings import Settings
from churn.steps.compare import decision_path
from churn.steps.reconcile import Agreed, agreed, move

GATE = "the gate"
"""Who promotes when nobody was asked."""


@dataclass(frozen=True)
class PromoteReport:
    """Which version is in production now, and why."""

    production: str | None
    promoted: bool
    reason: str


def promote(
    settings: Settings,
    version: str | None = None,
    *,
    who: str = GATE,
    comment: str | None = None,
    evidence_sha256: str | None = None,
    despite_rollback: bool = False,
) -> PromoteReport:
    """Promote a version (default: the one at Staging). Doing it twice changes nothing.

    Anything missing means no: no challenger, no decision, a decision about another champion, or one that is not what
    was written down. ``evidence_sha256``: of the decision that was approved. ``despite_rollback``: also a version that
    was rolled back from, which nobody but a person can want.
    """
    with agreed(settings) as both:
        production = both.registry.production()
        serving = production.version if production else None
        challenger = both.registry.version(version) if version else both.registry.staging()
        if challenger is None:
            return PromoteReport(serving, False, "no model waits at stage Staging")
        if challenger.version == serving:  # an attempt before this one was ended after the move
            last = both.ledger.production()
            return PromoteReport(serving, True, last.why if last else "in production already")
        decision = _decision(decision_path(Lake(settings.data_home), challenger.version))
        refusal = _refusal(decision, challenger.version, serving, evidence_sha256) or (
            None if despite_rollback and who != GATE else _rolled_back(both.ledger, challenger.version)
        )
        if refusal:
            return PromoteReport(serving, False, refusal)
        return _promote(both, challenger, decision, who, comment)


def _promote(
    both: Agreed, challenger: ModelVersion, decision: dict[str, Any], who: str, comment: str | None
) -> PromoteReport:
    reason = "; ".join(decision["reasons"])
    why = f"{reason}. {who}: {comment.strip()}" if comment and comment.strip() else reason
    move(both, "promotion", challenger, who=who, why=why, evidence_sha256=decision["evidence_sha256"])
    return PromoteReport(challenger.version, True, reason)


def _decision(path: Path) -> dict[str, Any]:
    """The decision on file; empty without one, or when the file cannot be read as one."""
    try:
        decision = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return decision if isinstance(decision, dict) else {}


def _refusal(decision: dict[str, Any], challenger: str, serving: str | None, approved: str | None) -> str | None:
    """Why a decision allows nothing, or None."""
    if not decision:
        return f"version {challenger} has not been compared: run `churn compare`"
    again = "run `churn compare` again"
    if "evidence_sha256" not in decision:
        return f"the decision about version {challenger} carries no hash of its evidence: {again}"
    if decision["evidence_sha256"] != (found := _hash(decision)):
        return (
            f"the decision about version {challenger} was changed after it was made: its evidence hashes to "
            f"{found[:12]}, it says {str(decision['evidence_sha256'])[:12]}. Find out by whom, and {again}"
        )
    if approved is not None and approved != found:
        return f"{approved[:12]} was approved, the decision on file is {found[:12]}: it was made again since; ask again"
    if decision["challenger"] != challenger:
        return f"the decision on file is about version {decision['challenger']}: {again}"
    if decision["promote"] is not True:
        return "; ".join(decision["reasons"])
    if decision["champion"] != serving:
        return f"it was compared with {decision['champion']}: {again}"
    return None


def _hash(decision: dict[str, Any]) -> str:
    try:
        return evidence_hash(decision)
    except (KeyError, TypeError, ValueError) as e:  # a part is gone, or is no longer JSON's
        return f"nothing ({type(e).__name__})"


def _rolled_back(ledger: Ledger, version: str) -> str | None:
    if entry := rolled_back_from(ledger, version):
        return (
            f"version {version} was rolled back on {entry.decided_at:%Y-%m-%d} by {entry.who}: {entry.why}; "
            f"only a person can put it back: `churn rollback --to {version}`, or `churn promote --despite-rollback`"
        )
    return None
