"""The drift reference as files: the columns as parquet, the bins and the circumstances as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from churn.core.arrays import Floats
from churn.core.drift_reference import Categories, DriftReference, Numbers
from churn.errors import ContractViolation
from churn.io.lake import fingerprint, write_json, write_parquet

FOLDER = "drift"
"""What the reference is attached to a version as."""
_TABLE, _FACTS = "reference.parquet", "reference.json"
_FORMAT = 1


@dataclass(frozen=True)
class StoredReference:
    """What a model was measured on, and how it has to be compared."""

    reference: DriftReference
    as_of: date
    """The cut-off of the hold-out."""
    history_days: int
    """Of log before the cut-off that the columns were computed from."""
    kinds: Mapping[str, int]
    """Events of these days by kind."""


def save_reference(stored: StoredReference, folder: Path) -> None:
    """Write both files. Equal references give equal bytes."""
    columns = stored.reference.columns
    numbers = {name: c for name, c in columns.items() if isinstance(c, Numbers)}
    # Columns lie in the file each sorted by itself, missing values at its end.
    table = pa.table({name: _padded(c.values, stored.reference.rows) for name, c in numbers.items()})
    write_parquet(folder / _TABLE, table)
    facts = {
        "format": _FORMAT,
        "as_of": str(stored.as_of),
        "history_days": stored.history_days,
        "rows": stored.reference.rows,
        "sha256": fingerprint(folder / _TABLE),
        "columns": {name: _facts(column) for name, column in columns.items()},
        "kinds": dict(stored.kinds),
    }
    write_json(folder / _FACTS, facts)


def load_reference(folder: Path) -> StoredReference:
    """Read what :func:`save_reference` wrote. Raises ContractViolation for damaged files or another format."""
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        if facts["format"] != _FORMAT:
            raise ContractViolation(f"the drift reference has format {facts['format']}; this code reads {_FORMAT}")
        if facts["sha256"] != fingerprint(folder / _TABLE):
            raise ContractViolation(f"{_TABLE} of the drift reference is not the file that was stored: train again")
        table = pq.ParquetFile(folder / _TABLE).read()
        columns = {name: _column(name, known, table) for name, known in facts["columns"].items()}
        return StoredReference(
            DriftReference(facts["rows"], columns),
            date.fromisoformat(facts["as_of"]), facts["history_days"], facts["kinds"],
        )  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError) as e:
        raise ContractViolation(f"the drift reference in {folder.name}/ cannot be read ({e}): train again") from e


def _padded(values: Floats, rows: int) -> pa.Array:
    return pa.array(np.append(values, np.full(rows - len(values), np.nan)), from_pandas=True)


def _facts(column: Numbers | Categories) -> dict[str, object]:
    if isinstance(column, Categories):
        return {"missing": column.missing, "counts": dict(column.counts)}
    return {"missing": column.missing, "discrete": column.discrete, "cuts": column.cuts.tolist()}


def _column(name: str, facts: Mapping[str, Any], table: pa.Table) -> Numbers | Categories:
    if "counts" in facts:
        return Categories(facts["counts"], facts["missing"])
    values = table[name].drop_null().to_numpy().astype(np.float64)
    return Numbers(values, facts["missing"], np.array(facts["cuts"], dtype=np.float64), bool(facts["discrete"]))
