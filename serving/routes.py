"""The endpoints. Bodies of the five under ``/api/churn`` that the design names are fixed; more goes into headers."""

import math
from datetime import UTC, datetime

import anyio.to_thread
from fastapi import APIRouter, Request
from starlette.responses import Response

from churn.core.features import FEATURES
from churn.core.model import ChurnModel
from serving import bodies, customers, schemas
from serving.parts import parts_of
from serving.rules import expected
from serving.scores import STALE_DAYS, age_days
from serving.served import Served

router = APIRouter(prefix="/api/churn")
probes = APIRouter(tags=["probes"])

_SIX = ("accuracy", "precision", "recall", "f1_score", "roc_auc", "precision_recall_auc")
_FAMILIES = {
    "xgboost": "XGBoost Classifier",
    "logistic": "Logistic Regression",
    "blend": "Blend of Logistic Regression and XGBoost",
}


@router.post(
    "/predict",
    tags=["predictions"],
    summary="Score one customer",
    response_model=schemas.Prediction,
    responses=schemas.REFUSALS | schemas.AWAY,
    openapi_extra=schemas.request_body(schemas.CUSTOMER, schemas.EXAMPLE),
)
async def predict(request: Request) -> Response:
    """Takes one object with the core features, gives the probability and the decision.

    An object with every feature is answered by the full model; with some of the others, by the core model: a feature
    that did not come is not made up. The header `X-Model` says which (`core` or `full`), `X-Model-Version` of which
    version.
    """
    served = parts_of(request).slot.get()
    scores = served.score(customers.one(bodies.parsed(await bodies.read(request, bodies.ONE_LIMIT))))
    return _json(f"{{{_prediction(scores.probability[0], scores.decision[0])}}}", served, scores.model)


@router.post(
    "/batch_predict",
    tags=["predictions"],
    summary="Score up to 100,000 customers",
    response_model=schemas.Predictions,
    responses=schemas.REFUSALS | schemas.AWAY,
    openapi_extra=schemas.request_body(schemas.CUSTOMERS, [schemas.EXAMPLE]),
)
async def batch_predict(request: Request) -> Response:
    """Takes an array of customers, gives one prediction for each, in the same order and as if it were alone.

    All are scored by one version. The header `X-Model` is `mixed` where some customers came with every feature and
    some did not. A body holds 64 MB at most: 100,000 customers with the required features, some 30,000 with all. A
    fault in one customer refuses the whole batch and names the customer's index.
    """
    parts = parts_of(request)
    served = parts.slot.get()
    body = await bodies.read(request, bodies.BATCH_LIMIT)
    answer, model = await anyio.to_thread.run_sync(_score_batch, served, body, limiter=parts.batches)
    return _json(answer, served, model)


def _score_batch(served: Served, body: bytes) -> tuple[str, str]:
    """The answer's body, and which model gave it."""
    scores = served.score(customers.many(bodies.parsed(body)))
    pairs = zip(scores.probability.tolist(), scores.decision.tolist(), strict=True)
    rows = ",".join(f'{{"index":{i},{_prediction(p, d)}}}' for i, (p, d) in enumerate(pairs))
    return f'{{"predictions":[{rows}]}}', scores.model


def _prediction(probability: float, decision: int) -> str:
    # Written by hand: a batch answer in a third of the time of json.dumps, and the same digits for one as for many.
    p = float(probability)
    return f'"churn_prediction":{int(decision)},"churn_probability":{p!r},"no_churn_probability":{1.0 - p!r}'


def _json(content: str, served: Served, model: str) -> Response:
    headers = {"X-Model-Version": served.version.version, "X-Model": model}
    return Response(content, media_type="application/json", headers=headers)


@router.get("/health", tags=["service"], summary="Is the service well, and which model does it serve?")
async def health(request: Request) -> schemas.Health:
    """Always 200 while the process answers; `model_loaded` says whether it can score. Touches no store."""
    parts = parts_of(request)
    served, watch, latest = parts.slot.served, parts.slot.watch, parts.scores.latest
    published = latest.publication
    age = age_days(published) if published else None
    return schemas.Health(
        status="healthy" if served else "waiting for a model",
        model_loaded=served is not None,
        timestamp=datetime.now(UTC),
        model_version=served.version.version if served else None,
        model_since=served.since if served else None,
        model_note=served.note if served else None,
        registry_reachable=watch.reachable,
        last_registry_check=watch.looked_at,
        production_version=watch.production,
        last_error=watch.error,
        scores_reachable=latest.reachable,
        scores_as_of=published.as_of if published else None,
        customers_scored=published.customers if published else None,
        scores_age_days=age,
        scores_stale=None if age is None else age > STALE_DAYS,
    )


@router.get(
    "/model/metrics",
    tags=["model"],
    summary="How good the served model is",
    response_model=schemas.Metrics,
    responses=schemas.AWAY,
)
async def model_metrics(request: Request, response: Response) -> dict[str, float | None]:
    """Hold-out metrics stored with the version; null where one could not be computed.

    They are the full model's, which makes the nightly list; the core model's begin with `core_`. Where the core model
    answers everything, they are its own.
    """
    served = parts_of(request).slot.get()
    response.headers["X-Model-Version"] = served.version.version
    known = {name: value if math.isfinite(value) else None for name, value in served.metrics.items()}
    if served.full is None:
        known |= {name.removeprefix("core_"): known[name] for name in list(known) if name.startswith("core_")}
    return {name: known.pop(name, None) for name in _SIX} | dict(sorted(known.items()))


@router.get("/model/info", tags=["model"], summary="What the served model is", responses=schemas.AWAY)
async def model_info(request: Request) -> schemas.ModelInfo:
    """Type, inputs, version, threshold and what it was trained on.

    A version holds two models: `core` takes the features that every request brings, `full` takes all. What stands
    outside `models` is the core model's.
    """
    served = parts_of(request).slot.get()
    core = _described(served.core)
    return schemas.ModelInfo(
        **core.model_dump(),
        target="churn",
        model_path=f"models:/{request.app.state.settings.registered_model}/{served.version.version}",
        last_updated=served.version.created_at,
        model_version=served.version.version,
        serving_since=served.since,
        models=schemas.ModelsInfo(core=core, full=_described(served.full) if served.full else None),
        model_note=served.note,
        origin={name: value for name, value in served.version.tags.items() if not name.startswith("churn.")},
    )


def _described(model: ChurnModel) -> schemas.OneModelInfo:
    card = model.card
    return schemas.OneModelInfo(
        model_type=_FAMILIES.get(card.family, card.family),
        features=list(card.features),
        threshold=card.threshold,
        trained_on_rows=card.rows,
        trained_on_customers=card.customers,
        churn_rate=card.churn_rate,
        importance=dict(card.importance),
    )


@router.get("/features", tags=["model"], summary="What a customer is described by")
async def features() -> list[schemas.FeatureInfo]:
    """Name, unit, range, meaning and an example of every feature; the page makes its form from the required ones."""
    return [
        schemas.FeatureInfo(
            name=f.name, kind=f.kind, unit=f.unit, whole=f.whole, minimum=f.minimum, maximum=f.maximum,
            meaning=f.meaning, expected=expected(f), example=f.example, required=f.name in customers.NAMES,
        )
        for f in FEATURES
    ]  # fmt: skip


@probes.get("/livez", summary="Does the process answer?")
async def livez() -> schemas.Alive:
    """200 while the process answers."""
    return schemas.Alive(status="alive")


@probes.get("/readyz", summary="Can it score?", responses=schemas.AWAY)
async def readyz(request: Request) -> schemas.Alive:
    """200 once a model is loaded, 503 before."""
    parts_of(request).slot.get()
    return schemas.Alive(status="ready")
