"""The gate: all that speaks for or against a challenger, gathered and judged. Nothing is written."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from churn.core.assessment import segments_of
from churn.core.model import ChurnModel
from churn.core.promotion import Decision, PromotionPolicy, decide, guard
from churn.errors import ContractViolation
from churn.io.lake import Lake, fingerprint
from churn.io.ledger import Ledger, rolled_back_from
from churn.io.panel_file import PanelFile
from churn.io.registry import Models, ModelVersion, Registry
from churn.settings import Settings
from churn.steps.behaviour import behaviour_of
from churn.steps.fit import economics
from churn.steps.live import live_evidence

GATE = "the gate"
"""Who decides when nobody was asked."""

_TAGS = ("as_of", "holdout_snapshot", "contract", "horizon_days", "panel_sha256")


@dataclass(frozen=True)
class _Measured:
    """The challenger's hold-out, both versions, and what is asked."""

    holdout: pd.DataFrame
    old: Models
    new: Models
    policy: PromotionPolicy


def judge(settings: Settings, champion: ModelVersion | None, challenger: ModelVersion) -> Decision:
    """Whether the challenger may replace the champion.

    Its behaviour, its full and its core model on the latest hold-out, and where there are any, its shadow scores
    against what happened. Each can say no; the full models decide.
    """
    registry, lake = Registry(settings), Lake(settings.data_home)
    with closing(Ledger(settings.score_database)) as ledger:
        back = rolled_back(ledger, challenger.version)
    if fault := back or _not_measurable(lake, champion, challenger):
        return Decision(False, (fault,), {})
    panel = PanelFile(_panel(lake, challenger.tags), megabytes=settings.engine_megabytes, home=lake.home)
    holdout = panel.holdout(settings.training_rows)
    measured_on = {name: challenger.tags[name] for name in _TAGS}
    try:
        new = registry.load(challenger)
    except ContractViolation as e:
        return Decision(False, (f"the challenger cannot be read: {e}",), {"holdout": measured_on})
    checks, against = behaviour_of(new, holdout)
    decision = _behaved_decision(settings, registry, champion, challenger, new, holdout, against)
    return replace(decision, evidence={"holdout": measured_on, "behaviour": checks, **decision.evidence})


def _behaved_decision(
    settings: Settings,
    registry: Registry,
    champion: ModelVersion | None,
    challenger: ModelVersion,
    new: Models,
    holdout: pd.DataFrame,
    against: tuple[str, ...],
) -> Decision:
    if against:
        return Decision(False, against, {})
    if champion is None:
        why = "the first model: there is none in production to compare it with"
        return Decision(True, (why,), {"first": True})
    try:
        old = registry.load(champion)
    except ContractViolation as e:
        way_out = f"archive version {champion.version} in MLflow; without a champion the challenger needs no comparison"
        return Decision(False, (f"the champion cannot be read, so that nothing is compared: {e}", way_out), {})
    measured = _Measured(holdout, old, new, PromotionPolicy(economics=economics(settings)))
    if same := _other_threshold(measured):
        return Decision(True, (same,), {"equal": True})
    # Both versions look equally far ahead, whatever the settings say by now.
    asked = settings.model_copy(update={"horizon_days": int(challenger.tags["horizon_days"])})
    return _all_of(
        {
            "": _full(measured),
            "core": _core(measured),
            "live": live_evidence(asked, champion.version, challenger.version, measured.policy),
        }
    )


def _full(measured: _Measured) -> Decision:
    rows = measured.holdout
    old, new = _best(measured)
    return decide(
        rows["churned"], old.predict_proba(rows), new.predict_proba(rows), rows["customer_id"],
        segments=segments_of(rows), policy=measured.policy,
    )  # fmt: skip


def _best(measured: _Measured) -> tuple[ChurnModel, ChurnModel]:
    """What is compared: a version that was registered without a full model is measured by its core."""
    columns = list(measured.holdout.columns)
    return measured.old.best_for(columns)[1], measured.new.best_for(columns)[1]


def _core(measured: _Measured) -> Decision:
    """The models that answer whoever brings the core features only must not pay for the other's gain."""
    rows = measured.holdout
    return guard(
        rows["churned"], measured.old.core.predict_proba(rows), measured.new.core.predict_proba(rows),
        rows["customer_id"], label="log loss of the core model", margin=measured.policy.core_margin,
        policy=measured.policy,
    )  # fmt: skip


def _other_threshold(measured: _Measured) -> str | None:
    """The same probabilities, and other business figures: nothing to measure, and a reason to change."""
    rows = measured.holdout
    old, new = _best(measured)
    for one, other in ((measured.old.core, measured.new.core), (old, new)):
        if not np.array_equal(one.predict_proba(rows), other.predict_proba(rows)):
            return None
    if old.threshold == new.threshold:
        return None
    return f"the same probabilities; the business figures move the threshold from {old.threshold} to {new.threshold}"


def _all_of(found: Mapping[str, Decision]) -> Decision:
    """Yes only if all say yes; reasons against first. The unnamed decision's evidence lies at the top."""
    noes = [reason for decision in found.values() if not decision.promote for reason in decision.reasons]
    yeses = [reason for decision in found.values() if decision.promote for reason in decision.reasons]
    evidence: dict[str, Any] = dict(found[""].evidence)
    evidence |= {
        name: {"promote": decision.promote, "reasons": list(decision.reasons), **decision.evidence}
        for name, decision in found.items()
        if name
    }
    return Decision(not noes, (*noes, *yeses), evidence)


def rolled_back(ledger: Ledger, version: str) -> str | None:
    """Why no comparison puts a version back that was rolled back from, and what does; or None."""
    if (entry := rolled_back_from(ledger, version)) is None:
        return None
    return (
        f"version {version} was rolled back from on {entry.decided_at:%Y-%m-%d} by {entry.who}: {entry.why}. "
        f"To put it back all the same: `churn rollback --to {version}`"
    )


def _not_measurable(lake: Lake, champion: ModelVersion | None, challenger: ModelVersion) -> str | None:
    """Why the challenger cannot be measured on its hold-out, against the champion where there is one; or None."""
    for who, version in (("champion", champion), ("challenger", challenger)):
        for name in _TAGS if version else ():
            if version and name not in version.tags:
                return f"the {who} has no tag {name!r}: it was not registered by `churn train`"
    if champion and (fault := _not_comparable(champion.tags, challenger.tags)):
        return fault
    path = _panel(lake, challenger.tags)
    if not path.is_file() or fingerprint(path) != challenger.tags["panel_sha256"]:
        return f"the panel the challenger was measured on is gone or has changed ({path}): train again"
    return None


def _not_comparable(champion: Mapping[str, str], challenger: Mapping[str, str]) -> str | None:
    for name in ("contract", "horizon_days"):
        if champion[name] != challenger[name]:
            return f"they answer different questions: {name} {champion[name]} and {challenger[name]}"
    if challenger["holdout_snapshot"] < champion["holdout_snapshot"]:  # dates as text sort as dates
        return (
            f"the champion was trained on outcomes of the challenger's hold-out ({challenger['holdout_snapshot']}): "
            "train as of a later date"
        )
    return None


def _panel(lake: Lake, tags: Mapping[str, str]) -> Path:
    return lake.panel(date.fromisoformat(tags["as_of"]))
