"""The endpoints that say what is served, how good it is, and whether the service is well."""

import math
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from churn.core.features import FEATURES
from churn.core.model import ChurnModel
from churn.errors import NotReady
from serving import customers, gauges, schemas
from serving.about_schemas import Alive, FeatureInfo, Health, Metrics, ModelInfo, ModelsInfo, OneModelInfo
from serving.explain_schemas import Evaluation
from serving.holdout import evaluation_of
from serving.parts import parts_of
from serving.rules import expected
from serving.scores import STALE_DAYS, age_days
from serving.telemetry import CONTENT_TYPE

router = APIRouter(prefix="/api/churn", responses=schemas.GUARDED)
probes = APIRouter(tags=["probes"], responses={403: schemas.GUARDED[403]})

_SIX = ("accuracy", "precision", "recall", "f1_score", "roc_auc", "precision_recall_auc")
_FAMILIES = {
    "xgboost": "XGBoost Classifier",
    "logistic": "Logistic Regression",
    "blend": "Blend of Logistic Regression and XGBoost",
}


@router.get("/health", tags=["service"], summary="Is the service well, and which model does it serve?")
async def health(request: Request) -> Health:
    """Always 200 while the process answers; `model_loaded` says whether it can score. Touches no store."""
    parts = parts_of(request)
    served, watch, latest = parts.slot.served, parts.slot.watch, parts.scores.latest
    published, trial = latest.publication, parts.slot.serving.trial if parts.slot.serving else None
    age = age_days(published.as_of) if published else None
    return Health(
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
        last_scores_check=latest.looked_at,
        scores_as_of=published.as_of if published else None,
        scores_published_at=published.published_at if published else None,
        customers_scored=published.customers if published else None,
        scores_age_days=age,
        scores_stale=None if age is None else age > STALE_DAYS,
        local_copy=parts.slot.from_copy,
        draining=parts.guard.draining,
        requests_at_work=parts.guard.at_work,
        predictions_logged=parts.log.written,
        predictions_dropped=parts.log.dropped,
        challenger_version=trial.version if trial else None,
        challenger_share=trial.terms.share if trial else None,
        challenger_shadow=trial.terms.shadow if trial else None,
        challenger_note=watch.challenger or (trial.withdrawn if trial else None),
    )


@router.get(
    "/model/metrics",
    tags=["model"],
    summary="How good the served model is",
    response_model=Metrics,
    responses=schemas.AWAY,
)
async def model_metrics(request: Request, response: Response) -> dict[str, float | None]:
    """Hold-out metrics stored with the version; null where one could not be computed.

    They are the full model's, which makes the nightly list; the core model's begin with `core_`. Where the core model
    answers everything, they are its own.
    """
    served = parts_of(request).slot.get().champion
    response.headers["X-Model-Version"] = served.version.version
    known = {name: value if math.isfinite(value) else None for name, value in served.metrics.items()}
    if served.full is None:
        known |= {name.removeprefix("core_"): known[name] for name in list(known) if name.startswith("core_")}
    return {name: known.pop(name, None) for name in _SIX} | dict(sorted(known.items()))


@router.get(
    "/model/evaluation", tags=["model"], summary="How the served model did on its hold-out", responses=schemas.AWAY
)
async def model_evaluation(request: Request) -> Evaluation:
    """Metrics with 95 % intervals, calibration and profit by threshold, of customers and a date it had not seen.

    Of the model that makes the nightly list: `full`, or `core` where the version has no full one.
    """
    return evaluation_of(parts_of(request).slot.get().champion)


@router.get("/model/info", tags=["model"], summary="What the served model is", responses=schemas.AWAY)
async def model_info(request: Request) -> ModelInfo:
    """Type, inputs, version, threshold and what it was trained on.

    A version holds two models: `core` takes the features that every request brings, `full` takes all. What stands
    outside `models` is the core model's.
    """
    served = parts_of(request).slot.get().champion
    core = _described(served.core)
    return ModelInfo(
        **core.model_dump(),
        target="churn",
        model_path=f"models:/{request.app.state.settings.registered_model}/{served.version.version}",
        last_updated=served.version.created_at,
        model_version=served.version.version,
        serving_since=served.since,
        models=ModelsInfo(core=core, full=_described(served.full) if served.full else None),
        model_note=served.note,
        origin={name: value for name, value in served.version.tags.items() if not name.startswith("churn.")},
    )


def _described(model: ChurnModel) -> OneModelInfo:
    card = model.card
    return OneModelInfo(
        model_type=_FAMILIES.get(card.family, card.family),
        features=list(card.features),
        threshold=card.threshold,
        trained_on_rows=card.rows,
        trained_on_customers=card.customers,
        churn_rate=card.churn_rate,
        importance=dict(card.importance),
    )


@router.get("/features", tags=["model"], summary="What a customer is described by")
async def features() -> list[FeatureInfo]:
    """Name, unit, range, meaning and an example of every feature; the page makes its form from the required ones."""
    return [
        FeatureInfo(
            name=f.name, kind=f.kind, unit=f.unit, whole=f.whole, minimum=f.minimum, maximum=f.maximum,
            meaning=f.meaning, expected=expected(f), example=f.example, required=f.name in customers.NAMES,
        )
        for f in FEATURES
    ]  # fmt: skip


@probes.get("/livez", summary="Does the process answer?")
async def livez() -> Alive:
    """200 while the process answers."""
    return Alive(status="alive")


@probes.get("/readyz", summary="Can it score?", responses=schemas.AWAY)
async def readyz(request: Request) -> Alive:
    """200 once a model is loaded, 503 before, and while the process ends."""
    parts = parts_of(request)
    if parts.guard.draining:
        raise NotReady("the service is about to end")
    parts.slot.get()
    return Alive(status="ready")


_TEXT = {"text/plain": {"schema": {"type": "string"}, "example": "churn_model_version 3.0\n"}}


@probes.get(
    "/metrics",
    summary="What Prometheus asks for",
    response_class=PlainTextResponse,
    responses={**schemas.GUARDED, 200: {"content": _TEXT}},
)
async def metrics(request: Request) -> Response:
    """Requests and their seconds, predictions and their probabilities, which version since when, what failed."""
    parts = parts_of(request)
    gauges.update(parts)
    return Response(parts.telemetry.text(), media_type=CONTENT_TYPE)
