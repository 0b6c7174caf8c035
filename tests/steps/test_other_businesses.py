"""Businesses whose customers leave by staying away: a gym with a contract of its own, and a shop (CDNOW)."""

from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.cdnow import TRANSACTIONS
from benchmarks.resemblance import default_data
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.build_features import build_features
from churn.steps.build_panel import PanelReport, build_panel
from churn.steps.ingest import ingest
from churn.steps.score import score
from churn.steps.train import train
from churn.steps.validate_features import validate_features

GYM = """
name = "gym"
title = "Check-ins of a gym's members"
churn = "lapse"
horizon_days = 30

[columns]
customer_id = { from = "member", read = "text" }
ts_ms = { from = "checked in at", read = "date", required = true }
session_id = { from = "checked in at", read = "day", required = true }
kind = { from = "what", required = true }
plan = { from = "tariff", required = true }
registered_ms = { from = "member since", read = "date" }

[raw]
personal = ["name"]

[kinds]
training = "play"
course = "play"
bar = "browse"

[plans]
trial = "free"
monthly = "paid"
"""
OPENED = datetime(2026, 1, 1, 18, tzinfo=UTC)
AS_OF = date(2026, 5, 1)
"""Its panel holds out 2026-04-01 and is trained on cut-offs up to 2026-03-02."""


def check_ins(member: str, days: Iterable[int], *, what: str = "training", tariff: str = "monthly") -> list[str]:
    """One line per day, counted from the opening."""
    return [f"{member},{OPENED + timedelta(days=day):%Y-%m-%d %H:%M},{what},{tariff},2025-12-24,Zoe" for day in days]


@pytest.fixture
def gym(tmp_path: Path) -> Settings:
    """A log of four members and of a visitor without a card, under the gym's own contract."""
    (tmp_path / "gym.toml").write_text(GYM)
    lines = [
        *check_ins("regular", range(0, 120, 3)),
        *check_ins("lapsed", range(0, 80, 4), what="course"),  # last on 2026-03-18
        *check_ins("late", range(69, 120, 5), tariff="trial"),  # first on 2026-03-11, last on the log's last day
        *check_ins("back", [*range(0, 60, 7), 95]),  # away in March, back on 2026-04-06
        *check_ins("", [5, 6]),
        *check_ins("regular", [30], what="sauna"),  # the contract does not know it
    ]
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "gym.csv").write_text(
        "\n".join(["member,checked in at,what,tariff,member since,name", *lines]) + "\n"
    )
    settings = Settings(home=tmp_path / "home", contract=str(tmp_path / "gym.toml"), _env_file=None)  # type: ignore[call-arg]
    report = ingest(settings, [tmp_path / "log"])
    assert (report.set_aside, report.broken_rules) == (2, {"what is known to the contract": 1})
    return settings


def panel_of(report: PanelReport) -> pd.DataFrame:
    return pd.read_parquet(report.path).set_index(["as_of", "customer_id"])


def test_a_contract_of_ones_own_needs_no_code(gym: Settings) -> None:
    built = build_features(gym, AS_OF)
    assert validate_features(gym, AS_OF).customers == built.customers == 4
    features = pd.read_parquet(built.path).set_index("customer_id")
    assert features.loc["regular", ["total_sessions", "total_songs_played", "is_paid_user"]].tolist() == [40, 40, 1]
    assert features.loc["late", "is_paid_user"] == 0
    assert features.loc["lapsed", "time_since_last_activity"] == pytest.approx(43.25)  # from 18:00 on 2026-03-18
    assert (features["days_since_registration"] == 128).all()  # what the log says, not its first event


def test_members_churn_by_staying_away_for_the_contracts_horizon(gym: Settings) -> None:
    report = build_panel(gym, AS_OF)
    assert (report.holdout_snapshot, report.horizon_days) == ("2026-04-01", 30)
    assert report.training_snapshots[-1] == "2026-03-02"
    churned = panel_of(report)["churned"]
    assert churned[date(2026, 4, 1)].to_dict() == {"regular": 0, "lapsed": 1, "late": 0, "back": 0}
    assert churned[date(2026, 3, 2)].to_dict() == {"regular": 0, "lapsed": 0, "back": 1}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_cdnow_goes_through_the_steps_and_the_model_is_ahead_of_recency_out_of_time(settings: Settings) -> None:
    path = default_data() / TRANSACTIONS
    if not path.is_file():
        pytest.skip(f"left out: no {TRANSACTIONS} in CHURN_TEST_DATA or in shared/data beside the repository")
    # One cut-off and no search: a minute instead of ten, and less than the product does.
    shop = settings.model_copy(update={"contract": "transactions", "panel_snapshots": 1, "search_trials": 0})
    ingest(shop, [path])
    as_of = date(1998, 7, 1)
    found = train(shop, as_of)
    assert (found.stage, found.holdout_customers, found.training_rows) == ("Production", 23_570, 23_570)
    for metrics in (found.metrics, found.core_metrics):
        assert metrics["roc_auc"] > metrics["recency_rule_roc_auc"] + 0.004
        assert metrics["log_loss"] < metrics["recency_rule_log_loss"] - 0.015
        assert metrics["ece"] < 0.04
    published = score(shop, as_of)
    assert published.customers == 23_570
    with closing(ScoreBook(shop.score_database)) as book:
        assert len(book.top(30_000)) == 23_570
