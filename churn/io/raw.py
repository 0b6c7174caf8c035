"""Raw log files: where they are, what is in them, and their columns as text."""

import gzip
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from churn.core.events import SourceContract
from churn.core.json_lines import json_lines_sql
from churn.errors import BadInput, ContractViolation, Unavailable
from churn.io.engines.duckdb import DuckDBEngine
from churn.io.lake import fingerprint

_SUFFIXES: dict[str, Literal["json", "csv", "parquet"]] = {
    ".json": "json", ".jsonl": "json", ".json.gz": "json", ".jsonl.gz": "json",
    ".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet",
}  # fmt: skip

# The generator's answer lies beside the logs it writes, so that `simulate` and `ingest` can share a folder.
TRUTH = "truth.parquet"

# The longest line that is read, and what is read at a time: by default DuckDB would hold 16 of them, in each thread. It
# must be a multiple. A log event has some hundred bytes.
_LONGEST_LINE = 16_000_000


@dataclass(frozen=True)
class RawFile:
    """One raw file and the sha256 of its bytes."""

    path: Path
    format: Literal["json", "csv", "parquet"]
    fingerprint: str


def find_raw_files(paths: Iterable[Path]) -> list[RawFile]:
    """The raw files among these files and folders, by path. Raises BadInput."""
    return [RawFile(p, kind, fingerprint(p)) for p, kind in sorted(raw_paths(paths).items())]


def raw_paths(paths: Iterable[Path]) -> dict[Path, Literal["json", "csv", "parquet"]]:
    """What is a raw file, and its format, by name alone; folders are looked through recursively. Raises BadInput."""
    found: dict[Path, Literal["json", "csv", "parquet"]] = {}
    for path in paths:
        if not path.exists():
            raise BadInput(f"{path} does not exist")
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            kind = _format(file)
            if file.name == TRUTH:
                continue
            if kind and file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
                found[file] = kind
            elif file == path:
                raise BadInput(f"{path}: expected one of {sorted(_SUFFIXES)}")
    return found


def write_raw(reader: DuckDBEngine, file: RawFile, contract: SourceContract, path: Path) -> None:
    """Write a file's rows as parquet: ``line_no``, ``malformed`` and the contract's raw columns as text.

    Whatever engine judges the rows, this one reads them: how a file spells its lines, quotes and numbers is then not
    a question of the engine, and a compressed file is read from its beginning to its end by one process anyway.
    Raises ContractViolation where the file as a whole cannot be read or lacks a column, SqlError where it breaks off,
    Unavailable where memory or disk does not suffice.
    """
    if file.path.stat().st_size == 0:
        raise ContractViolation(f"{file.path.name} is empty (0 bytes)")
    _check_gzip(file.path)
    reader.write((_json_sql if file.format == "json" else _table_sql)(reader, file, contract), path)


def _table_sql(reader: DuckDBEngine, file: RawFile, contract: SourceContract) -> str:
    # Left to itself, the reader drops leading rows, and rows that begin like a comment, until the rest is a table.
    table = f"read_csv({_text(file.path)}, all_varchar = true, header = true, skip = 0, comment = '')"
    if file.format == "parquet":
        table = f"read_parquet({_text(file.path)})"
    there = [row[0] for row in reader.rows(f"describe select * from {table}")]
    _check_columns(file, contract, there)
    columns = ", ".join(
        f'cast("{source}" as varchar) as "{source}"' if source in there else f'cast(null as varchar) as "{source}"'
        for source in contract.sources
    )
    return f"select row_number() over () as line_no, false as malformed, {columns} from {table}"


def _json_sql(reader: DuckDBEngine, file: RawFile, contract: SourceContract) -> str:
    lines = (
        f"read_csv({_text(file.path)}, columns = {{'line': 'varchar'}}, header = false, auto_detect = false, "
        f"delim = '\x01', quote = '', escape = '', max_line_size = {_LONGEST_LINE}, buffer_size = {_LONGEST_LINE})"
    )
    _check_json_columns(reader, file, contract, lines)
    return json_lines_sql(contract, f"(select line, row_number() over () as line_no from {lines})")


def _check_json_columns(reader: DuckDBEngine, file: RawFile, contract: SourceContract, lines: str) -> None:
    """JSON lines may leave out what is null: a column is missing when no line of the file names it."""
    if set(contract.needed) <= _first_keys(file.path):
        return
    objects = f"from {lines} where json_valid(line) and json_type(line) = 'OBJECT'"
    keys = [row[0] for row in reader.rows(f"select distinct unnest(json_keys(line)) {objects}")]
    if keys:  # with none, every line is malformed, and the share of broken rows speaks
        _check_columns(file, contract, keys)


def _first_keys(path: Path) -> set[str]:
    """Keys of the first lines: nearly always enough, and far cheaper than reading the whole file for them."""
    keys: set[str] = set()
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in islice(file, 200):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):  # what is malformed is counted row by row, later
                continue
            keys.update(value if isinstance(value, dict) else ())
    return keys


def _check_columns(file: RawFile, contract: SourceContract, there: list[str]) -> None:
    # Only names that the contract knows are told: without a header line, "names" are somebody's data.
    known = [c for c in there if c in {*contract.sources, *contract.raw.ignored, *contract.raw.personal}]
    if missing := [c for c in contract.needed if c not in there]:
        if not known:
            raise ContractViolation(
                f"{file.path.name}: none of its {len(there)} columns is known to the contract {contract.name!r}, which "
                f"needs {', '.join(contract.needed)}. Is it another kind of file, or one without its header?"
            )
        raise ContractViolation(
            f"{file.path.name} has no column {', '.join(missing)}; the contract {contract.name!r} needs "
            f"{list(contract.needed)}. Known columns of the file: {known or 'none'}; others: {len(there) - len(known)}"
        )


def _check_gzip(path: Path) -> None:
    """Read a compressed file to its end: a cut-off one may otherwise pass as a shorter one."""
    if path.suffix != ".gz":
        return
    try:
        with gzip.open(path) as file:
            while file.read(1 << 24):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
        raise ContractViolation(f"{path.name} is not a whole gzip file: {e}") from e
    except OSError as e:
        raise Unavailable(f"{path.name} could not be read: {e}") from e


def _format(path: Path) -> Literal["json", "csv", "parquet"] | None:
    return next((kind for suffix, kind in _SUFFIXES.items() if path.name.lower().endswith(suffix)), None)


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
