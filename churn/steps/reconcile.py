"""Reconcile: the registry and the ledger say the same, whatever was killed in the middle or moved by hand.

A version moves in four steps, each of them whole: a note of the decision on the version, the alias, the stage (which
is what counts), the row in the ledger. Killed before the stage, nothing has moved and the decision can be made again;
killed after it, the note says what the missing row is.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from churn.errors import Unavailable
from churn.io.lake import Lake
from churn.io.ledger import Entry, Ledger
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings

_PATIENCE = 30.0
"""Seconds to wait for another process that moves a version: a rollback loads its model first."""


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
        yield Agreed(registry, ledger, mended + row, written)


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
    note = json.loads((registry.note(production) if production else "") or "{}")
    if note.get("after") == after:  # else it tells of an earlier move than the one that has no row
        return ledger.append(**note["row"], decided_at=datetime.fromisoformat(note["decided_at"]))
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


def _found(production: ModelVersion | None, before: str | None) -> str:
    if production is None:
        return f"no version is at stage Production: version {before} was taken out in MLflow, by hand"
    if before is None:
        return "at stage Production when the ledger was opened, or moved there in MLflow by hand"
    return "moved to stage Production in MLflow, by hand"
