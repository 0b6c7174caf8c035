"""The gate's errors: equal challengers that it promotes, better ones that it does not, worse ones that it does.

What is better or worse is told by the true probabilities, not by outcomes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.decision_watch import CHANGED, DAYS, PRICE_RISE, TRAINED
from benchmarks.world_models import HORIZON_DAYS, Trained, snapshot_days, trained, trained_on
from benchmarks.world_truth import expected_log_loss, true_probability
from benchmarks.worlds import Service, World, features, panel, world_of
from churn.core.assessment import segments_of
from churn.core.model import ChurnModel
from churn.core.promotion import PromotionPolicy, decide, guard
from churn.core.simulated_change import Change

GROUPS_CUSTOMERS = 10_500
"""Simulated for three groups of as many as the other worlds have."""
LARGE_CUSTOMERS = 12_000
"""Some 9,000 at risk, half as many as in the public log."""
WEEKS, LARGE_WEEKS = (4, 6, 8, 10), (4, 6, 8)
"""After the change, that a challenger is trained."""
RENAMED = Change(CHANGED, renamed={"Thumbs Down": "Dislike"})


def equal(seed: int, folder: Path) -> dict[str, Any]:
    """Champion and challenger learn from different thirds of a world's customers, and the last third is the hold-out.

    Three trials, so that each third is everything once. The full models only: that a core model may object as well
    makes promotions rarer, not more frequent.
    """
    world = world_of(Service(seed, GROUPS_CUSTOMERS, TRAINED), folder)
    snapshots, holdout = snapshot_days(TRAINED)
    rows = panel(world, [*snapshots, holdout], HORIZON_DAYS)
    names = np.random.default_rng(seed).permutation(rows["customer_id"].unique())
    thirds = [rows[rows["customer_id"].isin(group)] for group in np.array_split(names, 3)]
    models = [trained_on(third, core=False) for third in thirds]
    return {
        "trials": [
            _judged(world, models[k], models[(k + 1) % 3], models[(k + 2) % 3].holdout, holdout) for k in range(3)
        ]
    }


def price_rise(seed: int, folder: Path) -> dict[str, Any]:
    """The hazard of who pays has doubled; a challenger of each week after against the model from before."""
    return _weekly(world_of(Service(seed, days=DAYS, change=PRICE_RISE), folder))


def price_rise_large(seed: int, folder: Path) -> dict[str, Any]:
    """Likewise, of a service with more customers."""
    return _weekly(world_of(Service(seed, LARGE_CUSTOMERS, days=DAYS, change=PRICE_RISE), folder), LARGE_WEEKS)


def renamed(seed: int, folder: Path) -> dict[str, Any]:
    """A page is no longer counted; likewise."""
    return _weekly(world_of(Service(seed, days=DAYS, change=RENAMED), folder))


def quiet(seed: int, folder: Path) -> dict[str, Any]:
    """Nothing has changed; likewise."""
    return _weekly(world_of(Service(seed, days=DAYS), folder))


def _weekly(world: World, weeks: Sequence[int] = WEEKS) -> dict[str, Any]:
    champion = trained(world, TRAINED, core=True)
    found = {}
    for week in weeks:
        challenger = trained(world, CHANGED + 7 * week, core=True)
        judged = _judged(world, champion, challenger, challenger.holdout, challenger.holdout_day)
        found[week] = judged | _tonight(world, champion, challenger, CHANGED + 7 * week)
    return found


def _judged(world: World, champion: Trained, challenger: Trained, rows: pd.DataFrame, day: int) -> dict[str, Any]:
    """The gate's answer for both models on these rows of the hold-out ``day``, and what the truth says of them."""
    policy = PromotionPolicy()
    old, new = (model.model.predict_proba(rows) for model in (champion, challenger))
    full = decide(rows["churned"], old, new, rows["customer_id"], segments=segments_of(rows), policy=policy)
    core = champion.core is None or challenger.core is None or _core(rows, champion.core, challenger.core, policy)
    truth = true_probability(world, rows["customer_id"], day, HORIZON_DAYS)
    return {
        "full": full.promote,
        "promoted": full.promote and core,
        "against": [name for name, met in _met(full.evidence).items() if not met] + ["core"] * (not core),
        "differences": {
            name: [c["difference"][end] for end in ("value", "low", "high")]
            for name, c in full.evidence.get("criteria", {}).items()
        },
        "rows": len(rows),
        "churned": int(rows["churned"].sum()),
        "old": expected_log_loss(truth, old),
        "new": expected_log_loss(truth, new),
        "best": expected_log_loss(truth, truth),
    }


def _core(rows: pd.DataFrame, old: ChurnModel, new: ChurnModel, policy: PromotionPolicy) -> bool:
    """Whether the model on the core features is not in the way, as the gate asks."""
    return guard(
        rows["churned"], old.predict_proba(rows), new.predict_proba(rows), rows["customer_id"],
        label="log loss of the core model", margin=policy.core_margin, policy=policy,
    ).promote  # fmt: skip


def _tonight(world: World, champion: Trained, challenger: Trained, night: int) -> dict[str, Any]:
    """The same by the truth for those that the promoted model scores first."""
    rows = features(world, [night])[night]
    truth = true_probability(world, rows["customer_id"], night, HORIZON_DAYS)
    return {
        f"{name}_tonight": expected_log_loss(truth, model.model.predict_proba(rows))
        for name, model in (("old", champion), ("new", challenger))
    }


def _met(evidence: Any) -> dict[str, bool]:
    """Every criterion, and whether it was."""
    met = {name: found["passed"] for name, found in evidence.get("criteria", {"sample": {"passed": False}}).items()}
    return met | {
        f"{kind} {name}": found["passed"]
        for kind, parts in evidence.get("segments", {}).items()
        for name, found in parts.items()
        if found["judged"]
    }
