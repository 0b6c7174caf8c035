"""A challenger that takes part: whom it answers, what is said of it, and when it is not asked any more."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from churn.io.registry import Models, ModelVersion
from churn.settings import Settings
from serving.local_copy import Package
from serving.rollout import CHALLENGER, CHAMPION, Serving, Terms, Trial, terms_of
from serving.served import Served, checked
from tests.serving.conftest import CUSTOMER, NAMES, Platform, eventually, platform_in, running

PREDICT, BATCH, HEALTH = "/api/churn/predict", "/api/churn/batch_predict", "/api/churn/health"


def served_of(models: Models, version: ModelVersion) -> Served:
    return checked(Package(version, models, {}, {}))


def tagged(version: ModelVersion, **tags: str) -> ModelVersion:
    named = {f"churn.rollout.{name}": value for name, value in tags.items()}
    return ModelVersion(version.version, "Staging", version.run_id, version.created_at, version.changed_at, named)


@pytest.fixture(scope="module")
def rolled_out(
    tmp_path_factory: pytest.TempPathFactory, first_models: Models, second_models: Models
) -> Iterator[tuple[Platform, httpx.Client]]:
    """Half of the customers are the challenger's."""
    platform = platform_in(tmp_path_factory.mktemp("rollout"), challenger_share=0.5)
    platform.promote(first_models)
    challenger = platform.register(second_models)
    platform.registry.stage(challenger, "a test")
    with running(platform.settings) as client:
        eventually(lambda: client.get(HEALTH).json()["challenger_version"] == challenger.version)
        yield platform, client


def test_a_customer_is_answered_by_the_same_version_every_time(rolled_out: tuple[Platform, httpx.Client]) -> None:
    _, client = rolled_out

    def version(key: str) -> str:
        return client.post(PREDICT, json=CUSTOMER, headers={"X-Customer-Key": key}).headers["x-model-version"]

    first = {str(key): version(str(key)) for key in range(60)}
    assert {str(key): version(str(key)) for key in range(60)} == first
    assert 15 <= list(first.values()).count("2") <= 45


def test_the_answer_is_that_of_the_version_it_names(
    rolled_out: tuple[Platform, httpx.Client], first_models: Models, second_models: Models
) -> None:
    _, client = rolled_out
    of = {"1": first_models, "2": second_models}
    for key in range(20):
        answer = client.post(PREDICT, json=CUSTOMER, headers={"X-Customer-Key": str(key)})
        row = np.array([[float(CUSTOMER[name]) for name in NAMES]])
        expected = of[answer.headers["x-model-version"]].core.predict_proba(row)[0]
        assert answer.json()["churn_probability"] == pytest.approx(expected, abs=1e-9)


def test_without_a_key_the_champion_answers(rolled_out: tuple[Platform, httpx.Client]) -> None:
    _, client = rolled_out
    assert {client.post(PREDICT, json=CUSTOMER).headers["x-model-version"] for _ in range(20)} == {"1"}
    assert client.post(BATCH, json=[CUSTOMER] * 3).headers["x-model-version"] == "1"


def test_tags_of_the_version_win_over_the_settings(served: Platform) -> None:
    version = served.registry.version("1")
    settings = Settings(_env_file=None, challenger_share=0.25, challenger_shadow=True)  # type: ignore[call-arg]
    assert terms_of(version, settings) == Terms(0.25, True)
    assert terms_of(tagged(version, share="0.5", shadow="false"), settings) == Terms(0.5, False)
    assert not terms_of(tagged(version, share="0", shadow="false"), settings)
    for wrong in ({"share": "half"}, {"share": "1.5"}, {"share": "nan"}, {"shadow": "perhaps"}):
        with pytest.raises(ValueError):
            terms_of(tagged(version, **wrong), settings)


def test_a_share_is_that_share_of_many_customers(served: Platform, second_models: Models) -> None:
    trial = Trial(served_of(second_models, served.registry.version("1")), Terms(0.1))
    taken = sum(trial.takes(f"customer {n}") for n in range(10_000))
    assert 850 < taken < 1150  # five standard deviations
    assert not any(Trial(trial.served, Terms(0.0)).takes(str(n)) for n in range(100))
    assert all(Trial(trial.served, Terms(1.0)).takes(str(n)) for n in range(100))


def test_a_challenger_that_fails_is_answered_for_and_then_withdrawn(
    served: Platform, first_models: Models, second_models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    champion = served_of(first_models, served.registry.version("1"))
    challenger = served_of(second_models, served.registry.version("1"))
    serving = Serving(champion, Trial(challenger, Terms(1.0)))
    assert serving.trial is not None
    asked: list[Served] = []

    def ask(version: Served) -> str:
        asked.append(version)
        if version is challenger:
            raise RuntimeError("a bad day")
        return "an answer"

    for _ in range(5):
        assert serving.answer("somebody", ask) == ("an answer", champion, CHAMPION)
    assert asked == [challenger, champion] * 3 + [champion] * 2
    assert serving.trial.withdrawn is not None and "a bad day" in serving.trial.withdrawn
    assert "the challenger is withdrawn" in caplog.text


def test_a_challenger_in_good_health_answers_its_customers(
    served: Platform, first_models: Models, second_models: Models
) -> None:
    champion = served_of(first_models, served.registry.version("1"))
    challenger = served_of(second_models, served.registry.version("1"))
    answer = Serving(champion, Trial(challenger, Terms(1.0))).answer("somebody", lambda version: version)
    assert answer == (challenger, challenger, CHALLENGER)


def test_a_challenger_that_is_not_fit_takes_no_part_and_health_says_so(
    tmp_path: Path, first_models: Models, second_models: Models
) -> None:
    platform = platform_in(tmp_path, challenger_share=1.0)
    platform.promote(first_models)
    before = set(platform.settings.artifact_root.rglob("core/model.json"))
    challenger = platform.register(second_models)
    (changed,) = set(platform.settings.artifact_root.rglob("core/model.json")) - before
    changed.write_text("{}")
    platform.registry.stage(challenger, "a test")
    with running(platform.settings) as client:
        eventually(lambda: client.get(HEALTH).json()["challenger_note"])
        health = client.get(HEALTH).json()
        assert "version 2 takes no part" in health["challenger_note"]
        assert (health["challenger_version"], health["last_error"]) == (None, None)
        answer = client.post(PREDICT, json=CUSTOMER, headers={"X-Customer-Key": "somebody"})
        assert (answer.status_code, answer.headers["x-model-version"]) == (200, "1")


def test_a_promoted_challenger_is_the_champion_and_nobodys_challenger(
    rolled_out: tuple[Platform, httpx.Client],
) -> None:
    platform, client = rolled_out
    platform.registry.promote(platform.registry.version("2"), "a test")
    eventually(lambda: client.get(HEALTH).json()["model_version"] == "2")
    eventually(lambda: client.get(HEALTH).json()["challenger_version"] is None)
    assert client.post(PREDICT, json=CUSTOMER, headers={"X-Customer-Key": "1"}).headers["x-model-version"] == "2"
