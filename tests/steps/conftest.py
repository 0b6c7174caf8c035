"""A registry with versions to move about, registered once: a test gets a copy of MLflow's database."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churn.core.model import CORE, FULL
from churn.core.training import train
from churn.io.registry import Candidate, Models, Registry
from churn.settings import Settings
from tests.moves import TAGS, Registered, settings_of


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Registered:
    home = tmp_path_factory.mktemp("registered")
    (home / "mlflow").mkdir()
    shutil.copy(empty_mlflow, home / "mlflow" / "mlflow.db")
    registry = Registry(settings_of(home))
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(300, 3)), columns=["a", "b", "c"])
    churned = (rng.random(300) < 1 / (1 + np.exp(1 - x["b"]))).astype(int)
    small, large = (train(x[columns], churned, trials=0) for columns in (["a", "b"], ["a", "b", "c"]))
    (home / "files").mkdir()
    for number in range(1, 7):
        model = large if number == 5 else small
        tags = TAGS | ({"holdout_snapshot": "2026-03-01"} if number == 4 else {})
        tags |= {"horizon_days": "30"} if number == 6 else {}
        example = pd.DataFrame([[1.0] * len(model.features)], columns=list(model.features))
        models = {CORE: model, FULL: model}
        registry.register(Candidate(models, "a", "b", str(number), {}, {}, tags, home / "files", example))
    assert Models.load(registry.download(registry.version("1"), home / "download")).core.features == ("a", "b")
    return Registered(home)


@pytest.fixture
def versions(registered: Registered, tmp_path: Path) -> Settings:
    """A data home with the registered versions."""
    return registered.copy(tmp_path / "versions")
