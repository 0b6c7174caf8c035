"""What each column of a table looked like when a model was made: its values, and the bins it will be compared on.

Columns are kept apart, each sorted by itself: compared fast, and no row of the table can be put together again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn.core.arrays import Floats
from churn.errors import BadInput

_FEW_VALUES = 20
"""Up to so many distinct values each is a bin of its own, as in Evidently."""
_BINS = 10
_FEW_CATEGORIES = 50


@dataclass(frozen=True)
class Numbers:
    """A numeric column. Infinite values count as missing."""

    values: Floats
    """The finite ones, rising."""
    missing: int
    cuts: Floats
    """``discrete``: the distinct values. Else the inner edges of the bins, each the last value of its bin: deciles."""
    discrete: bool

    def counts(self, now: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of this column and of another (rising), on the bins of this one; its new values are bins of their own."""
        if not self.discrete:
            return tuple(np.diff(np.searchsorted(v, self.cuts, side="right"), prepend=0, append=len(v))
                         for v in (self.values, now))  # type: ignore[return-value]  # fmt: skip
        cuts = self.cuts
        before, found = (_occurrences(v, cuts) for v in (self.values, now))
        if found.sum() < len(now):
            new, counted = np.unique(now[~np.isin(now, cuts)], return_counts=True)
            before, found = np.append(before, np.zeros(len(new), np.int64)), np.append(found, counted)
        return before, found


@dataclass(frozen=True)
class Categories:
    """A column of text."""

    counts: Mapping[str, int]
    missing: int


@dataclass(frozen=True)
class DriftReference:
    """The columns of a table of ``rows`` rows. Deterministic: equal columns, in whatever order of rows, are equal."""

    rows: int
    columns: Mapping[str, Numbers | Categories]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "DriftReference":
        """Raises BadInput for a table without rows or columns, or with columns that are neither numbers nor text."""
        if table.empty:
            raise BadInput(f"the reference has {len(table)} rows and {table.shape[1]} columns: there is nothing in it")
        if twice := sorted(set(table.columns[table.columns.duplicated()].astype(str))):
            raise BadInput(f"the reference has the columns {twice} more than once")
        return cls(len(table), {str(name): _column(str(name), column) for name, column in table.items()})


def read_numbers(name: str, column: pd.Series) -> tuple[Floats, int]:
    """The finite values, rising, and how many others there are. Raises BadInput where text is no number."""
    try:
        values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as e:
        raise BadInput(f"{name} was numeric in the reference and is not now: {e}") from e
    finite = np.isfinite(values)
    kept = values if finite.all() else values[finite]
    return np.sort(kept), len(values) - len(kept)


def read_categories(column: pd.Series) -> Categories:
    """How often each text occurs, in order of the text."""
    there = column.dropna().astype(str)
    counted = there.value_counts()
    return Categories({str(k): int(counted[k]) for k in sorted(counted.index)}, len(column) - len(there))


def _column(name: str, column: pd.Series) -> Numbers | Categories:
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if pd.api.types.is_numeric_dtype(column) or kind in ("integer", "floating", "mixed-integer-float", "boolean"):
        return _numbers(*read_numbers(name, column))
    if kind not in ("string", "categorical", "empty"):
        raise BadInput(f"{name} holds values of the type {kind!r}; drift is of numbers or text: leave it out")
    found = read_categories(column)
    if len(found.counts) > max(_FEW_CATEGORIES, len(column) / 2):
        raise BadInput(
            f"{name} has {len(found.counts):,} different values in {len(column):,} rows: what names a row cannot "
            "drift. Leave it out"
        )
    return found


def _numbers(values: Floats, missing: int) -> Numbers:
    distinct = np.unique(values)
    if len(distinct) <= _FEW_VALUES:
        return Numbers(values, missing, distinct, True)
    deciles = np.quantile(values, np.arange(1, _BINS) / _BINS, method="inverted_cdf")
    cuts = np.unique(deciles)
    return Numbers(values, missing, cuts[cuts < values[-1]], False)  # above the largest there is no bin


def _occurrences(rising: Floats, wanted: Floats) -> NDArray[np.int64]:
    return np.searchsorted(rising, wanted, side="right") - np.searchsorted(rising, wanted, side="left")
