"""What the dashboards ask Prometheus, and asking it."""

import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from churn.settings import REPOSITORY

DASHBOARDS = REPOSITORY / "deploy" / "grafana" / "dashboards"
_RATE_INTERVAL = "1m"
"""What Grafana makes of ``$__rate_interval`` at a scrape interval of 15 s: four of them."""
_LOOK_BACK_SECONDS = 3600
_STEP_SECONDS = 15


@dataclass(frozen=True)
class Query:
    """One query of a panel, as Prometheus gets it."""

    dashboard: str
    panel: str
    expression: str

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.expression}"


def boards() -> dict[str, dict[str, Any]]:
    """Every dashboard by its file's name."""
    return {file.name: json.loads(file.read_text()) for file in sorted(DASHBOARDS.glob("*.json"))}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything that shows something: those that are folded into a row as well, the rows not."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def queries() -> list[Query]:
    return [
        Query(name, panel["title"], target["expr"].replace("$__rate_interval", _RATE_INTERVAL))
        for name, board in boards().items()
        for panel in panels(board)
        for target in panel["targets"]
    ]


def metrics_of(expression: str) -> set[str]:
    """The names of the series in a PromQL expression."""
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    plain = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", plain)
    plain = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", plain)
    words = re.findall(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(\s*\()?", plain)
    return {word for word, called in words if not called} - {"and", "or", "unless", "bool", "by", "on", "offset"}


def run_every_panel(prometheus_url: str) -> list[str]:
    """Ask Prometheus what every panel asks, over the last hour; the panels without data, each with the reason.

    Every query has to find a series, and of each panel one query a number: a gauge that nobody can know yet is NaN.
    """
    without = []
    with httpx.Client(base_url=prometheus_url, timeout=30, trust_env=False) as client:
        known: dict[tuple[str, str], bool] = {}
        for query in queries():
            found = _ask(client, query.expression)
            if not found:
                without.append(f"{query} (no series)")
            panel = (query.dashboard, query.panel)
            known[panel] = known.get(panel, False) or any(not math.isnan(value) for value in found)
    return without + [f"{board}: {panel} (no number)" for (board, panel), number in known.items() if not number]


def _ask(client: httpx.Client, expression: str) -> list[float]:
    now = time.time()
    asked: dict[str, str | float] = {
        "query": expression, "start": now - _LOOK_BACK_SECONDS, "end": now, "step": _STEP_SECONDS
    }  # fmt: skip
    answer = client.get("/api/v1/query_range", params=asked)
    if answer.is_error:
        raise AssertionError(f"{expression}: {answer.json().get('error', answer.text)}")
    return [float(value) for series in answer.json()["data"]["result"] for _, value in series["values"]]
