"""The page of a night's monitoring: the verdict in words, estimates beside what happened, and the early warnings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from churn.core.early_warning import WatchPolicy
from churn.io.page import figure, render

_METRICS = {
    "churned": "Customers who left", "roc_auc": "ROC AUC", "log_loss": "Log loss", "brier": "Brier score",
    "precision": "Precision", "recall": "Recall", "profit": "Profit",
}  # fmt: skip
"""What is both expected and observed."""
_ALONE = {"ece": "Calibration error", "lift_at_10": "Lift of the top tenth"}
"""What cannot be expected, as a calibrated model is supposed for that, or is not."""

Points = Sequence[float | None]


@dataclass(frozen=True)
class Plot:
    """Lines and dots over nights, in per cent of the drawing's width and height from its upper left corner."""

    lines: Mapping[str, tuple[tuple[float, float, float, float], ...]]
    """By CSS class: x1, y1, x2, y2 of each piece; where a night has no value the line is broken."""
    dots: Mapping[str, tuple[tuple[float, float], ...]]
    across: tuple[tuple[float, str], ...]
    """Place and text of the ticks."""
    upward: tuple[tuple[float, str], ...]


def monitor_page(facts: Mapping[str, Any]) -> str:
    """The page; equal facts, those of ``monitor.json``, give equal text."""
    nights, found = facts["nights"], facts["realised"]
    segments = (facts["assessment"] or {}).get("segments", {})
    return render(
        "monitor.html",
        **facts,
        headline=_headline(facts),
        said=_capital(facts["summary"]),
        nights_between_false_alarms=WatchPolicy().nights_between_false_alarms,
        tolerated=WatchPolicy().tolerated - 1,
        rows=_rows(found) if found else [],
        ranking=_over_nights(
            [str(line["as_of"]) for line in nights],
            lines={"expected": [line["expected"]["roc_auc"] for line in nights]},
            dots={"realised": [(line["realised"] or {}).get("roc_auc") for line in nights]},
        ),
        leavers=_over_nights(
            [str(line["as_of"]) for line in nights],
            lines={"expected": [line["expected"]["churned"] for line in nights]},
            dots={"realised": [(line["realised"] or {}).get("churned") for line in nights]},
            zero=True,
        ),
        calibration=_calibration(facts["assessment"]),
        by_segment=[(kind, name, part) for kind, parts in segments.items() for name, part in parts.items()],
        daily=_daily(facts["watch"]),
        charts=_charts(facts["watch"]),
    )


def _headline(facts: Mapping[str, Any]) -> str:
    if facts["degraded"]:
        return "The model has degraded"
    if facts["early_warnings"]:
        return "Customers leave otherwise than the scores expected"
    if facts["realised"] is None:
        return "Nothing speaks against the model; its scores have not met their outcomes yet"
    return "Nothing speaks against the model" if facts["verdict"]["judged"] else "Too few have left to judge the model"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _rows(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, what was expected, and what happened with its interval."""
    shown = [(name, label, figure(found[f"expected_{name}"])) for name, label in _METRICS.items()]
    shown += [(name, label, "–") for name, label in _ALONE.items()]
    return [(label, expected, _with_interval(found, name)) for name, label, expected in shown]


def _with_interval(found: Mapping[str, Any], name: str) -> str:
    low, high = found.get(f"{name}_low"), found.get(f"{name}_high")
    interval = f" ({figure(low)} to {figure(high)})" if low is not None and high is not None else ""
    return figure(found[name]) + interval


def _over_nights(
    nights: Sequence[str], *, lines: Mapping[str, Points], dots: Mapping[str, Points], zero: bool = False
) -> Plot | None:
    """None where there is nothing to draw."""
    known = [value for values in (*lines.values(), *dots.values()) for value in values if value is not None]
    if not known:
        return None
    low, high = (0.0 if zero else min(known)), max(known)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = (0.0 if zero else low - room), high + room
    x = [100 * (k + 0.5) / len(nights) for k in range(len(nights))]
    y = {name: [_place(value, low, high) for value in values] for name, values in (*lines.items(), *dots.items())}
    ends = sorted({0, len(nights) // 2, len(nights) - 1})
    return Plot(
        lines={
            name: tuple((a, u, b, v) for a, b, u, v in zip(x, x[1:], y[name], y[name][1:]) if u is not None is not v)
            if len(nights) > 1
            else tuple((0.0, v, 100.0, v) for v in y[name] if v is not None)
            for name in lines
        },
        dots={name: tuple((a, v) for a, v in zip(x, y[name]) if v is not None) for name in dots},
        across=tuple((x[k], nights[k]) for k in ends),
        upward=tuple((round(100 * (high - tick) / (high - low), 2), figure(tick)) for tick in _ticks(low, high)),
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between the two, some four of them."""
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= rough)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _place(value: float | None, low: float, high: float) -> float | None:
    return None if value is None else round(100 * (high - value) / (high - low), 2)


def _calibration(assessment: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Tenths of the rows: predicted to the right, observed upwards, both up to the same end."""
    if assessment is None:
        return None
    bins = assessment["calibration"]
    top = 1.05 * max(max(b["predicted"], b["high"]) for b in bins)
    points = [
        {
            "x": round(100 * b["predicted"] / top, 2), "y": round(100 - 100 * b["observed"] / top, 2),
            "low": round(100 - 100 * b["low"] / top, 2), "high": round(100 - 100 * b["high"] / top, 2),
        }
        for b in bins
    ]  # fmt: skip
    return {"points": points, "ticks": [(part, f"{part * top / 100:.2g}") for part in (0, 25, 50, 75, 100)]}


def _daily(watch: Mapping[str, Any]) -> Plot | None:
    """Cancellations of everybody, day by day."""
    if not watch["nights"]:
        return None
    observed, expected = ([counts[0] for counts in watch[name]] for name in ("observed", "expected"))
    return _over_nights(watch["nights"], lines={"expected": expected}, dots={"realised": observed}, zero=True)


def _charts(watch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One drawing a segment: both statistics as shares of their thresholds, which are one line then."""
    drawn = []
    for column, segment in enumerate(watch.get("segments", ())):
        both = {c["side"]: c for c in watch["charts"] if c["segment"] == segment}
        shares = {
            side: [s / t if t else None for s, t in zip(c["statistic"], c["threshold"])] for side, c in both.items()
        }
        if all(value is None for values in shares.values() for value in values):
            continue  # so little is expected of it that it is not watched
        limit = {"limit": [1.0] * len(watch["nights"])}
        drawn.append(
            {
                "segment": segment,
                "title": _capital(segment),
                "ringing": [side for side, c in both.items() if c["alarm"]],
                "observed": sum(counts[column] for counts in watch["observed"]),
                "expected": sum(counts[column] for counts in watch["expected"]),
                "plot": _over_nights(watch["nights"], lines={**limit, **shares}, dots={}, zero=True),
            }
        )
    return drawn
