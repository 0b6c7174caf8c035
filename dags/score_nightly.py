"""
### Score every customer at risk

**What** — builds the features of everybody at risk at the cut-off, checks every value against its range, scores them
with the model at stage Production and publishes the scores in one transaction; a model that waits at Staging scores
beside, unseen. Then it compares features and scores with those the model was measured on, and asks for a retraining
when drift persists.

**When** — daily at 02:00 UTC, an hour after ingestion. The partition key of a scheduled or backfilled run is the
cut-off date; a run from the form has it in its configuration. Either way it is the same work, and the same date again
gives the same rows. Publishing starts `monitor_model` for that date.

**When it fails** — `validate_features` names the features out of range and for how many customers: nothing is published
then, and the last good night stays what everybody reads. `publish_scores` without a model: run `retrain_model` first.
`check_drift` comes after publishing: when it fails, the night's scores are there all the same. Clear the task.
`request_retraining` being *skipped* is no failure: nobody needs a new model.
"""

from typing import Any

from airflow.sdk import dag, task
from churn_assets import EVENTS, RETRAIN_REQUESTED, SCORES
from churn_run import AS_OF, HOUSE, ask_for_retraining, dated, emit, run_date, run_step


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
    def publish_scores(*, outlet_events: Any) -> dict[str, Any]:
        from churn.steps.score import publish_scores as step

        report = run_step(step, run_date())
        emit(outlet_events, SCORES, model_version=report["model_version"])
        return report

    @task
    def check_drift() -> dict[str, Any]:
        from churn_episodes import drift_news, tell_news

        from churn.steps.check_drift import check_drift as step

        report = run_step(step, run_date())
        tell_news(drift_news(report), f"Drift as of {report['as_of']}", report)
        return report

    @task(outlets=[RETRAIN_REQUESTED])
    def request_retraining(*, outlet_events: Any) -> dict[str, Any]:
        return ask_for_retraining(outlet_events, RETRAIN_REQUESTED, ("drift",))

    build_features() >> validate_features() >> publish_scores() >> check_drift() >> request_retraining()


score_nightly()
