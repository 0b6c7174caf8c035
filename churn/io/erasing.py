"""Files written anew without some customers: parquet of our own, and raw logs as they came.

A file that holds none of them is left as it is, to the byte; another one is replaced in one rename.
"""

import csv
import glob
import gzip
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churn.errors import BadInput
from churn.io.lake import write_parts
from churn.io.raw import raw_paths
from churn.io.suppression import known_as

Forgotten = Callable[[Iterable[str]], Collection[str]]
"""Which of these customers are to be forgotten."""
_ESCAPED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\.")


def drop_rows(path: Path, columns: Collection[str], forgotten: Forgotten) -> int:
    """Rewrite a parquet file of the lake without the rows of forgotten customers; how many rows these were.

    ``columns``: where a customer may stand; those that the file lacks are passed over.
    """
    file = pq.ParquetFile(path)
    there = [name for name in columns if name in file.schema_arrow.names]
    found = {name: values for name in there if (values := _found(file.read(columns=[name])[name], forgotten))}
    if not found:
        return 0
    before, groups = file.metadata.num_rows, [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    parts = (_without(file.read_row_group(n), found) for n in range(len(groups)))  # a panel may be larger than memory
    write_parts(path, parts, row_group=max(groups))
    after: int = pq.read_metadata(path).num_rows
    return int(before - after)


def drop_copy(path: Path, columns: Collection[str], forgotten: Forgotten) -> int:
    """Remove a file that is made again when needed, if it has rows of forgotten customers; how many these were."""
    table = pq.ParquetFile(path).read(columns=list(columns))
    found = {name: _found(table[name], forgotten) for name in columns}
    held = len(table) - len(_without(table, found))
    if held:
        path.unlink()
    return held


def _without(table: pa.Table, found: Mapping[str, Collection[str]]) -> pa.Table:
    """The rows that hold none of these values in these columns."""
    own = np.zeros(len(table), dtype=bool)
    for name, values in found.items():
        texts = table[name].cast(pa.string())
        own |= pc.is_in(texts, value_set=pa.array(values, pa.string())).to_numpy()
    return table.filter(pa.array(~own))


def raw_rows_of(path: Path, columns: Collection[str], customer_id: str, *, remove: bool) -> int:
    """How many rows of a raw log are the customer's; with ``remove`` the file is written anew without them.

    A line of a JSON log that is no JSON object but holds the id counts too. All other lines stay as they are.
    """
    kind = next(iter(raw_paths([path]).values()), "parquet")  # the generator's answer is no raw log, but parquet
    if kind == "parquet":
        return _parquet_rows(path, columns, customer_id, remove=remove)
    others = _other_json_lines if kind == "json" else _other_csv_lines
    kept, total = 0, 0
    aside = _aside(path)
    try:
        gzipped = path.name.lower().endswith(".gz")
        with _opened(path, "rb", gzipped) as lines, _opened(*_target(aside, remove, gzipped)) as out:
            for whole, count in others(lines, columns, customer_id):
                total += count
                if whole:
                    kept += count
                    out.write(whole)
        if remove and kept < total:
            shutil.copymode(path, aside)
            aside.replace(path)
    except (EOFError, csv.Error, gzip.BadGzipFile, zlib.error) as e:
        raise BadInput(f"it cannot be read to its end ({type(e).__name__})") from e
    finally:
        aside.unlink(missing_ok=True)
    return total - kept


def _other_json_lines(lines: IO[bytes], columns: Collection[str], customer_id: str) -> Iterator[tuple[bytes, int]]:
    """Each line, or nothing in place of the customer's, and 1."""
    for line in lines:
        suspect = b"\\" in line or customer_id.encode() in line  # JSON may spell any character otherwise
        yield (b"" if suspect and _is_of(line, columns, customer_id) else line), 1


def _is_of(line: bytes, columns: Collection[str], customer_id: str) -> bool:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if isinstance(row, dict):
        return any(_is_same(row.get(name), customer_id) for name in columns)
    # Of what cannot be read: where the id stands by itself, not as a part of another one.
    plain = _ESCAPED.sub(_character, line.decode(errors="replace"))
    return bool(re.search(rf"(?<![\w-]){re.escape(customer_id)}(?![\w-])", plain))


def _character(escaped: re.Match[str]) -> str:
    try:
        return str(json.loads(f'"{escaped[0]}"'))
    except ValueError:
        return escaped[0]


def _other_csv_lines(lines: IO[bytes], columns: Collection[str], customer_id: str) -> Iterator[tuple[bytes, int]]:
    """The text of each record, or nothing in place of the customer's, and 1; first the header, which counts as none."""
    taken: list[bytes] = []

    def told() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line.decode("utf-8-sig" if len(taken) == 1 else "utf-8", errors="replace")

    texts = told()
    header = next(texts, "")
    separator = max(",;\t|", key=header.count)
    names = next(csv.reader([header], delimiter=separator), [])
    places = [i for i, name in enumerate(names) if name in columns]
    yield b"".join(taken), 0
    taken.clear()
    for record in csv.reader(texts, delimiter=separator):
        own = any(i < len(record) and _is_same(record[i], customer_id) for i in places)
        whole = b"".join(taken)
        taken.clear()
        yield (b"" if own else whole), 1


def _parquet_rows(path: Path, columns: Collection[str], customer_id: str, *, remove: bool) -> int:
    """A group of rows at a time: a raw log may be larger than memory."""
    file = pq.ParquetFile(path)
    there = [name for name in columns if name in file.schema_arrow.names]
    groups = range(file.metadata.num_row_groups) if there else ()
    counts = [len(_own(file.read_row_group(n, there), there, customer_id)) for n in groups]
    if not sum(counts) or not remove:
        return sum(counts)
    aside = _aside(path)
    try:
        with pq.ParquetWriter(aside, file.schema_arrow, compression="zstd") as out:
            for n in groups:
                table = file.read_row_group(n)
                others = np.ones(len(table), dtype=bool)
                others[_own(table, there, customer_id)] = False
                out.write_table(table.filter(pa.array(others)))
        shutil.copymode(path, aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return sum(counts)


def _own(table: pa.Table, columns: Collection[str], customer_id: str) -> list[int]:
    rows = [table[name].to_pylist() for name in columns]
    return [i for i, values in enumerate(zip(*rows, strict=True)) if any(_is_same(v, customer_id) for v in values)]


def _is_same(value: Any, customer_id: str) -> bool:
    """As ingestion reads an id: a number is its text."""
    if value is None or isinstance(value, bool) or not str(value).strip():
        return False
    return known_as(str(value)) == customer_id


def _found(column: pa.ChunkedArray, forgotten: Forgotten) -> list[str]:
    """The values of a column that name a forgotten customer."""
    texts = [text for text in pc.unique(column.cast(pa.string())).to_pylist() if text is not None]
    named = {text: known_as(text) for text in texts}
    gone = set(forgotten({name for name in named.values() if name is not None}))
    return [text for text, name in named.items() if name in gone]


def _aside(path: Path) -> Path:
    """Where a file is written before it takes the place of the old one; that of a killed attempt goes."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = left.name.split(".")[-2]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _target(aside: Path, remove: bool, gzipped: bool) -> tuple[Path, str, bool]:
    """Where the other lines go: nowhere, and uncompressed, when they are only counted."""
    return (aside, "wb", gzipped) if remove else (Path(os.devnull), "wb", False)


@contextmanager
def _opened(path: Path, mode: str, gzipped: bool) -> Iterator[IO[bytes]]:
    with path.open(mode) as file:
        if not gzipped:
            yield file
            return
        with gzip.GzipFile(fileobj=file, mode=mode) as unpacked:
            yield unpacked  # type: ignore[misc]  # as good as a file
