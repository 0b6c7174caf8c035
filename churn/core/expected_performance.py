"""How well a model does, told from its probabilities alone: an estimate for as long as nobody knows who left.

Each customer counts as a churner with weight p and as one who stays with weight 1 − p (confidence-based performance
estimation: Guillory et al. 2021, Humphrey et al. 2022). True as far as the probabilities are calibrated: that a model
has become worse at telling customers apart shows only when outcomes are known, or in the early warning.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from churn.core.evaluation import Economics
from churn.core.weighted_metrics import Ranking, scores
from churn.errors import BadInput


@dataclass(frozen=True)
class ExpectedPerformance:
    """Expected values; each metric is a ratio of expected counts, which for hundreds of churners is as good."""

    rows: int
    churned: float
    churned_deviation: float
    """Standard deviation of the number of churners: √ Σ p (1 − p), rows being different customers."""
    roc_auc: float | None
    """None where nobody, or everybody, is expected to churn."""
    precision: float
    recall: float | None
    log_loss: float
    brier: float
    profit: float


def expected_performance(probability: ArrayLike, threshold: float, economics: Economics) -> ExpectedPerformance:
    """What calibrated probabilities (n,) say of themselves. Raises BadInput unless there are some, all in [0, 1]."""
    p = np.asarray(probability, dtype=np.float64)
    if p.ndim != 1 or not len(p) or not ((p >= 0) & (p <= 1)).all():
        raise BadInput(f"expected a column of probabilities in [0, 1], not empty; found shape {p.shape}")
    tally = Ranking(p, p).tally(np.ones((1, 1)))
    found = {name: float(value[0]) for name, value in scores(tally, threshold).items()}
    profit = economics.earned(*(part[:, 0] for part in tally.decided(threshold)))
    return ExpectedPerformance(
        rows=len(p),
        churned=float(p.sum()),
        churned_deviation=float(np.sqrt((p * (1 - p)).sum())),
        roc_auc=_defined(found["roc_auc"]),
        precision=found["precision"],
        recall=_defined(found["recall"]),
        log_loss=found["log_loss"],
        brier=found["brier"],
        profit=float(profit[0]),
    )


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
