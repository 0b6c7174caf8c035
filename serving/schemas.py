"""What the API takes, what a prediction is and how a request is refused, for readers and generated clients."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from churn.core.features import CORE_FEATURES, FEATURES, Feature
from serving.bodies import ARROW
from serving.customers import MAX_ROWS, NAMES
from serving.rules import expected

EXAMPLE: dict[str, float] = {f.name: f.example for f in CORE_FEATURES}


def like(**example: Any) -> ConfigDict:
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

    model_config = like(
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

    model_config = like(detail="no model is loaded yet; it is there as soon as a version is promoted to Production")

    detail: str


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
    403: {
        "model": Refusal,
        "description": "From another machine, or from a page of another site, while no keys are set",
    },
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
