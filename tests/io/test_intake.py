"""However large the files and however many: a piece at a time comes to what the whole would."""

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import churn.io.intake
from churn.io.contracts import load_contract
from churn.io.engines.duckdb import open_engine
from churn.io.intake import Intake
from churn.io.judging import PIECE_LINES
from churn.io.lake import Lake
from churn.io.raw import find_raw_files
from churn.settings import Settings
from churn.steps.ingest import ingest
from tests.raw_log import Row, a_visitor, raw_row, raw_rows, write_csv, write_json_lines

NOW_MS = 1_790_000_000_000


def a_log(folder: Path) -> Path:
    """Three files: days that overlap, repetitions far from one another, late rows, broken ones; one that is refused."""
    broken: list[Row | str] = [raw_row(90, page="Teleport"), "{", "", raw_row(91, length=-1, ts="noon")]
    rows: list[Row | str] = [*raw_rows(20), *broken, raw_row(3), *raw_rows(9, day=1), raw_row(3), a_visitor(7)]
    write_json_lines(folder / "a.json", rows)
    write_csv(folder / "b.csv", [*raw_rows(9, day=1), raw_row(5, day=2), raw_row(3), raw_row(5, day=2), a_visitor()])
    write_json_lines(folder / "c.json.gz", [*raw_rows(9, day=3), *(raw_row(i, level="premium") for i in range(11))])
    return folder


def taken(
    home: Path, log: Path, piece_lines: int
) -> tuple[list[dict[str, Any]], dict[str, bytes], dict[str, pa.Table], list[int]]:
    """The report of each file, the partitions, the quarantine, and how many events of each day were new."""
    reports = []
    folder = home / "between"
    folder.mkdir(parents=True)
    with open_engine() as engine:
        files = find_raw_files([log])
        intake = Intake(engine, engine, load_contract("sparkify"), Lake(home), folder, piece_lines=piece_lines)
        for number, file in enumerate(files):
            reports.append(asdict(intake.read(file, number)))
        new = [intake.publish(day, NOW_MS) for day in intake.days]
    events = {path.parent.name: path.read_bytes() for path in home.glob("events/**/*.parquet")}
    quarantine = {path.name: pq.ParquetFile(path).read() for path in home.glob("quarantine/*.parquet")}
    return reports, events, quarantine, new


@pytest.mark.parametrize("lines", [1, 7, 20, 24])
def test_pieces_come_to_what_the_whole_file_does(tmp_path: Path, lines: int) -> None:
    log = a_log(tmp_path / "log")
    whole, pieces = (taken(tmp_path / f"{n}", log, n) for n in (PIECE_LINES, lines))
    assert pieces == whole
    reports, events, quarantine, new = whole
    assert [(r["read"], r["accepted"], r["set_aside"], r["quarantined"]) for r in reports] == [
        (35, 31, 1, 3), (13, 12, 1, 0), (0, 0, 0, 0),
    ]  # fmt: skip
    assert "11 of 20 rows break the contract" in reports[2]["rejected"]
    assert new == [22, 9, 2]  # the third second of the first day three times, as in one file; nothing of what overlaps
    assert sorted(events) == [f"date=2018-11-0{n}" for n in (1, 2, 3)]
    assert [table.num_rows for table in quarantine.values()] == [3]


def test_a_day_merged_in_parts_is_what_the_whole_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, whole, parts = a_log(tmp_path / "log"), tmp_path / "whole", tmp_path / "parts"
    reports, _, _, new = taken(whole, log, PIECE_LINES)
    monkeypatch.setattr(churn.io.intake, "_ROW_GROUP", 4)
    in_parts = taken(parts, log, PIECE_LINES)
    assert (in_parts[0], in_parts[3]) == (reports, new)
    held = []
    for path in sorted(whole.glob("events/date=*/events.parquet")):
        day = pq.ParquetFile(parts / path.relative_to(whole))
        assert day.read().equals(pq.ParquetFile(path).read())
        held.append([day.metadata.row_group(n).num_rows for n in range(day.num_row_groups)])
    assert held == [[4, 4, 4, 4, 4, 2], [4, 4, 1], [2]]


def test_a_refused_file_leaves_nothing_between_the_files_and_the_lake(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log")
    with open_engine() as engine:
        folder = tmp_path / "between"
        folder.mkdir()
        intake = Intake(engine, engine, load_contract("sparkify"), Lake(folder), folder, piece_lines=5)
        assert intake.read(find_raw_files([log])[2], 0).rejected is not None
        assert intake.days == []
        assert not [path for path in folder.rglob("*") if path.is_file()]


def test_every_file_is_seen_in_the_sample_and_none_too_much(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "log" / "large.json", [*raw_rows(1000), a_visitor()])
    write_json_lines(tmp_path / "log" / "small.json", raw_rows(10, day=1))
    with open_engine() as engine:
        intake = Intake(
            engine, engine, load_contract("sparkify"), Lake(tmp_path), tmp_path, sampled=100, piece_lines=300
        )
        for number, file in enumerate(find_raw_files([tmp_path / "log"])):
            intake.read(file, number)
        seen = intake.sample["raw_ts_ms"].astype("int64") // 86_400_000
    first = (date(2018, 11, 1) - date(1970, 1, 1)).days
    assert (seen == first + 1).sum() == 10
    assert 90 <= (seen == first).sum() <= 100


def test_what_a_killed_ingestion_left_between_is_gone_after_the_next(settings: Settings, tmp_path: Path) -> None:
    left = settings.data_home / ".ingesting" / "raw-0.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    ingest(settings, [write_json_lines(tmp_path / "log.json", raw_rows(3))])
    assert not left.parent.exists()
    assert pq.read_table(settings.data_home / "events").num_rows == 3
