"""Alerts reach a real HTTP server, and a way out that is broken harms nobody."""

import logging
import time
from collections.abc import Iterator

import pytest
from alert_servers import Chat, serving

from churn.io.notify import Alert, Notifier, WebhookNotifier, notifiers, send_all
from churn.settings import Settings

ALERT = Alert("Drift as of 2026-03-01", "3 of 41 features", "warning", "http://127.0.0.1:8080/dags/x", "2026-03-01")


@pytest.fixture
def chat() -> Iterator[Chat]:
    server = Chat()
    with serving(server):
        yield server


def test_an_alert_goes_to_the_log_and_to_the_webhook_that_is_set(
    chat: Chat, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "churn.alerts"):
        send_all(ALERT, notifiers(settings.model_copy(update={"alert_webhook": chat.url})))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == "Drift as of 2026-03-01\n3 of 41 features\nhttp://127.0.0.1:8080/dags/x"
    (body,) = chat.got
    assert body.pop("sent_at").endswith("+00:00")
    assert body == {
        "subject": "Drift as of 2026-03-01",
        "text": "3 of 41 features",
        "severity": "warning",
        "link": "http://127.0.0.1:8080/dags/x",
        "as_of": "2026-03-01",
    }


def test_without_a_webhook_the_log_is_the_only_way_out(settings: Settings) -> None:
    assert [type(way).__name__ for way in notifiers(settings)] == ["LogNotifier"]


def test_a_webhook_that_refuses_is_logged_without_its_secret_path(chat: Chat, caplog: pytest.LogCaptureFixture) -> None:
    chat.status = 500
    send_all(ALERT, [WebhookNotifier(chat.url)])
    assert "did not go out by webhook at 127.0.0.1: ConnectionError: it answered 500" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/hooks/secret", "not a url/secret"])
def test_a_webhook_that_is_not_there_is_logged_and_the_other_ways_are_tried(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    came: list[Alert] = []

    class Other:
        def send(self, alert: Alert) -> None:
            came.append(alert)

    ways: list[Notifier] = [WebhookNotifier(url), Other()]
    send_all(ALERT, ways)
    assert came == [ALERT]
    assert "did not go out" in caplog.text
    assert "secret" not in caplog.text


def test_a_webhook_that_does_not_answer_is_given_up_within_seconds(
    chat: Chat, caplog: pytest.LogCaptureFixture
) -> None:
    chat.delay = 0.5
    began = time.monotonic()
    send_all(ALERT, [WebhookNotifier(chat.url, timeout=0.1)])
    assert time.monotonic() - began < 0.4
    assert "ReadTimeout" in caplog.text
