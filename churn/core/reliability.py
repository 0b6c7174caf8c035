"""Do 10 % mean 10 %? Predicted against observed in tenths of the rows, and how far apart chance puts them."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from churn.core.resampling import Estimate, estimate
from churn.core.weighted_metrics import BINS, Tally, calibration_error


@dataclass(frozen=True)
class CalibrationBin:
    """A tenth of the rows by probability: what was predicted, what happened, and the interval of the latter."""

    predicted: float
    observed: float
    rows: float
    """Not a whole number where rows of equal probability are shared out between bins."""
    low: float
    high: float


def calibration_bins(whole: Tally, customers: int, level: float) -> tuple[CalibrationBin, ...]:
    """The tenths that ECE is made of, lowest probability first; neighbours that say the same are one bin.

    ``whole``: the sample itself, under one weighting. Intervals as if every customer had one row: several rows of a
    customer say little more than one.
    """
    rows = float(whole.rows.sum())
    observed, predicted = (part[0, ::-1] * BINS / rows for part in whole.tenths)
    found: list[tuple[float, float, int]] = []
    for p, y in zip(predicted.tolist(), observed.tolist()):
        if found and np.allclose(found[-1][:2], (p, y), rtol=0, atol=1e-9):
            found[-1] = (*found[-1][:2], found[-1][2] + 1)
        else:
            found.append((p, y, 1))
    return tuple(CalibrationBin(p, y, n * rows / BINS, *wilson(y, n * customers / BINS, level)) for p, y, n in found)


def wilson(share: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a share of ``n`` (Wilson 1927): unlike a bootstrap's, no point where the share is 0."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (max(share * (1 - share), 0.0) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def ece_by_chance(whole: Tally, resamples: int, seed: int, level: float) -> Estimate:
    """ECE of outcomes drawn from the probabilities themselves (consistency resampling: Bröcker and Smith 2007).

    Its mean and interval. Outcomes are drawn row by row, so where a customer has several rows it is a little low.
    """
    count = whole.rows[0].astype(int)
    p, starts = np.repeat(whole.probability, count), np.cumsum(count) - count
    rng = np.random.default_rng([seed, 1])  # not the stream that draws the customers
    found = []
    for _ in range(resamples):
        churned = np.add.reduceat((rng.random(len(p)) < p).astype(np.float64), starts)
        found.append(calibration_error(Tally(whole.probability, whole.rows, churned[None, :]))[0])
    return estimate(float(np.mean(found)), np.array(found), level)
