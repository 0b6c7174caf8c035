"""Monitoring on a service whose hazards are known: estimates that come true, warnings in time, no look ahead."""

import json
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from churn.core.assessment import assess, segments_of
from churn.core.evaluation import Economics
from churn.core.events import DAY_MS, EVENT_COLUMNS
from churn.core.model import CORE, FULL
from churn.core.training import train
from churn.errors import NotReady
from churn.io.checks import Check, Checks
from churn.io.lake import Lake, write_json, write_parquet
from churn.io.registry import Candidate, Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.monitor import MonitorReport, monitor
from churn.steps.request_retraining import request_retraining
from churn.steps.watch_cancellations import holdout_level
from tests.moves import settings_of

START = date(2026, 3, 2)
HORIZON, NIGHTS, CUSTOMERS = 14, 44, 1_200
HOLDOUT_AUC = 0.74
THRESHOLD = 1 / 3
_ZERO_MS = int(datetime(START.year, START.month, START.day, tzinfo=UTC).timestamp() * 1000)


def day(number: int) -> date:
    return START + timedelta(days=number)


@dataclass(frozen=True, eq=False)
class Service:
    """Customers with a constant hazard each; who pays, and on which day they cancel (beyond the log: not in it)."""

    hazard: NDArray[np.float64]
    paid: NDArray[np.bool_]
    cancels_on: NDArray[np.int64]

    @property
    def ids(self) -> NDArray[np.str_]:
        return np.char.add("c", np.char.zfill(np.arange(len(self.hazard)).astype(str), 5))

    def probability(self) -> NDArray[np.float64]:
        return 1 - (1 - self.hazard) ** HORIZON


def service(seed: int, *, risen_on: int | None = None) -> Service:
    """Some 8 % cancel within the horizon. From day ``risen_on`` on, the hazard of who pays is doubled."""
    rng = np.random.default_rng(seed)
    hazard = np.exp(rng.normal(np.log(0.0045), 0.9, CUSTOMERS)).clip(0, 0.1)
    paid = np.arange(CUSTOMERS) % 2 == 0
    daily = np.repeat(hazard[:, None], NIGHTS + HORIZON, axis=1)
    if risen_on is not None:
        daily[paid, risen_on:] *= 2
    happens = rng.random(daily.shape) < daily
    return Service(hazard, paid, np.where(happens.any(axis=1), happens.argmax(axis=1), 10_000))


def write_log(lake: Lake, of: Service, days: Sequence[int]) -> None:
    """An event a day of everybody who is there, and the cancellation."""
    for number in days:
        there, leaving = of.cancels_on >= number, of.cancels_on == number
        ids = np.concatenate([of.ids[there], of.ids[leaving]])
        kinds = ["play"] * int(there.sum()) + ["cancel"] * int(leaving.sum())
        times = _ZERO_MS + number * DAY_MS + np.where(np.array(kinds) == "play", 3_600_000, 7_200_000)
        table = pa.table(
            {
                "customer_id": ids, "ts_ms": times, "session_id": np.full(len(ids), f"s{number}"), "kind": kinds,
                "plan": np.where(np.concatenate([of.paid[there], of.paid[leaving]]), "paid", "free"),
                "registered_ms": np.full(len(ids), _ZERO_MS - 99 * DAY_MS),
                "item_in_session": np.zeros(len(ids), np.int32), "duration_s": np.zeros(len(ids)),
                "ingested_ms": times,
            }
        )  # fmt: skip
        assert table.column_names == list(EVENT_COLUMNS)
        write_parquet(lake.event_partition(day(number)), table)


def publish(settings: Settings, of: Service, number: int, version: str = "1", *, blind: bool = False) -> None:
    """The true probabilities of who is there; ``blind``: of somebody else."""
    there = of.cancels_on >= number
    p = of.probability()[there]
    if blind:
        p = np.random.default_rng(number).permutation(p)
    with closing(ScoreBook(settings.score_database)) as book:
        book.publish(
            day(number), version, of.ids[there].tolist(), p, (p >= THRESHOLD).astype(np.int64), threshold=THRESHOLD
        )
    features = {
        "customer_id": of.ids[there], "is_paid_user": of.paid[there].astype(float),
        "days_since_registration": np.where(np.arange(CUSTOMERS)[there] % 3 == 0, 200.0, 40.0) + number,
    }  # fmt: skip
    write_parquet(Lake(settings.data_home).features(day(number)), pa.table(features))


def register(settings: Settings, identities: Sequence[str], folder: Path) -> None:
    """Small versions with what a training stores: the hold-out's figures, of a service like the one that is scored."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    model = train(x, (rng.random(200) < 1 / (1 + np.exp(-x["a"]))).astype(int), trials=0)
    past = service(99)
    rows = pd.DataFrame({"is_paid_user": past.paid.astype(float), "days_since_registration": 50.0})
    holdout = assess(
        (past.cancels_on < HORIZON).astype(int), past.probability(), past.ids,
        threshold=THRESHOLD, economics=Economics(), segments=segments_of(rows), resamples=20,
    )  # fmt: skip
    write_json(folder / "evaluation.json", {"holdout": {FULL: asdict(holdout)}})
    tags = {"as_of": str(START), "holdout_snapshot": str(day(-14)), "horizon_days": str(HORIZON)}
    metrics = {"roc_auc": HOLDOUT_AUC}
    for identity in identities:
        Registry(settings).register(
            Candidate({CORE: model, FULL: model}, "a", "b", identity, {}, metrics, tags, folder, x.head(2))
        )


@pytest.fixture(scope="module")
def calm() -> Service:
    return service(1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path, calm: Service) -> Path:
    """Two registered versions, the first in production, which has scored 35 calm nights."""
    path = tmp_path_factory.mktemp("monitored")
    (path / "mlflow").mkdir()
    shutil.copy(empty_mlflow, path / "mlflow" / "mlflow.db")
    settings = settings_of(path)
    register(settings, ("1", "2"), path / "files")
    Registry(settings).promote(Registry(settings).version("1"), "the first")
    write_log(Lake(path), calm, range(35))
    for number in range(35):
        publish(settings, calm, number)
    return path


@pytest.fixture
def bare(home: Path, tmp_path: Path) -> Settings:
    """A data home of one's own with these versions, and nothing else."""
    (tmp_path / "house" / "mlflow").mkdir(parents=True)
    shutil.copy(home / "mlflow" / "mlflow.db", tmp_path / "house" / "mlflow" / "mlflow.db")
    return settings_of(tmp_path / "house")


@pytest.fixture
def house(home: Path, bare: Settings) -> Settings:
    """The same with the calm nights: monitoring as of one of them must not see the later ones."""
    for folder in ("events", "features"):
        (bare.data_home / folder).symlink_to(home / folder)
    for file in home.glob("scores.db*"):
        shutil.copy(file, bare.data_home)
    return bare


def lived(
    settings: Settings, of: Service, until: int, *, blind: bool = False, but: Sequence[int] = ()
) -> MonitorReport:
    """Publish every night before ``until`` (``but`` some), and monitor as of it."""
    write_log(Lake(settings.data_home), of, range(until))
    for number in range(until + 1):
        if number not in but:
            publish(settings, of, number, blind=blind)
    return monitor(settings, day(until))


def checks(settings: Settings) -> dict[str, Check]:
    with closing(Checks(settings.score_database)) as table:
        return {check.what: check for check in table.all()}


def test_before_the_first_outcome_there_is_an_estimate_and_it_says_that_it_is_one(
    house: Settings, calm: Service
) -> None:
    report = monitor(house, day(5))
    assert (report.realised, report.degraded, report.early_warnings, report.alarm) == (None, False, (), False)
    assert report.expected["churned"] == pytest.approx(calm.probability()[calm.cancels_on >= 5].sum())
    assert f"can be judged once the events up to {day(14)} are there" in report.summary
    page = Path(report.report).read_text()
    assert "as if they were right: nobody knows yet" in page
    assert "What happened, and what had been expected" not in page
    assert {what: check.alarm for what, check in checks(house).items()} == {
        "performance": False,
        "early_warning": False,
    }
    assert checks(house)["performance"].detail["expected"]["night"] == str(day(5))


def test_what_had_been_expected_stands_beside_what_happened(house: Settings, calm: Service) -> None:
    report = monitor(house, day(34))
    found = report.realised
    assert found is not None
    assert (found["first_night"], found["last_night"], found["nights"]) == (str(day(14)), str(day(20)), 7)
    # Counted by hand from the truth: who was there on each of these nights, and left within 14 days.
    nights = [(calm.cancels_on >= n) & (calm.cancels_on < n + HORIZON) for n in range(14, 21)]
    assert found["churned"] == np.sum(nights)
    assert found["churned_customers"] == np.any(nights, axis=0).sum()
    assert found["rows"] == sum((calm.cancels_on >= n).sum() for n in range(14, 21))
    assert found["roc_auc_low"] < found["expected_roc_auc"] < found["roc_auc_high"]
    assert found["profit_low"] < found["expected_profit"] < found["profit_high"]
    assert not report.alarm
    assert "no degradation" in report.summary
    kept = json.loads(Path(report.report).with_suffix(".json").read_text())
    known = [line["realised"] is not None for line in kept["nights"]]
    assert known == [True] * 21 + [False] * 14
    assert checks(house)["performance"].detail["realised"]["roc_auc"] == found["roc_auc"]
    assert {kind: set(parts) for kind, parts in kept["assessment"]["segments"].items()}["plan"] == {"free", "paid"}
    watched = kept["watch"]
    assert np.sum(watched["observed"], axis=0)[0] == (calm.cancels_on < 34).sum()


def test_the_same_night_again_gives_the_same_whatever_happened_since(house: Settings, calm: Service) -> None:
    (house.data_home / "events").unlink()
    write_log(Lake(house.data_home), calm, range(30))
    report = monitor(house, day(30))
    files = [Path(report.report), Path(report.report).with_suffix(".json")]
    before, recorded = [file.read_bytes() for file in files], checks(house)
    everybody_left = Service(calm.hazard, calm.paid, np.where(calm.cancels_on >= 30, 30, calm.cancels_on))
    write_log(Lake(house.data_home), everybody_left, range(30, 45))
    assert monitor(house, day(30)) == report
    assert [file.read_bytes() for file in files] == before
    again = checks(house)
    assert {what: c.detail for what, c in again.items()} == {what: c.detail for what, c in recorded.items()}
    later = monitor(house, day(44)).realised
    assert later is not None and report.realised is not None
    assert later["churned"] > 5 * report.realised["churned"]


def test_a_price_rise_rings_before_any_of_its_outcomes_are_known(bare: Settings) -> None:
    risen = 16
    of = service(3, risen_on=risen)
    write_log(Lake(bare.data_home), of, range(risen + 14))
    for number in range(risen + 15):
        publish(bare, of, number)
    assert not monitor(bare, day(risen)).alarm
    report = monitor(bare, day(risen + 14))
    assert report.alarm and not report.degraded
    assert any(w.startswith("paid: more cancel than the scores expected") for w in report.early_warnings)
    assert not any(w.startswith("free") for w in report.early_warnings)
    assert report.summary.startswith(report.early_warnings[0])
    asked = request_retraining(bare, day(risen + 14))
    assert asked.requested
    assert asked.reason.startswith(f"early warning since {day(risen + 14)}")
    assert "more than expected" in Path(report.report).read_text()


def test_scores_that_rank_no_more_are_a_degradation_and_ask_for_a_retraining(bare: Settings, calm: Service) -> None:
    report = lived(bare, calm, 20, blind=True)
    assert report.degraded and report.alarm
    assert report.early_warnings == ()  # as many leave as before, only others
    assert report.realised is not None
    assert report.realised["roc_auc_high"] < 0.95 * HOLDOUT_AUC < report.realised["expected_roc_auc"]
    asked = request_retraining(bare, day(20))
    assert asked.requested
    assert "degradation since" in asked.reason
    assert "The model has degraded" in Path(report.report).read_text()


def test_the_hold_out_says_how_far_the_level_is_off(house: Settings) -> None:
    registry = Registry(house)
    level, past = holdout_level(registry, registry.version("1")), service(99)
    left = past.cancels_on < HORIZON
    assert level["everybody"] == pytest.approx((left.sum(), past.probability().sum()))
    assert level["paid"] == pytest.approx((left[past.paid].sum(), past.probability()[past.paid].sum()))


def test_missing_nights_and_missing_days_of_the_log_are_left_out(bare: Settings, calm: Service) -> None:
    lived(bare, calm, 20, but=(3, 4, 8))
    Lake(bare.data_home).event_partition(day(12)).unlink()
    report = monitor(bare, day(20))
    assert report.realised is not None
    assert report.realised["nights"] == 5  # of those from day 0 to day 6
    nights = json.loads(Path(report.report).with_suffix(".json").read_text())["watch"]["nights"]
    assert nights == [str(day(n)) for n in range(20) if n not in (3, 4, 8, 12)]
    assert not report.early_warnings


def test_a_version_that_paused_is_judged_by_the_last_nights_it_published(bare: Settings, calm: Service) -> None:
    report = lived(bare, calm, 30, but=range(8, 25))  # nights up to day 16 have matured
    found = report.realised
    assert found is not None
    assert (found["first_night"], found["last_night"], found["nights"]) == (str(day(1)), str(day(7)), 7)
    assert "can be judged once" not in report.summary


def test_after_a_promotion_the_new_version_is_judged_and_the_old_one_shown(house: Settings) -> None:
    registry = Registry(house)
    registry.promote(registry.version("2"), "better")
    report = monitor(house, day(24))
    assert (report.model_version, report.expected, report.realised, report.alarm) == ("2", {}, None, False)
    assert "published no scores yet" in report.summary
    others = json.loads(Path(report.report).with_suffix(".json").read_text())["other_versions"]
    assert (list(others), others["1"]["last_night"]) == (["1"], str(day(10)))
    assert "not in production" in Path(report.report).read_text()
    assert not request_retraining(house, day(24)).requested


def test_nights_in_the_shadow_count_for_the_version_that_scored_them(bare: Settings, home: Path, calm: Service) -> None:
    (bare.data_home / "events").symlink_to(home / "events")
    there = calm.cancels_on >= 2
    p = calm.probability()[there]
    with closing(ScoreBook(bare.score_database)) as book:
        book.publish(
            day(2), "1", calm.ids[there].tolist(), p, np.zeros(len(p), np.int64), threshold=THRESHOLD, shadow=True
        )
    report = monitor(bare, day(20))
    assert report.realised is not None
    assert report.realised["churned"] == ((calm.cancels_on >= 2) & (calm.cancels_on < 16)).sum()


def test_a_long_horizon_is_waited_for(bare: Settings, calm: Service) -> None:
    Registry(bare).versions()  # points MLflow at the store
    mlflow.MlflowClient().set_model_version_tag("churn", "1", "horizon_days", "57")
    write_log(Lake(bare.data_home), calm, range(NIGHTS + HORIZON))
    publish(bare, calm, 0)
    assert monitor(bare, day(56)).realised is None
    report = monitor(bare, day(58))
    assert report.realised is not None
    assert report.realised["churned"] == (calm.cancels_on < 57).sum()


def test_who_leaves_by_staying_away_is_judged_without_an_early_warning(house: Settings) -> None:
    shop = house.model_copy(update={"contract": "transactions"})
    report = monitor(shop, day(20))
    assert "on no day that could be counted" in report.summary
    assert report.realised is not None
    assert report.realised["churned"] == 0  # whoever was scored has an event on that day
    assert checks(shop)["early_warning"].detail == {"nights": []}


def test_without_a_model_in_production_there_is_nothing_to_monitor(settings: Settings) -> None:
    with pytest.raises(NotReady, match="no model is in production"):
        monitor(settings, START)
    assert not request_retraining(settings, START).requested
