"""What the API is measured beside: the same body in, the same body out, one uvicorn worker each.

``noop``: FastAPI with a Pydantic body and answer, nothing between them: what the framework itself takes.
``booster``: the same with ``Booster.inplace_predict`` of the model's trees in the handler, as tutorials have it.
``run_per_prediction``: the same with an MLflow run logged for each answer.
"""

import os
from typing import Any

import numpy as np
import xgboost as xgb
from fastapi import FastAPI  # noqa: TID251 - a peer is such an application
from pydantic import BaseModel, create_model

from churn.core.features import CORE_FEATURES

PATH = "/api/churn/predict"
TREES = "CHURN_BENCHMARK_TREES"
"""Environment variable: the booster of the core model, in XGBoost's own format."""


class Prediction(BaseModel):
    """The API's own answer."""

    churn_prediction: int
    churn_probability: float
    no_churn_probability: float


Customer: Any = create_model("Customer", **{f.name: (float, ...) for f in CORE_FEATURES})  # type: ignore[call-overload]


def noop() -> FastAPI:
    """Reads the body, answers a constant."""
    app = FastAPI()

    @app.post(PATH)
    async def predict(customer: Customer) -> Prediction:
        return Prediction(churn_prediction=0, churn_probability=0.23, no_churn_probability=0.77)

    return app


def booster() -> FastAPI:
    """Scores with the trees alone: no curves, no calibration, no checks of ranges."""
    app, trees = FastAPI(), _trees()

    @app.post(PATH)
    async def predict(customer: Customer) -> Prediction:
        return _scored(trees, customer)

    return app


def run_per_prediction() -> FastAPI:
    """Scores, and logs the input and the score as a run, as the write-up's service does."""
    import mlflow  # noqa: TID251 - likewise

    app, trees = FastAPI(), _trees()
    mlflow.set_experiment("predictions")

    @app.post(PATH)
    def predict(customer: Customer) -> Prediction:
        found = _scored(trees, customer)
        with mlflow.start_run():
            mlflow.log_params(customer.model_dump())
            mlflow.log_metric("churn_probability", found.churn_probability)
        return found

    return app


def _trees() -> xgb.Booster:
    trees = xgb.Booster(model_file=os.environ[TREES])
    trees.set_param({"nthread": 1})
    return trees


def _scored(trees: xgb.Booster, customer: BaseModel) -> Prediction:
    row = np.array([list(customer.model_dump().values())])
    p = float(trees.inplace_predict(row, validate_features=False)[0])
    return Prediction(churn_prediction=int(p >= 0.5), churn_probability=p, no_churn_probability=1 - p)
