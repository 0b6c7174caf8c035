"""Score: the Production model's probability for every customer at risk, and why, published in one transaction.

The challenger's, where one waits, is stored beside it: evidence for the next comparison that costs a second.
"""

from contextlib import closing
from dataclasses import dataclass
from datetime import date

import pandas as pd
import pyarrow.parquet as pq

from churn.errors import BadInput, ChurnError, NotReady
from churn.io.lake import Lake
from churn.io.registry import ModelVersion, Registry
from churn.io.scorebook import KEPT_REASONS, Publication, ScoreBook
from churn.settings import Settings
from churn.steps.build_features import build_features
from churn.steps.reconcile import reconcile
from churn.steps.validate_features import validate_features


@dataclass(frozen=True)
class ScoreReport:
    """What was published."""

    as_of: str
    model_version: str
    model: str
    """Which model of the version: full, or core where it has none that takes the features of today's code."""
    customers: int
    predicted_to_churn: int
    mean_probability: float
    threshold: float
    published_at: str
    shadow_version: str | None
    """The challenger whose scores were stored beside these."""
    shadow: str
    """What came of it, or why there is none."""
    ledger_behind: str | None
    """Why the ledger could not be brought up to what is in production; None: it was."""


def score(settings: Settings, as_of: date) -> ScoreReport:
    """The whole night as one command: features, their validation, scores."""
    build_features(settings, as_of)
    validate_features(settings, as_of)
    return publish_scores(settings, as_of)


def publish_scores(settings: Settings, as_of: date) -> ScoreReport:
    """Score the features of ``as_of`` and publish. The same date again gives the same rows.

    Raises NotReady without features or without a Production model, BadInput where the model knows the outcomes. A
    challenger that cannot be scored, or a ledger that cannot be brought up to date, is a line in the report, never a
    failure.
    """
    path = Lake(settings.data_home).features(as_of)
    if not path.is_file():
        raise NotReady(f"there are no features as of {as_of}: run `churn features --as-of {as_of}` first")
    ledger_behind = _reconciled(settings)
    registry = Registry(settings)
    production = registry.production()
    if production is None:
        raise NotReady("no model is in production: run `churn train` (or the DAG retrain_model) first")
    if hindsight := _hindsight(production, as_of):
        known = production.tags["holdout_snapshot"]
        raise BadInput(f"{hindsight}. Score {known} or later, or train and promote a model as of an earlier date")
    features = pq.ParquetFile(path).read().to_pandas()
    with closing(ScoreBook(settings.score_database)) as book:
        name, published = _publish(registry, book, production, features, as_of)
        shadow_version, shadow = _shadow(registry, book, features, as_of)
    return ScoreReport(
        as_of=str(as_of),
        model_version=published.model_version,
        model=name,
        customers=published.customers,
        predicted_to_churn=published.predicted_to_churn,
        mean_probability=round(published.mean_probability, 6),
        threshold=published.threshold,
        published_at=published.published_at.isoformat(timespec="seconds"),
        shadow_version=shadow_version,
        shadow=shadow,
        ledger_behind=ledger_behind,
    )


def _reconciled(settings: Settings) -> str | None:
    """Why the registry and the ledger could not be reconciled; whatever moves a version next tries again."""
    try:
        reconcile(settings)
    except ChurnError as e:
        return f"{type(e).__name__}: {e}"
    return None


def _publish(
    registry: Registry,
    book: ScoreBook,
    version: ModelVersion,
    features: pd.DataFrame,
    as_of: date,
    shadow: bool = False,
) -> tuple[str, Publication]:
    """Which of the version's models scored, and what was published."""
    name, model = registry.load(version).best_for(list(features.columns))
    probability = model.predict_proba(features)
    return name, book.publish(
        as_of,
        version.version,
        features["customer_id"].tolist(),
        probability,
        model.decide(probability),
        threshold=model.threshold,
        # Nobody reads why a challenger would have said what it says, and they take most of the time.
        reasons=None if shadow else model.reasons(features, KEPT_REASONS),
        shadow=shadow,
    )


def _shadow(registry: Registry, book: ScoreBook, features: pd.DataFrame, as_of: date) -> tuple[str | None, str]:
    """The challenger that was scored too, and what came of it."""
    try:
        challenger = registry.staging()
        if challenger is None:
            return None, "no challenger waits at stage Staging"
        if hindsight := _hindsight(challenger, as_of):
            return None, hindsight
        _, published = _publish(registry, book, challenger, features, as_of, shadow=True)
    except Exception as e:  # whatever a challenger does, the night's scores stand
        return None, f"the challenger could not be scored: {type(e).__name__}: {e}"
    mean = f"{published.mean_probability:.4f}"
    return challenger.version, f"version {challenger.version} would have said {mean} on average"


def _hindsight(version: ModelVersion, as_of: date) -> str | None:
    """A model knows the outcomes up to its hold-out: what it says of an earlier date is no forecast."""
    known = version.tags.get("holdout_snapshot", "")
    if str(as_of) >= known:
        return None
    return (
        f"version {version.version} was trained on outcomes up to {known}: its scores as of {as_of} would be hindsight"
    )
