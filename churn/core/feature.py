"""What a feature is: its meaning, its valid values, and how an analyst reads one."""

import re
from dataclasses import dataclass
from typing import Literal

CENTURY_DAYS = 36_525.0


@dataclass(frozen=True)
class Feature:
    """One feature: what it means and what values it may take. ``sql`` reads the per-customer aggregate."""

    name: str
    sql: str
    kind: Literal["count", "seconds", "days", "ratio", "flag"]
    unit: str
    minimum: float
    maximum: float
    meaning: str
    example: float
    phrase: str
    """How an analyst reads it, ``{}`` being the number."""
    shown_as: float = 1.0
    """Units as read per unit as stored: 100 where a ratio is read as a percentage."""
    words: tuple[str, str] = ("no", "yes")
    """What a flag's 0 and 1 are called."""

    @property
    def whole(self) -> bool:
        """Only whole numbers make sense."""
        return self.kind in ("count", "flag") and not self.name.startswith("avg_")

    def number(self, value: float) -> str:
        """The value as it is read: seconds as minutes, ratios per hundred, flags as words, two or more digits."""
        if self.kind == "flag":
            return self.words[value >= 0.5]
        shown = value * self.shown_as
        if 0 < shown < 0.005:
            return "less than 0.01"
        # Half a day matters after two days and not after twelve.
        decimals = 0 if shown >= 9.95 else 1 if shown >= 0.995 else 2
        text = f"{shown:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if decimals else text

    def said(self, value: float) -> str:
        """The value in words: "12 days since the last visit"."""
        number = self.number(value)
        text = self.phrase.format(number)
        # Every phrase that starts with its number goes on with a plural.
        return re.sub(r"s\b", "", text, count=1) if number == "1" and self.phrase.startswith("{} ") else text
