"""Figures in words, for people who read a model card."""

from churn.core.resampling import Estimate


def number(value: float, digits: int) -> str:
    """With thousands, a true minus sign, and no digits after the point that a whole number does not need."""
    text = f"{value:,.{digits}f}"
    if digits and float(value).is_integer() and abs(value) >= 10:
        text = f"{value:,.0f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def percent(share: float) -> str:
    """One decimal, none from 10 % on."""
    return f"{share:.{0 if share >= 0.0995 else 1}%}".replace("%", " %").replace("-", "−")


def interval(found: Estimate, digits: int = 3) -> str:
    """As in 0.751 (0.736 to 0.766); a dash where the figure is undefined."""
    if found.value is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{number(found.value, digits)} (no interval)"
    low, high, value = (number(v, digits) for v in (found.low, found.high, found.value))
    return value if low == high == value else f"{value} ({low} to {high})"


def difference(what: str, digits: int, higher_is_better: bool, found: Estimate, level: float) -> str:
    """As in "log loss 0.0120 lower (95 % interval: 0.0040 lower to 0.0210 lower): better"."""
    if found.value is None:
        return f"{what} cannot be compared"
    if found.value == found.low == found.high == 0:
        return f"{what} the same"
    start = f"{what} {_moved(found.value, digits)}"
    if found.low is None or found.high is None:
        return f"{start}, without an interval: undecided"
    return (
        f"{start} ({percent(level)} interval: {_moved(found.low, digits)} to {_moved(found.high, digits)}): "
        f"{verdict(found, higher_is_better)}"
    )


def verdict(found: Estimate, higher_is_better: bool) -> str:
    """Whether a paired difference is told apart from none."""
    if found.low is None or found.high is None:
        return "undecided"
    if found.low <= 0 <= found.high:
        return "indistinguishable"
    return "better" if (found.low > 0) == higher_is_better else "worse"


def _moved(change: float, digits: int) -> str:
    size = number(abs(change), digits)
    if not float(size.replace(",", "")):
        return "unchanged"
    return f"{size} {'higher' if change > 0 else 'lower'}"
