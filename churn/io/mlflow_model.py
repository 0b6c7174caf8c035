"""The registered model as MLflow sees it ("models from code"): what ``mlflow.pyfunc.load_model`` runs."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from churn.core.model import ChurnModel


class RegisteredChurnModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Feature columns in; ``churn_probability`` and ``churn_prediction`` out."""

    def load_context(self, context: Any) -> None:
        self.model = ChurnModel.load(Path(context.artifacts["core"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        probability = self.model.predict_proba(model_input)
        return pd.DataFrame(
            {"churn_probability": probability, "churn_prediction": self.model.decide(probability)},
            index=model_input.index,
        )


mlflow.models.set_model(RegisteredChurnModel())
