"""On a cluster of Spark's own, of two machines that are processes here, one finds what one finds without."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest

from churn.core.features import features_sql, session_days_sql
from churn.core.training import train
from churn.io.engines.duckdb import open_engine
from churn.io.engines.engine import Opener
from churn.io.engines.spark_process import SparkProcess, check_installed, spark_scores
from churn.io.lake import write_parquet
from churn.settings import Settings
from tests.core.feature_rows import AS_OF_DAY, EVENT_SCHEMA
from tests.io.conftest import free_port
from tests.io.test_spark_parity import hand_made

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_HERE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.executor.memory": "512m",
    "spark.hadoop.fs.defaultFS": "hdfs://127.0.0.1:9",  # as on a cluster that has one; nobody is there
}
_COPIES = 1_500
"""Of the rows by hand: enough for the machines to be at work for seconds."""


class Machine:
    """One of the cluster's: a process of Spark's, and the executor that it starts for a caller."""

    def __init__(self, folder: Path, *command: str) -> None:
        python = check_installed(Settings(_env_file=None).spark_python)  # type: ignore[call-arg]
        found = [python, "-c", "import pyspark; print(pyspark.__path__[0])"]
        home = subprocess.run(found, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        env = os.environ | {"SPARK_HOME": home, "SPARK_LOCAL_DIRS": str(folder), "SPARK_LOCAL_IP": "127.0.0.1"}
        self.log = folder / f"{command[0]}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            kind = f"org.apache.spark.deploy.{command[0].lower()}.{command[0]}"
            started = [f"{home}/bin/spark-class", kind, "--host", "127.0.0.1", "--webui-port", "0", *command[1:]]
            self._process = subprocess.Popen(started, stdout=log, stderr=log, env=env, cwd=folder)

    def says(self, what: str) -> bool:
        return what in self.log.read_text(errors="replace")

    def executors(self) -> list[psutil.Process]:
        return psutil.Process(self._process.pid).children(recursive=True)

    def used(self) -> float:
        """Processor seconds of what it works with."""
        return sum(sum(process.cpu_times()[:2]) for process in self.executors())

    def kill(self) -> None:
        """As when the power fails."""
        processes = [psutil.Process(self._process.pid), *self.executors()]
        for process in processes:
            process.kill()
        self._process.wait()

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)


def _await(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def machines(
    open_spark: Callable[..., AbstractContextManager[SparkProcess]], tmp_path: Path
) -> Iterator[tuple[str, list[Machine]]]:
    """The address of the master, and the two that work for it."""
    with ExitStack() as stack:

        def start(*command: str) -> Machine:
            machine = Machine(tmp_path, *command)
            stack.callback(machine.end)
            return machine

        port = free_port()
        master = start("Master", "--port", str(port))
        address = f"spark://127.0.0.1:{port}"
        _await(lambda: master.says("I have been elected leader"))
        workers = [
            start("Worker", "--cores", "1", "--memory", "1g", "--work-dir", str(tmp_path / "work"), address)
            for _ in range(2)
        ]
        _await(lambda: all(worker.says("Successfully registered with master") for worker in workers))
        yield address, workers


def _features(engine: Opener, events: list[Path]) -> pa.Table:
    with engine({"events": events}) as sql:
        sql.register("snapshots", pa.table({"as_of_day": pa.array([AS_OF_DAY - 7, AS_OF_DAY], pa.int64())}))
        sql.execute(f"create temp table session_days as {session_days_sql('events')}")
        return sql.table(f"{features_sql('session_days', 'snapshots')} order by as_of_day, customer_id")


def test_a_cluster_that_loses_a_machine_at_work_finds_the_same(
    machines: tuple[str, list[Machine]], open_spark: Callable[..., AbstractContextManager[SparkProcess]], tmp_path: Path
) -> None:
    address, both = machines
    events = [e | {"customer_id": f"{e['customer_id']} {i}"} for i in range(_COPIES) for e in hand_made()]
    files = [tmp_path / "a lake" / f"{part}.parquet" for part in range(2)]
    for part, file in enumerate(files):
        write_parquet(file, pa.Table.from_pylist(events[part::2], EVENT_SCHEMA))
    here = _features(open_engine, files)
    assert here.num_rows > 50 * _COPIES
    with open_spark(address, _HERE) as spark:
        assert spark.rows("select count(*) as n from range(10)") == [(10,)]
        _await(lambda: all(machine.executors() for machine in both))
        used = {machine: machine.used() for machine in both}

        def at_work() -> Machine | None:
            return next((machine for machine in both if machine.used() > used[machine] + 0.2), None)

        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(_features, spark.engine, files)
            _await(lambda: found.done() or at_work() is not None)
            lost = at_work()
            assert lost is not None and not found.done()
            lost.kill()
            assert found.result().equals(here)
        assert "Lost executor" in (spark._folder / "spark.log").read_text()
        _assert_scores_alike(spark, here, tmp_path)


def _assert_scores_alike(spark: SparkProcess, features: pa.Table, folder: Path) -> None:
    rng = np.random.default_rng(1)
    names = ["total_sessions", "time_since_last_activity"]
    known = pd.DataFrame(rng.normal(size=(300, 2)), columns=names)
    model = train(known, (rng.random(300) < 1 / (1 + np.exp(1 - known[names[0]]))).astype(int), trials=0)
    night = features.filter(pa.compute.equal(features["as_of_day"], AS_OF_DAY))
    write_parquet(folder / "features.parquet", night)
    found = spark_scores(model, night.to_pandas(), process=spark, path=folder / "features.parquet")
    assert found.tobytes() == model.predict_proba(night.to_pandas()).tobytes()
