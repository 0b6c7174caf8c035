"""How a step's report or error reaches the person at the command line."""

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import typer
from pydantic import ValidationError

from churn.errors import ChurnError, Unavailable
from churn.settings import Settings


def run(step: Callable[[Settings], Any], as_json: bool, text: Callable[[Any], str] | None = None) -> Any:
    """Run one step with the settings of the environment and print its report, as ``text`` has it for people."""
    _quiet_libraries()
    report = translated(lambda: step(Settings()))
    values = asdict(report)
    if as_json:
        print(json.dumps(values, default=str))
    elif text is not None:
        print(text(report))
    else:
        width = max(map(len, values))
        for name, value in values.items():
            print(
                f"{name.replace('_', ' '):<{width}}  {_readable(value)}"
                if not _is_table(value)
                else _table(name, value)
            )
    return report


def translated(call: Callable[[], Any]) -> Any:
    """An error of ours becomes one clear message and an exit code: 75 (try again) or 1."""
    try:
        return call()
    except ValidationError as e:
        faults = "\n".join(f"- {'.'.join(map(str, x['loc']))}: {x['msg']}" for x in e.errors())
        print(f"error: a setting is not what it should be (CHURN_* variables, .env):\n{faults}", file=sys.stderr)
        raise typer.Exit(1) from e
    except ChurnError as e:
        print(f"error: {e}", file=sys.stderr)
        raise typer.Exit(75 if isinstance(e, Unavailable) else 1) from e


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and len(value) > 3


def _table(name: str, values: dict[str, Any]) -> str:
    """A line each; ``x_low`` and ``x_high`` are the interval of ``x``."""
    rows = {k: v for k, v in values.items() if not (k.endswith(("_low", "_high")) and k.rsplit("_", 1)[0] in values)}
    lines = [name.replace("_", " ")]
    for key, value in rows.items():
        low, high = values.get(f"{key}_low"), values.get(f"{key}_high")
        interval = f"  ({_readable(low)} to {_readable(high)})" if low is not None and high is not None else ""
        lines.append(f"  {key.replace('_', ' '):<{max(map(len, rows))}}  {_readable(value)}{interval}")
    return "\n".join(lines)


def _readable(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_readable(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return "; ".join(map(_readable, value)) or "none"
    return "none" if value is None else str(value)


def say(message: str) -> None:
    print(message, file=sys.stderr)


def _quiet_libraries() -> None:
    """Their progress belongs to no user of this command."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
