"""What a simulated customer feels and remembers, unseen: the state that drives visits and the risk to cancel."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from churn.core.events import DAY_MS
from churn.core.simulated_customers import Bools, Customers, Floats, Ints
from churn.core.simulated_sessions import HANGING, Sessions

_WEEKDAY = (1.05, 1.05, 1.05, 1.05, 1.05, 0.90, 0.85)
"""Monday to Sunday; people listen at work."""
_MOOD_KEPT = float(np.exp(-1 / 30))
"""Moods last for weeks (30 days), so the last fortnight says something about the next."""
_MOOD_SPREAD = 0.65
_SHOCK, _SHOCK_ABOVE = -3.0, 2.60
"""A day on which something goes badly wrong for a customer: about once in nine months (a normal deviate above 2.70).
The tail of the risk."""
_KEPT = float(np.exp(-1 / 10))
"""Dislikes, adverts and troubles are remembered for about ten days."""
_MAX_V = 0.5


@dataclass
class Hidden:
    """One value each per customer."""

    mood: Floats
    dislikes: Floats
    adverts: Floats
    troubles: Floats
    downgraded: Floats

    @classmethod
    def begin(cls, rng: np.random.Generator, n: int) -> Self:
        """Moods as they are in the long run, and no memories."""
        return cls(_MOOD_SPREAD * rng.standard_normal(n), *(np.zeros(n) for _ in range(4)))

    def reset(self, rows: Ints) -> None:
        """Other customers take these places."""
        for f in fields(self):
            getattr(self, f.name)[rows] = 0.0

    def rates(self, who: Customers, paid: Bools, midnight: int, weekday: int) -> tuple[Floats, Floats]:
        """Of each customer: sessions expected on the day, and the probability that one of them is the last."""
        visits = who.visits * np.exp(0.20 * self.mood) * _WEEKDAY[weekday]
        tenure = np.maximum(midnight - who.registered_ms, 0) / DAY_MS
        log_v = (
            -6.30
            + who.frailty
            - 1.20 * self.mood
            + 0.45 * np.log1p(self.dislikes)
            + 0.25 * np.log1p(self.adverts)
            + 0.35 * np.log1p(self.troubles)
            + 0.90 * self.downgraded
            - 0.20 * paid
            + 0.60 * np.exp(-tenure / 21)  # newcomers are still making up their minds
        )
        return visits, np.minimum(np.exp(log_v), _MAX_V)

    def remember(self, rng: np.random.Generator, day: Sessions, downgraded: Ints) -> None:
        """What the day's sessions leave behind, and how moods move on."""
        n, theirs = len(self.mood), day.customer >= 0
        customer, pages = day.customer[theirs], day.pages[:, theirs]

        def total(*names: str) -> Floats:
            rows = [HANGING.index(name) for name in names]
            return np.bincount(customer, weights=pages[rows].sum(axis=0), minlength=n).astype(np.float64)

        self.dislikes = _KEPT * self.dislikes + total("Thumbs Down")
        self.adverts = _KEPT * self.adverts + total("Roll Advert")
        self.troubles = _KEPT * self.troubles + total("Help", "Error")
        self.downgraded *= _KEPT
        self.downgraded[downgraded] = 1.0
        # The last draw of the day and one row a customer: those who come in a later period change nothing for others.
        drift, luck = rng.standard_normal((n, 2)).T
        fresh = _MOOD_SPREAD * np.sqrt(1 - _MOOD_KEPT**2) * drift
        self.mood = _MOOD_KEPT * self.mood + fresh + _SHOCK * (luck > _SHOCK_ABOVE)
