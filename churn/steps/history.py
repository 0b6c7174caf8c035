"""History: which version was in production when, who put it there, why, and on what evidence."""

import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from churn.errors import BadInput
from churn.io.ledger import Entry, moves
from churn.settings import Settings
from churn.steps.reconcile import agreed


@dataclass(frozen=True)
class Period:
    """A time during which one version was in production; None when there was none."""

    version: str | None
    since: str
    until: str | None
    """None for the version that is there now. Both are ISO 8601, UTC."""
    what: str
    """How it came: promotion, rollback, or found (moved in MLflow by hand)."""
    who: str
    why: str
    evidence_sha256: str | None


@dataclass(frozen=True)
class HistoryReport:
    """Every period, oldest first, and every row of the ledger."""

    production: tuple[Period, ...]
    entries: tuple[dict[str, Any], ...]
    on: str | None
    """The day that was asked about."""
    answer: str | None
    """The version in production at the end of that day (or now, if it is today); None without one."""


def history(settings: Settings, on: date | None = None) -> HistoryReport:
    """The ledger as a timeline. Raises BadInput for a day that has not begun (UTC)."""
    now = datetime.now(UTC)
    if on is not None and on > now.date():
        raise BadInput(f"{on} has not begun (UTC): ask for {now.date()} or earlier")
    with agreed(settings) as both:
        entries = both.ledger.entries()
        held = both.ledger.production_at(_end_of(on)) if on else None
    return HistoryReport(
        production=tuple(_periods(moves(entries))),
        entries=tuple(asdict(e) | {"decided_at": _iso(e.decided_at)} for e in entries),
        on=str(on) if on else None,
        answer=held.to_version if held else None,
    )


def text_of(report: HistoryReport) -> str:
    """The timeline as a table; for one day, the one line that answers."""
    if report.on is not None:
        return _answer(report)
    if not report.production:
        return "No version has been in production yet."
    head = ("version", "from (UTC)", "until (UTC)", "by", "how", "evidence")
    rows = [
        (
            p.version or "none",
            _minute(p.since),
            _minute(p.until) if p.until else "now",
            p.who,
            p.what,
            (p.evidence_sha256 or "–")[:12],
        )
        for p in report.production
    ]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [_line(head, widths)]
    for row, period in zip(rows, report.production, strict=True):
        lines += [_line(row, widths), textwrap.indent(textwrap.fill(period.why, 108), " " * (widths[0] + 2))]
    return "\n".join(lines)


def _periods(changes: list[Entry]) -> Iterable[Period]:
    ends: list[str | None] = [_iso(e.decided_at) for e in changes[1:]]
    for e, until in zip(changes, [*ends, None], strict=False):
        yield Period(e.to_version, _iso(e.decided_at), until, e.what, e.who, e.why, e.evidence_sha256)


def _answer(report: HistoryReport) -> str:
    end = _iso(_end_of(date.fromisoformat(report.on or "")))
    since = [p for p in report.production if p.since <= end and p.version == report.answer]
    if report.answer is None or not since:
        return f"{report.on}: no version was in production"
    p = since[-1]
    return f"{report.on}: version {p.version} was in production, since {_minute(p.since)} UTC ({p.what} by {p.who})"


def _end_of(day: date) -> datetime:
    """The last moment of a UTC day."""
    return datetime.combine(day + timedelta(days=1), time(), UTC) - timedelta(microseconds=1)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")  # always as long, so that texts sort as moments


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _line(cells: Iterable[str], widths: list[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
