"""Shards of a night's scores on disk, beside the features they are made of: who removes these removes them too."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from churn.core.arrays import Floats
from churn.core.reasons import Reason
from churn.io.lake import Lake, write_parquet

_FOLDER = "shards"
_BATCH = 4_096
_SCHEMA = pa.schema(
    {
        "customer_id": pa.string(),
        "churn_probability": pa.float64(),
        "reasons": pa.list_(
            pa.struct(
                {
                    "feature": pa.string(),
                    "value": pa.float64(),
                    "usual": pa.float64(),
                    "contribution": pa.float64(),
                    "text": pa.string(),
                }
            )
        ),
    }
)


class Scored(NamedTuple):
    """What a model says of customers in the order of the feature file."""

    customer_ids: list[str]
    probability: Floats
    reasons: Iterable[tuple[Reason, ...]]
    """Of each customer, strongest first; it can be gone through more than once."""


@dataclass(frozen=True)
class Shard:
    """One share of a night: consecutive rows of one feature file, and the version that scores them."""

    as_of: str
    model_version: str
    features: str
    """sha256 of the feature file."""
    number: int
    """From 0."""
    of: int

    def rows(self, customers: int) -> range:
        """Its share of the rows."""
        return range(customers * self.number // self.of, customers * (self.number + 1) // self.of)

    def folder(self, lake: Lake) -> Path:
        """Of all shards of the same night, version and features."""
        made_of = f"model={self.model_version}-features={self.features[:16]}"
        return _shards(lake, date.fromisoformat(self.as_of)) / f"{made_of}-of={self.of}"

    def path(self, lake: Lake) -> Path:
        return self.folder(lake) / f"shard={self.number}.parquet"


def write_shard(path: Path, scored: Scored) -> None:
    """Whole or not at all; the same scores give the same bytes."""
    columns = [scored.customer_ids, scored.probability, [[asdict(r) for r in why] for why in scored.reasons]]
    write_parquet(path, pa.table(dict(zip(_SCHEMA.names, columns, strict=True)), schema=_SCHEMA))


def read_shards(paths: Sequence[Path]) -> Scored:
    """The shards one after the other. The reasons, which are most of it, stay on disk until they are asked for."""
    tables = [pq.ParquetFile(path).read(_SCHEMA.names[:2]) for path in paths]
    return Scored(
        list(chain.from_iterable(table["customer_id"].to_pylist() for table in tables)),
        np.concatenate([table["churn_probability"].to_numpy() for table in tables]),
        _KeptReasons(paths),
    )


class _KeptReasons:
    """Those in the shards, read anew each time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[tuple[Reason, ...]]:
        for path in self._paths:
            for batch in pq.ParquetFile(path).iter_batches(_BATCH, columns=["reasons"]):
                for why in batch["reasons"].to_pylist():
                    yield tuple(Reason(**reason) for reason in why)


def read_rows(path: Path, rows: range) -> pa.Table:
    """These rows of a parquet file; of the others, no more at a time than a batch."""
    file, batches, start = pq.ParquetFile(path), list[pa.RecordBatch](), 0
    for group in range(file.num_row_groups):
        stop = start + file.metadata.row_group(group).num_rows
        if start < rows.stop and rows.start < stop:
            at = start
            for batch in file.iter_batches(row_groups=[group]):
                first, last = max(rows.start - at, 0), min(rows.stop - at, batch.num_rows)
                if first < last:
                    batches.append(batch.slice(first, last - first))
                at += batch.num_rows
                if at >= rows.stop:
                    break
        start = stop
    return pa.Table.from_batches(batches, schema=file.schema_arrow)


def remove_shards(lake: Lake, shard: Shard) -> None:
    """The folder of its plan goes at once, so that a killed attempt leaves all shards or none.

    Those of another plan stay: another run may be gathering them. They go with the features.
    """
    folder = shard.folder(lake)
    away = folder.with_name(f".{folder.name}.published")
    if folder.is_dir():
        shutil.rmtree(away, ignore_errors=True)
        folder.replace(away)
    shutil.rmtree(away, ignore_errors=True)
    with suppress(OSError):  # the last plan's
        folder.parent.rmdir()


def _shards(lake: Lake, as_of: date) -> Path:
    return lake.features(as_of).parent / _FOLDER
