"""Build the training panel: several cut-offs with their outcomes, the latest of them held out."""

from dataclasses import dataclass
from datetime import date

from churn.core.labels import PanelPlan, plan_panel
from churn.io.contracts import contract_of
from churn.io.engines.chosen import engine_of
from churn.io.lake import Lake, write_parts
from churn.io.panel_file import PanelFile
from churn.io.point_in_time import panel_parts
from churn.settings import Settings

_ROW_GROUP = 131_072
"""Rows that are decoded together when the panel is read in batches."""


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
    path = lake.panel(as_of)
    parts = panel_parts(lake, plan.as_of, plan.snapshots, contract, engine=engine_of(settings))
    write_parts(path, parts, row_group=_ROW_GROUP)
    panel = PanelFile(path, plan.holdout, megabytes=settings.engine_megabytes, home=lake.home)
    return PanelReport(
        as_of=str(as_of),
        horizon_days=contract.horizon_days,
        snapshots_asked=settings.panel_snapshots,
        training_snapshots=tuple(map(str, plan.training)),
        holdout_snapshot=str(plan.holdout),
        training_rows=panel.training_rows,
        training_churned=panel.churned,
        holdout_rows=panel.holdout_rows,
        holdout_churned=panel.holdout_churned,
        path=str(path),
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
