"""
### Is the model still right?

**What** — looks whether today's scores are there, lets published scores meet the outcomes that are known by now, warns
early when customers leave faster or slower than the scores expected, and asks for a retraining when that is called for.
Removes what is older than it is kept for (`CHURN_KEEP_…`); only on a run of today, because the past is no clock.

**When** — as soon as `score_nightly` has published a night's scores, for that night; and daily when scores are due
(`CHURN_SCORES_DUE`, 06:00 UTC), so that scores that never came are noticed. Or from the form.

**When it fails** — `monitor` says what it could not read; nothing that is published changes. Clear the task. Stale
scores are an alert, not a failure: look at the last runs of `ingest_events` and `score_nightly`. A night of the
past, as a backfill publishes it, is looked at too, and rings nothing.
`request_retraining` being *skipped* is no failure: nobody needs a new model. `prune` gives way to a step that is at
work and is tried again; what it removed stays removed, and the next night goes on.
"""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException
from churn_alerts import tell
from churn_assets import RETRAIN_REQUESTED, SCORES
from churn_run import AS_OF, HEAVY, HOUSE, ask_for_retraining, run_date, run_step
from churn_timetable import DatedOrOnAsset

from churn.settings import Settings


@dag(
    schedule=DatedOrOnAsset(f"{Settings().scores_due:%-M %-H} * * *", asset=SCORES),
    doc_md=__doc__,
    tags=["churn", "nightly"],
    params={"as_of": AS_OF},
    **HOUSE,
)
def monitor_model() -> None:
    @task
    def check_freshness() -> dict[str, Any]:
        from churn.steps.check_freshness import check_freshness as step

        now = datetime.now(UTC)
        report = run_step(step, now)
        if report["alarm"] and run_date() == now.date():  # a look at a past night does not ring for today
            tell("Scores are stale", report["summary"], severity="error", as_of=report["due"])
        return report

    @task(inlets=[SCORES], pool_slots=HEAVY)
    def monitor() -> dict[str, Any]:
        from churn_episodes import monitoring_news, tell_news

        from churn.steps.monitor import monitor as step

        report = run_step(step, run_date())
        tell_news(monitoring_news(report), f"The model may be wrong as of {report['as_of']}", report)
        return report

    @task(outlets=[RETRAIN_REQUESTED])
    def request_retraining(*, outlet_events: Any) -> dict[str, Any]:
        return ask_for_retraining(outlet_events, RETRAIN_REQUESTED, ("performance", "early_warning"))

    @task
    def prune() -> dict[str, Any]:
        from churn.steps.prune import prune as step

        today = datetime.now(UTC).date()
        if run_date() != today:
            raise AirflowSkipException(f"a look at a past night removes nothing: {today} does")
        return run_step(step, today)

    prune()  # stands alone: a disk must not fill up because a model is missing
    check_freshness()  # stands alone: whether today's scores are late says nothing about those that are there
    monitor() >> request_retraining()


monitor_model()
