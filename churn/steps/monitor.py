"""Monitor: is the model in production still right? Outcomes where they are known, estimates and warnings before."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn.core.events import SourceContract
from churn.core.monitoring_words import waiting_words, warning_words, watching_words
from churn.core.realised_performance import POOLED_NIGHTS
from churn.errors import NotReady
from churn.io.checks import Checks
from churn.io.contracts import contract_of
from churn.io.lake import Lake, write_json, write_text
from churn.io.monitor_report import monitor_page
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings
from churn.steps.fit import economics
from churn.steps.performance import NightLine, Realised, flat, lines, mature, realised, with_outcomes
from churn.steps.published_nights import Night, nights_of_others, published_nights
from churn.steps.watch_cancellations import Watched, holdout_level, watch_cancellations


@dataclass(frozen=True)
class MonitorReport:
    """What the night's look at the Production version came to."""

    as_of: str
    model_version: str
    alarm: bool
    degraded: bool
    early_warnings: tuple[str, ...]
    """A sentence for each segment and direction that rings."""
    summary: str
    expected: dict[str, Any]
    """What the newest scores say of themselves, an estimate; empty while the version has none."""
    realised: dict[str, Any] | None
    """Of the nights that matured last, with intervals, and what had been expected of them; None before the first."""
    report: str
    """Path of the HTML page."""


@dataclass(frozen=True, eq=False)
class _Found:
    """Everything that the records and the page are made of."""

    lines: list[NightLine]
    realised: Realised | None
    others: dict[str, Realised]
    watched: Watched | None
    performance: str
    """What outcomes, or the wait for them, come to in words."""
    watching: str
    warnings: tuple[str, ...]


def monitor(settings: Settings, as_of: date, *, progress: Callable[[str], None] = lambda _: None) -> MonitorReport:
    """Judge the Production version by what is known at ``as_of``, record the checks and write the page.

    Only events before ``as_of`` are read; the same date again gives the same. Raises NotReady without a model there.
    """
    registry, lake = Registry(settings), Lake(settings.data_home)
    production = registry.production()
    if production is None:
        raise NotReady("no model is in production: run `churn train` (or the DAG retrain_model) first")
    contract = _contract(settings, production)
    progress("reading what was published")
    nights = published_nights(settings, production.version, as_of, contract.horizon_days)
    found = _look(settings, registry, production, nights, as_of, contract, progress)
    folder = lake.reports / "monitoring" / f"as_of={as_of}"
    degraded = found.realised is not None and found.realised.verdict.degraded
    report = MonitorReport(
        as_of=str(as_of),
        model_version=production.version,
        alarm=degraded or bool(found.warnings),
        degraded=degraded,
        early_warnings=found.warnings,
        summary="; ".join(
            [found.watching, found.performance]
            if found.warnings and not degraded
            else [found.performance, found.watching]
        ),
        expected=_expected(found.lines),
        realised=flat(found.realised) if found.realised else None,
        report=str(folder / "monitor.html"),
    )
    _record(settings, as_of, report, found)
    _write(folder, report, found, contract)
    return report


def _contract(settings: Settings, version: ModelVersion) -> SourceContract:
    """With the horizon that the version was trained for, whatever the settings say by now."""
    contract = contract_of(settings)
    return contract.model_copy(update={"horizon_days": int(version.tags.get("horizon_days", contract.horizon_days))})


def _look(
    settings: Settings, registry: Registry, production: ModelVersion, nights: list[Night], as_of: date,
    contract: SourceContract, progress: Callable[[str], None],
) -> _Found:  # fmt: skip
    lake = Lake(settings.data_home)
    known, horizon, megabytes = lake.known_until(as_of), contract.horizon_days, settings.engine_megabytes
    matured = mature(nights, known, horizon)
    progress(f"{len(nights)} nights of version {production.version}, of {len(matured)} the outcomes are known")
    rows = pd.DataFrame({"as_of": []})
    if matured:
        rows = with_outcomes(lake, matured, as_of, contract, megabytes=megabytes)
    holdout = registry.metrics(production).get("roc_auc")
    money = economics(settings)
    judged = realised(rows, matured[-1].publication.threshold, money, holdout) if matured else None
    watched = None
    if contract.churn == "cancel":
        progress("counting cancellations")
        level = holdout_level(registry, production)
        watched = watch_cancellations(lake, nights, as_of, horizon, level, megabytes=megabytes)
    warnings: tuple[str, ...] = ()
    if watched:
        warnings = tuple(warning_words(watched.warning, watched.nights, c) for c in watched.warning.ringing)
    return _Found(
        lines=lines(nights, rows, money),
        realised=judged,
        others=_others(settings, registry, production, as_of, known, contract),
        watched=watched,
        performance=judged.verdict.words if judged else waiting_words(nights[0].as_of if nights else None, horizon),
        watching=watching_words(len(watched.nights) if watched else None, warnings, daily=contract.churn == "cancel"),
        warnings=warnings,
    )


def _others(
    settings: Settings, registry: Registry, production: ModelVersion, as_of: date, known: date, contract: SourceContract
) -> dict[str, Realised]:
    """Versions of the same horizon that are not in production any more: shown, not judged."""
    lake, horizon = Lake(settings.data_home), contract.horizon_days
    last = known - timedelta(days=horizon)
    nights = nights_of_others(settings, production.version, last - timedelta(days=POOLED_NIGHTS - 1), last)
    same = {v.version for v in registry.versions() if _contract(settings, v).horizon_days == horizon}
    found = {
        version: realised(
            with_outcomes(lake, own, as_of, contract, megabytes=settings.engine_megabytes),
            own[-1].publication.threshold, economics(settings), None,
        )
        for version, own in nights.items()
        if version in same
    }  # fmt: skip
    return {version: other for version, other in found.items() if other}


def _expected(nights: Sequence[NightLine]) -> dict[str, Any]:
    return {"night": str(nights[-1].as_of), **asdict(nights[-1].expected)} if nights else {}


def _record(settings: Settings, as_of: date, report: MonitorReport, found: _Found) -> None:
    judged = found.realised
    performance = {
        "expected": report.expected,
        "realised": report.realised,
        "limit": judged.verdict.limit if judged else None,
        "judged": bool(judged and judged.verdict.judged),
        "segments": asdict(judged.assessment)["segments"] if judged else {},
        "other_versions": {version: flat(other) for version, other in found.others.items()},
    }
    with closing(Checks(settings.score_database)) as checks:
        checks.record(
            as_of, "performance", report.model_version,
            alarm=report.degraded, summary=found.performance, detail=performance,
        )  # fmt: skip
        checks.record(
            as_of, "early_warning", report.model_version,
            alarm=bool(found.warnings), summary=found.watching, detail=_of_charts(found.watched),
        )  # fmt: skip


def _of_charts(watched: Watched | None) -> dict[str, Any]:
    """The counts of every night, and where each chart stands."""
    if watched is None:
        return {"nights": []}
    charts = [
        {
            "segment": chart.segment, "side": chart.side, "alarm": bool(chart.alarms[-1]),
            "statistic": chart.statistic.tolist(),
            "threshold": [value if np.isfinite(value) else None for value in chart.threshold.tolist()],
        }
        for chart in watched.warning.charts
    ]  # fmt: skip
    return {
        "nights": [str(night) for night in watched.nights], "segments": list(watched.warning.segments),
        "observed": watched.warning.observed.tolist(), "expected": watched.warning.expected.tolist(), "charts": charts,
    }  # fmt: skip


def _write(folder: Path, report: MonitorReport, found: _Found, contract: SourceContract) -> None:
    """The page, and before it the same as numbers: who finds the page finds both."""
    facts: Mapping[str, Any] = {
        **{name: value for name, value in asdict(report).items() if name != "report"},
        "horizon_days": contract.horizon_days,
        "nights": [asdict(line) for line in found.lines],
        "assessment": asdict(found.realised.assessment) if found.realised else None,
        "verdict": asdict(found.realised.verdict) if found.realised else None,
        "other_versions": {version: flat(other) for version, other in found.others.items()},
        "watch": _of_charts(found.watched),
    }
    write_json(folder / "monitor.json", facts)
    write_text(folder / "monitor.html", monitor_page(facts))
