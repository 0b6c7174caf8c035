"""The demo source: it lands a log where there is none, goes on each day, and never touches a real one."""

import json
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from churn.errors import BadInput
from churn.io.raw import find_raw_files
from churn.settings import Settings
from churn.steps.ingest import ingest
from churn.steps.land_demo import DEMO, land_demo
from churn.steps.simulate import simulate

TODAY = date(2026, 3, 2)
DAY = timedelta(days=1)


def settings(home: Path, landing: Path | None = None, *, demo: bool = True, seed: int = 7) -> Settings:
    return Settings(
        home=home, landing=landing, demo=demo, demo_customers=20, demo_days=60, demo_seed=seed, _env_file=None
    )


def landed(of: Settings) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in of.landing_dir.glob("events-*")}


def truth_days(of: Settings) -> int:
    return len(set(pq.read_table(of.data_home / "demo" / "truth.parquet")["day"].to_pylist()))


def test_an_empty_landing_folder_gets_the_days_up_to_yesterday(tmp_path: Path) -> None:
    s = settings(tmp_path)
    report = land_demo(s, TODAY)
    assert (report.active, report.landed_files) == (True, 60)
    assert (report.start, report.end) == ("2026-01-01", "2026-03-01")
    assert set(landed(s)) == {f"events-{TODAY - DAY * d}.json.gz" for d in range(1, 61)}
    assert report.landed_events > 1_000
    assert truth_days(s) == 60


def test_ingestion_finds_the_daily_files_and_nothing_else(tmp_path: Path) -> None:
    s = settings(tmp_path)
    land_demo(s, TODAY)
    assert {f.path.name for f in find_raw_files([s.landing_dir])} == set(landed(s))


def test_the_same_day_again_lands_nothing(tmp_path: Path) -> None:
    s = settings(tmp_path)
    land_demo(s, TODAY)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.suffix != ".lock"}
    report = land_demo(s, TODAY)
    assert (report.active, report.landed_files, report.landed_events) == (True, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_days_that_have_passed_are_landed_as_one_log_would_have_held_them(tmp_path: Path) -> None:
    s = settings(tmp_path / "demo")
    land_demo(s, TODAY)
    old = landed(s)
    report = land_demo(s, TODAY + 3 * DAY)
    assert (report.landed_files, report.start, report.end) == (3, "2026-01-01", "2026-03-04")
    assert landed(s).items() > old.items()
    whole = tmp_path / "whole"
    simulate(whole, customers=20, days=63, seed=7, start=date(2026, 1, 1))
    assert landed(s) == {path.name: path.read_bytes() for path in whole.glob("events-*")}
    assert truth_days(s) == 63


def test_the_log_goes_on_with_the_parameters_it_was_begun_with(tmp_path: Path) -> None:
    land_demo(settings(tmp_path), TODAY)
    begun = landed(settings(tmp_path))
    land_demo(settings(tmp_path, seed=8), TODAY + DAY)
    land_demo(settings(tmp_path / "other"), TODAY + DAY)
    assert landed(settings(tmp_path)).items() > begun.items()
    simulate(tmp_path / "whole", customers=20, days=61, seed=7, start=date(2026, 1, 1))
    last = "events-2026-03-02.json.gz"
    assert landed(settings(tmp_path))[last] == (tmp_path / "whole" / last).read_bytes()


def test_a_missing_day_in_the_middle_is_written_again(tmp_path: Path) -> None:
    s = settings(tmp_path)
    land_demo(s, TODAY)
    whole = landed(s)
    for lost in ("events-2026-01-01.json.gz", "events-2026-02-14.json.gz"):
        (s.landing_dir / lost).unlink()
    assert land_demo(s, TODAY).landed_files == 2
    assert landed(s) == whole


def test_a_run_that_was_killed_is_completed(tmp_path: Path) -> None:
    s = settings(tmp_path)
    land_demo(s, TODAY)
    whole = landed(s)
    for name in sorted(whole)[5:]:  # the record is there, and of the files only the first
        (s.landing_dir / name).unlink()
    (s.landing_dir / ".events-2026-01-06.json.gz.part").write_bytes(b"half")
    (s.data_home / "demo" / "truth.parquet").unlink()
    assert land_demo(s, TODAY).landed_files == 55
    assert landed(s) == whole
    assert truth_days(s) == 60


def test_an_earlier_date_lands_nothing_and_takes_nothing_away(tmp_path: Path) -> None:
    s = settings(tmp_path)
    land_demo(s, TODAY)
    for earlier in (TODAY - 5 * DAY, date(2025, 1, 1)):
        report = land_demo(s, earlier)
        assert (report.active, report.landed_files, report.end) == (True, 0, "2026-03-01")
    assert len(landed(s)) == truth_days(s) == 60


@pytest.mark.parametrize("name", ["log.jsonl", "2026/events.parquet", "sales.CSV", "old.json.gz"])
def test_a_real_log_is_left_alone(tmp_path: Path, name: str) -> None:
    s = settings(tmp_path)
    real = s.landing_dir / name
    real.parent.mkdir(parents=True)
    real.write_text("{}")
    report = land_demo(s, TODAY)
    assert (report.active, report.landed_files) == (False, 0)
    assert real.name in report.reason
    assert [path for path in s.landing_dir.rglob("*") if path.is_file()] == [real]


def test_files_named_like_the_demos_but_without_its_record_are_a_real_log(tmp_path: Path) -> None:
    s = settings(tmp_path)
    s.landing_dir.mkdir(parents=True)
    (s.landing_dir / "events-2026-02-27.json.gz").write_text("mine")
    assert not land_demo(s, TODAY).active
    assert (s.landing_dir / "events-2026-02-27.json.gz").read_text() == "mine"


def test_the_demo_stops_when_a_real_log_arrives_beside_it(tmp_path: Path) -> None:
    s = settings(tmp_path)
    land_demo(s, TODAY)
    (s.landing_dir / "events-2026-03-02.json.gz").write_text("mine")  # named like a day that the demo has not landed
    report = land_demo(s, TODAY + 2 * DAY)
    assert not report.active
    assert "events-2026-03-02.json.gz" in report.reason
    assert "mix" in report.reason
    assert (s.landing_dir / "events-2026-03-02.json.gz").read_text() == "mine"
    assert len(landed(s)) == 61


def test_a_landing_folder_of_ones_own_is_never_filled(tmp_path: Path) -> None:
    for folder in ("missing", "empty"):
        s = settings(tmp_path / "home", tmp_path / folder)
        if folder == "empty":
            s.landing_dir.mkdir()
        report = land_demo(s, TODAY)
        assert not report.active
        assert "CHURN_LANDING" in report.reason
        assert not landed(s)
    assert not (tmp_path / "missing").exists()


def test_a_landing_folder_of_ones_own_that_holds_the_demo_goes_on(tmp_path: Path) -> None:
    land_demo(settings(tmp_path), TODAY)
    explicit = settings(tmp_path, tmp_path / "landing")
    assert land_demo(explicit, TODAY + DAY).landed_files == 1


def test_nothing_is_landed_when_the_demo_is_switched_off(tmp_path: Path) -> None:
    report = land_demo(settings(tmp_path, demo=False), TODAY)
    assert not report.active
    assert "CHURN_DEMO" in report.reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"customers": 20, "seed": 7, "start": "x", "end": "y"})])
def test_a_broken_record_is_said_and_nothing_is_written(tmp_path: Path, text: str) -> None:
    s = settings(tmp_path)
    s.landing_dir.mkdir(parents=True)
    (s.landing_dir / DEMO).write_text(text)
    with pytest.raises(BadInput, match="delete it"):
        land_demo(s, TODAY)
    assert not landed(s)


def test_a_real_log_is_not_mixed_into_a_home_that_holds_the_demo(tmp_path: Path) -> None:
    demo = settings(tmp_path / "home")
    land_demo(demo, TODAY)
    assert ingest(demo).new_events > 0
    simulate(tmp_path / "real", customers=10, days=3, seed=99, start=TODAY)
    with pytest.raises(BadInput, match="holds the generated demo log"):
        ingest(demo, [tmp_path / "real"])
    assert ingest(demo).new_events == 0  # the demo itself goes on


def test_no_demo_begins_in_a_home_that_holds_a_real_log(tmp_path: Path) -> None:
    simulate(tmp_path / "real", customers=10, days=3, seed=99, start=TODAY)
    real = settings(tmp_path / "home")
    ingest(real, [tmp_path / "real"])
    report = land_demo(real, TODAY)
    assert not report.active
    assert "real log" in report.reason
    assert not real.landing_dir.exists()
