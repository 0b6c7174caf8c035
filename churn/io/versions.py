"""A registered version: what goes into one, what is known of it, and the two models that it holds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from churn.core.model import CORE, FULL, ChurnModel
from churn.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Models:
    """Two models fitted on the same panel, each with its own threshold."""

    core: ChurnModel
    full: ChurnModel
    """The same object as ``core`` where the version was registered without a full model."""

    @classmethod
    def load(cls, folders: Mapping[str, Path]) -> "Models":
        """Read the models from their folders by name, every file checked. Raises ContractViolation."""
        core = ChurnModel.load(folders[CORE])
        return cls(core, ChurnModel.load(folders[FULL]) if FULL in folders else core)

    @property
    def extended(self) -> tuple[str, ...]:
        """What ``full`` takes beyond ``core``."""
        return tuple(name for name in self.full.features if name not in self.core.features)

    def best_for(self, columns: Collection[str]) -> tuple[str, ChurnModel]:
        """The model for a whole table and its name: full where the table has every column of it, else core."""
        return (FULL, self.full) if self.full is not self.core and self._has_all(columns) else (CORE, self.core)

    def complete(self, table: "pd.DataFrame") -> NDArray[np.bool_]:
        """Which rows bring a number for every extended feature (n,): those ``full`` answers, ``core`` the others."""
        if not self.extended or not self._has_all(table.columns):
            return np.zeros(len(table), dtype=np.bool_)
        return np.asarray(np.isfinite(table[list(self.extended)].to_numpy(dtype=np.float64)).all(axis=1))

    def _has_all(self, columns: Collection[str]) -> bool:
        return set(self.full.features) <= set(columns)


@dataclass(frozen=True)
class ModelVersion:
    """One registered version."""

    version: str
    stage: str
    run_id: str
    created_at: datetime
    changed_at: datetime
    """When its stage was moved last."""
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Candidate:
    """Trained models with everything that is stored beside them."""

    models: Mapping[str, ChurnModel]
    """By name: ``CORE`` and ``FULL``."""
    name: str
    """What people call the training."""
    description: str
    """One paragraph for the version's page."""
    identity: str
    """Fingerprint of the data, the seed and the parameters it was trained from."""
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    attachments: Path
    """Folder of figures and reports, stored as it is."""
    input_example: "pd.DataFrame"

    def __post_init__(self) -> None:
        """Raises BadInput where the models cannot be those of one version."""
        if set(self.models) != {CORE, FULL}:
            raise BadInput(f"a version holds the models {CORE!r} and {FULL!r}; this one has {sorted(self.models)}")
        if missing := [n for n in self.models[CORE].features if n not in self.models[FULL].features]:
            raise BadInput(f"the full model takes all that the core model takes; this one does not take {missing}")
