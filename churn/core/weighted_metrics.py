"""Metrics of rows that carry weights, for many weightings at once: what a bootstrap needs to be quick.

Rows of equal probability are one group, and a group is only ever counted whole or shared out in proportion. No metric
can therefore depend on the order of the rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from churn.core.arrays import Floats

BINS = 10
"""Calibration is looked at in tenths of the rows; the first of them is the top 10 % of lift and capture."""

_EPS = float(np.finfo(np.float64).eps)  # keeps the log loss of a wrong certainty finite, as scikit-learn does


@dataclass(frozen=True)
class Tally:
    """Weight at each of g distinct probabilities, highest first, under each of r weightings."""

    probability: Floats
    """(g,), strictly falling."""
    rows: Floats
    """(r, g), all rows."""
    churned: Floats
    """(r, g), the churners among them."""

    @cached_property
    def rows_above(self) -> Floats:
        """(r, g), weight at this probability or above."""
        return np.cumsum(self.rows, axis=1)

    @cached_property
    def churned_above(self) -> Floats:
        """(r, g), churners at this probability or above."""
        return np.cumsum(self.churned, axis=1)

    def decided(self, thresholds: ArrayLike) -> tuple[Floats, Floats]:
        """Churners and rows with ``probability >= threshold``, each (r, number of thresholds)."""
        reached = np.searchsorted(-self.probability, -np.atleast_1d(np.asarray(thresholds, dtype=float)), side="right")
        some = reached > 0
        return (
            np.where(some, self.churned_above[:, reached - 1], 0.0),
            np.where(some, self.rows_above[:, reached - 1], 0.0),
        )

    @cached_property
    def tenths(self) -> tuple[Floats, Floats]:
        """Churners, and the sum of probabilities, in each tenth of the weight from the top; each (r, 10).

        A group that lies across the edge of a tenth is shared out in proportion.
        """
        expected = self.rows * self.probability
        edges = self.rows_above[:, -1:] * (np.arange(1, BINS + 1) / BINS)
        at = np.stack([np.searchsorted(above, edge) for above, edge in zip(self.rows_above, edges)])
        at = np.minimum(at, len(self.probability) - 1)
        line = np.arange(len(at))[:, None]
        weight = self.rows[line, at]
        over = np.divide(self.rows_above[line, at] - edges, weight, out=np.zeros_like(edges), where=weight > 0)
        churned = self.churned_above[line, at] - over * self.churned[line, at]
        total = np.cumsum(expected, axis=1)[line, at] - over * expected[line, at]
        return np.diff(churned, axis=1, prepend=0.0), np.diff(total, axis=1, prepend=0.0)


class Ranking:
    """Rows sorted by probability once, to be tallied under any weights.

    ``churned`` 0/1 (n,), ``probability`` (n,), and ``unit`` (n,): the index of the customer whose weight a row takes.
    """

    def __init__(self, churned: ArrayLike, probability: ArrayLike, unit: ArrayLike | None = None) -> None:
        y, p = np.asarray(churned, dtype=np.float64), np.asarray(probability, dtype=np.float64)
        order = np.argsort(-p, kind="stable")
        self._churned = y[order]
        self._unit = np.zeros(len(y), dtype=np.intp) if unit is None else np.asarray(unit, dtype=np.intp)[order]
        self._starts = np.flatnonzero(np.diff(p[order], prepend=np.inf))
        self.probability: Floats = p[order][self._starts]

    def tally(self, weights: Floats) -> Tally:
        """Under each of r weightings of the customers, ``weights`` (r, customers)."""
        rows = np.take(weights, self._unit, axis=1)
        churned = rows * self._churned
        if len(self._starts) < len(self._churned):
            rows, churned = (np.add.reduceat(w, self._starts, axis=1) for w in (rows, churned))
        return Tally(self.probability, rows, churned)


def scores(tally: Tally, threshold: float) -> dict[str, Floats]:
    """Every metric of :data:`churn.core.evaluation.METRICS`, each (r,). NaN where it is undefined."""
    n, positive = tally.rows_above[:, -1], tally.churned_above[:, -1]
    negative = n - positive
    both = (positive > 0) & (negative > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        captured = np.where(both, tally.tenths[0][:, 0] / positive, np.nan)
        return {
            **_decisions(tally, threshold, n, positive),
            "roc_auc": np.where(both, _concordant(tally) / (positive * negative), np.nan),
            "precision_recall_auc": np.where(both, _precision_at_churners(tally) / positive, np.nan),
            "log_loss": _summed_log_loss(tally) / n,
            "brier": (tally.churned @ (1 - 2 * tally.probability) + tally.rows @ tally.probability**2) / n,
            "ece": calibration_error(tally),
            "lift_at_10": BINS * captured,
            "captured_at_10": captured,
        }


def calibration_error(tally: Tally) -> Floats:
    """Expected calibration error over tenths (r,): mean over the rows of |mean probability − churn rate| of a tenth."""
    observed, expected = tally.tenths
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.abs(expected - observed).sum(axis=1) / tally.rows_above[:, -1])


def _decisions(tally: Tally, threshold: float, n: Floats, positive: Floats) -> dict[str, Floats]:
    """Without any contact precision is 0, as in scikit-learn; without any churner recall and F1 are NaN."""
    hit, contacted = (found[:, 0] for found in tally.decided(threshold))
    return {
        "accuracy": (n - contacted - positive + 2 * hit) / n,
        "precision": np.where(n > 0, np.where(contacted > 0, hit / contacted, 0.0), np.nan),
        "recall": np.where(positive > 0, hit / positive, np.nan),
        "f1_score": np.where(positive > 0, 2 * hit / (contacted + positive), np.nan),
    }


def _concordant(tally: Tally) -> Floats:
    """Weight of the pairs (churner, other) in which the churner ranks higher; a tie is half a pair (Mann–Whitney)."""
    stays = tally.rows - tally.churned
    return np.asarray(np.einsum("rg,rg->r", stays, tally.churned_above - tally.churned / 2))


def _precision_at_churners(tally: Tally) -> Floats:
    """Precision summed over the churners: average precision without its division by their weight."""
    # Where nothing has any weight yet, there is no churner either, and 0 / tiny is the 0 that is meant.
    precision = tally.churned_above / np.maximum(tally.rows_above, np.finfo(np.float64).tiny)
    return np.asarray(np.einsum("rg,rg->r", tally.churned, precision))


def _summed_log_loss(tally: Tally) -> Floats:
    p = np.clip(tally.probability, _EPS, 1 - _EPS)
    stays = np.log1p(-p)
    return np.asarray(-(tally.churned @ (np.log(p) - stays) + tally.rows @ stays))
