"""Prometheus' settings and rules by promtool; Grafana's dashboards by its schema; and that both ask for what exists."""

import enum
import json
import re
import shutil
import subprocess
import types
import typing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from panels import Query, boards, metrics_of, panels, queries

from churn.settings import REPOSITORY
from tests.serving.conftest import eventually, platform_in, running

PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
GRAFANA = REPOSITORY / "deploy" / "grafana"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool here: apt-get install prometheus brings it")


def promtool(*arguments: str | Path, cwd: Path = PROMETHEUS) -> str:
    """What it says. Fails where it does."""
    done = subprocess.run([str(PROMTOOL), *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    files = sorted((PROMETHEUS / "rules").glob("*.yml"))
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


@needs_promtool
def test_the_settings_and_rules_are_what_prometheus_takes(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(PROMETHEUS, tmp_path / "prometheus"))
    (tmp_path / "metrics-key").write_text("a key")
    settings = (copy / "prometheus.yml").read_text()
    (copy / "prometheus.yml").write_text(settings.replace("/run/secrets/", f"{tmp_path}/"))
    said = promtool("check", "config", "prometheus.yml", cwd=copy)
    assert f"SUCCESS: {len(ALERTS)} rules found" in said
    assert f"SUCCESS: {len(RECORDED)} rules found" in said


@needs_promtool
@pytest.mark.parametrize("file", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda file: file.stem)
def test_alerts_ring_when_they_should_and_only_then(file: Path) -> None:
    promtool("test", "rules", file)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tested_both_ringing_and_silent(alert: str) -> None:
    tests = [test for f in (PROMETHEUS / "tests").glob("*.yml") for test in yaml.safe_load(f.read_text())["tests"]]
    asked = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    cases = [case for test in tests for case in test["promql_expr_test"] if case["expr"] == asked]
    assert any(case.get("exp_samples") for case in cases)
    assert any(not case.get("exp_samples") for case in cases)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_how_bad_it_is_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{alert.lower()}"
    assert len(rule["annotations"]["summary"]) < 100
    assert len(rule["annotations"]["description"]) > 60


def test_the_runbook_has_a_chapter_for_each_alert() -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    chapters = {line.lstrip("#").strip().lower() for line in text.splitlines() if line.startswith("#")}
    assert {alert.lower() for alert in ALERTS} <= chapters


@needs_promtool
def test_every_query_of_a_panel_is_promql(tmp_path: Path) -> None:
    found = [{"record": f"panel:{n}", "expr": query.expression} for n, query in enumerate(queries())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": found}]}))
    assert f"SUCCESS: {len(found)} rules found" in promtool("check", "rules", file)


@pytest.fixture(scope="module")
def existing(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all series there are: of the API, as it runs; of Airflow, as seen; and Prometheus' own."""
    with running(platform_in(tmp_path_factory.mktemp("api")).settings) as client:
        eventually(lambda: client.get("/metrics").status_code == 200)
        told = client.get("/metrics").text
    api = {name for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", told, re.M) for name in _series(name, kind)}
    seen = (Path(__file__).with_name("airflow_metrics.txt")).read_text().splitlines()
    airflow = {name for line in seen if not line.startswith("#") for name in _series(*line.split())}
    return api | airflow | RECORDED | {"up", "ALERTS"}


def _series(name: str, kind: str) -> Iterator[str]:
    yield from {
        "histogram": (f"{name}_bucket", f"{name}_sum", f"{name}_count"),
        "summary": (f"{name}_sum", f"{name}_count"),
    }.get(kind, (name,))


@pytest.mark.parametrize("query", queries(), ids=str)
def test_a_panel_asks_for_what_exists(query: Query, existing: set[str]) -> None:
    assert metrics_of(query.expression)
    assert metrics_of(query.expression) <= existing


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_what_exists(rule: dict[str, Any], existing: set[str]) -> None:
    assert metrics_of(rule["expr"])
    assert metrics_of(rule["expr"]) <= existing


def test_the_names_in_an_expression_are_found() -> None:
    expression = 'sum by (a) (rate(b_total{c="d", e=~"f"}[5m])) / on (g) h:i > bool 0 or label_replace(vector(0), "j")'
    assert metrics_of(expression) == {"b_total", "h:i"}


@pytest.mark.parametrize("name", boards())
def test_a_dashboard_has_grafanas_fields_and_values(name: str) -> None:
    """Of the release that docker-compose.yaml names. What the schema does not know is lost on the way back from it."""
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk is not installed: Grafana's schema")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    board = boards()[name]
    read = Dashboard.from_json(board)
    assert list(_lost(board, json.loads(JSONEncoder().encode(read)))) == []
    assert list(_misfits(read, "dashboard")) == []


def _lost(before: Any, after: Any, where: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from _lost(value, after[key], f"{where}.{key}")
            elif value is not None:
                yield f"{where}.{key}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for n, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _lost(one, other, f"{where}[{n}]")
    elif before != after:
        yield f"{where}: {before!r} became {after!r}"


def _misfits(value: Any, where: str) -> Iterator[str]:
    """Whatever is not of the type that its class in the schema says."""
    for field, kind in typing.get_type_hints(type(value)).items():
        yield from _misfit(getattr(value, field), kind, f"{where}.{field}")


def _depth(problems: list[str]) -> tuple[bool, int]:
    """Of several types that something may have, the one that fits, or else fits the furthest down."""
    return bool(problems), -max((len(problem.partition(":")[0]) for problem in problems), default=0)


def _misfit(value: Any, kind: Any, where: str) -> Iterator[str]:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in (typing.Any, object):
        if type(value).__module__.startswith("grafana"):
            yield from _misfits(value, where)
    elif origin in (typing.Union, types.UnionType):
        yield from min((list(_misfit(value, one, where)) for one in inner), key=_depth)
    elif origin is typing.Literal:
        if value not in inner:
            yield f"{where}: {value!r} is none of {inner}"
    elif origin is list:
        if isinstance(value, list):
            for n, one in enumerate(value):
                yield from _misfit(one, inner[0], f"{where}[{n}]")
        else:
            yield f"{where}: {value!r} is no list"
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{where}: {value!r} is no object"
    elif isinstance(value, dict) and hasattr(kind, "from_json"):  # the package leaves a few as they came
        yield from _misfits(kind.from_json(value), where)
    elif issubclass(kind, enum.Enum):
        if value not in [one.value for one in kind]:
            yield f"{where}: {value!r} is none of {[one.value for one in kind]}"
    elif kind is float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            yield f"{where}: {value!r} is no number"
    elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        yield f"{where}: {value!r} is no {kind.__name__}"
    elif type(value).__module__.startswith("grafana"):
        yield from _misfits(value, where)


@pytest.mark.parametrize("name", boards())
def test_a_dashboards_panels_are_described_and_do_not_overlap(name: str) -> None:
    board = boards()[name]
    taken: Counter[tuple[int, int]] = Counter()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken.update((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"]))
    assert max(taken.values()) == 1
    assert board["panels"][0]["type"] == "row"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in panels(board):
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] in {"table", "state-timeline"}, panel[
            "title"
        ]


def test_dashboards_ask_the_provisioned_source_and_lie_where_they_are_looked_for() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    asked = {
        target["datasource"]["uid"] for board in boards().values() for p in panels(board) for target in p["targets"]
    }
    assert asked == {source["uid"]}
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/churn.yaml").read_text())["providers"]
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())["services"]["grafana"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in compose["volumes"]
    home = Path(compose["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.name in boards()
    assert len({board["uid"] for board in boards().values()}) == len(boards())
