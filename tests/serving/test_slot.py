"""The slot by itself, beside registries and copies that do what real ones do rarely."""

import multiprocessing
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from churn.errors import ContractViolation, Unavailable
from churn.io.registry import Current, Models, ModelVersion, Registry
from churn.settings import Settings
from serving import app
from serving.local_copy import LocalCopies, Package
from serving.rollout import Terms
from serving.slot import ModelSlot
from tests.serving.conftest import Platform, running


class Said:
    """A registry that says what it is told to say."""

    def __init__(self) -> None:
        self.says: Callable[[], Current] = lambda: Current(None, None)

    def current(self) -> Current:
        return self.says()


class Held:
    """Copies of whatever is asked for, but of the versions that are bad."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.bad: set[str] = set()

    def fetch(self, _: object, version: ModelVersion) -> Package:
        if version.version in self.bad:
            raise ContractViolation("a file differs")
        return Package(version, self._models, {}, {})

    def remember(self, _: ModelVersion) -> None:
        pass

    def last_good(self) -> None:
        return None


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def held(first_models: Models) -> Held:
    return Held(first_models)


@pytest.fixture
def slot(tmp_path: Path, said: Said, held: Held) -> ModelSlot:
    settings = Settings(home=tmp_path, challenger_share=0.5, _env_file=None)  # type: ignore[call-arg]
    made = ModelSlot(settings)
    made._registry, made._copies = said, held  # type: ignore[assignment]
    return made


@pytest.fixture
def version(served: Platform) -> ModelVersion:
    return served.registry.version("1")


def away() -> Current:
    raise Unavailable("the registry is away")


def test_the_same_number_of_another_registry_is_another_version(
    slot: ModelSlot, said: Said, version: ModelVersion
) -> None:
    said.says = lambda: Current(version, None)
    slot.look()
    other = replace(version, run_id="another run")
    said.says = lambda: Current(other, None)
    slot.look()
    assert slot.served is not None
    assert slot.served.version == other


def test_why_a_version_was_refused_is_said_again_after_an_outage(
    slot: ModelSlot, said: Said, held: Held, version: ModelVersion
) -> None:
    said.says = lambda: Current(version, None)
    slot.look()
    bad = replace(version, version="2", run_id="bad")
    held.bad.add("2")
    refused = "version 2 was not taken: ContractViolation: a file differs"
    for says, reachable, error in (
        (lambda: Current(bad, None), True, refused),
        (away, False, "Unavailable: the registry is away"),
        (lambda: Current(bad, None), True, refused),
    ):
        said.says = says
        slot.look()
        assert (slot.watch.reachable, slot.watch.error) == (reachable, error)
    assert slot.served is not None and slot.served.version == version


def test_a_tag_that_says_nothing_is_counted_once_and_a_withdrawal_outlives_it(
    slot: ModelSlot, said: Said, version: ModelVersion
) -> None:
    challenger = replace(version, version="2", run_id="challenger", stage="Staging", tags={})
    said.says = lambda: Current(version, challenger)
    slot.look()
    assert slot.serving is not None and slot.serving.trial is not None
    for _ in range(3):
        slot.serving.trial.failed(RuntimeError("a bad day"))
    before = slot.failures
    said.says = lambda: Current(version, replace(challenger, tags={"churn.rollout.share": "some"}))
    for _ in range(5):
        slot.look()
    assert slot.failures == before + 1
    assert slot.serving.trial is None
    assert slot.watch.challenger is not None and "could not convert" in slot.watch.challenger
    said.says = lambda: Current(version, replace(challenger, tags={"churn.rollout.share": "0.2"}))
    slot.look()
    assert slot.serving.trial is not None
    assert slot.serving.trial.terms == Terms(0.2)
    assert slot.serving.trial.withdrawn is not None


def test_two_workers_that_fetch_the_same_version_at_once_both_have_it(served: Platform, tmp_path: Path) -> None:
    version, kept = served.registry.version("1"), LocalCopies(tmp_path / "copies")

    class Slower:
        """While it downloads, another worker has finished."""

        def __getattr__(self, name: str) -> object:
            return getattr(served.registry, name)

        def download(self, wanted: ModelVersion, directory: Path) -> dict[str, Path]:
            LocalCopies(tmp_path / "copies").fetch(served.registry, wanted)
            return served.registry.download(wanted, directory)

    registry: Registry = Slower()  # type: ignore[assignment]
    assert kept.fetch(registry, version).version == version
    assert len(list((tmp_path / "copies").iterdir())) == 1
    shutil.rmtree(tmp_path / "copies")


def test_one_of_several_processes_waits_for_its_first_model_but_not_for_ever(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(ModelSlot, "look", lambda slot: answers.wait(60))
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: "the one that started it")
    monkeypatch.setattr(app, "_FIRST_LOOK_SECONDS", 1.0)
    asked = time.monotonic()
    try:
        with running(platform.settings) as client:
            assert time.monotonic() - asked >= 1
            assert client.get("/livez").status_code == 200
            assert client.get("/readyz").status_code == 503
    finally:
        answers.set()
