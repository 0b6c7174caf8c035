"""The table of the speed benchmark: what was wanted, what was measured, and all else as text."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

_NOT_MEASURED = "not measured: "


@dataclass(frozen=True)
class Target:
    """One measure of the summary."""

    what: str
    wanted: str
    """As in "≤ 0.35"; empty: nothing is wanted of it, it is told."""
    measured: str
    reached: bool | None = None
    """None: there was nothing wanted, or nothing measured."""
    before: str = ""
    """What was measured at an earlier time, where nothing was now."""


@dataclass(frozen=True)
class Found:
    """What one part came to."""

    targets: tuple[Target, ...]
    text: str
    """Markdown."""
    made: str = ""
    """When, and in how long; empty: never."""
    code: str = ""
    """Version of the code that was measured."""
    failed: str = ""
    """Why the newest attempt came to nothing: all else is of before."""


def at_most(what: str, wanted: float, value: float, unit: str = "", digits: int = 2, of: str = "") -> Target:
    """Reached where the value is no greater. ``of`` says what it was measured on."""
    said = f"{value:,.{digits}f}{unit}" + (f" ({of})" if of else "")
    return Target(what, f"≤ {wanted:,g}{unit}", said, value <= wanted)


def at_most_both(what: str, wanted: float, processor: float, clock: float, digits: int = 2) -> Target:
    """Ratios of processor time and of time on the clock: reached where neither is greater."""
    return Target(what, f"≤ {wanted:,g}", said_both(processor, clock, digits), max(processor, clock) <= wanted)


def said_both(processor: float, clock: float, digits: int = 2) -> str:
    """Both ratios."""
    return f"{processor:.{digits}f} of processor time, {clock:.{digits}f} on the clock"


def at_least(what: str, wanted: float, value: float, unit: str = "", digits: int = 0) -> Target:
    """Reached where the value is no less."""
    return Target(what, f"≥ {wanted:,g}{unit}" if wanted < 1e6 else f"≥ {wanted:,.0f}{unit}",
                  f"{value:,.{digits}f}{unit}", value >= wanted)  # fmt: skip


def not_measured(what: str, wanted: str, why: str) -> Target:
    """Told, never left out."""
    return Target(what, wanted, f"{_NOT_MEASURED}{why}")


def none_measured(wanted: Iterable[tuple[str, str]], why: str) -> tuple[Target, ...]:
    """A row each, of what there was to measure and what was wanted of it."""
    return tuple(not_measured(what, limit, why) for what, limit in wanted)


def told(what: str, measured: str) -> Target:
    """A figure of which nothing is wanted."""
    return Target(what, "", measured)


def runs(count: int, which: str = "best") -> str:
    """How often something was measured, and which of them is told."""
    return "one run" if count == 1 else f"{which} of {count} runs"


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """By which power of the size the cost grows: the least-squares slope of the logarithms.

    1 is in proportion. NaN for a single size.
    """
    x, y = [math.log(s) for s in sizes], [math.log(c) for c in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / spread if spread else math.nan


def beside_earlier(found: Found, earlier: Found) -> Found:
    """What could not be measured this time, with the figure that it had before."""
    held = {target.what: _earlier(target, earlier) for target in earlier.targets}
    return replace(
        found,
        targets=tuple(
            replace(target, before=held.get(target.what, "")) if target.measured.startswith(_NOT_MEASURED) else target
            for target in found.targets
        ),
    )


def as_of_now(found: Found, code: str) -> tuple[Target, ...]:
    """Its rows, marked where they are not of ``code`` or could not be measured again."""
    if found.failed:
        again = (not_measured(target.what, target.wanted, found.failed) for target in found.targets)
        return tuple(replace(new, before=_earlier(old, found)) for new, old in zip(again, found.targets))
    if found.code == code:
        return found.targets
    other = f" (of another run, code {found.code or 'unknown'})"
    return tuple(replace(target, measured=target.measured + other) for target in found.targets)


def _earlier(target: Target, of: Found) -> str:
    if target.measured.startswith(_NOT_MEASURED):
        return target.before
    return f"{target.measured} (code {of.code or 'unknown'})"


def summary(targets: Iterable[Target]) -> str:
    """One row a measure."""
    rows = ([t.what, t.wanted, _said(t).replace("|", "/"), _verdict(t)] for t in targets)
    return table(["measure", "wanted", "measured", ""], rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def keep(path: Path, found: Found) -> None:
    """So that a later run of other parts can show it beside its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(asdict(found)))
    aside.replace(path)


def kept(path: Path) -> Found | None:
    """What an earlier run found."""
    if not path.is_file():
        return None
    held = json.loads(path.read_text())
    return Found(tuple(Target(**t) for t in held.pop("targets")), **held)


def _said(target: Target) -> str:
    return target.measured + (f"; before: {target.before}" if target.before else "")


def _verdict(target: Target) -> str:
    return {True: "reached", False: "**not reached**", None: ""}[target.reached]
