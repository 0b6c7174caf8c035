"""What the nightly checks found, as the API says it."""

from typing import Any

from churn.io.checks import Check, Checks
from serving.list_schemas import CheckInfo, DriftInfo, Monitoring, PerformanceInfo, PerformanceNight


def monitoring_of(checks: Checks, nights: int) -> Monitoring:
    """The newest ``nights`` checks of each kind. Raises Unavailable."""
    drift, performance = checks.all("drift", limit=nights), checks.all("performance", limit=nights)
    early_warning = checks.all("early_warning", limit=1)
    return Monitoring(
        drift=[DriftInfo(**_said(check), drifted=check.detail.get("drifted", [])) for check in reversed(drift)],
        performance=_performance(performance[0]) if performance else None,
        performance_nights=[_night(check) for check in reversed(performance) if check.detail.get("realised")],
        early_warning=CheckInfo(**_said(early_warning[0])) if early_warning else None,
    )


def _said(check: Check) -> dict[str, Any]:
    return {name: getattr(check, name) for name in CheckInfo.model_fields}


def _performance(check: Check) -> PerformanceInfo:
    detail = check.detail
    return PerformanceInfo(
        **_said(check),
        expected=detail.get("expected") or None,
        realised=detail.get("realised"),
        limit=detail.get("limit"),
    )


def _night(check: Check) -> PerformanceNight:
    realised = check.detail["realised"]
    figures = {name: realised.get(name) for name in PerformanceNight.model_fields if name not in CheckInfo.model_fields}
    return PerformanceNight(as_of=check.as_of, model_version=check.model_version, alarm=check.alarm, **figures)
