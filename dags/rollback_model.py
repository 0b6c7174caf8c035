"""
### Back to an earlier model

**What** — puts a version that was in production before back to stage Production; the one that is there now is archived.
At no moment is there none. The ledger gets a row: which versions, who, why.

**When** — from the form only, when the model in production turns out to be wrong. The API follows within seconds; the
night's published scores stay until `score_nightly` runs for that date again.

**When it fails** — the log says which versions can be rolled back to: one must have been in production before. The task
being *skipped* is no failure: that version is in production already.
"""

from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from churn_assets import PRODUCTION_MODEL
from churn_run import HOUSE, run_step


@dag(
    schedule=None,
    doc_md=__doc__,
    tags=["churn", "model"],
    params={
        "version": Param(
            None,
            type=["null", "string"],
            pattern="^[0-9]+$",
            title="Version",
            description="Number of a version that was in production before. Empty: the one before the present one.",
        ),
        # The empty text makes the form ask for one. Without a default Airflow could not tell of a run that failed.
        "reason": Param(
            "",
            type="string",
            maxLength=500,
            title="Reason",
            description="Why. Kept in the ledger.",
        ),
    },
    **HOUSE,
)
def rollback_model() -> None:
    @task(outlets=[PRODUCTION_MODEL])
    def rollback(params: dict[str, Any], dag_run: Any, *, outlet_events: Any) -> dict[str, Any]:
        from churn.steps.rollback import rollback as step

        if not params["reason"].strip():
            raise AirflowFailException("a rollback needs a reason: it is kept in the ledger")
        who = dag_run.triggering_user_name or "Airflow"
        report = run_step(step, params["version"], who=who, why=params["reason"], request=dag_run.run_id)
        if not report["rolled_back"]:
            raise AirflowSkipException(report["reason"])
        outlet_events[PRODUCTION_MODEL].extra = {"version": report["production"]}
        return report

    rollback()


rollback_model()
