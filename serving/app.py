"""The application, put together: ``uvicorn --factory serving.app:create_app``."""

import gc
import math
import multiprocessing
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from churn.io.checks import Checks
from churn.io.mlflow_traffic import TrafficRun
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from serving import about, errors, events, gauges, lists, log, predictions
from serving.charts import add_charts
from serving.docs import ICON, add_redoc
from serving.guard import Guard, GuardMiddleware
from serving.headers import SecurityHeaders
from serving.observed import Observed
from serving.parts import Parts
from serving.poller import Poller
from serving.prediction_log import PredictionLog
from serving.scores import ScoreWatch
from serving.slot import ModelSlot
from serving.telemetry import Telemetry
from serving.traffic import Traffic

_STATIC = Path(__file__).with_name("static")
_BATCHES_AT_ONCE = 2
_FIRST_LOOK_SECONDS = 30.0
"""How long one of several processes waits for its first model before it listens without one."""

_DESCRIPTION = """
Who is about to leave, and how sure is that?

Scores come from the model at stage **Production** of the registry; a promotion or a rollback is followed within
seconds, without a restart. The header `X-Model-Version` says which version answered.

A version holds two models. A customer described by the required features is scored by `core`; one that comes with every
feature, by `full`, as in the nightly scoring. A feature that did not come is not made up: with some of the others,
`core` answers. The header `X-Model` says which model it was.

A wrong request is answered with 422: each problem names the field, what was found and what was expected.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service. Without ``settings`` they are read from the environment, once."""
    settings = settings or Settings()
    log.configure()
    app = FastAPIOffline(
        title="Customer churn API",
        description=_DESCRIPTION,
        version=version("churn"),
        lifespan=_lifespan,
        # Short names for generated clients.
        generate_unique_id_function=lambda route: route.name,
        redoc_url=None,
        favicon_url=ICON,
        # Behind TLS the redirect would go to http, with the key.
        redirect_slashes=False,
    )
    guard = app.state.guard = Guard(settings)  # the server looks for it there, to drain it
    app.state.settings = settings
    app.state.parts = parts = _parts(settings, guard)
    for router in (
        predictions.direct,
        predictions.router,
        events.router(settings),
        lists.router,
        about.router,
        about.probes,
    ):
        app.include_router(router)
    add_redoc(app)
    add_charts(app)
    _add_page(app)
    _describe_keys(app)
    errors.install(app, retry_after=max(1, math.ceil(settings.registry_poll_seconds)))
    # The last one added is the first to see a request: what is refused is answered, counted and headed like the rest.
    app.add_middleware(GuardMiddleware, guard=guard)
    app.add_middleware(Observed, parts=parts)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            # A browser sends an origin without the slash that people write.
            allow_origins=[origin.rstrip("/") for origin in settings.cors_origins],
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", "X-API-Key", "Authorization", "X-Customer-Key"],
            expose_headers=["X-Model-Version", "X-Model", "Retry-After", "WWW-Authenticate"],
        )
    app.add_middleware(SecurityHeaders)
    return app


def _parts(settings: Settings, guard: Guard) -> Parts:
    slot, book, checks = ModelSlot(settings), ScoreBook(settings.score_database), Checks(settings.score_database)
    log = PredictionLog(
        settings.data_home,
        share=settings.prediction_log_share,
        seconds=settings.prediction_log_seconds,
        shadow=slot.shadow,
        on_shadow_failure=slot.shadow_failed,
    )
    return Parts(
        settings=settings,
        slot=slot,
        scores=ScoreWatch(book, checks),
        book=book,
        checks=checks,
        guard=guard,
        telemetry=Telemetry(),
        traffic=Traffic(TrafficRun(settings), dropped=lambda: log.dropped),
        log=log,
        batches=anyio.CapacityLimiter(_BATCHES_AT_ONCE),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Watch the registry and the score book while the service runs.

    A process alone listens at once, and says that it is not ready. One of several takes no connection that it would
    have to turn away: the others answer meanwhile, and a probe that asks one of them means them all.
    """
    settings: Settings = app.state.settings
    parts: Parts = app.state.parts

    def follow() -> None:
        waited = parts.slot.serving is None
        parts.slot.look()
        gauges.update(parts)
        if waited and parts.slot.serving is not None:
            # What is there by now stays. Not looked through again and again, it costs no request a tenth of a second.
            gc.collect()
            gc.freeze()

    pollers = (
        Poller("model-slot", follow, settings.registry_poll_seconds),
        Poller("score-watch", parts.scores.look, settings.registry_poll_seconds),
    )
    background = (*pollers, parts.log, parts.traffic)
    for thread in background:
        thread.start()
    try:
        if multiprocessing.parent_process() is not None:
            await _first_looks(pollers, parts.guard)
        yield
    finally:
        for thread in background:
            thread.stop()
        gc.unfreeze()


async def _first_looks(pollers: Collection[Poller], guard: Guard) -> None:
    """Until each has looked once. Not for ever: a registry that hangs keeps nobody from the other answers."""
    until = monotonic() + _FIRST_LOOK_SECONDS
    while not all(poller.looked.is_set() for poller in pollers) and not guard.draining and monotonic() < until:
        await anyio.sleep(0.02)


def _describe_keys(app: FastAPI) -> None:
    """Tell readers of the documentation, and `/docs`, where a key goes; where none is set, none is asked for."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        where = {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "Where CHURN_API_KEYS is set"}
        document["components"]["securitySchemes"] = {"ApiKey": where}
        document["security"] = [{}, {"ApiKey": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _add_page(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")
