"""Score: the Production model's probability for every customer at risk, published in one transaction."""

from contextlib import closing
from dataclasses import dataclass
from datetime import date

import pyarrow.parquet as pq

from churn.errors import BadInput, NotReady
from churn.io.lake import Lake
from churn.io.registry import ModelVersion, Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.build_features import build_features
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


def score(settings: Settings, as_of: date) -> ScoreReport:
    """The whole night as one command: features, their validation, scores."""
    build_features(settings, as_of)
    validate_features(settings, as_of)
    return publish_scores(settings, as_of)


def _refuse_hindsight(production: ModelVersion, as_of: date) -> None:
    """A model knows the outcomes up to its hold-out: what it says of an earlier date is no forecast."""
    known = production.tags.get("holdout_snapshot", "")
    if str(as_of) < known:
        raise BadInput(
            f"version {production.version} was trained on outcomes up to {known}: its scores as of {as_of} would be "
            f"hindsight. Score {known} or later, or train and promote a model as of an earlier date"
        )


def publish_scores(settings: Settings, as_of: date) -> ScoreReport:
    """Score the features of ``as_of`` and publish. The same date again gives the same rows.

    Raises NotReady without features or without a Production model, BadInput where the model knows the outcomes.
    """
    path = Lake(settings.data_home).features(as_of)
    if not path.is_file():
        raise NotReady(f"there are no features as of {as_of}: run `churn features --as-of {as_of}` first")
    registry = Registry(settings)
    production = registry.production()
    if production is None:
        raise NotReady("no model is in production: run `churn train` (or the DAG retrain_model) first")
    _refuse_hindsight(production, as_of)
    features = pq.ParquetFile(path).read().to_pandas()
    name, model = registry.load(production).best_for(list(features.columns))
    probability = model.predict_proba(features)
    with closing(ScoreBook(settings.score_database)) as book:
        published = book.publish(
            as_of,
            production.version,
            features["customer_id"].tolist(),
            probability,
            model.decide(probability),
            threshold=model.threshold,
        )
    return ScoreReport(
        as_of=str(as_of),
        model_version=published.model_version,
        model=name,
        customers=published.customers,
        predicted_to_churn=published.predicted_to_churn,
        mean_probability=round(published.mean_probability, 6),
        threshold=published.threshold,
        published_at=published.published_at.isoformat(timespec="seconds"),
    )
