"""Apache Spark: the same SQL, carried over by sqlglot. Nobody but the worker's own process imports this module."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlglot
from py4j.protocol import Py4JError  # type: ignore[import-not-found]  # comes with pyspark
from pyspark import SparkContext
from pyspark.errors import (
    AnalysisException,
    ArithmeticException,
    ArrayIndexOutOfBoundsException,
    DateTimeException,
    NumberFormatException,
    PySparkException,
    UnsupportedOperationException,
)
from pyspark.sql import DataFrame, SparkSession
from sqlglot import expressions as exp
from sqlglot.errors import SqlglotError

from churn.errors import Unavailable
from churn.io.engines.engine import SqlError, rows_of
from churn.io.engines.spark_scoring import scored

_TASKS_PER_CORE = 4
"""Parts that a shuffle makes: enough to even out, few enough to start quickly. Spark joins those that stay small."""
_FAULTS_OF_THE_STATEMENT = (
    AnalysisException,
    ArithmeticException,
    ArrayIndexOutOfBoundsException,
    DateTimeException,
    NumberFormatException,
    SqlglotError,
    UnsupportedOperationException,
)


class SparkEngine:
    """The tables of one caller in a session that others use after it."""

    def __init__(self, session: SparkSession) -> None:
        self._session = session
        self._names: list[str] = []
        self._kept: dict[str, DataFrame] = {}

    def view(self, name: str, paths: Sequence[Path]) -> None:
        """Name a set of parquet files."""
        with _translated():
            self._name(name, self._session.read.parquet(*(_escaped(path) for path in paths)))

    def register(self, name: str, table: pa.Table) -> None:
        """Name an Arrow table."""
        with _translated():
            self._name(name, self._session.createDataFrame(table))

    def execute(self, sql: str) -> None:
        """Run ``create temp table … as select …``: computed when first used, and then kept.

        Raises SqlError, Unavailable.
        """
        with _translated():
            statement = sqlglot.parse_one(sql, read="duckdb")
            if not (isinstance(statement, exp.Create) and isinstance(statement.expression, exp.Query)):
                raise SqlError(f"Spark runs `create temp table … as select …` only, not {statement.key!r}")
            name = statement.this.name
            if (before := self._kept.pop(name, None)) is not None:
                before.unpersist()  # or the disk would fill with the pieces of a long log
            self._kept[name] = self._frame(statement.expression).persist()
            self._name(name, self._kept[name])

    def table(self, sql: str) -> pa.Table:
        """What a query finds, in its order. Raises SqlError, Unavailable."""
        with _translated():
            found = self._frame(sqlglot.parse_one(sql, read="duckdb")).toArrow()
        return _nullable(found)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The same as tuples: for a few rows. Raises SqlError, Unavailable."""
        return rows_of(self.table(sql))

    def scores(self, features: Path, model: Path) -> pa.Table:
        """``customer_id`` and ``churn_probability`` of a feature file, by customer. Raises SqlError, Unavailable."""
        with _translated():
            rows = self._session.read.parquet(_escaped(features))
            found = scored(rows, model).orderBy("customer_id").toArrow()
        return _nullable(found)

    def clear(self) -> None:
        """Forget all tables."""
        for name in self._names:
            self._session.catalog.dropTempView(name)
        self._session.catalog.clearCache()
        self._names.clear()
        self._kept.clear()

    def _frame(self, query: exp.Expr) -> DataFrame:
        return self._session.sql(query.sql(dialect="spark", unsupported_level=sqlglot.ErrorLevel.RAISE))

    def _name(self, name: str, frame: DataFrame) -> None:
        frame.createOrReplaceTempView(name)
        self._names.append(name)


@contextmanager
def open_session(master: str, options: Mapping[str, str], folder: Path) -> Iterator[SparkSession]:
    """The process's session. ``options`` win over what is set here; ``folder`` takes what is spilled."""
    settings = {
        "spark.app.name": "churn",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.warehouse.dir": f"file://{folder}/warehouse",
        "spark.driver.maxResultSize": "0",  # the caller asked for the whole table
        "spark.executorEnv.PYTHONPATH": os.environ["PYTHONPATH"],  # a cluster's own processes know only Spark's
    }
    if master.startswith("local"):  # or its ports would be open to the network
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    if not master.startswith("k8s"):  # where it would name volumes of the executors; others have folders of their own
        settings |= {"spark.local.dir": "."}  # a list, parted by commas, while this process works in the folder
    session = SparkSession.builder.master(master).config(map=settings | dict(options)).getOrCreate()
    if "spark.sql.shuffle.partitions" not in options:
        parts = _TASKS_PER_CORE * session.sparkContext.defaultParallelism
        session.conf.set("spark.sql.shuffle.partitions", str(parts))
    try:
        yield session
    finally:
        session.stop()
        end_java()


def end_java() -> None:
    """And wait for it: whoever waits for this process then need not wait for Java too."""
    if SparkContext._gateway is not None:
        java = SparkContext._gateway.proc
        java.stdin.close()
        java.wait()


def _nullable(table: pa.Table) -> pa.Table:
    """Which columns cannot be null is Spark's guess, and would be written into the file."""
    return table.cast(pa.schema([pa.field(f.name, f.type) for f in table.schema]))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _FAULTS_OF_THE_STATEMENT as e:
        raise SqlError(str(e).strip().splitlines()[0]) from e
    except (PySparkException, Py4JError) as e:  # a lost machine, a full disk: another time it may go well
        raise Unavailable(f"Spark: {_cause(e)}") from e


def _cause(error: Exception) -> str:
    """In a line. What only came through Java says so first, and at its end why."""
    lines = str(error).strip().splitlines()
    causes = [line for line in lines if line.startswith(("Caused by: ", ": "))]
    return causes[-1].split(": ", 1)[1] if isinstance(error, Py4JError) and causes else lines[0]


def _escaped(path: Path) -> str:
    """Spark takes a path for a pattern, and looks for one without a scheme where the cluster keeps its files."""
    return "file://" + "".join(f"\\{c}" if c in "\\*?[]{}" else c for c in str(path.absolute()))
