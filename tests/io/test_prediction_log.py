"""The log of predictions on a real disk: whole files by day, evenly sampled, and damage is told."""

import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.core.features import CORE_FEATURES, FEATURE_NAMES
from churn.errors import ContractViolation
from churn.io import prediction_log
from churn.io.prediction_log import SCHEMA, partition, read, write

DAY = date(2026, 3, 19)
NOON = int(datetime(2026, 3, 19, 12, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000


def predictions(ts_ms: list[int], version: str = "3") -> pa.Table:
    rows = len(ts_ms)
    core = {f.name for f in CORE_FEATURES}
    columns = {
        "ts_ms": ts_ms, "endpoint": ["predict"] * rows, "model_version": [version] * rows, "model": ["core"] * rows,
        "role": ["champion"] * rows, "churn_probability": [0.25] * rows, "churn_prediction": [1] * rows,
        "shadow_version": [None] * rows, "shadow_probability": [None] * rows,
        **{name: [float(n) if name in core else None for n in range(rows)] for name in FEATURE_NAMES},
    }  # fmt: skip
    return pa.table({name: pa.array(columns[name], SCHEMA.field(name).type) for name in SCHEMA.names})


def test_what_is_written_is_read_and_names_nobody(tmp_path: Path) -> None:
    table = predictions([NOON, NOON + 1])
    (path,) = write(tmp_path, table)
    assert path.parent == partition(tmp_path, DAY) == tmp_path / "predictions" / "date=2026-03-19"
    assert path.name.startswith("120000000000-2-")
    found = read(tmp_path, DAY, DAY)
    assert found.schema.equals(SCHEMA)
    assert found.to_pylist() == table.to_pylist()
    said = {"ts_ms", "endpoint", "model_version", "model", "role", "churn_probability", "churn_prediction"}
    assert set(SCHEMA.names) == said | {"shadow_version", "shadow_probability"} | set(FEATURE_NAMES)


def test_each_row_lies_in_its_own_utc_day(tmp_path: Path) -> None:
    midnight = NOON + DAY_MS // 2
    paths = write(tmp_path, predictions([midnight, midnight - 1, midnight + 5]))
    assert [p.parent.name for p in paths] == ["date=2026-03-19", "date=2026-03-20"]
    assert read(tmp_path, DAY, DAY, ["ts_ms"]).to_pydict() == {"ts_ms": [midnight - 1]}
    assert read(tmp_path, DAY, DAY + timedelta(days=1), ["ts_ms"]).num_rows == 3
    assert read(tmp_path, DAY - timedelta(days=3), DAY - timedelta(days=1)).num_rows == 0


def test_files_of_the_same_moment_do_not_meet_and_names_sort_by_time(tmp_path: Path) -> None:
    for ts in (NOON + 2, NOON, NOON, NOON + 1):
        write(tmp_path, predictions([ts]))
    assert len(list(partition(tmp_path, DAY).iterdir())) == 4
    assert read(tmp_path, DAY, DAY)["ts_ms"].to_pylist() == [NOON, NOON, NOON + 1, NOON + 2]


def test_a_writer_killed_in_the_middle_leaves_nothing_that_a_reader_trips_over(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from churn.io.prediction_log import write
from tests.io.test_prediction_log import NOON, predictions
home = Path(sys.argv[1])
write(home, predictions([NOON]))
os.fsync = lambda _: os.kill(os.getpid(), 9)
write(home, predictions([NOON] * 1000))
"""
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2])
    assert ended.returncode == -9
    left = sorted(p.name for p in partition(tmp_path, DAY).iterdir())
    assert len(left) == 2
    assert left[0].startswith(".")
    assert read(tmp_path, DAY, DAY).num_rows == read(tmp_path, DAY, DAY, most=5).num_rows == 1


def test_a_write_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prediction_log.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, predictions([NOON]))
    assert list(partition(tmp_path, DAY).iterdir()) == []


def test_damaged_files_are_named_all_of_them_and_nothing_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, predictions([NOON]))
    folder = partition(tmp_path, DAY)
    whole = next(folder.iterdir()).read_bytes()
    (folder / "120000000001-1-cut.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "120000000002-1-empty.parquet").write_bytes(b"")
    pq.write_table(pa.table({"ts_ms": [NOON]}), folder / "120000000003-1-foreign.parquet")
    with pytest.raises(ContractViolation, match="Move them away") as e:
        read(tmp_path, DAY, DAY)
    for n, name in enumerate(("cut", "empty", "foreign"), 1):
        assert f"predictions/date=2026-03-19/12000000000{n}-1-{name}.parquet (" in str(e.value)
    assert "it has no column" in str(e.value)
    for name in ("cut", "empty", "foreign"):
        next(folder.glob(f"*-{name}.parquet")).unlink()
    assert read(tmp_path, DAY, DAY).num_rows == 1


def test_a_sample_is_spread_evenly_over_the_rows_of_each_day(tmp_path: Path) -> None:
    for hour, rows in enumerate((1, 900, 3, 96)):
        write(tmp_path, predictions([NOON + hour * 3_600_000] * rows))
    write(tmp_path, predictions([NOON + DAY_MS] * 5))
    found = read(tmp_path, DAY, DAY + timedelta(days=1), ["ts_ms"], most=100)
    hours = Counter((ts - NOON) // 3_600_000 for ts in found["ts_ms"].to_pylist())
    assert hours[1] == 90
    assert hours[24] == 5
    assert sum(hours.values()) == 105
    assert read(tmp_path, DAY, DAY, most=100).equals(read(tmp_path, DAY, DAY, most=100))
    assert read(tmp_path, DAY, DAY, most=1000).equals(read(tmp_path, DAY, DAY))


def test_a_file_whose_name_is_not_of_this_log_is_told_where_names_are_counted_on(tmp_path: Path) -> None:
    (path,) = write(tmp_path, predictions([NOON]))
    path.rename(path.with_name("mine.parquet"))
    with pytest.raises(ContractViolation, match=r"mine\.parquet is no file of the log"):
        read(tmp_path, DAY, DAY, most=10)


def test_a_file_with_fewer_rows_than_its_name_says_is_told(tmp_path: Path) -> None:
    (path,) = write(tmp_path, predictions([NOON] * 3))
    path.rename(path.with_name(path.name.replace("-3-", "-30-")))
    with pytest.raises(ContractViolation, match="cannot be read"):
        read(tmp_path, DAY, DAY, most=10)


def test_a_file_of_an_earlier_release_lacks_a_feature_and_is_read(tmp_path: Path) -> None:
    (path,) = write(tmp_path, predictions([NOON]))
    pq.write_table(pq.ParquetFile(path).read().drop_columns([FEATURE_NAMES[-1], "shadow_version"]), path)
    found = read(tmp_path, DAY, DAY)
    assert found.schema.equals(SCHEMA)
    assert found[FEATURE_NAMES[-1]].to_pylist() == [None]
    assert found[FEATURE_NAMES[0]].to_pylist() == [0.0]


def test_what_breaks_the_schema_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"names|schema"):
        write(tmp_path, predictions([NOON]).drop_columns(["role"]))
    assert not (tmp_path / "predictions").exists()
