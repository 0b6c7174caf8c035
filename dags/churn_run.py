"""What the tasks of all DAGs share: the date they work for, and how a step's outcome reaches Airflow."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import CronPartitionTimetable, Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from churn.errors import BadInput, NotReady
from churn.settings import Settings

HOUSE: dict[str, Any] = {
    "catchup": False,  # a missed night is made up for by a backfill that somebody asks for
    "max_active_runs": 1,  # two runs would write the same partitions
    # What may pass by itself (a busy database, a registry that restarts) is tried again; a broken contract is not.
    "default_args": {"retries": 2, "retry_delay": timedelta(seconds=30)},
}
"""What every DAG of ours has in common."""

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
    return CronPartitionTimetable(cron, timezone="UTC", key_format="%Y-%m-%d", run_immediately=timedelta(0))


def run_date() -> date:
    """The date of this run: the form's, then the partition key, then the logical date, then the day it was due (UTC).

    The same run always has the same date, also when it is cleared days later.
    """
    context: Any = get_current_context()
    text = context["params"].get("as_of") or context["dag_run"].partition_key or context.get("ds")
    day = date.fromisoformat(text) if text else context["dag_run"].run_after.astimezone(UTC).date()
    if day > (today := datetime.now(UTC).date()):
        raise AirflowFailException(f"{day} has not begun (UTC): the latest cut-off is {today}")
    return day


def run_step(step: Callable[..., Any], *args: Any, **changed_settings: Any) -> dict[str, Any]:
    """Call a step with the settings of the environment; its report is the task's result.

    What running again cannot mend (bad input, a missing predecessor) fails the task without a retry.
    """
    settings, log = Settings().model_copy(update=changed_settings), logging.getLogger("churn")
    told = {"progress": log.info} if "progress" in inspect.signature(step).parameters else {}
    try:
        report = asdict(step(settings, *args, **told))
    except (BadInput, NotReady) as e:
        raise AirflowFailException(str(e)) from e
    for name, value in report.items():
        log.info("%s: %s", name.replace("_", " "), value)
    return report
