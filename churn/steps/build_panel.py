"""Build the training panel: several cut-offs with their outcomes, the latest of them held out."""

from dataclasses import dataclass
from datetime import date

import pyarrow.compute as pc

from churn.core.labels import PanelPlan, plan_panel
from churn.io.contracts import contract_of
from churn.io.lake import Lake, write_parquet
from churn.io.point_in_time import panel_at
from churn.settings import Settings


@dataclass(frozen=True)
class PanelReport:
    """Which snapshots the panel holds, and how many rows and churned customers."""

    as_of: str
    horizon_days: int
    snapshots_asked: int
    """More than there are training snapshots where the log is too short for them."""
    training_snapshots: tuple[str, ...]
    holdout_snapshot: str
    training_rows: int
    training_churned: int
    holdout_rows: int
    holdout_churned: int
    path: str


def build_panel(settings: Settings, as_of: date) -> PanelReport:
    """Write ``panels/as_of=<date>/panel.parquet``; every outcome in it was known at ``as_of``.

    Raises BadInput when the log is too short, NotReady when there is none.
    """
    contract, lake = contract_of(settings), Lake(settings.data_home)
    plan = planned(settings, as_of)
    table = panel_at(lake, plan.as_of, plan.snapshots, contract)
    write_parquet(lake.panel(as_of), table)
    holdout = table.filter(pc.field("as_of") == plan.holdout)
    churned, held_churned = (int(pc.sum(t["churned"]).as_py() or 0) for t in (table, holdout))
    return PanelReport(
        as_of=str(as_of),
        horizon_days=contract.horizon_days,
        snapshots_asked=settings.panel_snapshots,
        training_snapshots=tuple(map(str, plan.training)),
        holdout_snapshot=str(plan.holdout),
        training_rows=table.num_rows - holdout.num_rows,
        training_churned=churned - held_churned,
        holdout_rows=holdout.num_rows,
        holdout_churned=held_churned,
        path=str(lake.panel(as_of)),
    )


def planned(settings: Settings, as_of: date) -> PanelPlan:
    """Which snapshots a panel as of then has. Raises as :func:`build_panel`."""
    lake = Lake(settings.data_home)
    lake.event_files(before=as_of)  # says what is missing when there is nothing
    return plan_panel(
        lake.known_until(as_of),
        lake.event_days()[0],
        horizon_days=contract_of(settings).horizon_days,
        snapshots=settings.panel_snapshots,
    )
