"""How good a set of probabilities is, and what acting on it would earn."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as sk

METRICS = (
    "accuracy", "precision", "recall", "f1_score", "roc_auc", "precision_recall_auc", "log_loss", "brier",
)  # fmt: skip


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
        kept = self.contact_success * self.retained_value * float(churned[contacted].sum())
        return kept - self.contact_cost * float(contacted.sum())


def evaluate(churned: ArrayLike, probability: ArrayLike, threshold: float) -> dict[str, float]:
    """Every metric of :data:`METRICS`. ``churned`` 0/1 (n,), ``probability`` of churning (n,).

    Where only one class is present, ROC AUC and PR AUC mean nothing and are NaN.
    """
    y = np.asarray(churned, dtype=np.int64)
    p = np.asarray(probability, dtype=np.float64)
    decided = p >= threshold
    both = 0 < y.sum() < len(y)
    return {
        "accuracy": float(sk.accuracy_score(y, decided)),
        "precision": float(sk.precision_score(y, decided, zero_division=0)),
        "recall": float(sk.recall_score(y, decided, zero_division=0)),
        "f1_score": float(sk.f1_score(y, decided, zero_division=0)),
        "roc_auc": float(sk.roc_auc_score(y, p)) if both else float("nan"),
        "precision_recall_auc": float(sk.average_precision_score(y, p)) if both else float("nan"),
        "log_loss": float(sk.log_loss(y, p, labels=[0, 1])),
        "brier": float(np.mean((p - y) ** 2)),
    }


def profit_curve(churned: ArrayLike, probability: ArrayLike, economics: Economics) -> dict[str, Any]:
    """Contacts and profit at each threshold from 0 to 1 in hundredths, ready for JSON."""
    y = np.asarray(churned, dtype=np.int64)
    p = np.asarray(probability, dtype=np.float64)
    thresholds = np.round(np.linspace(0, 1, 101), 2)
    chosen = [p >= t for t in thresholds]
    return {
        "threshold": thresholds.tolist(),
        "contacts": [int(c.sum()) for c in chosen],
        "profit": [economics.profit(y, c) for c in chosen],
    }
