"""What a comparison is given, checked: nothing that is missing, of another length or impossible gets any further."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from churn.core.arrays import Bools, Floats
from churn.core.paired import Rows
from churn.core.resampling import indexed

THE_REST = "the rest"
"""Segments that are too small to be judged one by one, together."""


@dataclass(frozen=True)
class Part:
    """Rows (n,) that are judged by themselves, or are too few for it."""

    kind: str
    name: str
    rows: Bools
    churned: int
    judged: bool
    of: tuple[str, ...] = ()
    """Of which small segments it consists."""


def checked_rows(
    churned: ArrayLike,
    champion: ArrayLike,
    challenger: ArrayLike,
    customers: ArrayLike,
    segments: Mapping[str, ArrayLike] | ArrayLike | None = None,
) -> tuple[Rows, dict[str, NDArray[np.str_]]] | str:
    """The rows in an order of their own and the segments of each by kind; or, in words, what is wrong with them."""
    columns = {"outcomes": churned, "champion's scores": champion, "challenger's scores": challenger}
    numbers = {name: _numbers(values) for name, values in columns.items()}
    kinds = segments if isinstance(segments, Mapping) else {} if segments is None else {"segment": segments}
    names = {"customers": customers, **{f"segments by {kind}": values for kind, values in kinds.items()}}
    labels = {name: np.asarray(values, dtype=object) for name, values in names.items()}
    if unreadable := [name for name, values in numbers.items() if values is None]:
        return f"not numbers: {', '.join(unreadable)}"
    y, old, new = (values for values in numbers.values() if values is not None)
    shapes = {
        **{name: values.shape for name, values in zip(numbers, (y, old, new), strict=True)},
        **{name: values.shape for name, values in labels.items()},
    }
    if len(set(shapes.values())) > 1 or y.ndim != 1:
        return f"lengths differ: {', '.join(f'{n} {name}' for name, n in _lengths(shapes).items())}"
    for who, p in (("champion", old), ("challenger", new)):
        if not ((p >= 0) & (p <= 1)).all():  # NaN is neither
            return f"the {who}'s scores are not all probabilities"
    if not np.isin(y, (0, 1)).all():
        return "outcomes are not all 0 or 1"
    if missing := [name for name, values in labels.items() if pd.isna(values).any()]:
        return f"some are missing: {', '.join(missing)}"
    return _in_order(y, old, new, labels, list(kinds))


def _in_order(
    y: Floats, old: Floats, new: Floats, labels: Mapping[str, NDArray[Any]], kinds: list[str]
) -> tuple[Rows, dict[str, NDArray[np.str_]]]:
    """By customer, then by the figures: sums come out the same to the last bit, however the rows came."""
    who, *found = ([str(v) for v in values] for values in labels.values())
    _, unit = indexed(np.array(who, dtype=np.str_))
    order = np.lexsort((new, old, y, unit))
    rows = Rows(y[order], old[order], new[order], unit[order])
    return rows, {kind: np.array(values, dtype=np.str_)[order] for kind, values in zip(kinds, found, strict=True)}


def parts(rows: Rows, kinds: Mapping[str, NDArray[np.str_]], minimum_churned: int) -> list[Part]:
    """Every segment; of each kind also the small ones together.

    A segment is judged by itself where at least ``minimum_churned`` left and as many stayed.
    """
    found = []
    for kind, values in kinds.items():
        own = [_part(rows, kind, str(name), values == name, minimum_churned) for name in np.unique(values)]
        small = tuple(part.name for part in own if not part.judged)
        rest = _part(rows, kind, THE_REST, np.isin(values, small), minimum_churned)
        found += own + ([replace(rest, of=small)] if len(small) > 1 else [])
    return found


def _part(rows: Rows, kind: str, name: str, inside: Bools, minimum_churned: int) -> Part:
    churned = int(rows.churned[inside].sum())
    return Part(kind, name, inside, churned, min(churned, int(inside.sum()) - churned) >= minimum_churned)


def _numbers(values: ArrayLike) -> Floats | None:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _lengths(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    return {name: str(shape[0]) if len(shape) == 1 else str(shape) for name, shape in shapes.items()}
