"""Request a retraining: whether what tonight's checks found is enough for one, and in which words."""

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from itertools import takewhile

from churn.io.checks import Check, Checks, What
from churn.io.registry import Registry
from churn.settings import Settings

_NAMES: dict[What, str] = {"performance": "degradation", "early_warning": "early warning", "drift": "drift"}
KINDS: tuple[What, ...] = tuple(_NAMES)


@dataclass(frozen=True)
class RetrainRequest:
    """Whether a retraining is asked for, and why or why not."""

    as_of: str
    requested: bool
    reason: str


def request_retraining(settings: Settings, as_of: date, kinds: Collection[What] = KINDS) -> RetrainRequest:
    """Ask when tonight's checks of the Production version show degradation, an early warning, or drift that persists.

    Drift alone asks only after ``settings.drift_nights`` checks in a row: what passes by itself needs no new model.
    A check that was not made tonight says nothing. ``kinds``: the checks that are looked at; who has just made some of
    them asks for these, so that one alarm is not two requests.
    """
    production = Registry(settings).production()
    if production is None:
        return RetrainRequest(str(as_of), False, "no model is in production: there is nothing to retrain")
    with closing(Checks(settings.score_database)) as checks:
        alarms = {
            what: _alarms(checks.all(what, until=as_of), as_of, production.version) for what in KINDS if what in kinds
        }
    enough = dict.fromkeys(_NAMES, 1) | {"drift": settings.drift_nights}
    reasons = [_said(what, found) for what, found in alarms.items() if found and _nights(found) >= enough[what]]
    if reasons:
        return RetrainRequest(str(as_of), True, "; ".join(reasons))
    if drift := alarms.get("drift"):
        so_far = f"drift has not persisted yet, {_nights(drift)} of {settings.drift_nights} nights"
        return RetrainRequest(str(as_of), False, f"{so_far}: {_said('drift', drift)}")
    return RetrainRequest(str(as_of), False, f"no alarm as of {as_of} for version {production.version}")


def _alarms(newest_first: Sequence[Check], as_of: date, version: str) -> list[Check]:
    """The alarms in a row that end tonight, newest first."""
    own = [check for check in newest_first if check.model_version == version]
    return list(takewhile(lambda check: check.alarm, own)) if own and own[0].as_of == as_of else []


def _nights(alarms: Sequence[Check]) -> int:
    """How many nights it has gone on, by the check's own count where it keeps one: it knows which gaps break a row."""
    counted = alarms[0].detail.get("nights")
    return counted if isinstance(counted, int) else len(alarms)


def _said(what: What, alarms: Sequence[Check]) -> str:
    first = alarms[min(_nights(alarms), len(alarms)) - 1]
    return f"{_NAMES[what]} since {first.as_of}: {alarms[0].summary}"
