"""Build features: one row per customer at risk at a cut-off, from what was known before it."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from churn.errors import NotReady
from churn.io.engines.chosen import engine_of
from churn.io.lake import Lake, write_parquet
from churn.io.point_in_time import features_at
from churn.settings import Settings


@dataclass(frozen=True)
class FeaturesReport:
    """What was built and where it lies."""

    as_of: str
    log_ends: str
    """The last day with events before the cut-off."""
    customers: int
    features: int
    path: str


def build_features(settings: Settings, as_of: date, *, known_at: Literal["now", "then"] = "now") -> FeaturesReport:
    """Write ``features/as_of=<date>/features.parquet``. The same events again give the same bytes.

    Raises NotReady where there is no log, or where it ended days before the cut-off: then every customer would seem
    to have gone quiet.
    """
    lake = Lake(settings.data_home)
    lake.event_files(before=as_of)  # says what is missing when there is nothing
    last = max(day for day in lake.event_days() if day < as_of)
    missing = (as_of - last).days - 1
    if missing > settings.longest_gap_days:
        raise NotReady(
            f"the log ends on {last} and lacks {missing} days before the cut-off {as_of}: everybody would seem to "
            f"have gone quiet. Ingest the days since, or use the cut-off {last + timedelta(days=1)}"
        )
    table = features_at(lake, as_of, known_at=known_at, engine=engine_of(settings))
    if table.num_rows == 0:
        raise NotReady(f"no customer is at risk as of {as_of}, by what was known {known_at}")
    path = lake.features(as_of, known_at=known_at)
    write_parquet(path, table)
    return FeaturesReport(str(as_of), str(last), table.num_rows, table.num_columns - 1, str(path))
