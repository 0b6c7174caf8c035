"""
### Retrain, compare, promote

**What** — builds a training panel of several cut-offs with known outcomes, fits a model, measures it on the latest
cut-off that was held out, registers it at stage Staging, compares it with the model in production on that same
hold-out, and promotes it if it is better. The first model of all is promoted as it is.

**When** — Sundays at 03:00 UTC, after the night's scoring: a week adds one snapshot. Or from the form. The same data
again finds the version it led to before instead of making another.

**When it fails** — a log that is too short says how many days are missing. `promote` being *skipped* is no failure: the
model in production stays, and the report of `compare` says why.
"""

from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from churn_assets import EVENTS, PRODUCTION_MODEL
from churn_run import AS_OF, HOUSE, dated, run_date, run_step


@dag(
    schedule=dated("0 3 * * 0"),
    doc_md=__doc__,
    tags=["churn", "model"],
    params={
        "as_of": AS_OF,
        "snapshots": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=52,
            title="Training snapshots",
            description="1 to 52 weekly cut-offs to train on, before the held-out one; fewer where the log is shorter. "
            "Empty: as set (CHURN_PANEL_SNAPSHOTS).",
        ),
        "promote": Param(
            True,
            type="boolean",
            title="Promote if better",
            description="Off: the new model waits at stage Staging, whatever the comparison says.",
        ),
        "comment": Param(
            None,
            type=["null", "string"],
            maxLength=500,
            title="Comment",
            description="Why this training was started. Kept with the model version.",
        ),
    },
    **HOUSE,
)
def retrain_model() -> None:
    @task(inlets=[EVENTS])
    def build_panel(params: dict[str, Any]) -> dict[str, Any]:
        from churn.steps.build_panel import build_panel as step

        changed = {} if params["snapshots"] is None else {"panel_snapshots": params["snapshots"]}
        return run_step(step, run_date(), **changed)

    @task
    def train(params: dict[str, Any]) -> dict[str, Any]:
        from churn.steps.train import train_on_panel as step

        return run_step(step, run_date(), params["comment"])

    @task
    def compare(trained: dict[str, Any]) -> dict[str, Any]:
        from churn.steps.compare import compare as step

        return run_step(step, trained["model_version"])

    @task(outlets=[PRODUCTION_MODEL])
    def promote(compared: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        from churn.steps.promote import promote as step

        if not params["promote"]:
            raise AirflowSkipException("the form said not to promote")
        if not compared["promote"]:
            raise AirflowSkipException("; ".join(compared["reasons"]))
        report = run_step(step, compared["challenger"])
        if not report["promoted"]:
            raise AirflowSkipException(f"version {report['production']} stays in production: {report['reason']}")
        return report

    trained = train()
    build_panel() >> trained
    promote(compare(trained))


retrain_model()
