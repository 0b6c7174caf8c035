"""Spark's own process: what is said where it cannot be had, and that nothing of it outlives whoever started it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.errors import BadInput, Unavailable
from churn.io.engines.chosen import engine_of
from churn.io.engines.spark_process import SparkProcess, check_installed
from churn.settings import Settings

_LONG = (
    "select count(*) as n from (select 1 as x from range(1000000)) as a "
    "cross join (select 2 as y from range(1000000)) as b where x + y + random() < 0"
)
_ASKS = f"""
from churn.io.engines.chosen import engine_of
from churn.settings import Settings

with engine_of(Settings(engine="spark", spark_master="local[1]", _env_file=None))({{}}) as spark:
    print(spark._folder, flush=True)
    spark.table({_LONG!r})
"""

_ELSEWHERE = {"spark.hadoop.fs.defaultFS": "hdfs://127.0.0.1:9"}
"""Where a cluster looks for paths that do not say where they are; nobody is there."""

Spark = Callable[..., AbstractContextManager[SparkProcess]]


def _settings(**given: object) -> Settings:
    return Settings(engine="spark", _env_file=None, **given)  # type: ignore[call-arg,arg-type]


def _of(folder: str) -> list[psutil.Process]:
    """The processes that work in a folder, and what these started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(folder):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):  # ended meanwhile, or another's
            continue
    return found


def _of_group(group: int) -> list[psutil.Process]:
    """The processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def _within(seconds: float, true: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def test_a_killed_caller_leaves_neither_process_nor_file_though_spark_is_at_work(
    open_spark: Spark, settings: Settings
) -> None:
    caller = subprocess.Popen([sys.executable, "-c", _ASKS], stdout=subprocess.PIPE, text=True)
    try:
        assert caller.stdout is not None
        folder = caller.stdout.readline().strip()
        assert Path(folder).is_dir()
        assert Path(folder).is_relative_to(settings.data_home / ".spill")
        assert list(Path(folder).glob("blockmgr-*"))  # Spark's own files too
        assert any("java" in p.name() for p in _of(folder))
        time.sleep(2)  # by now the query runs
        assert caller.poll() is None
    finally:
        caller.send_signal(signal.SIGKILL)
        caller.wait()
        caller.stdout.close()
    assert _within(20, lambda: not _of(folder))
    assert _within(5, lambda: not Path(folder).exists())


@pytest.mark.slow
def test_spark_that_dies_is_said_and_leaves_nothing(open_spark: Spark) -> None:
    with pytest.raises(Unavailable, match="Spark ended while it was asked to table"):  # noqa: SIM117
        with open_spark("local[1]", {}) as spark:
            folder = str(spark._folder)
            assert spark.rows("select 1 as n") == [(1,)]
            os.kill(next(p.pid for p in _of(folder) if "python" in p.name()), signal.SIGKILL)
            spark.table("select 1 as n")
    assert _within(20, lambda: not _of(folder))  # killed by then, and the system takes a moment to end it
    assert not Path(folder).exists()


def test_whoever_is_called_away_from_an_answer_does_not_wait_for_it(open_spark: Spark) -> None:
    def call_away() -> None:
        time.sleep(2)  # by then the query runs, and would for hours
        os.kill(os.getpid(), signal.SIGUSR1)

    def called_away(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, called_away)
    caller = threading.Thread(target=call_away)
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
            with open_spark("local[1]", {}) as process, process.engine({}) as engine:
                group = process._child.pid
                caller.start()
                engine.table(_LONG)
    finally:
        caller.join()
        signal.signal(signal.SIGUSR1, before)
    assert _within(20, lambda: not _of_group(group))
    assert not process._folder.exists()


@pytest.mark.slow
def test_files_are_read_from_this_machine_whatever_the_cluster_s_default_is(
    open_spark: Spark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "it's [a] {b,c} * ? home #1, 100%25 %41 \u00fc"
    home.mkdir()
    pq.write_table(pa.table({"n": [1, 2]}), home / "a b#.parquet")
    monkeypatch.chdir(home)
    with open_spark("local[1]", _ELSEWHERE, home=home) as spark:
        spark.view("numbers", [home / "a b#.parquet", Path("a b#.parquet")])
        assert spark.rows("select sum(n) as n from numbers") == [(6,)]


@pytest.mark.slow
def test_a_master_that_is_none_is_said(open_spark: Spark) -> None:
    with pytest.raises(Unavailable, match="Spark ended while it was asked to start"), open_spark("nowhere", {}):
        pass


def test_without_a_python_that_has_spark_or_java_one_is_told_what_to_install(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = engine_of(_settings(spark_python=tmp_path / "bin" / "python"))
    with pytest.raises(BadInput, match="bin/python: there is no such Python"), nowhere({}):
        pass
    without = engine_of(_settings(spark_python=sys.executable))
    with pytest.raises(BadInput, match=r"needs pyspark, which .* does not have: `make spark`"), without({}):
        pass
    has_spark = tmp_path / "python"
    has_spark.write_text("#!/bin/sh\necho True\n")
    has_spark.chmod(0o755)
    opener = engine_of(_settings(spark_python=has_spark))
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(BadInput, match="needs Java 17"), opener({}):
        pass
    monkeypatch.setenv("JAVA_HOME", "/no/such/java")
    with pytest.raises(BadInput, match="/no/such/java/bin/java"), opener({}):
        pass
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    for says, told in (
        ('java version "1.8.0_392"', "needs Java 17 or later, and .*/bin/java is Java 8: install it"),
        ('Picked up _JAVA_OPTIONS: -Xmx1g\nopenjdk version "11.0.25" 2024-10-15', "is Java 11: install it"),
        ("No Java runtime present, requesting install.", "-version says 'No Java runtime present"),
    ):
        _java(tmp_path, says)
        with pytest.raises(BadInput, match=told), opener({}):
            pass
    for says in ('openjdk version "17" 2021-09-14', 'java version "21.0.1" 2023-10-17 LTS', 'openjdk version "26-ea"'):
        _java(tmp_path, says)
        assert check_installed(has_spark) == str(has_spark)


def _java(home: Path, says: str) -> None:
    """A Java that says its version in these words."""
    java = home / "bin" / "java"
    java.parent.mkdir(exist_ok=True)
    java.write_text(f"#!/bin/sh\ncat >&2 <<'end'\n{says}\nend\n")
    java.chmod(0o755)


@pytest.mark.slow
def test_the_settings_name_the_master_and_spark_s_own_options(
    open_spark: Spark, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_ENGINE", "spark")
    monkeypatch.setenv("CHURN_SPARK_MASTER", "local[1]")
    monkeypatch.setenv("CHURN_SPARK_OPTIONS", '{"spark.sql.ansi.enabled": "false"}')
    with engine_of(Settings(_env_file=None))({}) as engine:  # type: ignore[call-arg]
        engine.register("numbers", pa.table({"n": [3_000_000_000]}))
        found = engine.rows("select cast(n as integer) as n from numbers")
    assert found == [(3_000_000_000 - 2**32,)]  # with ANSI's rules it would be refused
