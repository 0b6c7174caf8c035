"""What every engine offers to those who run SQL on it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from churn.errors import BadInput


class SqlError(BadInput):
    """The engine could not run a statement; its own first line says why."""


class Engine(Protocol):
    """Tables by name, and the SQL that is run over them: DuckDB's, in the subset of ``churn.core.features``."""

    def view(self, name: str, paths: Sequence[Path]) -> None:
        """Name a set of parquet files."""

    def register(self, name: str, table: pa.Table) -> None:
        """Name an Arrow table."""

    def execute(self, sql: str) -> None:
        """Run a statement: ``create temp table … as select …`` on every engine. Raises SqlError, Unavailable."""

    def table(self, sql: str) -> pa.Table:
        """What a query finds, in its order. Raises SqlError, Unavailable."""

    def parts(self, sql: str) -> Iterator[pa.Table]:
        """The same a part at a time, for what nobody should hold whole; no statement may come in between.

        Nothing where nothing is found. Raises SqlError, Unavailable.
        """

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The same as tuples: for a few rows. Raises SqlError, Unavailable."""


Opener = Callable[[Mapping[str, Sequence[Path]]], AbstractContextManager[Engine]]
"""Opens an engine that has these parquet tables."""


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
