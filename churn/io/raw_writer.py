"""Raw log files as they would arrive: JSON lines, gzipped, written whole or not at all."""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churn.core.simulated_events import Coded, RawTable

_ROWS = 65_536
"""Rows put into text at a time: some 35 MB, and far from the 2 GB that a string array can hold."""
_LEVEL = 1
"""Twice as fast as gzip's default (6) for files a third larger; nobody keeps a demo log for its size."""


class RawWriter:
    """Writes tables that share their vocabularies; each distinct value is turned into JSON once."""

    def __init__(self) -> None:
        self._pieces: dict[str, tuple[Sequence[str | int | float], pa.Array]] = {}

    def write(self, path: Path, table: RawTable) -> None:
        """Equal tables give equal bytes. Rows in order, keys in the order of the table, nulls written."""
        gzip = zlib.compressobj(_LEVEL, wbits=31)
        # Hidden, and the same name each time: what a killed attempt left is overwritten by the next one.
        aside = path.with_name(f".{path.name}.part")
        try:
            with aside.open("wb") as file:
                for text in self._lines(table):
                    file.write(gzip.compress(text))
                file.write(gzip.flush())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    def _lines(self, table: RawTable) -> Iterator[memoryview]:
        first = next(iter(table.values()))
        rows = len(first.codes if isinstance(first, Coded) else first)
        for start in range(0, rows, _ROWS):
            yield self._text(table, slice(start, start + _ROWS))

    def _text(self, table: RawTable, part: slice) -> memoryview:
        pieces: list[pa.Array | str] = []
        opening = "{"
        for name, column in table.items():
            if isinstance(column, Coded):
                codes = column.codes[part].astype(np.int32) + np.int32(1)
                pieces += [opening, self._coded(name, column.values).take(pa.array(codes))]
            else:
                pieces += [f'{opening}"{name}":', pc.cast(pa.array(column[part]), pa.string())]
            opening = ","
        joined = pc.binary_join_element_wise(*pieces, "}\n", "")
        return memoryview(joined.buffers()[2])

    def _coded(self, name: str, values: Sequence[str | int | float]) -> pa.Array:
        """``"name":value`` for each value; null in the first place."""
        known = self._pieces.get(name)
        if known is None or known[0] is not values:
            texts = [f'"{name}":{json.dumps(value)}' for value in (None, *values)]
            self._pieces[name] = known = (values, pa.array(texts, pa.string()))
        return known[1]
