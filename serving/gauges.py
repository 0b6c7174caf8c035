"""What stands at this moment, as gauges: set after every look at a store, and before they are read."""

import math

from serving.check_watch import LatestChecks
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
        told.scores_age.set(age_days(latest.publication.as_of))
        told.scored.set(latest.publication.customers)
    _update_checks(told, parts.scores.checks.latest)
    told.at_work.set(parts.guard.at_work)
    told.batches_waiting.set(parts.batches.statistics().tasks_waiting)
    told.log_waiting.set(parts.log.waiting)
    told.log_written.set(parts.log.written)
    told.log_dropped.set(parts.log.dropped)


def _update_checks(told: Telemetry, found: LatestChecks) -> None:
    told.checks_up.set(1 if found.reachable else 0)
    for what, check in found.newest.items():
        for gauge, of in told.checks[what]:
            value = of(check)
            gauge.set(math.nan if value is None else value)
