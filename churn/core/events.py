"""The data contract: canonical event columns, their closed vocabulary, and how a source maps to them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from churn.errors import BadInput

DAY_MS = 86_400_000
"""Milliseconds of one UTC day."""

EVENT_COLUMNS: Mapping[str, str] = {
    "customer_id": "varchar",
    "ts_ms": "bigint",
    "session_id": "varchar",
    "kind": "varchar",
    "plan": "varchar",
    "registered_ms": "bigint",
    "item_in_session": "integer",
    "duration_s": "double",
    "ingested_ms": "bigint",
}
"""Canonical columns and SQL types, in file order. Times are epoch milliseconds UTC, durations seconds."""

KINDS = (
    "play", "like", "dislike", "add_to_playlist", "add_friend", "advert", "upgrade", "downgrade",
    "cancel", "help", "error", "login", "logout", "browse",
)  # fmt: skip
PLANS = ("free", "paid")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Strict):
    """How one canonical column is read from the raw log."""

    source: str | None = Field(default=None, alias="from")
    """Name of the raw column."""
    read: Literal["text", "integer", "number", "epoch_ms", "epoch_s", "date", "day"] = "text"
    """`date`: a time from a date or a date and time. `day`: the date alone, as text."""
    constant: str | None = None
    """The same value for every row, instead of a raw column."""
    required: bool = False
    """The file must have the column and every accepted row a value in it."""
    present: bool = False
    """The file must have the column; a row may leave it empty."""
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.source is None) == (self.constant is None):
            raise ValueError("give either `from` (a raw column) or `constant` (one value for all rows)")
        return self


class Raw(_Strict):
    """Raw columns that are known and not taken."""

    ignored: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()


class Limits(_Strict):
    """File-level rules."""

    max_bad_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    max_without_customer_share: Annotated[float, Field(ge=0, le=1)] = 0.5


_READABLE_AS = {
    "customer_id": ("text",),
    "session_id": ("text", "day"),
    "kind": ("text",),
    "plan": ("text",),
    "ts_ms": ("epoch_ms", "epoch_s", "date"),
    "registered_ms": ("epoch_ms", "epoch_s", "date"),
    "item_in_session": ("integer",),
    "duration_s": ("number",),
}
"""How each canonical column may be read: anything else would not give its type."""


def _check_column(name: str, column: Column) -> None:
    if column.constant is not None:
        if name not in ("session_id", "kind", "plan"):
            raise ValueError(f"{name} cannot be the same for all rows: give `from`, a raw column")
        return
    if column.read not in _READABLE_AS[name]:
        raise ValueError(f"{name} is read as {column.read!r}; it can be read as {list(_READABLE_AS[name])}")
    if name in ("ts_ms", "session_id", "kind", "plan") and not column.required:
        raise ValueError(f"{name} must be `required = true`: an event without it is none")
    if column.read in ("text", "day") and (column.min is not None or column.max is not None):
        raise ValueError(f"{name} is text, so that `min` and `max` mean nothing")


class SourceContract(_Strict):
    """What a source promises, and how its raw rows become canonical events. Read from TOML."""

    name: str
    title: str
    churn: Literal["cancel", "lapse"]
    """`cancel`: an event of that kind. `lapse`: no event at all within the horizon."""
    horizon_days: Annotated[int, Field(ge=1, le=3650)]
    columns: Mapping[str, Column]
    raw: Raw = Raw()
    kinds: Mapping[str, str] = {}
    plans: Mapping[str, str] = {}
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _maps_to_the_canonical_columns(self) -> Self:
        wanted = set(EVENT_COLUMNS) - {"ingested_ms"}
        if unknown := sorted(set(self.columns) - wanted):
            raise ValueError(f"unknown canonical columns {unknown}; there are {sorted(wanted)}")
        if missing := sorted({"customer_id", "ts_ms", "session_id", "kind", "plan"} - set(self.columns)):
            raise ValueError(f"columns {missing} must be mapped")
        for column, values, vocabulary in (("kind", self.kinds, KINDS), ("plan", self.plans, PLANS)):
            constant = self.columns[column].constant
            targets = set(values.values()) if constant is None else {constant}
            if not targets or not targets <= set(vocabulary):
                raise ValueError(f"{column}: {sorted(targets)} must be some of {list(vocabulary)}")
        for name, mapped in self.columns.items():
            _check_column(name, mapped)
        return self

    @classmethod
    def parse(cls, data: Mapping[str, Any], origin: str) -> Self:
        """Check a parsed TOML document. Raises BadInput listing every fault and where it is."""
        try:
            return cls.model_validate(data)
        except ValidationError as e:
            faults = "\n".join(f"- {'.'.join(map(str, x['loc'])) or 'contract'}: {x['msg']}" for x in e.errors())
            raise BadInput(f"{origin} is not a source contract:\n{faults}") from e

    @property
    def sources(self) -> tuple[str, ...]:
        """Raw columns that are taken, each once."""
        return tuple(dict.fromkeys(c.source for c in self.columns.values() if c.source is not None))

    @property
    def needed(self) -> tuple[str, ...]:
        """Raw columns that a file must have."""
        return tuple(
            dict.fromkeys(
                c.source
                for name, c in self.columns.items()
                if c.source is not None and (name == "customer_id" or c.required or c.present)
            )
        )
