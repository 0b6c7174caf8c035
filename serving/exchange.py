"""One request and its answer, in the time they are given."""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from anyio import CancelScope
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import Refused

_LOG = logging.getLogger(__name__)
_CLOSE = (b"connection", b"close")


class Reply:
    """An answer made beforehand."""

    def __init__(self, status: int, body: Mapping[str, Any], **headers: str) -> None:
        self.status = status
        self._body = json.dumps(body).encode()
        size = str(len(self._body)).encode()
        self._headers = [(b"content-type", b"application/json"), (b"content-length", size)]
        self._headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    @classmethod
    def refusal(cls, refusal: Refused, **headers: str) -> "Reply":
        detail = [problem.as_json() for problem in refusal.problems]
        return cls(refusal.status, {"detail": detail, "error_count": refusal.count}, **headers)

    async def to(self, send: Send, *, close: bool) -> None:
        headers = [*self._headers, _CLOSE] if close else self._headers
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


class Closing(Protocol):
    """Knows whether connections are to end with their answer."""

    draining: bool


class Limit(NamedTuple):
    """How long a request may take, and what is said when it took longer."""

    seconds: float
    no_body: Reply
    no_answer: Reply


class Exchange:
    """Stands between the server and the application, for one request.

    When the time is up the caller is answered at once. The application is cancelled where that is possible; work in a
    thread is not, and its request counts as at work until the thread is done: the bounds hold for what really runs.
    """

    __slots__ = ("_answering", "_app_started", "_body_came", "_cancel", "_closing", "_given_up", "_limit", "_receive",
                 "_scope", "_send", "_waits_for_body")  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: Limit, closing: Closing) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._limit = limit
        self._closing = closing
        self._app_started = self._given_up = self._body_came = self._waits_for_body = False
        self._answering: asyncio.Task[None] | None = None
        self._cancel: CancelScope | None = None

    async def run(self, app: ASGIApp, *, waits: bool) -> None:
        """``waits``: the application waits for other things than the body, so that there is something to cancel."""
        timer = asyncio.get_running_loop().call_later(self._limit.seconds, self._give_up)
        try:
            if waits:
                with CancelScope() as self._cancel:
                    await app(self._scope, self.receive, self.send)
            else:  # a scope takes as long as all the rest here, and predictions are many
                await app(self._scope, self.receive, self.send)
        finally:
            timer.cancel()
            if self._answering:
                await self._answering

    async def receive(self) -> Message:
        if self._given_up:
            return {"type": "http.disconnect"}
        self._waits_for_body = not self._body_came
        message = await self._receive()
        self._body_came = self._body_came or not message.get("more_body", False)
        self._waits_for_body = False
        return message

    async def send(self, message: Message) -> None:
        if self._given_up:
            return  # the caller was told, and is gone
        if message["type"] == "http.response.start":
            self._app_started = True
            if self._closing.draining:
                message["headers"] = [*message.get("headers", ()), _CLOSE]
        await self._send(message)

    def _give_up(self) -> None:
        """Tell the caller, unless the answer is on its way: then the server breaks it off when the application ends."""
        self._given_up = True
        # The route as it is declared: the path that came may hold a customer's id.
        route = getattr(self._scope.get("route"), "path", None)
        what = "the body" if self._waits_for_body else "the answer"
        _LOG.warning("a request took too long", extra={"route": route, "waited_for": what})
        if not self._app_started:
            reply = self._limit.no_body if self._waits_for_body else self._limit.no_answer
            # The rest of a body is not waited for, so the connection cannot be used again.
            self._answering = asyncio.ensure_future(reply.to(self._send, close=True))
        if self._cancel:
            self._cancel.cancel()
