"""Drift: how far each feature of each night lies from what the model was measured on."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from churn.core.drift_policy import DriftPolicy
from churn.io.checks import Check
from churn_console.nights import Window
from churn_console.reading import Reading, understood

SHADES = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3)
"""Where a darker shade of the map begins, in KS."""


@dataclass(frozen=True)
class Cell:
    """One feature of one night."""

    ks: float | None
    """For a column of text its Jensen–Shannon distance."""
    psi: float | None
    q: float | None
    drifted: bool

    @property
    def shade(self) -> int:
        return 0 if self.ks is None else bisect_right(SHADES, self.ks)

    @property
    def text(self) -> str:
        """KS in hundredths."""
        return "–" if self.ks is None else f"{100 * self.ks:.0f}"


@dataclass(frozen=True)
class Row:
    """One feature over the nights."""

    feature: str
    nights: int
    """In how many of them it drifted."""
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Column:
    """One night; ``check`` is None where nothing was compared."""

    day: date
    check: Check | None


@dataclass(frozen=True)
class DriftMap:
    """Features × nights, oldest night first; the features that drifted most come first."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    newest: Check | None
    alarms: tuple[Check, ...]
    """Newest first."""
    smallest_ks: float
    shades: tuple[float, ...] = SHADES


def drift_map(reading: Reading, shown: Window) -> DriftMap:
    """Of several versions that were checked on a night, the last one. Raises Unavailable, ContractViolation."""
    found = reading.ask(lambda s: s.checks.all("drift", since=shown.first, until=shown.last))
    with understood("a night's check of drift"):
        return _map(found, shown)


def _map(found: Sequence[Check], shown: Window) -> DriftMap:
    by_day = {check.as_of: check for check in reversed(found)}
    first = min(by_day, default=shown.last)
    columns = tuple(Column(day, by_day.get(day)) for day in reversed(shown.days) if day >= first)
    compared = [_cells(column.check) for column in columns]
    names = {name for cells in compared for name in cells}
    rows = [_row(name, tuple(cells.get(name) for cells in compared)) for name in names]
    rows.sort(key=lambda row: (-row.nights, -max((c.ks or 0.0 for c in row.cells if c), default=0.0), row.feature))
    newest = max(by_day.values(), key=lambda check: check.as_of, default=None)
    alarms = tuple(c.check for c in reversed(columns) if c.check and c.check.alarm)
    return DriftMap(columns, tuple(rows), newest, alarms, DriftPolicy().smallest_ks)


def _cells(check: Check | None) -> dict[str, Cell]:
    features = (check.detail.get("features") or {}) if check else {}
    return {
        str(name): Cell(
            _number(f.get("js") if f.get("ks") is None else f["ks"]),
            _number(f.get("psi")),
            _number(f.get("q")),
            bool(f.get("drifted")),
        )
        for name, f in features.items()
    }


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _row(name: str, cells: tuple[Cell | None, ...]) -> Row:
    return Row(name, sum(1 for c in cells if c and c.drifted), cells)
