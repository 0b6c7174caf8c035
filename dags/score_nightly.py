"""
### Score every customer at risk

**What** — builds the features of everybody at risk at the cut-off, checks every value against its range, scores them
with the model at stage Production and publishes the scores in one transaction.

**When** — daily at 02:00 UTC, an hour after ingestion. The partition key of a scheduled or backfilled run is the
cut-off date; a run from the form has it in its configuration. Either way it is the same work, and the same date again
gives the same rows.

**When it fails** — `validate_features` names the features out of range and for how many customers: nothing is published
then, and the last good night stays what everybody reads. `publish_scores` without a model: run `retrain_model` first.
"""

from typing import Any

from airflow.sdk import dag, task
from churn_assets import EVENTS, SCORES
from churn_run import AS_OF, HOUSE, dated, run_date, run_step


@dag(
    schedule=dated("0 2 * * *"),
    doc_md=__doc__,
    tags=["churn", "nightly"],
    params={"as_of": AS_OF},
    **HOUSE,
)
def score_nightly() -> None:
    @task(inlets=[EVENTS])
    def build_features() -> dict[str, Any]:
        from churn.steps.build_features import build_features as step

        return run_step(step, run_date())

    @task
    def validate_features() -> dict[str, Any]:
        from churn.steps.validate_features import validate_features as step

        return run_step(step, run_date())

    @task(outlets=[SCORES])
    def publish_scores() -> dict[str, Any]:
        from churn.steps.score import publish_scores as step

        return run_step(step, run_date())

    build_features() >> validate_features() >> publish_scores()


score_nightly()
