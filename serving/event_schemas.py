"""What ``predict/events`` takes and gives. What an event is comes from the source contract."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field

from churn.core.canonical import rules
from churn.core.events import Column, SourceContract
from serving.event_slices import MAX_EVENTS
from serving.explain_schemas import ReasonInfo

_AS_OF = date(2018, 11, 19)
_FIRST = datetime(2018, 11, 16, 20, 15, tzinfo=UTC)
_REGISTERED = datetime(2018, 9, 1, 12, tzinfo=UTC)


class EventCounts(BaseModel):
    """What became of the events: read = used + without_customer + after_cutoff."""

    read: int = Field(examples=[3])
    used: int = Field(examples=[3])
    without_customer: int = Field(description="set aside, as in ingestion", examples=[0])
    after_cutoff: int = Field(description="at the cut-off or later: not looked at", examples=[0])


class EventsPrediction(BaseModel):
    """The score that the nightly run would give to a customer with these events."""

    customer_id: str = Field(examples=["100042"])
    as_of: date = Field(description="the cut-off: midnight (UTC) at its start", examples=[str(_AS_OF)])
    churn_prediction: Literal[0, 1] = Field(examples=[0])
    churn_probability: float = Field(ge=0, le=1, examples=[0.23])
    no_churn_probability: float = Field(ge=0, le=1, examples=[0.77])
    model: Literal["core", "full"] = Field(description="core where the version has no full model", examples=["full"])
    events: EventCounts
    features: dict[str, float] = Field(description="as the nightly run computes them", examples=[{"total_sessions": 1}])
    reasons: list[ReasonInfo] = Field(description="the three strongest, of either sign")


def request_schema(contract: SourceContract) -> dict[str, Any]:
    """JSON schema of the body."""
    columns: dict[str, list[str]] = {}
    for name, column in contract.columns.items():
        if column.source is not None:
            columns.setdefault(column.source, []).append(name)
    words = {source: [f"read as {', '.join(names)}"] for source, names in columns.items()}
    required = {c.source for n, c in contract.columns.items() if c.source and c.required}
    for rule in rules(contract):
        if rule.check != "given" and (source := contract.columns[rule.column].source):
            values = f": {', '.join(rule.values)}" if rule.values else ""
            words[source].append(f"{rule.name.removeprefix(f'{source} ')}{values}")
    event = {
        "title": "Event",
        "type": "object",
        "properties": {
            source: {
                "type": ["string", "number"] if source in required else ["string", "number", "null"],
                "description": "; ".join(said),
            }
            for source, said in words.items()
        },
        "required": [source for source in columns if source in required],
        "additionalProperties": True,
        "description": f"A line of the raw log ({contract.title}). Other columns are passed over.",
    }
    return {
        "title": "Events of one customer",
        "type": "object",
        "properties": {
            "as_of": {
                "type": ["string", "null"],
                "format": "date",
                "description": "the cut-off, tomorrow at the latest; today (UTC) where it is left out",
            },
            "events": {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS},
        },
        "required": ["events"],
        "additionalProperties": False,
    }


def example(contract: SourceContract) -> dict[str, Any]:
    """A request that is answered: three events of one customer."""
    return {"as_of": str(_AS_OF), "events": [_event(contract, number) for number in range(3)]}


def _event(contract: SourceContract, number: int) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for name, column in contract.columns.items():
        if column.source is not None and (name == "ts_ms" or column.source not in event):
            event[column.source] = _value(contract, name, column, number)
    return event


def _value(contract: SourceContract, name: str, column: Column, number: int) -> str | float:
    if vocabulary := _VOCABULARIES.get(name):
        values = [source for source, target in vocabulary(contract).items() if target != "cancel"]
        return values[number % len(values)] if name == "kind" else values[-1]
    if name == "customer_id":
        return "100042"
    if column.read in ("epoch_ms", "epoch_s", "date", "day"):
        moment = _REGISTERED if name == "registered_ms" else _FIRST + timedelta(minutes=4 * number)
        if column.read in ("date", "day"):
            return f"{moment:%Y-%m-%d %H:%M:%S}"
        return int(moment.timestamp()) * (1000 if column.read == "epoch_ms" else 1)
    if name == "session_id":
        return "29"
    ordinary = float(number) if column.read == "integer" else 231.5
    bounded = min(max(ordinary, column.min or 0.0), column.max if column.max is not None else ordinary)
    return int(bounded) if column.read == "integer" else bounded


def _kinds(contract: SourceContract) -> Mapping[str, str]:
    return contract.kinds


def _plans(contract: SourceContract) -> Mapping[str, str]:
    return contract.plans


_VOCABULARIES = {"kind": _kinds, "plan": _plans}
