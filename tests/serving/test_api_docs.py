"""The examples of docs/api.md and what it says of numbers and names, against the real service."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from churn.settings import REPOSITORY, Settings
from serving import bodies, event_slices, guard
from serving.about_schemas import Health
from serving.customers import MAX_ROWS
from serving.errors import Refused

PAGE = (REPOSITORY / "docs" / "api.md").read_text()
HERE = "http://127.0.0.1:8000"


def example(language: str, client: httpx.Client) -> str:
    """The page's block in a language, asking the running service."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert HERE in block
    return block.replace(HERE, str(client.base_url).rstrip("/"))


def run(*command: str, text: str, folder: Path) -> str:
    environment: Mapping[str, str] = os.environ | {"PYTHONPATH": str(REPOSITORY), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, input=text, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def after_curl(client: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder with the files that the first example writes, and what it printed."""
    folder = tmp_path_factory.mktemp("examples")
    return folder, run("bash", "-eu", text=example("sh", client), folder=folder)


def test_curl(after_curl: tuple[Path, str]) -> None:
    printed = after_curl[1]
    assert printed.count('"churn_probability":') == 3
    assert printed.count('"contribution":') == 6
    assert '"events":{"read":2,"used":2' in printed


def test_python(client: httpx.Client, after_curl: tuple[Path, str]) -> None:
    printed = run(sys.executable, "-", text=example("python", client), folder=after_curl[0]).splitlines()
    assert len(printed) == 7
    assert 0 < float(printed[0]) < 1
    assert all(re.match(r"[+-]\d", line) for line in printed[1:4])
    assert printed[4] == "1.0"
    assert printed[5].startswith("3 scored, ")
    expected = re.search(r"# (total_sessions: .*)", PAGE)
    assert expected and printed[6] == expected[1]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on the PATH")
def test_javascript(client: httpx.Client, after_curl: tuple[Path, str]) -> None:
    text = example("js", client)
    printed = run("node", "--input-type=module", "-", text=text, folder=after_curl[0]).splitlines()
    assert len(printed) == 5
    assert 0 < float(printed[0]) < 1
    assert printed[4] == "1"


def test_every_endpoint_is_listed_and_every_one_listed_is_there(client: httpx.Client) -> None:
    said = client.get("/openapi.json").json()["paths"]
    there = {f"{method.upper()} {path}" for path, operations in said.items() for method in operations}
    rows = re.findall(r"^\| (`(?:GET|POST) .*?) \|", PAGE, re.MULTILINE)
    named = re.findall(r"(GET|POST) (/[\w/.{}]+)", " ".join(rows))
    listed = {f"{m} {p if p in ('/livez', '/readyz', '/metrics') else f'/api/churn{p}'}" for m, p in named}
    assert {re.sub(r"\{.*?\}", "{}", e) for e in listed} == {re.sub(r"\{.*?\}", "{}", e) for e in there}


def test_every_setting_it_names_exists() -> None:
    named = set(re.findall(r"CHURN_([A-Z_]+)", PAGE))
    assert named and {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_field_of_health_it_names_exists() -> None:
    away = PAGE.partition("## When something is away")[2]
    named = set(re.findall(r"`((?:\w+_\w+))`", "".join(re.findall(r"\| ([^|]*) \|$", away, re.MULTILINE))))
    named |= set(re.findall(r"`(challenger_\w+)`", PAGE))
    assert len(named) > 8
    assert named - {"age_days"} <= set(Health.model_fields)


def test_its_numbers_are_those_of_the_code() -> None:
    settings = Settings.model_fields
    assert bodies.ONE_LIMIT == 64 * 1024 and "64 KiB for one customer" in PAGE
    assert bodies.BATCH_LIMIT == 64 * 1024**2 and "64 MiB for a batch" in PAGE
    assert event_slices.BODY_LIMIT == 16_000_000 and "16 MB of events" in PAGE
    assert f"A batch holds {MAX_ROWS:,} customers at most" in PAGE
    assert f"events {event_slices.MAX_EVENTS:,}." in PAGE
    assert guard.BATCHES == 8 and "eight batches" in PAGE
    assert f"{settings['max_requests'].default} requests at work" in PAGE
    assert f"within {settings['request_seconds'].default:g} s" in PAGE
    assert f"at most {Refused.SHOWN} problems" in PAGE
