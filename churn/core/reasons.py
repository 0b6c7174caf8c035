"""Why a score is what it is: what each feature adds to the log-odds, largest first, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

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


def strongest(
    names: Sequence[str], values: Floats, contributions: Floats, usual: Mapping[str, float], k: int
) -> tuple[Reason, ...]:
    """The ``k`` features with the largest contributions of either sign, largest first; ties in order of the columns.

    ``values`` and ``contributions`` (features,) belong to one customer. Features that add nothing are left out.
    """
    order = np.argsort(-np.abs(contributions), kind="stable")[:k]
    return tuple(
        _reason(names[i], float(values[i]), usual[names[i]], float(contributions[i]))
        for i in order.tolist()
        if contributions[i] != 0
    )


def _reason(name: str, value: float, usual: float, contribution: float) -> Reason:
    known = value if np.isfinite(value) else None
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
