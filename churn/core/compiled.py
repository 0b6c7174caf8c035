"""A churn model compiled for one row at a time: the same probability in microseconds, without XGBoost or pandas."""

from collections.abc import Sequence

from scipy.special import expit

from churn.core.compiled_curves import CompiledCurves
from churn.core.compiled_trees import CompiledTrees
from churn.core.model import ChurnModel
from churn.errors import BadInput


class CompiledModel:
    """Answers one row as :meth:`ChurnModel.predict_proba` does, bit for bit.

    Every step is the same double or single precision operation in the same order: exact on x86-64 with the locked
    XGBoost and NumPy. On a processor whose compiler fuses a multiplication with an addition (aarch64) the last bit of
    a curve may differ. Holds no state between rows; threads may share it.
    """

    def __init__(self, model: ChurnModel) -> None:
        """Raises ContractViolation where the model holds what this form cannot."""
        members: list[CompiledCurves | CompiledTrees] = []
        if model.curves is not None:
            members.append(CompiledCurves(model.curves))
        if model.trees is not None:
            members.append(CompiledTrees(model.trees, len(model.features)))
        self._columns = len(model.features)
        self._intercept = model.calibration.intercept
        self._members = tuple(zip(model.calibration.weights, (m.log_odds for m in members), strict=True))

    def probability(self, row: Sequence[float]) -> float:
        """Probability of churn of one row in the order of the model's columns. NaN and infinities mean missing.

        Raises BadInput where the row is of another length.
        """
        if len(row) != self._columns:
            raise BadInput(f"the model takes {self._columns} numbers, this row has {len(row)}")
        log_odds = self._intercept
        for weight, member in self._members:
            log_odds += weight * member(row)
        return float(expit(log_odds))
