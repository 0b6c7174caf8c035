"""A panel written snapshot by snapshot: the rows of the panel made at once, and never half of a file."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.io.contracts import contract_of
from churn.io.lake import Lake, write_parts
from churn.io.point_in_time import panel_at, panel_parts
from churn.settings import Settings
from churn.steps.ingest import ingest
from churn.steps.simulate import simulate

AS_OF = date(2026, 3, 1)
SNAPSHOTS = [AS_OF - timedelta(days=days) for days in (35, 28, 14)]


def part(value: int) -> pa.Table:
    return pa.table({"a": pa.array([value], pa.int64())})


def test_the_parts_are_the_snapshots_of_the_panel_made_at_once(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", _env_file=None)  # type: ignore[call-arg]
    simulate(settings.data_home / "log", customers=60, days=50, seed=5, start=AS_OF - timedelta(days=50))
    ingest(settings, [settings.data_home / "log"])
    lake, contract = Lake(settings.data_home), contract_of(settings)
    parts = list(panel_parts(lake, AS_OF, SNAPSHOTS, contract))
    assert [set(part["as_of"].to_pylist()) for part in parts] == [{day} for day in SNAPSHOTS]
    assert pa.concat_tables(parts).equals(panel_at(lake, AS_OF, SNAPSHOTS, contract))


def test_parts_make_one_file_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    one, two = tmp_path / "one" / "panel.parquet", tmp_path / "two.parquet"
    for path in (one, two, two):
        write_parts(path, iter([part(1), part(2)]), row_group=10)
    assert pq.ParquetFile(one).read()["a"].to_pylist() == [1, 2]
    assert one.read_bytes() == two.read_bytes()


def test_a_part_that_fails_leaves_the_panel_as_it_was_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "panel.parquet"
    write_parts(path, iter([part(1)]), row_group=10)
    before = path.read_bytes()

    def broken() -> Iterator[pa.Table]:
        yield part(2)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write_parts(path, broken(), row_group=10)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
