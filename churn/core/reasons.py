"""Why a score is what it is: what each feature adds to the log-odds, largest first, in words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from churn.core.arrays import Floats
from churn.core.features import FEATURES

_KNOWN = {f.name: f for f in FEATURES}


@dataclass(frozen=True)
class Reason:
    """One feature's part in one customer's score. JSON-serialisable."""

    feature: str
    value: float | None
    """None: missing."""
    usual: float
    """Median of the customers the model was trained on."""
    contribution: float
    """Log-odds added to (above 0) or taken from the score, against the average customer."""
    text: str
    """As an analyst reads it: "12 days since the last visit, usually 3"."""


class Reasons:
    """The strongest reasons of customers, in their order: held as numbers, and put into words when they are asked for.

    In words they take twenty times the memory, gigabytes for a million customers.
    """

    def __init__(
        self,
        names: Sequence[str],
        usual: Mapping[str, float],
        places: NDArray[np.int64],
        values: Floats,
        contributions: Floats,
    ) -> None:
        """``places``: in ``names``, of each customer's reasons (n, k), as ``values`` and ``contributions`` are."""
        self._names, self._usual = names, usual
        self._places, self._values, self._contributions = places, values, contributions

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[tuple[Reason, ...]]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, row: int) -> tuple[Reason, ...]:
        names = [self._names[place] for place in self._places[row].tolist()]
        found = zip(names, self._values[row].tolist(), self._contributions[row].tolist(), strict=True)
        return tuple(_reason(name, value, self._usual[name], added) for name, value, added in found if added)


def strongest(
    names: Sequence[str], parts: Iterable[tuple[Floats, Floats]], usual: Mapping[str, float], k: int
) -> Reasons:
    """The ``k`` features with the largest contributions of either sign, largest first; ties in order of the columns.

    ``parts``: values and contributions (rows, features), of some of the customers at a time, one part at least.
    Features that add nothing are left out.
    """
    kept = []
    for values, contributions in parts:
        order = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :k]
        kept.append((order, np.take_along_axis(values, order, 1), np.take_along_axis(contributions, order, 1)))
    return Reasons(names, usual, *(np.concatenate(found) for found in zip(*kept, strict=True)))


def _reason(name: str, value: float, usual: float, contribution: float) -> Reason:
    known = value if isfinite(value) else None
    return Reason(name, known, usual, contribution, in_words(name, known, usual))


def in_words(name: str, value: float | None, usual: float) -> str:
    """The value next to the usual one. A feature of ours reads as a phrase, any other column by its name."""
    feature = _KNOWN.get(name)
    if feature is None:
        plain = name.replace("_", " ")
        return f"{plain} is {'missing' if value is None else f'{value:,.4g}'}, usually {usual:,.4g}"
    if value is None:
        return f"{feature.meaning}: not known, usually {feature.number(usual)}"
    said, ordinary = feature.said(value), _ordinary(name, usual)
    return f"{said}, {'as usual' if ordinary == feature.number(value) else f'usually {ordinary}'}"


@lru_cache(maxsize=4096)
def _ordinary(name: str, usual: float) -> str:
    """The same for every customer of a model."""
    return _KNOWN[name].number(usual)
