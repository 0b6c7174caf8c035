"""A panel as a file, read so that memory is bounded by the rows asked for and not by those that it holds."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churn.core.arrays import Floats
from churn.core.external_memory import BATCH_ROWS, Batch, WholeTable
from churn.core.sampling import Shares, class_weights, drawn_sql
from churn.core.training import numbers
from churn.errors import BadInput
from churn.io.engines.duckdb import open_engine

_HOLDOUT_SEED = 0
_CACHE = ".trees."
"""Before the number of the process that it belongs to."""


@dataclass(frozen=True)
class TrainingRows:
    """What is trained on, in memory."""

    rows: pd.DataFrame
    weights: Floats | None
    """How many rows of the panel each stands for (n,); None where all of them are there."""


class PanelFile:
    """A panel of several cut-offs, the latest of them held out."""

    def __init__(
        self, path: Path, holdout: date | None = None, *, megabytes: int | None = None, home: Path | None = None
    ) -> None:
        """Count the rows. ``holdout``: the cut-off held out, by default the latest that has rows; ``megabytes``: memory
        of the engine that reads, ``home``: the data home that it spills into. Raises BadInput when there is no row.
        """
        self._path, self._megabytes, self._home = path, megabytes, home
        with open_engine(megabytes=megabytes, home=home) as engine:
            counted = engine.rows(f"select as_of, churned, count(*) from {self._source} group by all")
        if not counted:
            raise BadInput(f"{path} holds no rows: build the panel again, of a longer log")
        self._holdout: date = holdout or max(day for day, _, _ in counted)
        earlier = [(found, int(rows)) for day, found, rows in counted if day < self._holdout]
        later = [(found, int(rows)) for day, found, rows in counted if day == self._holdout]
        self.stayed, self.churned = (sum(rows for found, rows in earlier if found == k) for k in (0, 1))
        self.holdout_stayed, self.holdout_churned = (sum(rows for found, rows in later if found == k) for k in (0, 1))

    @property
    def training_rows(self) -> int:
        """All rows of the earlier cut-offs."""
        return self.stayed + self.churned

    @property
    def holdout_rows(self) -> int:
        """All rows of the cut-off that is held out."""
        return self.holdout_stayed + self.holdout_churned

    def holdout(self, most: int | None = None) -> pd.DataFrame:
        """The rows of the cut-off that is held out or, where these are more than ``most``, about as many of them.

        Drawn whatever their outcome, so that no figure needs a correction; the same ones whoever asks.
        """
        there, held_out = self.holdout_rows, f"as_of = date '{self._holdout}'"
        if most is None or there <= most:
            return self._rows(held_out)
        return self._rows(f"{held_out} and ({drawn_sql(Shares(most / there, most / there), _HOLDOUT_SEED)})")

    def training(self, most: int, seed: int) -> TrainingRows:
        """The rows of the earlier cut-offs or, where these are more than ``most``, about as many of them, weighted."""
        earlier = f"as_of < date '{self._holdout}'"
        if self.training_rows <= most:
            return TrainingRows(self._rows(earlier), None)
        shares = Shares.for_rows(most, self.stayed, self.churned)
        rows = self._rows(f"{earlier} and ({drawn_sql(shares, seed)})")
        return TrainingRows(rows, class_weights(rows["churned"].to_numpy(np.int64), self.stayed, self.churned))

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """All rows of the earlier cut-offs, of these columns, so many at a time and in the order of the file."""
        file = pq.ParquetFile(self._path, pre_buffer=False)  # or a whole row group would be read ahead
        for part in file.iter_batches(BATCH_ROWS, columns=["as_of", "churned", *columns]):
            earlier = part.filter(pc.less(part["as_of"], pa.scalar(self._holdout)))
            if len(earlier):
                yield numbers(earlier.select(columns).to_pandas()), earlier["churned"].to_numpy().astype(np.int64)

    @contextmanager
    def whole(self, columns: Sequence[str]) -> Iterator[WholeTable]:
        """All rows of the earlier cut-offs for training from disk; what that caches beside the panel is removed."""
        with _cache_beside(self._path) as cache:
            yield WholeTable(self.training_rows, lambda: self.batches(columns), cache)

    @property
    def _source(self) -> str:
        # The folder's name, as_of=…, would take the place of the column.
        return "read_parquet('{}', hive_partitioning = false)".format(str(self._path).replace("'", "''"))

    def _rows(self, where: str) -> pd.DataFrame:
        with open_engine(megabytes=self._megabytes, home=self._home) as engine:
            found: pd.DataFrame = engine.table(f"select * from {self._source} where {where}").to_pandas()
        return found  # in the order of the file


@contextmanager
def _cache_beside(path: Path) -> Iterator[Path]:
    """An empty folder on the disk of ``path``. Those that killed processes left beside any panel are removed first."""
    for left in path.parent.parent.glob(f"*/{_CACHE}*"):
        if not psutil.pid_exists(int(left.name.split(".")[2])):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{_CACHE}{os.getpid()}.", dir=path.parent) as folder:
        yield Path(folder)
