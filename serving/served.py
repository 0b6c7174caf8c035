"""What is served: the models of one version that passed every check, and which of them answers whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.core.features import CORE_FEATURES, FEATURE_NAMES, FEATURES, Feature
from churn.core.model import CORE, FULL, ChurnModel
from churn.errors import ContractViolation
from churn.io.registry import Models, ModelVersion
from serving.customers import NAMES, Customers


class Scores(NamedTuple):
    """What the models say about some customers, in the order of the request."""

    probability: NDArray[np.float64]
    decision: NDArray[np.int64]
    model: str
    """Which one answered: ``core``, ``full``, or ``mixed``."""


@dataclass(frozen=True)
class Served:
    """A version that passed every check, and what there is to say about it."""

    core: ChurnModel
    full: ChurnModel | None
    """None: the core model answers every customer."""
    note: str | None
    """Why there is no full model."""
    version: ModelVersion
    metrics: Mapping[str, float]
    since: datetime
    """When this process took it."""

    def score(self, customers: Customers) -> Scores:
        """Probability and decision of each customer by the model that it brings all features of."""
        if self.full is None or not len(customers.full):
            return _scores(self.core, customers.core_of_all(), CORE)
        if not len(customers.core):
            return _scores(self.full, customers.full, FULL)
        probability, decision = np.empty(len(customers.complete)), np.empty(len(customers.complete), dtype=np.int64)
        for place, scores in (
            (customers.complete, _scores(self.full, customers.full, FULL)),
            (~customers.complete, _scores(self.core, customers.core, CORE)),
        ):
            probability[place], decision[place] = scores.probability, scores.decision
        return Scores(probability, decision, "mixed")


def checked(models: Models, version: ModelVersion, metrics: Mapping[str, float]) -> Served:
    """The version, fit to be served. Raises ContractViolation where its core model is not, or a model misbehaves."""
    if models.core.features != NAMES:
        raise ContractViolation(
            f"the model's features are not the API's, in their order: {_difference(models.core, NAMES)}"
        )
    _probe(models.core, CORE_FEATURES)
    if (note := _unusable(models)) is None:
        _probe(models.full, FEATURES)
    return Served(models.core, None if note else models.full, note, version, metrics, since=datetime.now(UTC))


def _unusable(models: Models) -> str | None:
    """Why the full model cannot answer, or None. An earlier version may have none, or one of other features."""
    if models.full.features == FEATURE_NAMES:
        return None
    if models.full is models.core:
        return "the version was registered without a full model"
    return f"the full model's features are not those of this code: {_difference(models.full, FEATURE_NAMES)}"


def _difference(model: ChurnModel, names: Sequence[str]) -> str:
    missing, unknown = sorted(set(names) - set(model.features)), sorted(set(model.features) - set(names))
    return f"it takes {unknown[:3]}, lacks {missing[:3]}"


def _probe(model: ChurnModel, features: Sequence[Feature]) -> None:
    """Rows that any model must answer: ordinary, lowest and highest values."""
    rows = np.array([[getattr(f, value) for f in features] for value in ("example", "minimum", "maximum")], float)
    probability = model.predict_proba(rows)
    if not ((probability >= 0) & (probability <= 1)).all() or probability.shape != (len(rows),):
        raise ContractViolation(f"the model answers the probe rows with {probability.tolist()}: no probabilities")


def _scores(model: ChurnModel, rows: NDArray[np.float64], name: str) -> Scores:
    probability = model.predict_proba(rows)
    return Scores(probability, model.decide(probability), name)
