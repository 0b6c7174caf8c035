"""Which alarms are news. An alarm that goes on night after night is told once, and again when it persists."""

from collections.abc import Set
from contextlib import closing
from datetime import date
from typing import Any

from churn.io.checks import Check, Checks, What
from churn.settings import Settings

Known = Set[tuple[str, str, str]]
"""(ISO date, what, model version) of alarms on record."""


def known_alarms(as_of: date) -> Known:
    """Alarms on record for that date and, of each kind and version, for the last date before it that has any check.

    To be asked before a check runs: what it finds replaces what it found before for the same date.
    """
    with closing(Checks(Settings().score_database)) as checks:
        recent = {kind: checks.all(kind, until=as_of, limit=20) for kind in _KINDS}
    return {
        (str(check.as_of), check.what, check.model_version)
        for found in recent.values()
        for check in _latest_and_before(found, as_of)
        if check.alarm
    }


_KINDS: tuple[What, ...] = ("drift", "early_warning", "performance")


def _latest_and_before(found: list[Check], as_of: date) -> list[Check]:
    """Those of the date itself, and those of the last date before it; ``found`` is newest first."""
    before = [check for check in found if check.as_of < as_of]
    return [c for c in found if c.as_of == as_of] + [c for c in before if c.as_of == before[0].as_of]


def drift_is_news(report: dict[str, Any], known: Known) -> bool:
    """On the first night of an episode and on the night that makes it persist; not when that night is run again."""
    told = (report["as_of"], "drift", report["model_version"]) in known
    return report["alarm"] and not told and report["nights"] in (1, Settings().drift_nights)


def monitoring_is_news(report: dict[str, Any], known: Known) -> bool:
    """When a degradation or an early warning begins."""
    began = {"performance": report["degraded"], "early_warning": bool(report["early_warnings"])}
    version = report["model_version"]
    going_on = {what for _, what, model in known if model == version}
    return any(alarm and what not in going_on for what, alarm in began.items())
