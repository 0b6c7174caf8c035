"""What a model must do whatever it was trained on, and that each way of not doing it is noticed."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from churn.core.behaviour import CHECKS, LATENCY_MS, check_behaviour, failures
from churn.errors import BadInput

TABLE = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)), columns=["a", "b", "c"])


class Sound:
    """Looks at each row by itself, by the names of the columns."""

    features: tuple[str, ...] = ("a", "b")

    def predict_proba(self, table: Any) -> Any:
        return 1 / (1 + np.exp(-table["a"].to_numpy() - 0.5 * table["b"].to_numpy()))


class Moody(Sound):
    asked = 0

    def predict_proba(self, table: Any) -> Any:
        self.asked += 1
        return super().predict_proba(table) * (1 - 1e-9 * self.asked)


class Crowd(Sound):
    def predict_proba(self, table: Any) -> Any:
        return np.clip(super().predict_proba(table) - 1e-6 * len(table), 0, 1)


class Lined(Sound):
    """Takes the first column, whichever it is, and a row's place in line."""

    def predict_proba(self, table: Any) -> Any:
        return 1 / (1 + np.exp(-table.iloc[:, 0].to_numpy()))


class Wild(Sound):
    def predict_proba(self, table: Any) -> Any:
        return super().predict_proba(table) + np.where(table["a"].to_numpy() > 1, np.nan, 0.0)


class Other(Sound):
    def predict_proba(self, table: Any) -> Any:
        return super().predict_proba(table) * 0.5


class Refusing(Sound):
    def predict_proba(self, table: Any) -> Any:
        raise BadInput("no such column")


class Unknown(Sound):
    features = ("a", "b", "z")


class Short(Sound):
    features = ("a",)


def asked(model: Any, *, reloaded: Any = None, milliseconds: float = 0.5) -> Any:
    return check_behaviour(
        model, TABLE, ["a", "b"], reloaded=lambda: reloaded or type(model)(), milliseconds=lambda: milliseconds
    )


def test_a_sound_model_passes_every_check() -> None:
    checks = asked(Sound())
    assert tuple(check.name for check in checks) == CHECKS
    assert failures(checks) == ()


@pytest.mark.parametrize(
    ("model", "fails"),
    [
        (Moody(), "deterministic"),
        (Crowd(), "batch"),
        (Lined(), "order"),
        (Wild(), "probabilities"),
        (Unknown(), "schema"),
        (Short(), "schema"),
        (Refusing(), "probabilities"),
    ],
)
def test_each_misbehaviour_is_noticed(model: Any, fails: str) -> None:
    found = {check.name: check for check in asked(model)}
    assert not found[fails].passed
    assert any(failure.startswith(fails) for failure in failures(list(found.values())))


def test_a_saved_form_that_answers_otherwise_is_noticed() -> None:
    assert failures(asked(Sound(), reloaded=Other()))[0].startswith("saved: saved and read back: differs by up to")


def test_the_measured_time_is_said_only_where_it_is_too_long() -> None:
    assert asked(Sound(), milliseconds=0.4) == asked(Sound(), milliseconds=0.5)
    assert "9.0 ms" in failures(asked(Sound(), milliseconds=9.0))[0]
    assert failures(asked(Sound(), milliseconds=LATENCY_MS)) == ()


def test_a_check_that_was_not_made_counts_as_failed() -> None:
    checks = asked(Sound())
    assert failures(checks[:-1]) == ("latency: not checked",)
    assert len(failures(())) == len(CHECKS)
    assert set(failures(asked(Unknown()))) >= {f"{name}: not checked" for name in CHECKS if name != "schema"}
