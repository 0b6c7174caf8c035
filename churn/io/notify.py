"""Alerts to people: what an alert says, and the ways it goes out. No way out that fails ever fails the work itself."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol
from urllib.parse import urlsplit

import httpx

from churn.settings import Settings

_LOG = logging.getLogger("churn.alerts")
_WEBHOOK_SECONDS = 5.0
"""Long enough for a chat service on a bad day, short enough that a dead one does not hold up a night's work."""
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(frozen=True)
class Alert:
    """Something a person should know. Counts, versions and dates only: nothing about a customer."""

    subject: str
    """One line."""
    text: str
    severity: Literal["info", "warning", "error"] = "warning"
    link: str | None = None
    """Where to look or to answer."""
    as_of: str | None = None
    """The cut-off date that it is about, ISO."""


class Notifier(Protocol):
    """One way out. May raise anything: ``send_all`` catches it."""

    def send(self, alert: Alert) -> None:
        """Returns when the alert is handed over."""
        ...


class LogNotifier:
    """To the log, under the logger ``churn.alerts``."""

    def send(self, alert: Alert) -> None:
        parts = (alert.subject, alert.text, alert.link)
        _LOG.log(_LEVELS[alert.severity], "%s", "\n".join(part for part in parts if part))


class WebhookNotifier:
    """POSTs the alert's fields and ``sent_at`` (ISO, UTC) as one JSON object; an answer other than 2xx is a failure."""

    def __init__(self, url: str, timeout: float = _WEBHOOK_SECONDS) -> None:
        self._url = url
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"webhook at {urlsplit(self._url).hostname}"  # the path of a webhook is often its password

    def send(self, alert: Alert) -> None:
        body = asdict(alert) | {"sent_at": datetime.now(UTC).isoformat(timespec="seconds")}
        try:
            answer = httpx.post(self._url, json=body, timeout=self._timeout)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectionError(type(error).__name__) from None  # its message may hold the address
        if not answer.is_success:
            raise ConnectionError(f"it answered {answer.status_code}")


def notifiers(settings: Settings) -> list[Notifier]:
    """The log always; the webhook where one is set."""
    ways: list[Notifier] = [LogNotifier()]
    if settings.alert_webhook:
        ways.append(WebhookNotifier(settings.alert_webhook))
    return ways


def send_all(alert: Alert, ways: Iterable[Notifier]) -> None:
    """Tries every way; a failure is logged and never raised: an alert must not fail what it reports on."""
    for way in ways:
        try:
            way.send(alert)
        except Exception as error:  # whatever a mail server, a proxy or a chat service comes up with
            _LOG.error("the alert %r did not go out by %r: %s: %s", alert.subject, way, type(error).__name__, error)
