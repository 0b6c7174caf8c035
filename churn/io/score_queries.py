"""What is asked of the published scores: tonight's list by filters, a page of it at a time, and one customer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypedDict

import sqlalchemy as sa

from churn.core.reasons import Reason
from churn.io.score_tables import PUBLICATIONS, REASONS, SCORES


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
    reasons: tuple[Reason, ...] = ()
    """The strongest, strongest first; none where the publication has none."""


class Filters(TypedDict, total=False):
    """Which customers of a publication are wanted. What is absent or None does not filter."""

    minimum: float | None
    """Probability from which on."""
    decision: int | None
    """1: those whom a contact is expected to pay for; 0: the others."""
    raised_by: str | None
    """The feature that raises the score most."""
    search: str | None
    """Part of the customer id, in any case."""


_BESIDE = (
    (REASONS.c.as_of == SCORES.c.as_of)
    & (REASONS.c.customer_id == SCORES.c.customer_id)
    & (REASONS.c.model_version == SCORES.c.model_version)
)


def belonging(table: sa.Table, publication: Publication) -> sa.ColumnElement[bool]:
    """The rows of a table that belong to a publication."""
    return (table.c.as_of == publication.as_of) & (table.c.model_version == publication.model_version)


def riskiest(publication: Publication, limit: int, after: Score | None, filters: Filters) -> sa.Select[Any]:
    """Scores with their reasons, riskiest first, ties by customer; those that come after ``after`` in that order."""
    query = sa.select(SCORES, REASONS.c.reasons).outerjoin(REASONS, _BESIDE).where(*_wanted(publication, filters))
    if after is not None:
        risk, customer = SCORES.c.churn_probability, SCORES.c.customer_id
        # The first condition is implied by the second; it is the one that the index understands.
        query = query.where(
            risk <= after.churn_probability, (risk < after.churn_probability) | (customer > after.customer_id)
        )
    return query.order_by(SCORES.c.churn_probability.desc(), SCORES.c.customer_id).limit(limit)


def count(publication: Publication, filters: Filters) -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(SCORES).where(*_wanted(publication, filters))


def newest_of(customer_id: str) -> sa.Select[Any]:
    """The customer's score of the newest night it has one of, with its publication; of several the last published."""
    night = sa.select(sa.func.max(SCORES.c.as_of)).where(SCORES.c.customer_id == customer_id).scalar_subquery()
    columns = (SCORES.c.churn_probability, SCORES.c.churn_prediction, REASONS.c.reasons)
    published = (PUBLICATIONS.c.as_of == SCORES.c.as_of) & (PUBLICATIONS.c.model_version == SCORES.c.model_version)
    return (
        sa.select(PUBLICATIONS, *columns)
        .select_from(SCORES.join(PUBLICATIONS, published).outerjoin(REASONS, _BESIDE))
        .where(SCORES.c.customer_id == customer_id, SCORES.c.as_of == night)
        .order_by(PUBLICATIONS.c.published_at.desc())
        .limit(1)
    )


def storable(text: str) -> bool:
    """PostgreSQL's texts hold no NUL; what has one is nobody's id, nor a part of one."""
    return "\0" not in text


def as_reasons(stored: Sequence[dict[str, Any]] | None) -> tuple[Reason, ...]:
    return tuple(Reason(**reason) for reason in stored or ())


def _wanted(publication: Publication, filters: Filters) -> list[sa.ColumnElement[bool]]:
    found = [belonging(SCORES, publication)]
    if (minimum := filters.get("minimum")) is not None:
        found.append(SCORES.c.churn_probability >= minimum)
    if (decision := filters.get("decision")) is not None:
        found.append(SCORES.c.churn_prediction == decision)
    if (raised_by := filters.get("raised_by")) is not None:
        same = belonging(REASONS, publication) & (REASONS.c.raised_by == raised_by)
        found.append(SCORES.c.customer_id.in_(sa.select(REASONS.c.customer_id).where(same)))
    if search := filters.get("search"):
        part = SCORES.c.customer_id.icontains(search, autoescape=True)
        found.append(part if storable(search) else sa.false())
    return found
