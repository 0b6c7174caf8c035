"""What a version said of each of its nights, with the plan and the tenure that every customer had that night."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd
import pyarrow.parquet as pq

from churn.core.assessment import segments_of
from churn.io.lake import Lake
from churn.io.scorebook import Publication, ScoreBook
from churn.settings import Settings

LOOKED_BACK = 56
"""Nights in which cancellations are watched. Of 18,000 customers they are a million rows."""
_MATURED = 42
"""Nights whose outcomes are shown."""
KINDS = ("plan", "tenure")
_UNKNOWN = "unknown"
_OF_SEGMENTS = ["is_paid_user", "days_since_registration"]


@dataclass(frozen=True, eq=False)
class Night:
    """One publication and its scores."""

    publication: Publication
    scores: pd.DataFrame
    """``customer_id`` ``churn_probability`` ``churn_prediction`` ``plan`` ``tenure``, a row for each customer."""

    @property
    def as_of(self) -> date:
        return self.publication.as_of


def published_nights(settings: Settings, version: str, until: date, horizon_days: int) -> list[Night]:
    """The version's nights up to ``until``, oldest first; as far back as six weeks of them can have matured.

    A night that it scored in the shadow before it went into production counts as its own.
    """
    back = max(LOOKED_BACK, horizon_days + _MATURED)
    since, found = until - timedelta(days=back), dict[date, Night]()
    for shadow in (True, False):  # what was acted upon takes the place of what was only noted
        nights = _read(settings, since, until, lambda p: p.model_version == version, shadow=shadow)
        found |= {night.as_of: night for night in nights}
    return [found[day] for day in sorted(found)]


def nights_of_others(settings: Settings, version: str, since: date, until: date) -> dict[str, list[Night]]:
    """What other versions had published of the nights from ``since`` to ``until``, by version, oldest first."""
    by_version: dict[str, list[Night]] = {}
    for night in _read(settings, since, until, lambda p: p.model_version != version, shadow=False):
        by_version.setdefault(night.publication.model_version, []).append(night)
    return by_version


def _read(
    settings: Settings, since: date, until: date, wanted: Callable[[Publication], bool], *, shadow: bool
) -> list[Night]:
    lake = Lake(settings.data_home)
    with closing(ScoreBook(settings.score_database)) as book:
        return [
            Night(p, _with_segments(lake, p.as_of, book.scores(p, shadow=shadow)))
            for p in book.publications(shadow=shadow, since=since, until=until)
            if p.customers and wanted(p)
        ]


def _with_segments(lake: Lake, as_of: date, scores: pd.DataFrame) -> pd.DataFrame:
    """Unknown where the night's features are not kept any more, or hold one plan or band only."""
    path = lake.features(as_of)
    if not path.is_file():
        return scores.assign(**dict.fromkeys(KINDS, _UNKNOWN))
    file = pq.ParquetFile(path)
    columns = [name for name in _OF_SEGMENTS if name in file.schema_arrow.names]
    features = file.read(columns=["customer_id", *columns]).to_pandas()
    segments = segments_of(features)
    labels = {kind: pd.Series(values, features["customer_id"].to_numpy()) for kind, values in segments.items()}
    return scores.assign(
        **{
            kind: scores["customer_id"].map(labels[kind]).fillna(_UNKNOWN).to_numpy() if kind in labels else _UNKNOWN
            for kind in KINDS
        }
    )
