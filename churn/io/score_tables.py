"""The score book's tables: scores, their reasons, and one row for each publication of them."""

from typing import Any, NamedTuple

import sqlalchemy as sa

from churn.io.database import UtcTime

METADATA = sa.MetaData()


class Tables(NamedTuple):
    """Scores, and one row for each publication of them; reasons stand beside what is published, not the shadow."""

    scores: sa.Table
    publications: sa.Table
    reasons: sa.Table | None


def _scores(prefix: str) -> sa.Table:
    return sa.Table(
        f"{prefix}scores",
        METADATA,
        sa.Column("as_of", sa.Date, primary_key=True),
        sa.Column("customer_id", sa.String, primary_key=True),
        sa.Column("model_version", sa.String, primary_key=True),
        sa.Column("churn_probability", sa.Float(53), nullable=False),
        sa.Column("churn_prediction", sa.Integer, nullable=False),
        # The page asks for the riskiest of one night.
        sa.Index(f"{prefix}scores_by_risk", "as_of", "model_version", "churn_probability"),
    )


def _publications(prefix: str) -> sa.Table:
    return sa.Table(
        f"{prefix}publications",
        METADATA,
        sa.Column("as_of", sa.Date, primary_key=True),
        sa.Column("model_version", sa.String, primary_key=True),
        sa.Column("customers", sa.Integer, nullable=False),
        sa.Column("predicted_to_churn", sa.Integer, nullable=False),
        sa.Column("mean_probability", sa.Float(53), nullable=False),
        sa.Column("threshold", sa.Float(53), nullable=False),
        sa.Column("published_at", UtcTime, nullable=False),
    )


REASONS = sa.Table(
    "reasons",
    METADATA,
    sa.Column("as_of", sa.Date, primary_key=True),
    sa.Column("customer_id", sa.String, primary_key=True),
    sa.Column("model_version", sa.String, primary_key=True),
    sa.Column("raised_by", sa.String),
    sa.Column("reasons", sa.JSON, nullable=False),
    # Who is on tonight's list for one reason, without reading everybody's.
    sa.Index("reasons_by_feature", "as_of", "model_version", "raised_by", "customer_id"),
)
"""A table of its own, so that a database of before has it too: ``create_all`` makes tables, it does not change them."""

SCORES, PUBLICATIONS, _ = PUBLISHED = Tables(_scores(""), _publications(""), REASONS)
SHADOW_SCORES, SHADOW_PUBLICATIONS, _ = SHADOW = Tables(_scores("shadow_"), _publications("shadow_"), None)
"""What the challenger would have said of the same customers. Nothing that is shown or acted upon reads it."""

_BY_CUSTOMER = sa.Index("scores_by_customer", SCORES.c.customer_id, SCORES.c.as_of)
"""The last night of one customer, however many nights there are."""


@sa.event.listens_for(METADATA, "after_create")
def _index(_: sa.MetaData, db: sa.Connection, **__: Any) -> None:
    """A table of before has the index from now on."""
    _BY_CUSTOMER.create(db, checkfirst=True)
