"""The log of the API's predictions, read for the drift report."""

from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from churn.core.features import FEATURE_NAMES
from churn.core.live_requests import LiveRequests, compare_requests
from churn.errors import ContractViolation
from churn.io.prediction_log import read

_DAYS = 28
"""Whole weeks, so that each weekday counts alike."""
_MOST_THEN, _MOST_NOW = 250, 5_000
"""Of one day: five thousand against seven show any difference that the policy cares for, KS 0.08 and more, and of a
service that is busy all day some ten thousand small files are opened, not a quarter of a million."""
_COLUMNS = ["model_version", "model", *FEATURE_NAMES, "churn_probability"]


def live_requests(home: Path, as_of: date, version: str) -> LiveRequests | None:
    """What this version was asked on the day before ``as_of``, against up to 28 days before that; None: nothing."""
    day, since = as_of - timedelta(days=1), as_of - timedelta(days=1 + _DAYS)
    try:
        now = _answered(home, day, day, version, _MOST_NOW)
        if now.empty:
            return None
        then = _answered(home, since, day - timedelta(days=1), version, _MOST_THEN)
    except (ContractViolation, OSError) as e:  # the night's check does not hang on what the API left behind
        return LiveRequests(str(day), str(since), problem=str(e))
    return compare_requests(then, now, day=str(day), since=str(since))


def _answered(home: Path, first: date, last: date, version: str, most: int) -> pd.DataFrame:
    found: pd.DataFrame = read(home, first, last, _COLUMNS, most=most).to_pandas()
    return found[found["model_version"] == version]
