"""What is said of reasons and of the hold-out."""

from datetime import date

from pydantic import BaseModel, Field

from serving.schemas import Prediction


class ReasonInfo(BaseModel):
    """One feature's part in a score."""

    feature: str = Field(examples=["time_since_last_activity"])
    value: float | None = Field(description="null: missing", examples=[12.0])
    usual: float = Field(description="median of the customers the model was trained on", examples=[3.0])
    contribution: float = Field(description="log-odds it adds to the score, or takes from it", examples=[0.84])
    text: str = Field(examples=["12 days since the last visit, usually 3"])


class Explanation(Prediction):
    """A prediction and what it is made of: average_log_odds + reasons + others = log_odds."""

    model: str = Field(description="which model answered: core or full", examples=["core"])
    threshold: float = Field(description="from this probability on, churn_prediction is 1", examples=[0.5])
    average_log_odds: float = Field(description="what every customer starts from", examples=[-3.1])
    reasons: list[ReasonInfo] = Field(description="strongest first, of either sign")
    others: float = Field(description="what the features that are not listed add together", examples=[0.02])
    log_odds: float = Field(description="ln(p / (1 - p)) of the probability", examples=[-1.2])


class EstimateInfo(BaseModel):
    """A metric and its 95 % interval, from a bootstrap of whole customers."""

    value: float | None = Field(examples=[0.75])
    low: float | None = Field(examples=[0.72])
    high: float | None = Field(examples=[0.78])


class CalibrationInfo(BaseModel):
    """A tenth of the hold-out by probability: what was predicted, and what happened."""

    predicted: float = Field(examples=[0.04])
    observed: float = Field(examples=[0.05])
    rows: float = Field(examples=[1777.2])
    low: float = Field(examples=[0.04])
    high: float = Field(examples=[0.06])


class ProfitInfo(BaseModel):
    """What contacting everybody from a threshold on would have come to on the hold-out."""

    threshold: float = Field(examples=[0.33])
    contacts: float = Field(examples=[412])
    profit: float = Field(examples=[8100.0])
    low: float = Field(examples=[5200.0])
    high: float = Field(examples=[11000.0])


class Evaluation(BaseModel):
    """The hold-out of the served version: customers and a date that the model had not seen."""

    model_version: str = Field(examples=["3"])
    model: str = Field(description="which of the version's models makes the nightly list", examples=["full"])
    holdout: date | None = Field(description="cut-off of the hold-out", examples=["2018-11-19"])
    customers: int | None = Field(examples=[17772])
    churned: int | None = Field(examples=[729])
    churn_rate: float | None = Field(examples=[0.041])
    metrics: dict[str, EstimateInfo] = Field(examples=[{"roc_auc": {"value": 0.75, "low": 0.72, "high": 0.78}}])
    calibration: list[CalibrationInfo]
    profit: list[ProfitInfo]
