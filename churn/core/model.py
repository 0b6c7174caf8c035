"""A fitted churn model: numbers in, probability and reasons out, and a folder form without pickle.

The folder holds ``model.json`` (everything but trees), ``model.ubj`` (XGBoost's own format, where the model has trees)
and ``manifest.json`` with the sha256 of each, checked before anything is loaded.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from scipy.special import expit

from churn.core.arrays import Floats
from churn.core.calibration import Calibration
from churn.core.curves import Curves, finite
from churn.core.reasons import Reasons, strongest
from churn.errors import BadInput, ContractViolation

if TYPE_CHECKING:
    import pandas as pd

CORE, FULL = "core", "full"
"""The models of a version: on the features that any caller has, and on all."""

_EXPLAINED_AT_ONCE = 1 << 14
"""Customers; what each feature adds to each takes as much memory as the features, some times over."""
_TREES, _REST, _MANIFEST = "model.ubj", "model.json", "manifest.json"


@dataclass(frozen=True)
class ModelCard:
    """What must be known beside the fitted numbers. JSON-serialisable."""

    features: tuple[str, ...]
    """Input columns, in order."""
    threshold: float
    """From this probability on, the decision is 1."""
    family: str
    """``blend``; ``logistic`` or ``xgboost`` where one alone has a clearly lower cross-validated log loss."""
    families: Mapping[str, float]
    """Cross-validated log loss of each family, and of ``base rate``, which knows nothing.

    Settings were chosen on the same folds, which flatters these figures a little; a hold-out does not."""
    parameters: Mapping[str, Any]
    """What the search settled on."""
    rows: int
    customers: int
    churn_rate: float
    cross_validation: Mapping[str, float]
    """Metrics of the out-of-fold probabilities, each fold calibrated on the others; flattered like ``families``."""
    importance: Mapping[str, float]
    """Share of what the features move the log-odds on average, per feature; sums to 1 where anything is moved."""
    usual: Mapping[str, float]
    """Median of each feature."""
    seed: int


class ChurnModel:
    """Probability of churning within the horizon, from numeric features.

    log-odds = intercept + sum of weight · member's log-odds, the members being additive curves and boosted trees.
    """

    def __init__(
        self, calibration: Calibration, curves: Curves | None, trees: xgb.Booster | None, card: ModelCard
    ) -> None:
        self._calibration, self._curves, self._trees, self.card = calibration, curves, trees, card

    @property
    def features(self) -> tuple[str, ...]:
        return self.card.features

    @property
    def threshold(self) -> float:
        return self.card.threshold

    @property
    def calibration(self) -> Calibration:
        """Its weights are in the order curves, trees, of those that there are."""
        return self._calibration

    @property
    def curves(self) -> Curves | None:
        return self._curves

    @property
    def trees(self) -> xgb.Booster | None:
        return self._trees

    def predict_proba(self, features: "pd.DataFrame | NDArray[Any]") -> Floats:
        """Probability of churn (n,) in [0, 1].

        A data frame needs the model's columns by name, in any order; an array (n, features) in the model's order.
        NaN means missing; infinities are taken as missing too. Raises BadInput when columns are missing.
        """
        return np.asarray(expit(self._log_odds(self._matrix(features))), dtype=np.float64)

    def decide(self, probability: NDArray[np.float64]) -> NDArray[np.int64]:
        """1 where a contact is expected to pay, else 0."""
        return (probability >= self.threshold).astype(np.int64)

    def contributions(self, features: "pd.DataFrame | NDArray[Any]") -> Floats:
        """What each feature adds to the log-odds (n, features + 1); the last column is what everybody starts from.

        Each row sums to the log-odds of :meth:`predict_proba`. Curves add up by construction; trees by TreeSHAP
        (Lundberg et al., Nature Machine Intelligence 2, 2020), whose single-precision rounding, about 1e-6, is in the
        last column.
        """
        x = self._matrix(features)
        added = np.zeros((len(x), x.shape[1] + 1))
        if len(x) == 0:
            return added
        weights, members = self._weights, []
        if self._curves is not None:
            by_curves = self._curves.contributions(x)
            added[:, :-1] += weights[0] * by_curves
            members.append(by_curves.sum(axis=1) + self._curves.intercept)
        if self._trees is not None:
            # One thread, as in the booster: for a few rows, waking up the others takes longer than the work.
            by_trees = self._trees.predict(xgb.DMatrix(x, nthread=1), pred_contribs=True)
            added[:, :-1] += weights[1] * by_trees[:, :-1]
            members.append(self._margin(x))
        added[:, -1] = self._calibration.log_odds(members) - added[:, :-1].sum(axis=1)
        return added

    def reasons(self, features: "pd.DataFrame | NDArray[Any]", k: int = 3) -> Reasons:
        """The ``k`` strongest reasons of each customer's score, strongest first; see :meth:`contributions`."""
        x = self._matrix(features)
        some = (x[start : start + _EXPLAINED_AT_ONCE] for start in range(0, max(len(x), 1), _EXPLAINED_AT_ONCE))
        return strongest(self.features, ((rows, self.contributions(rows)[:, :-1]) for rows in some), self.card.usual, k)

    @property
    def _weights(self) -> tuple[float, float]:
        """Of the curves and of the trees."""
        weights = iter(self._calibration.weights)
        return (next(weights) if self._curves else 0.0), (next(weights) if self._trees else 0.0)

    def _log_odds(self, x: Floats) -> Floats:
        members = []
        if len(x) == 0:
            return np.empty(0)
        if self._curves is not None:
            members.append(self._curves.log_odds(x))
        if self._trees is not None:
            members.append(self._margin(x))
        return self._calibration.log_odds(members)

    def _margin(self, x: Floats) -> Floats:
        """Log-odds (n,) by the trees, which there must be."""
        assert self._trees is not None
        margin = self._trees.inplace_predict(x, validate_features=False, predict_type="margin")
        return np.asarray(margin, dtype=np.float64)

    def _matrix(self, features: "pd.DataFrame | NDArray[Any]") -> Floats:
        """The features in order (n, k), infinities as missing."""
        if isinstance(features, np.ndarray):
            if features.ndim != 2 or features.shape[1] != len(self.features):
                raise BadInput(f"the model takes an array (n, {len(self.features)}), this one is {features.shape}")
            x = np.ascontiguousarray(features, dtype=np.float64)
        else:
            if missing := [name for name in self.features if name not in features.columns]:
                raise BadInput(f"the model needs the columns {missing}; the table has {list(features.columns)}")
            wanted = features[list(self.features)]
            if wanted.columns.has_duplicates:
                twice = sorted(set(wanted.columns[wanted.columns.duplicated()]))
                raise BadInput(f"the table has more than one column of the name {twice}")
            try:
                x = np.ascontiguousarray(wanted.to_numpy(dtype=np.float64, na_value=np.nan))
            except (TypeError, ValueError) as e:
                raise BadInput(f"the model takes numbers: {e}") from e
        return finite(x)

    def save(self, directory: Path) -> None:
        """Write the model as a folder: aside, then renamed. An existing one is removed just before the renaming."""
        directory.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        rest = {
            "card": asdict(self.card),
            "calibration": asdict(self._calibration),
            "curves": self._curves.as_json() if self._curves else None,
        }
        (aside / _REST).write_text(json.dumps(rest, indent=2) + "\n")
        if self._trees is not None:
            self._trees.save_model(aside / _TREES)
        sums = {path.name: _sha256(path) for path in sorted(aside.iterdir())}
        (aside / _MANIFEST).write_text(json.dumps({"format": 2, "sha256": sums}, indent=2) + "\n")
        if directory.exists():
            shutil.rmtree(directory)
        aside.replace(directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a saved model, after checking every file against the manifest. Raises ContractViolation."""
        files = check_manifest(directory)
        rest = json.loads((directory / _REST).read_text())
        trees = None
        if _TREES in files:
            trees = xgb.Booster(model_file=directory / _TREES)
            # One thread: a single row gains nothing from more, and workers do not fight over cores.
            trees.set_param({"nthread": 1})
        card = ModelCard(**{**rest["card"], "features": tuple(rest["card"]["features"])})
        weights = rest["calibration"]
        calibration = Calibration(float(weights["intercept"]), tuple(map(float, weights["weights"])))
        curves = Curves.from_json(rest["curves"]) if rest["curves"] else None
        return cls(calibration, curves, trees, card)


def check_manifest(directory: Path) -> Mapping[str, str]:
    """sha256 by file name, each compared with the file. Raises ContractViolation naming the file that differs."""
    path = directory / _MANIFEST
    if not path.is_file():
        raise ContractViolation(f"{directory} holds no {_MANIFEST}: it is not a saved churn model, or not all of it")
    manifest = json.loads(path.read_text())
    expected: dict[str, str] = manifest["sha256"]
    if manifest.get("format") != 2 or not {_REST} <= set(expected) <= {_REST, _TREES}:
        raise ContractViolation(
            f"{path} is of format {manifest.get('format')} and lists {sorted(expected)}: this code reads format 2 with "
            f"{_REST} and {_TREES}. Train again with this code, or serve the model with the code that made it"
        )
    for name, wanted in expected.items():
        found = _sha256(directory / name) if (directory / name).is_file() else "no file"
        if found != wanted:
            raise ContractViolation(f"{directory / name}: found {found}, the manifest says {wanted}")
    return expected


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
