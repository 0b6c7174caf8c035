"""The endpoints that score. Bodies of the five that the design names are fixed; more goes into headers."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NamedTuple

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from churn.core.features import FEATURE_NAMES
from serving import answers, arrow_tables, bodies, customers, schemas
from serving.explain_schemas import Explanation
from serving.explained import explained
from serving.parts import Parts, parts_of
from serving.rollout import Serving

_JSON = "application/json"


class _Forms(NamedTuple):
    """How a batch comes and how its answer goes."""

    came_as_arrow: bool
    goes_as_arrow: bool


router = APIRouter(prefix="/api/churn", tags=["predictions"], responses=schemas.GUARDED)


class Direct(APIRoute):
    """Calls the endpoint with the request and nothing else: it has no parameters to be worked out, which takes as long
    as the model does. Documented like any other."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


direct = APIRouter(prefix="/api/churn", tags=["predictions"], responses=schemas.GUARDED, route_class=Direct)


@direct.post(
    "/predict",
    summary="Score one customer",
    response_model=schemas.Prediction,
    responses=schemas.SCORED | schemas.REFUSALS,
    openapi_extra=schemas.request_body(schemas.CUSTOMER, schemas.EXAMPLE, schemas.CUSTOMER_KEY),
)
async def predict(request: Request) -> Response:
    """Takes one object with the core features, gives the probability and the decision.

    An object with every feature is answered by the full model; with some of the others, by the core model: a feature
    that did not come is not made up. The header `X-Model` says which (`core` or `full`), `X-Model-Version` of which
    version. A header `X-Customer-Key` (any text that stays the same for a customer) lets a share of the customers be
    answered by a challenger, where one is set; without it the version in production answers.
    """
    parts = parts_of(request)
    serving = parts.slot.get()
    customer = customers.one_of_body(await bodies.read(request, bodies.ONE_LIMIT))
    score, served, role = serving.answer(_key(request, serving), lambda version: version.one(customer))
    version = served.version.version
    parts.counted(version, role, score)
    complete = customer.full is not None
    parts.log.one("predict", version, role, score, customer.full or customer.core, complete)
    return _json(answers.one(score.probability, score.decision), version, score.model)


@direct.post(
    "/batch_predict",
    summary="Score up to 100,000 customers",
    response_model=schemas.Predictions,
    responses=schemas.SCORED_MANY | schemas.REFUSALS_OF_MANY | schemas.BUSY,
    openapi_extra=schemas.batch_body([schemas.EXAMPLE], schemas.CUSTOMER_KEY),
)
async def batch_predict(request: Request) -> Response:
    """Takes an array of customers, gives one prediction for each, in the same order and as if it were alone.

    All are scored by one version. The header `X-Model` is `mixed` where some customers came with every feature and
    some did not. A body holds 64 MB at most: 100,000 customers with the required features, some 30,000 with all. A
    fault in one customer refuses the whole batch and names the customer's index.

    The quick way for large batches is an Arrow stream (`Content-Type: application/vnd.apache.arrow.stream`) with one
    column of numbers per feature, not compressed, without nulls; all of it is answered by one model. With
    `Accept: application/vnd.apache.arrow.stream` the answer is a stream too. A refusal is always JSON.
    """
    parts = parts_of(request)
    serving = parts.slot.get()
    body = await bodies.read(request, bodies.BATCH_LIMIT, arrow=True)
    key, headers = _key(request, serving), request.headers
    forms = _Forms(bodies.is_arrow(headers.get("content-type")), bodies.wants_arrow(headers.get("accept")))
    return await anyio.to_thread.run_sync(_score_batch, parts, serving, body, forms, key, limiter=parts.batches)


def _score_batch(parts: Parts, serving: Serving, body: bytes, forms: _Forms, key: str | None) -> Response:
    batch = arrow_tables.of_body(body) if forms.came_as_arrow else customers.of_body(body)
    scores, served, role = serving.answer(key, lambda version: version.score(batch))
    version = served.version.version
    parts.counted_many(version, role, scores)
    parts.log.many("batch", version, role, scores, batch)
    if forms.goes_as_arrow:
        return _arrow(answers.many_as_arrow(scores.probability, scores.decision), version, scores.model)
    return _json(answers.many(scores.probability, scores.decision), version, scores.model)


@router.post(
    "/explain",
    summary="Score one customer and say why",
    response_model=Explanation,
    responses=schemas.SCORED | schemas.REFUSALS,
    openapi_extra=schemas.request_body(schemas.CUSTOMER, schemas.EXAMPLE),
)
async def explain(
    request: Request,
    reasons: Annotated[int, Query(ge=1, le=len(FEATURE_NAMES), description="how many reasons")] = 5,
) -> Response:
    """Takes what `predict` takes; gives the same score and what each feature adds to it.

    Contributions are log-odds against the average customer of the training (TreeSHAP for the trees): above 0 a feature
    raises the score, below 0 it lowers it, and together they add up to it. Always by the version in production.
    """
    served = parts_of(request).slot.get().champion
    customer = customers.one_of_body(await bodies.read(request, bodies.ONE_LIMIT))
    found = await anyio.to_thread.run_sync(explained, served, customer, reasons)
    return _json(found.model_dump_json(), served.version.version, found.model)


def _key(request: Request, serving: Serving) -> str | None:
    """The customer's key; not looked for where nobody but the champion answers."""
    return None if serving.trial is None else request.headers.get("X-Customer-Key")


def _json(content: str | bytes, version: str, model: str) -> Response:
    return Response(content, headers={"Content-Type": _JSON, "X-Model-Version": version, "X-Model": model})


def _arrow(content: bytes, version: str, model: str) -> Response:
    return Response(content, headers={"Content-Type": bodies.ARROW, "X-Model-Version": version, "X-Model": model})
