"""A small application behind the guard, for tests of what surrounds the endpoints: quick to start, slow on request."""

import asyncio
import time

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from churn.settings import Settings
from serving.guard import Guard, GuardMiddleware


class Story:
    """What happened inside, for the tests to look at."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.finished = 0


def create_app(settings: Settings, *, batches: int = 8) -> Starlette:
    guard, story = Guard(settings, batches=batches), Story()

    async def quick(request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:
            return PlainTextResponse("to nobody", 400)
        return JSONResponse({"bytes": len(body), "at_work": guard.at_work})

    async def slow(request: Request) -> Response:
        await request.body()
        try:
            await asyncio.sleep(float(request.query_params.get("seconds", "60")))
        except asyncio.CancelledError:
            story.cancelled += 1
            raise
        story.finished += 1
        return PlainTextResponse("slept")

    async def in_a_thread(request: Request) -> Response:
        await anyio.to_thread.run_sync(time.sleep, float(request.query_params["seconds"]))
        story.finished += 1
        return PlainTextResponse("worked")

    async def endless(request: Request) -> Response:
        async def parts():  # type: ignore[no-untyped-def]
            while True:
                yield b"x" * 1024
                await asyncio.sleep(0.05)

        return StreamingResponse(parts())

    async def ready(request: Request) -> Response:
        return PlainTextResponse("draining" if guard.draining else "ready", 503 if guard.draining else 200)

    app = Starlette(
        routes=[
            Route("/api/churn/predict", quick, methods=["POST"]),
            Route("/api/churn/batch_predict", slow, methods=["POST"]),
            Route("/api/churn/predict/events", slow, methods=["POST"]),
            Route("/api/churn/customers/{customer_id}", slow),
            Route("/api/churn/in_a_thread", in_a_thread),
            Route("/api/churn/endless", endless),
            Route("/api/churn/health", quick),
            Route("/metrics", quick),
            Route("/livez", ready),
            Route("/readyz", ready),
            Route("/", quick),
            Route("/static/app.js", quick),
        ],
        middleware=[Middleware(GuardMiddleware, guard=guard)],
    )
    app.state.guard, app.state.story = guard, story
    return app
