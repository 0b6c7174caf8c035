"""A fitted churn model: numbers in, probability out, and a folder form without pickle.

The folder holds ``model.ubj`` (XGBoost's own format), ``model.json`` (everything else) and ``manifest.json`` with
the sha256 of both, checked before anything is loaded.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from churn.errors import BadInput, ContractViolation

if TYPE_CHECKING:
    import pandas as pd

_BOOSTER, _CARD, _MANIFEST = "model.ubj", "model.json", "manifest.json"


@dataclass(frozen=True)
class ModelCard:
    """What must be known beside the trees. JSON-serialisable."""

    features: tuple[str, ...]
    """Input columns, in order."""
    threshold: float
    """From this probability on, the decision is 1."""
    family: str
    parameters: Mapping[str, Any]
    rows: int
    customers: int
    churn_rate: float
    cross_validation: Mapping[str, float]
    """Metrics of the out-of-fold probabilities."""
    importance: Mapping[str, float]
    """Share of the total gain, per feature; sums to 1 where any split was made."""
    seed: int


class ChurnModel:
    """Probability of churning within the horizon, from numeric features."""

    def __init__(self, booster: xgb.Booster, card: ModelCard) -> None:
        self._booster = booster
        self.card = card

    @property
    def features(self) -> tuple[str, ...]:
        return self.card.features

    @property
    def threshold(self) -> float:
        return self.card.threshold

    def predict_proba(self, features: "pd.DataFrame | NDArray[Any]") -> NDArray[np.float64]:
        """Probability of churn (n,) in [0, 1].

        A data frame needs the model's columns by name, in any order; an array (n, features) in the model's order.
        NaN means missing; infinities are taken as missing too. Raises BadInput when columns are missing.
        """
        rows = np.ascontiguousarray(self._matrix(features), dtype=np.float64)
        if not np.isfinite(rows).all():
            rows = np.where(np.isfinite(rows), rows, np.nan)
        if len(rows) == 0:
            return np.empty(0, dtype=np.float64)
        return np.asarray(self._booster.inplace_predict(rows, validate_features=False), dtype=np.float64)

    def decide(self, probability: NDArray[np.float64]) -> NDArray[np.int64]:
        """1 where a contact is expected to pay, else 0."""
        return (probability >= self.threshold).astype(np.int64)

    def _matrix(self, features: "pd.DataFrame | NDArray[Any]") -> NDArray[Any]:
        if isinstance(features, np.ndarray):
            if features.ndim != 2 or features.shape[1] != len(self.features):
                raise BadInput(f"the model takes an array (n, {len(self.features)}), this one is {features.shape}")
            return features
        if missing := [name for name in self.features if name not in features.columns]:
            raise BadInput(f"the model needs the columns {missing}; the table has {list(features.columns)}")
        return features[list(self.features)].to_numpy(dtype=np.float64)

    def save(self, directory: Path) -> None:
        """Write the model as a folder: aside, then renamed. An existing one is removed just before the renaming."""
        directory.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        self._booster.save_model(aside / _BOOSTER)
        (aside / _CARD).write_text(json.dumps(asdict(self.card), indent=2) + "\n")
        manifest = {"format": 1, "sha256": {name: _sha256(aside / name) for name in (_BOOSTER, _CARD)}}
        (aside / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        if directory.exists():
            shutil.rmtree(directory)
        aside.replace(directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a saved model, after checking every file against the manifest. Raises ContractViolation."""
        check_manifest(directory)
        card = json.loads((directory / _CARD).read_text())
        booster = xgb.Booster(model_file=directory / _BOOSTER)
        # One thread: a single row gains nothing from more, and workers do not fight over cores.
        booster.set_param({"nthread": 1})
        return cls(booster, ModelCard(**{**card, "features": tuple(card["features"])}))


def check_manifest(directory: Path) -> Mapping[str, str]:
    """sha256 by file name, each compared with the file. Raises ContractViolation naming the file that differs."""
    path = directory / _MANIFEST
    if not path.is_file():
        raise ContractViolation(f"{directory} holds no {_MANIFEST}: it is not a saved churn model, or not all of it")
    expected: dict[str, str] = json.loads(path.read_text())["sha256"]
    for name in (_BOOSTER, _CARD):
        found = _sha256(directory / name) if (directory / name).is_file() else "no file"
        if found != expected.get(name):
            raise ContractViolation(f"{directory / name}: found {found}, the manifest says {expected.get(name)}")
    return expected


def importance(booster: xgb.Booster, features: Sequence[str]) -> dict[str, float]:
    """Share of the total gain per feature, largest first."""
    gain = booster.get_score(importance_type="total_gain")
    named = {name: float(np.sum(gain.get(f"f{i}", 0.0))) for i, name in enumerate(features)}
    total = sum(named.values()) or 1.0
    return {name: value / total for name, value in sorted(named.items(), key=lambda x: -x[1])}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
