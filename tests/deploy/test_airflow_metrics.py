"""Airflow's metrics on their way to Prometheus: pushed by OpenTelemetry's own exporter, as Airflow's processes do."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from prometheus_client.parser import text_string_to_metric_families

from churn.settings import REPOSITORY
from deploy.airflow_metrics.pushed import Point
from deploy.airflow_metrics.totals import Totals

NIGHTLY = {"dag_id": "score_nightly", "run_type": "scheduled"}
SUCCESS, FAILED = "airflow.dagrun.duration.success", "airflow.dagrun.duration.failed"


@contextmanager
def listening(state: Path) -> Iterator[str]:
    """The service in a process of its own; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "deploy.airflow_metrics", "--port", str(port), "--state", str(state)]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 30
        while not _answers(address):
            assert process.poll() is None, "it ended"
            assert time.monotonic() < end, "it did not answer in time"
            time.sleep(0.05)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/metrics", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def process_of_airflow(address: str) -> Iterator[MeterProvider]:
    """What every process of Airflow sets up: see airflow._shared.observability.metrics.otel_logger."""
    session = requests.Session()
    session.trust_env = False  # past any proxy
    exporter = OTLPMetricExporter(endpoint=f"{address}/v1/metrics", session=session)
    provider = MeterProvider(
        metric_readers=[PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)],
        views=[View(instrument_type=Histogram, aggregation=ExponentialBucketHistogramAggregation())],
        shutdown_on_exit=False,
    )
    try:
        yield provider
    finally:
        provider.shutdown()


def told(address: str) -> dict[str, float]:
    """Every sample, by its name and labels as text."""
    text = httpx.get(f"{address}/metrics", trust_env=False).raise_for_status().text
    families = text_string_to_metric_families(text)
    return {
        s.name + "".join(f" {key}={value}" for key, value in sorted(s.labels.items())): s.value
        for family in families
        for s in family.samples
    }


def test_the_counts_of_short_lived_processes_add_up(tmp_path: Path) -> None:
    with listening(tmp_path / "state.json") as address:
        for _ in range(3):
            with process_of_airflow(address) as task:
                task.get_meter("airflow").create_counter("airflow.ti.finish").add(1, {"state": "success"})
        assert told(address)["airflow_ti_finish_total state=success"] == 3


def test_what_is_pushed_again_counts_once(tmp_path: Path) -> None:
    with listening(tmp_path / "state.json") as address, process_of_airflow(address) as scheduler:
        beats = scheduler.get_meter("airflow").create_counter("airflow.scheduler_heartbeat")
        beats.add(5)
        scheduler.force_flush()
        scheduler.force_flush()
        beats.add(2)
        scheduler.force_flush()
        assert told(address)["airflow_scheduler_heartbeat_total"] == 7


def test_the_last_run_of_a_dag_is_told_with_its_duration(tmp_path: Path) -> None:
    with listening(tmp_path / "state.json") as address, process_of_airflow(address) as scheduler:
        meter = scheduler.get_meter("airflow")
        success, failed = meter.create_histogram(SUCCESS, "ms"), meter.create_histogram(FAILED, "ms")
        success.record(61_000, NIGHTLY)
        scheduler.force_flush()
        success.record(62_500, NIGHTLY)
        scheduler.force_flush()
        first = told(address)
        assert first["airflow_dag_last_run_duration_seconds dag_id=score_nightly"] == pytest.approx(62.5)
        assert first["airflow_dag_last_run_failed dag_id=score_nightly"] == 0
        assert time.time() - first["airflow_dag_last_success_timestamp_seconds dag_id=score_nightly"] < 60
        failed.record(3_000, NIGHTLY)
        scheduler.force_flush()
        then = told(address)
        assert then["airflow_dag_last_run_duration_seconds dag_id=score_nightly"] == pytest.approx(3)
        assert then["airflow_dag_last_run_failed dag_id=score_nightly"] == 1
        same = "airflow_dag_last_success_timestamp_seconds dag_id=score_nightly"
        assert then[same] == first[same]
        labels = "dag_id=score_nightly run_type=scheduled"
        assert then[f"airflow_dagrun_duration_success_seconds_count {labels}"] == 2
        assert then[f"airflow_dagrun_duration_success_seconds_sum {labels}"] == pytest.approx(123.5)


def test_nothing_is_lost_or_doubled_by_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with listening(state) as address, process_of_airflow(address) as before:
        before.get_meter("airflow").create_histogram(SUCCESS, "ms").record(5_000, NIGHTLY)
    with listening(state) as again:
        found = told(again)
        assert found["airflow_dag_last_run_duration_seconds dag_id=score_nightly"] == pytest.approx(5)
        with process_of_airflow(again) as scheduler:
            scheduler.get_meter("airflow").create_histogram(SUCCESS, "ms").record(7_000, NIGHTLY)
        found = told(again)
        assert found["airflow_dagrun_duration_success_seconds_count dag_id=score_nightly run_type=scheduled"] == 2
        assert found["airflow_dag_last_run_duration_seconds dag_id=score_nightly"] == pytest.approx(7)


def test_a_state_that_cannot_be_read_is_a_start_from_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text("{}")
    with listening(state) as address:
        assert told(address) == {}
    state.write_text("half a fi")
    with listening(state) as address:
        assert told(address) == {}


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/metrics", b"no push", {}, 400),
        ("/v1/metrics", b"not packed", {"Content-Encoding": "gzip"}, 400),
        ("/v1/metrics", b"x" * 4_000_001, {}, 400),
        ("/v1/traces", b"", {}, 404),
    ],
)
def test_what_is_no_push_is_refused(
    tmp_path: Path, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    with listening(tmp_path / "state.json") as address:
        assert httpx.post(address + path, content=body, headers=headers, trust_env=False).status_code == status
        assert told(address) == {}


def counted(value: float, began: int) -> Point:
    return Point("airflow_scheduler_heartbeat", "counter", (), value, began=began)


def test_a_forked_process_that_repeats_its_parents_counts_adds_nothing() -> None:
    totals = Totals()
    totals.add([counted(100, began=1)])
    totals.add([counted(90, began=1)])  # as it was when the child was forked
    totals.add([counted(101, began=1)])
    totals.add([counted(90, began=1), counted(3, began=2)])
    assert "airflow_scheduler_heartbeat_total 104.0\n" in totals.text()


def test_a_gauge_ends_with_its_process_and_memory_with_it() -> None:
    clock = Clock()
    totals = Totals(clock)
    totals.add([Point("airflow_pool_running_slots", "gauge", (), 3.0), counted(5, began=1)])
    assert "airflow_pool_running_slots 3.0\n" in totals.text()
    clock.now += 301
    totals.add([])
    assert "airflow_pool_running_slots" not in totals.text()
    clock.now += 3601
    totals.add([])
    assert not totals._seen
    assert "airflow_scheduler_heartbeat_total 5.0\n" in totals.text()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(count: int, total: float, *, began: float, at: float) -> Point:
    return Point(
        "airflow_dagrun_duration_success_seconds", "summary", (("dag_id", "a"),), total,
        count=count, began=int(began * 1e9), at=at,
    )  # fmt: skip


def test_runs_that_ended_before_anybody_listened_are_counted_and_not_dated() -> None:
    totals = Totals()
    totals.add([run(4, 40.0, began=1000, at=9000)])
    assert "airflow_dag_last_run" not in totals.text()
    assert 'airflow_dagrun_duration_success_seconds_count{dag_id="a"} 4\n' in totals.text()
    totals.add([run(5, 55.0, began=1000, at=9100)])
    assert 'airflow_dag_last_run_duration_seconds{dag_id="a"} 15.0\n' in totals.text()
    assert 'airflow_dag_last_run_timestamp_seconds{dag_id="a"} 9100' in totals.text()


def test_the_first_run_of_a_scheduler_ended_when_its_count_began() -> None:
    totals = Totals()
    totals.add([run(1, 10.0, began=1000, at=9000)])
    assert 'airflow_dag_last_run_timestamp_seconds{dag_id="a"} 1000.0\n' in totals.text()


def test_names_and_labels_are_what_prometheus_takes() -> None:
    point = Point("airflow_x", "gauge", (("file-name", 'a "b"\\\nc'),), 1.0)
    totals = Totals()
    totals.add([point])
    (family,) = text_string_to_metric_families(totals.text())
    assert family.samples[0].labels == {"file_name": 'a "b"\\\nc'}


def test_a_state_that_cannot_be_written_changes_nothing_of_what_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    with listening(tmp_path / "state" / "state.json") as address:
        with process_of_airflow(address) as scheduler:
            scheduler.get_meter("airflow").create_counter("airflow.scheduler_heartbeat").add(2)
        assert told(address)["airflow_scheduler_heartbeat_total"] == 2
