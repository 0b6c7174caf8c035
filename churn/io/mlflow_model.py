"""The registered model as MLflow sees it ("models from code"): what ``mlflow.pyfunc.load_model`` runs."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from churn.core.model import CORE, FULL
from churn.io.versions import Models


class RegisteredChurnModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Feature columns in; ``churn_probability``, ``churn_prediction`` and which ``model`` answered out.

    A row with a number for every extended feature is answered by the full model, any other by the core model.
    """

    def load_context(self, context: Any) -> None:
        self.models = Models.load({name: Path(path) for name, path in context.artifacts.items()})

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        complete = self.models.complete(model_input)
        probability = np.empty(len(model_input), dtype=np.float64)
        prediction = np.empty(len(model_input), dtype=np.int64)
        for rows, model in ((complete, self.models.full), (~complete, self.models.core)):
            if rows.any():
                probability[rows] = model.predict_proba(model_input[rows])
                prediction[rows] = model.decide(probability[rows])
        return pd.DataFrame(
            {
                "churn_probability": probability,
                "churn_prediction": prediction,
                "model": np.where(complete, FULL, CORE).tolist(),
            },
            index=model_input.index,
        )


mlflow.models.set_model(RegisteredChurnModel())
