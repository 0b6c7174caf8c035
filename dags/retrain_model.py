"""
### Retrain, compare, approve, promote

**What** — builds a training panel of several cut-offs with known outcomes, fits a model, measures it on the latest
cut-offs that were held out, registers it at stage Staging and compares it with the model in production on that same
hold-out. When the comparison says yes, the model is promoted: at once (`CHURN_PROMOTION=auto`), or after a person
approved it here (`approve`). The first model of all has nothing to beat and is promoted as it is, in both cases.

**When** — Sundays at 03:00 UTC, after the night's scoring: a week adds one snapshot. When `score_nightly` or
`monitor_model` asks for it, unless the last one was a short while ago (`CHURN_RETRAIN_COOLDOWN_DAYS`). Or from the
form. The same data again finds the version it led to before instead of making another.

**When it fails** — a log that is too short says how many days are missing. Skipped tasks are no failure:
`start_retraining` says in its log why a request was refused, `gate` why the model in production stays. `approve` waits
for an answer under Browse, Required Actions; a rejection, or no answer in time, leaves the model in production. Every
decision is in the ledger: `churn history`. `promote` is skipped with an alert when something has changed since the yes:
another model in production, a newer one that waits, a decision that is not the one in the ledger.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from churn_alerts import ApprovalWaits, tell
from churn_approval import Approval, approver, needs_approval
from churn_assets import EVENTS, PRODUCTION_MODEL, RETRAIN_REQUESTED
from churn_run import AS_OF, HEAVY, HOUSE, event_extra, run_date, run_step
from churn_timetable import DatedOrOnAsset

from churn.settings import Settings

_TRIGGERS = {"scheduled": "schedule", "asset_triggered": "request"}
"""By Airflow's type of run; the others were started by a person."""


def _number(title: str, least: int, most: int, description: str) -> Param:
    return Param(
        None,
        type=["null", "integer"],
        minimum=least,
        maximum=most,
        title=title,
        description=f"{description} Empty: as set.",
    )


@dag(
    schedule=DatedOrOnAsset("0 3 * * 0", asset=RETRAIN_REQUESTED),
    doc_md=__doc__,
    tags=["churn", "model"],
    params={
        "as_of": AS_OF,
        "horizon": _number(
            "Horizon in days",
            1,
            3650,
            "How far ahead churn is predicted. Models of different horizons are never compared: one of another horizon "
            "waits at stage Staging.",
        ),
        "trials": _number("Search budget", 0, 1000, "Settings tried for each kind of model; 0 takes the defaults."),
        "snapshots": _number(
            "Training snapshots",
            1,
            52,
            "1 to 52 weekly cut-offs to train on, before the held-out one; fewer where the log is shorter.",
        ),
        "promote": Param(
            True,
            type="boolean",
            title="Promote if better",
            description="Off: the new model waits at stage Staging, whatever the comparison says.",
        ),
        "force": Param(
            False,
            type="boolean",
            title="Train in any case",
            description="Also when the last training was a short while ago.",
        ),
        "comment": Param(
            None,
            type=["null", "string"],
            maxLength=500,
            title="Comment",
            description="Why this training was started. Kept with the model version and in the ledger.",
        ),
    },
    **HOUSE,
)
def retrain_model() -> None:
    house = Settings()

    @task
    def start_retraining(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from churn.steps.start_retraining import start_retraining as step

        trigger = _TRIGGERS.get(dag_run.run_type, "person")
        default = "weekly" if trigger == "schedule" else f"asked for by {dag_run.triggering_user_name or 'a person'}"
        reason = params["comment"] or event_extra("reason") or default
        report = run_step(step, run_date(), trigger=trigger, reason=reason, force=params["force"], run=dag_run.run_id)
        if not report["admitted"]:
            raise AirflowSkipException(report["reason"])
        return report

    @task(inlets=[EVENTS], pool_slots=HEAVY)
    def build_panel(params: dict[str, Any]) -> dict[str, Any]:
        from churn.steps.build_panel import build_panel as step

        return run_step(step, run_date(), settings=_as_asked(params))

    @task(pool_slots=HEAVY)
    def train(params: dict[str, Any]) -> dict[str, Any]:
        from churn.steps.train import train_on_panel as step

        return run_step(step, run_date(), params["comment"], settings=_as_asked(params))

    @task
    def compare(trained: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        from churn.steps.compare import compare as step

        report = run_step(step, trained["model_version"], settings=_as_asked(params))
        del report["evidence"]  # on file, under its hash; the summary shows what matters of it
        return report

    @task.branch
    def gate(compared: dict[str, Any], params: dict[str, Any]) -> str | None:
        if compared["challenger"] == compared["champion"]:
            return None  # the same data led to the version that is in production
        if not compared["promote"]:
            reasons = "; ".join(compared["reasons"])
            tell(f"Version {compared['challenger']} was not promoted", f"The gate said no: {reasons}", severity="info")
            return None
        if not params["promote"]:
            return None
        return "approve" if needs_approval(compared) else "promote"

    approve = Approval(
        task_id="approve",
        subject="Promote churn model version {{ ti.xcom_pull(task_ids='compare')['challenger'] }}?",
        body="{{ ti.xcom_pull(task_ids='compare')['summary'] }}",
        defaults=Approval.REJECT,
        response_timeout=timedelta(hours=house.approval_hours),
        assigned_users=[{"id": name, "name": name} for name in house.approvers] or None,
        notifiers=[ApprovalWaits(house.approval_hours)],
        params={
            # Not "comment": Airflow would fill in what the run's own form says under that name.
            "why": Param(
                None,
                type=["null", "string"],
                maxLength=500,
                title="Comment",
                description="Why. Kept in the ledger with your name.",
            )
        },
    )

    # Runs after the gate alone, or after an approval; after a rejection Airflow skips it.
    @task(outlets=[PRODUCTION_MODEL], trigger_rule="none_failed_min_one_success")
    def promote(compared: dict[str, Any], ti: Any, *, outlet_events: Any) -> dict[str, Any]:
        from churn.steps.promote import promote as step

        decided: dict[str, Any] = {"evidence_sha256": compared["evidence_sha256"]}
        if needs_approval(compared):
            decided = approver(ti.xcom_pull(task_ids="approve"))
        report = run_step(step, compared["challenger"], **decided)
        if not report["promoted"]:
            subject = f"Version {compared['challenger']} was not promoted, though the answer was yes"
            stays = f"version {report['production']} stays in production: {report['reason']}"
            tell(subject, stays, severity="error")
            raise AirflowSkipException(stays)
        outlet_events[PRODUCTION_MODEL].extra = {"version": report["production"]}
        return report

    trained = train()
    start_retraining() >> build_panel() >> trained
    compared = compare(trained)
    promoted = promote(compared)
    gate(compared) >> [approve, promoted]
    approve >> promoted


def _as_asked(params: dict[str, Any]) -> Settings:
    """The environment's settings with what the form changed."""
    asked = {"panel_snapshots": "snapshots", "search_trials": "trials", "horizon_days": "horizon"}
    return Settings().model_copy(update={k: params[p] for k, p in asked.items() if params[p] is not None})


retrain_model()
