"""Replay: the nightly loop over past dates, in a data home of its own, and what came of each night.

Each night sees only what happened before its cut-off (events that arrived late included), and no model knows an outcome
of the night it scores: the timeline is what would have come of it with today's code and settings.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from churn.errors import BadInput, ContractViolation, NotReady
from churn.io.lake import Lake, write_json
from churn.io.registry import Registry
from churn.settings import Settings
from churn.steps.build_panel import build_panel
from churn.steps.check_drift import check_drift
from churn.steps.compare import compare
from churn.steps.monitor import monitor
from churn.steps.promote import promote
from churn.steps.request_retraining import request_retraining
from churn.steps.score import score
from churn.steps.start_retraining import Trigger, start_retraining
from churn.steps.train import train_on_panel

_SUNDAY = 6
"""The weekday of the scheduled retraining, as in the DAG."""
_RECORD = "replay.json"
_POLICIES = (
    "panel_snapshots", "search_trials", "leakage_auc", "longest_gap_days", "contact_cost", "retained_value",
    "contact_success", "retrain_cooldown_days", "drift_nights",
)  # fmt: skip
"""Settings that the timeline depends on: under others it is another replay."""


@dataclass(frozen=True)
class Night:
    """One night's line of the timeline."""

    as_of: str
    model_version: str | None
    """The version that scored; None while there was none."""
    customers: int
    mean_probability: float | None
    alarms: tuple[str, ...]
    retraining: str
    """Why one was started or refused; empty when nobody asked."""
    trained: str | None
    """The version it led to."""
    promoted: bool
    decision: str
    """Why it was promoted or not, or why the night was not scored; else empty."""


@dataclass(frozen=True)
class ReplayReport:
    """The timeline, and the data home that holds every report behind it."""

    home: str
    nights: tuple[Night, ...]


def replay(
    settings: Settings,
    first: date,
    last: date,
    *,
    into: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> ReplayReport:
    """Score, check, and retrain as the schedule and the alarms ask, for every night from ``first`` to ``last``.

    The events are those of ``settings``' data home, read where they are; everything else goes to ``into``. A night that
    was replayed before is read from there, so a replay can be killed, repeated and prolonged.
    Raises BadInput for dates in the wrong order, NotReady without events, BadInput when ``into`` holds something else.
    """
    if last < first:
        raise BadInput(f"the replay would end on {last}, before it begins on {first}")
    source = Lake(settings.data_home)
    source.event_files(before=first)  # says what is missing when there is nothing
    home = (into or settings.data_home / "replays" / f"from={first}").absolute()
    own = settings.model_copy(update={"home": home, "database_url": None, "mlflow_tracking_uri": None})
    _prepare(own, source, first)
    nights = []
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        night = _night(own, day)
        nights.append(night)
        progress(_line(night))
    return ReplayReport(str(home), tuple(nights))


def text_of(report: ReplayReport) -> str:
    """The timeline for people: a line a night, and a sum."""
    nights = report.nights
    scored = [n for n in nights if n.customers]
    alarms, retrained = sum(bool(n.alarms) for n in nights), sum(n.trained is not None for n in nights)
    return "\n".join(
        [
            *map(_line, nights),
            f"{len(scored)} of {len(nights)} nights scored, {alarms} with an alarm, {retrained} retrainings, "
            f"{sum(n.promoted for n in nights)} promotions",
            f"Kept in {report.home}; look at its models with CHURN_HOME={report.home} churn history",
        ]
    )


def _prepare(own: Settings, source: Lake, first: date) -> None:
    """The replay's home: the events of the source under their usual name, and what the replay was made with."""
    lake, record = Lake(own.data_home), own.data_home / _RECORD
    facts = {
        "events": str(source.events),
        "from": str(first),
        "contract": own.contract,
        "horizon_days": own.horizon_days,
        **{name: getattr(own, name) for name in _POLICIES},
    }
    if record.is_file():
        if (found := json.loads(record.read_text())) != facts:
            raise BadInput(
                f"{own.data_home} holds a replay of {found}, not of {facts}: give another folder with --into"
            )
        return
    if own.data_home.exists() and any(p.name not in ("events", "quarantine") for p in own.data_home.iterdir()):
        raise BadInput(f"{own.data_home} is not empty and holds no replay: give another folder with --into")
    own.data_home.mkdir(parents=True, exist_ok=True)
    for there, here in ((source.events, lake.events), (source.quarantine, lake.quarantine)):
        if not here.is_symlink():
            here.symlink_to(there, target_is_directory=True)
    write_json(record, facts)


def _night(own: Settings, day: date) -> Night:
    """Live a night, or read it where it was lived before."""
    path = Lake(own.data_home).reports / "replay" / f"as_of={day}.json"
    if path.is_file():
        return _read(json.loads(path.read_text()))
    night = _live(own, day)
    write_json(path, asdict(night))
    return night


def _read(values: dict[str, Any]) -> Night:
    return Night(**{**values, "alarms": tuple(values["alarms"])})


def _live(own: Settings, day: date) -> Night:
    """As the DAGs do: scores, drift, outcomes; then a retraining where it is due or asked for.

    What each part came to is kept as soon as it is known, so that a night that was killed goes on instead of being
    scored by a version that it led to.
    """
    folder = Lake(own.data_home).reports / "replay" / f"parts_of={day}"
    began = _kept(folder / "began.json", lambda: {"production": _production(own)})
    try:
        first = _retrain(own, day) if began["production"] is None else None
        scored = _kept(folder / "scored.json", lambda: _scored(own, day))
    except ContractViolation:
        raise
    except (BadInput, NotReady) as e:  # the log is too short for a model, or has a gap: so it was that night
        return Night(str(day), began["production"], 0, None, (), "", None, False, str(e))
    retraining = ("the first model", *first) if first else _perhaps_retrain(own, day)
    return Night(str(day), scored["version"], scored["customers"], scored["mean"], tuple(scored["alarms"]), *retraining)


def _kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is on file, or what is made now and put there."""
    if not path.is_file():
        write_json(path, make())
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _production(own: Settings) -> str | None:
    production = Registry(own).production()
    return production.version if production else None


def _scored(own: Settings, day: date) -> dict[str, Any]:
    scored = score(own, day)
    checks = (check_drift(own, day), monitor(own, day))
    return {
        "version": scored.model_version,
        "customers": scored.customers,
        "mean": scored.mean_probability,
        "alarms": [check.summary for check in checks if check.alarm],
    }


def _perhaps_retrain(own: Settings, day: date) -> tuple[str, str | None, bool, str]:
    """Why a retraining was started or refused, the version, whether it was promoted, and why."""
    asked = request_retraining(own, day)
    wishes: list[tuple[Trigger, str]] = [("request", asked.reason)] if asked.requested else []
    wishes += [("schedule", "weekly")] if day.weekday() == _SUNDAY else []
    refused = ""
    for trigger, reason in wishes:
        start = start_retraining(own, day, trigger=trigger, reason=reason, run=f"replay {day}")
        if start.admitted:
            return (start.reason, *_retrain(own, day))
        refused = start.reason
    return refused, None, False, ""


def _retrain(own: Settings, day: date) -> tuple[str, bool, str]:
    build_panel(own, day)
    version = train_on_panel(own, day).model_version
    compare(own, version)
    outcome = promote(own, version, who="replay")
    return version, outcome.promoted, outcome.reason


def _line(night: Night) -> str:
    """``2026-11-01  v3  1,455 scored, mean 5.2 %  ALARM drift …  retrained (weekly) → v4 promoted: …``."""
    who = f"v{night.model_version}" if night.model_version else "–"
    parts = [f"{night.as_of}  {who:<4}"]
    if night.mean_probability is None:
        parts.append(f"not scored: {night.decision}")
        return "  ".join(parts)
    parts.append(f"{night.customers:>7,} scored, mean {night.mean_probability:.1%}")
    parts += [f"ALARM {alarm}" for alarm in night.alarms]
    if night.trained:
        outcome = "promoted" if night.promoted else "not promoted"
        parts.append(f"retrained ({night.retraining}) → v{night.trained} {outcome}: {night.decision}")
    elif night.retraining:
        parts.append(f"no retraining: {night.retraining}")
    return "  ".join(parts)
