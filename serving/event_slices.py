"""The body of ``predict/events``: a cut-off and raw events, each kept as the text it came as.

The events are not taken apart here: their one reader is the one of ingestion.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from serving import bodies
from serving.errors import Problem, Refused, clipped, refused, shown

MAX_EVENTS = 50_000
BODY_LIMIT = 16_000_000
"""Bytes: 50,000 events with the columns that are taken, or 40,000 with all those of the default contract."""

_WANTED = f"an array of 1 to {MAX_EVENTS:,} events"
_NAMES = ("as_of", "events")


class _Object(msgspec.Struct):
    """Any object; what it holds is passed over."""


_BODY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBJECTS = msgspec.json.Decoder(list[_Object])
_TEXTS = msgspec.json.Decoder(list[msgspec.Raw])


class Slice(NamedTuple):
    """Some customer's events, to be seen as of a date."""

    events: list[str]
    as_of: date


def sliced(body: bytes) -> Slice:
    """The events, each as its text, and the cut-off: today (UTC) where none came. Raises Refused."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    parts = _parts(body)
    if unknown := [name for name in parts if name not in _NAMES]:
        raise Refused(422, [Problem(name, "an unknown name", "only as_of and events") for name in unknown])
    if "events" not in parts:
        raise refused(422, "nothing", _WANTED, field="events")
    array = bytes(parts["events"])
    if not array.startswith(b"["):
        raise refused(422, shown(bodies.parsed(array)), _WANTED, field="events")
    around = bodies.parsed(body.replace(array, b"[]", 1))  # refuses a name that comes twice
    return Slice(_texts(array), _date(around.get("as_of")))


def _parts(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _BODY.decode(body)
    except msgspec.ValidationError:  # JSON, but no object
        raise refused(422, shown(bodies.parsed(body)), "an object with events and, if you like, as_of") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        bodies.parsed(body)  # says in which line, except of what Python alone takes for JSON
        raise refused(422, f"text that is not JSON: {e}", "JSON") from None


def _texts(array: bytes) -> list[str]:
    try:
        # Counted first: a body of millions of values is refused without an object for each.
        count = len(_OBJECTS.decode(array))
    except msgspec.ValidationError as e:
        place = re.search(r"\[(\d+)\]", str(e))
        index = int(place[1]) if place else None
        found = str(e).partition(" - ")[0].partition("got ")[2].strip("`") or "something else"
        raise Refused(422, [Problem("events", found, "an object: one event", index, counted="event")]) from None
    if not 0 < count <= MAX_EVENTS:
        raise refused(422, f"an array of {count:,}" if count else "an empty array", _WANTED, field="events")
    try:
        return [str(bytes(text), "utf-8") for text in _TEXTS.decode(array)]
    except UnicodeDecodeError as e:
        raise refused(422, f"bytes that are not UTF-8: {clipped(e.reason)}", "JSON in UTF-8", field="events") from None


def _date(value: Any) -> date:
    today = datetime.now(UTC).date()
    if value is None:
        return today
    wanted = "a date as YYYY-MM-DD, tomorrow (UTC) at the latest"
    try:
        as_of = date.fromisoformat(value)
    except (TypeError, ValueError):
        raise refused(422, shown(value), wanted, field="as_of") from None
    if str(as_of) != value or as_of > today + timedelta(days=1):
        raise refused(422, shown(value), wanted, field="as_of")
    return as_of
