"""DuckDB and Spark take the same rows for the same events: every column of every row, to the last bit."""

import random
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.core.canonical import (
    accepted_sql,
    broken_rules_sql,
    counts_sql,
    customers_sql,
    distinct_sql,
    judged_sql,
    merged_sql,
)
from churn.core.events import DAY_MS, SourceContract
from churn.io.contracts import load_contract
from churn.io.engines.duckdb import open_engine
from churn.io.engines.engine import Engine
from churn.io.engines.spark_process import SparkProcess
from churn.io.intake import Intake
from churn.io.lake import Lake
from churn.io.raw import find_raw_files
from churn.settings import Settings
from churn.steps.ingest import ingest
from tests.raw_log import FIRST_MS, raw_row, raw_rows, write_csv, write_json_lines, write_rows_as_parquet

_NUMBERS = [
    "12", "12.0", "12.00", "12.5", "0012", "+12", "-12", "5.", ".5", ".", "-", "+", "e", "1e5", "1E5", "1e+5", "1e-5",
    "1e", "e5", "1e5.5", "--5", "+-5", "-+5", "5-", "1-2", "1.2.3", "1,5", "1.000,5", "1_000", "_1", "1__0", "0x1F",
    "0b1", "0o7", "1d", "1D", "1f", "1L", "NaN", "nan", "-NaN", "Infinity", "-Infinity", "inf", "+inf", "INF", "null",
    "true", "1e400", "-1e400", "1e-400", "-1e-400", "-0", "-0.0", "0e0", "4.9e-324", "2e-324", "3e-324", "1e0005",
    "1e99999999999999999999", "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308",
    "0.1", "0.3", "231.54893", "0.1234567890123456789012345", "123456789012345678901234567890", "9007199254740993",
    "2147483647", "2147483648", "-2147483648", "-2147483649", "8999999999999998976", "9000000000000000000",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-1", "86400", "86400.5", "1e9", "1000000001",
    "\uff11\uff12", "\u0661\u0662", "\u00bd", "12\n", "12\r", "12\t", "\t12", "1 2", "\u00a012\u3000", "\u200b12",
]  # fmt: skip
_TIMES = [
    "1997-01-01", "1997-1-1", "1997/01/01", "1997/1-1", "1997.01.01", "1997 01 01", "19970101", "1997-01", "1997", "T",
    "1997-01-01T", "1997-01-01T10:00:00", "1997-01-01t10:00:00", "1997-01-01 10", "1997-01-01 10:00", "10:00:00",
    "1997-01-01  10:00:00", "1997-01-01 9:5:7", "1997-01-01 10:00:00.1", "1997-01-01 10:00:00.999",
    "1997-01-01 10:00:00.9999", "1997-01-01 10:00:00.9999999", "1997-01-01 10:00:00.999999999",
    "1997-01-01 10:00:00.", "1997-01-01 10:00:00,5", "1997-01-01T10:00:00Z", "1997-01-01T10:00:00z",
    "1997-01-01 10:00:00+02", "1997-01-01 10:00:00+02:30", "1997-01-01 10:00:00-0230", "1997-01-01 10:00:00 +02:00",
    "1997-01-01 10:00:00+15:59", "1997-01-01 10:00:00-25:00", "1997-01-01 10:00Z", "1997-01-01 10:00:00 UTC",
    "1997-01-01 10:00:00 Europe/Berlin", "1997-01-01Z", "1997-01-01 24:00:00", "1997-01-01 23:59:60",
    "1997-01-01 23:59:59.999", "1997-01-02 00:00:00", "1997-02-30", "1997-02-29", "1996-02-29", "1900-02-29",
    "1997-00-10", "1997-10-00", "1997-13-01", "1997-04-31", "1582-10-10", "1969-12-31 23:59:59.9999", "1970-01-01",
    "1970-01-01 01:00:00+02:00", "2100-01-01", "2100-01-01 00:00:00.001", "2999-12-31 23:59:59.999-23:59",
    "1000-01-01 00:00+23:59", "0097-01-01", "97-01-01", "0000-01-01", "10000-01-01", "+1997-01-01", "-1997-01-01",
    "1997-01-01 (BC)", "infinity", "-infinity", "epoch", "now", "today", "Jan 1 1997", "01/02/1997", "852076800",
    "1997-01-01\n", "1997\\01\\01",
]  # fmt: skip
_TEXTS = [
    None, "", " ", "   ", "\u00a0", "\u3000 \u2003", "\t", "\n", "a", " a", "a ", "\u00a0a b\u3000", "A", "\u00e9",
    "e\u0301", "z\u00e9.0", "\u5ba2\u6237", "\N{GRINNING FACE}", "o'brien", 'say "hi"', "a\\b", "\\n", "%", "_", "$1",
    "${x}", "a; b", "; ", "39", "39.0", "39.00", " 39.0 ", "39.0\n", ".0", "a.0", "0039.0", "-39.0", "null", "NULL",
    "NextSong", "nextsong", "NextSong ", "Next Song", "Thumbs Up", "Home", "Cancel", "free", "paid", "Free", "x" * 3000,
    "a\u0000b", "\x7f", "\ufeff39", "\u200d",
]  # fmt: skip


def _raw(contract: SourceContract, good: dict[str, str], cells: Iterable[str | None]) -> pa.Table:
    """Raw rows: each cell in each column of a good row; nothing, malformed, repeated and far apart ones besides."""
    rows: list[dict[str, str | None]] = [{**good, source: cell} for cell in cells for source in contract.sources]
    rows += [dict.fromkeys(contract.sources, cell) for cell in (None, "", "?", "1")]
    rows += [good, good, good]
    again = rows[len(rows) // 3 :]  # a second file, which repeats a part of the first; its last line is malformed too
    return pa.concat_tables([_file(0, rows, contract.sources), _file(1, again, contract.sources)])


def _file(number: int, rows: list[dict[str, str | None]], sources: Iterable[str]) -> pa.Table:
    return pa.table(
        {
            "file_no": pa.array([number] * len(rows), pa.int32()),
            "line_no": pa.array(range(1, len(rows) + 1), pa.int64()),
            "malformed": pa.array([n == len(rows) for n in range(1, len(rows) + 1)]),
            **{source: pa.array([row[source] for row in rows], pa.string()) for source in sources},
        }
    )


_GOOD = {
    "sparkify": {
        "userId": "39", "ts": str(FIRST_MS), "sessionId": "7", "page": "NextSong", "level": "paid",
        "registration": str(FIRST_MS - DAY_MS), "itemInSession": "3", "length": "231.5",
    },
    "transactions": {"customer_id": "7", "date": "1997-01-01", "dollar_value": "11.77"},
}  # fmt: skip
_EDGES = [str(FIRST_MS // DAY_MS * DAY_MS + n) for n in (-1, 0, 1, DAY_MS - 1, DAY_MS)] + ["1541073600000.5"]


def _found(engine: Engine, contract: SourceContract, raw: pa.Table) -> dict[str, list[Any]]:
    """What an engine finds at each stage, floats by their bits."""
    engine.register("raw", raw)
    engine.register("gone", pa.table({"customer_id": ["A", "\u5ba2\u6237"]}))
    engine.execute(f"create or replace temp table judged as {judged_sql(contract, 'raw', forgotten='gone')}")
    engine.execute(f"create or replace temp table accepted as {accepted_sql('judged')}")
    held = engine.table(merged_sql("(select *, cast(1 as bigint) as ingested_ms from accepted where false)",
                                   f"({distinct_sql('accepted')})", now_ms=5))  # fmt: skip
    engine.register("held", held.slice(0, held.num_rows // 2))
    merged = merged_sql("held", f"({distinct_sql('accepted')})", now_ms=6)
    tables = {
        "customers": engine.table(f"select * from ({customers_sql(contract, 'raw')}) as c order by customer_id"),
        "judged": engine.table("select * from judged order by file_no, line_no"),
        "counts": engine.table(counts_sql("judged")).rename_columns(["read", "set_aside", "broken"]),
        "rules": engine.table(broken_rules_sql("judged")).rename_columns(["rule", "rows"]),
        "held": held,
        "merged": engine.table(merged),
    }
    return {name: [table.schema.names, *map(_bits, table.to_pylist())] for name, table in tables.items()}


def _bits(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, float) else value for name, value in row.items()}


def _compare(spark: SparkProcess, contract: SourceContract, raw: pa.Table) -> dict[str, list[Any]]:
    with open_engine() as duckdb, spark.engine({}) as engine:
        expected, found = _found(duckdb, contract, raw), _found(engine, contract, raw)
    for stage, rows in expected.items():
        assert len(found[stage]) == len(rows)
        for row, other in zip(rows, found[stage], strict=True):
            assert other == row, stage
    return expected


@pytest.mark.parametrize("name", _GOOD)
def test_every_spelling_in_every_column_is_judged_alike(spark: SparkProcess, name: str) -> None:
    contract = load_contract(name)
    found = _compare(spark, contract, _raw(contract, _GOOD[name], [*_TEXTS, *_NUMBERS, *_TIMES, *_EDGES]))
    (read, set_aside, broken) = found["counts"][1].values()
    assert read == len(found["judged"]) - 1 and set_aside > 10
    accepted = read - set_aside - broken
    assert min(accepted, broken) > 200
    assert accepted > len(found["merged"]) - 1 > 100  # what both files hold is there once
    assert len(found["rules"]) > 4
    assert {row["ingested_ms"] for row in found["merged"][1:]} == {5, 6}


@pytest.mark.slow
def test_other_ways_to_read_a_time_are_judged_alike(spark: SparkProcess) -> None:
    """What no shipped contract asks for: seconds, registration as a date, unbounded numbers, names that need quotes."""
    contract = load_contract("sparkify")
    columns = dict(contract.columns)
    changes: dict[str, dict[str, Any]] = {
        "ts_ms": {"read": "epoch_s", "min": None, "max": None, "source": 'the "ts"'},
        "registered_ms": {"read": "date", "min": None, "max": None},
        "duration_s": {"min": None, "max": 1e300},
        "session_id": {"read": "day"},
    }
    columns |= {name: columns[name].model_copy(update=change) for name, change in changes.items()}
    contract = contract.model_copy(update={"columns": columns})
    good = _GOOD["sparkify"] | {
        'the "ts"': str(FIRST_MS // 1000),
        "registration": "2018-01-01",
        "sessionId": "2018-11-01",
    }
    good = {source: good[source] for source in contract.sources}
    found = _compare(spark, contract, _raw(contract, good, [*_NUMBERS, *_TIMES]))
    assert any(row["registered_ms"] == 852105600000 for row in found["judged"][1:])


@pytest.mark.slow
@pytest.mark.parametrize("name", _GOOD)
def test_thousands_of_garbled_texts_are_judged_alike(spark: SparkProcess, name: str) -> None:
    contract, chance = load_contract(name), random.Random(7)
    known = [text for text in [*_TEXTS, *_NUMBERS, *_TIMES] if text and len(text) < 40]
    marks = "0123456789+-.eE:/TZ dDfFxX_\t\n\u00a0\u0661,;'\"\\"

    def garbled() -> str:
        text = chance.choice(known)
        for _ in range(chance.randint(1, 3)):
            at = chance.randint(0, len(text))
            text = text[:at] + chance.choice(["", *marks]) + text[at + chance.randint(0, 1) :]
        return text

    _compare(spark, contract, _raw(contract, _GOOD[name], [garbled() for _ in range(4_000)]))


def _log(folder: Path) -> Path:
    write_json_lines(
        folder / "a.json", [*raw_rows(12), *raw_rows(3, userId="\u00e9 7"), raw_row(1), "{", raw_row(2, ts="?")]
    )
    write_csv(folder / "b.csv", [raw_row(1), raw_row(1), raw_row(1), *raw_rows(4, day=1, song='two\nlines "q"')])
    write_json_lines(folder / "c.json.gz", [raw_row(i, page="Teleport") for i in range(20)])
    write_rows_as_parquet(folder / "d.parquet", [*raw_rows(2, day=1), *raw_rows(3, day=2, length=0.1)])
    return folder


def _taken(home: Path, log: Path, engine: Engine) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    lake, files = Lake(home), find_raw_files([log])
    home.mkdir()
    with open_engine() as reader:
        intake = Intake(engine, reader, load_contract("sparkify"), lake, home, piece_lines=10)
        reports = [asdict(intake.read(file, number)) for number, file in enumerate(files)]
        for day in intake.days:
            intake.publish(day, 1_790_000_000_000)
    written = {str(path.relative_to(home)): path.read_bytes() for path in home.glob("[eq]*/**/*.parquet")}
    return reports, written


@pytest.mark.slow
def test_the_same_files_give_the_same_bytes_in_the_lake(spark: SparkProcess, tmp_path: Path) -> None:
    log = _log(tmp_path / "log")
    with open_engine() as duckdb, spark.engine({}) as engine:
        expected, found = _taken(tmp_path / "duckdb", log, duckdb), _taken(tmp_path / "spark", log, engine)
    assert found == expected
    reports, written = expected
    assert [(r["accepted"], r["quarantined"], r["rejected"] is None) for r in reports] == [
        (16, 2, True), (7, 0, True), (0, 0, False), (5, 0, True),
    ]  # fmt: skip
    assert len(written) == 3 + 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("open_spark")
def test_churn_ingest_runs_on_the_engine_that_the_settings_name(tmp_path: Path) -> None:
    log, lakes = _log(tmp_path / "log"), []
    options = {"spark.sql.shuffle.partitions": "2", "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1"}
    for engine in ("duckdb", "spark"):
        home = tmp_path / engine
        settings = Settings(home=home, engine=engine, spark_options=options, _env_file=None)  # type: ignore[call-arg, arg-type]
        assert ingest(settings, [log]).accepted == 28
        tables = [pq.read_table(path, partitioning=None) for path in sorted(home.glob("events/date=*/*.parquet"))]
        lakes.append(pa.concat_tables(tables).drop_columns("ingested_ms"))
    assert lakes[0].equals(lakes[1])
