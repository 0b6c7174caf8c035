"""Labels, strictly after the cut-off, and the snapshots a training panel is made of."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from churn.errors import BadInput


def labels_sql(session_days: str, customers: str, *, churn: Literal["cancel", "lapse"], horizon_days: int) -> str:
    """``as_of_day``, ``customer_id`` and ``churned`` (0/1) for each row of ``customers`` (as_of_day, customer_id).

    `cancel`: a cancel event within [as_of, as_of + horizon). `lapse`: no event at all within it.
    The caller makes sure that the horizon has passed in the data.
    """
    happened = "coalesce(sum(d.cancels), 0) > 0" if churn == "cancel" else "count(d.day) = 0"
    return f"""
select c.as_of_day, c.customer_id, cast(case when {happened} then 1 else 0 end as integer) as churned
from {customers} as c
left join {session_days} as d
  on d.customer_id = c.customer_id and d.day >= c.as_of_day and d.day < c.as_of_day + {int(horizon_days)}
group by c.as_of_day, c.customer_id"""


@dataclass(frozen=True)
class PanelPlan:
    """Which cut-offs are trained on and which is held out. All label windows end at or before ``as_of``."""

    as_of: date
    horizon_days: int
    training: tuple[date, ...]
    holdout: date

    @property
    def snapshots(self) -> tuple[date, ...]:
        return (*self.training, self.holdout)


def plan_panel(as_of: date, first_day: date, *, horizon_days: int, snapshots: int = 5, step_days: int = 7) -> PanelPlan:
    """The latest cut-off whose label is known at ``as_of`` is held out; training ends a full horizon before it.

    So every training label window closes before the hold-out cut-off: no label window overlaps. Snapshots before
    ``first_day`` plus one step have no history and are left out. Raises BadInput when none remains.
    """
    horizon = timedelta(days=horizon_days)
    holdout = as_of - horizon
    newest = holdout - horizon
    earliest = first_day + timedelta(days=step_days)
    training = tuple(
        day for k in reversed(range(snapshots)) if (day := newest - timedelta(days=k * step_days)) >= earliest
    )
    if not training:
        needed = first_day + timedelta(days=step_days) + 2 * horizon
        raise BadInput(
            f"the log starts on {first_day} and training as of {as_of} would need at least {step_days} days of history "
            f"before two horizons of {horizon_days} days: train as of {needed} or later, or ingest older events"
        )
    return PanelPlan(as_of, horizon_days, training, holdout)
