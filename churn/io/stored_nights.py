"""What leaves the score book: nights that are past their time, and customers who are to be forgotten."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from churn.errors import Unavailable
from churn.io.database import Database
from churn.io.locks import PATIENCE
from churn.io.score_tables import METADATA, PUBLISHED, REASONS, SHADOW, Tables

PLACES: Mapping[str, tuple[sa.Table, ...]] = {
    "reasons": (REASONS,),
    "scores": (PUBLISHED.scores, PUBLISHED.publications, SHADOW.scores, SHADOW.publications),
}
"""Tables that a night leaves together: a publication without its scores would be a night with nobody at risk."""
_WITH_CUSTOMERS = (PUBLISHED.scores, SHADOW.scores, REASONS)
_ROW = 60
"""Bytes of a row beside its reasons, about, an index entry included."""


@dataclass(frozen=True)
class StoredNight:
    """What one place holds of one night."""

    as_of: date
    rows: int
    bytes: int
    """About: a database tells the size of tables, not of rows."""


class StoredNights(Database):
    """The score book, for whoever removes something from it."""

    def __init__(self, url: str) -> None:
        super().__init__(url, METADATA, "score book")

    def newest(self) -> date | None:
        """The newest night that was published."""
        with self.transaction() as db:
            return db.execute(sa.select(sa.func.max(PUBLISHED.publications.c.as_of))).scalar_one_or_none()

    def before(self, place: str, day: date) -> list[StoredNight]:
        """The nights of a place before a day, oldest first."""
        found: dict[date, tuple[int, int]] = {}
        with self.transaction() as db:
            for table in PLACES[place]:
                size: Any = sa.func.count() * _ROW
                if table is REASONS:
                    size += sa.func.coalesce(sa.func.sum(sa.func.length(sa.cast(table.c.reasons, sa.Text))), 0)
                nights = sa.select(table.c.as_of, sa.func.count(), size).where(table.c.as_of < day)
                for as_of, rows, held in db.execute(nights.group_by(table.c.as_of)):
                    before = found.get(as_of, (0, 0))
                    found[as_of] = before[0] + rows, before[1] + int(held)
        return [StoredNight(as_of, *found[as_of]) for as_of in sorted(found)]

    def remove(self, place: str, as_of: date) -> None:
        """One night, in one transaction."""
        with self.transaction() as db:
            for table in PLACES[place]:
                db.execute(sa.delete(table).where(table.c.as_of == as_of))

    def customers(self) -> set[str]:
        """Everybody of whom there is a row."""
        found: set[str] = set()
        with self.transaction() as db:
            for table in _WITH_CUSTOMERS:
                found.update(db.execute(sa.select(table.c.customer_id).distinct()).scalars())
        return found

    def drop(self, customers: Collection[str]) -> dict[str, int]:
        """Remove these customers' rows of all nights; how many of each table.

        In one transaction, and each publication says from then on what it still holds.
        """
        removed = {}
        with self.transaction() as db:
            for tables in (PUBLISHED, SHADOW):
                theirs = tables.scores.c.customer_id.in_(customers)
                nights = db.execute(
                    sa.select(tables.scores.c.as_of, tables.scores.c.model_version).where(theirs).distinct()
                ).all()
                for table in (t for t in (tables.scores, tables.reasons) if t is not None):
                    gone = db.execute(sa.delete(table).where(table.c.customer_id.in_(customers))).rowcount
                    removed[table.name] = int(gone)
                for as_of, version in nights:
                    _count_again(db, tables, as_of, version)
        return removed

    def compact(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Write the tables anew, so that what was removed is not in the database's files any more.

        Readers of PostgreSQL wait meanwhile. Raises Unavailable where others do not let it come to its end: again then.
        """
        progress("writing the score book anew, without what was removed")
        with self.transaction():  # connects, and says so in our words where nothing answers
            pass
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
                _compacted(db)
        except sa.exc.DBAPIError as e:
            raise Unavailable(
                "rows were removed, but the score book could not be written anew without their bytes "
                f"({type(e.orig).__name__}): run it again when fewer others are at it"
            ) from e


def _compacted(db: sa.Connection) -> None:
    if db.dialect.name != "sqlite":
        db.execute(sa.text(f"set lock_timeout = {int(PATIENCE * 1000)}"))
        for table in _WITH_CUSTOMERS:
            db.execute(sa.text(f"vacuum (full, analyze) {table.name}"))
        # Its figures hold values of the columns. Who owns the tables only is refused by a warning; the live figures
        # are new by then, and the old ones go with the server's own vacuum.
        db.execute(sa.text("vacuum (full) pg_statistic"))
        return
    db.execute(sa.text("vacuum"))
    end = time.monotonic() + PATIENCE
    while db.execute(sa.text("pragma wal_checkpoint(truncate)")).one()[0]:  # somebody reads what is older
        if time.monotonic() > end:
            raise Unavailable("readers keep the score book's write-ahead log from being emptied: run it again later")
        time.sleep(0.2)


def _count_again(db: sa.Connection, tables: Tables, as_of: date, version: str) -> None:
    scores, publications = tables.scores, tables.publications
    figures = sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(scores.c.churn_prediction), 0),
        sa.func.coalesce(sa.func.avg(scores.c.churn_probability), 0.0),
    ).where(scores.c.as_of == as_of, scores.c.model_version == version)
    customers, predicted, mean = db.execute(figures).one()
    db.execute(
        sa.update(publications)
        .where(publications.c.as_of == as_of, publications.c.model_version == version)
        .values(customers=customers, predicted_to_churn=int(predicted), mean_probability=float(mean))
    )


def total(removed: Iterable[StoredNight]) -> tuple[int, int]:
    """Rows and bytes."""
    nights = list(removed)
    return sum(night.rows for night in nights), sum(night.bytes for night in nights)
