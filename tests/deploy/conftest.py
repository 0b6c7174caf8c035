"""The fixture that starts supervisors, and cleans up whatever a failed test leaves of them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervising import SUPERVISED, Started, Supervise


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """``supervise(polite=CODE, ...)``; ``make=True`` puts a real make between the test and the supervisor."""
    started: list[Started] = []

    def start(*options: str, make: bool = False, **services: str) -> Started:
        argv = [sys.executable, str(SUPERVISED), str(tmp_path), *options]
        argv += [f"{name}={code}" for name, code in services.items()]
        if make:
            script = tmp_path / "run.py"
            script.write_text(f"import os, sys\nos.execv(sys.executable, {argv!r})\n")
            makefile = tmp_path / "Makefile"
            makefile.write_text(f"run:\n\t@exec {sys.executable} {script}\n")
            argv = ["make", "-f", str(makefile), "run"]
        started.append(Started(tmp_path, argv))
        return started[-1]

    yield start
    for each in started:
        each.clean_up()
