"""What the service says of itself: whether it is well, what it serves, how good that is, and what it must be told."""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.schemas import like


class Health(BaseModel):
    """Whether the service answers, with which model, and how fresh everything is."""

    model_config = like(
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

    model_config = like(
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

    model_config = like(
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


class Alive(BaseModel):
    """A probe's answer."""

    model_config = like(status="alive")

    status: str
