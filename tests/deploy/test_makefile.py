"""The Makefile, with the real make."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from supervising import REPOSITORY

TARGETS = (
    "install", "run", "spark", "test", "test-slow", "e2e", "stack-test", "secrets", "audit", "sbom", "lint", "format",
    "bench", "bench-quality", "bench-decisions", "bench-serving", "clean", "help",
)  # fmt: skip


def _make(folder: Path, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, env={**clean, **env}, check=False, timeout=60
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile and what it looks at, but no environment."""
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(REPOSITORY / name, tmp_path)
    return tmp_path


def test_make_alone_lists_every_target_with_what_it_does() -> None:
    done = _make(REPOSITORY)
    assert done.returncode == 0
    listed = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}
    assert set(listed) == set(TARGETS)
    assert all(listed.values())


def test_every_target_in_the_help_is_phony() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    phony = next(line for line in makefile.splitlines() if line.startswith(".PHONY:"))
    assert set(phony.split()[1:]) == set(TARGETS)


def test_clean_keeps_the_data_unless_told(checkout: Path) -> None:
    for folder in (".venv", ".uv", ".churn/events", "churn/__pycache__", ".mypy_cache"):
        (checkout / folder).mkdir(parents=True)
    done = _make(checkout, "clean")
    assert done.returncode == 0, done.stderr
    assert "Kept .churn" in done.stdout
    assert sorted(p.name for p in checkout.iterdir() if p.is_dir()) == [".churn", "churn"]
    assert not (checkout / "churn" / "__pycache__").exists()
    _make(checkout, "clean", "DATA=yes")
    assert not (checkout / ".churn").exists()


def test_a_python_of_the_wrong_version_is_refused_with_its_version(checkout: Path) -> None:
    fake = checkout / "python3.9"
    # Answers the version check as Python 3.9 would.
    fake.write_text('#!/bin/sh\nexec python3 -c "import sys; sys.version_info = (3, 9, 0)\n$2"\n')
    fake.chmod(0o755)
    done = _make(checkout, "install", f"PYTHON={fake}")
    assert done.returncode != 0
    assert "is Python 3.9; this needs 3.11, 3.12 or 3.13" in done.stderr
    assert not (checkout / ".uv").exists()


def test_no_python_at_all_is_said_plainly(checkout: Path) -> None:
    done = _make(checkout, "install", "PYTHON=")
    assert done.returncode != 0
    assert "No Python 3.11, 3.12 or 3.13 found" in done.stderr
    assert "make PYTHON=" in done.stderr
