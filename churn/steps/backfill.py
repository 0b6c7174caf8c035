"""Backfill: score many past nights in one process, oldest first; what is published already is passed over."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta

from churn.errors import BadInput, NotReady
from churn.io.registry import Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.forecaster import forecaster
from churn.steps.score import score


@dataclass(frozen=True)
class BackfillReport:
    """What became of the nights."""

    first: str
    last: str
    model_version: str
    scored: int
    passed_over: int
    """Those that this version had published before."""


def backfill(
    settings: Settings,
    first: date,
    last: date,
    *,
    again: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> BackfillReport:
    """Score every night from ``first`` to ``last`` with the Production version, as ``score`` does each.

    ``again``: also those that it has published. The first night that cannot be scored ends it, with that night's error;
    called again, it goes on from there. Raises BadInput where the version knows the outcomes of a night.
    """
    if last < first:
        raise BadInput(f"the last night, {last}, is before the first, {first}")
    version = forecaster(Registry(settings), first).version
    with closing(ScoreBook(settings.score_database)) as book:
        found = book.publications(since=first, until=last)
    done = set() if again else {p.as_of for p in found if p.model_version == version}
    nights = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    wanted = [night for night in nights if night not in done]
    for number, night in enumerate(wanted, start=1):
        report = score(settings, night)
        if report.model_version != version:
            raise NotReady(
                f"version {report.model_version} went into production meanwhile and scored {night}: call it again, and "
                "all nights are of one version"
            )
        progress(f"{night}: {report.customers:,} customers, version {report.model_version} ({number} of {len(wanted)})")
    return BackfillReport(str(first), str(last), version, len(wanted), len(nights) - len(wanted))
