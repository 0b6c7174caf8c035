"""Alerts leave Airflow as mail too, and an alarm that goes on is told once."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from email import message_from_string
from types import SimpleNamespace

import pytest
from alert_servers import Chat, MailServer, serving

from churn.io.checks import Checks, What
from churn.io.notify import Alert, send_all
from churn.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore")  # Airflow's and its providers' own deprecations

NIGHT = date(2026, 3, 5)


@pytest.fixture
def mail_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A mail server that Airflow's connection names."""
    server = MailServer()
    address = f"smtp://127.0.0.1:{server.server_address[1]}"
    extra = "from_email=churn%40example.com&disable_ssl=true&disable_tls=true&timeout=5&retry_limit=0"
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", f"{address}/?{extra}")
    with serving(server):
        yield server


def test_an_alert_is_mailed_to_everybody_named_and_its_text_is_no_template(mail_server: MailServer) -> None:
    from churn_alerts import ways_out

    settings = Settings(alert_emails=("ops@example.com", "ml@example.com"), _env_file=None)  # type: ignore[call-arg]
    text = "page '{{ 7 * 7 }}' is <new>\nand 3 of 41 features moved"
    send_all(Alert("Drift as of 2026-03-05", text, link="http://127.0.0.1:8080/dags/x?a=1&b=2"), ways_out(settings))
    (raw,) = mail_server.mails
    mail = message_from_string(raw)
    assert mail["Subject"] == "Drift as of 2026-03-05"
    assert mail["From"] == "churn@example.com"
    assert mail["To"] == "ops@example.com, ml@example.com"
    (part,) = mail.get_payload()
    body = part.get_payload(decode=True).decode()
    assert "page &#x27;{{ 7 * 7 }}&#x27; is &lt;new&gt;<br>\nand 3 of 41 features moved" in body
    assert 'href="http://127.0.0.1:8080/dags/x?a=1&amp;b=2"' in body


def test_a_mail_server_that_is_not_there_is_logged_and_harms_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from churn_alerts import MailNotifier

    extra = "from_email=churn%40example.com&disable_ssl=true&disable_tls=true&timeout=1&retry_limit=0"
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", f"smtp://127.0.0.1:9/?{extra}")
    send_all(Alert("Scores are stale", "…"), [MailNotifier(("ops@example.com",))])
    assert "the alert 'Scores are stale' did not go out by e-mail: ConnectionRefusedError" in caplog.text


def test_a_failed_run_is_told_with_its_task_and_a_link_but_not_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from churn_alerts import tell_of_failure

    chat = Chat()
    monkeypatch.setenv("CHURN_ALERT_WEBHOOK", chat.url)
    with serving(chat):
        tell_of_failure(
            {
                "dag": SimpleNamespace(dag_id="ingest_events"),
                "run_id": "manual__2026-03-05T00:00:00+00:00",
                "reason": "task_failure",
                "ti": SimpleNamespace(task_id="ingest"),
                "exception": ValueError("row 7: Zebediah Quackenbush"),
            }
        )
    (body,) = chat.got
    assert body["subject"] == "ingest_events failed"
    assert body["severity"] == "error"
    assert "The last task to end was ingest." in body["text"]
    assert body["link"].endswith("/dags/ingest_events/runs/manual__2026-03-05T00%3A00%3A00%2B00%3A00")
    assert "Quackenbush" not in str(body)


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    """What reaches the webhook of a task that runs."""
    chat = Chat()
    monkeypatch.setenv("CHURN_ALERT_WEBHOOK", chat.url)
    monkeypatch.setattr(
        "churn_alerts.get_current_context", lambda: {"dag_run": SimpleNamespace(dag_id="d", run_id="r")}
    )
    with serving(chat):
        yield chat


def _check(settings: Settings, what: What, ago: int, *, alarm: bool, version: str = "4") -> None:
    """On record, as the step leaves it."""
    with closing(Checks(settings.score_database)) as checks:
        checks.record(NIGHT - timedelta(days=ago), what, version, alarm=alarm, summary="…", detail={})


def _drift(settings: Settings, ago: int, nights: int) -> None:
    """The task check_drift on one night: the check, and then what is told."""
    from churn_episodes import drift_news, tell_news

    _check(settings, "drift", ago, alarm=nights > 0)
    night = str(NIGHT - timedelta(days=ago))
    report = {
        "as_of": night, "model_version": "4", "alarm": nights > 0, "nights": nights,
        "persists": nights >= settings.drift_nights, "summary": f"night {nights}",
    }  # fmt: skip
    tell_news(drift_news(report), f"Drift as of {night}", report)


def _monitored(
    settings: Settings, ago: int, *, degraded: bool, warnings: tuple[str, ...] = (), tell: bool = True
) -> None:
    """The task monitor on one night, or what a killed one left behind."""
    from churn_episodes import monitoring_news, tell_news

    _check(settings, "performance", ago, alarm=degraded)
    _check(settings, "early_warning", ago, alarm=bool(warnings))
    night = str(NIGHT - timedelta(days=ago))
    report = {"as_of": night, "model_version": "4", "degraded": degraded, "early_warnings": warnings, "summary": night}
    if tell:
        tell_news(monitoring_news(report), "The model may be wrong", report)


def _told(chat: Chat) -> list[str]:
    told = [body["text"] for body in chat.got]
    chat.got.clear()
    return told


def test_drift_is_told_when_it_begins_and_when_it_persists_and_not_on_the_nights_between(
    settings: Settings, chat: Chat
) -> None:
    _drift(settings, 10, 0)
    for nights in range(1, 8):
        _drift(settings, 10 - nights, nights)
    assert _told(chat) == ["night 1", f"night {settings.drift_nights}"] == ["night 1", "night 3"]
    _drift(settings, 1, 0)
    _drift(settings, 0, 1)  # it had ended
    assert _told(chat) == ["night 1"]


def test_the_same_night_again_tells_no_drift_twice(settings: Settings, chat: Chat) -> None:
    _drift(settings, 0, 1)
    _drift(settings, 0, 1)
    assert _told(chat) == ["night 1"]


def test_an_alarm_whose_task_was_killed_before_it_told_is_told_when_the_task_is_tried_again(
    settings: Settings, chat: Chat
) -> None:
    _check(settings, "drift", 0, alarm=True)
    _monitored(settings, 0, degraded=True, tell=False)
    assert _told(chat) == []
    _drift(settings, 0, 1)
    _monitored(settings, 0, degraded=True)
    assert _told(chat) == ["night 1", str(NIGHT)]


def test_an_alarm_that_nobody_was_told_of_on_its_first_night_is_told_on_the_next(
    settings: Settings, chat: Chat
) -> None:
    _check(settings, "drift", 1, alarm=True)
    _monitored(settings, 1, degraded=True, tell=False)
    _drift(settings, 0, 2)
    _monitored(settings, 0, degraded=True)
    assert _told(chat) == ["night 2", str(NIGHT)]


def test_a_degradation_is_told_when_it_begins_for_this_version(settings: Settings, chat: Chat) -> None:
    _check(settings, "performance", 1, alarm=True, version="3")
    _monitored(settings, 2, degraded=False)
    assert _told(chat) == []
    _monitored(settings, 1, degraded=True)
    assert _told(chat) == ["2026-03-04"]
    _monitored(settings, 0, degraded=True)
    assert _told(chat) == []
    # An early warning is another matter.
    _monitored(settings, 0, degraded=True, warnings=("paid: 30 left, 12 expected",))
    assert _told(chat) == [str(NIGHT)]


def test_an_alarm_that_had_ended_is_news_when_it_comes_back(settings: Settings, chat: Chat) -> None:
    _monitored(settings, 3, degraded=False, warnings=("free",))
    _monitored(settings, 2, degraded=False)
    assert _told(chat) == ["2026-03-02"]
    for _ in range(2):  # twice a day
        _monitored(settings, 0, degraded=False, warnings=("free",))
    assert _told(chat) == [str(NIGHT)]
