"""How near a model comes to whoever knows the truth, which only a generated log can tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from churn.core.arrays import Floats
from churn.core.evaluation import checked
from churn.core.resampling import Estimate, customer_weights, estimate, indexed
from churn.core.weighted_metrics import Ranking, scores
from churn.errors import BadInput

_CHANCE = 0.5
_METRICS = ("roc_auc", "log_loss")


@dataclass(frozen=True)
class Rival:
    """Whom the oracle is compared with."""

    roc_auc: Estimate
    log_loss: Estimate
    roc_auc_closed: Estimate
    """Share of the way from 0.5 to the oracle's ROC AUC. None: the oracle itself is not surely above 0.5."""
    log_loss_closed: Estimate
    """Share of the way from the base rate's log loss to the oracle's. None: the oracle is not surely better."""


@dataclass(frozen=True)
class OracleResult:
    """The true hazard of the cut-off day as a score, and how much of its lead over knowing nothing a model has."""

    holdout: str
    customers: int
    churned: int
    mean_probability: float
    """Of the oracle: how far the constant hazard is off in total is seen against the churn rate."""
    roc_auc: Estimate
    log_loss: Estimate
    base_log_loss: Estimate
    models: Mapping[str, Rival]


def true_probability(hazard: ArrayLike, horizon_days: int) -> Floats:
    """1 − (1 − h)^horizon (n,): of cancelling within the horizon if the cut-off day's hazard h (n,) stayed as it is."""
    h = np.asarray(hazard, dtype=np.float64)
    if not ((h >= 0) & (h <= 1)).all():
        raise BadInput("the truth's hazards must be probabilities of cancelling on a day, between 0 and 1")
    return np.asarray(-np.expm1(horizon_days * np.log1p(-np.minimum(h, 1 - 1e-12))))


def compare_with_oracle(
    holdout: str,
    churned: ArrayLike,
    truth: Floats,
    base: Floats,
    models: Mapping[str, Floats],
    *,
    customers: NDArray[Any],
    resamples: int = 1000,
    seed: int = 42,
) -> OracleResult:
    """Measure ``truth``, ``base`` (the base rate) and ``models``, each (n,), on the same draws of customers."""
    y, _ = checked(churned, truth)
    count, unit = indexed(customers)
    rankings = {name: Ranking(y, p, unit) for name, p in {"oracle": truth, "base": base, **models}.items()}
    drawn: dict[str, dict[str, list[Floats]]] = {name: {m: [] for m in _METRICS} for name in rankings}
    for weights in chain([np.ones((1, count))], customer_weights(count, len(y), resamples, seed)):
        for name, ranking in rankings.items():
            found = scores(ranking.tally(weights), _CHANCE)
            for metric in _METRICS:
                drawn[name][metric].append(found[metric])
    all_of = {name: {m: np.concatenate(parts) for m, parts in of.items()} for name, of in drawn.items()}
    oracle, base_loss = all_of["oracle"], all_of["base"]["log_loss"]
    return OracleResult(
        holdout=holdout,
        customers=count,
        churned=int(y.sum()),
        mean_probability=float(truth.mean()),
        roc_auc=_estimate(oracle["roc_auc"]),
        log_loss=_estimate(oracle["log_loss"]),
        base_log_loss=_estimate(base_loss),
        models={
            name: Rival(
                roc_auc=_estimate(all_of[name]["roc_auc"]),
                log_loss=_estimate(all_of[name]["log_loss"]),
                roc_auc_closed=_share(all_of[name]["roc_auc"] - _CHANCE, oracle["roc_auc"] - _CHANCE),
                log_loss_closed=_share(base_loss - all_of[name]["log_loss"], base_loss - oracle["log_loss"]),
            )
            for name in models
        },
    )


def _estimate(figures: Floats) -> Estimate:
    return estimate(float(figures[0]), figures[1:])


def _share(gained: Floats, possible: Floats) -> Estimate:
    """A share of what is not surely there means nothing: the possible gain's own interval must lie above 0."""
    gap = _estimate(possible)
    if gap.low is None or gap.low <= 0:
        return Estimate(None)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _estimate(np.where(possible > 0, gained / possible, np.nan))
