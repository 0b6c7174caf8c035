"""Score: the Production model's probability for every customer at risk, and why, published in one transaction.

The challenger's, where one waits, is stored beside it: evidence for the next comparison that costs a second.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from functools import cache

import pandas as pd
import pyarrow.parquet as pq

from churn.errors import ChurnError
from churn.io.engines.chosen import Scorer, scorer_of
from churn.io.lake import Lake
from churn.io.registry import ModelVersion, Registry
from churn.io.score_shards import Shard, remove_shards
from churn.io.scorebook import Publication, ScoreBook
from churn.settings import Settings
from churn.steps.build_features import build_features
from churn.steps.forecaster import forecaster, hindsight
from churn.steps.reconcile import reconcile
from churn.steps.score_shards import features_of, gather, scored
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


def publish_scores(settings: Settings, as_of: date, shards: Sequence[Shard] = ()) -> ScoreReport:
    """Score the features of ``as_of`` and publish. The same date again gives the same rows.

    ``shards``: those of a plan, scored before and gathered here. The rows are the same as without.

    Raises NotReady without features or without a Production model, BadInput where the model knows the outcomes. A
    challenger that cannot be scored, or a ledger that cannot be brought up to date, is a line in the report, never a
    failure.
    """
    path = features_of(settings, as_of)
    ledger_behind = _reconciled(settings)
    registry = Registry(settings)
    version = registry.version(shards[0].model_version) if shards else forecaster(registry, as_of)
    name, model = registry.load(version).best_for(pq.read_schema(path).names)
    features = cache(lambda: pq.ParquetFile(path).read().to_pandas())
    with scorer_of(settings, path) as scorer, closing(ScoreBook(settings.score_database)) as book:
        found = (gather(settings, tuple(shards)) if shards else None) or scored(model, features(), scorer)
        published = book.publish(
            as_of,
            version.version,
            found.customer_ids,
            found.probability,
            model.decide(found.probability),
            threshold=model.threshold,
            reasons=found.reasons,
        )
        shadow_version, shadow = _shadow(registry, book, features, as_of, scorer)
    if shards:
        remove_shards(Lake(settings.data_home), shards[0])
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


def _shadow(
    registry: Registry, book: ScoreBook, features: Callable[[], pd.DataFrame], as_of: date, scorer: Scorer
) -> tuple[str | None, str]:
    """The challenger that was scored too, and what came of it."""
    try:
        challenger = registry.staging()
        if challenger is None:
            return None, "no challenger waits at stage Staging"
        if why := hindsight(challenger, as_of):
            return None, why
        published = _publish_shadow(registry, book, challenger, features(), as_of, scorer)
    except Exception as e:  # whatever a challenger does, the night's scores stand
        return None, f"the challenger could not be scored: {type(e).__name__}: {e}"
    mean = f"{published.mean_probability:.4f}"
    return challenger.version, f"version {challenger.version} would have said {mean} on average"


def _publish_shadow(
    registry: Registry, book: ScoreBook, version: ModelVersion, features: pd.DataFrame, as_of: date, scorer: Scorer
) -> Publication:
    """Without reasons: nobody reads why a challenger would have said what it says, and they take most of the time."""
    _, model = registry.load(version).best_for(list(features.columns))
    probability = scorer(model, features)
    customers, decisions = features["customer_id"].tolist(), model.decide(probability)
    return book.publish(
        as_of, version.version, customers, probability, decisions, threshold=model.threshold, shadow=True
    )
