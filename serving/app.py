"""The application, put together: ``uvicorn --factory serving.app:create_app``."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import anyio
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from churn.io.checks import Checks
from churn.io.registry import Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from serving import errors, lists, log
from serving.docs import ICON, add_redoc
from serving.headers import SecurityHeaders
from serving.parts import Parts
from serving.poller import Poller
from serving.routes import probes, router
from serving.scores import ScoreWatch
from serving.slot import ModelSlot

_STATIC = Path(__file__).with_name("static")
_BATCHES_AT_ONCE = 2

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
    )
    book = ScoreBook(settings.score_database)
    app.state.settings = settings
    app.state.parts = Parts(
        settings=settings,
        slot=ModelSlot(Registry(settings)),
        scores=ScoreWatch(book),
        book=book,
        checks=Checks(settings.score_database),
        batches=anyio.CapacityLimiter(_BATCHES_AT_ONCE),
    )
    app.include_router(router)
    app.include_router(lists.router)
    app.include_router(probes)
    add_redoc(app)
    _add_page(app)
    errors.install(app, retry_after=max(1, math.ceil(settings.registry_poll_seconds)))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            # A browser sends an origin without the slash that people write.
            allow_origins=[origin.rstrip("/") for origin in settings.cors_origins],
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type"],
            expose_headers=["X-Model-Version", "X-Model", "Retry-After"],
        )
    app.add_middleware(SecurityHeaders)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Watch the registry and the score book while the service runs; starting does not wait for them."""
    settings: Settings = app.state.settings
    parts: Parts = app.state.parts
    pollers = (
        Poller("model-slot", parts.slot.look, settings.registry_poll_seconds),
        Poller("score-watch", parts.scores.look, settings.registry_poll_seconds),
    )
    for poller in pollers:
        poller.start()
    try:
        yield
    finally:
        for poller in pollers:
            poller.stop()


def _add_page(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")
