"""A long table trained on by part of its rows: who churned, and a sample of the others that stands for all of them.

A row weighs as much as the rows of its class that it stands for, 1 / share kept. A sum over weighted rows is then that
over the whole table, without bias and whatever the model (Horvitz and Thompson, A Generalization of Sampling Without
Replacement, 1952), so that one mechanism corrects fits, log loss, calibration, base rate and medians, and settings keep
their meaning: a penalty meets the loss of the whole table. King and Zeng, Logistic Regression in Rare Events Data
(2001), call it weighting; their other way, a shift of the intercept, is right for plain logistic models only.

Each row is drawn by itself, not each customer with all rows: rows of one customer repeat each other, so that as many
rows of more customers say more. Folds part the customers of the rows that were drawn, and stay as sound as they were.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from churn.core.arrays import Floats
from churn.core.evaluation import evaluate
from churn.core.weighted_metrics import Ranking, scores

_DIGITS = 32


@dataclass(frozen=True)
class Shares:
    """Of those who stayed and of those who churned: how many there are, and the share of them to keep."""

    stayed: float
    churned: float

    @classmethod
    def for_rows(cls, rows: int, stayed: int, churned: int) -> "Shares":
        """To keep some ``rows``: everyone who churned unless they fill half of them, and of the others what fits."""
        of_churned = min(churned, max(rows // 2, rows - stayed))
        return cls(_share(rows - of_churned, stayed), _share(of_churned, churned))


def _share(wanted: int, there: int) -> float:
    return min(1.0, wanted / there) if there else 1.0


def drawn_sql(shares: Shares, seed: int) -> str:
    """Whether a row of a panel (``as_of``, ``customer_id``, ``churned``) is kept: says the same in any order of rows,
    on any engine and at any time, and of a smaller share nothing that a larger one leaves out.
    """
    drawn = f"md5(concat('{seed} ', cast(as_of as varchar), ' ', customer_id))"
    kept = [
        f"churned = {outcome}" if share >= 1 else f"churned = {outcome} and {drawn} < '{_limit(share)}'"
        for outcome, share in ((0, shares.stayed), (1, shares.churned))
    ]
    return " or ".join(f"({condition})" for condition in kept)


def _limit(share: float) -> str:
    """What so large a share of all sums, as hexadecimal text, is below."""
    return format(int(share * 16**_DIGITS), f"0{_DIGITS}x")


def class_weights(churned: NDArray[np.int64], stayed_there: int, churned_there: int) -> Floats:
    """Rows that each row (n,) stands for, of so many in the whole table; they add up to all of these.

    Given how many were drawn, every choice of as many was equally likely: what was drawn counts, not what was asked.
    """
    kept = int(churned.sum())
    stayed = len(churned) - kept
    return np.where(churned == 1, churned_there / max(kept, 1), stayed_there / max(stayed, 1))


def metrics_of(
    churned: NDArray[np.int64], probability: Floats, threshold: float, weights: Floats | None
) -> dict[str, float]:
    """The metrics of :func:`churn.core.evaluation.evaluate`, of the rows that the weighted ones stand for."""
    if weights is None:
        return evaluate(churned, probability, threshold)
    found = scores(Ranking(churned, probability, np.arange(len(churned))).tally(weights[None, :]), threshold)
    return {name: float(value[0]) for name, value in found.items()}


def said_of_sample(churned: NDArray[np.int64], weights: Floats, rows_of_the_trees: int) -> dict[str, float]:
    """For a model's card: rows there were and were used, the share of each class that this is, rows the trees saw."""
    stayed, left = (float(weights[churned == outcome].sum()) for outcome in (0, 1))
    used = int(churned.sum())
    return {
        "rows_in_all": round(stayed + left),
        "rows_used": len(churned),
        "share_of_stayed": (len(churned) - used) / stayed,
        "share_of_churned": used / left,
        "rows_of_the_trees": rows_of_the_trees,
    }
