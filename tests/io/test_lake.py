"""The lake: a file is there whole or not at all, equal content is left untouched, and one writer at a time."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.errors import NotReady, Unavailable
from churn.io.lake import Lake, even_parts, write_json, write_parquet, write_parts


def table(rows: int, value: float = 1.0) -> pa.Table:
    return pa.table({"customer_id": [str(n) for n in range(rows)], "value": np.full(rows, value)})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- Writing ------------------------------------------------------------------------------------------------------


def test_what_is_written_is_what_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "table.parquet"
    write_parquet(path, table(3))
    assert pq.ParquetFile(path).read().equals(table(3))
    assert names(path.parent) == ["table.parquet"]
    write_json(path.with_name("report.json"), {"day": date(2026, 1, 1), "ü": [1, None]})
    assert json.loads(path.with_name("report.json").read_text()) == {"day": "2026-01-01", "ü": [1, None]}


def test_an_equal_file_is_left_untouched(tmp_path: Path) -> None:
    table_path, json_path = tmp_path / "table.parquet", tmp_path / "report.json"
    write_parquet(table_path, table(10))
    write_json(json_path, {"a": 1})
    for path in (table_path, json_path):
        os.utime(path, (1, 1))
    before = {path: path.stat() for path in (table_path, json_path)}
    write_parquet(table_path, table(10))
    write_json(json_path, {"a": 1})
    for path, stat in before.items():
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    write_parquet(table_path, table(11))
    assert table_path.stat().st_mtime_ns != before[table_path].st_mtime_ns


@pytest.mark.parametrize("cuts", [(1, 2), (100, 122_980), (122_880, 245_760)])
def test_equal_tables_give_equal_bytes_however_they_are_chunked(tmp_path: Path, cuts: tuple[int, int]) -> None:
    """An engine hands over its rows in pieces; where these end depends on its threads."""
    whole = pa.table({"customer_id": [str(n) for n in range(300_000)], "value": np.arange(300_000) / 7})
    first, second = cuts
    pieces = pa.concat_tables([whole.slice(0, first), whole.slice(first, second - first), whole.slice(second)])
    assert pieces.equals(whole) and pieces["value"].num_chunks == 3
    write_parquet(tmp_path / "whole.parquet", whole)
    write_parquet(tmp_path / "pieces.parquet", pieces)
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "pieces.parquet").read_bytes()


@pytest.mark.parametrize("cuts", [(1, 2), (9, 11), (10, 20), (15, 15), (0, 100)])
def test_equal_rows_give_equal_bytes_however_they_come_in_parts(tmp_path: Path, cuts: tuple[int, int]) -> None:
    whole = table(47)
    first, second = cuts
    parts = [whole.slice(0, first), whole.slice(first, second - first), whole.slice(second)]
    even = list(even_parts(parts, 10))
    assert [part.num_rows for part in even] == [10, 10, 10, 10, 7]
    assert write_parts(tmp_path / "parts.parquet", even, row_group=10) == 47
    pq.write_table(whole, tmp_path / "whole.parquet", row_group_size=10, compression="zstd")
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "parts.parquet").read_bytes()


def test_parts_that_come_out_even_leave_no_empty_one() -> None:
    assert [part.num_rows for part in even_parts([table(20), table(20).slice(20)], 10)] == [10, 10]
    assert list(even_parts([table(0)], 10)) == []


def test_parts_that_are_not_more_than_what_is_there_leave_it(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_parquet(path, table(5))
    assert write_parts(path, [table(2, 7.0), table(3, 7.0)], row_group=10, more_than=5) == 5
    assert pq.read_table(path).equals(table(5))
    assert write_parts(path, [table(3, 7.0), table(3, 7.0)], row_group=10, more_than=5) == 6
    assert pq.read_table(path).num_rows == 6
    assert names(tmp_path) == ["table.parquet"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(path, {"a": 1})
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="Circular"):
        write_json(path, endless)
    wrong = tmp_path / "table.parquet"
    write_parquet(wrong, table(2))
    with pytest.raises(pa.ArrowException):  # parquet knows no such type
        write_parquet(wrong, pa.table({"m": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}))
    assert json.loads(path.read_text()) == {"a": 1}
    assert pq.ParquetFile(wrong).read().num_rows == 2
    assert names(tmp_path) == ["report.json", "table.parquet"]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    """A limit on the size of files fails a write in its middle, as a full disk does."""
    path = tmp_path / "table.parquet"
    write_parquet(path, table(10))
    code = f"""
import resource, signal, numpy as np, pyarrow as pa
from pathlib import Path
from churn.io.lake import write_parquet
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
write_parquet(Path({str(path)!r}), pa.table({{"x": np.random.default_rng(0).random(1_000_000)}}))
"""
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1 and "OSError" in failed.stderr
    assert pq.ParquetFile(path).read().num_rows == 10
    assert names(tmp_path) == ["table.parquet"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, writing, seen = tmp_path / "table.parquet", threading.Event(), set()
    write_parquet(path, table(20_000, 0.0))
    writing.set()

    def read() -> None:
        while writing.is_set():
            values = pq.ParquetFile(path).read()["value"].to_numpy()
            seen.add((len(values), *np.unique(values)))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 40):
            write_parquet(path, table(20_000 + number % 2, float(number)))
    finally:
        writing.clear()
        reader.join(30)
    assert len(seen) > 1
    assert seen <= {(20_000 + number % 2, float(number)) for number in range(40)}


def test_a_process_killed_while_it_writes_leaves_the_old_file_and_the_next_write_leaves_one(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_parquet(path, table(10))
    code = f"""
import numpy as np, pyarrow as pa
from pathlib import Path
from churn.io.lake import write_parquet
write_parquet(Path({str(path)!r}), pa.table({{str(n): np.random.default_rng(n).random(400_000) for n in range(20)}}))
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 60
    while not (found := list(tmp_path.glob(f".table.parquet.*.{process.pid}.part"))) or found[0].stat().st_size < 1e6:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.001)
    (aside,) = found
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert names(tmp_path) == [aside.name, "table.parquet"]
    assert pq.ParquetFile(path).read().num_rows == 10
    write_parquet(path, table(11))
    assert names(tmp_path) == ["table.parquet"]


def test_what_a_process_in_another_container_is_writing_stays(tmp_path: Path) -> None:
    """There, its number is one that nobody has here."""
    path, theirs = tmp_path / "table.parquet", tmp_path / ".table.parquet.0123abcd.4194304.part"
    with theirs.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write_parquet(path, table(11))
        assert names(tmp_path) == [theirs.name, "table.parquet"]
    write_parquet(path, table(12))
    assert names(tmp_path) == ["table.parquet"]


def test_of_many_that_write_the_same_file_at_once_none_fails_and_one_wins_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    tables = [table(rows) for rows in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(write_parquet, path), tables * 20))
    assert pq.ParquetFile(path).read() in tables
    assert names(tmp_path) == ["table.parquet"]


# --- The lock -----------------------------------------------------------------------------------------------------


def test_a_second_process_is_told_that_the_first_is_at_work(tmp_path: Path) -> None:
    """And the lock ends with its process, however that ends."""
    code = f"""
import time
from pathlib import Path
from churn.io.lake import Lake
with Lake(Path({str(tmp_path)!r})).lock("ingest"):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Unavailable, match="another `ingest` is running"), Lake(tmp_path).lock("ingest"):
            pass
        with Lake(tmp_path).lock("another step"):
            pass
        holder.kill()
        holder.wait(30)
    with Lake(tmp_path).lock("ingest"):
        pass


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "not there yet")
    with pytest.raises(ZeroDivisionError), lake.lock("ingest"):
        raise ZeroDivisionError
    with lake.lock("ingest"):
        pass


# --- Places -------------------------------------------------------------------------------------------------------


def lake_with(folder: Path, *days: str) -> Lake:
    lake = Lake(folder)
    for day in days:
        write_parquet(lake.event_partition(date.fromisoformat(day)), table(1))
    return lake


def test_events_before_a_date_are_the_partitions_of_the_days_before_it(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, "2026-01-10", "2026-01-02", "2025-12-31")
    assert lake.event_days() == [date(2025, 12, 31), date(2026, 1, 2), date(2026, 1, 10)]
    found = [path.parent.name for path in lake.event_files(before=date(2026, 1, 10))]
    assert found == ["date=2025-12-31", "date=2026-01-02"]


def test_a_partition_that_was_being_written_is_no_day(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, "2026-01-02")
    path = lake.event_partition(date(2026, 1, 3))
    path.parent.mkdir()
    path.with_name(".events.parquet.part").write_bytes(b"PAR1")
    assert lake.event_days() == [date(2026, 1, 2)]


def test_no_events_before_a_date_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="there are no events at all"):
        Lake(tmp_path).event_files(before=date(2026, 1, 1))
    lake = lake_with(tmp_path, "2026-01-02", "2026-01-05")
    with pytest.raises(NotReady, match="there are events from 2026-01-02 to 2026-01-05"):
        lake.event_files(before=date(2026, 1, 2))


def test_outcomes_are_known_until_the_log_ends_or_the_cut_off_comes(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, "2026-01-02", "2026-01-05")
    assert lake.known_until(date(2026, 1, 4)) == date(2026, 1, 3)
    assert lake.known_until(date(2026, 1, 6)) == date(2026, 1, 6)
    assert lake.known_until(date(2026, 3, 1)) == date(2026, 1, 6)
    assert Lake(tmp_path / "empty").known_until(date(2026, 1, 1)) == date(2026, 1, 1)
