"""How good a set of probabilities is, and what acting on it would earn."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from churn.core.arrays import Floats
from churn.core.weighted_metrics import Ranking, scores
from churn.errors import BadInput

METRICS = (
    "accuracy", "precision", "recall", "f1_score", "roc_auc", "precision_recall_auc", "log_loss", "brier",
    "ece", "lift_at_10", "captured_at_10",
)  # fmt: skip

THRESHOLDS: Floats = np.round(np.linspace(0, 1, 101), 2)
"""Where the profit curve is drawn."""

Number = TypeVar("Number", float, Floats)


@dataclass(frozen=True)
class Economics:
    """What a contact costs, what a customer who stays is worth, and the share of leavers whom a contact keeps."""

    contact_cost: float = 50.0
    retained_value: float = 200.0
    contact_success: float = 0.75

    @property
    def threshold(self) -> float:
        """Probability from which a contact pays on average: p · success · value = cost (at most 1)."""
        gain = self.contact_success * self.retained_value
        return min(1.0, self.contact_cost / gain) if gain > 0 else 1.0

    def profit(self, churned: NDArray[np.int64], contacted: NDArray[np.bool_]) -> float:
        """Profit of contacting these customers, against contacting nobody."""
        return self.earned(float(churned[contacted].sum()), float(contacted.sum()))

    def earned(self, leavers: Number, contacts: Number) -> Number:
        """Profit of so many contacts, so many of them to customers who would have left."""
        return self.contact_success * self.retained_value * leavers - self.contact_cost * contacts


def evaluate(
    churned: ArrayLike, probability: ArrayLike, threshold: float, economics: Economics | None = None
) -> dict[str, float]:
    """Every metric of :data:`METRICS`. ``churned`` 0/1 (n,), ``probability`` of churning (n,).

    With ``economics`` also ``profit``, of contacting everyone from ``threshold`` on, and ``profit_per_customer``.

    - ``precision_recall_auc`` is average precision, Σ (recallₖ − recallₖ₋₁) · precisionₖ.
    - ``ece``: expected calibration error (Naeini et al. 2015) in ten bins of equal count (adaptive: Nixon et al. 2019),
      Σ_b n_b/n · |mean probability in b − churn rate in b|. Chance alone makes it larger than 0.
    - ``captured_at_10``: share of the churners among the 10 % with the highest probability; ``lift_at_10``: churn rate
      there over the overall rate, which is ten times that share.

    Rows of equal probability on the edge of a bin, or of the top 10 %, are shared out in proportion.
    Precision is 0 where nobody is contacted. With one class only, what means nothing is NaN: ROC AUC, PR AUC, lift and
    capture, and without churners recall and F1. Raises BadInput unless outcomes are 0/1 and probabilities in [0, 1].
    """
    y, p = checked(churned, probability)
    tally = Ranking(y, p).tally(np.ones((1, 1)))
    found = scores(tally, threshold)
    if economics is not None:
        earned = economics.earned(*(part[:, 0] for part in tally.decided(threshold)))
        found |= {"profit": earned, "profit_per_customer": earned / len(y)}
    return {name: float(value[0]) for name, value in found.items()}


def profit_curve(churned: ArrayLike, probability: ArrayLike, economics: Economics) -> dict[str, Any]:
    """Contacts and profit at each threshold from 0 to 1 in hundredths, ready for JSON."""
    y, p = checked(churned, probability)
    leavers, contacts = (part[0] for part in Ranking(y, p).tally(np.ones((1, 1))).decided(THRESHOLDS))
    return {
        "threshold": THRESHOLDS.tolist(),
        "contacts": contacts.astype(int).tolist(),
        "profit": economics.earned(leavers, contacts).tolist(),
    }


def checked(churned: ArrayLike, probability: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    """Outcomes and probabilities as arrays (n,), n > 0. Raises BadInput saying what was found instead."""
    y, p = np.asarray(churned), np.asarray(probability, dtype=np.float64)
    if y.shape != p.shape or y.ndim != 1 or not len(y):
        raise BadInput(f"outcomes {y.shape} and probabilities {p.shape} must be two columns of one length, not empty")
    if not np.isin(y, (0, 1)).all():
        raise BadInput(f"outcomes must be 0 or 1, found {np.unique(y[~np.isin(y, (0, 1))])[:5].tolist()}")
    if not ((p >= 0) & (p <= 1)).all():
        raise BadInput(f"probabilities must lie in [0, 1], found {p[~((p >= 0) & (p <= 1))][:5].tolist()}")
    return y.astype(np.int64), p
