"""Every answer counted, and the served version named on it."""

import logging
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import errors
from serving.parts import Parts

_LOG = logging.getLogger(__name__)
_VERSION = b"x-model-version"
_SCORING = frozenset({"/api/churn/predict", "/api/churn/batch_predict", "/api/churn/predict/events"})
"""Whose answers are told to MLflow, by version."""


class Observed:
    """ASGI middleware; plain, because it is on the path of every prediction."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app, self._parts = app, parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, started, status, version = perf_counter(), False, 500, b"none"

        async def seen(message: Message) -> None:
            nonlocal started, status, version
            if message["type"] == "http.response.start":
                started = True
                status = message["status"]
                headers = message["headers"]
                said = next((value for name, value in headers if name == _VERSION), None)
                served = self._parts.slot.version_header() if said is None else said
                if served is not None:
                    version = served
                    if said is None:
                        message["headers"] = [*headers, (_VERSION, served)]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        except Exception:
            if started:  # half an answer is on its way: the server breaks it off
                raise
            _LOG.exception("the service failed", extra={"endpoint": _endpoint(scope)})
            # From here, not from around everything, so that this answer has its headers like any other.
            await errors.failed()(scope, receive, seen)
        finally:
            took, endpoint = perf_counter() - start, _endpoint(scope)
            answers, seconds = self._parts.telemetry.answered(endpoint, status)
            answers.inc()
            seconds.observe(took)
            if endpoint in _SCORING:
                self._parts.traffic.answered(version.decode(), status, took)


def _endpoint(scope: Scope) -> str:
    """The route's pattern, never the path: that may name a customer, and there are any number of them."""
    route, path = scope.get("route"), str(scope["path"])
    # What the guard refuses has met no route.
    return getattr(route, "path", None) or (path if path in _SCORING else "other")
