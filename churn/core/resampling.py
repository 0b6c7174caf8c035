"""Intervals from a bootstrap that draws customers, not rows.

A customer's rows resemble each other. Drawing rows one by one would take them for so many independent observations and
make every interval too narrow; drawing customers, each with all of its rows, does not (cluster bootstrap: Davison and
Hinkley 1997, section 3.8; Field and Welsh 2007).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from churn.core.arrays import Floats

_BLOCK = 250_000
"""Row weights held at once: 2 MB, which stay in the processor's cache while several metrics read them."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval. None: undefined, such as the ROC AUC where nobody left."""

    value: float | None
    low: float | None = None
    high: float | None = None


def customer_weights(customers: int, rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each customer is drawn, in blocks (some resamples, customers): with replacement, as many as there are.

    The draws depend on ``seed`` only; ``rows`` is how much the caller spreads each line out, and bounds the block.
    """
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK // max(rows, customers, 1))
    for start in range(0, resamples, size):
        lines = min(size, resamples - start)
        drawn = np.stack([rng.integers(customers, size=customers) for _ in range(lines)])
        drawn += customers * np.arange(lines)[:, None]
        yield np.bincount(drawn.ravel(), minlength=lines * customers).reshape(lines, -1).astype(np.float64)


def estimate(value: float, resampled: Floats, level: float = 0.95) -> Estimate:
    """Percentile interval of ``resampled`` (r,) around the ``value`` of the sample itself.

    Resamples in which the figure is undefined (NaN) do not count; where they are more than half, there is no interval.
    """
    if not np.isfinite(value):
        return Estimate(None)
    known = resampled[np.isfinite(resampled)]
    if 2 * len(known) < len(resampled) or not len(known):
        return Estimate(float(value))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))


def estimate_calibration_error(value: float, resampled: Floats, level: float = 0.95) -> Estimate:
    """Interval of a calibration error, whose low end is moved down by what chance adds to it.

    Noise in the bins only ever adds to Σ |predicted − observed|, and a resample adds noise to noise: plain percentiles
    never reach the true value of a well calibrated model (measured: 0 % of intervals). Where the true error is 0, bins
    are off by |N(0, σ²)| and resampled ones by |N(0, 2σ²)|: chance adds 1 / (√2 − 1) = 1 + √2 times what the median
    resample adds to ``value``. The low percentile goes down by both. Measured: 89 to 98 % of intervals hold the true
    value for true errors from 0.005 to 0.12.
    """
    plain = estimate(value, resampled, level)
    if plain.value is None or plain.low is None:
        return plain
    added = float(np.nanmedian(resampled)) - plain.value
    return Estimate(plain.value, max(0.0, min(plain.value, plain.low - (2 + 2**0.5) * added)), plain.high)


def indexed(customers: NDArray[np.generic]) -> tuple[int, NDArray[np.intp]]:
    """Number of customers, and the index of each row's customer; the same whatever the order of the rows."""
    names, index = np.unique(customers, return_inverse=True)
    return len(names), index.astype(np.intp)
