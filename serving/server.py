"""The web server of one process: uvicorn, which ends without losing a request."""

import asyncio
import logging
import math
import multiprocessing
import socket
import threading
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn

from churn.settings import Settings
from serving.guard import Guard
from serving.protocol import BoundedHttp

_LOG = logging.getLogger(__name__)
BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75
"""Longer than clients and proxies keep an idle connection (60 s are usual): who closes first is not surprised."""
_FIRST_REQUEST_SECONDS = 0.5
"""How long a connection that was taken at the last moment is waited for."""


_RELEASE_SECONDS = 0.05
"""The event loop lets go of a socket only in its next rounds."""


class Server(uvicorn.Server):
    """Ends in three steps. Told to, it goes on answering, says that it is not ready and closes each connection with
    its answer, for ``drain_seconds`` or until no connection is open. Then it takes no more, and finishes what it has.
    """

    def __init__(self, config: uvicorn.Config, guard: Guard, drain_seconds: float, *, worker: bool = False) -> None:
        """``worker``: a process beside this one decides when to end at once; a signal may come from it and from a
        service manager as well."""
        super().__init__(config)
        self._guard = guard
        self._drain_seconds = drain_seconds
        self._worker = worker
        self._drained_at = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, a second one ends at once."""
        # uvicorn would note it, and at the end send it to itself again: no exit code 0 then.
        if not self._guard.draining:
            self.drain()
        elif not self._worker:
            self.should_exit = self.force_exit = True

    def drain(self) -> None:
        self._guard.draining = True
        self._drained_at = monotonic() + self._drain_seconds
        _LOG.info("ending", extra={"at_work": self._guard.at_work, "connections": len(self._open)})

    @property
    def _open(self) -> set[Any]:
        return self.server_state.connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if parent := multiprocessing.parent_process():
            asyncio.get_running_loop().add_reader(parent.sentinel, self._orphaned, parent.sentinel)

    def _orphaned(self, sentinel: int) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        if not self._guard.draining:
            self.drain()

    async def on_tick(self, counter: int) -> bool:
        drained = self._guard.draining and (not self._open or monotonic() >= self._drained_at)
        return await super().on_tick(counter) or drained

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._close(sockets or [])
        await super().shutdown(sockets)

    async def _close(self, sockets: list[socket.socket]) -> None:
        """Stop listening. Callers whom the system has accepted, but nobody here yet, would be broken off: a copy of the
        socket keeps them until this process's last look, which is as short as it can be."""
        copies = [sock.dup() for sock in sockets]
        for server in self.servers:
            server.close()
        for sock in sockets:
            sock.close()
        await asyncio.sleep(_RELEASE_SECONDS)
        for connection in [last for copy in copies for last in _accepted(copy)]:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        until = monotonic() + _FIRST_REQUEST_SECONDS
        while any(c.cycle is None for c in self._open) and monotonic() < until and not self.force_exit:
            await asyncio.sleep(0.01)

    def _protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def serve(settings: Settings, app: Any, listening: socket.socket, *, worker: bool = False) -> bool:
    """Serve until told to end; False where threads may be left that would not. Raises SystemExit if it cannot start."""
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks for the client's address
        backlog=BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.request_seconds),
    )
    # An application of somebody else's may have no guard; draining is then only not taking more.
    guard = getattr(app.state, "guard", None) or Guard(settings)
    server = Server(config, guard, settings.drain_seconds, worker=worker)
    server.run(sockets=[listening])
    _LOG.info("ended")
    return not server.force_exit and _threads_end()


def _accepted(listening: socket.socket) -> list[socket.socket]:
    """Closes it, and gives whom it had accepted."""
    accepted = []
    with listening:
        listening.setblocking(False)
        while True:
            try:
                accepted.append(listening.accept()[0])
            except BlockingIOError:
                return accepted


def _threads_end(seconds: float = 1.0) -> bool:
    """Whether nothing is left that Python would wait for: a thread may hang on a database."""
    until = monotonic() + seconds
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join(max(0.0, until - monotonic()))
            if thread.is_alive():
                _LOG.warning("a thread did not end", extra={"thread": thread.name})
                return False
    return True
