"""Build features: one row per customer at risk at a cut-off, from what was known before it."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from churn.io.lake import Lake, write_parquet
from churn.io.point_in_time import features_at
from churn.settings import Settings


@dataclass(frozen=True)
class FeaturesReport:
    """What was built and where it lies."""

    as_of: str
    customers: int
    features: int
    path: str


def build_features(settings: Settings, as_of: date, *, known_at: Literal["now", "then"] = "now") -> FeaturesReport:
    """Write ``features/as_of=<date>/features.parquet``. The same events again give the same bytes."""
    lake = Lake(settings.data_home)
    table = features_at(lake, as_of, known_at=known_at)
    write_parquet(lake.features(as_of), table)
    return FeaturesReport(str(as_of), table.num_rows, table.num_columns - 1, str(lake.features(as_of)))
