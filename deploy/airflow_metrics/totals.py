"""One sum over all processes of Airflow, and how the last run of each DAG went."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy.airflow_metrics.pushed import Kind, Labels, Point

Key = tuple[str, Labels]
_GAUGE_SECONDS = 300.0
"""A gauge that nobody pushes any more is left out: its process has ended."""
_FORGET_SECONDS = 3600.0
"""A process that has not pushed for so long is gone; the longest interval between two pushes is a minute."""
_RUNS = {"airflow_dagrun_duration_success_seconds": False, "airflow_dagrun_duration_failed_seconds": True}


@dataclass
class Total:
    """Over all processes, of this one's start or an earlier one's."""

    kind: Kind
    value: float = 0.0
    count: int = 0


@dataclass
class LastRun:
    """The last finished run of a DAG."""

    ended: float
    """Epoch seconds, some seconds late: when the scheduler told of it."""
    seconds: float
    failed: bool
    succeeded_at: float | None = None
    """Epoch seconds of the last success, this run's or an earlier one's."""


@dataclass
class _Seen:
    """The most that any process has told of one count that began at one moment."""

    value: float = 0.0
    count: int = 0
    heard: float = field(default=0.0, compare=False)


class Totals:
    """Not for several threads at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._totals: dict[Key, Total] = {}
        self._seen: dict[tuple[str, Labels, int], _Seen] = {}
        self._gauges: dict[Key, tuple[float, float]] = {}
        self._runs: dict[str, LastRun] = {}

    def add(self, pushed: Iterable[Point]) -> None:
        """What one process told. Told again, or by a forked copy of the process, it counts once."""
        now = self._clock()
        for point in pushed:
            if point.kind == "gauge":
                self._gauges[point.name, point.labels] = (point.value, now)
            else:
                self._count(point, now)
        self._seen = {key: seen for key, seen in self._seen.items() if now - seen.heard < _FORGET_SECONDS}
        self._gauges = {key: gauge for key, gauge in self._gauges.items() if now - gauge[1] < _GAUGE_SECONDS}

    def _count(self, point: Point, now: float) -> None:
        key = (point.name, point.labels, point.began)
        new = key not in self._seen
        seen = self._seen.setdefault(key, _Seen())
        seen.heard = now
        total = self._totals.setdefault((point.name, point.labels), Total(point.kind))
        more, runs = point.value - seen.value, point.count - seen.count
        # Fewer than known is a copy that a forked process has of its parent's: its counts do not go on.
        if (runs if point.kind == "summary" else more) <= 0:
            return
        seen.value, seen.count = point.value, point.count
        total.value, total.count = total.value + more, total.count + runs
        if point.name in _RUNS:
            self._finished(point, runs, more / runs, new=new)

    def _finished(self, point: Point, runs: int, seconds: float, *, new: bool) -> None:
        if new and runs > 1:  # they ended before anybody listened: when, and how long the last one took, is lost
            return
        # The first of a count ended when the count began, also where it is heard of much later.
        ended = point.began / 1e9 if new else point.at
        dag, failed = dict(point.labels).get("dag_id", ""), _RUNS[point.name]
        before = self._runs.get(dag)
        if before is not None and before.ended > ended:
            return
        succeeded = before.succeeded_at if before is not None else None
        self._runs[dag] = LastRun(ended, seconds, failed, succeeded if failed else ended)

    def text(self) -> str:
        """In Prometheus' text format."""
        told: dict[tuple[str, str], list[str]] = defaultdict(list)
        for (name, labels), total in self._totals.items():
            if total.kind == "counter":
                told[f"{name}_total", "counter"].append(_line(f"{name}_total", labels, total.value))
            else:
                told[name, "summary"] += [
                    _line(f"{name}_sum", labels, total.value),
                    _line(f"{name}_count", labels, total.count),
                ]
        for (name, labels), (value, _) in self._gauges.items():
            told[name, "gauge"].append(_line(name, labels, value))
        for dag, run in self._runs.items():
            said: tuple[tuple[str, float | None], ...] = (
                ("airflow_dag_last_run_timestamp_seconds", run.ended),
                ("airflow_dag_last_run_duration_seconds", run.seconds),
                ("airflow_dag_last_run_failed", float(run.failed)),
                ("airflow_dag_last_success_timestamp_seconds", run.succeeded_at),
            )
            for name, moment in said:
                if moment is not None:
                    told[name, "gauge"].append(_line(name, (("dag_id", dag),), moment))
        return "".join(
            f"# TYPE {name} {kind}\n" + "".join(sorted(lines)) for (name, kind), lines in sorted(told.items())
        )

    def save(self, file: Path) -> None:
        """Whole or not at all."""
        kept = {
            "totals": [[*key, asdict(total)] for key, total in self._totals.items()],
            "seen": [[*key, seen.value, seen.count] for key, seen in self._seen.items()],
            "runs": {dag: asdict(run) for dag, run in self._runs.items()},
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".tmp")
        aside.write_text(json.dumps(kept))
        aside.replace(file)

    def load(self, file: Path) -> None:
        """What an earlier process saved. Raises ValueError for a file that is not such a one."""
        try:
            kept: dict[str, Any] = json.loads(file.read_text())
            now = self._clock()
            self._totals = {(name, _labels(labels)): Total(**total) for name, labels, total in kept["totals"]}
            self._seen = {
                (name, _labels(labels), began): _Seen(value, count, now)
                for name, labels, began, value, count in kept["seen"]
            }
            self._runs = {dag: LastRun(**run) for dag, run in kept["runs"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file} was not saved by this program: {error!r}") from error


def _labels(pairs: list[list[str]]) -> Labels:
    return tuple((name, value) for name, value in pairs)


def _line(name: str, labels: Labels, value: float) -> str:
    said = ",".join(f'{_plain(key)}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{said}}} {value!r}\n" if said else f"{name} {value!r}\n"


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
