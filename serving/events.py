"""A customer scored from raw events: the features of the nightly run, by the definition of the nightly run."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request
from starlette.responses import Response

from churn.core.features import FEATURE_NAMES
from churn.io.contracts import contract_of
from churn.io.live_features import Fault, LiveFeatures, LiveReader, UnusableEvents
from churn.settings import Settings
from serving import bodies, event_schemas, schemas
from serving.errors import Problem, Refused, clipped, shown
from serving.event_slices import BODY_LIMIT, sliced
from serving.explain_schemas import ReasonInfo
from serving.parts import parts_of
from serving.rollout import Serving
from serving.served import Score, Served

_AT_ONCE = 2
"""Requests computing at the same time: each takes a core, and half a gigabyte at most."""
_REASONS = 3


def router(settings: Settings) -> APIRouter:
    """The endpoint for events of the settings' source contract. Raises BadInput where there is no such contract."""
    contract = contract_of(settings)
    reader, limiter = LiveReader(contract), anyio.CapacityLimiter(_AT_ONCE)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        ready = asyncio.create_task(anyio.to_thread.run_sync(reader.prepare, _AT_ONCE))
        try:
            yield
        finally:
            await ready
            reader.close()

    routes = APIRouter(prefix="/api/churn", tags=["predictions"], lifespan=lifespan, responses=schemas.GUARDED)

    @routes.post(
        "/predict/events",
        summary="Score one customer from raw events",
        response_model=event_schemas.EventsPrediction,
        responses=schemas.SCORED | schemas.REFUSALS | schemas.BUSY,
        openapi_extra=schemas.request_body(event_schemas.request_schema(contract), event_schemas.example(contract)),
    )
    async def predict_events(request: Request) -> Response:
        """Takes a customer's events as the raw log has them, gives the score of the nightly run with these events.

        Features are computed by the definition of the nightly run, from the events before the cut-off alone: what
        lies at it or later is counted and not looked at. Events without a customer are set aside. Bring the whole
        history: totals count what is there. An event that breaks the source contract refuses the request, as does a
        customer whom the nightly run would not score: one who has cancelled, or has no event, before the cut-off.
        Equal events count as often as they come. The customer's id is the key by which a challenger gets its share.
        """
        parts = parts_of(request)
        serving = parts.slot.get()
        body = await bodies.read(request, BODY_LIMIT)
        prediction, served, role = await anyio.to_thread.run_sync(_answer, serving, reader, body, limiter=limiter)
        version, values = served.version.version, list(prediction.features.values())
        score = Score(prediction.churn_probability, prediction.churn_prediction, prediction.model)
        parts.counted(version, role, score)
        parts.log.one("events", version, role, score, values, True)
        headers = {"X-Model-Version": version, "X-Model": prediction.model}
        return Response(prediction.model_dump_json(), media_type="application/json", headers=headers)

    return routes


def _answer(serving: Serving, reader: LiveReader, body: bytes) -> tuple[event_schemas.EventsPrediction, Served, str]:
    """The prediction, the version that made it, and its role."""
    events, as_of = sliced(body)
    try:
        live = reader.features(events, as_of)
    except UnusableEvents as e:
        first = [_problem(fault, events) for fault in e.faults]
        raise Refused(422, first, e.count) from None
    return serving.answer(live.customer_id, lambda version: _scored(version, live))


def _scored(served: Served, live: LiveFeatures) -> event_schemas.EventsPrediction:
    """By the very model of the nightly run, not by its compiled form: the same bits."""
    model = served.full or served.core
    row = live.features[[FEATURE_NAMES.index(feature) for feature in model.features]].reshape(1, -1)
    probability = model.predict_proba(row)
    p = float(probability[0])
    return event_schemas.EventsPrediction(
        customer_id=live.customer_id,
        as_of=live.as_of,
        churn_prediction=1 if model.decide(probability)[0] else 0,
        churn_probability=p,
        no_churn_probability=1.0 - p,
        model="full" if served.full else "core",
        events=event_schemas.EventCounts.model_validate(live, from_attributes=True),
        features=dict(zip(FEATURE_NAMES, live.features.tolist(), strict=True)),
        reasons=[ReasonInfo(**asdict(reason)) for reason in model.reasons(row, _REASONS)[0]],
    )


def _problem(fault: Fault, events: Sequence[str]) -> Problem:
    field = fault.column or "events"
    found = fault.found
    if found is None and fault.index is not None:
        found = _found(events[fault.index], fault.column)
    return Problem(field, clipped(found or "nothing"), fault.expected, fault.index, counted="event")


def _found(event: str, column: str | None) -> str:
    """What the event has there, as it came."""
    try:
        value = json.loads(event)
    except RecursionError:
        return "values nested too deeply"
    if column is None:
        return f"{shown(value)} that cannot be read"
    return shown(value[column]) if column in value else "nothing"
