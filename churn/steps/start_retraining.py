"""Start a retraining: let it begin or refuse it, and write down which and why."""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import Literal

from churn.io.ledger import Entry, Ledger
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings

Trigger = Literal["schedule", "request", "person"]

_WHO: dict[Trigger, str] = {"schedule": "the schedule", "request": "an alarm", "person": "a person"}
_STARTED, _REFUSED = "started", "refused"


@dataclass(frozen=True)
class RetrainStart:
    """Whether the retraining may begin; the reason for it, or against it."""

    as_of: str
    admitted: bool
    reason: str


def start_retraining(
    settings: Settings, as_of: date, *, trigger: Trigger, reason: str, force: bool = False, run: str = ""
) -> RetrainStart:
    """Admit the weekly schedule always; a request or a person only when the last retraining is long enough ago.

    Long enough: ``settings.retrain_cooldown_days`` from its date to this one. A request is also refused while a version
    that knows as much waits at Staging. ``force`` admits anybody. The same start by the same ``run`` (any name of
    who starts it) is admitted again, as its task may be tried again; by another run it is a new one. Each is one row of
    the ledger, and so is the same refusal of whatever runs.
    """
    asked, by_run = (f"retraining:{as_of}:{trigger}:{_hash(text)}" for text in (reason, f"{run} {reason}"))
    with closing(Ledger(settings.score_database)) as ledger:
        entries = ledger.entries("retraining")
        again = any(entry.key == f"{by_run}:{_STARTED}" for entry in entries)
        against = "" if again or force else _against(settings, as_of, trigger, entries)
        key, outcome = (asked, _REFUSED) if against else (by_run, _STARTED)
        why = f"{outcome}: {reason}" + (f" — {against}" if against else "")
        ledger.append("retraining", key=f"{key}:{outcome}", who=_WHO[trigger], why=why)
    return RetrainStart(str(as_of), not against, f"{against} (asked for: {reason})" if against else reason)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _against(settings: Settings, as_of: date, trigger: Trigger, entries: Sequence[Entry]) -> str:
    """Why it may not begin; empty when it may."""
    if trigger == "schedule":
        return ""
    days, last = settings.retrain_cooldown_days, _last_start(entries)
    if last is not None and (as_of - last).days < days:
        force = "; start it with force to train in any case" if trigger == "person" else ""
        return f"the last retraining, as of {last}, is less than {days} days before {as_of}{force}"
    waiting = Registry(settings).staging() if trigger == "request" else None
    if waiting is not None and _trained_as_of(waiting) >= str(as_of):
        return f"version {waiting.version}, trained as of {_trained_as_of(waiting)}, waits at stage Staging already"
    return ""


def _last_start(entries: Sequence[Entry]) -> date | None:
    """The date of the latest retraining that was started: it stands in the key."""
    parts = [entry.key.split(":") for entry in entries]
    return max((date.fromisoformat(p[1]) for p in parts if p[-1] == _STARTED), default=None)


def _trained_as_of(version: ModelVersion) -> str:
    return version.tags.get("as_of", "")
