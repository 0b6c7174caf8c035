"""Customers from JSON to numbers: one set of rules, checked for all rows at once, explained cell by cell."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import compress, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.core.features import CORE_FEATURES, FEATURES
from serving import bodies, quick
from serving.errors import Problem, Refused, refused, shown
from serving.rules import Rules, expected, fits

MAX_ROWS = 100_000
"""Rows in one batch."""

NAMES: tuple[str, ...] = tuple(f.name for f in CORE_FEATURES)
"""What every customer must bring, in the order of the core model's columns."""

KNOWN = {f.name: f for f in FEATURES}
"""Every feature by its name."""
_CORE_COLUMNS = [list(KNOWN).index(name) for name in NAMES]
_ABSENT = object()


class Customers(NamedTuple):
    """Customers that keep the rules, parted by what they bring: every feature, or at least the core ones."""

    core: NDArray[np.float64]
    """Core features of the rows that do not bring all (a, k)."""
    full: NDArray[np.float64]
    """All features of those that do (b, l); a + b = n."""
    complete: NDArray[np.bool_]
    """Which of the n rows lie in ``full``; both keep the order of the request."""

    def core_of_all(self) -> NDArray[np.float64]:
        """Core features of every row (n, k), in the order of the request."""
        if not len(self.full):
            return self.core
        table = np.empty((len(self.complete), len(NAMES)))
        table[self.complete] = self.full[:, _CORE_COLUMNS]
        table[~self.complete] = self.core
        return table


_CORE, _ALL = Rules(CORE_FEATURES), Rules(FEATURES)
NONE_FULL = np.empty((0, len(FEATURES)))
"""Of customers none of whom brings every feature."""


class _Fault(NamedTuple):
    row: int
    name: str | None
    """None: the row as a whole."""
    found: Any


class Customer(NamedTuple):
    """One customer that keeps the rules."""

    core: Sequence[float]
    """The core features, in the order of the core model's columns."""
    full: Sequence[float] | None
    """All features in the order of the full model's; None where some did not come."""


def one_of_body(body: bytes) -> Customer:
    """The customer of a request's body. Raises Refused as :func:`bodies.parsed` and :func:`one` do."""
    row = quick.row(body)
    if row is None:  # wrong, or written in a way that only the exact path reads: it says what, or reads it
        customer = one(bodies.parsed(body))
        row = (customer.full if len(customer.full) else customer.core)[0].tolist()
    return Customer(row[: len(NAMES)], row if len(row) == len(FEATURES) else None)


def of_body(body: bytes) -> Customers:
    """The customers of a batch's body. Raises Refused as :func:`bodies.parsed` and :func:`many` do."""
    table = quick.table(body, MAX_ROWS)
    if table is None:
        _not_far_too_many(body)
        return many(bodies.parsed(body))
    if table.shape[1] == len(NAMES):
        return Customers(table, NONE_FULL, np.zeros(len(table), dtype=np.bool_))
    complete: NDArray[np.bool_] = np.asarray(~np.isnan(table).any(axis=1))
    return Customers(table[~complete][:, _CORE_COLUMNS], table[complete], complete)


def _not_far_too_many(body: bytes) -> None:
    """Raises Refused for a body that holds far more than a batch may: to read it would take gigabytes, and seconds in
    which no other request is answered."""
    values, objects = body.count(b","), body.count(b"{") + body.count(b"[")
    if values > MAX_ROWS * len(FEATURES) or objects > 2 * MAX_ROWS:
        raise refused(422, "far more values than that", f"an array of 1 to {MAX_ROWS:,} customers")


def one(customer: Any) -> Customers:
    """One customer. Raises Refused naming each feature that breaks a rule."""
    return _checked([customer], indexed=False)


def many(customers: Any) -> Customers:
    """The customers of a batch. Raises Refused, also naming the index of each customer with a fault."""
    wanted = f"an array of 1 to {MAX_ROWS:,} customers"
    if not isinstance(customers, list) or not 0 < len(customers) <= MAX_ROWS:
        raise refused(422, shown(customers), wanted)
    return _checked(customers, indexed=True)


def _checked(rows: Sequence[Any], *, indexed: bool) -> Customers:
    checked = _parted(rows)
    if checked is None:
        raise _refusal(rows, indexed=indexed)
    return checked


def _parted(rows: Sequence[Any]) -> Customers | None:
    """The rows, each with those that bring as much; None where one breaks a rule."""
    try:
        longest = max(map(len, rows))
    except TypeError:  # a number, or null
        return None
    complete = np.zeros(len(rows), dtype=np.bool_)
    if longest <= len(NAMES):
        core = _CORE.table(rows)
        return None if core is None else Customers(core, NONE_FULL, complete)
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            return None
        if row.keys() == KNOWN.keys():
            complete[i] = True
        elif len(row) > len(NAMES) and not all(_fits(name, value) for name, value in row.items()):
            return None
    full = _ALL.table(list(compress(rows, complete)))
    core = _CORE.table(list(compress(rows, ~complete)))
    return None if core is None or full is None else Customers(core, full, complete)


def _fits(name: str, value: Any) -> bool:
    feature = KNOWN.get(name)
    return feature is not None and fits(feature, value)


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
    feature = KNOWN.get(fault.name)
    return Problem(fault.name, found, expected(feature) if feature else instead(fault.name), index)


def instead(name: str) -> str:
    """What is expected in the place of a name that no feature has."""
    close = get_close_matches(name[:100].lower(), KNOWN, n=1)
    if close:
        return f"no such feature; did you mean {close[0]}?"
    return f"only the features {', '.join(NAMES)} and the others that /api/churn/features lists"
