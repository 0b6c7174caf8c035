"""Alerts leave Airflow as mail too, and an alarm that goes on is told once."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from email import message_from_string
from types import SimpleNamespace
from typing import Any

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


def _record(settings: Settings, night: date, what: What, version: str, *, alarm: bool) -> None:
    with closing(Checks(settings.score_database)) as checks:
        checks.record(night, what, version, alarm=alarm, summary="…", detail={})


def _drift(nights: int, *, alarm: bool = True) -> dict[str, Any]:
    return {"as_of": str(NIGHT), "model_version": "4", "alarm": alarm, "nights": nights}


def test_drift_is_told_when_it_begins_and_when_it_persists_and_not_on_the_nights_between(settings: Settings) -> None:
    from churn_episodes import drift_is_news, known_alarms

    known = known_alarms(NIGHT)
    told = [nights for nights in range(1, 10) if drift_is_news(_drift(nights), known)]
    assert told == [1, settings.drift_nights] == [1, 3]
    assert not drift_is_news(_drift(0, alarm=False), known)


def test_the_same_night_again_tells_no_drift_twice(settings: Settings) -> None:
    from churn_episodes import drift_is_news, known_alarms

    _record(settings, NIGHT, "drift", "4", alarm=True)
    assert not drift_is_news(_drift(1), known_alarms(NIGHT))


def _monitored(*, degraded: bool, warnings: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"as_of": str(NIGHT), "model_version": "4", "degraded": degraded, "early_warnings": warnings}


def test_a_degradation_is_told_when_it_begins_for_this_version(settings: Settings) -> None:
    from churn_episodes import known_alarms, monitoring_is_news

    yesterday = date(2026, 3, 4)
    _record(settings, yesterday, "performance", "4", alarm=False)
    _record(settings, yesterday, "performance", "3", alarm=True)
    assert monitoring_is_news(_monitored(degraded=True), known_alarms(NIGHT))
    assert not monitoring_is_news(_monitored(degraded=False), known_alarms(NIGHT))
    _record(settings, yesterday, "performance", "4", alarm=True)
    assert not monitoring_is_news(_monitored(degraded=True), known_alarms(NIGHT))
    # An early warning is another matter.
    assert monitoring_is_news(_monitored(degraded=True, warnings=("paid: 30 left, 12 expected",)), known_alarms(NIGHT))


def test_an_alarm_that_had_ended_is_news_when_it_comes_back(settings: Settings) -> None:
    from churn_episodes import known_alarms, monitoring_is_news

    _record(settings, date(2026, 3, 2), "early_warning", "4", alarm=True)
    _record(settings, date(2026, 3, 3), "early_warning", "4", alarm=False)
    assert monitoring_is_news(_monitored(degraded=False, warnings=("free",)), known_alarms(NIGHT))
    _record(settings, NIGHT, "early_warning", "4", alarm=True)  # told earlier on the same day
    assert not monitoring_is_news(_monitored(degraded=False, warnings=("free",)), known_alarms(NIGHT))
