"""From a request to its bytes and from them to JSON values, refusing what is too big, not JSON, or ambiguous."""

import json
import re
from typing import Any

from starlette.requests import ClientDisconnect, Request

from serving.errors import clipped, refused, shown

ONE_LIMIT = 64 * 1024
"""Bytes for one customer: more than thirty times what every feature takes."""
ARROW = "application/vnd.apache.arrow.stream"
"""Content type of an Arrow IPC stream, which a batch may be instead of JSON."""
BATCH_LIMIT = 64 * 1024 * 1024
"""Bytes for a batch: 100,000 customers take about 40 MB with the core features; with all, some 30,000 fit."""


async def read(request: Request, limit: int, *, arrow: bool = False) -> bytes:
    """The body of a JSON request, never more than ``limit`` bytes of it; ``arrow``: or of an Arrow stream. Raises
    Refused."""
    kind = request.headers.get("content-type")
    # No type at all is taken as JSON: many scripts send none. A form is what a forgotten header looks like.
    if kind is not None and not _is_json(kind) and not (arrow and is_arrow(kind)):
        wanted = f"application/json or {ARROW}" if arrow else "application/json"
        raise refused(415, f"content type {shown(kind)}", wanted)
    size = request.headers.get("content-length", "0")
    if size.isdecimal() and int(size[:20]) > limit:
        raise refused(413, f"{int(size[:20]):,} bytes", f"at most {limit:,} bytes")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise refused(413, f"more than {limit:,} bytes", f"at most {limit:,} bytes")
    except ClientDisconnect:
        raise refused(400, "a connection closed half-way", "the whole body") from None
    return bytes(body)


def parsed(body: bytes) -> Any:
    """The JSON value. Raises Refused saying where it stops being JSON, or which name comes twice."""
    if not body.strip():
        raise refused(422, "an empty body", "JSON")
    try:
        # The hook is Python code: while a large batch is read, other requests get their turn.
        return json.loads(body.decode("utf-8-sig"), object_pairs_hook=_unique)
    except UnicodeDecodeError as e:
        raise refused(422, f"bytes that are not UTF-8, from byte {e.start:,} on", "JSON in UTF-8") from None
    except RecursionError:
        raise refused(422, "values nested too deeply", "objects of plain numbers") from None
    except json.JSONDecodeError as e:
        found = f"text that is not JSON: {e.msg}, line {e.lineno:,} column {e.colno:,}"
        raise refused(422, found, "JSON") from None
    except ValueError:  # Python's own limit, against integers that take minutes to read
        raise refused(422, "an integer of thousands of digits", "a number in the range of its feature") from None


def is_arrow(content_type: str | None) -> bool:
    """Whether a content type says that the body is an Arrow stream."""
    return content_type is not None and _plain(content_type) == ARROW


def wants_arrow(accept: str | None) -> bool:
    """Whether an answer is to be an Arrow stream: where ``Accept`` names it, and JSON with no higher ``q``."""
    if accept is None or ARROW not in accept.lower():
        return False
    weights: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = part.split(";")
        weights[_plain(kind)] = min(map(_weight, parameters), default=1.0)
    return weights.get(ARROW, 0.0) > 0 and weights[ARROW] >= weights.get("application/json", 0.0)


def _weight(parameter: str) -> float:
    """Of a parameter ``q``; 1 of any other."""
    name, _, value = parameter.partition("=")
    is_number = re.fullmatch(r"[01](\.\d{0,3})?", value.strip())
    return float(value) if name.strip().lower() == "q" and is_number else 1.0


def _plain(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(content_type: str) -> bool:
    kind = _plain(content_type)
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise refused(422, "the name twice", "each name once", field=clipped(twice))
    return names
