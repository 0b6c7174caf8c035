"""Several methods on the same rows: every figure with its interval, and paired differences from one of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike

from churn.core.evaluation import checked
from churn.core.resampling import Estimate, customer_weights, estimate, estimate_calibration_error
from churn.core.weighted_metrics import Floats, Ranking, scores

METRICS = ("roc_auc", "precision_recall_auc", "log_loss", "captured_at_10", "ece", "f1_score", "f1_best")
LOWER_IS_BETTER = ("log_loss", "ece")
_OF_PROBABILITIES = ("log_loss", "ece", "f1_score", "f1_best")
_HALF = 0.5


@dataclass(frozen=True)
class Scored:
    """What one method says of each row (n,): the higher, the likelier to churn."""

    score: Floats
    """In [0, 1]."""
    seconds: float = 0.0
    """Of one fit and its predictions, on average over folds."""
    probability: bool = True
    """False: it only ranks, so that log loss, calibration and decisions mean nothing."""


@dataclass(frozen=True)
class Measured:
    """Figures by method and metric, and ``versus``: ours minus the other, on the same draws."""

    methods: Mapping[str, Mapping[str, Estimate]]
    versus: Mapping[str, Mapping[str, Estimate]]


def measure(
    churned: ArrayLike, scored: Mapping[str, Scored], ours: str, *, resamples: int = 1000, seed: int = 42
) -> Measured:
    """Of one row per customer. ``f1_score`` is at a probability of 0.5, ``f1_best`` where :func:`best_f1` puts it."""
    views = {name: _views(churned, s) for name, s in scored.items()}
    customers = len(np.asarray(churned))
    drawn: dict[str, dict[str, list[Floats]]] = {name: {m: [] for m in METRICS} for name in scored}
    for weights in chain([np.ones((1, customers))], customer_weights(customers, customers, resamples, seed)):
        for name, (ranking, decided) in views.items():
            found = scores(ranking.tally(weights), _HALF)
            found["f1_best"] = scores(decided.tally(weights), _HALF)["f1_score"]
            for metric in METRICS:
                drawn[name][metric].append(found[metric])
    figures = {name: {m: np.concatenate(parts) for m, parts in of.items()} for name, of in drawn.items()}
    for name, s in scored.items():
        for metric in () if s.probability else _OF_PROBABILITIES:
            figures[name][metric][:] = np.nan
    return Measured(
        methods={name: {m: _estimate(m, values) for m, values in of.items()} for name, of in figures.items()},
        versus={
            name: {m: estimate(float((d := figures[ours][m] - of[m])[0]), d[1:]) for m in METRICS}
            for name, of in figures.items()
            if name != ours
        },
    )


def best_f1(probability: Floats) -> float:
    """The threshold at which F1 would be highest if the probabilities were right; no label is looked at.

    Contacting the k likeliest of n is expected to give F1 = 2 Σₖ p / (k + Σₙ p).
    """
    falling = np.sort(probability)[::-1]
    expected = 2 * np.cumsum(falling) / (np.arange(1, len(falling) + 1) + falling.sum())
    return float(falling[np.argmax(expected)])


def _views(churned: ArrayLike, scored: Scored) -> tuple[Ranking, Ranking]:
    y, p = checked(churned, scored.score)
    unit = np.arange(len(y))
    return Ranking(y, p, unit), Ranking(y, (p >= best_f1(p)).astype(float), unit)


def _estimate(metric: str, values: Floats) -> Estimate:
    return (estimate_calibration_error if metric == "ece" else estimate)(float(values[0]), values[1:])
