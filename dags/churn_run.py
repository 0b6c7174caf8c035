"""What the tasks of all DAGs share: the date they work for, and how a step's outcome reaches Airflow."""

import inspect
import json
import logging
from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, CronPartitionTimetable, Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from churn_alerts import tell_of_failure
from churn_past import of_the_past
from churn_timetable import JUST_NOW

from churn.errors import BadInput, NotReady
from churn.io.checks import What
from churn.settings import Settings

HOUSE: dict[str, Any] = {
    "catchup": False,  # a missed night is made up for by a backfill that somebody asks for
    "max_active_runs": 1,  # two runs of one date would do the same work; a backfill says itself how many nights at once
    "on_failure_callback": tell_of_failure,
    # What may pass by itself (a busy database, a registry that restarts) is tried again; a broken contract is not.
    "default_args": {"retries": 2, "retry_delay": timedelta(seconds=30)},
}
"""What every DAG of ours has in common."""

HEAVY = 2
"""Slots of Airflow's default pool that a task takes which reads the log or trains; the others take one.

A pool of our own would have to be made wherever the DAGs run, and a task whose pool is missing waits for ever, with no
more than a warning in the scheduler's log. The default pool is always there.
"""

AS_OF = Param(
    None,
    type=["null", "string"],
    format="date",
    title="As of",
    description="Cut-off date, UTC: nothing at or after its midnight is seen. Empty: the date of the run.",
)


def dated(cron: str) -> CronPartitionTimetable:
    """A schedule (UTC) whose runs carry their date as partition key.

    The first start does not make up for a tick that has passed: another DAG may have to run first.
    """
    return CronPartitionTimetable(cron, timezone="UTC", key_format="%Y-%m-%d", run_immediately=JUST_NOW)


def run_date() -> date:
    """The date of this run: the form's, then the partition key, then that of the asset event which started it, then the
    logical date, then the day it was due (UTC).

    The same run always has the same date, also when it is cleared days later.
    """
    context: Any = get_current_context()
    text = context["params"].get("as_of") or context["dag_run"].partition_key or event_extra("as_of")
    text = text or context.get("ds")
    day = date.fromisoformat(text) if text else context["dag_run"].run_after.astimezone(UTC).date()
    if day > (today := datetime.now(UTC).date()):
        raise AirflowFailException(f"{day} has not begun (UTC): the latest cut-off is {today}")
    return day


def event_extra(name: str) -> str | None:
    """What the asset event that started this run says beside its date; of several events, the latest one's."""
    by_asset = get_current_context().get("triggering_asset_events") or {}
    events = sorted((event for asset in by_asset for event in by_asset[asset]), key=lambda event: event.timestamp)
    return next((str(event.extra[name]) for event in reversed(events) if event.extra.get(name)), None)


def emit(outlet_events: Any, asset: Asset, **extra: str) -> None:
    """Say beside an asset's event which date it is about.

    The date is the event's partition key too, also in a run from the form, which has none: without a key an event
    starts no dated DAG.
    """
    day = str(run_date())
    outlet_events[asset].extra = {"as_of": day, **extra}
    outlet_events[asset].add_partitions(day)


def run_step(step: Callable[..., Any], *args: Any, settings: Settings | None = None, **named: Any) -> dict[str, Any]:
    """Call a step with the settings of the environment, or these; its report is the task's result.

    What running again cannot mend (bad input, a missing predecessor) fails the task without a retry.
    """
    log = logging.getLogger("churn")
    if "progress" in inspect.signature(step).parameters:
        named["progress"] = log.info
    try:
        report = json.loads(json.dumps(asdict(step(settings or Settings(), *args, **named))))  # as XCom shows it best
    except (BadInput, NotReady) as e:
        raise AirflowFailException(str(e)) from e
    for name, value in report.items():
        log.info("%s: %s", name.replace("_", " "), value)
    return report


def ask_for_retraining(outlet_events: Any, asset: Asset, kinds: Collection[What]) -> dict[str, Any]:
    """Emit the request when the alarms of this date are enough for one, else skip the task: no event then.

    A night of the past asks for nothing: a model as of then is of no use today.
    ``kinds``: the checks that this DAG makes. Those of another DAG are its own to act upon.
    """
    from churn.steps.request_retraining import request_retraining as step

    if why := of_the_past(run_date()):
        raise AirflowSkipException(why)
    report = run_step(step, run_date(), kinds)
    if not report["requested"]:
        raise AirflowSkipException(report["reason"])
    emit(outlet_events, asset, reason=report["reason"])
    return report
