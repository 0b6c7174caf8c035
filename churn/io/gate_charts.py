"""Where the marks of charts about models lie, in percent of the chart: the page draws them at any width."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from churn.core.model_words import percent

Criterion = Mapping[str, Any]
"""As a decision on file has it: see :class:`churn.core.criteria.Criterion`."""


@dataclass(frozen=True)
class Whisker:
    """A difference with its interval: places in percent of the width, worse to the right."""

    label: str
    said: str
    value: float
    low: float
    high: float
    margin: float | None
    """From here on it would be too much worse; None where nothing of the kind was asked."""
    passed: bool


@dataclass(frozen=True)
class Forest:
    """Differences under each other on one scale."""

    rows: tuple[Whisker, ...]
    zero: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Point:
    """A tenth of the customers: predicted to the right, observed upwards, with its interval."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """Curves by name on one scale, which is that of both axes."""

    curves: Mapping[str, tuple[Point, ...]]
    ticks: tuple[tuple[float, str], ...]


def forest(criteria: Iterable[tuple[str, str, Criterion]], *, in_margins: bool = False) -> Forest | None:
    """Of (label, difference in words, criterion), those that have an interval; None where none has.

    ``in_margins``: figures of different units, each in units of what it may be worse. Otherwise a share of the
    champion's figure.
    """
    rows = [
        (label, said, *_worse(found, in_margins), bool(found["passed"]))
        for label, said, found in criteria
        if found["difference"]["low"] is not None and found["difference"]["high"] is not None
    ]
    if not rows:
        return None
    ends = [end for row in rows for end in row[2:6] if end is not None]
    # Where one interval dwarfs all the rest, it is the one that is cut off.
    least, most = max(min(ends), -6.0 if in_margins else -0.5), min(max(ends), 3.0 if in_margins else 0.5)
    pad = 0.06 * (most - least) or 0.01
    least, most = min(least, 0.0) - pad, max(most, 0.0) + pad

    def at(x: float) -> float:
        return round(100 * min(1.0, max(0.0, (x - least) / (most - least))), 2)

    marks = _ticks(least, most)
    return Forest(
        rows=tuple(
            Whisker(label, said, at(value), at(low), at(high), None if margin is None else at(margin), passed)
            for label, said, value, low, high, margin, passed in rows
        ),
        zero=at(0.0),
        ticks=tuple((at(x), _tick(x, in_margins)) for x in marks),
    )


def calibration(bins: Mapping[str, Sequence[Mapping[str, float]]]) -> Calibration:
    """Tenths (see :class:`churn.core.reliability.CalibrationBin`) by name: of both models, or of one."""
    end = max(b[name] for found in bins.values() for b in found for name in ("predicted", "high")) * 1.02 or 1.0

    def at(x: float) -> float:
        return round(100 * x / end, 2)

    curves = {
        name: tuple(Point(at(b["predicted"]), *(100 - at(b[y]) for y in ("observed", "low", "high"))) for b in found)
        for name, found in bins.items()
    }
    return Calibration(curves, tuple((at(x), percent(x) if x else "0") for x in _ticks(0.0, end)))


def _worse(found: Criterion, in_margins: bool) -> tuple[float, float, float, float | None]:
    """Value, low, high and margin as "so much worse"."""
    difference, sign = found["difference"], -1 if found["higher_is_better"] else 1
    scale = found["margin"] if in_margins else 1.0 if found["share"] else found["champion"]
    value, *ends = (sign * difference[name] / scale for name in ("value", "low", "high"))
    return value, min(ends), max(ends), None if found["margin"] is None else found["margin"] / scale


def _ticks(least: float, most: float) -> list[float]:
    """At most six round numbers."""
    span, step = most - least, 1e-4
    while span / step > 6:
        step *= 2.5 if f"{step:e}".startswith("2") else 2.0
    first = int(-(-least // step))
    return [i * step for i in range(first, int(most // step) + 1)]


def _tick(x: float, in_margins: bool) -> str:
    if abs(x) < 1e-9:
        return "0"
    if in_margins:
        return f"{x:+.2g} ×".replace("-", "−")
    return f"{'+' if x > 0 else '−'}{percent(abs(x))}"
