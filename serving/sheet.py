"""Tonight's list as a sheet: CSV by RFC 4180, in UTF-8, with no cell that a spreadsheet would run."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from churn.io.scorebook import Score
from churn.settings import Settings
from serving.profit import expected_profit

REASON_COLUMNS = 3
HEADER = (
    "customer_id", "churn_probability", "churn_prediction", "expected_profit",
    *(f"reason_{number + 1}" for number in range(REASON_COLUMNS)),
)  # fmt: skip
EXAMPLE = "\r\n".join(
    (",".join(HEADER), '100042,0.83,1,74.5,"12 days since the last visit, usually 3",on the free plan,', "")
)
_RUNS = tuple("=+-@\t\r\n＝＋－＠")
"""What a cell starts with that is taken for a formula (OWASP, CSV injection); the wide ones in East Asian settings."""


def sheet(pages: Iterable[Sequence[Score]], settings: Settings) -> Iterator[bytes]:
    """The header, then a piece for each page."""
    yield _lines([HEADER])
    for page in pages:
        yield _lines(_row(score, settings) for score in page)


def _row(score: Score, settings: Settings) -> tuple[str | float, ...]:
    texts = [_harmless(reason.text) for reason in score.reasons[:REASON_COLUMNS]]
    return (
        _harmless(score.customer_id),
        score.churn_probability,
        score.churn_prediction,
        round(expected_profit(settings, score.churn_probability), 2),
        *texts,
        *[""] * (REASON_COLUMNS - len(texts)),
    )


def _harmless(text: str) -> str:
    """A leading apostrophe makes it a text; numbers of ours, below zero or not, are left as they are."""
    return f"'{text}" if text.lstrip(" ").startswith(_RUNS) else text


def _lines(rows: Iterable[Sequence[str | float]]) -> bytes:
    piece = io.StringIO(newline="")
    csv.writer(piece, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows(rows)
    # A lone surrogate in an id has no UTF-8 form.
    return piece.getvalue().encode("utf-8", "replace")
