"""What the measured error rates rest on: worlds as ingestion gives them, the truth about them, and the records."""

import importlib.util
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.compute as pc
import pytest

from benchmarks.decision_records import Records, made_by, share
from benchmarks.decision_tables import quiet_drift
from benchmarks.world_truth import expected_log_loss, true_probability
from benchmarks.worlds import START, Service, World, build, features, moment, panel, world_of
from churn.core.simulated_change import Change
from churn.io.contracts import load_contract
from churn.io.event_kinds import events_by_kind
from churn.io.lake import Lake
from churn.io.point_in_time import features_at, panel_at
from churn.settings import Settings
from churn.steps.ingest import ingest
from churn.steps.simulate import simulate

SMALL = Service(11, customers=80, days=40, change=Change(30, hazard=3.0, plan="paid", renamed={"Help": "FAQ"}))


@pytest.fixture(scope="module")
def world() -> World:
    return build(SMALL)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The same service, the way a user's log goes."""
    home = tmp_path_factory.mktemp("home")
    simulate(home / "log", customers=SMALL.customers, days=SMALL.days, seed=SMALL.seed, start=START,
             change=SMALL.change)  # fmt: skip
    settings = Settings(home=home, _env_file=None)  # type: ignore[call-arg]
    ingest(settings, [home / "log"])
    return Lake(settings.data_home)


@pytest.mark.parametrize("history_days", [None, 10])
def test_a_nights_features_are_those_of_the_ingested_log_bit_for_bit(
    world: World, lake: Lake, history_days: int | None
) -> None:
    nights = (25, 33, 40)
    found = features(world, nights, history_days=history_days)
    for night in nights:
        assert len(found[night]) > 20
        assert found[night].equals(features_at(lake, moment(night), history_days=history_days).to_pandas())


def test_a_panel_is_that_of_the_ingested_log(world: World, lake: Lake) -> None:
    days = (12, 19, 26)
    wanted = panel_at(lake, moment(40), [moment(day) for day in days], load_contract("sparkify")).to_pandas()
    found = panel(world, days, 14)
    assert found["churned"].sum() > 0
    assert [moment(day) for day in found["as_of"]] == list(wanted["as_of"])
    assert found.drop(columns="as_of").equals(wanted[found.columns].drop(columns="as_of"))


def test_a_days_events_and_what_is_in_quarantine_are_counted_as_ingestion_does(world: World, lake: Lake) -> None:
    for day in (5, 35):
        pages = {f"page {page!r}": n for page, n in world.unknown[day].items()}
        contract, tomorrow = load_contract("sparkify"), moment(day) + timedelta(days=1)
        # Of so few customers a page would not be named, were the name not known.
        assert events_by_kind(lake, contract, moment(day), tomorrow, named=pages) == world.kinds[day] | pages
    assert not world.unknown[29]
    assert list(world.unknown[30]) == ["FAQ"]


def test_a_world_that_was_kept_is_the_one_that_was_lived(world: World, tmp_path: Path) -> None:
    lived, kept = world_of(SMALL, tmp_path), world_of(SMALL, tmp_path)
    for one in (lived, kept):
        assert one.session_days.equals(world.session_days)
        assert one.truth.equals(world.truth)
        assert (one.kinds, one.unknown, one.change) == (world.kinds, world.unknown, world.change)


def test_as_many_leave_as_the_true_probabilities_say_also_over_a_change() -> None:
    world = build(Service(5, customers=4_000, days=50, change=Change(30, hazard=2.0, plan="paid")))
    for day in (16, 23, 36):  # before the change, over it, after it
        rows = panel(world, [day], 14)
        truth = true_probability(world, rows["customer_id"], day, 14)
        for of in (rows["is_paid_user"] == 1, rows["is_paid_user"] == 0, truth > np.quantile(truth, 0.9)):
            p, left = truth[of], rows["churned"].to_numpy()[of].sum()
            assert abs(left - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())


def test_over_one_day_the_true_probability_is_the_hazard(world: World) -> None:
    for day in (20, 35):
        on_day = world.truth.filter(pc.equal(world.truth["day"], day)).to_pandas()
        found = true_probability(world, on_day["customer_id"], day, 1)
        # But for changes of plan within the day, which the simulator lets count from the next one on.
        assert found == pytest.approx(on_day["hazard"].to_numpy(), rel=0.25)
        assert found.sum() == pytest.approx(on_day["hazard"].sum(), rel=0.03)


def test_nobody_expects_a_lower_log_loss_than_who_knows_the_truth() -> None:
    truth = np.random.default_rng(3).beta(1, 9, size=500)
    best = expected_log_loss(truth, truth)
    for other in (np.full(500, truth.mean()), truth * 1.1, truth**1.1):
        assert expected_log_loss(truth, other) > best


def test_a_killed_run_goes_on_with_the_records_of_the_same_code(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    Records(path, "this code").add(1, {"delay": 3})
    Records(path, "other code").add(2, {"delay": 9})
    with path.open("a") as file:
        file.write('\n{"seed": 3, "made": "this co')
    again = Records(path, "this code")
    assert again.found == {1: {"delay": 3}}
    again.add(3, {"delay": None})
    assert Records(path, "this code").found == {1: {"delay": 3}, 3: {"delay": None}}


def test_code_is_the_same_whatever_it_says_about_itself(tmp_path: Path) -> None:
    versions = [
        '"""One."""\nLIMIT = 1\n',
        '"""Another."""\n# Why.\nLIMIT = 1\n"""What it limits."""\n',
        '"""One."""\nLIMIT = 2\n',
    ]
    found = [made_by(_module(tmp_path / f"version_{n}.py", text)) for n, text in enumerate(versions)]
    assert found[0] == found[1] != found[2]


def test_shares_have_exact_intervals() -> None:
    assert share(0, 10)[1:] == pytest.approx((0.0, 1 - 0.025 ** (1 / 10)))
    assert share(10, 10)[1:] == pytest.approx((0.025 ** (1 / 10), 1.0))
    assert share(5, 10)[1:] == pytest.approx((0.1871, 0.8129), abs=1e-4)


def test_a_week_counts_once_however_often_it_rings() -> None:
    worlds = [{"drift": [90, 92, 96, 97], "drifted": {90: ["x"]}}, {"drift": [], "drifted": {}}]
    assert "2 of 20: 10.0 %" in quiet_drift(worlds)
    assert "1 of 2: 50.0 %" in quiet_drift(worlds)


def _module(path: Path, text: str) -> ModuleType:
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
