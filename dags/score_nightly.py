"""
### Score every customer at risk

**What** — builds the features of everybody at risk at the cut-off, checks every value against its range, scores them
with the model at stage Production and publishes the scores in one transaction; a model that waits at Staging scores
beside, unseen. With `CHURN_SCORE_SHARDS` above 1, probabilities and reasons are made in that many tasks side by side,
all by one version, and still published at once. Then it compares features and scores with those the model was measured
on, and asks for a retraining when drift persists.

**When** — daily at 02:00 UTC, an hour after ingestion. The partition key of a scheduled or backfilled run is the
cut-off date; a run from the form has it in its configuration. Either way it is the same work, and the same date again
gives the same rows. Publishing starts `monitor_model` for that date. A backfill may run several nights at once; a night
of the past rings no alarm and asks for no retraining.

**When it fails** — `validate_features` names the features out of range and for how many customers: nothing is published
then, and the last good night stays what everybody reads. Without a model: run `retrain_model` first. Of shards, clear
`plan_shards` with what follows it: the plan holds for the features and the version of its moment.
`check_drift` comes after publishing: when it fails, the night's scores are there all the same. Clear the task.
`request_retraining` being *skipped* is no failure: nobody needs a new model.
"""

from typing import Any

from airflow.sdk import dag, get_current_context, task
from churn_assets import EVENTS, RETRAIN_REQUESTED, SCORES
from churn_run import AS_OF, HEAVY, HOUSE, ask_for_retraining, dated, emit, run_date, run_step

from churn.settings import Settings


@dag(
    schedule=dated("0 2 * * *"),
    doc_md=__doc__,
    tags=["churn", "nightly"],
    params={"as_of": AS_OF},
    **HOUSE,
)
def score_nightly() -> None:
    @task(inlets=[EVENTS], pool_slots=HEAVY)
    def build_features() -> dict[str, Any]:
        from churn.steps.build_features import build_features as step

        return run_step(step, run_date())

    @task
    def validate_features() -> dict[str, Any]:
        from churn.steps.validate_features import validate_features as step

        return run_step(step, run_date())

    @task
    def plan_shards() -> list[dict[str, Any]]:
        from churn.steps.score_shards import plan_shards as step

        shards: list[dict[str, Any]] = run_step(step, run_date())["shards"]
        return shards

    @task(map_index_template="{{ shard['number'] + 1 }} of {{ shard['of'] }}")
    def score_shard(shard: dict[str, Any]) -> dict[str, Any]:
        from churn.io.score_shards import Shard
        from churn.steps.score_shards import score_shard as step

        get_current_context()["shard"] = shard  # for the name of the mapped task
        return run_step(step, Shard(**shard))

    @task(outlets=[SCORES])
    def publish_scores(shards: list[dict[str, Any]] | None = None, *, outlet_events: Any) -> dict[str, Any]:
        from churn.io.score_shards import Shard
        from churn.steps.score import publish_scores as step

        report = run_step(step, run_date(), tuple(Shard(**shard) for shard in shards or ()))
        emit(outlet_events, SCORES, model_version=report["model_version"])
        return report

    @task(pool_slots=HEAVY)
    def check_drift() -> dict[str, Any]:
        from churn_episodes import drift_news, tell_news

        from churn.steps.check_drift import check_drift as step

        report = run_step(step, run_date())
        tell_news(drift_news(report), f"Drift as of {report['as_of']}", report)
        return report

    @task(outlets=[RETRAIN_REQUESTED])
    def request_retraining(*, outlet_events: Any) -> dict[str, Any]:
        return ask_for_retraining(outlet_events, RETRAIN_REQUESTED, ("drift",))

    validated = build_features() >> validate_features()
    if Settings().score_shards == 1:  # a task more would cost a night longer than it saves
        published = publish_scores()
        validated >> published
    else:
        planned = plan_shards()
        published = publish_scores(planned)
        validated >> planned
        score_shard.expand(shard=planned) >> published
    published >> check_drift() >> request_retraining()


score_nightly()
