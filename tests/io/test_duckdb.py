"""The embedded engine: what it says when memory or disk is scarce, and that what it spills does not outlive it."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import churn.io.event_kinds
import churn.io.outcomes
from churn.errors import Unavailable
from churn.io.contracts import load_contract
from churn.io.engines.chosen import engine_of
from churn.io.engines.duckdb import open_engine, sealed_engine
from churn.io.engines.engine import Engine, SqlError
from churn.io.engines.spill import remove_dead
from churn.io.event_kinds import FEW, events_by_kind
from churn.io.intake import Intake
from churn.io.lake import Lake
from churn.io.outcomes import cancellations, outcomes
from churn.io.raw import find_raw_files, write_raw
from churn.settings import Settings
from churn.steps.ingest import ingest
from tests.raw_log import raw_row, raw_rows, write_json_lines

SPARKIFY = load_contract("sparkify")
FIRST, SECOND = date(2018, 11, 1), date(2018, 11, 2)
_MANY = "select range as n, count(*) as m from range(3000000) group by all"
_SPILLS = f"""
import sys, time
from churn.io.engines.chosen import engine_of
from churn.settings import Settings

with engine_of(Settings(_env_file=None))({{}}) as engine:
    engine.execute("set memory_limit = '40MB'")
    engine.execute("create temp table many as {_MANY}")
    print("spilled", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(
    "statement",
    ["select count(*) from (select range from range(100000) group by all)", "copy (select 1) to '/dev/full'"],
)
def test_too_little_memory_or_disk_may_pass_and_is_no_fault_of_the_statement(statement: str) -> None:
    with open_engine(megabytes=1) as engine, pytest.raises(Unavailable, match=r"Out of Memory|No space left"):
        engine.execute(statement)


def test_what_the_statement_is_to_blame_for_is_said_so() -> None:
    with open_engine() as engine:
        for statement in ("select 1 +", "select * from nowhere", "select cast('x' as integer)", "from '/nowhere.csv'"):
            with pytest.raises(SqlError):
                engine.execute(statement)


def test_what_comes_in_parts_is_what_comes_whole() -> None:
    statement = "select n, 'row ' || n as said from range(300000) as numbers(n) order by n desc"
    with open_engine() as engine:
        parts = list(engine.parts(statement))
        assert len(parts) > 1
        assert pa.concat_tables(parts).equals(engine.table(statement))
        assert list(engine.parts("select 1 as one where false")) == []


def test_what_is_found_in_parts_is_never_held_whole() -> None:
    with open_engine(megabytes=200) as engine:
        engine.execute("set preserve_insertion_order = false")
        statement = "select n, repeat('x', 300) as said from range(2000000) as numbers(n) order by n desc"
        held, rows = pa.total_allocated_bytes(), 0
        for part in engine.parts(statement):
            rows += part.num_rows
            assert pa.total_allocated_bytes() - held < 100e6  # all of it: 600 MB
        assert rows == 2_000_000


def test_what_fails_between_two_parts_is_said_as_otherwise(tmp_path: Path) -> None:
    late = "select cast(case when n = 2900000 then 'x' else '1' end as integer) from range(3000000) as numbers(n)"
    with open_engine() as engine:
        with pytest.raises(SqlError, match="Could not convert"):
            list(engine.parts(late))
        with pytest.raises(SqlError, match="nowhere"):
            list(engine.parts("select * from nowhere"))
    with open_engine(megabytes=1) as engine, pytest.raises(Unavailable, match="CHURN_ENGINE_MEGABYTES"):
        list(engine.parts("select range from range(100000) group by all"))


def test_text_from_outside_that_takes_too_much_memory_is_to_blame_itself() -> None:
    engine = sealed_engine(1)
    with pytest.raises(SqlError, match="Out of Memory"):
        engine.rows("select count(*) from (select range from range(100000) group by all)")
    engine.close()


def test_a_good_file_that_memory_does_not_suffice_for_is_not_called_broken(tmp_path: Path) -> None:
    log = write_json_lines(tmp_path / "log" / "a.json", raw_rows(10_000))
    with open_engine() as engine, open_engine(megabytes=1) as reader:
        intake = Intake(engine, reader, SPARKIFY, Lake(tmp_path), tmp_path)
        with pytest.raises(Unavailable, match="CHURN_ENGINE_MEGABYTES"):
            intake.read(find_raw_files([log])[0], 0)


def test_a_log_far_larger_than_the_memory_is_read(tmp_path: Path) -> None:
    log = write_json_lines(tmp_path / "log" / "a.json", raw_rows(10_000))
    with log.open("ab") as file:
        file.write(log.read_bytes() * 59)
    assert log.stat().st_size > 3 * 75_000_000
    with open_engine(megabytes=75) as reader:
        reader.execute("set threads = 2")  # each holds a part of the file
        write_raw(reader, find_raw_files([log])[0], SPARKIFY, tmp_path / "raw.parquet")
        assert reader.rows(f"select count(*), max(line_no) from '{tmp_path}/raw.parquet'") == [(600_000, 600_000)]


def test_lines_of_sixteen_megabytes_are_read_among_short_ones(tmp_path: Path) -> None:
    songs = ["x" * (n * 1_000_000) for n in (15, 1, 15, 9, 15)]
    rows = [row for song in songs for row in (*raw_rows(20), raw_row(song=song, page="Home"))]
    [log] = find_raw_files([write_json_lines(tmp_path / "log" / "a.json", rows)])
    with open_engine(megabytes=256) as reader:
        write_raw(reader, log, SPARKIFY, tmp_path / "raw.parquet")
        found = reader.rows(f"select line_no from '{tmp_path}/raw.parquet' where page = 'Home' and not malformed")
    assert found == [(21,), (42,), (63,), (84,), (105,)]


@contextmanager
def _spilling() -> Iterator[subprocess.Popen[str]]:
    """A process whose engine has spilled into the environment's data home."""
    process = subprocess.Popen([sys.executable, "-c", _SPILLS], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "spilled\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def _spilled(settings: Settings) -> set[Path]:
    return {path.parent for path in settings.data_home.rglob("*duckdb_temp*")}


def test_what_killed_processes_spilled_is_gone_after_the_next_opening_and_what_others_spill_is_not(
    settings: Settings,
) -> None:
    with _spilling():
        [alive] = _spilled(settings)
        with _spilling():
            pass
        left = _spilled(settings) - {alive}
        assert len(left) == 1
        with engine_of(settings)({}):
            assert _spilled(settings) == {alive}
        assert {path.name for path in alive.parent.iterdir()} == {alive.name, f"{alive.name}.lock", ".lock"}
    remove_dead(settings.data_home)
    assert [path.name for path in alive.parent.iterdir()] == [".lock"]


def test_kinds_and_outcomes_are_counted_in_the_memory_and_on_the_disk_that_they_are_given(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [*raw_rows(9), *(raw_row(s, page="Dislike") for s in range(9)), *raw_rows(9, day=1)]
    ingest(settings, [write_json_lines(tmp_path / "a.json", log)])
    lake, scored = Lake(settings.data_home), pd.DataFrame({"as_of": [FIRST], "customer_id": ["39"]})
    opened: list[dict[str, object]] = []

    def recorded(tables: Mapping[str, Sequence[Path]] | None = None, **given: Any) -> AbstractContextManager[Engine]:
        opened.append(given)
        return open_engine(tables, **given)

    monkeypatch.setattr(churn.io.event_kinds, "open_engine", recorded)
    monkeypatch.setattr(churn.io.outcomes, "open_engine", recorded)
    assert events_by_kind(lake, SPARKIFY, FIRST, SECOND, megabytes=300) == {"play": 9, FEW: 9}
    assert outcomes(lake, scored, SECOND, SPARKIFY, megabytes=300).tolist() == [0]
    assert cancellations(lake, FIRST, SECOND, megabytes=300).empty
    assert opened == [{"megabytes": 300, "home": settings.data_home}] * 4


@pytest.mark.parametrize("step", ["ingest", "build_features"])
def test_a_step_that_scores_nothing_does_not_wait_for_what_models_are_made_of(step: str) -> None:
    script = f"import sys, churn.steps.{step}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "duckdb" in loaded
    assert not loaded & {"xgboost", "sklearn", "scipy", "mlflow", "great_expectations"}
