"""What can go wrong between a caller and the API. Catch ApiError for all of it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from .answers import read


class ApiError(Exception):
    """The API did not do what was asked. ``status`` is None where no answer came."""

    def __init__(self, status: int | None, message: str) -> None:
        super().__init__(message if status is None else f"{status}: {message}")
        self.status, self.message = status, message


class Unreachable(ApiError):
    """No connection, or no answer in time."""


class Unauthorised(ApiError):
    """No API key or an unknown one; or asked from another machine while the API has no keys."""


class NotFound(ApiError):
    """There is no such thing: of that customer no score was published."""


class Busy(ApiError):
    """Too much at work, no model yet, or a store is away. ``retry_after``: the seconds that it asked for, if it did."""

    def __init__(self, status: int, message: str, retry_after: float | None) -> None:
        super().__init__(status, message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a request."""

    field: str
    found: str
    expected: str
    index: int | None = None
    """Which customer of a batch, or which event."""

    def __str__(self) -> str:
        place = "" if self.index is None else f"{self.index}: "
        return f"{place}{self.field}: found {self.found}, expected {self.expected}"


class InvalidRequest(ApiError):
    """The request is the caller's to correct. ``problems`` are the first 20 of ``count``."""

    def __init__(self, status: int | None, problems: tuple[Problem, ...], count: int) -> None:
        more = f"; {count - len(problems):,} more" if count > len(problems) else ""
        super().__init__(status, "; ".join(map(str, problems)) + more)
        self.problems, self.count = problems, count

    def moved_by(self, rows: int) -> "InvalidRequest":
        """The same for a list in which so many rows come before these."""
        moved = (p if p.index is None else replace(p, index=p.index + rows) for p in self.problems)
        return InvalidRequest(self.status, tuple(moved), self.count)


def error_of(answer: httpx.Response) -> ApiError:
    """What an answer that is no success means."""
    status = answer.status_code
    problems: tuple[Problem, ...] = ()
    try:
        detail, count = answer.json()["detail"], answer.json().get("error_count", 0)
        if not isinstance(detail, str):
            problems = tuple(read(Problem, row) for row in detail)
        message = detail if isinstance(detail, str) else "; ".join(map(str, problems))
    except (ValueError, KeyError, TypeError, AttributeError):  # from a proxy, or from something else altogether
        message = answer.text[:200] or answer.reason_phrase
    if status in (401, 403):
        return Unauthorised(status, message)
    if status in (429, 503):
        return Busy(status, message, seconds_of(answer.headers.get("Retry-After")))
    if problems and status in (400, 413, 415, 422):
        return InvalidRequest(status, problems, count)
    return NotFound(status, message) if status == 404 else ApiError(status, message)


def seconds_of(retry_after: str | None) -> float | None:
    """The header's seconds, or those until its date; None for anything else."""
    if retry_after is None:
        return None
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return None
