"""Models: which is in production and why, what the gate said last, and where one can go back to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from churn.core.criteria import Cells, cells
from churn.core.decision_text import criteria_of, judged_segments, sample_of, verdict_of
from churn.core.evidence import evidence_hash
from churn.io.gate_charts import Forest, forest
from churn.io.ledger import MOVES, Entry, What
from churn_console.reading import Reading, understood

SHOWN = 20
"""Decisions on the page."""
_LOOKED_BACK = 100
"""Moves among which versions to go back to are looked for."""
_GATES: tuple[What, ...] = ("gate",)
WORDS = {
    "gate": "Gate", "approval": "Approval", "promotion": "Promotion", "rollback": "Rollback",
    "found": "Moved by hand", "retraining": "Retraining",
}  # fmt: skip


@dataclass(frozen=True)
class History:
    """Who promoted what, why, and on what evidence."""

    production: Entry | None
    """The decision that put it there; its ``to_version`` is None where production was emptied by hand."""
    entries: tuple[Entry, ...]
    """The last decisions, newest first."""
    earlier: tuple[str, ...]
    """Versions that were in production before, the last one first."""


@dataclass(frozen=True)
class Gate:
    """The last comparison of a challenger with the champion."""

    entry: Entry
    verdict: str
    promote: bool
    sample: str
    said: tuple[str, ...]
    """What the table does not say."""
    rows: tuple[Cells, ...]
    losses: Forest | None
    others: Forest | None
    segments: tuple[int, int] | None
    """Met, and judged."""
    fault: str | None
    """Why this is not the evidence that the ledger knows; None: it is, to the letter."""


def history(reading: Reading) -> History:
    entries = reading.ask(lambda s: s.ledger.recent(SHOWN))
    moved = reading.ask(lambda s: s.ledger.recent(_LOOKED_BACK, MOVES))
    production = moved[0] if moved else None
    now = production.to_version if production else None
    earlier = dict.fromkeys(v for e in moved for v in (e.to_version, e.from_version) if v and v != now)
    return History(production, tuple(entries), tuple(earlier))


def last_gate(reading: Reading) -> Gate | None:
    """None before the first comparison. Raises ContractViolation for a file that is no decision."""
    entry = next(iter(reading.ask(lambda s: s.ledger.recent(1, _GATES))), None)
    if entry is None or entry.version is None:
        return None
    decision = reading.kept.decision(entry.version)
    if decision is None:
        return _without(entry, "its evidence is not on file any more")
    with understood(f"the decision about version {entry.version} on file"):
        return _gate(entry, decision)


def _gate(entry: Entry, decision: Mapping[str, Any]) -> Gate:
    found = evidence_hash(decision)
    if found != decision.get("evidence_sha256"):
        return _without(entry, "its file was changed after it was written: its evidence is not shown")
    if found != entry.evidence_sha256:
        return _without(entry, f"the file holds another comparison ({found[:12]}) than the ledger knows")
    evidence = decision["evidence"]
    criteria, segments = criteria_of(evidence), judged_segments(evidence)
    met = {c["reason"] for c in (*criteria, *segments) if c["passed"]}
    losses = [c for c in criteria if c["name"] == "log_loss"]
    return Gate(
        entry=entry,
        verdict=verdict_of(decision),
        promote=bool(decision["promote"]),
        sample=sample_of(evidence) if {"customers", "churned"} <= evidence.keys() else "",
        said=tuple(reason for reason in decision["reasons"] if reason not in met),
        rows=tuple(cells(c) for c in criteria),
        losses=forest((c["label"], "", c) for c in losses if c["champion"]),
        others=forest(((c["label"], "", c) for c in criteria if c["margin"]), in_margins=True),
        segments=(sum(bool(s["passed"]) for s in segments), len(segments)) if segments else None,
        fault=None,
    )


def _without(entry: Entry, fault: str) -> Gate:
    """What the ledger alone knows."""
    answer, _, why = entry.why.partition(": ")
    verdict = f"The gate said {answer} to version {entry.version}"
    return Gate(entry, verdict, answer == "yes", "", (why,) if why else (), (), None, None, None, fault)
