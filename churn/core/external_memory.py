"""Boosted trees fitted on a table that is not in memory: XGBoost bins it batch by batch into a file that it pages in.

The same trees, to the last bit, as from the same rows in memory, while the bins of both are the same. In memory stay a
few numbers a row (outcome, gradient, position, log-odds), however many columns there are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from churn.core.arrays import Floats
from churn.core.boosting import BoostingParameters

BATCH_ROWS = 65_536
"""Read at once, some 35 MB of 64 columns. The bins of a large table depend on it."""
_SAY_EVERY = 100
"""Rounds."""

Batch = tuple[Floats, NDArray[np.int64]]
"""Values (n, k), NaN for missing, and labels 0/1 (n,)."""


@dataclass(frozen=True)
class WholeTable:
    """All rows of a table of which a sample is in memory."""

    rows: int
    batches: Callable[[], Iterator[Batch]]
    """Reads them anew, in the same order each time; columns as in the sample."""
    cache: Path
    """Folder for XGBoost's file, some two bytes a value. On a disk: a folder in memory would save nothing."""


def fit_boosting_from_disk(
    whole: WholeTable, parameters: BoostingParameters, seed: int, progress: Callable[[str], None] = lambda _: None
) -> xgb.Booster:
    """As :func:`churn.core.boosting.fit_boosting`, on all rows of ``whole``; the file is gone when it returns."""
    data = xgb.ExtMemQuantileDMatrix(_Reader(whole), nthread=1)
    booster = xgb.Booster(parameters.for_xgboost(seed), [data])
    for i in range(parameters.rounds):
        booster.update(data, i)
        if (i + 1) % _SAY_EVERY == 0:
            progress(f"{i + 1} of {parameters.rounds} rounds on all {whole.rows:,} rows")
    return booster.reset()  # lets go of the data, and with it of the file


class _Reader(xgb.DataIter):
    """Hands XGBoost one batch at a time."""

    def __init__(self, whole: WholeTable) -> None:
        self._whole = whole
        self._batches: Iterator[Batch] = iter(())
        super().__init__(cache_prefix=str(whole.cache / "trees"), on_host=False)

    def reset(self) -> None:
        self._batches = self._whole.batches()

    def next(self, input_data: Callable[..., None]) -> bool:
        batch = next(self._batches, None)
        if batch is None:
            return False
        input_data(data=batch[0], label=batch[1])
        return True
