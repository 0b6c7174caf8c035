"""The embedded engine: SQL over parquet files and in-memory tables, in this process."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from churn.errors import ChurnError, Unavailable
from churn.io.engines.engine import SqlError
from churn.io.engines.spill import spill_folder

_PASSING = tuple(
    map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE))
)
"""What the system says of itself, not of what it was asked for."""
_PART_ROWS = 1 << 17


class DuckDBEngine:
    """One connection. Tables larger than memory spill to a folder."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, scarce: Callable[[str], ChurnError]) -> None:
        """``scarce``: what is raised, with what DuckDB says, where memory or disk does not suffice."""
        self._connection, self._scarce = connection, scarce

    def execute(self, sql: str) -> None:
        """Run a statement. Raises SqlError, Unavailable."""
        with self._translated():
            self._connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._translated():
            return self._connection.execute(sql).fetchall()

    def table(self, sql: str) -> pa.Table:
        with self._translated():
            return self._connection.sql(sql).to_arrow_table()

    def parts(self, sql: str) -> Iterator[pa.Table]:
        with self._translated():
            reader = self._connection.sql(sql).to_arrow_reader(_PART_ROWS)
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except (OSError, pa.ArrowException) as e:  # what DuckDB says comes through a stream as another's error
                raise self._fault(e) from e
            yield pa.Table.from_batches([batch])

    def write(self, sql: str, path: Path) -> None:
        """Write what a query finds as parquet, without ever holding all of it. Raises SqlError, Unavailable."""
        self.execute(f"copy ({sql}) to {_text(path)} (format parquet)")

    def view(self, name: str, paths: Sequence[Path]) -> None:
        """Name a set of parquet files."""
        files = ", ".join(map(_text, paths))
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

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as e:
            raise self._fault(e) from e

    def _fault(self, error: Exception) -> ChurnError:
        said = str(error).strip().splitlines()[0]
        passing = said.startswith("IO Error: ") and any(fault in said for fault in _PASSING)
        return self._scarce(said) if passing or said.startswith("Out of Memory Error: ") else SqlError(said)


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
def open_engine(
    tables: Mapping[str, Sequence[Path]] | None = None, *, megabytes: int | None = None, home: Path | None = None
) -> Iterator[DuckDBEngine]:
    """An engine with these parquet tables; closed, with what it spilled, at the end.

    ``megabytes``: memory it may take before it spills; by default four fifths of the machine's. ``home``: the data home
    that it spills into, by default the system's temporary folder.
    """
    limit = {} if megabytes is None else {"memory_limit": f"{megabytes}MB"}
    with spill_folder(home) as spill:
        connection = duckdb.connect(config={"temp_directory": str(spill), **limit})
        try:
            engine = DuckDBEngine(connection, scarce=_unavailable)
            for name, paths in (tables or {}).items():
                engine.view(name, paths)
            yield engine
        finally:
            connection.close()


def sealed_engine(megabytes: int) -> DuckDBEngine:
    """For text from outside: one thread, so much memory, no file, no network, no extension. The caller closes it.

    What takes more memory is the text's fault.
    """
    connection = duckdb.connect(config={"threads": 1, "memory_limit": f"{megabytes}MB"})
    engine = DuckDBEngine(connection, scarce=SqlError)
    for setting in (
        "temp_directory = ''",
        "autoload_known_extensions = false",
        "autoinstall_known_extensions = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        engine.execute(f"set {setting}")
    return engine


def _unavailable(said: str) -> Unavailable:
    return Unavailable(f"{said}: free disk or memory, or give the engine more by CHURN_ENGINE_MEGABYTES")


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
