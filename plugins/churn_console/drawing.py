"""Drawings over nights, in per cent of their width and height: the page draws them at any size, without a script."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from churn.io.page import figure

Values = Sequence[float | None]


@dataclass(frozen=True)
class Interval:
    """A value with its interval; ``low`` and ``high`` are None where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Dot:
    """Where a value lies, and the ends of its interval."""

    x: float
    y: float
    low: float
    high: float
    text: str
    """What it says when it is pointed at."""


@dataclass(frozen=True)
class Plot:
    """From the upper left corner, in per cent."""

    lines: Mapping[str, tuple[tuple[float, float, float, float], ...]]
    """By CSS class: x1, y1, x2, y2 of each piece; where a night has no value the line is broken."""
    dots: tuple[Dot, ...]
    across: tuple[tuple[float, str], ...]
    upward: tuple[tuple[float, str], ...]


def over_nights(nights: Sequence[str], lines: Mapping[str, Values], dots: Sequence[Interval]) -> Plot | None:
    """Lines and dots with intervals, one place a night, on one scale; None where there is nothing to draw."""
    ends = [v for dot in dots for v in (dot.value, dot.low, dot.high)]
    known = [v for v in (*(v for values in lines.values() for v in values), *ends) if v is not None]
    if not known:
        return None
    room = 0.08 * (max(known) - min(known)) or 0.05 * abs(max(known)) or 1.0
    low, high = min(known) - room, max(known) + room
    if min(known) >= 0:
        low = max(0.0, low)
    x = [100 * (k + 0.5) / len(nights) for k in range(len(nights))]

    def at(value: float) -> float:
        return round(100 * (high - value) / (high - low), 2)

    return Plot(
        lines={name: _pieces(x, [None if v is None else at(v) for v in values]) for name, values in lines.items()},
        dots=tuple(
            Dot(round(a, 2), at(d.value), at(_or(d.low, d.value)), at(_or(d.high, d.value)), f"{night}: {said(d)}")
            for night, a, d in zip(nights, x, dots, strict=True)
            if d.value is not None
        ),
        across=tuple((round(x[k], 2), nights[k]) for k in sorted({0, len(nights) // 2, len(nights) - 1})),
        upward=tuple((at(tick), figure(tick)) for tick in _ticks(low, high)),
    )


def said(found: Interval) -> str:
    """As in 0.74 (0.71 to 0.77)."""
    if found.low is None or found.high is None:
        return figure(found.value)
    return f"{figure(found.value)} ({figure(found.low)} to {figure(found.high)})"


def _pieces(x: Sequence[float], y: Values) -> tuple[tuple[float, float, float, float], ...]:
    """A value that stands alone is a short dash."""
    found = [(a, u, b, v) for a, b, u, v in zip(x, x[1:], y, y[1:], strict=False) if u is not None and v is not None]
    joined = {end for a, _, b, _ in found for end in (a, b)}
    half = 30 / len(x)
    found += [(a - half, u, a + half, u) for a, u in zip(x, y, strict=True) if u is not None and a not in joined]
    return tuple((round(a, 2), u, round(b, 2), v) for a, u, b, v in found)


def _or(end: float | None, value: float) -> float:
    return value if end is None else end


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between the two, some four of them."""
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= rough)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
