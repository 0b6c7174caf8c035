"""How alerts leave Airflow: the log, the webhook, and e-mail through Airflow's connection ``smtp_default``."""

import html
from typing import Any, Literal
from urllib.parse import quote

from airflow.sdk import BaseNotifier, get_current_context
from airflow.sdk.configuration import conf
from churn_past import of_the_past

from churn.io.notify import Alert, Notifier, notifiers, send_all
from churn.settings import Settings

_NIGHTLY = ("score_nightly", "monitor_model")
"""What a backfill runs. A retraining that is approved late and then fails still rings."""


class MailNotifier:
    """By Airflow's own SmtpNotifier; server, login and sender are those of the connection ``smtp_default``."""

    def __init__(self, to: tuple[str, ...]) -> None:
        self._to = to

    def __repr__(self) -> str:
        return "e-mail"

    def send(self, alert: Alert) -> None:
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        text = f"<p>{html.escape(alert.text)}</p>".replace("\n", "<br>\n")
        link = f'<p><a href="{html.escape(alert.link)}">{html.escape(alert.link)}</a></p>' if alert.link else ""
        mail = SmtpNotifier(to=list(self._to), subject=alert.subject, html_content=text + link)
        mail.notify({})  # not mail(context): that would take the text for a template


def ways_out(settings: Settings) -> list[Notifier]:
    """What the library knows, and e-mail where somebody is to be mailed."""
    mail: list[Notifier] = [MailNotifier(settings.alert_emails)] if settings.alert_emails else []
    return notifiers(settings) + mail


def tell(
    subject: str,
    text: str,
    *,
    severity: Literal["info", "warning", "error"] = "warning",
    as_of: str | None = None,
    link: str | None = None,
) -> None:
    """Send an alert from a running task; it links to the run unless another ``link`` is given."""
    if link is None:
        run = get_current_context()["dag_run"]
        link = _page(run.dag_id, run.run_id)
    send_all(Alert(subject, text, severity, link, as_of), ways_out(Settings()))


def tell_of_failure(context: Any) -> None:
    """``on_failure_callback`` of a DAG. Says which task, not its message: that may quote what was in a file.

    Nothing of a night of the past: who fills in two months looks at the page of the backfill, and is not mailed sixty
    times.
    """
    key = context["dag_run"].partition_key if context.get("dag_run") else None
    if key and context["dag"].dag_id in _NIGHTLY and of_the_past(key):
        return
    dag_id, run_id, ti = context["dag"].dag_id, context["run_id"], context.get("ti")
    where = f" The last task to end was {ti.task_id}." if ti else ""
    alert = Alert(
        f"{dag_id} failed",
        f"The run {run_id} failed.{where} The log of the failed task says why, the DAG's page what to do.",
        "error",
        _page(dag_id, run_id),
    )
    send_all(alert, ways_out(Settings()))


class ApprovalWaits(BaseNotifier):
    """Tells that a new model waits for a person's answer, and where to give it."""

    def __init__(self, hours: float) -> None:
        super().__init__()
        self._hours = hours

    def notify(self, context: Any) -> None:
        operator = context["task"]
        link = operator.generate_link_to_ui_from_context(context=context)
        text = f"Without an answer within {self._hours:g} hours the model in production stays."
        tell(operator.subject, text, severity="info", link=link)


def _page(dag_id: str, run_id: str) -> str:
    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return f"{base}/dags/{dag_id}/runs/{quote(run_id)}"
