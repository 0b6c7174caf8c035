"""HTML from templates: text is escaped, a value that is missing is an error, times are UTC."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, PrefixLoader, StrictUndefined

from churn.io.page import figure, percent, whole

_TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    of_reports = PrefixLoader({"churn.io": PackageLoader("churn.io")})  # drawings that reports have too
    found = Environment(
        loader=ChoiceLoader([FileSystemLoader(_TEMPLATES), of_reports]), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters |= {"figure": figure, "percent": percent, "whole": whole, "minute": minute, "ago": ago}
    return found


def minute(moment: datetime | str) -> str:
    """As in 2026-03-01 02:04 UTC."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def ago(moment: datetime) -> str:
    """As in "3 hours ago"."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if (count := int(seconds // size)) >= 1:
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"
