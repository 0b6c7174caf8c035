"""The log of the API's predictions: parquet in ``<data home>/predictions``, a folder a UTC day, whole files only.

What a request brought, what was answered, by which version and when; nothing that names a customer or a caller.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from churn.core.features import FEATURE_NAMES
from churn.errors import ContractViolation

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_NAMED = 5

_FEATURES = [pa.field(name, pa.float64()) for name in FEATURE_NAMES]
SCHEMA = pa.schema(
    [
        pa.field("ts_ms", pa.int64(), nullable=False),
        pa.field("endpoint", pa.string(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        *_FEATURES,  # null where the request did not bring it
        pa.field("churn_probability", pa.float64(), nullable=False),
        pa.field("churn_prediction", pa.int8(), nullable=False),
        pa.field("shadow_version", pa.string()),
        pa.field("shadow_probability", pa.float64()),
    ]
)
"""endpoint: predict, batch or events. model: core or full. role: champion or challenger. ``shadow_…``: the version at
Staging that was asked too, and what it would have said; null where none was."""
_TEXTS = [field.name for field in SCHEMA if field.type == pa.string()]
_OPTIONAL = {field.name for field in SCHEMA if field.nullable}
"""A file of an earlier release may lack them."""


def partition(home: Path, day: date) -> Path:
    """The folder of a UTC day."""
    return home / "predictions" / f"date={day}"


def write(home: Path, table: pa.Table) -> list[Path]:
    """Write predictions, one new file for each day among them; the files, earliest day first.

    Each is written aside in its folder, flushed to the disk and renamed: a reader sees all of it or nothing. Names are
    the time of the earliest prediction, how many there are, and chance, so that no two processes or machines meet.
    """
    table = table.cast(SCHEMA)
    days = pc.divide(table["ts_ms"], _DAY_MS)
    paths = []
    for day in sorted(pc.unique(days).to_pylist()):
        rows = table.filter(pc.equal(days, day))
        at = datetime.fromtimestamp(pc.min(rows["ts_ms"]).as_py() / 1000, UTC)
        folder = partition(home, _EPOCH + timedelta(days=day))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{at:%H%M%S%f}-{len(rows)}-{secrets.token_hex(6)}.parquet"
        _write(path, rows)
        paths.append(path)
    return paths


def read(
    home: Path, first: date, last: date, columns: Sequence[str] | None = None, *, most: int | None = None
) -> pa.Table:
    """Predictions of the days from ``first`` to ``last``, both included, each day's in the order of its files.

    ``most``: so many of each day at most, evenly spread over all of it; what holds none of them is not opened. Raises
    ContractViolation naming the files that cannot be read. They are not passed over: a file gets its name when it is
    whole, so that a damaged one means a damaged disk, and figures from what is left would look like those of all.
    """
    wanted = pa.schema([SCHEMA.field(name) for name in columns]) if columns is not None else SCHEMA
    tables, faults = [wanted.empty_table()], []
    for n in range((last - first).days + 1):
        for path, rows in _chosen(partition(home, first + timedelta(days=n)), most):
            try:
                table = _read(path, wanted)
                tables.append(table if rows is None else table.take(rows))
            except FileNotFoundError:  # removed since it was listed, as old days are
                continue
            except (OSError, ValueError, IndexError) as e:  # pyarrow's own errors are among these
                faults.append(f"{path.relative_to(home)} ({str(e).splitlines()[0][:200]})")
    if faults:
        more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise ContractViolation(
            f"the log of predictions has files that cannot be read: {', '.join(faults[:_NAMED])}{more}. Move them "
            "away, and what is left is read"
        )
    return pa.concat_tables(tables)


def _chosen(folder: Path, most: int | None) -> Iterator[tuple[Path, NDArray[np.int64] | None]]:
    """Files of a day in order, and which of their rows; None: all of them."""
    # A hidden file is being written, or was when its process was killed.
    files = sorted(path for path in folder.glob("*.parquet") if path.name[0] != ".")
    if most is None:
        yield from ((path, None) for path in files)
        return
    ends = np.cumsum([_rows(path) for path in files], dtype=np.int64)
    total = int(ends[-1]) if files else 0
    rows = np.arange(total) if total <= most else np.arange(most) * total // most
    for path, start, end in zip(files, np.append(0, ends), ends):
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)] - start
        if len(here):
            yield path, here


def _rows(path: Path) -> int:
    """As its name says. Raises ContractViolation."""
    parts = path.stem.split("-")
    if len(parts) != 3 or not parts[1].isdecimal():
        raise ContractViolation(f"{path} is no file of the log of predictions: move it away")
    return int(parts[1])


def _read(path: Path, wanted: pa.Schema) -> pa.Table:
    file = pq.ParquetFile(path)
    there = set(file.schema_arrow.names)
    if lacking := sorted(set(wanted.names) - there - _OPTIONAL):
        raise ValueError(f"it has no column {', '.join(lacking)}")
    table = file.read([name for name in wanted.names if name in there])
    for field in wanted:
        if field.name not in there:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(wanted.names).cast(wanted)


def _write(path: Path, table: pa.Table) -> None:
    aside = path.with_name(f".{path.name}.part")
    try:
        with aside.open("wb") as file:
            # Numbers as they are: looking for repeats in them takes three times as long and saves nothing. Files are
            # small and many, so they carry no figures that nobody asks for.
            pq.write_table(
                table, file, compression="zstd", use_dictionary=_TEXTS, write_statistics=["ts_ms"], store_schema=False
            )
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
