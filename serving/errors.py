"""What the service says when it does not do what was asked: always JSON, never more than a little of what came in."""

import json
import logging
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from churn.errors import ChurnError, NotReady

_LOG = logging.getLogger(__name__)
_LONGEST = 100
"""Characters of the caller's input that an answer repeats."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a request."""

    field: str
    found: str
    expected: str
    index: int | None = None
    """Which of many."""
    place: str = "body"
    counted: str = "customer"
    """What the index counts."""

    def as_json(self) -> dict[str, Any]:
        field = clipped(self.field)
        index = {} if self.index is None else {"index": self.index}
        where = f"{self.counted} {self.index}: " if index else ""
        named = () if field == self.place else (field,)
        return {
            "field": field,
            "found": self.found,
            "expected": self.expected,
            **index,
            "loc": [self.place, *index.values(), *named],
            "msg": f"{where}{field}: found {self.found}, expected {self.expected}",
        }


class Refused(Exception):
    """The request is the caller's to correct."""

    SHOWN: ClassVar[int] = 20
    """Problems that are listed; the rest are only counted."""

    def __init__(self, status: int, problems: list[Problem], count: int | None = None) -> None:
        super().__init__(status, problems)
        self.status = status
        self.problems = problems[: self.SHOWN]
        self.count = len(problems) if count is None else count


def refused(status: int, found: str, expected: str, field: str = "body") -> Refused:
    """A refusal of a request for one thing about it as a whole."""
    return Refused(status, [Problem(field, found, expected)])


def shown(value: Any) -> str:
    """What came, in a few words that are safe to print and to encode."""
    if isinstance(value, str):
        return f"text {json.dumps(value[:_LONGEST])}{'…' if len(value) > _LONGEST else ''}"
    if isinstance(value, list):
        return f"an array of {len(value):,}" if value else "an empty array"
    if isinstance(value, dict):
        return f"an object with {len(value):,} names" if value else "an empty object"
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return clipped(json.dumps(value))


def clipped(text: str) -> str:
    """The start of a text that may be of any length."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def install(app: FastAPI, retry_after: int) -> None:
    """Translate every error to an answer. ``retry_after`` seconds is what a caller of a 503 should wait."""
    soon = {"Retry-After": str(retry_after)}

    async def on_refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        detail = [problem.as_json() for problem in error.problems]
        return _answer(error.status, {"detail": detail, "error_count": error.count})

    async def on_wrong_query(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        detail = [_query_problem(e).as_json() for e in error.errors()]
        return _answer(422, {"detail": detail, "error_count": len(detail)})

    async def on_churn_error(request: Request, error: Exception) -> Response:
        if isinstance(error, NotReady):
            return _answer(503, {"detail": str(error)}, soon)
        # The message may name hosts and paths: it goes to the log, not to the caller.
        # The route's pattern: the path itself may name a customer.
        route = getattr(request.scope.get("route"), "path", None)
        _LOG.warning("a store did not answer", extra={"route": route, "error": str(error)})
        return _answer(503, {"detail": "a store behind this service does not answer; try again soon"}, soon)

    app.add_exception_handler(Refused, on_refused)
    app.add_exception_handler(RequestValidationError, on_wrong_query)
    app.add_exception_handler(ChurnError, on_churn_error)


def failed() -> Response:
    """The answer to what nobody expected; the caller learns nothing about the inside."""
    return _answer(500, {"detail": "the service failed; the cause is in its log"})


def _query_problem(error: dict[str, Any]) -> Problem:
    """A problem with a parameter, from pydantic's words."""
    place, *_, name = error["loc"]
    return Problem(str(name), shown(error.get("input")), error["msg"].removeprefix("Input should be "), place=place)


def _answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    # ASCII only: a lone surrogate in the caller's text has no UTF-8 form.
    content = json.dumps(body, ensure_ascii=True, allow_nan=False)
    return Response(content, status, headers, media_type="application/json")
