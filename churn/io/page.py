"""Reports for people: HTML pages that need nothing from outside, light or dark, on a desk or a phone."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> str:
    """A template of ``churn/io/templates`` with these values; text is escaped, a value that is missing is an error.

    A page begins with ``{% extends "page.html" %}`` and fills the blocks ``title``, ``lead`` and ``body``.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    found.filters |= {"figure": figure, "percent": percent, "whole": whole}
    return found


def figure(value: float | None, digits: int = 3) -> str:
    """A number to so many significant digits, without an exponent where it can be read without; a dash for none."""
    if value is None or value != value:
        return "–"
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{float(f'{value:.{digits}g}'):,}".removesuffix(".0")


def percent(value: float | None, digits: int = 1) -> str:
    """A share in per cent; a dash for none."""
    return "–" if value is None or value != value else f"{value:.{digits}%}"


def whole(value: float | None) -> str:
    """A count with thousands apart; a dash for none."""
    return "–" if value is None or value != value else f"{value:,.0f}"
