"""The rules of a feature's values: for one value, for many rows at once, and in words."""

from collections.abc import Sequence
from itertools import chain
from operator import ge, itemgetter, le
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.core.features import Feature


class Rules:
    """The rules of some features, for many rows at once."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = features
        self._values_of = itemgetter(*(f.name for f in features))
        self._low_of, self._high_of = [f.minimum for f in features], [f.maximum for f in features]
        self.low, self._high = np.array(self._low_of, dtype=np.float64), np.array(self._high_of, dtype=np.float64)
        self._whole = np.flatnonzero([f.whole for f in features])
        self._whole_of = itemgetter(*self._whole.tolist())

    def table(self, rows: Sequence[Any]) -> NDArray[np.float64] | None:
        """The features of the rows (n, k); None where a name is missing, or a type or a value is wrong."""
        try:
            values = [self._values_of(row) for row in rows]
            kinds = set(map(type, chain.from_iterable(values)))
            if not kinds <= {int, float} and not all(map(self._right_kinds, values)):
                return None
            table = np.array(values, dtype=np.float64).reshape(len(rows), len(self._features))
        except (KeyError, TypeError, OverflowError):  # a row is no object, or an integer is beyond a double
            return None
        return table if self.allow(table) else None

    def allow(self, table: NDArray[np.float64]) -> bool:
        """Whether every value of the table (n, k) is in range, and whole where it must be. NaN is never."""
        if not ((table >= self.low).all() and (table <= self._high).all()):
            return False
        whole = table[:, self._whole]
        return bool((np.rint(whole) == whole).all())

    def allow_row(self, values: Sequence[float]) -> bool:
        """:meth:`allow` of one row."""
        return (
            all(map(le, self._low_of, values))
            and all(map(ge, self._high_of, values))
            and all(map(float.is_integer, self._whole_of(values)))
        )

    def _right_kinds(self, values: tuple[Any, ...]) -> bool:
        return all(map(_is_number, self._features, values))


def fits(feature: Feature, value: Any) -> bool:
    """Whether a JSON value may stand for the feature."""
    # Python compares and divides integers that no double can hold.
    return (
        _is_number(feature, value)
        and feature.minimum <= value <= feature.maximum
        and (not feature.whole or value % 1 == 0)
    )


def expected(feature: Feature) -> str:
    """The rule of a feature's values in words."""
    if feature.kind == "flag":
        return "0 or 1 (or false, true)"
    kind = "a whole number" if feature.whole else "a number"
    unit = "" if feature.unit == "count" else f" ({feature.unit})"
    return f"{kind} from {feature.minimum:,.0f} to {feature.maximum:,.0f}{unit}"


def _is_number(feature: Feature, value: Any) -> bool:
    """A JSON number; a flag may be true or false as well."""
    return type(value) in (int, float) or (type(value) is bool and feature.kind == "flag")
