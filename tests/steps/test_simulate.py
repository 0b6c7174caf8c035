"""Simulated logs on disk: what they hold, how longer ones relate to shorter ones, and what a killed run leaves."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from churn.errors import BadInput
from churn.io import raw_writer
from churn.io.contracts import load_contract
from churn.io.raw import find_raw_files
from churn.steps.simulate import SimulationReport, simulate

START = date(2026, 1, 1)

# The public log: what a value of each column is, when the row has one.
TYPES = {
    "artist": str, "auth": str, "firstName": str, "gender": str, "itemInSession": int, "lastName": str, "length": float,
    "level": str, "location": str, "method": str, "page": str, "registration": float, "sessionId": int, "song": str,
    "status": int, "ts": int, "userAgent": str, "userId": str,
}  # fmt: skip
NEVER_NULL = {"auth", "itemInSession", "level", "method", "page", "sessionId", "status", "ts", "userId"}
PERSONAL = {"firstName", "lastName", "gender", "location", "userAgent", "registration"}


def simulated(out: Path, days: int = 4, **more: Any) -> SimulationReport:
    return simulate(out, **{"customers": 60, "days": days, "seed": 3, "start": START, **more})


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        yield from map(json.loads, file)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.json.gz")}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    simulated(folder, days=20)
    return folder


def test_there_is_one_file_a_day_and_the_truth(out: Path) -> None:
    names = {f"events-{START + timedelta(days=d)}.json.gz" for d in range(20)}
    assert {path.name for path in out.iterdir()} == names | {"truth.parquet"}


def test_rows_have_the_columns_and_types_of_the_public_log(out: Path) -> None:
    for path in sorted(out.glob("*.gz")):
        for row in rows(path):
            assert list(row) == list(TYPES)
            for name, value in row.items():
                assert type(value) is TYPES[name] or (value is None and name not in NEVER_NULL)


def test_rows_hang_together_as_in_the_public_log(out: Path) -> None:
    for path in sorted(out.glob("*.gz")):
        for row in rows(path):
            out_of_it, play = row["auth"] == "Logged Out", row["page"] == "NextSong"
            assert (row["userId"] == "") == out_of_it
            assert all((row[name] is None) == out_of_it for name in PERSONAL)
            assert (row["length"] is None) == (row["artist"] is None) == (row["song"] is None) == (not play)
            assert row["level"] in {"free", "paid"}
            assert row["status"] == {"Error": 404, "NextSong": 200, "Home": 200, "Logout": 307}.get(
                row["page"], row["status"]
            )
            assert row["status"] in {200, 307, 404}
            assert row["method"] in {"GET", "PUT"}


def test_every_event_is_in_the_file_of_its_day_in_utc(out: Path) -> None:
    for path in sorted(out.glob("*.gz")):
        days = {datetime.fromtimestamp(row["ts"] / 1000, UTC).date() for row in rows(path)}
        assert days == {date.fromisoformat(path.name[len("events-") :][:10])}


def test_the_shipped_contract_knows_every_column_and_page(out: Path) -> None:
    contract = load_contract("sparkify")
    known = {*contract.sources, *contract.raw.ignored, *contract.raw.personal}
    assert set(TYPES) == known
    pages = {row["page"] for path in out.glob("*.gz") for row in rows(path)}
    assert pages <= set(contract.kinds)


def test_the_report_counts_what_is_in_the_files_and_turns_into_json(tmp_path: Path) -> None:
    report = simulated(tmp_path, days=12)
    everything = [row for path in tmp_path.glob("*.gz") for row in rows(path)]
    assert report.events == len(everything)
    assert report.logged_out == sum(row["userId"] == "" for row in everything)
    assert report.cancellations == sum(row["page"] == "Cancellation Confirmation" for row in everything)
    # Every session has a row before midnight, also those of the last day, whose later rows are not in the log.
    assert report.sessions == len({row["sessionId"] for row in everything})
    assert (report.days, report.files, report.start, report.end, report.seed) == (
        12, 12, "2026-01-01", "2026-01-12", 3,
    )  # fmt: skip
    assert json.loads(json.dumps(asdict(report))) == asdict(report)


def test_a_longer_log_begins_with_the_shorter_one_byte_for_byte(tmp_path: Path, out: Path) -> None:
    simulated(tmp_path, days=5)
    short, long = contents(tmp_path), contents(out)
    assert len(short) == 5
    assert all(long[name] == held for name, held in short.items())
    shorter = pq.read_table(tmp_path / "truth.parquet")
    assert pq.read_table(out / "truth.parquet").slice(0, len(shorter)).equals(shorter)


def test_rendering_only_the_later_days_gives_the_same_files_and_the_whole_truth(tmp_path: Path, out: Path) -> None:
    report = simulated(tmp_path, days=20, only=range(17, 20))
    assert report.files == 3
    assert contents(tmp_path).items() <= contents(out).items()
    assert (tmp_path / "truth.parquet").read_bytes() == (out / "truth.parquet").read_bytes()


def test_rendering_single_days_gives_the_same_files(tmp_path: Path, out: Path) -> None:
    simulated(tmp_path, days=20, only=[2, 3, 11])
    assert len(contents(tmp_path)) == 3
    assert contents(tmp_path).items() <= contents(out).items()


def test_another_seed_start_or_number_of_customers_gives_another_log(tmp_path: Path, out: Path) -> None:
    for name, change in {"seed": 4, "customers": 61}.items():
        simulated(tmp_path / name, days=1, **{name: change})
        assert not contents(tmp_path / name).items() <= contents(out).items()


def test_the_truth_has_a_hazard_for_each_customer_at_risk_on_each_day(out: Path) -> None:
    truth = pq.read_table(out / "truth.parquet")
    assert {f.name: str(f.type) for f in truth.schema} == {
        "customer_id": "string", "day": "date32[day]", "hazard": "double",
    }  # fmt: skip
    at_risk: dict[date, set[str]] = {}
    for row in truth.to_pylist():
        assert 0 < row["hazard"] < 1
        assert row["customer_id"] not in at_risk.setdefault(row["day"], set())
        at_risk[row["day"]].add(row["customer_id"])
    assert sorted(at_risk) == [START + timedelta(days=d) for d in range(20)]
    left: set[str] = set()
    for day, customers in sorted(at_risk.items()):
        assert not customers & left
        for row in rows(out / f"events-{day}.json.gz"):
            if row["page"] == "Cancellation Confirmation":
                assert row["userId"] in customers
                left.add(row["userId"])
    assert left


def test_the_truth_can_be_kept_apart_from_the_log(tmp_path: Path) -> None:
    simulated(tmp_path / "log", truth=tmp_path / "apart" / "truth.parquet")
    assert (tmp_path / "apart" / "truth.parquet").is_file()
    assert not (tmp_path / "log" / "truth.parquet").exists()


def test_a_killed_run_leaves_no_half_file_and_the_next_one_ends_alike(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".events-2026-01-02.json.gz.part").write_bytes(b"half of a file")
    assert find_raw_files([tmp_path]) == []
    whole = raw_writer.RawWriter._text
    written = 0

    def dies(self: raw_writer.RawWriter, *args: Any) -> memoryview:
        nonlocal written
        written += 1
        if written > 2:
            raise KeyboardInterrupt
        return whole(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(raw_writer.RawWriter, "_text", dies)
        with pytest.raises(KeyboardInterrupt):
            simulated(tmp_path, days=20)
    assert contents(tmp_path).items() <= contents(out).items()
    assert len(contents(tmp_path)) < 20
    simulated(tmp_path, days=20)
    assert contents(tmp_path) == contents(out)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"customers": 9}, "customers is 9"),
        ({"days": 0}, "days is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"start": date(1999, 12, 31)}, "1999-12-31"),
        ({"start": date(2099, 12, 31)}, "2099-12-31"),
    ],
)
def test_what_cannot_be_simulated_is_said_before_anything_is_written(
    tmp_path: Path, wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        simulated(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(BadInput, match="is a file"):
        simulated(tmp_path / "out")


def test_progress_is_told_while_it_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("churn.steps.simulate._QUIET_SECONDS", 0.0)
    told: list[str] = []
    simulated(tmp_path, days=3, progress=told.append)
    assert told[-1].startswith("simulated 3 of 3 days")
