"""Rollback: put an earlier Production version back, checked before anything moves, and write it down."""

from collections.abc import Mapping
from dataclasses import dataclass

from churn.errors import BadInput, ContractViolation, NotReady
from churn.io.contracts import contract_of
from churn.io.ledger import MOVES, Entry, Ledger, succession
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings
from churn.steps.reconcile import agreed, move


@dataclass(frozen=True)
class RollbackReport:
    """Which version is in production now, and which was before."""

    production: str | None
    previous: str | None
    rolled_back: bool
    """False when the version asked for was in production already, or when this wish was met and overtaken since."""
    reason: str


def rollback(
    settings: Settings, to: str | None = None, *, who: str, why: str, request: str | None = None
) -> RollbackReport:
    """Put a version that was in production before back there.

    Default: the one before today's. Twice goes further back, not back and forth. ``request`` names this wish (a DAG
    run, for example): asked for again, it is not a second one. Raises BadInput for a version that was never in
    production, that cannot be read or that answers another question; NotReady when there is none to go back to.
    """
    with agreed(settings) as both:
        key = f"rollback {request}" if request else None
        production = both.registry.production()
        serving = production.version if production else None
        if done := _done(both.ledger, key, both.written, to):
            return _report(done, serving)
        target = both.registry.version(_target(both.ledger, serving, to))
        if target.version == serving:
            return RollbackReport(serving, serving, False, f"version {serving} is in production already")
        _refuse_another_question(settings, production, target)
        _refuse_unreadable(both.registry, target)
        return _report(move(both, "rollback", target, who=who, why=why, key=key), target.version)


def _done(ledger: Ledger, key: str | None, written: Entry | None, to: str | None) -> Entry | None:
    """The rollback that this one repeats: of the same request, or one that was killed before its row was written."""
    if key and (entry := ledger.find(key)):
        return entry
    unfinished = written is not None and written.what == "rollback" and to in (None, written.to_version)
    return written if unfinished else None


def _report(entry: Entry, serving: str | None) -> RollbackReport:
    if entry.to_version == serving:
        return RollbackReport(serving, entry.from_version, True, entry.why)
    since = f"version {serving} is in production now" if serving else "no version is in production now"
    reason = f"this request put version {entry.to_version} back on {entry.decided_at:%Y-%m-%d}; {since}"
    return RollbackReport(serving, serving, False, reason)


def _target(ledger: Ledger, serving: str | None, to: str | None) -> str:
    entries = ledger.entries()
    if to is None:
        earlier = [v for v in succession(entries) if v != serving]
        if not earlier:
            what = (
                f"version {serving} is the first that was in production" if serving else "none was ever in production"
            )
            raise NotReady(f"there is no version to go back to: {what}")
        return earlier[-1]
    past = sorted({e.to_version for e in entries if e.what in MOVES and e.to_version}, key=int)
    if str(to) not in past:
        raise BadInput(f"version {to} was never in production; {past} were. A new one goes through `churn compare`")
    return str(to)


def _refuse_another_question(settings: Settings, production: ModelVersion | None, target: ModelVersion) -> None:
    """A model of another contract or horizon would score on, and mean something else."""
    contract = contract_of(settings)
    asked: Mapping[str, str] = {"contract": settings.contract, "horizon_days": str(contract.horizon_days)}
    asked = production.tags if production else asked
    for name in ("contract", "horizon_days"):
        if (now := asked.get(name)) != (then := target.tags.get(name)):
            raise BadInput(
                f"version {target.version} answers another question: its {name} is {then}, that of version "
                f"{production.version if production else 'the settings'} is {now}. Choose another version"
            )


def _refuse_unreadable(registry: Registry, target: ModelVersion) -> None:
    try:
        registry.load(target)
    except ContractViolation as e:
        raise ContractViolation(f"version {target.version} cannot be put back, and nothing was moved: {e}") from e
