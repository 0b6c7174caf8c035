"""The score book: published scores in a SQL database, SQLite by default, PostgreSQL by URL."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from churn.core.arrays import Floats
from churn.core.reasons import Reason
from churn.errors import BadInput, NotReady
from churn.io import score_queries
from churn.io.database import Database
from churn.io.score_queries import Filters, Publication, Score, as_reasons, belonging
from churn.io.score_tables import METADATA, PUBLICATIONS, PUBLISHED, REASONS, SCORES, SHADOW, Tables

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KEPT_REASONS", "PUBLICATIONS", "REASONS", "SCORES", "Filters", "Publication", "Score", "ScoreBook"]

KEPT_REASONS = 5
"""Of each customer, the strongest. Those of 17,772 customers take 15 MB a night."""
_PAGE = 1000
"""Rows that are read at a time where all are wanted."""
_BATCH = 5_000
"""Rows that are written at a time. What is made of a customer for it takes kilobytes, and is gone before the next."""


class _Why(NamedTuple):
    """One customer's reasons as they are stored."""

    raised_by: str | None
    reasons: list[dict[str, Any]]


class ScoreBook:
    """Reads and publishes scores. Every publication is one transaction."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, METADATA, "score book")
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
        reasons: Iterable[tuple[Reason, ...]] | None = None,
        shadow: bool = False,
    ) -> Publication:
        """Replace the scores of (``as_of``, ``model_version``) by these, in one transaction.

        The same scores again leave every row and the time of publication as they are; reasons that differ from those
        stored are put in their place, and ``None`` leaves them. Each customer's ``reasons`` come strongest first; they
        may be gone through twice, and are not held all at a time.
        ``shadow``: beside the published ones, where nothing that is shown looks; without reasons.
        """
        tables = SHADOW if shadow else PUBLISHED
        scores = {
            customer: (float(p), int(d)) for customer, p, d in zip(customer_ids, probability, prediction, strict=True)
        }
        if len(scores) != len(customer_ids):
            raise BadInput(f"{len(customer_ids) - len(scores)} customers would be scored twice as of {as_of}")
        if shadow and reasons is not None:
            raise BadInput("the scores of a shadow carry no reasons")
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
                if reasons is not None and not _explained(db, known, customer_ids, reasons):
                    _explain(db, known, customer_ids, reasons)
                    _analyze(db)
                return _published_again(db, tables, known, publication)
            _replace(db, tables, publication, scores)
            if reasons is not None:
                _explain(db, publication, customer_ids, reasons)
            if not shadow:
                _analyze(db)
        return publication

    def latest(self) -> Publication | None:
        """The newest night's publication; of several for the same night, the last one published."""
        with self._database.transaction() as db:
            return _newest(db, PUBLISHED)

    def top(self, limit: int, of: Publication | None = None, **filters: Unpack[Filters]) -> list[Score]:
        """The ``limit`` riskiest customers of a publication (default: the latest) that pass the filters, with reasons.

        Riskiest first; ties by customer.
        """
        if (of := of or self.latest()) is None:
            return []
        with self._database.transaction() as db:
            return _page(db, of, limit, None, filters)

    def pages(self, of: Publication, limit: int | None = None, **filters: Unpack[Filters]) -> Iterator[list[Score]]:
        """As ``top``, all or ``limit`` of them, a page at a time. Nothing is held open between two pages.

        Raises NotReady where the night is published anew meanwhile: half of one list and half of another is none.
        """
        left, last = limit, None
        while True:
            size = _PAGE if left is None else min(_PAGE, left)
            with self._database.transaction() as db:
                page = _page(db, of, size, last, filters)
                if _publication(db, PUBLISHED, of.as_of, of.model_version) != of:  # asked after the rows were read
                    raise NotReady(f"the scores as of {of.as_of} were published anew while they were read: ask again")
            yield page
            left = None if left is None else left - len(page)
            if len(page) < size or left == 0:
                return
            last = page[-1]

    def matching(self, of: Publication, **filters: Unpack[Filters]) -> int:
        """How many customers of a publication pass the filters."""
        with self._database.transaction() as db:
            return int(db.execute(score_queries.count(of, filters)).scalar_one())

    def customer(self, customer_id: str) -> tuple[Publication, Score] | None:
        """The customer's score in the newest night that has one, of several publications the last; None without any."""
        if not score_queries.storable(customer_id):
            return None
        with self._database.transaction() as db:
            row = db.execute(score_queries.newest_of(customer_id)).one_or_none()
        if row is None:
            return None
        *published, probability, prediction, why = row
        publication = Publication(*published)
        night = (publication.as_of, customer_id, publication.model_version)
        return publication, Score(*night, probability, prediction, as_reasons(why))

    def profile(self, of: Publication) -> Floats:
        """The probabilities of a publication (n,), ascending."""
        query = sa.select(SCORES.c.churn_probability).where(belonging(SCORES, of))
        with self._database.transaction() as db:
            return np.sort(np.array(db.execute(query).scalars().all(), dtype=np.float64))

    def publications(
        self, *, shadow: bool = False, since: date | None = None, until: date | None = None
    ) -> list[Publication]:
        """All publications of the nights from ``since`` to ``until``, both included, oldest first."""
        table = (SHADOW if shadow else PUBLISHED).publications
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

        table = (SHADOW if shadow else PUBLISHED).scores
        columns = (table.c.customer_id, table.c.churn_probability, table.c.churn_prediction)
        query = sa.select(*columns).where(belonging(table, publication))
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


def _page(db: sa.Connection, of: Publication, limit: int, after: Score | None, filters: Filters) -> list[Score]:
    rows = db.execute(score_queries.riskiest(of, limit, after, filters)).all()
    return [Score(**{**row._mapping, "reasons": as_reasons(row.reasons)}) for row in rows]


def _published_again(db: sa.Connection, tables: Tables, known: Publication, again: Publication) -> Publication:
    """Equal scores: nothing to do, unless another version has published this night since."""
    newest = _newest(db, tables)
    if newest is None or newest.as_of != known.as_of or newest.model_version == known.model_version:
        return known
    table = tables.publications
    db.execute(sa.update(table).where(belonging(table, known)).values(published_at=again.published_at))
    return again


def _replace(
    db: sa.Connection, tables: Tables, publication: Publication, scores: Mapping[str, tuple[float, int]]
) -> None:
    for table in (table for table in tables if table is not None):
        db.execute(sa.delete(table).where(belonging(table, publication)))
    night = {"as_of": publication.as_of, "model_version": publication.model_version}
    left = iter(scores.items())
    while batch := list(islice(left, _BATCH)):
        rows = [
            night | {"customer_id": customer, "churn_probability": p, "churn_prediction": d}
            for customer, (p, d) in batch
        ]
        db.execute(sa.insert(tables.scores), rows)
    db.execute(sa.insert(tables.publications).values(**vars(publication)))


def _newest(db: sa.Connection, tables: Tables) -> Publication | None:
    table = tables.publications
    query = sa.select(table).order_by(table.c.as_of.desc(), table.c.published_at.desc()).limit(1)
    row = db.execute(query).one_or_none()
    return Publication(**row._mapping) if row else None


def _publication(db: sa.Connection, tables: Tables, as_of: date, model_version: str) -> Publication | None:
    table = tables.publications
    query = sa.select(table).where(table.c.as_of == as_of, table.c.model_version == model_version)
    row = db.execute(query).one_or_none()
    return Publication(**row._mapping) if row else None


def _scores(db: sa.Connection, tables: Tables, of: Publication) -> dict[str, tuple[float, int]]:
    table = tables.scores
    columns = (table.c.customer_id, table.c.churn_probability, table.c.churn_prediction)
    return {customer: (p, d) for customer, p, d in db.execute(sa.select(*columns).where(belonging(table, of)))}


def _why(reasons: tuple[Reason, ...]) -> _Why:
    raising = max(reasons, key=lambda reason: reason.contribution, default=None)
    kept = [dict(vars(reason)) for reason in reasons[:KEPT_REASONS]]
    return _Why(raising.feature if raising and raising.contribution > 0 else None, kept)


def _explain(
    db: sa.Connection, publication: Publication, customer_ids: Sequence[str], reasons: Iterable[tuple[Reason, ...]]
) -> None:
    db.execute(sa.delete(REASONS).where(belonging(REASONS, publication)))
    night = {"as_of": publication.as_of, "model_version": publication.model_version}
    for batch in _batches(customer_ids, reasons):
        db.execute(sa.insert(REASONS), [night | {"customer_id": c} | why._asdict() for c, why in batch.items()])


def _explained(
    db: sa.Connection, of: Publication, customer_ids: Sequence[str], reasons: Iterable[tuple[Reason, ...]]
) -> bool:
    """Whether these very reasons are stored already."""
    count = sa.select(sa.func.count()).select_from(REASONS).where(belonging(REASONS, of))
    return db.execute(count).scalar_one() == len(customer_ids) and all(
        _reasons(db, of, list(batch)) == batch for batch in _batches(customer_ids, reasons)
    )


def _batches(customer_ids: Sequence[str], reasons: Iterable[tuple[Reason, ...]]) -> Iterator[dict[str, _Why]]:
    left = zip(customer_ids, reasons, strict=True)
    while batch := {customer: _why(given) for customer, given in islice(left, _BATCH)}:
        yield batch


def _analyze(db: sa.Connection) -> None:
    """PostgreSQL takes a night that it has not measured for a row or two, and joins it by a loop in a loop.

    The list by reason takes seconds then, until its autovacuum comes round. SQLite needs no figures to go by an index.
    """
    if db.dialect.name == "postgresql":
        db.execute(sa.text(f"analyze {SCORES.name}, {REASONS.name}"))


def _reasons(db: sa.Connection, of: Publication, customer_ids: Sequence[str]) -> dict[str, _Why]:
    columns = (REASONS.c.customer_id, REASONS.c.raised_by, REASONS.c.reasons)
    rows = db.execute(sa.select(*columns).where(belonging(REASONS, of), REASONS.c.customer_id.in_(customer_ids)))
    return {customer: _Why(raised_by, reasons) for customer, raised_by, reasons in rows}
