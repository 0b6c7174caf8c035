"""What a night's monitoring found, in sentences."""

from collections.abc import Sequence
from datetime import date, timedelta

from churn.core.early_warning import Chart, EarlyWarning


def warning_words(warning: EarlyWarning, nights: Sequence[date], chart: Chart) -> str:
    """As in "paid: more cancel than the scores expected since about 2026-03-02: 31 against 18.4".

    ``nights``: the date of each night of ``warning``. Counted from where the chart was last at 0, which is the most
    likely beginning of what it rings for.
    """
    column, since = warning.segments.index(chart.segment), chart.began
    observed, expected = (counts[since:, column].sum() for counts in (warning.observed, warning.expected))
    return (
        f"{chart.segment}: {chart.side} cancel than the scores expected since about {nights[since]}: {observed:.0f} "
        f"against {expected:.1f}"
    )


def waiting_words(first_night: date | None, horizon_days: int) -> str:
    """Why there is no performance yet, and when there will be."""
    if first_night is None:
        return "the version has published no scores yet"
    due = first_night + timedelta(days=horizon_days)
    return f"no outcomes yet: the scores as of {first_night} can be judged once the events up to {due} are there"


def watching_words(nights: int | None, warnings: Sequence[str], *, daily: bool) -> str:
    """The early warnings, or why there are none. ``daily``: leaving is an event of a day; ``nights`` None: not yet."""
    if not daily:
        return "no early warning: who leaves by staying away does so on no day that could be counted"
    if nights is None:
        return "no early warning yet: no day after a publication is over"
    return "; ".join(warnings) or f"no early warning in {nights} nights"
