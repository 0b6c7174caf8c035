"""Two models on the same rows and the same draws of customers, so that what both share drops out of the difference."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from churn.core.arrays import Bools, Floats
from churn.core.evaluation import Economics
from churn.core.resampling import Estimate, customer_weights, estimate
from churn.core.weighted_metrics import Ranking, Tally, scores

_EPS = float(np.finfo(np.float64).eps)  # as in churn.core.weighted_metrics

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Paired:
    """A figure of both models, and challenger − champion with its interval. None: undefined."""

    champion: float | None
    challenger: float | None
    difference: Estimate


@dataclass(frozen=True)
class Rows:
    """Outcomes 0/1 (n,), both models' probabilities (n,), and the index of each row's customer (n,)."""

    churned: Floats
    champion: Floats
    challenger: Floats
    unit: NDArray[np.intp]

    @property
    def customers(self) -> int:
        return len(np.unique(self.unit))


@dataclass(frozen=True)
class Draws:
    """How often, and from which seed, customers are drawn with all their rows."""

    resamples: int
    seed: int

    def weights(self, rows: Rows) -> Iterator[Floats]:
        """The sample itself first; in blocks (some draws, customers)."""
        sample = [np.ones((1, rows.customers))]
        return chain(sample, customer_weights(rows.customers, len(rows.churned), self.resamples, self.seed))


def figures(rows: Rows, draws: Draws, economics: Economics) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Champion's and challenger's figures, by name (1 + resamples,): of the sample first, then of each draw.

    ``log_loss`` ``roc_auc`` ``ece`` as in :mod:`churn.core.evaluation`; ``calibration_in_the_large``, the distance of
    the mean probability from the churn rate; ``profit`` per row, of contacting from the probability on from which a
    contact pays.
    """
    models = [Ranking(rows.churned, p, rows.unit) for p in (rows.champion, rows.challenger)]
    blocks = [[_figures(model.tally(weights), economics) for model in models] for weights in draws.weights(rows)]
    champion, challenger = ({name: np.concatenate([b[name] for b in of]) for name in of[0]} for of in zip(*blocks))
    return champion, challenger


def log_losses(rows: Rows, draws: Draws, parts: Mapping[Key, Bools]) -> dict[Key, tuple[Floats, Floats]]:
    """Champion's and challenger's log loss in each part of the rows, each (1 + resamples,); NaN where none is drawn.

    ``parts``: which rows (n,) belong to each. Summed by customer once, a draw costs one product of matrices.
    """
    losses = _by_customer(rows, parts)
    size, old, new = np.split(np.concatenate([weights @ losses for weights in draws.weights(rows)]).T, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        old, new = old / size, new / size
    return {key: (old[at], new[at]) for at, key in enumerate(parts)}


def paired(champion: Floats, challenger: Floats, level: float) -> Paired:
    """Challenger − champion, from figures of the sample and its resamples, each (1 + r,)."""
    change = challenger - champion
    return Paired(_defined(champion[0]), _defined(challenger[0]), estimate(float(change[0]), change[1:], level))


def relative(champion: Floats, challenger: Floats, level: float) -> Paired:
    """As :func:`paired`, the difference as a share of the champion's figure."""
    with np.errstate(divide="ignore", invalid="ignore"):
        change = challenger / champion - 1
    return Paired(_defined(champion[0]), _defined(challenger[0]), estimate(float(change[0]), change[1:], level))


def beyond_chance(champion: Floats, challenger: Floats, chance: tuple[float, float], level: float) -> Paired:
    """As :func:`paired` for calibration errors: each less what ``chance`` makes of it, the champion's first.

    Noise in the bins only ever adds, the more the further a model spreads its probabilities: one that says the same of
    everybody would always win. It adds to a resample once more, so that the resamples give the width of the interval
    and not its place.
    """
    old, new = float(champion[0]) - chance[0], float(challenger[0]) - chance[1]
    change = challenger[1:] - champion[1:]
    known = change[np.isfinite(change)]
    around = change - (np.median(known) if len(known) else np.nan) + (new - old)
    return Paired(_defined(old), _defined(new), estimate(new - old, around, level))


def _figures(tally: Tally, economics: Economics) -> dict[str, Floats]:
    size = tally.rows_above[:, -1]
    found = scores(tally, economics.threshold)
    earned = economics.earned(*(part[:, 0] for part in tally.decided(economics.threshold)))
    return {
        **{name: found[name] for name in ("log_loss", "roc_auc", "ece")},
        "calibration_in_the_large": np.abs(tally.rows @ tally.probability - tally.churned_above[:, -1]) / size,
        "profit": earned / size,
    }


def _by_customer(rows: Rows, parts: Mapping[Key, Bools]) -> Floats:
    """Number of rows, champion's and challenger's summed loss by part; (customers, 3 · parts)."""
    losses = (_losses(rows.churned, p) for p in (rows.champion, rows.challenger))
    columns = [
        np.bincount(rows.unit, summed * inside)
        for summed in (np.ones(len(rows.churned)), *losses)
        for inside in parts.values()
    ]
    return np.stack(columns, axis=1) if columns else np.empty((rows.customers, 0))


def _losses(churned: Floats, probability: Floats) -> Floats:
    p = np.clip(probability, _EPS, 1 - _EPS)
    return np.asarray(-np.log(np.where(churned > 0, p, 1 - p)), dtype=np.float64)


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
