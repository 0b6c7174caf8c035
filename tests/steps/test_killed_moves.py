"""A promotion and a rollback killed between any two of their writes: one version in production, and one story.

A write is a transaction of MLflow's database or of the ledger's. A process is killed (SIGKILL, by itself, so that it
hits the moment) before its first commit, before its second, and so on, until one comes through.
"""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from churn.io.ledger import Ledger
from churn.io.registry import Registry
from churn.settings import Settings
from churn.steps.promote import promote
from churn.steps.reconcile import reconcile
from churn.steps.rollback import rollback
from tests.moves import Registered, decided, promoted, rows, settings_of, story, waits

_STRIKE = """
import os, signal, sys
from pathlib import Path
import mlflow.pyfunc, mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store, xgboost
import mlflow.store.artifact.models_artifact_repo, scipy.stats  # imported once, before the forks
import sqlalchemy as sa
from churn.settings import Settings
from churn.steps.promote import promote
from churn.steps.rollback import rollback

def strike(at):
    commits = 0

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def executed(db, cursor, statement, *_):
        if statement.lstrip()[:6].lower() in ("insert", "update", "delete"):
            db.info["wrote"] = True

    @sa.event.listens_for(sa.Engine, "commit")
    def commit(db):
        nonlocal commits
        commits += db.info.pop("wrote", False)
        if commits == at:
            os.kill(os.getpid(), signal.SIGKILL)

act, *homes = sys.argv[1:]
for at, home in enumerate(homes, start=1):
    if (pid := os.fork()) == 0:
        strike(at)
        settings = Settings(home=Path(home), mlflow_tracking_uri=None, _env_file=None)
        promote(settings, "3", who="Ada") if act == "promotion" else rollback(settings, who="Ada", why="complaints")
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(killed, flush=True)
    if killed == 0:
        break
"""

ACTS: dict[str, Callable[[Settings], object]] = {
    "promotion": lambda settings: promote(settings, "3", who="Ada"),
    "rollback": lambda settings: rollback(settings, who="Ada", why="complaints"),
}


@pytest.fixture
def before(registered: Registered, tmp_path: Path) -> Settings:
    """Versions 1 and 2 were promoted, version 3 waits with a yes."""
    settings = registered.copy(tmp_path / "before")
    promoted(settings, "1", "2")
    waits(settings, "3")
    decided(settings, "3", "2")
    return settings


def killed(act: str, before: Settings, folder: Path) -> Iterator[Settings]:
    """A home for every moment at which the act was killed."""
    homes = [folder / f"killed-{number}" for number in range(1, 12)]
    for home in homes:
        shutil.copytree(before.data_home, home)
    run = [sys.executable, "-c", _STRIKE, act, *map(str, homes)]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True).stdout.split()
    assert ended[-1] == "0" and set(ended[:-1]) == {"-9"}
    # The note and the reason, the alias, the stage, for a promotion the alias of who waits no more, and the row.
    assert len(ended) - 1 == (6 if act == "promotion" else 5)
    for home in homes[: len(ended) - 1]:
        yield settings_of(home)


def in_production(settings: Settings) -> list[str]:
    with closing(sqlite3.connect(settings.data_home / "mlflow" / "mlflow.db")) as db:
        query = "select version from model_versions where current_stage = 'Production'"
        return [str(version) for (version,) in db.execute(query)]


def aliases(settings: Settings) -> dict[str, str]:
    with closing(sqlite3.connect(settings.data_home / "mlflow" / "mlflow.db")) as db:
        return {alias: str(v) for alias, v in db.execute("select alias, version from registered_model_aliases")}


def agree(settings: Settings) -> bool:
    """Whether stage, alias and ledger name one and the same version."""
    with closing(Ledger(settings.score_database)) as ledger:
        last = ledger.production()
    (version,) = in_production(settings)
    return last is not None and version == last.to_version == aliases(settings)["champion"]


@pytest.mark.slow
@pytest.mark.parametrize("act", ACTS)
def test_killed_between_any_two_writes_the_next_run_agrees_and_the_same_again_completes_it(
    act: str, before: Settings, tmp_path: Path
) -> None:
    undisturbed = settings_of(shutil.copytree(before.data_home, tmp_path / "undisturbed"))
    ACTS[act](undisturbed)
    assert agree(undisturbed)
    moved = 0
    for settings in killed(act, before, tmp_path):
        assert in_production(settings) in (["2"], in_production(undisturbed))
        moved += in_production(settings) != ["2"]
        again = settings_of(shutil.copytree(settings.data_home, settings.data_home.with_suffix(".again")))

        reconcile(settings)  # as scoring does, or any other step
        assert agree(settings)
        assert in_production(settings) == in_production(again)  # it moves nothing
        assert story(settings) in (story(before), story(undisturbed))
        assert reconcile(settings).mended == ()

        ACTS[act](again)
        assert agree(again)
        assert in_production(again) == in_production(undisturbed)
        assert story(again) == story(undisturbed)
        assert [(e.who, e.why, e.evidence_sha256) for e in rows(again)] == [
            (e.who, e.why, e.evidence_sha256) for e in rows(undisturbed)
        ]
        assert aliases(again) == aliases(undisturbed)
        assert {v.version: v.stage for v in Registry(again).versions()} == {
            v.version: v.stage for v in Registry(undisturbed).versions()
        }
    assert moved >= 1  # at least before the row was written
