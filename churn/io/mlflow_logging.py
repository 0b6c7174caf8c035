"""A candidate's models stored in MLflow, and found again in what was downloaded of a version."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.core.model import CORE, FULL, ChurnModel
from churn.errors import ContractViolation
from churn.io.mlflow_store import configure
from churn.io.versions import Candidate

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

_REQUIREMENTS = ("xgboost", "numpy", "pandas", "scipy")


def log_models(candidate: Candidate) -> "ModelInfo":
    """Store both models as one MLflow model in the run that is open. Raises ContractViolation."""
    configure()
    import mlflow

    with tempfile.TemporaryDirectory(prefix="churn-model-") as folder:
        for name, model in candidate.models.items():
            model.save(Path(folder) / name)
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("mlflow_model.py")),
            artifacts={name: str(Path(folder) / name) for name in candidate.models},
            signature=_signature(candidate.models[CORE], candidate.models[FULL]),
            input_example=candidate.input_example,
            # Given, not inferred: inferring imports the model in subprocesses for seconds.
            pip_requirements=list(_REQUIREMENTS),
        )
    if info.signature is None:
        raise ContractViolation("MLflow stored no signature with the model; it is not registered")
    return info


def model_folders(downloaded: Path) -> dict[str, Path]:
    """Where each model lies inside a downloaded version, by name.

    Whether there is a full model is what the version says, not what is found: one that lost its folder must not pass
    for one that never had it.
    """
    configure()
    from mlflow.utils.yaml_utils import read_yaml  # mlflow.models needs pandas, which the API's image does not have

    stored = read_yaml(str(downloaded), "MLmodel")["flavors"]["python_function"]["artifacts"]
    return {name: downloaded / "artifacts" / name for name in (CORE, FULL) if name == CORE or name in stored}


def _signature(core: ChurnModel, full: ChurnModel) -> Any:
    """Doubles in, those beyond the core optional. Given, not inferred: an inferred one may silently be none."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = [ColSpec("double", name, required=name in core.features) for name in full.features]
    outputs = [
        ColSpec("double", "churn_probability"),
        ColSpec("long", "churn_prediction"),
        ColSpec("string", "model"),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))
