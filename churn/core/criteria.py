"""What is asked of one figure of a challenger, whether the interval shows it, and the sentence that says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from churn.core.model_words import number, percent
from churn.core.paired import Paired
from churn.core.resampling import Estimate


@dataclass(frozen=True)
class Measure:
    """A figure as people know it."""

    name: str
    label: str
    higher_is_better: bool
    digits: int = 4
    share: bool = False
    """The difference is a share of the champion's figure."""


@dataclass(frozen=True)
class Criterion:
    """One figure of both models, what was asked of it, and whether it was shown. JSON-serialisable."""

    name: str
    label: str
    champion: float | None
    challenger: float | None
    difference: Estimate
    """Challenger − champion; where ``share``, as a share of the champion's."""
    share: bool
    higher_is_better: bool
    digits: int
    margin: float | None
    """How much worse the unfavourable end of the interval may be. None: only the favourable end was looked at."""
    asked: str
    passed: bool
    reason: str


def better(measure: Measure, found: Paired, gain: float, level: float) -> Criterion:
    """The whole interval on the better side of 0, and the figure itself better by ``gain``, a share of the champion's.

    An undefined figure or interval has not been shown to be better.
    """
    beyond = _worst(measure, found.difference)
    enough = _gain(measure, found)
    passed = beyond is not None and beyond < 0 and enough is not None and enough >= gain
    side = "above" if measure.higher_is_better else "below"
    asked = f"{percent(gain)} {'higher' if measure.higher_is_better else 'lower'} or more, the interval {side} 0"
    if beyond is None:
        said = "undecided"
    elif beyond >= 0:
        worse = (_best(measure, found.difference) or 0.0) > 0
        said = "worse" if worse else "which the interval does not tell from no difference"
    else:
        said = f"{percent(level)} interval {side} 0"
        if not passed:
            said += f", but a gain of {percent(enough or 0)} is less than the {percent(gain)} asked for"
    return _criterion(measure, found, 0.0, asked, passed, said)


def not_worse(measure: Measure, found: Paired, margin: float, level: float) -> Criterion:
    """The unfavourable end of the interval is at most ``margin`` worse (non-inferiority).

    An undefined figure or interval has not been shown to be no worse.
    """
    worst = _worst(measure, found.difference)
    passed = worst is not None and worst <= margin
    allowed = f"{_size(measure, margin)} {'lower' if measure.higher_is_better else 'higher'}"
    said = {
        None: "undecided",
        True: f"at most {allowed}, as asked",
        False: f"{percent(level)} interval reaches beyond the allowed {allowed}",
    }[None if worst is None else passed]
    return _criterion(measure, found, margin, f"at most {allowed}", passed, said)


def not_shown_worse(measure: Measure, found: Paired, level: float) -> Criterion:
    """The favourable end of the interval is not on the worse side of 0: weaker than :func:`not_worse`.

    For evidence that is too little to show more: it can speak against a challenger, not for one. An undefined figure
    or interval speaks against it.
    """
    best = _best(measure, found.difference)
    passed = best is not None and best <= 0
    said = (
        "undecided" if best is None else f"{percent(level)} interval {'not ' if passed else ''}on the worse side of 0"
    )
    return _criterion(measure, found, None, "not shown to be worse", passed, said)


@dataclass(frozen=True)
class Cells:
    """A criterion as a row of a table: label, both figures, the difference with its interval, what was asked."""

    label: str
    champion: str
    challenger: str
    difference: str
    asked: str
    passed: bool


def cells(criterion: Mapping[str, Any]) -> Cells:
    """From a :class:`Criterion` as a decision on file has it."""
    measure = Measure(*(criterion[name] for name in ("name", "label", "higher_is_better", "digits", "share")))
    old, new = (
        "–" if criterion[who] is None else number(criterion[who], measure.digits) for who in ("champion", "challenger")
    )
    change = _change(measure, Estimate(**criterion["difference"]))
    return Cells(measure.label, old, new, change, criterion["asked"], criterion["passed"])


def _criterion(measure: Measure, found: Paired, margin: float | None, asked: str, passed: bool, said: str) -> Criterion:
    return Criterion(
        name=measure.name,
        label=measure.label,
        champion=found.champion,
        challenger=found.challenger,
        difference=found.difference,
        share=measure.share,
        higher_is_better=measure.higher_is_better,
        digits=measure.digits,
        margin=None if margin is None else float(margin),
        asked=asked,
        passed=passed,
        reason=f"{measure.label} {_figures(measure, found)}, {said}",
    )


def _figures(measure: Measure, found: Paired) -> str:
    """As in "0.1650 against 0.1702: 0.0052 lower (0.0021 to 0.0083)"."""
    if found.champion is None or found.challenger is None or found.difference.value is None:
        return "is undefined"
    start = f"{number(found.challenger, measure.digits)} against {number(found.champion, measure.digits)}"
    return f"{start}: {_change(measure, found.difference)}"


def _change(measure: Measure, difference: Estimate) -> str:
    change, low, high = difference.value, difference.low, difference.high
    if change is None:
        return "undefined"
    if low is None or high is None:
        return f"{_moved(measure, change)} (no interval)"
    if change == low == high == 0:
        return "the same"
    if low * high > 0:  # one direction: said once, the smaller first
        ends = sorted((abs(low), abs(high)))
        return f"{_moved(measure, change)} ({_size(measure, ends[0])} to {_size(measure, ends[1])})"
    return f"{_moved(measure, change)} ({_moved(measure, low)} to {_moved(measure, high)})"


def _moved(measure: Measure, change: float) -> str:
    """As in "0.0052 lower"; "unchanged" where no digit shows it."""
    size = _size(measure, abs(change))
    if not any(c in "123456789" for c in size):
        return "unchanged"
    return f"{size} {'higher' if change > 0 else 'lower'}"


def _size(measure: Measure, size: float) -> str:
    return percent(size) if measure.share else number(size, measure.digits)


def _worst(measure: Measure, difference: Estimate) -> float | None:
    """The unfavourable end as "so much worse": negative where even that is better."""
    if difference.low is None or difference.high is None:
        return None
    return -difference.low if measure.higher_is_better else difference.high


def _best(measure: Measure, difference: Estimate) -> float | None:
    if difference.low is None or difference.high is None:
        return None
    return -difference.high if measure.higher_is_better else difference.low


def _gain(measure: Measure, found: Paired) -> float | None:
    """How much better, as a share of the champion's figure."""
    if not found.champion or found.difference.value is None:
        return None
    change = found.difference.value / found.champion
    return change if measure.higher_is_better else -change
