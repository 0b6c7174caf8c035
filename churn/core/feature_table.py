"""docs/features.md, made from the feature list: ``python -m churn.core.feature_table > docs/features.md``."""

import sys
from collections.abc import Iterable

from churn.core.features import CORE_FEATURES, EXTENDED_FEATURES, Feature

_HEAD = """\
# Features

Made from the feature list in `churn/core/` by `python -m churn.core.feature_table > docs/features.md`; do not edit it.

One row per customer at risk and cut-off, from events before the cut-off only. All values are finite doubles; a
division by zero gives 0.
"""
_CORE = """\
The REST API takes these by name; names and formulas do not change.
"""
_EXTENDED = """\
Nightly scoring has these as well. "The last 7 days" are the seven whole UTC days before the cut-off, and "observed"
are the days from that of the first event in the log to the cut-off. The core totals grow with the log; of these, only
`days_observed`, `upgrades`, `downgrades`, `days_on_plan` and `gap_max` do. A rate is over the days observed, at least
one, so that a new customer's rates stay in proportion; the trends compare with a span that includes the recent days, so
that they are defined and bounded for new customers too (1: as ever, 0: nothing lately).
"""


def feature_table() -> str:
    """The page, in Markdown."""
    sections = (("Core", _CORE, CORE_FEATURES), ("Extended", _EXTENDED, EXTENDED_FEATURES))
    return "\n".join([_HEAD, *(f"## {title}\n\n{text}\n{_rows(features)}" for title, text, features in sections)])


def _rows(features: Iterable[Feature]) -> str:
    lines = ["| name | type | unit | range | meaning | read as |", "|---|---|---|---|---|---|"]
    lines += [
        f"| `{f.name}` | {f.kind} | {f.unit} | {f.minimum:,.0f} – {f.maximum:,.0f} | {f.meaning} "
        f"| {f.said(f.example)} |"
        for f in features
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(feature_table())
