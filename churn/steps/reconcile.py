"""Reconcile: the registry and the ledger say the same, whatever was killed in the middle or moved by hand.

A version moves in four steps, each of them whole: a note of the decision on the version, the alias, the stage (which
is what counts), the row in the ledger. Killed before the stage, nothing has moved and the decision can be made again;
killed after it, the note says what the missing row is. A note of a move that never came is removed, lest it tells of
one that somebody makes by hand later.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from churn.errors import Unavailable
from churn.io.lake import Lake
from churn.io.ledger import Entry, Ledger
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings

_PATIENCE = 30.0
"""Seconds to wait for another process that moves a version: a rollback loads its model first."""
_NOTE_TO_STAGE = timedelta(minutes=5)
"""The most that lies between a note and its stage: two calls of MLflow, retries and clocks that differ included. A
stage that changed later was changed by somebody else."""
_ROW = {"what", "key", "who", "why", "version", "from_version", "to_version", "evidence_sha256"}


@dataclass(frozen=True)
class ReconcileReport:
    """What was in production at the end, and what had to be mended."""

    production: str | None
    mended: tuple[str, ...]


@dataclass(frozen=True)
class Agreed:
    """The registry and the ledger while they agree and nobody else moves a version."""

    registry: Registry
    ledger: Ledger
    mended: tuple[str, ...]
    written: Entry | None
    """The row that was missing."""


def reconcile(settings: Settings) -> ReconcileReport:
    """Bring the ledger up to what is in production, and the aliases too. Doing it twice changes nothing."""
    with agreed(settings) as both:
        production = both.registry.production()
        return ReconcileReport(production.version if production else None, both.mended)


@contextmanager
def agreed(settings: Settings) -> Iterator[Agreed]:
    """Registry and ledger, reconciled, for one process at a time. Raises Unavailable when another one takes long."""
    with ExitStack() as held:
        _lock(held, Lake(settings.data_home))
        ledger = held.enter_context(closing(Ledger(settings.score_database)))
        registry = Registry(settings)
        mended = registry.mend()
        written = _write_missing(registry, ledger)
        row = (f"row {written.number} was missing in the ledger: {written.what}",) if written else ()
        yield Agreed(registry, ledger, mended + row + _forget_unmade(registry, ledger), written)


def move(
    both: Agreed,
    what: Literal["promotion", "rollback"],
    to: ModelVersion,
    *,
    who: str,
    why: str,
    evidence_sha256: str | None = None,
    key: str | None = None,
) -> Entry:
    """Put a version into production and write it down."""
    last = both.ledger.production()
    before = last.to_version if last else None
    after = last.number if last else 0
    row: dict[str, Any] = {
        "what": what,
        "key": key or f"{what} after {after}: {before} to {to.version}",
        "who": who,
        "why": why,
        "version": to.version,
        "from_version": before,
        "to_version": to.version,
        "evidence_sha256": evidence_sha256,
    }
    decided_at = datetime.now(UTC)
    note = {"after": after, "decided_at": decided_at.isoformat(), "row": row}
    both.registry.promote(to, why, note=json.dumps(note))
    return both.ledger.append(**row, decided_at=decided_at)


def _lock(held: ExitStack, lake: Lake) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            held.enter_context(lake.lock("promotion"))
            return
        except Unavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _write_missing(registry: Registry, ledger: Ledger) -> Entry | None:
    """The row of a move that has none: as its note says, or as one that was made by hand in MLflow."""
    last, production = ledger.production(), registry.production()
    before, now = last.to_version if last else None, production.version if production else None
    if before == now:
        return None
    after = last.number if last else 0
    if production and (planned := _planned(registry.note(production), after)):
        row, decided_at = planned
        ends = (row["from_version"], row["to_version"])
        if ends == (before, now) and production.changed_at - decided_at <= _NOTE_TO_STAGE:
            return ledger.append(**row, decided_at=decided_at)
    moved = production or next((v for v in registry.versions() if v.version == before), None)
    since_last = moved is not None and (last is None or moved.changed_at > last.decided_at)
    return ledger.append(
        "found",
        key=f"found after {after}: {before} to {now}",
        who="MLflow",
        why=_found(production, before),
        version=now or before,
        from_version=before,
        to_version=now,
        decided_at=moved.changed_at if moved and since_last else None,
    )


def _planned(note: str, after: int) -> tuple[dict[str, Any], datetime] | None:
    """The row that a note announces after that of number ``after``, and its time; None if it tells of an earlier one.

    Also None for what is no note of ours: anybody can write one in MLflow.
    """
    try:
        planned = json.loads(note)
        row, decided_at = planned["row"], datetime.fromisoformat(planned["decided_at"])
        whole = row.keys() == _ROW and all(value is None or isinstance(value, str) for value in row.values())
        said = whole and row["what"] in ("promotion", "rollback") and all(row[x].strip() for x in ("key", "who", "why"))
        return (row, decided_at) if said and decided_at.tzinfo and planned["after"] == after else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _forget_unmade(registry: Registry, ledger: Ledger) -> tuple[str, ...]:
    """Remove the notes of moves that were killed before their stage; what was removed.

    Registry and ledger agree by now and nobody else moves a version: what is still announced will never come.
    """
    last = ledger.production()
    forgotten = []
    for version in registry.versions():
        if planned := _planned(registry.note(version), last.number if last else 0):
            registry.forget(version)
            forgotten.append(f"a {planned[0]['what']} of version {version.version} never came: its note is removed")
    return tuple(forgotten)


def _found(production: ModelVersion | None, before: str | None) -> str:
    if production is None:
        return f"no version is at stage Production: version {before} was taken out in MLflow, by hand"
    if before is None:
        return "at stage Production when the ledger was opened, or moved there in MLflow by hand"
    return "moved to stage Production in MLflow, by hand"
