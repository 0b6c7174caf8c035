"""What an earlier start left is read from a file: whatever the child says on its way does not get into the answer."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from churn.settings import Settings
from deploy.local import services
from deploy.local.state import State


def test_an_empty_home_has_no_model_and_no_scores_also_when_the_child_warns(settings: Settings, tmp_path: Path) -> None:
    own = settings.model_copy(update={"mlflow_tracking_uri": settings.tracking_uri})
    (settings.data_home / "mlflow").mkdir(parents=True, exist_ok=True)
    answer = tmp_path / "state.json"
    chatty = "import atexit, runpy; atexit.register(print, 'a late warning'); "
    code = chatty + "runpy.run_module('deploy.local.state', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", code, str(answer)]
    done = subprocess.run(
        command,
        cwd=services.REPOSITORY,
        env=services.base_environment(own),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("a late warning\n")
    assert State.read(answer) == State()


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    state = State(production="3", as_of="2026-03-01", customers=100, scored_by="3")
    for each in (state, replace(state, production=None)):
        each.write(tmp_path / "state.json")
        assert State.read(tmp_path / "state.json") == each
