"""What is said of published scores, of what they are worth, and of what the nightly checks found."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from serving.explain_schemas import ReasonInfo

_REASON: dict[str, Any] = {
    "feature": "time_since_last_activity", "value": 12.0, "usual": 3.0, "contribution": 0.84,
    "text": "12 days since the last visit, usually 3",
}  # fmt: skip
_PROFIT = "expected profit of contacting this customer: contact_success · retained_value · p - contact_cost"
_FIGURES: dict[str, Any] = {"roc_auc": 0.74, "roc_auc_low": 0.71, "roc_auc_high": 0.77, "expected_roc_auc": 0.75}


class TopCustomer(BaseModel):
    """One row of tonight's list."""

    customer_id: str = Field(examples=["100042"])
    churn_probability: float = Field(ge=0, le=1, examples=[0.83])
    churn_prediction: Literal[0, 1] = Field(examples=[1])
    expected_profit: float = Field(description=_PROFIT, examples=[74.5])
    reasons: list[ReasonInfo] = Field(
        description="why, as published: at most 5, strongest first; empty where none were", examples=[[_REASON]]
    )


class TopCustomers(BaseModel):
    """The riskiest customers of the newest publication; without one, nulls and an empty list."""

    as_of: date | None = Field(description="cut-off of the scores", examples=["2018-11-19"])
    published_at: datetime | None = Field(examples=["2018-11-19T02:04:11Z"])
    model_version: str | None = Field(examples=["3"])
    threshold: float | None = Field(description="from this probability on, churn_prediction is 1", examples=[0.33])
    customers_scored: int = Field(examples=[17772])
    predicted_to_churn: int = Field(examples=[412])
    matching: int = Field(description="how many pass the filters, listed or not", examples=[412])
    age_days: int | None = Field(description="days from the cut-off to today", examples=[0])
    stale: bool = Field(description="older than a day: a night is missing", examples=[False])
    customers: list[TopCustomer]


class CustomerScore(TopCustomer):
    """What was last published of one customer."""

    as_of: date = Field(description="cut-off of the score", examples=["2018-11-19"])
    published_at: datetime = Field(examples=["2018-11-19T02:04:11Z"])
    model_version: str = Field(examples=["3"])
    threshold: float = Field(description="from this probability on, churn_prediction is 1", examples=[0.33])
    age_days: int = Field(description="days from the cut-off to today", examples=[0])
    stale: bool = Field(
        description="older than a day: a night is missing, or the customer is not at risk any more", examples=[False]
    )


class ProfitPoint(BaseModel):
    """What contacting everybody from a threshold on comes to."""

    threshold: float = Field(examples=[0.33])
    customers: int = Field(description="with at least that probability", examples=[412])
    expected_leavers: float = Field(description="the sum of their probabilities", examples=[201.4])
    expected_profit: float = Field(examples=[9610.0])


class ProfitCurve(BaseModel):
    """Tonight's scores against the threshold; without a publication, nulls and an empty list."""

    as_of: date | None = Field(description="cut-off of the scores", examples=["2018-11-19"])
    model_version: str | None = Field(examples=["3"])
    threshold: float | None = Field(description="the published one; it is among the points", examples=[0.33])
    contact_cost: float = Field(examples=[50.0])
    retained_value: float = Field(examples=[200.0])
    contact_success: float = Field(description="share of leaving customers whom a contact keeps", examples=[0.75])
    customers_scored: int = Field(examples=[17772])
    points: list[ProfitPoint] = Field(max_length=201, description="by ascending threshold")


class CheckInfo(BaseModel):
    """What one check of a night found."""

    as_of: date = Field(examples=["2018-11-19"])
    model_version: str = Field(examples=["3"])
    alarm: bool = Field(examples=[False])
    summary: str = Field(examples=["no degradation: ROC AUC 0.740 (0.710 to 0.770)"])


class DriftInfo(CheckInfo):
    """Does the night look like what the model was measured on?"""

    drifted: list[str] = Field(
        description="features, and kinds of events; the farthest first", examples=[["avg_session_duration"]]
    )


class PerformanceInfo(CheckInfo):
    """Stored scores against what happened, pooled over the nights whose horizon passed last."""

    expected: dict[str, Any] | None = Field(
        description="what the newest scores say of themselves: an estimate", examples=[{"roc_auc": 0.75}]
    )
    realised: dict[str, Any] | None = Field(
        description="with intervals (…_low, …_high) and what had been expected of the same scores (expected_…); null "
        "until a horizon has passed",
        examples=[_FIGURES],
    )
    limit: float | None = Field(description="ROC AUC below which the model is degraded", examples=[0.71])


class PerformanceNight(BaseModel):
    """The realised figures of one night's check."""

    as_of: date = Field(examples=["2018-11-19"])
    model_version: str = Field(examples=["3"])
    roc_auc: float | None = Field(examples=[0.74])
    roc_auc_low: float | None = Field(examples=[0.71])
    roc_auc_high: float | None = Field(examples=[0.77])
    expected_roc_auc: float | None = Field(examples=[0.75])
    precision: float | None = Field(examples=[0.42])
    expected_precision: float | None = Field(examples=[0.44])
    alarm: bool = Field(examples=[False])


class Monitoring(BaseModel):
    """What the nightly checks found."""

    drift: list[DriftInfo] = Field(description="oldest first")
    performance: PerformanceInfo | None = Field(description="the newest; null before the first")
    performance_nights: list[PerformanceNight] = Field(description="those with realised figures, oldest first")
    early_warning: CheckInfo | None = Field(description="the newest; null before the first")
