"""Customers from JSON to numbers: one set of rules, checked for all rows at once, explained cell by cell."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.core.features import CORE_FEATURES, FEATURES, Feature
from serving.errors import Problem, Refused, refused, shown

MAX_ROWS = 100_000
"""Rows in one batch."""

NAMES: tuple[str, ...] = tuple(f.name for f in CORE_FEATURES)
"""What every customer must bring, in the order of the columns."""

_KNOWN = {f.name: f for f in FEATURES}
_LOW = np.array([f.minimum for f in CORE_FEATURES])
_HIGH = np.array([f.maximum for f in CORE_FEATURES])
_FRACTIONS = np.array([not f.whole for f in CORE_FEATURES])
_values_of = itemgetter(*NAMES)
_ABSENT = object()


class _Fault(NamedTuple):
    row: int
    name: str | None
    """None: the row as a whole."""
    found: Any


def one(customer: Any) -> NDArray[np.float64]:
    """One customer's core features (1, k). Raises Refused naming each feature that breaks a rule."""
    return _checked([customer], indexed=False)


def many(customers: Any) -> NDArray[np.float64]:
    """The customers' core features (n, k). Raises Refused, also naming the index of each customer with a fault."""
    wanted = f"an array of 1 to {MAX_ROWS:,} customers"
    if not isinstance(customers, list) or not 0 < len(customers) <= MAX_ROWS:
        raise refused(422, shown(customers), wanted)
    return _checked(customers, indexed=True)


def _checked(rows: Sequence[Any], *, indexed: bool) -> NDArray[np.float64]:
    table = _table(rows)
    with np.errstate(invalid="ignore"):  # infinity has no fraction; it is out of range anyway
        if table is None or not _allowed(table, _LOW, _HIGH, _FRACTIONS).all():
            raise _refusal(rows, indexed=indexed)
    return table


def _table(rows: Sequence[Any]) -> NDArray[np.float64] | None:
    """The rows as an array; None where a name or a type is wrong."""
    try:
        values = [_values_of(row) for row in rows]
        kinds = set(map(type, chain.from_iterable(values)))
        if not kinds <= {int, float} and not all(map(_right_kinds, values)):
            return None
        table = np.array(values, dtype=np.float64)
    except (KeyError, TypeError, OverflowError):  # a name is missing, a row is no object, an integer is beyond a double
        return None
    extra = (row for row in rows if len(row) > len(NAMES))
    return table if all(_fits(name, value) for row in extra for name, value in row.items()) else None


def _allowed(x: Any, low: Any, high: Any, fractions: Any) -> Any:
    """The rule of a feature's values, for one number or for a whole table. NaN is outside every range."""
    return (x >= low) & (x <= high) & ((x % 1 == 0) | fractions)


def _is_number(feature: Feature, value: Any) -> bool:
    """A JSON number; a flag may be true or false as well."""
    return type(value) in (int, float) or (type(value) is bool and feature.kind == "flag")


def _right_kinds(values: tuple[Any, ...]) -> bool:
    return all(map(_is_number, CORE_FEATURES, values))


def _fits(name: str, value: Any) -> bool:
    feature = _KNOWN.get(name)
    if feature is None or not _is_number(feature, value):
        return False
    # Python compares and divides integers that no double can hold.
    return bool(_allowed(value, feature.minimum, feature.maximum, not feature.whole))


def _faults(rows: Sequence[Any]) -> Iterator[_Fault]:
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            yield _Fault(i, None, row)
            continue
        for name in NAMES:
            if name not in row:
                yield _Fault(i, name, _ABSENT)
        for name, value in row.items():
            if not _fits(name, value):
                yield _Fault(i, name, value)


def _refusal(rows: Sequence[Any], *, indexed: bool) -> Refused:
    faults = _faults(rows)
    first = [_problem(fault, fault.row if indexed else None) for fault in islice(faults, Refused.SHOWN)]
    return Refused(422, first, count=len(first) + sum(1 for _ in faults))


def _problem(fault: _Fault, index: int | None) -> Problem:
    if fault.name is None:
        return Problem("body", shown(fault.found), "an object with the features of one customer", index)
    found = "nothing" if fault.found is _ABSENT else shown(fault.found)
    feature = _KNOWN.get(fault.name)
    return Problem(fault.name, found, expected(feature) if feature else _instead(fault.name), index)


def _instead(name: str) -> str:
    close = get_close_matches(name[:100].lower(), _KNOWN, n=1)
    return f"no such feature; did you mean {close[0]}?" if close else f"only the features {', '.join(_KNOWN)}"


def expected(feature: Feature) -> str:
    """The rule of a feature's values in words."""
    if feature.kind == "flag":
        return "0 or 1 (or false, true)"
    kind = "a whole number" if feature.whole else "a number"
    unit = "" if feature.unit == "count" else f" ({feature.unit})"
    return f"{kind} from {feature.minimum:,.0f} to {feature.maximum:,.0f}{unit}"
