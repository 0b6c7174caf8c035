"""Headers that every answer carries: what a browser may do with it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_BASE = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
_PAGE = f"{_BASE}; img-src 'self' data:"
# Swagger UI and ReDoc start from an inline script and style themselves inline; ReDoc searches in a worker.
_DOCS = f"{_PAGE}; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; worker-src blob:"
_DOCS_PATHS = frozenset({"/docs", "/redoc", "/docs/oauth2-redirect"})


def _raw(policy: str) -> list[tuple[bytes, bytes]]:
    headers = {**_ALWAYS, "Content-Security-Policy": policy}
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


# Made once, and put behind an answer's own headers as they are: setting them one by one takes ten times as long.
_OF_PAGES, _OF_DOCS = _raw(_PAGE), _raw(_DOCS)
_CACHE = b"cache-control"
# Scores and health are of this moment; the page's own files are asked for again, and mostly not sent.
_FRESH, _ASKED_AGAIN = (_CACHE, b"no-store"), (_CACHE, b"no-cache")


class SecurityHeaders:
    """ASGI middleware; plain, because it is on the path of every prediction."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message["headers"]
                ours = _OF_DOCS if path in _DOCS_PATHS else _OF_PAGES
                kept = () if any(header[0] == _CACHE for header in own) else _cached(path)
                message["headers"] = [*own, *ours, *kept]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _cached(path: str) -> tuple[tuple[bytes, bytes]]:
    return (_FRESH,) if path.startswith("/api/") else (_ASKED_AGAIN,)
