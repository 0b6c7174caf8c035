"""
### Ingest the event log

**What** — lands the demo's days that have passed (only while the demo log is on), then validates every raw file in the
landing folder against the source contract and publishes it as daily partitions of canonical events.

**When** — daily at 01:00 UTC: an hour after midnight yesterday's log is complete. Or from the form. A file that was
ingested before changes nothing, so a run can be repeated at any time.

**When it fails** — a file that breaks the contract as a whole is named in the log of `ingest` with the reason; all
other files are in the lake by then. Mend the file, or move it out of the landing folder, and clear the task. Broken
rows are no failure: they are in `quarantine/` with the rule each one broke.
"""

from typing import Any

from airflow.sdk import dag, task
from churn_assets import EVENTS
from churn_run import AS_OF, HEAVY, HOUSE, dated, run_date, run_step


@dag(
    schedule=dated("0 1 * * *"),
    doc_md=__doc__,
    tags=["churn", "nightly"],
    params={"as_of": AS_OF},
    **HOUSE,
)
def ingest_events() -> None:
    @task
    def land_demo() -> dict[str, Any]:
        from churn.steps.land_demo import land_demo as step

        return run_step(step, run_date())

    @task(outlets=[EVENTS], pool_slots=HEAVY)
    def ingest() -> dict[str, Any]:
        from churn.steps.ingest import ingest_or_refuse as step

        return run_step(step)

    land_demo() >> ingest()


ingest_events()
