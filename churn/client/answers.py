"""What the API answers, as frozen objects. What a newer API says beside is passed over."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import date, datetime
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Prediction:
    """A score. ``model``: core or full, by what the customer brought; mixed for a batch of both."""

    churn_prediction: int
    churn_probability: float
    no_churn_probability: float
    model_version: str
    model: str


@dataclass(frozen=True)
class Reason:
    """What one feature adds to a score, in log-odds."""

    feature: str
    value: float | None
    usual: float
    contribution: float
    text: str


@dataclass(frozen=True)
class Explanation(Prediction):
    """average_log_odds + contributions of the reasons + others = log_odds."""

    threshold: float
    average_log_odds: float
    reasons: tuple[Reason, ...]
    others: float
    log_odds: float


@dataclass(frozen=True)
class EventsPrediction(Prediction):
    """A score from raw events, and the features that were computed from those before the cut-off."""

    customer_id: str
    as_of: date
    events: dict[str, int]
    features: dict[str, float]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class ListedCustomer:
    """A row of tonight's list."""

    customer_id: str
    churn_probability: float
    churn_prediction: int
    expected_profit: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class PublishedScore(ListedCustomer):
    """What was last published of one customer."""

    as_of: date
    published_at: datetime
    model_version: str
    threshold: float
    age_days: int
    stale: bool


@dataclass(frozen=True)
class TopList:
    """Tonight's riskiest customers. Before the first publication None and nobody."""

    as_of: date | None
    published_at: datetime | None
    model_version: str | None
    threshold: float | None
    customers_scored: int
    predicted_to_churn: int
    matching: int
    age_days: int | None
    stale: bool
    customers: tuple[ListedCustomer, ...]


@dataclass(frozen=True)
class Health:
    """Whether the API can score, and with what. ``details`` is all that it said."""

    status: str
    model_loaded: bool
    timestamp: datetime
    model_version: str | None
    scores_as_of: date | None
    scores_stale: bool | None
    last_error: str | None
    details: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class ModelInfo:
    """What is served. ``features`` and ``threshold`` are the core model's; ``models`` describes both."""

    model_type: str
    model_version: str
    features: list[str]
    threshold: float
    last_updated: datetime
    serving_since: datetime
    trained_on_customers: int
    churn_rate: float
    importance: dict[str, float]
    models: dict[str, Any]
    origin: dict[str, str]


@dataclass(frozen=True)
class Feature:
    """One input of the model."""

    name: str
    kind: str
    unit: str
    whole: bool
    minimum: float
    maximum: float
    meaning: str
    example: float
    required: bool


def read(kind: Callable[..., T], row: Mapping[str, Any]) -> T:
    """Make one of these. Raises KeyError, TypeError or ValueError where the row is something else."""
    values = {}
    for f in fields(kind):  # type: ignore[arg-type]
        if f.name in row or f.default is MISSING:
            value, convert = row[f.name], _READ.get(f.name)
            values[f.name] = convert(value) if convert and value is not None else value
    return kind(**values)


_READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("as_of", "scores_as_of"), date.fromisoformat),
    **dict.fromkeys(("published_at", "timestamp", "last_updated", "serving_since"), datetime.fromisoformat),
    "reasons": lambda rows: tuple(read(Reason, row) for row in rows),
    "customers": lambda rows: tuple(read(ListedCustomer, row) for row in rows),
}
