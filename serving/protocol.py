"""HTTP/1.1 by uvicorn and httptools, with the bounds on a request's head that these two leave open."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024
"""Request line and headers: as much as uvicorn's other parser takes."""
HEAD_SECONDS = 10.0
"""From a connection, or the first byte of a request, to the end of its headers."""


class BoundedHttp(HttpToolsProtocol):
    """A connection that sends no request, or its headers for ever, is closed: it holds a file and memory of ours.

    Once the headers are there, the guard's time runs.
    """

    _head_bytes = 0
    _head_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._close_after(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)  # cancels what was to close the connection
        scope = self.scope
        if scope is None or "path" in scope:
            self._head_bytes = 0
        elif not self.transport.is_closing():
            self._head_goes_on(len(data))

    def _head_goes_on(self, size: int) -> None:
        now = self.loop.time()
        if not self._head_bytes:
            self._head_since = now
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self.send_400_response(f"More than {HEAD_BYTES:,} bytes of headers.")
        else:
            self._close_after(max(0.0, self._head_since + HEAD_SECONDS - now))

    def _close_after(self, seconds: float) -> None:
        # uvicorn's own timer of idle connections: whatever ends a request's head, or its connection, cancels it.
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)
