"""The threshold against what contacting everybody from it on is expected to earn, of one publication's scores."""

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

from churn.io.scorebook import Publication, ScoreBook
from churn.settings import Settings

_EACH = 98
"""Thresholds evenly by rank, and as many evenly by probability: with 0, the published one and the one from which on
there is nobody, at most 199."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Counts at each threshold, ascending. What they are worth is a matter of settings."""

    threshold: NDArray[np.float64]
    customers: NDArray[np.int64]
    """With at least that probability."""
    leavers: NDArray[np.float64]
    """How many of them are expected to leave: the sum of their probabilities."""


def expected_profit(settings: Settings, leavers: float, contacts: int = 1) -> float:
    """Of contacting so many customers, so many of whom are expected to leave, against contacting nobody."""
    return settings.contact_success * settings.retained_value * leavers - settings.contact_cost * contacts


def curve(probability: NDArray[np.float64], published: float) -> Curve:
    """``probability`` (n,) ascending; the curve has the threshold ``published``. Empty without customers.

    Each other threshold is the probability of a customer: between two neighbours nothing changes.
    """
    if not len(probability):
        return Curve(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0))
    steps = np.unique(probability)
    ranks = np.linspace(0, len(steps) - 1, _EACH).round().astype(np.int64)
    spread = np.searchsorted(steps, np.linspace(steps[0], steps[-1], _EACH))
    nobody = min(1.0, (np.floor(steps[-1] * 1000) + 1) / 1000)
    threshold = np.unique(np.concatenate([steps[ranks], steps[spread], [0.0, published, nobody]]))
    first = np.searchsorted(probability, threshold)
    # Added up from the riskiest on; the sum over nobody comes last.
    leavers = np.append(np.cumsum(probability[::-1])[::-1], 0.0)
    return Curve(threshold, len(probability) - first, leavers[first])


class Curves:
    """The curve of the publication that was asked for last, computed once."""

    def __init__(self, book: ScoreBook) -> None:
        self._book = book
        self._last: tuple[tuple[date, str, datetime], Curve] | None = None

    def of(self, publication: Publication) -> Curve:
        """Two requests at the same moment may both compute it; each keeps a whole one."""
        identity = (publication.as_of, publication.model_version, publication.published_at)
        last = self._last
        if last is None or last[0] != identity:
            last = self._last = identity, curve(self._book.profile(publication), publication.threshold)
        return last[1]
