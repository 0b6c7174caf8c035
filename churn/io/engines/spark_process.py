"""Spark in a process of its own, seen from outside: an engine like any other.

A session inside an Airflow worker keeps the worker from ending. Tables go to and fro as Arrow files, and the process
ends with the one that started it, however that ends.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from churn.core.arrays import Floats
from churn.errors import BadInput, ChurnError, ContractViolation, NotReady, Unavailable
from churn.io.engines.engine import SqlError, rows_of
from churn.io.engines.spill import spill_folder
from churn.settings import REPOSITORY

if TYPE_CHECKING:
    import pandas as pd

    from churn.core.model import ChurnModel

_GRACE_SECONDS = 20.0
_LOG = "spark.log"
_MADE = REPOSITORY / ".venv-spark" / "bin" / "python"
_JAVA = 17
_KINDS: Mapping[str, type[ChurnError]] = {
    kind.__name__: kind for kind in (SqlError, BadInput, ContractViolation, NotReady, Unavailable)
}
"""What the process may say that a failure is."""


class SparkProcess:
    """One Spark session in a child process. For one caller at a time."""

    def __init__(self, master: str, options: Mapping[str, str], folder: Path, python: Path | None = None) -> None:
        """Raises BadInput where Spark or Java is not there, Unavailable where Spark does not start."""
        executable = check_installed(python)
        self._folder, self._numbers, self._busy = folder, count(), False
        paths = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
        with (folder / _LOG).open("wb") as log:
            self._child = subprocess.Popen(
                [executable, "-m", "churn.io.engines.spark_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env={"PYSPARK_PYTHON": executable} | os.environ | {"PYTHONPATH": paths},
                start_new_session=True,  # an interrupt is for the caller, who then closes this
                text=True,
                encoding="utf-8",
            )
        try:
            self._ask(do="start", master=master, options=dict(options))
        except BaseException:
            self.close()
            raise

    @contextmanager
    def engine(self, tables: Mapping[str, Sequence[Path]]) -> Iterator["SparkProcess"]:
        """With these parquet tables, and without any at the end."""
        for name, paths in tables.items():
            self.view(name, paths)
        try:
            yield self
        finally:
            if self._child.poll() is None and not self._busy:
                self._ask(do="clear")

    def view(self, name: str, paths: Sequence[Path]) -> None:
        """Name a set of parquet files."""
        self._ask(do="view", name=name, paths=[str(path.absolute()) for path in paths])

    def register(self, name: str, table: pa.Table) -> None:
        """Name an Arrow table."""
        file = self._file()
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        self._ask(do="register", name=name, file=str(file))

    def execute(self, sql: str) -> None:
        """Run ``create temp table … as select …``. Raises SqlError, Unavailable."""
        self._ask(do="execute", sql=sql)

    def table(self, sql: str) -> pa.Table:
        """What a query finds, in its order. Raises SqlError, Unavailable."""
        return self._found(do="table", sql=sql)

    def parts(self, sql: str) -> Iterator[pa.Table]:
        """All of it in one, which Spark's driver holds; here it stays a file. Raises SqlError, Unavailable."""
        yield self.table(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds, in its order. Raises SqlError, Unavailable."""
        return rows_of(self.table(sql))

    def scores(self, features: Path, model: Path) -> pa.Table:
        """``customer_id`` and ``churn_probability`` of a feature file, by customer; ``model`` is a folder."""
        return self._found(do="scores", features=str(features.absolute()), model=str(model.absolute()))

    def close(self) -> None:
        """End the process, its Java and what they wrote: at once where the caller was called away from an answer."""
        assert self._child.stdin is not None and self._child.stdout is not None
        if not self._busy:
            with suppress(BrokenPipeError):  # it has ended by itself
                self._tell({"do": "end"})
            with suppress(BrokenPipeError):
                self._child.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_GRACE_SECONDS)
        with suppress(ProcessLookupError):  # as it should be
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        with suppress(BrokenPipeError):
            self._child.stdin.close()
        self._child.stdout.close()

    def _found(self, **command: Any) -> pa.Table:
        file = self._file()
        self._ask(**command, file=str(file))
        with pa.memory_map(str(file)) as source:
            found = pa.ipc.open_file(source).read_all()
        file.unlink()  # what is mapped stays readable
        return found

    def _ask(self, **command: Any) -> None:
        assert self._child.stdout is not None
        if self._busy:
            raise Unavailable("Spark is still at work on what its caller was called away from")
        self._busy = True
        try:
            self._tell(command)
        except BrokenPipeError:
            line = ""
        else:
            line = self._child.stdout.readline()
        self._busy = False
        if not line:
            said = (self._folder / _LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise Unavailable(f"Spark ended while it was asked to {command['do']}: {said[-1] if said else 'no word'}")
        answer = json.loads(line)
        if "error" in answer:
            raise _KINDS[answer["kind"]](answer["error"])

    def _tell(self, command: Mapping[str, Any]) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(command) + "\n")
        self._child.stdin.flush()

    def _file(self) -> Path:
        return self._folder / f"{next(self._numbers)}.arrow"


@contextmanager
def open_process(
    master: str, options: Mapping[str, str], python: Path | None = None, home: Path | None = None
) -> Iterator[SparkProcess]:
    """A Spark process; ended, with what it wrote, at the end. Raises BadInput, Unavailable.

    It works in the data home ``home``, by default in the system's temporary folder.
    """
    with spill_folder(home) as folder:
        process = SparkProcess(master, options, folder, python)
        try:
            yield process
        finally:
            process.close()


@contextmanager
def open_spark(
    tables: Mapping[str, Sequence[Path]],
    *,
    master: str,
    options: Mapping[str, str],
    python: Path | None = None,
    home: Path | None = None,
) -> Iterator[SparkProcess]:
    """An engine with these parquet tables, in a process for it alone."""
    with open_process(master, options, python, home) as process:
        for name, paths in tables.items():
            process.view(name, paths)
        yield process


def spark_scores(model: "ChurnModel", features: "pd.DataFrame", *, process: SparkProcess, path: Path) -> Floats:
    """The probabilities (n,) of ``features``, which are those of the file ``path``."""
    with tempfile.TemporaryDirectory(prefix="churn-model-") as folder:
        model.save(Path(folder, "model"))
        found = process.scores(path, Path(folder, "model"))
    if found["customer_id"].to_pylist() != features["customer_id"].tolist():
        raise Unavailable(f"{path} was written anew while it was scored: score again")
    return np.asarray(found["churn_probability"].to_numpy(), dtype=np.float64)


def check_installed(python: Path | None = None) -> str:
    """The Python that Spark runs in: the one given, or that of `make spark`, or this. Raises BadInput.

    It is asked for pyspark, and the machine for Java.
    """
    python = python.expanduser() if python else _MADE if _MADE.exists() else Path(sys.executable)
    if (found := shutil.which(python)) is None:
        raise BadInput(
            f"CHURN_SPARK_PYTHON={python}: there is no such Python. `make spark` makes .venv-spark/bin/python"
        )
    asks = [found, "-c", "import importlib.util as i; print(i.find_spec('pyspark') is not None)"]
    if "True" not in subprocess.run(asks, stdout=subprocess.PIPE, check=False, text=True).stdout:
        raise BadInput(
            f"CHURN_ENGINE=spark needs pyspark, which {found} does not have: `make spark` makes an environment that "
            "does, or name one by CHURN_SPARK_PYTHON, or use CHURN_ENGINE=duckdb"
        )
    _check_java()
    return str(Path(found).absolute())


def _check_java() -> None:
    java = Path(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    if (found := shutil.which(java)) is None:
        there = f"there is no {java}"
    else:
        said = subprocess.run([found, "-version"], stderr=subprocess.PIPE, check=False, text=True).stderr
        version = re.search(r'version "(?:1\.)?(\d+)', said)  # 8 calls itself 1.8
        if version and int(version[1]) >= _JAVA:
            return
        there = f"{found} is Java {version[1]}" if version else f"{found} -version says {said.strip()!r}"
    raise BadInput(
        f"CHURN_ENGINE=spark needs Java {_JAVA} or later, and {there}: install it (on Debian: apt-get install "
        "default-jre-headless), set JAVA_HOME, or use CHURN_ENGINE=duckdb"
    )
