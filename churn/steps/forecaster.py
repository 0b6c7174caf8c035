"""Which version scores a night, and that its scores are a forecast."""

from datetime import date

from churn.errors import BadInput, NotReady
from churn.io.registry import ModelVersion, Registry


def forecaster(registry: Registry, as_of: date) -> ModelVersion:
    """The version in production. Raises NotReady where there is none, BadInput where it knows the outcomes."""
    production = registry.production()
    if production is None:
        raise NotReady("no model is in production: run `churn train` (or the DAG retrain_model) first")
    if why := hindsight(production, as_of):
        known = production.tags["holdout_snapshot"]
        raise BadInput(f"{why}. Score {known} or later, or train and promote a model as of an earlier date")
    return production


def hindsight(version: ModelVersion, as_of: date) -> str | None:
    """A model knows the outcomes up to its hold-out: what it says of an earlier date is no forecast."""
    known = version.tags.get("holdout_snapshot", "")
    if str(as_of) >= known:
        return None
    return (
        f"version {version.version} was trained on outcomes up to {known}: its scores as of {as_of} would be hindsight"
    )
