"""What stands behind the service fails under load, one thing after the other: predictions flow, health is truthful."""

import json
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from churn.io.registry import Models, ModelVersion
from tests.serving.conftest import CUSTOMER, FULL_CUSTOMER, Platform, eventually, platform_in
from tests.serving.test_lists import REASONS, SCORES, publish
from tests.serving.test_server import Started, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PREDICT, BATCH, EXPLAIN, TOP, HEALTH = (
    f"/api/churn/{name}" for name in ("predict", "batch_predict", "explain", "top", "health")
)
RUBBISH = b"no database " * 2000


def quick(folder: Path, home: Path) -> AbstractContextManager[Started]:
    """The service in a process of its own, which looks often."""
    return started(folder, app=None, home=str(home), registry_poll_seconds="0.2", prediction_log_seconds="0.2")


class Load:
    """Asks four endpoints without a pause, each in a thread and on a connection of its own."""

    BODIES: ClassVar[dict[str, Any]] = {
        PREDICT: CUSTOMER,
        BATCH: [CUSTOMER, FULL_CUSTOMER] * 20,
        EXPLAIN: FULL_CUSTOMER,
        TOP: None,
    }

    def __init__(self, port: int) -> None:
        self._port, self._stop = port, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(path,)) for path in self.BODIES]
        self.answered: Counter[tuple[str, int]] = Counter()
        """By path and status."""
        self.failed: list[str] = []
        """What no outage may do: a prediction that is not answered, or a list that fails otherwise than with 503."""

    @contextmanager
    def at_work(self) -> Iterator["Load"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self.end()
        print(dict(self.answered))
        assert self.failed == []

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def goes_on(self, top: int | None = None) -> None:
        """Wait until every endpoint was answered again and again from now on; the list with that status."""
        before = self.answered.copy()
        wanted = [(PREDICT, 200), (BATCH, 200), (EXPLAIN, 200), *([(TOP, top)] if top else [])]
        eventually(lambda: self.failed or all(self.answered[pair] >= before[pair] + 10 for pair in wanted), seconds=60)
        assert self.failed == []

    def _run(self, path: str) -> None:
        method, body = ("GET", None) if path == TOP else ("POST", json.dumps(self.BODIES[path]).encode())
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stop.is_set():
            try:
                connection.request(method, path, body)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, HTTPException) as error:
                self.failed.append(f"{path}: {error!r}")
                connection.close()
                continue
            again = path == TOP and answer.status == 503 and int(answer.getheader("Retry-After") or 0) >= 1
            if answer.status != 200 and not again:
                self.failed.append(f"{path}: {answer.status} {text[:200]!r}")
            self.answered[path, answer.status] += 1
            time.sleep(0.005)
        connection.close()


@dataclass(frozen=True)
class Scene:
    """A service in a process of its own, under load, and what it depends on."""

    platform: Platform
    service: Started
    load: Load
    versions: list[ModelVersion]

    @property
    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(self.service.url + HEALTH, trust_env=False, timeout=60).json()
        return found

    def says(self, seconds: float = 30, **expected: Any) -> None:
        """Health comes to say that, and always says that it is healthy."""
        seen: dict[str, Any] = {}

        def told() -> bool:
            seen.update(self.health)
            assert (seen["status"], seen["model_loaded"]) == ("healthy", True)
            return all(seen[name] == value for name, value in expected.items())

        try:
            eventually(told, seconds)
        except AssertionError:
            pytest.fail(f"expected {expected}, health says {seen}")

    def promoted(self, place: int, registry: Path | None = None) -> None:
        """Promote that version, in the registry, or in a copy of it that the service does not see."""
        platform = self.platform
        if registry is not None:
            platform = platform_in(platform.folder, mlflow_tracking_uri=f"sqlite:///{registry}")
        platform.registry.promote(self.versions[place], "a test")


@pytest.fixture
def scene(tmp_path: Path, first_models: Models, second_models: Models) -> Iterator[Scene]:
    """Version 1 is in production, 2 is registered, and a night is published."""
    (tmp_path / "home").mkdir()
    platform = platform_in(tmp_path / "home")
    versions = [platform.promote(first_models), platform.register(second_models)]
    publish(platform, SCORES, REASONS)
    with quick(tmp_path, tmp_path / "home") as service:
        eventually(lambda: service.answers("/readyz"), seconds=120)
        with Load(service.port).at_work() as load:
            scene = Scene(platform, service, load, versions)
            scene.says(model_version="1", registry_reachable=True, scores_reachable=True, last_error=None)
            load.goes_on(top=200)
            yield scene


@contextmanager
def away(database: Path) -> Iterator[Path]:
    """Rubbish in the place of a database; it comes back as the copy is by then."""
    kept = database.with_suffix(".kept")
    shutil.copy(database, kept)
    database.write_bytes(RUBBISH)
    try:
        yield kept
    finally:
        shutil.copy(kept, database)


@contextmanager
def a_file_instead(*folders: Path) -> Iterator[None]:
    """The disk takes nothing there: not even root can write below a file."""
    aside = [folder.rename(folder.with_name(f"{folder.name}-aside")) for folder in folders]
    for folder in folders:
        folder.write_text("not a folder")
    try:
        yield
    finally:
        for folder, kept in zip(folders, aside, strict=True):
            folder.unlink()
            kept.rename(folder)


def sqlite(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def test_the_registry_the_score_database_and_the_disk_fail_one_after_the_other_and_all_at_once(scene: Scene) -> None:
    home, load = scene.platform.settings.data_home, scene.load
    registry, scores = sqlite(scene.platform.settings.tracking_uri), sqlite(scene.platform.settings.score_database)

    with away(registry) as kept:
        scene.says(registry_reachable=False, model_version="1", scores_reachable=True)
        assert scene.health["last_error"]
        scene.promoted(1, kept)
        load.goes_on(top=200)
        scene.says(registry_reachable=False, model_version="1")
    scene.says(registry_reachable=True, production_version="2", model_version="2", last_error=None)

    with away(scores):
        scene.says(scores_reachable=False, registry_reachable=True, model_version="2", customers_scored=len(SCORES))
        load.goes_on(top=503)
    scene.says(scores_reachable=True)
    load.goes_on(top=200)

    logged = scene.health["predictions_logged"]
    with a_file_instead(home / "predictions", home / "serving"):
        dropped = scene.health["predictions_dropped"]
        eventually(lambda: scene.health["predictions_dropped"] > dropped + 100)
        scene.promoted(0)
        scene.says(production_version="1", model_version="2", registry_reachable=True)
        assert "version 1 was not taken" in scene.health["last_error"]
        load.goes_on(top=200)
    eventually(lambda: scene.health["predictions_logged"] > logged + 100)
    scene.says(seconds=120, model_version="1", last_error=None)  # what could not be taken is tried again in a minute

    with away(registry), away(scores), a_file_instead(home / "predictions", home / "serving"):
        dropped = scene.health["predictions_dropped"]
        scene.says(registry_reachable=False, scores_reachable=False, model_version="1", local_copy=False)
        load.goes_on(top=503)
        eventually(lambda: scene.health["predictions_dropped"] > dropped)
    scene.says(registry_reachable=True, scores_reachable=True, model_version="1", last_error=None)
    load.goes_on(top=200)


def test_a_disk_that_is_full_costs_predictions_their_log_and_nothing_else(scene: Scene) -> None:
    folder = scene.platform.settings.data_home / "predictions"
    with small_disk(folder):
        eventually(lambda: scene.health["predictions_dropped"] > 100, seconds=120)
        scene.load.goes_on(top=200)
        scene.says(model_version="1", last_error=None)
    logged = scene.health["predictions_logged"]
    eventually(lambda: scene.health["predictions_logged"] > logged + 100)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of a few blocks in the folder's place, until it is taken away."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_killed_under_load_it_starts_again_without_a_registry_with_the_last_good_model(scene: Scene) -> None:
    bodies = [CUSTOMER, FULL_CUSTOMER]
    before = [asked(scene.service, body) for body in bodies]
    scene.load.end()
    scene.service.process.send_signal(signal.SIGKILL)
    scene.service.ends()
    folder = scene.platform.folder.parent / "again"
    folder.mkdir()
    with (
        away(sqlite(scene.platform.settings.tracking_uri)) as kept,
        quick(folder, scene.platform.settings.data_home) as service,
    ):
        eventually(lambda: service.answers("/readyz"), seconds=120)
        again = Scene(scene.platform, service, scene.load, scene.versions)
        again.says(model_version="1", local_copy=True, registry_reachable=False)
        assert [asked(service, body) for body in bodies] == before
        again.promoted(1, kept)
        shutil.copy(kept, sqlite(scene.platform.settings.tracking_uri))
        again.says(model_version="2", local_copy=False, registry_reachable=True, last_error=None)


def asked(service: Started, body: dict[str, Any]) -> Any:
    answer = httpx.post(service.url + PREDICT, json=body, trust_env=False, timeout=60)
    assert answer.status_code == 200
    return answer.json()
