"""Who is answered, and how much at once: keys, bounds and time limits, before anything else looks at a request."""

from starlette.types import ASGIApp, Receive, Scope, Send

from churn.settings import Settings
from serving.errors import Problem, Refused, refused, shown
from serving.exchange import Exchange, Limit, Reply
from serving.keys import Keys
from serving.nearby import Arrival, arrival, listens_nearby, names_this_machine

BATCHES = 8
"""Batches at work or waiting in one process: each holds a body of up to 64 MB and what was read from it."""
STORE_READS = 16
"""Requests in one process that wait for the score database: one that hangs must not take the threads of the rest."""
RETRY_SECONDS = 1

_PREDICT = "/api/churn/predict"
"""Waits for nothing but its body."""
_BATCH_PATHS = frozenset({"/api/churn/batch_predict", "/api/churn/predict/events"})
_STORE_PATHS = ("/api/churn/top", "/api/churn/customers/", "/api/churn/profit", "/api/churn/monitoring")
_PROBES = frozenset({"/livez", "/readyz"})
_UNBOUNDED = _PROBES | {"/api/churn/health", "/metrics"}
"""Asked when something is wrong; they wait for nothing."""
_MEASURED = _PROBES | {"/metrics"}
"""Asked by containers beside this one, under its name there. Counts alone: nothing for a page of another site."""
# What is not named here asks for a key: a path that somebody adds is closed until somebody opens it.
_OPEN = _PROBES | {"/", "/docs", "/docs/oauth2-redirect", "/redoc", "/redoc/redoc.standalone.js", "/openapi.json"}
_OPEN_FOLDERS = ("/static/", "/static-offline-docs/")

_KEYS_WANTED = "API keys to be set in CHURN_API_KEYS (`python -m serving new-key` makes one)"


class Guard:
    """What one process has at work, and what it lets in. Used from one event loop, so nothing is locked."""

    def __init__(self, settings: Settings, *, batches: int = BATCHES) -> None:
        """Raises BadInput where a key's digest is none."""
        self._keys = Keys(settings.api_keys)
        self._origins = bool(settings.cors_origins)
        # A container's own address is never the loopback: what counts is where its port is published.
        self._published_here = bool(settings.api_published_on) and listens_nearby(settings.api_published_on)
        self._most, self._most_batches = settings.max_requests, batches
        self.limit = _limit(settings.request_seconds)
        self.at_work = 0
        """Requests, the one that asks included."""
        self.batches = 0
        """Those of them that are batches."""
        self.store_reads = 0
        """Those that read the score database."""
        self.draining = False
        """The process is about to end: answers close their connection, and it says that it is not ready."""

    def refusal(self, scope: Scope) -> Reply | None:
        """What is said instead of an answer, if anything."""
        path: str = scope["path"]
        if (stranger := self._stranger(scope, path)) is not None:
            return stranger
        if path in _UNBOUNDED:
            return None
        if self.at_work >= self._most:
            return _OVERLOADED
        if self.store_reads >= STORE_READS and path.startswith(_STORE_PATHS):
            return _STORE_BUSY
        return _BATCHES_WAIT if self.batches >= self._most_batches and _is_batch(scope) else None

    def _stranger(self, scope: Scope, path: str) -> Reply | None:
        if not self._keys:
            return _from_elsewhere(scope, origins=self._origins, published_here=self._published_here)
        # A browser asks for leave before it sends the key.
        if path in _OPEN or path.startswith(_OPEN_FOLDERS) or scope["method"] == "OPTIONS":
            return None
        known = self._keys.among(scope["headers"])
        return None if known else _KEY_MISSING if known is None else _KEY_UNKNOWN


class GuardMiddleware:
    """ASGI middleware; plain, because it is on the path of every prediction. Belongs next to the application, inside
    what adds headers: its refusals are answers like others."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        guard = self._guard
        if scope["type"] != "http":  # there are no web sockets: none gets past the keys
            await send({"type": "websocket.close", "code": 1008})
            return
        if (refusal := guard.refusal(scope)) is not None:
            await refusal.to(send, close=guard.draining)
            return
        batch, store_read = _is_batch(scope), scope["path"].startswith(_STORE_PATHS)
        guard.at_work += 1
        guard.batches += batch
        guard.store_reads += store_read
        try:
            exchange = Exchange(scope, receive, send, guard.limit, guard)
            await exchange.run(self._app, waits=scope["path"] != _PREDICT)
        finally:
            guard.at_work -= 1
            guard.batches -= batch
            guard.store_reads -= store_read


def _is_batch(scope: Scope) -> bool:
    return scope["path"] in _BATCH_PATHS and scope["method"] == "POST"


def _from_elsewhere(scope: Scope, *, origins: bool, published_here: bool) -> Reply | None:
    """Without keys, this machine alone is answered, and of its browsers no page of another site (``origins``: the
    settings name some that may). ``published_here``: a container's port, which only this machine reaches."""
    server = scope.get("server")
    way = arrival(server[0] if server else None)
    if way is Arrival.OUTSIDE:
        if not published_here:
            return _FAR
        if scope["path"] in _MEASURED:
            return None
        way = Arrival.LOOPBACK
    if way is Arrival.LOOPBACK:
        for name, value in scope["headers"]:
            if name == b"host" and not names_this_machine(value):
                return _another_name(value)
            if name == b"sec-fetch-site" and value == b"cross-site" and scope["method"] == "POST" and not origins:
                return _ANOTHER_SITE
    return None


def _another_name(host: bytes) -> Reply:
    found = f"the host name {shown(host.decode('latin-1'))}"
    return Reply.refusal(Refused(403, [Problem("Host", found, f"localhost, or {_KEYS_WANTED}", place="header")]))


def _no_key(found: str) -> Reply:
    problem = Problem("X-API-Key", found, "a key of this service, here or as `Authorization: Bearer …`", place="header")
    return Reply.refusal(Refused(401, [problem]), www_authenticate="Bearer")


def _limit(seconds: float) -> Limit:
    problem = Problem("body", f"one that had not come to its end after {seconds:g} s", "the whole body by then")
    return Limit(
        seconds,
        no_body=Reply.refusal(Refused(408, [problem])),
        no_answer=_busy(503, f"no answer was found within {seconds:g} s; try again soon"),
    )


def _busy(status: int, detail: str) -> Reply:
    return Reply(status, {"detail": detail}, retry_after=str(RETRY_SECONDS))


_KEY_MISSING = _no_key("nothing")
_KEY_UNKNOWN = _no_key("a key that is not known")
_FAR = Reply.refusal(refused(403, "a connection from outside this machine", _KEYS_WANTED, field="connection"))
_ANOTHER_SITE = Reply.refusal(
    refused(
        403, "a page of another site", "its origin in CHURN_CORS_ORIGINS, or " + _KEYS_WANTED, field="Sec-Fetch-Site"
    )
)
_OVERLOADED = _busy(503, "too many requests at work; try again in a second")
_STORE_BUSY = _busy(503, "the score database is slow or away, and enough requests wait for it; try again in a second")
_BATCHES_WAIT = _busy(429, "too many batches at work or waiting; try again in a second")
