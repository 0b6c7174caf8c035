"""A change in the simulated world on a known day, so that what notices it can be measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from churn.core.arrays import Bools, Floats


@dataclass(frozen=True)
class Change:
    """From day ``day`` on (0 is the first that is logged), customers behave, or pages are called, otherwise."""

    day: int
    hazard: float = 1.0
    """Factor on the probability that a visit is the last: 2 when a price rise doubles it."""
    plan: Literal["free", "paid"] | None = None
    """Whom that factor concerns, by their plan at the start of the day; None: everybody."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """New name of each page that gets one, as the raw log shows it."""

    def last_visit(self, v: Floats, paid: Bools, day: int) -> Floats:
        """The probabilities ``v`` (n,) of ``day``, after the change where it has come."""
        if day < self.day or self.hazard == 1:
            return v
        concerned = True if self.plan is None else paid == (self.plan == "paid")
        return np.asarray(np.where(concerned, np.minimum(self.hazard * v, 1.0), v))

    def pages(self, names: tuple[str, ...], day: int) -> tuple[str, ...]:
        """What the pages are called on ``day``."""
        return names if day < self.day else tuple(self.renamed.get(name, name) for name in names)
