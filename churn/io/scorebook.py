"""The score book: published scores in a SQL database, SQLite by default, PostgreSQL by URL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from churn.errors import BadInput, Unavailable

_METADATA = sa.MetaData()

SCORES = sa.Table(
    "scores",
    _METADATA,
    sa.Column("as_of", sa.Date, primary_key=True),
    sa.Column("customer_id", sa.String, primary_key=True),
    sa.Column("model_version", sa.String, primary_key=True),
    sa.Column("churn_probability", sa.Float(53), nullable=False),
    sa.Column("churn_prediction", sa.Integer, nullable=False),
    # The page asks for the riskiest of one night.
    sa.Index("scores_by_risk", "as_of", "model_version", "churn_probability"),
)

PUBLICATIONS = sa.Table(
    "publications",
    _METADATA,
    sa.Column("as_of", sa.Date, primary_key=True),
    sa.Column("model_version", sa.String, primary_key=True),
    sa.Column("customers", sa.Integer, nullable=False),
    sa.Column("predicted_to_churn", sa.Integer, nullable=False),
    sa.Column("mean_probability", sa.Float(53), nullable=False),
    sa.Column("threshold", sa.Float(53), nullable=False),
    sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
)


@dataclass(frozen=True)
class Publication:
    """One night's scores by one model version."""

    as_of: date
    model_version: str
    customers: int
    predicted_to_churn: int
    mean_probability: float
    threshold: float
    published_at: datetime


@dataclass(frozen=True)
class Score:
    """One customer's published score."""

    as_of: date
    customer_id: str
    model_version: str
    churn_probability: float
    churn_prediction: int


class ScoreBook:
    """Reads and publishes scores. Every publication is one transaction."""

    def __init__(self, url: str) -> None:
        try:
            self.url = sa.make_url(url)
            if self.url.drivername in ("postgresql", "postgres"):  # psycopg 3 is the driver that is installed
                self.url = self.url.set(drivername="postgresql+psycopg")
            self.url.get_dialect()
        except SQLAlchemyError as e:
            raise BadInput(
                f"the score book's address cannot be used ({e}): write sqlite:///path or postgresql://user@host/database"
            ) from e

    def close(self) -> None:
        """Give back the connections."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    def publish(
        self,
        as_of: date,
        model_version: str,
        customer_ids: Sequence[str],
        probability: NDArray[np.float64],
        prediction: NDArray[np.int64],
        *,
        threshold: float,
    ) -> Publication:
        """Replace the scores of (``as_of``, ``model_version``) by these, in one transaction.

        The same scores again leave every row and the time of publication as they are.
        """
        scores = {
            customer: (float(p), int(d)) for customer, p, d in zip(customer_ids, probability, prediction, strict=True)
        }
        if len(scores) != len(customer_ids):
            raise BadInput(f"{len(customer_ids) - len(scores)} customers would be scored twice as of {as_of}")
        publication = Publication(
            as_of=as_of,
            model_version=model_version,
            customers=len(scores),
            predicted_to_churn=int(prediction.sum()),
            mean_probability=float(probability.mean()) if len(scores) else 0.0,
            threshold=threshold,
            published_at=datetime.now(UTC),
        )
        with self._transaction() as db:
            known = self._publication(db, as_of, model_version)
            if known and known.threshold == threshold and self._scores(db, known) == scores:
                return self._published_again(db, known, publication)
            self._replace(db, publication, scores)
        return publication

    def _published_again(self, db: sa.Connection, known: Publication, again: Publication) -> Publication:
        """Equal scores: nothing to do, unless another version has published this night since."""
        newest = self._newest(db)
        if newest is None or newest.as_of != known.as_of or newest.model_version == known.model_version:
            return known
        db.execute(sa.update(PUBLICATIONS).where(_of(PUBLICATIONS, known)).values(published_at=again.published_at))
        return again

    def _replace(self, db: sa.Connection, publication: Publication, scores: Mapping[str, tuple[float, int]]) -> None:
        for table in (SCORES, PUBLICATIONS):
            db.execute(sa.delete(table).where(_of(table, publication)))
        night = {"as_of": publication.as_of, "model_version": publication.model_version}
        if scores:
            rows = [
                night | {"customer_id": customer, "churn_probability": p, "churn_prediction": d}
                for customer, (p, d) in scores.items()
            ]
            db.execute(sa.insert(SCORES), rows)
        db.execute(sa.insert(PUBLICATIONS).values(**vars(publication)))

    def latest(self) -> Publication | None:
        """The newest night's publication; of several for the same night, the last one published."""
        with self._transaction() as db:
            return self._newest(db)

    def top(self, limit: int, of: Publication | None = None) -> list[Score]:
        """The ``limit`` riskiest customers of a publication (default: the latest), riskiest first; ties by customer."""
        if (of := of or self.latest()) is None:
            return []
        query = (
            sa.select(SCORES)
            .where(_of(SCORES, of))
            .order_by(SCORES.c.churn_probability.desc(), SCORES.c.customer_id)
            .limit(limit)
        )
        with self._transaction() as db:
            return [Score(**row._mapping) for row in db.execute(query)]

    def _newest(self, db: sa.Connection) -> Publication | None:
        order = (PUBLICATIONS.c.as_of.desc(), PUBLICATIONS.c.published_at.desc())
        row = db.execute(sa.select(PUBLICATIONS).order_by(*order).limit(1)).one_or_none()
        return _publication(row) if row else None

    def _publication(self, db: sa.Connection, as_of: date, model_version: str) -> Publication | None:
        row = db.execute(
            sa.select(PUBLICATIONS).where(PUBLICATIONS.c.as_of == as_of, PUBLICATIONS.c.model_version == model_version)
        ).one_or_none()
        return _publication(row) if row else None

    def _scores(self, db: sa.Connection, of: Publication) -> dict[str, tuple[float, int]]:
        columns = (SCORES.c.customer_id, SCORES.c.churn_probability, SCORES.c.churn_prediction)
        return {customer: (p, d) for customer, p, d in db.execute(sa.select(*columns).where(_of(SCORES, of)))}

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as db:
                yield db
        except (DBAPIError, OSError) as e:
            where = self.url.render_as_string(hide_password=True)
            raise Unavailable(f"the score book at {where} did not answer: {_first_line(e)}") from e

    @cached_property
    def _engine(self) -> sa.Engine:
        """Connects, and creates the tables that are not there yet."""
        if self.url.drivername.startswith("sqlite"):
            Path(self.url.database or ".").parent.mkdir(parents=True, exist_ok=True)
            # 30 s: a night's publication may hold the write lock while another one waits.
            engine = sa.create_engine(self.url, connect_args={"timeout": 30})
            sa.event.listen(engine, "connect", _write_ahead)
        else:
            engine = sa.create_engine(self.url, pool_pre_ping=True)
        for attempt in range(3):
            try:
                _METADATA.create_all(engine)
                break
            except DBAPIError:  # another process makes the tables at this very moment: look again
                if attempt == 2:
                    engine.dispose()
                    raise
        return engine


def _of(table: sa.Table, publication: Publication) -> sa.ColumnElement[bool]:
    """The rows of a table that belong to a publication."""
    return (table.c.as_of == publication.as_of) & (table.c.model_version == publication.model_version)


def _write_ahead(connection: Any, _: Any) -> None:
    """Readers (the API) go on while a publication is written."""
    connection.execute("pragma journal_mode=wal")


def _publication(row: Any) -> Publication:
    values = dict(row._mapping)
    if values["published_at"].tzinfo is None:  # SQLite keeps no time zone; the times are UTC
        values["published_at"] = values["published_at"].replace(tzinfo=UTC)
    return Publication(**values)


def _first_line(error: DBAPIError | OSError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return str(cause).strip().splitlines()[0]
