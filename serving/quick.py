"""The quick way from a body's bytes to checked numbers: JSON decoded straight to typed rows, in C.

It takes a body, or gives it up without a word; then the exact way (:mod:`serving.bodies`, :mod:`serving.customers`)
reads it, or says what is wrong with it. Whatever this way takes, that one would take too, with the same numbers.
"""

import math
import re
import struct
from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from churn.core.features import CORE_FEATURES, FEATURES, Feature
from serving.rules import Rules

_CHUNK = 256 * 1024
"""Bytes decoded at a time: no other thread runs meanwhile, and what was decoded is still in the processor's cache."""
_COMMA = re.compile(rb"[ \t\r\n]*,")


def row(body: bytes) -> list[float] | None:
    """The core or all features of one customer in order; None where the body is anything else."""
    # No value that is taken holds a colon: as many colons as features, and no name came twice.
    form = _BY_NAMES.get(body.count(b":"))
    if form is None:
        return None
    return form.row(body)


def table(body: bytes, limit: int) -> NDArray[np.float64] | None:
    """The customers of a batch (n, k), n from 1 to ``limit``; None where the body is anything else.

    k is the number of the core features where nobody brings more, else that of all; NaN is what did not come.
    """
    found = _CORE.table(body, limit)
    return _SOME.table(body, limit) if found is None else found


class _Form:
    """A customer with ``required`` features and perhaps ``optional`` ones, and nothing else."""

    def __init__(self, required: Sequence[Feature], optional: Sequence[Feature]) -> None:
        features = [*required, *optional]
        fields: list[Any] = [(f.name, _kind(f)) for f in required]
        fields += [(f.name, _kind(f), math.nan) for f in optional]
        customer = msgspec.defstruct("Customer", fields, forbid_unknown_fields=True, gc=False)
        self._one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(customer)
        self._many: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[customer])  # type: ignore[valid-type]
        self._rules = Rules(features)
        self._columns = len(features)
        self._pack = struct.Struct(f"{len(features)}d").pack

    def row(self, body: bytes) -> list[float] | None:
        try:
            values = list(map(float, msgspec.structs.astuple(self._one.decode(body))))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return values if self._rules.allow_row(values) else None

    def table(self, body: bytes, limit: int) -> NDArray[np.float64] | None:
        tables, rows = [], 0
        for chunk in _chunks(body):
            if (found := self._chunk(chunk)) is None or (rows := rows + len(found)) > limit:
                return None
            tables.append(found)
        return np.concatenate(tables)

    def _chunk(self, chunk: memoryview) -> NDArray[np.float64] | None:
        try:
            customers = self._many.decode(chunk)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        # Packed as doubles row by row: half the time of a NumPy array made from the same numbers.
        packed = b"".join(starmap(self._pack, map(msgspec.structs.astuple, customers)))
        table = np.frombuffer(packed).reshape(-1, self._columns)
        absent = np.isnan(table)
        names = table.size - np.count_nonzero(absent)
        colons = np.count_nonzero(np.frombuffer(chunk, np.uint8) == ord(":"))
        if not len(table) or colons != names:
            return None
        known = np.where(absent, self._rules.low, table) if names < table.size else table
        return table if self._rules.allow(known) else None


def _kind(feature: Feature) -> Any:
    return float | bool if feature.kind == "flag" else float


def _chunks(body: bytes) -> Iterator[memoryview]:
    """The array in parts that are arrays too, cut between two customers; each to be read before the next.

    The comma of a cut is turned into the bracket that ends one part, then into the one that begins the next. Nothing
    else is changed, so where the bytes are no array of flat objects, some part is not either; a part without customers
    is for the caller to refuse.
    """
    text = bytearray(body)
    start = 0
    while len(text) - start > _CHUNK:
        end = text.find(b"}", start + _CHUNK) + 1
        comma = _COMMA.match(text, end) if end else None
        if comma is None:
            break
        cut = comma.end() - 1
        text[cut] = ord("]")
        yield memoryview(text)[start : cut + 1]
        text[cut] = ord("[")
        start = cut
    yield memoryview(text)[start:]


_CORE, _SOME = _Form(CORE_FEATURES, ()), _Form(CORE_FEATURES, FEATURES[len(CORE_FEATURES) :])
_BY_NAMES = {len(CORE_FEATURES): _CORE, len(FEATURES): _SOME}
