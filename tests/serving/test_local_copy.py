"""A service that starts while the registry is away, and what lies on its disk."""

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from churn.io.registry import Models
from churn.settings import Settings
from serving.local_copy import LocalCopies
from serving.served import checked
from tests.serving.conftest import CUSTOMER, FULL_CUSTOMER, Platform, eventually, platform_in, running

PREDICT, HEALTH = "/api/churn/predict", "/api/churn/health"


@pytest.fixture
def own(served: Platform, tmp_path: Path) -> Settings:
    """A data home of its own, and the registry that all share."""
    return served.settings.model_copy(update={"home": tmp_path, "mlflow_tracking_uri": served.settings.tracking_uri})


def copies(settings: Settings) -> Path:
    return settings.data_home / "serving" / "churn"


def without_registry(settings: Settings) -> Settings:
    return settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"})


@contextmanager
def ready(settings: Settings) -> Iterator[httpx.Client]:
    with running(settings) as client:
        eventually(lambda: client.get("/readyz").status_code == 200, seconds=60)
        yield client


def test_it_starts_from_the_last_good_copy_when_the_registry_is_away(own: Settings) -> None:
    with ready(own) as client:
        before = [client.post(PREDICT, json=customer).json() for customer in (CUSTOMER, FULL_CUSTOMER)]
        evaluation = client.get("/api/churn/model/evaluation").json()
        assert client.get(HEALTH).json()["local_copy"] is False
    with ready(without_registry(own)) as client:
        assert [client.post(PREDICT, json=customer).json() for customer in (CUSTOMER, FULL_CUSTOMER)] == before
        assert client.get("/api/churn/model/evaluation").json() == evaluation
        health = client.get(HEALTH).json()
        assert (health["local_copy"], health["registry_reachable"], health["model_version"]) == (True, False, "1")
        assert "did not answer" in health["last_error"]


def test_a_copy_whose_files_were_changed_is_not_served(own: Settings) -> None:
    with ready(own):
        pass
    (copy,) = [folder for folder in copies(own).iterdir() if folder.is_dir()]
    changed = copy / "full" / "model.json"
    changed.write_bytes(changed.read_bytes().replace(b'"seed": 1', b'"seed": 2'))
    with running(without_registry(own)) as client:
        eventually(lambda: client.get(HEALTH).json()["registry_reachable"] is False, seconds=60)
        assert client.get(HEALTH).json()["model_loaded"] is False
        assert client.post(PREDICT, json=CUSTOMER).status_code == 503
    with ready(own) as client:  # the registry mends it
        assert client.get(HEALTH).json()["last_error"] is None


def test_only_this_user_can_read_the_copies(own: Settings) -> None:
    with ready(own):
        assert stat.S_IMODE(copies(own).stat().st_mode) == 0o700


def test_a_download_that_was_killed_leaves_no_copy(own: Settings, served: Platform) -> None:
    version = served.registry.version("1")
    half = LocalCopies(copies(own))

    class Killed(BaseException):
        pass

    class Dying:
        def download(self, *_: object) -> dict[str, Path]:
            raise Killed

    with pytest.raises(Killed):
        half.fetch(Dying(), version)  # type: ignore[arg-type]
    assert half.last_good() is None
    assert not list(copies(own).iterdir())
    assert checked(half.fetch(served.registry, version)).version == version


def test_old_copies_go_when_another_version_is_remembered(
    tmp_path: Path, first_models: Models, second_models: Models
) -> None:
    platform = platform_in(tmp_path)
    kept = LocalCopies(tmp_path / "copies")
    versions = [platform.promote(models) for models in (first_models, second_models)]
    folders = []
    for version in versions:
        kept.fetch(platform.registry, version)
        kept.remember(version)
        folders.append(next(f for f in (tmp_path / "copies").glob(f"{version.version}-*")))
    assert all(folder.is_dir() for folder in folders)  # another worker may be loading the older one
    long_ago = time.time() - 4000
    os.utime(folders[0], (long_ago, long_ago))
    kept.remember(versions[1])
    assert [folder.is_dir() for folder in folders] == [False, True]
    last = kept.last_good()
    assert last is not None and last.version.version == versions[1].version


def test_a_pointer_to_a_copy_that_is_gone_points_nowhere(own: Settings, served: Platform) -> None:
    kept = LocalCopies(copies(own))
    version = served.registry.version("1")
    kept.fetch(served.registry, version)
    kept.remember(version)
    shutil.rmtree(copies(own) / json.loads((copies(own) / "last-good.json").read_text())["copy"])
    assert kept.last_good() is None
