"""What stands at this moment, as gauges: set after every look at a store, and before they are read."""

import math
from datetime import UTC, datetime

from churn.io.checks import Check
from serving.nightly_checks import LatestChecks
from serving.parts import Parts
from serving.scores import age_days
from serving.telemetry import Telemetry


def update(parts: Parts) -> None:
    """Set every gauge from what this process knows. Asks no store."""
    told, slot, latest = parts.telemetry, parts.slot, parts.scores.latest
    if slot.serving is not None:
        champion, trial = slot.serving.champion, slot.serving.trial
        told.model.set(int(champion.version.version))
        told.since.set(champion.since.timestamp())
        told.challenger.set(int(trial.version) if trial and not trial.withdrawn else 0)
    told.reload_failures.set(slot.failures)
    told.registry_up.set(1 if slot.watch.reachable else 0)
    told.scores_up.set(1 if latest.reachable else 0)
    if latest.publication is not None:
        told.scores_age.set(age_days(latest.publication))
        told.scored.set(latest.publication.customers)
    _update_checks(told, parts.scores.checks.latest)
    told.at_work.set(parts.guard.at_work)
    told.batches_waiting.set(parts.batches.statistics().tasks_waiting)
    told.log_waiting.set(parts.log.waiting)
    told.log_written.set(parts.log.written)
    told.log_dropped.set(parts.log.dropped)


def _update_checks(told: Telemetry, found: LatestChecks) -> None:
    told.checks_up.set(1 if found.reachable else 0)
    if (drift := found.drift) is not None:
        features = drift.detail.get("features", {})
        told.drift_alarm.set(drift.alarm)
        told.drift_age.set(_age_days(drift))
        told.drift_compared.set(len(features))
        told.drifted.set(sum(bool(feature.get("drifted")) for feature in features.values()))
        told.drift_nights.set(_number(drift.detail.get("nights")))
    if (performance := found.performance) is not None:
        realised = performance.detail.get("realised") or {}
        told.performance_alarm.set(performance.alarm)
        told.performance_age.set(_age_days(performance))
        told.roc_auc.set(_number(realised.get("roc_auc")))
        told.roc_auc_low.set(_number(realised.get("roc_auc_low")))
        told.roc_auc_high.set(_number(realised.get("roc_auc_high")))
        told.roc_auc_expected.set(_number(realised.get("expected_roc_auc")))
        told.roc_auc_limit.set(_number(performance.detail.get("limit")))
        told.roc_auc_estimate.set(_number((performance.detail.get("expected") or {}).get("roc_auc")))
    if (warning := found.early_warning) is not None:
        told.warning_alarm.set(warning.alarm)
        told.warning_age.set(_age_days(warning))


def _age_days(check: Check) -> int:
    return (datetime.now(UTC).date() - check.as_of).days


def _number(value: float | None) -> float:
    return math.nan if value is None else value
