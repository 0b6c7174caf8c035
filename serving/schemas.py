"""What the API takes and gives, for readers, for generated clients and for the page. Made from the feature list."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from churn.core.features import CORE_FEATURES, FEATURES, Feature
from serving.bodies import ARROW
from serving.customers import MAX_ROWS, NAMES
from serving.rules import expected

EXAMPLE: dict[str, float] = {f.name: f.example for f in CORE_FEATURES}


def _like(**example: Any) -> ConfigDict:
    """What such an answer looks like, for the documentation."""
    return ConfigDict(json_schema_extra={"examples": [example]})


def _property(feature: Feature) -> dict[str, Any]:
    kind: Any = "integer" if feature.whole else "number"
    return {
        "type": [kind, "boolean"] if feature.kind == "flag" else kind,
        "minimum": feature.minimum,
        "maximum": feature.maximum,
        "description": f"{feature.meaning}; {expected(feature)}",
        "examples": [feature.example],
    }


CUSTOMER: dict[str, Any] = {
    "title": "Customer",
    "type": "object",
    "properties": {f.name: _property(f) for f in FEATURES},
    "required": list(NAMES),
    "additionalProperties": False,
}
CUSTOMERS: dict[str, Any] = {
    "title": "Customers",
    "type": "array",
    "items": CUSTOMER,
    "minItems": 1,
    "maxItems": MAX_ROWS,
}


def request_body(schema: dict[str, Any], example: Any, *parameters: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's description of a JSON body, and of headers; the bodies are read by hand, in bulk."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}, "parameters": list(parameters)}


def batch_body(example: Any, *parameters: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's description of a batch: JSON or an Arrow stream."""
    body = request_body(CUSTOMERS, example, *parameters)
    body["requestBody"]["content"][ARROW] = {"schema": _STREAM | {"description": _STREAM_OF_CUSTOMERS}}
    return body


_STREAM: dict[str, Any] = {"type": "string", "format": "binary"}
_STREAM_OF_CUSTOMERS = (
    f"An Arrow IPC stream of 1 to {MAX_ROWS:,} rows, not compressed: a column of integers or floating-point numbers (a "
    "flag's may be boolean) per feature, by its name, the required ones at least; no nulls"
)
CUSTOMER_KEY: dict[str, Any] = {
    "name": "X-Customer-Key",
    "in": "header",
    "required": False,
    "description": "Any text that stays the same for a customer: a challenger answers a share of the keys, where one "
    "is set. Without it the version in production answers.",
    "schema": {"type": "string", "examples": ["100042"]},
}
SCORED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "X-Model-Version": {
                "description": "which version answered",
                "required": True,
                "schema": {"type": "string"},
            },
            "X-Model": {
                "description": "which of its models; of a batch, mixed where both did",
                "required": True,
                "schema": {"type": "string", "enum": ["core", "full", "mixed"]},
            },
        }
    }
}

_STREAM_OF_SCORES = "An Arrow IPC stream: churn_prediction (int8), churn_probability and no_churn_probability (float64)"
SCORED_MANY: dict[int | str, dict[str, Any]] = {
    200: SCORED[200] | {"content": {ARROW: {"schema": _STREAM | {"description": _STREAM_OF_SCORES}}}}
}


class Prediction(BaseModel):
    """How likely a customer is to churn within the horizon, and whether a contact is expected to pay."""

    churn_prediction: Literal[0, 1] = Field(examples=[0])
    churn_probability: float = Field(ge=0, le=1, examples=[0.23])
    no_churn_probability: float = Field(ge=0, le=1, examples=[0.77])


class IndexedPrediction(Prediction):
    """The prediction for one customer of a batch."""

    index: int = Field(ge=0, description="place of the customer in the request", examples=[0])


class Predictions(BaseModel):
    """One prediction per customer, in the order of the request."""

    predictions: list[IndexedPrediction]


class Health(BaseModel):
    """Whether the service answers, with which model, and how fresh everything is."""

    model_config = _like(
        status="healthy",
        model_loaded=True,
        timestamp="2018-11-19T06:00:00Z",
        model_version="3",
        model_since="2018-11-19T02:10:04Z",
        model_note=None,
        registry_reachable=True,
        last_registry_check="2018-11-19T05:59:58Z",
        production_version="3",
        last_error=None,
        scores_reachable=True,
        last_scores_check="2018-11-19T05:59:58Z",
        scores_as_of="2018-11-19",
        scores_published_at="2018-11-19T02:00:30Z",
        customers_scored=17_772,
        scores_age_days=0,
        scores_stale=False,
        local_copy=False,
        challenger_version=None,
        challenger_share=None,
        challenger_shadow=None,
        challenger_note=None,
        draining=False,
        requests_at_work=1,
        predictions_logged=1_024,
        predictions_dropped=0,
    )

    status: Literal["healthy", "waiting for a model"]
    model_loaded: bool
    timestamp: datetime
    model_version: str | None = None
    model_since: datetime | None = Field(None, description="when this process took the model")
    model_note: str | None = Field(None, description="why the core model answers every request, where it does")
    registry_reachable: bool | None = Field(None, description="null until the registry was asked for the first time")
    last_registry_check: datetime | None = None
    production_version: str | None = Field(None, description="what the registry says; differs while a version is bad")
    last_error: str | None = Field(None, description="why the served model is not the one in production")
    scores_reachable: bool | None = Field(
        None, description="null until the score database was asked for the first time"
    )
    last_scores_check: datetime | None = Field(None, description="long ago: the score database hangs")
    scores_as_of: date | None = Field(None, description="cut-off of the newest published scores")
    scores_published_at: datetime | None = None
    customers_scored: int | None = None
    scores_age_days: int | None = None
    scores_stale: bool | None = Field(None, description="the newest scores are older than a day: a night is missing")
    local_copy: bool = Field(False, description="served from this machine's disk because the registry was away")
    challenger_version: str | None = Field(None, description="the version at Staging, where it takes part")
    challenger_share: float | None = Field(None, description="share of the customers that it answers")
    challenger_shadow: bool | None = Field(None, description="whether it scores beside the champion, for the log")
    challenger_note: str | None = Field(None, description="why it takes no part although it should")
    draining: bool = Field(False, description="the process is about to end, and takes no new connections for long")
    requests_at_work: int = 0
    predictions_logged: int = 0
    predictions_dropped: int = 0


class Metrics(BaseModel):
    """How good the full model is at a later cut-off than it was trained on. More follow, the core model's as core_…"""

    model_config = ConfigDict(extra="allow")

    accuracy: float | None = Field(examples=[0.8889])
    precision: float | None = Field(examples=[0.8])
    recall: float | None = Field(examples=[0.6923])
    f1_score: float | None = Field(examples=[0.7423])
    roc_auc: float | None = Field(examples=[0.75])
    precision_recall_auc: float | None = Field(examples=[0.2])


class OneModelInfo(BaseModel):
    """One of the two models of a version."""

    model_type: str = Field(examples=["XGBoost Classifier"])
    features: list[str] = Field(description="what a customer must bring to be answered by it")
    threshold: float = Field(description="from this probability on, churn_prediction is 1", examples=[0.5])
    trained_on_rows: int
    trained_on_customers: int
    churn_rate: float
    importance: dict[str, float] = Field(description="how much it leans on each feature; the shares sum to 1")


class ModelsInfo(BaseModel):
    """Both models of the served version."""

    core: OneModelInfo
    full: OneModelInfo | None = Field(description="null: the core model answers every request; model_note says why")


class ModelInfo(BaseModel):
    """What the served version is. What stands outside ``models`` is its core model's."""

    model_config = _like(
        model_type="Blend of Logistic Regression and XGBoost",
        features=["total_sessions", "avg_session_duration"],
        target="churn",
        model_path="models:/churn/3",
        last_updated="2018-11-19T02:10:00Z",
        model_version="3",
        serving_since="2018-11-19T02:10:04Z",
        threshold=0.33,
        trained_on_rows=120_000,
        trained_on_customers=17_000,
        churn_rate=0.041,
        importance={"total_sessions": 0.6, "avg_session_duration": 0.4},
        models={
            "core": {
                "model_type": "Blend of Logistic Regression and XGBoost",
                "features": ["total_sessions"],
                "threshold": 0.33,
                "trained_on_rows": 120_000,
                "trained_on_customers": 17_000,
                "churn_rate": 0.041,
                "importance": {"total_sessions": 1.0},
            },
            "full": None,
        },
        model_note=None,
        origin={"as_of": "2018-11-19", "holdout_customers": "17772", "holdout_churned": "729"},
    )

    model_type: str = Field(examples=["XGBoost Classifier"])
    features: list[str] = Field(description="what every customer must bring")
    target: str = Field(examples=["churn"])
    model_path: str = Field(examples=["models:/churn/3"])
    last_updated: datetime = Field(description="when the version was registered")
    model_version: str = Field(examples=["3"])
    serving_since: datetime
    threshold: float = Field(description="from this probability on, churn_prediction is 1", examples=[0.5])
    trained_on_rows: int
    trained_on_customers: int
    churn_rate: float
    importance: dict[str, float] = Field(description="how much it leans on each feature; the shares sum to 1")
    models: ModelsInfo
    model_note: str | None = Field(description="why the core model answers every request, where it does")
    origin: dict[str, str] = Field(
        description="data window, hold-out, contract and code, as noted when the version was registered",
        examples=[{"as_of": "2018-11-19", "holdout_customers": "17772", "holdout_churned": "729"}],
    )


class FeatureInfo(BaseModel):
    """One input of the model."""

    model_config = _like(
        name="time_since_last_activity",
        kind="days",
        unit="days",
        whole=False,
        minimum=0,
        maximum=36525,
        meaning="days from the last event to the cut-off",
        expected="a number from 0 to 36,525 (days)",
        example=2,
        required=True,
    )

    name: str
    kind: Literal["count", "seconds", "days", "ratio", "flag"]
    unit: str
    whole: bool = Field(description="only whole numbers")
    minimum: float
    maximum: float
    meaning: str
    expected: str
    example: float
    required: bool


class ProblemInfo(BaseModel):
    """One thing that is wrong with the request."""

    field: str = Field(examples=["total_sessions"])
    found: str = Field(examples=["-3"])
    expected: str = Field(examples=["a whole number from 0 to 1,000,000,000"])
    index: int | None = Field(None, description="which customer of a batch, or which event")
    loc: list[str | int] = Field(examples=[["body", "total_sessions"]])
    msg: str


class Refusal(BaseModel):
    """Why the request was not answered: at most 20 problems, and how many there are."""

    model_config = _like(
        detail=[
            {
                "field": "total_sessions",
                "found": "-3",
                "expected": "a whole number from 0 to 1,000,000,000",
                "loc": ["body", "total_sessions"],
                "msg": "total_sessions: found -3, expected a whole number from 0 to 1,000,000,000",
            }
        ],
        error_count=1,
    )

    detail: list[ProblemInfo]
    error_count: int


class Failure(BaseModel):
    """Why the service cannot answer now."""

    model_config = _like(detail="no model is loaded yet; it is there as soon as a version is promoted to Production")

    detail: str


class Alive(BaseModel):
    """A probe's answer."""

    model_config = _like(status="alive")

    status: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    413: {"model": Refusal, "description": "The body is too large"},
    415: {"model": Refusal, "description": "The body is not JSON by its content type"},
    422: {"model": Refusal, "description": "Names each field, what came and what was expected"},
}
REFUSALS_OF_MANY: dict[int | str, dict[str, Any]] = REFUSALS | {
    415: {"model": Refusal, "description": "The body is neither JSON nor an Arrow stream by its content type"}
}
_LATER = {"Retry-After": {"description": "seconds", "required": True, "schema": {"type": "integer", "minimum": 1}}}
AWAY: dict[int | str, dict[str, Any]] = {
    503: {
        "model": Failure,
        "headers": _LATER,
        "description": "No model, a store is away, or too much at work; Retry-After says when to ask again",
    }
}
GUARDED: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "No API key, or not a known one, where keys are asked for"},
    403: {"model": Refusal, "description": "Asked from another machine while no keys are set"},
    408: {"model": Refusal, "description": "The body did not come in time"},
    **AWAY,
}
"""What any answer under ``/api`` may be instead."""
BUSY: dict[int | str, dict[str, Any]] = {
    429: {
        "model": Failure,
        "headers": _LATER,
        "description": "Too many batches wait already; Retry-After says when to ask again",
    }
}
