"""The score book: published scores in a SQL database, SQLite by default, PostgreSQL by URL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from churn.errors import BadInput
from churn.io.database import Database, UtcTime

if TYPE_CHECKING:
    import pandas as pd

_METADATA = sa.MetaData()


class _Tables(NamedTuple):
    """Scores, and one row for each publication of them."""

    scores: sa.Table
    publications: sa.Table


def _tables(prefix: str) -> _Tables:
    scores = sa.Table(
        f"{prefix}scores",
        _METADATA,
        sa.Column("as_of", sa.Date, primary_key=True),
        sa.Column("customer_id", sa.String, primary_key=True),
        sa.Column("model_version", sa.String, primary_key=True),
        sa.Column("churn_probability", sa.Float(53), nullable=False),
        sa.Column("churn_prediction", sa.Integer, nullable=False),
        # The page asks for the riskiest of one night.
        sa.Index(f"{prefix}scores_by_risk", "as_of", "model_version", "churn_probability"),
    )
    publications = sa.Table(
        f"{prefix}publications",
        _METADATA,
        sa.Column("as_of", sa.Date, primary_key=True),
        sa.Column("model_version", sa.String, primary_key=True),
        sa.Column("customers", sa.Integer, nullable=False),
        sa.Column("predicted_to_churn", sa.Integer, nullable=False),
        sa.Column("mean_probability", sa.Float(53), nullable=False),
        sa.Column("threshold", sa.Float(53), nullable=False),
        sa.Column("published_at", UtcTime, nullable=False),
    )
    return _Tables(scores, publications)


SCORES, PUBLICATIONS = _PUBLISHED = _tables("")
SHADOW_SCORES, SHADOW_PUBLICATIONS = _SHADOW = _tables("shadow_")
"""What the challenger would have said of the same customers. Nothing that is shown or acted upon reads it."""


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
        self._database = Database(url, _METADATA, "score book")
        self.url, self.close = self._database.url, self._database.close

    def publish(
        self,
        as_of: date,
        model_version: str,
        customer_ids: Sequence[str],
        probability: NDArray[np.float64],
        prediction: NDArray[np.int64],
        *,
        threshold: float,
        shadow: bool = False,
    ) -> Publication:
        """Replace the scores of (``as_of``, ``model_version``) by these, in one transaction.

        The same scores again leave every row and the time of publication as they are. ``shadow``: beside the published
        ones, where neither ``latest`` nor ``top`` looks.
        """
        tables = _SHADOW if shadow else _PUBLISHED
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
        with self._database.transaction() as db:
            known = _publication(db, tables, as_of, model_version)
            if known and known.threshold == threshold and _scores(db, tables, known) == scores:
                return _published_again(db, tables, known, publication)
            _replace(db, tables, publication, scores)
        return publication

    def latest(self) -> Publication | None:
        """The newest night's publication; of several for the same night, the last one published."""
        with self._database.transaction() as db:
            return _newest(db, _PUBLISHED)

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
        with self._database.transaction() as db:
            return [Score(**row._mapping) for row in db.execute(query)]

    def publications(
        self, *, shadow: bool = False, since: date | None = None, until: date | None = None
    ) -> list[Publication]:
        """All publications of the nights from ``since`` to ``until``, both included, oldest first."""
        table = (_SHADOW if shadow else _PUBLISHED).publications
        query = sa.select(table).order_by(table.c.as_of, table.c.published_at)
        if since is not None:
            query = query.where(table.c.as_of >= since)
        if until is not None:
            query = query.where(table.c.as_of <= until)
        with self._database.transaction() as db:
            return [Publication(**row._mapping) for row in db.execute(query)]

    def scores(self, publication: Publication, *, shadow: bool = False) -> "pd.DataFrame":
        """``customer_id``, ``churn_probability`` and ``churn_prediction`` of a publication, by customer."""
        import pandas as pd  # here, so that the API, which needs it for no request, does not wait for it

        table = (_SHADOW if shadow else _PUBLISHED).scores
        columns = (table.c.customer_id, table.c.churn_probability, table.c.churn_prediction)
        query = sa.select(*columns).where(_of(table, publication))
        with self._database.transaction() as db:
            rows = sorted(tuple(row) for row in db.execute(query))  # here: databases sort text each in their own way
        customers, probability, prediction = zip(*rows, strict=True) if rows else ((), (), ())
        return pd.DataFrame(
            {
                "customer_id": pd.Series(customers, dtype="str"),
                "churn_probability": np.array(probability, dtype=np.float64),
                "churn_prediction": np.array(prediction, dtype=np.int64),
            }
        )


def _of(table: sa.Table, publication: Publication) -> sa.ColumnElement[bool]:
    """The rows of a table that belong to a publication."""
    return (table.c.as_of == publication.as_of) & (table.c.model_version == publication.model_version)


def _published_again(db: sa.Connection, tables: _Tables, known: Publication, again: Publication) -> Publication:
    """Equal scores: nothing to do, unless another version has published this night since."""
    newest = _newest(db, tables)
    if newest is None or newest.as_of != known.as_of or newest.model_version == known.model_version:
        return known
    table = tables.publications
    db.execute(sa.update(table).where(_of(table, known)).values(published_at=again.published_at))
    return again


def _replace(
    db: sa.Connection, tables: _Tables, publication: Publication, scores: Mapping[str, tuple[float, int]]
) -> None:
    for table in tables:
        db.execute(sa.delete(table).where(_of(table, publication)))
    night = {"as_of": publication.as_of, "model_version": publication.model_version}
    if scores:
        rows = [
            night | {"customer_id": customer, "churn_probability": p, "churn_prediction": d}
            for customer, (p, d) in scores.items()
        ]
        db.execute(sa.insert(tables.scores), rows)
    db.execute(sa.insert(tables.publications).values(**vars(publication)))


def _newest(db: sa.Connection, tables: _Tables) -> Publication | None:
    table = tables.publications
    query = sa.select(table).order_by(table.c.as_of.desc(), table.c.published_at.desc()).limit(1)
    row = db.execute(query).one_or_none()
    return Publication(**row._mapping) if row else None


def _publication(db: sa.Connection, tables: _Tables, as_of: date, model_version: str) -> Publication | None:
    table = tables.publications
    query = sa.select(table).where(table.c.as_of == as_of, table.c.model_version == model_version)
    row = db.execute(query).one_or_none()
    return Publication(**row._mapping) if row else None


def _scores(db: sa.Connection, tables: _Tables, of: Publication) -> dict[str, tuple[float, int]]:
    table = tables.scores
    columns = (table.c.customer_id, table.c.churn_probability, table.c.churn_prediction)
    return {customer: (p, d) for customer, p, d in db.execute(sa.select(*columns).where(_of(table, of)))}
