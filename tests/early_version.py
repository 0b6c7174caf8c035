"""A version as it was registered before a version held two models."""

from pathlib import Path

import pandas as pd

from churn.core.model import ChurnModel
from churn.io import mlflow_model
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings


def register_early(settings: Settings, model: ChurnModel, folder: Path, **tags: str) -> ModelVersion:
    """Register only a core model. The registry must hold another version already."""
    registry = Registry(settings)
    registry.versions()  # points MLflow at the store
    import mlflow

    model.save(folder / "core")
    mlflow.set_experiment(registry.name)
    with mlflow.start_run() as run:
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(mlflow_model.__file__),
            artifacts={"core": str(folder / "core")},
            input_example=pd.DataFrame([[1.0] * len(model.features)], columns=list(model.features)),
            pip_requirements=["xgboost"],
        )
    created = mlflow.MlflowClient().create_model_version(
        registry.name, info.model_uri, run.info.run_id, tags=tags, model_id=info.model_id
    )
    return registry.version(str(created.version))
