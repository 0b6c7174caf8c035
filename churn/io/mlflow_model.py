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

    # No type hints: MLflow would take them for the schema, in place of the signature.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        probability = self.model.predict_proba(model_input)
        return pd.DataFrame(
            {"churn_probability": probability, "churn_prediction": self.model.decide(probability)},
            index=model_input.index,
        )


mlflow.models.set_model(RegisteredChurnModel())
