"""Customers from an Arrow stream to numbers: the rules of :mod:`serving.customers`, a column at a time.

A stream is read message by message, and nothing in it is believed before it was looked at: what a message may make
Arrow allocate is bounded by its own bytes, because compressed and dictionary-encoded columns are not taken.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from churn.core.features import FEATURE_NAMES, FEATURES, Feature
from serving.customers import KNOWN, MAX_ROWS, NAMES, NONE_FULL, Customers, instead
from serving.errors import Problem, Refused, clipped, refused, shown
from serving.rules import expected

METADATA_LIMIT = 64 * 1024
"""Bytes of one message's metadata; a schema of every feature takes 10,000. Few bytes can describe very many columns."""
MAX_BATCHES = 1_000
"""Record batches in one stream: each takes as long to read as a thousand rows."""

_WANTED = f"an Arrow IPC stream of 1 to {MAX_ROWS:,} customers, a column per feature"
_CONTINUES = b"\xff\xff\xff\xff"
_BROKEN = (pa.ArrowException, OSError, EOFError, ValueError)
"""What Arrow raises for bytes that are no message of the kind that they say, and for text that is not UTF-8."""
_RECORD_BATCH, _COMPRESSION = 2, 3
"""Fields of a message and of a record batch, as Arrow's Message.fbs counts them."""


def of_body(body: bytes) -> Customers:
    """The customers of a stream. Raises Refused as :func:`serving.customers.many` does."""
    stream = _Stream(body)
    _check_columns(stream.schema)
    batches = stream.batches()
    features = [KNOWN[name] for name in stream.names]
    values = _values(batches, len(features))
    if not _keep_rules(features, values, stream.schema.types):
        raise _refusal(features, values, pa.Table.from_batches(batches))
    complete = len(features) == len(FEATURES)
    places = [stream.names.index(name) for name in (FEATURE_NAMES if complete else NAMES)]
    ordered = values if places == list(range(len(features))) else values[places]
    # Row by row in memory, as from JSON: the same sums in the same order, to the last bit.
    rows = np.ascontiguousarray(ordered.T)
    every = np.full(len(rows), complete)
    return Customers(np.empty((0, len(NAMES))), rows, every) if complete else Customers(rows, NONE_FULL, every)


class _Stream:
    """The messages of a body: a schema, then record batches."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._file = pa.BufferReader(body)
        message = self._next()
        if message is None:
            raise refused(422, "an empty body" if not body else "a stream of nothing", _WANTED)
        if message.type != "schema":
            raise refused(422, f"a stream that begins with a {clipped(message.type)}", "a schema first")
        try:
            self.schema = pa.ipc.read_schema(message)
            self.names: list[str] = self.schema.names
        except _BROKEN as e:
            raise _no_stream(e) from None

    def batches(self) -> list[pa.RecordBatch]:
        """All record batches. Raises Refused where one is not what the schema says, or there are too many rows."""
        batches: list[pa.RecordBatch] = []
        rows = 0
        for batch in self._batches():
            batches.append(batch)
            rows += batch.num_rows
            if rows > MAX_ROWS:
                raise refused(422, f"more than {MAX_ROWS:,} customers", _WANTED)
            if len(batches) > MAX_BATCHES:
                raise refused(422, f"more than {MAX_BATCHES:,} record batches", "larger record batches")
        if not rows:
            raise refused(422, "a stream of no rows", _WANTED)
        return batches

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while (message := self._next()) is not None:
            if message.type != "record batch":
                raise refused(422, f"a {clipped(message.type)} in the stream", "record batches after the schema")
            if _compressed(message.metadata.to_pybytes()):
                raise refused(422, "a compressed record batch", "record batches without compression")
            try:
                batch = pa.ipc.read_record_batch(message, self.schema)
                batch.validate(full=True)
            except _BROKEN as e:
                raise _no_stream(e) from None
            yield batch

    def _next(self) -> pa.Message | None:
        """The next message; None at the end."""
        start = self._file.tell()
        head = self._body[start : start + 8]
        if not head:
            return None
        # Before version 0.15 the size came first; of four bytes or eight.
        size_at = 4 if head.startswith(_CONTINUES) else 0
        size = int.from_bytes(head[size_at : size_at + 4], "little", signed=True)
        if size == 0 and len(head) >= size_at + 4:
            if after := len(self._body) - start - size_at - 4:
                raise refused(422, f"{after:,} bytes after the stream's end", "one stream")
            return None
        if size > METADATA_LIMIT:
            raise refused(422, f"a message with {size:,} bytes of metadata", f"at most {METADATA_LIMIT:,}: {_WANTED}")
        try:
            return pa.ipc.read_message(self._file)
        except _BROKEN as e:
            raise _no_stream(e) from None


def _check_columns(schema: pa.Schema) -> None:
    """Raises Refused where a feature is missing or there twice, a name is unknown, or a column is not of numbers."""
    names: list[str] = schema.names
    times = Counter(names)
    if twice := [name for name, count in times.items() if count > 1]:
        raise refused(422, "the name twice", "each name once", field=twice[0])
    problems = [Problem(name, "nothing", _of(KNOWN[name])) for name in NAMES if name not in times]
    for field in schema:
        feature = KNOWN.get(field.name)
        if feature is None:
            problems.append(Problem(field.name, _kind(field.type), instead(field.name)))
        elif not _is_numeric(field.type, feature):
            problems.append(Problem(field.name, _kind(field.type), _of(feature)))
    if problems:
        raise Refused(422, problems)


def _of(feature: Feature) -> str:
    return f"a column of integers or floating-point numbers, each {expected(feature)}"


def _kind(kind: pa.DataType) -> str:
    return f"a column of {clipped(str(kind))}"


def _is_numeric(kind: pa.DataType, feature: Feature) -> bool:
    """Whether the column's type is one that a feature may have; a flag may be true or false as well."""
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or (pa.types.is_boolean(kind) and feature.kind == "flag")
    )


def _values(batches: Sequence[pa.RecordBatch], columns: int) -> NDArray[np.float64]:
    """What the columns hold (k, n); NaN where there is a null."""
    values = np.empty((columns, sum(batch.num_rows for batch in batches)))
    start = 0
    for batch in batches:
        end = start + batch.num_rows
        for place, column in enumerate(batch.columns):
            # An integer that no double holds is out of every range, before and after.
            plain = column.cast(pa.float64(), safe=False) if column.null_count else column
            values[place, start:end] = plain.to_numpy(zero_copy_only=False)
        start = end
    return values


def _keep_rules(features: Sequence[Feature], values: NDArray[np.float64], kinds: Sequence[pa.DataType]) -> bool:
    # A column's ends are NaN where any of its values is.
    ends = zip(features, values.min(axis=1).tolist(), values.max(axis=1).tolist(), strict=True)
    if not all(low >= feature.minimum and high <= feature.maximum for feature, low, high in ends):
        return False
    doubtful = [f.whole and pa.types.is_floating(kind) for f, kind in zip(features, kinds, strict=True)]
    return all(bool((np.rint(column) == column).all()) for column in compress(values, doubtful))


def _refusal(features: Sequence[Feature], values: NDArray[np.float64], table: pa.Table) -> Refused:
    """The first faults by row, then by column, and how many there are."""
    fits = np.empty(values.shape, dtype=np.bool_)
    for feature, column, good in zip(features, values, fits, strict=True):
        good[:] = (column >= feature.minimum) & (column <= feature.maximum)
        if feature.whole:
            good &= np.rint(column) == column
    wrong = np.flatnonzero(~fits.T)
    first = [divmod(place, len(features)) for place in wrong[: Refused.SHOWN].tolist()]
    problems = [
        Problem(features[at].name, shown(table.column(at)[row].as_py()), expected(features[at]), row)
        for row, at in first
    ]
    return Refused(422, problems, count=len(wrong))


def _compressed(message: bytes) -> bool:
    """Whether a record batch says that its columns are compressed: then a few bytes may become any number, and how
    many is known to the columns alone. The message was verified by Arrow when it was read."""
    try:
        (root,) = struct.unpack_from("<I", message, 0)
        at = _field(message, root, _RECORD_BATCH)
        if at is None:
            raise refused(422, "a record batch without a description", _WANTED)
        (batch,) = struct.unpack_from("<I", message, at)
        return _field(message, at + batch, _COMPRESSION) is not None
    except struct.error as e:
        raise _no_stream(e) from None


def _field(message: bytes, table: int, number: int) -> int | None:
    """Where a field of a FlatBuffers table lies; None where it is not there."""
    (back,) = struct.unpack_from("<i", message, table)
    (size,) = struct.unpack_from("<H", message, table - back)
    if size <= 4 + 2 * number:
        return None
    (offset,) = struct.unpack_from("<H", message, table - back + 4 + 2 * number)
    return table + offset if offset else None


def _no_stream(error: Exception) -> Refused:
    return refused(422, f"bytes that are no Arrow stream: {clipped(str(error).partition(chr(10))[0])}", _WANTED)
