"""The embedded engine: SQL over parquet files and in-memory tables, in this process."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from churn.errors import BadInput


class SqlError(BadInput):
    """The engine could not run a statement; its own first line says why."""


class DuckDBEngine:
    """One connection. Tables larger than memory spill to a temporary folder."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def execute(self, sql: str) -> None:
        """Run a statement. Raises SqlError."""
        with _translated():
            self._connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with _translated():
            return self._connection.execute(sql).fetchall()

    def table(self, sql: str) -> pa.Table:
        with _translated():
            return self._connection.sql(sql).to_arrow_table()

    def view(self, name: str, paths: Sequence[Path]) -> None:
        """Name a set of parquet files."""
        files = ", ".join("'" + str(p).replace("'", "''") + "'" for p in paths)
        self.execute(f"create or replace view {name} as select * from read_parquet([{files}])")

    def register(self, name: str, table: pa.Table) -> None:
        """Name an Arrow table."""
        self._connection.register(name, table)

    def feed(self, name: str, empty: pa.Table) -> "Feed":
        """Name a table that changes from one run of a prepared statement to the next."""
        feed = Feed(empty)
        self._connection.register(name, feed)
        return feed

    def close(self) -> None:
        self._connection.close()


class Feed:
    """An Arrow table that is read anew at every run.

    A statement prepared over feeds alone is planned once, one over tables of the engine again at every run: for the
    features of one customer, planning takes four times as long as running.
    """

    def __init__(self, empty: pa.Table) -> None:
        self.table = self._empty = empty

    def clear(self) -> None:
        self.table = self._empty

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as e:
        raise SqlError(str(e).strip().splitlines()[0]) from e


@contextmanager
def open_engine(tables: Mapping[str, Sequence[Path]] | None = None) -> Iterator[DuckDBEngine]:
    """An engine with these parquet tables; closed, with what it spilled, at the end."""
    with tempfile.TemporaryDirectory(prefix="churn-duckdb-") as spill:
        connection = duckdb.connect(config={"temp_directory": spill})
        try:
            engine = DuckDBEngine(connection)
            for name, paths in (tables or {}).items():
                engine.view(name, paths)
            yield engine
        finally:
            connection.close()


def sealed_engine(megabytes: int) -> DuckDBEngine:
    """For text from outside: one thread, so much memory, no file, no network, no extension. The caller closes it."""
    engine = DuckDBEngine(duckdb.connect(config={"threads": 1, "memory_limit": f"{megabytes}MB"}))
    for setting in (
        "temp_directory = ''",
        "autoload_known_extensions = false",
        "autoinstall_known_extensions = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        engine.execute(f"set {setting}")
    return engine
