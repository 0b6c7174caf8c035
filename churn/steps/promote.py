"""Promote: move a challenger to Production when the comparison with today's champion said yes, and write it down."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn.core.evidence import evidence_hash
from churn.io.lake import Lake
from churn.io.ledger import Ledger, moves
from churn.io.registry import ModelVersion
from churn.settings import Settings
from churn.steps.compare import decision_path, gate_key
from churn.steps.gate import GATE, rolled_back
from churn.steps.reconcile import Agreed, agreed, move


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
    was written down, on file and in the ledger. ``evidence_sha256``: of the decision that was approved.
    ``despite_rollback``: also a version that was rolled back from, which nobody but a person can want.
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
        refusal = (
            _refusal(decision, challenger.version, serving, evidence_sha256)
            or _not_written(both.ledger, challenger.version, decision)
            or (None if despite_rollback and who != GATE else rolled_back(both.ledger, challenger.version))
            or (_beyond_the_gate(settings, both, challenger.version, serving) if who == GATE else None)
        )
        if refusal:
            return PromoteReport(serving, False, refusal)
        return _promote(both, challenger, decision, who, comment)


def needs_a_person(settings: Settings, ledger: Ledger, challenger: str, champion: str | None) -> bool:
    """Whether the gate's yes is not enough. The first model of all replaces nothing that a person could defend.

    The first is the first in the ledger: a production that somebody emptied by hand makes no other model the first.
    """
    if settings.promotion != "approve":
        return False
    return champion is not None or any(e.to_version not in (None, challenger) for e in moves(ledger.entries()))


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
    except (FileNotFoundError, ValueError):  # not JSON, or not even text
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


def _not_written(ledger: Ledger, challenger: str, decision: dict[str, Any]) -> str | None:
    """A file can be written by anybody, its hash included; a row of the ledger only by the comparison."""
    row = ledger.find(gate_key(challenger, decision["evidence_sha256"]))
    if row is not None and row.what == "gate" and row.why.startswith("yes: "):
        return None
    return f"the ledger has no row of this decision about version {challenger} that says yes: run `churn compare` again"


def _beyond_the_gate(settings: Settings, both: Agreed, challenger: str, serving: str | None) -> str | None:
    """Why only a person may promote what the gate said yes to, or None."""
    if needs_a_person(settings, both.ledger, challenger, serving):
        return "a person has to approve it (CHURN_PROMOTION=approve)"
    waiting = both.registry.staging()
    if waiting and int(waiting.version) > int(challenger):
        return f"version {waiting.version} waits since: compare that"
    return None
