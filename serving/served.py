"""What is served: the models of one version that passed every check, and which of them answers whom."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.core.compiled import CompiledModel
from churn.core.features import CORE_FEATURES, FEATURE_NAMES, FEATURES, Feature
from churn.core.model import CORE, FULL, ChurnModel
from churn.errors import ContractViolation
from churn.io.registry import Models, ModelVersion
from serving.customers import NAMES, Customer, Customers
from serving.local_copy import Package

_LOG = logging.getLogger(__name__)
_PROBES = 64
"""Rows that a new version has to answer, beside the ordinary, the lowest and the highest one."""
_EQUAL = 1e-6
"""How far a compiled model's probability may be from the model's own; on the machines tried it is not at all."""


class Scores(NamedTuple):
    """What the models say about some customers, in the order of the request."""

    probability: NDArray[np.float64]
    decision: NDArray[np.int64]
    model: str
    """Which one answered: ``core``, ``full``, or ``mixed``."""


class Score(NamedTuple):
    """What a model says about one customer."""

    probability: float
    decision: int
    model: str


@dataclass(frozen=True)
class Served:
    """A version that passed every check, and what there is to say about it."""

    core: ChurnModel
    full: ChurnModel | None
    """None: the core model answers every customer."""
    core_of_one: CompiledModel
    full_of_one: CompiledModel | None
    note: str | None
    """Why there is no full model."""
    version: ModelVersion
    metrics: Mapping[str, float]
    evaluation: Mapping[str, Any]
    since: datetime
    """When this process took it."""

    def one(self, customer: Customer) -> Score:
        """Probability and decision of one customer by the model that it brings all features of."""
        if customer.full is not None and self.full is not None and self.full_of_one is not None:
            probability = self.full_of_one.probability(customer.full)
            return Score(probability, int(probability >= self.full.threshold), FULL)
        probability = self.core_of_one.probability(customer.core)
        return Score(probability, int(probability >= self.core.threshold), CORE)

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


def checked(package: Package) -> Served:
    """The version, fit to be served. Raises ContractViolation where its core model is not, or a model misbehaves."""
    models, version = package.models, package.version
    if models.core.features != NAMES:
        raise ContractViolation(
            f"the model's features are not the API's, in their order: {_difference(models.core, NAMES)}"
        )
    core = _probed(models.core, CORE_FEATURES)
    note = _unusable(models)
    return Served(
        core=models.core,
        full=None if note else models.full,
        core_of_one=core,
        full_of_one=None if note else _probed(models.full, FEATURES),
        note=note,
        version=version,
        metrics=package.metrics,
        evaluation=package.evaluation,
        since=datetime.now(UTC),
    )


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


def _probed(model: ChurnModel, features: Sequence[Feature]) -> CompiledModel:
    """The compiled form, once model and form have answered the probe rows alike; the first answers are the warm-up."""
    rows = _probe_rows(features)
    probability = model.predict_proba(rows)
    if not ((probability >= 0) & (probability <= 1)).all() or probability.shape != (len(rows),):
        raise ContractViolation(f"the model answers the probe rows with {probability.tolist()[:5]}: no probabilities")
    compiled = CompiledModel(model)
    ones = np.array([compiled.probability(row) for row in rows.tolist()])
    if (apart := float(np.abs(ones - probability).max())) > _EQUAL:
        raise ContractViolation(f"the compiled model is {apart:.3g} from the model on the probe rows, not within 1e-6")
    model.reasons(rows[:1])
    return compiled


def _probe_rows(features: Sequence[Feature]) -> NDArray[np.float64]:
    """Ordinary, lowest and highest values, and others between: what any model must answer (n, k)."""
    random = np.random.default_rng(0)
    ends = [[getattr(f, value) for f in features] for value in ("example", "minimum", "maximum")]
    columns = [np.clip(random.gamma(1.0, f.example or 1.0, _PROBES), f.minimum, f.maximum) for f in features]
    drawn = [np.floor(c) if f.whole else c for f, c in zip(features, columns, strict=True)]
    return np.vstack([np.array(ends, dtype=np.float64), np.stack(drawn, axis=1)])


def _scores(model: ChurnModel, rows: NDArray[np.float64], name: str) -> Scores:
    probability = model.predict_proba(rows)
    return Scores(probability, model.decide(probability), name)
