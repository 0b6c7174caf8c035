"""The ledger: every decision about models, one row each, never changed and never removed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from churn.errors import BadInput, Unavailable
from churn.io.database import Database, UtcTime

What = Literal["gate", "approval", "promotion", "rollback", "found", "retraining"]

MOVES: tuple[What, ...] = ("promotion", "rollback", "found")
"""Rows after which ``to_version`` is in production."""

_METADATA = sa.MetaData()

DECISIONS = sa.Table(
    "decisions",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("what", sa.String, nullable=False),
    sa.Column("version", sa.String),
    sa.Column("from_version", sa.String),
    sa.Column("to_version", sa.String),
    sa.Column("who", sa.String, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("evidence_sha256", sa.String),
    sa.Column("decided_at", UtcTime, nullable=False),
    sa.Column("key", sa.String, nullable=False, unique=True),
    sqlite_autoincrement=True,
)

_SQLITE_GUARDS = (
    *(
        f"create trigger if not exists decisions_no_{act} before {act} on decisions "
        "begin select raise(abort, 'the ledger is append-only'); end"
        for act in ("update", "delete")
    ),
    # `insert or replace` deletes without asking the trigger above.
    "create trigger if not exists decisions_no_replace before insert on decisions "
    "when exists (select 1 from decisions where key = new.key or number = new.number) "
    "begin select raise(abort, 'the ledger has this key already'); end",
)

_POSTGRES_GUARD = """
do $guard$ begin
  if not exists (select 1 from pg_trigger where tgname = 'decisions_no_change' and tgrelid = 'decisions'::regclass) then
    create or replace function decisions_refuse() returns trigger language plpgsql as
      $refuse$ begin raise exception 'the ledger is append-only'; end $refuse$;
    create trigger decisions_no_change before update or delete or truncate on decisions
      for each statement execute function decisions_refuse();
  end if;
end $guard$
"""


@sa.event.listens_for(_METADATA, "after_create")
def _guard(_: sa.MetaData, db: sa.Connection, **__: Any) -> None:
    """Asked for at every opening, not only with the table: a process may have been killed between the two."""
    for statement in _SQLITE_GUARDS if db.dialect.name == "sqlite" else (_POSTGRES_GUARD,):
        db.exec_driver_sql(statement)


@dataclass(frozen=True)
class Entry:
    """One decision."""

    number: int
    what: str
    version: str | None
    """The version that the decision is about."""
    from_version: str | None
    to_version: str | None
    """In production before and after, where the decision moved it."""
    who: str
    why: str
    evidence_sha256: str | None
    decided_at: datetime
    """UTC."""
    key: str
    """What makes the decision this one: the same key is never written twice."""


class Ledger:
    """Appends and reads decisions. The database itself refuses to change or to remove one."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, _METADATA, "ledger")
        self.url, self.close = self._database.url, self._database.close

    def append(
        self,
        what: What,
        *,
        key: str,
        who: str,
        why: str,
        version: str | None = None,
        from_version: str | None = None,
        to_version: str | None = None,
        evidence_sha256: str | None = None,
        decided_at: datetime | None = None,
    ) -> Entry:
        """Write one decision (by default of this moment). The same key again changes nothing: what is there stands."""
        if what not in get_args(What) or not who.strip() or not why.strip():
            raise BadInput(
                f"a decision has a kind of {get_args(What)}, a who and a why; got {what!r}, {who!r}, {why!r}"
            )
        row = sa.insert(DECISIONS).values(
            what=what, key=key, who=who, why=why, version=version, from_version=from_version, to_version=to_version,
            evidence_sha256=evidence_sha256, decided_at=_zoned(decided_at or datetime.now(UTC)),
        )  # fmt: skip
        if found := self.find(key):
            return found
        try:
            with self._database.transaction() as db:
                db.execute(row)
        except Unavailable as e:
            if not isinstance(e.__cause__, IntegrityError):  # else another process wrote the key at this moment
                raise
        if written := self.find(key):
            return written
        raise Unavailable(f"the ledger did not keep the decision {key!r}; try again")

    def entries(self, what: What | None = None) -> list[Entry]:
        """All decisions or those of one kind, oldest first."""
        query = sa.select(DECISIONS).order_by(DECISIONS.c.number)
        return self._read(query.where(DECISIONS.c.what == what) if what else query)

    def recent(self, limit: int, what: Collection[What] = ()) -> list[Entry]:
        """The last ``limit`` decisions of these kinds (default: of all), newest first."""
        query = sa.select(DECISIONS).order_by(DECISIONS.c.number.desc()).limit(limit)
        return self._read(query.where(DECISIONS.c.what.in_(what)) if what else query)

    def production(self) -> Entry | None:
        """The decision that made the version now in production so, by the ledger; its ``to_version`` may be none."""
        moves = self._moves().order_by(DECISIONS.c.number.desc()).limit(1)
        return next(iter(self._read(moves)), None)

    def production_at(self, moment: datetime) -> Entry | None:
        """The decision that was in force at a moment; its ``to_version`` was in production. None before the first."""
        newest = (DECISIONS.c.decided_at.desc(), DECISIONS.c.number.desc())
        moves = self._moves().where(DECISIONS.c.decided_at <= _zoned(moment)).order_by(*newest).limit(1)
        return next(iter(self._read(moves)), None)

    def _moves(self) -> sa.Select[Any]:
        return sa.select(DECISIONS).where(DECISIONS.c.what.in_(MOVES))

    def find(self, key: str) -> Entry | None:
        """The decision of a key, or None."""
        return next(iter(self._read(sa.select(DECISIONS).where(DECISIONS.c.key == key))), None)

    def _read(self, query: sa.Select[Any]) -> list[Entry]:
        with self._database.transaction() as db:
            return [Entry(**row._mapping) for row in db.execute(query)]


def _zoned(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise BadInput(f"the time {moment.isoformat()} has no zone: give it one, for example UTC")
    return moment


def moves(entries: Sequence[Entry]) -> list[Entry]:
    """Those after which another version (or none) was in production, in order."""
    return [e for e in entries if e.what in MOVES]


def rolled_back_from(ledger: Ledger, version: str) -> Entry | None:
    """The rollback that took a version out of production or went back past it; None if it went back there since."""
    found, past = None, moves(ledger.entries())
    for at, entry in enumerate(past):
        if entry.to_version == version:
            found = None
        elif entry.what == "rollback" and (entry.from_version == version or version in _gone(past, at)):
            found = entry
    return found


def _gone(past: Sequence[Entry], at: int) -> set[str]:
    """The versions that no longer stand after a move."""
    return {*succession(past[:at])} - {*succession(past[: at + 1])}


def succession(entries: Sequence[Entry]) -> list[str]:
    """Production versions that stand one upon the other, the newest last: each is what the next falls back to.

    A promotion puts a version on top. A rollback, or a version that was moved back by hand, takes off all above it,
    so that going back twice goes further back, not back and forth.
    """
    standing: list[str] = []
    for entry in moves(entries):
        if (version := entry.to_version) is None:
            continue
        if entry.what != "promotion" and version in standing:
            while standing[-1] != version:
                standing.pop()
        elif standing[-1:] != [version]:
            standing.append(version)
    return standing
