"""What one push by OpenTelemetry holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

Kind = Literal["counter", "gauge", "summary"]
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Point:
    """One number of one process, cumulative where it counts something. Durations are in seconds."""

    name: str
    kind: Kind
    labels: Labels
    value: float
    """Of a summary: the sum."""
    count: int = 0
    """Of a summary."""
    began: int = 0
    """When the process counted this for the first time, in epoch nanoseconds. A forked process that repeats what its
    parent had counted repeats this too."""
    at: float = 0.0
    """Epoch seconds."""


def points(body: bytes) -> list[Point]:
    """Everything in a push that can be kept. Raises ValueError for what is none."""
    request = ExportMetricsServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise ValueError(f"not a push of metrics: {error}") from error
    metrics = (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics)
    return [point for metric in metrics for point in _points(metric)]


def _points(metric: Metric) -> Iterator[Point]:
    name = "".join(c if c.isalnum() else "_" for c in metric.name)
    if metric.HasField("sum") and metric.sum.is_monotonic:
        for p in metric.sum.data_points:
            yield Point(
                name,
                "counter",
                _labels(p.attributes),
                _number(p),
                began=p.start_time_unix_nano,
                at=p.time_unix_nano / 1e9,
            )
    elif metric.HasField("gauge") or metric.HasField("sum"):
        for p in metric.gauge.data_points or metric.sum.data_points:
            yield Point(name, "gauge", _labels(p.attributes), _number(p), at=p.time_unix_nano / 1e9)
    else:
        unit, scale = ("_seconds", 1e-3) if metric.unit == "ms" else ("", 1.0)
        for h in metric.exponential_histogram.data_points or metric.histogram.data_points:
            yield Point(
                name + unit, "summary", _labels(h.attributes), h.sum * scale,
                count=h.count, began=h.start_time_unix_nano, at=h.time_unix_nano / 1e9,
            )  # fmt: skip


def _number(point: object) -> float:
    which = point.WhichOneof("value")  # type: ignore[attr-defined]
    return float(getattr(point, which))


def _labels(attributes: object) -> Labels:
    return tuple(sorted((a.key, _text(a.value)) for a in attributes))  # type: ignore[attr-defined]


def _text(value: AnyValue) -> str:
    which = value.WhichOneof("value")
    return "" if which is None else str(getattr(value, which))
