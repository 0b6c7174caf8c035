"""What Prometheus is told of the newest nightly checks: each figure, what it means, and where it is in a check."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from churn.io.checks import Check, What
from serving.scores import age_days


class Figure(NamedTuple):
    """A gauge of the newest check of a kind."""

    name: str
    meaning: str
    of: Callable[[Check], float | None]
    """None: not known yet."""


def _alarm(check: Check) -> float:
    return check.alarm


def _age(check: Check) -> float:
    return age_days(check.as_of)


def _features(check: Check) -> Mapping[str, Any]:
    found: Mapping[str, Any] = check.detail.get("features", {})
    return found


def _drifted(check: Check) -> float:
    return sum(bool(feature.get("drifted")) for feature in _features(check).values())


def _in(part: str, name: str) -> Callable[[Check], float | None]:
    """A number in a part of what was found; the whole part is null while nothing is known."""
    return lambda check: (check.detail.get(part) or {}).get(name)


FIGURES: Mapping[What, tuple[Figure, ...]] = {
    "drift": (
        Figure("churn_drift_alarm", "Whether the newest check of drift is an alarm", _alarm),
        Figure("churn_drift_age_days", "Days from that check's cut-off to today", _age),
        Figure("churn_drift_features_compared", "Features that it compared", lambda c: len(_features(c))),
        Figure("churn_drift_features_drifted", "Those of them that have drifted", _drifted),
        Figure("churn_drift_nights", "Nights of alarm in a row, that one included", lambda c: c.detail.get("nights")),
    ),
    "performance": (
        Figure("churn_performance_alarm", "Whether outcomes say that the model has degraded", _alarm),
        Figure("churn_performance_age_days", "Days from that check's cut-off to today", _age),
        Figure(
            "churn_performance_roc_auc", "ROC AUC of the nights whose outcomes are known", _in("realised", "roc_auc")
        ),
        Figure("churn_performance_roc_auc_low", "Lower end of its 95 % interval", _in("realised", "roc_auc_low")),
        Figure("churn_performance_roc_auc_high", "Upper end of its 95 % interval", _in("realised", "roc_auc_high")),
        Figure(
            "churn_performance_roc_auc_expected",
            "What the scores of those nights said of themselves",
            _in("realised", "expected_roc_auc"),
        ),
        Figure(
            "churn_performance_roc_auc_limit",
            "Below it, interval and all, the model has degraded",
            lambda c: c.detail.get("limit"),
        ),
        Figure(
            "churn_performance_roc_auc_estimate",
            "What the newest scores say of themselves: no outcome is known",
            _in("expected", "roc_auc"),
        ),
    ),
    "early_warning": (
        Figure("churn_early_warning_alarm", "Whether customers leave faster or slower than the scores expect", _alarm),
        Figure("churn_early_warning_age_days", "Days from that check's cut-off to today", _age),
    ),
}
