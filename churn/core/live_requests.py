"""What the API was asked on one day, against the weeks before it: something to know, never an alarm.

Who asks is a selection: a campaign, one caller's test, a customer looked up forty times. The nightly check takes every
customer at risk once, and the error rate of its tests is measured; of requests, nobody has measured one. So a
difference here may explain scores that look odd; it is no reason to train again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from churn.core.drift import DriftPolicy, DriftReference, DriftReport, compare
from churn.core.features import CORE_FEATURES, FEATURE_NAMES
from churn.core.model import CORE, FULL

_SCORE = "churn_probability"
_FEWEST = 500
"""On either side: of two samples of 500 from one distribution, KS is beyond 0.103 once in a hundred times."""
_NAMED = 5


@dataclass(frozen=True)
class LiveRequests:
    """What the requests of a day came to."""

    day: str
    since: str
    """The first of the days that they are compared with."""
    compared: Mapping[str, DriftReport] = field(default_factory=dict)
    """By the model that answered."""
    too_few: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By model: requests of the days before and of the day, where these are not enough to compare."""
    problem: str | None = None
    """Why the log could not be read."""

    @property
    def summary(self) -> str:
        """For the sentence of the night's check; empty where nothing was compared."""
        if self.problem:
            return f"live requests were not looked at: {self.problem}"
        said = "; ".join(f"{model} model, {_said(found)}" for model, found in self.compared.items())
        return f"live requests of {self.day}, which ring no alarm: {said}" if said else ""

    @property
    def detail(self) -> dict[str, Any]:
        """For the record of the night's check."""
        return {
            "day": self.day,
            "since": self.since,
            "problem": self.problem,
            "too_few": {model: list(rows) for model, rows in self.too_few.items()},
            "models": {
                model: {
                    "rows": {"before": found.rows_reference, "day": found.rows_current},
                    "differ": {f.name: f.why for f in found.drifted_features},
                }
                for model, found in self.compared.items()
            },
        }


def compare_requests(then: pd.DataFrame, now: pd.DataFrame, *, day: str, since: str) -> LiveRequests:
    """Compare tables with ``model``, every feature and ``churn_probability``, one row a customer scored."""
    compared, too_few, policy = {}, {}, DriftPolicy()
    for model, names in ((FULL, FEATURE_NAMES), (CORE, tuple(f.name for f in CORE_FEATURES))):
        # Ages grow by themselves, and requests of four weeks have no one date to set them against.
        wanted = [*(name for name in names if name not in policy.ages), _SCORE]
        before, found = (side.loc[side["model"] == model, wanted] for side in (then, now))
        if min(len(before), len(found)) >= _FEWEST:
            compared[model] = compare(DriftReference.of(before), found, policy=policy)
        elif len(found):
            too_few[model] = (len(before), len(found))
    return LiveRequests(day, since, compared, too_few)


def _said(found: DriftReport) -> str:
    moved = found.drifted_features
    if not moved:
        return f"as in the days before ({found.rows_current:,} requests against {found.rows_reference:,})"
    named = ", ".join(f"{f.name} ({f.why})" for f in moved[:_NAMED])
    more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    return f"{len(moved)} of {len(found.features)} columns differ from the days before: {named}{more}"
