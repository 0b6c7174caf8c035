"""README's examples, run as they are written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from churn.settings import REPOSITORY, Settings

README = (REPOSITORY / "README.md").read_text()


def block(language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = [b for b in blocks if containing in b]
    return found


@pytest.mark.slow
def test_the_commands_run_one_after_the_other(tmp_path: Path) -> None:
    script = (
        block("sh", "churn simulate").replace("/tmp/", f"{tmp_path}/").replace("--customers 2000", "--customers 300")
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CHURN_", "MLFLOW"))}
    environment["CHURN_SEARCH_TRIALS"] = "0"  # what is searched for has its own tests
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"predicted to churn +\d+", done.stdout)


def test_every_setting_it_names_exists() -> None:
    named = set(re.findall(r"CHURN_([A-Z_]+)", README)) - {"HOME"}
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_file_it_links_to_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (REPOSITORY / link).exists()] == []
