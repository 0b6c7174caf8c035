"""How raw text is read: what counts as a number, a whole number, a time, a day, and what does not."""

import struct
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from churn.core.raw_values import day_sql, id_sql, number_sql, text_sql, time_sql, whole_number_sql
from churn.io.engines.duckdb import open_engine

_NO_NUMBERS = (
    "", ".", "e5", "1e", "--5", "+-5", "1.2.3", "1,5", "1_000", "0x1F", "0b1", "1d", "1f", "12L", "NaN", "nan",
    "Infinity", "inf", "-inf", "1e400", "\uff11\uff12", "12\n", "12 ", "\t12", "true",
)  # fmt: skip
_NUMBERS = {
    "12": 12.0, "+5": 5.0, "5.": 5.0, ".5": 0.5, "1e5": 1e5, "1E+5": 1e5, "+.5e-3": 0.0005, "0012": 12.0,
    "-1e300": -1e300, "1e-400": 0.0, "-0": 0.0, "-0.0": 0.0, "-1e-400": 0.0, "4.9e-324": 5e-324,
    "0.1234567890123456789": 0.1234567890123456789, "1.7976931348623157e308": 1.7976931348623157e308,
}  # fmt: skip
_TIMES = {
    "1997-01-01": "1997-01-01T00:00:00",
    "1997-1-1": "1997-01-01T00:00:00",
    "1997/01/31": "1997-01-31T00:00:00",
    "1997-01-01T10:20:30": "1997-01-01T10:20:30",
    "1997-01-01 9:05": "1997-01-01T09:05:00",
    "1997-01-01 10:20:30.5": "1997-01-01T10:20:30.500",
    "1997-01-01 10:20:30.9999999": "1997-01-01T10:20:30.999",
    "1997-01-01 10:20:30Z": "1997-01-01T10:20:30",
    "1997-01-01 10:20:30 UTC": "1997-01-01T10:20:30",
    "1997-01-01 00:30:00+01:00": "1996-12-31T23:30:00",
    "1997-01-01T23:30:00-0130": "1997-01-02T01:00:00",
    "1997-01-01 10:00+02": "1997-01-01T08:00:00",
    "1969-12-31 23:59:59.9999": "1969-12-31T23:59:59.999",
    "2000-02-29": "2000-02-29T00:00:00",
}
_NO_TIMES = (
    "", "1997", "1997-01", "19970101", "1997-02-30", "1997-13-01", "1900-02-29", "1997-01-01 10", "1997-01-01T",
    "1997-01-01 24:00:00", "1997-01-01 23:59:60", "1997-01-01 10:00:00 Europe/Berlin", "1997-01-01Z", "epoch",
    "infinity", "0097-01-01", "10000-01-01", "-1997-01-01", "1997-01-01 (BC)", "1997-01-01\n", "852076800",
)  # fmt: skip


def read(sql: str, *texts: str | None) -> list[object]:
    """What an expression over ``x`` makes of each text."""
    with open_engine() as engine:
        engine.register("texts", pa.table({"n": range(len(texts)), "x": pa.array(texts, pa.string())}))
        return [value for (value,) in engine.rows(f"select {sql} from texts order by n")]


def test_a_number_is_read_to_the_last_bit_and_zero_has_no_sign() -> None:
    found = read(number_sql("x"), *_NUMBERS)
    assert [struct.pack("d", value) for value in found] == [struct.pack("d", value) for value in _NUMBERS.values()]


def test_what_is_no_finite_decimal_number_is_none() -> None:
    assert read(number_sql("x"), None, *_NO_NUMBERS) == [None] * (1 + len(_NO_NUMBERS))
    assert read(whole_number_sql("x", "bigint"), None, *_NO_NUMBERS) == [None] * (1 + len(_NO_NUMBERS))


@pytest.mark.parametrize(
    ("text", "sql_type", "value"),
    [
        ("12.0", "bigint", 12), ("1.5e9", "bigint", 1_500_000_000), ("12.5", "bigint", None), ("-0", "bigint", 0),
        ("2147483647", "integer", 2**31 - 1), ("2147483648", "integer", None), ("-2147483648", "integer", -(2**31)),
        ("8999999999999998976", "bigint", 8999999999999998976), ("9223372036854775807", "bigint", None),
    ],
)  # fmt: skip
def test_a_whole_number_fits_its_type_or_is_none(text: str, sql_type: str, value: int | None) -> None:
    assert read(whole_number_sql("x", sql_type), text) == [value]


def test_a_number_of_seconds_is_read_in_milliseconds() -> None:
    assert read(whole_number_sql("x", "bigint", times=1000), "852076800", "0.5") == [852076800000, None]


def test_a_time_is_utc_unless_it_says_how_far_from_it() -> None:
    expected = [datetime.fromisoformat(t).replace(tzinfo=UTC) for t in _TIMES.values()]
    assert read(time_sql("x"), *_TIMES) == [round(t.timestamp() * 1000) for t in expected]
    assert read(day_sql("x"), *_TIMES) == [str(t.date()) for t in expected]


def test_what_is_no_time_is_none() -> None:
    assert read(time_sql("x"), None, *_NO_TIMES) == [None] * (1 + len(_NO_TIMES))
    assert read(day_sql("x"), None, *_NO_TIMES) == [None] * (1 + len(_NO_TIMES))


def test_blanks_of_every_kind_are_taken_off_and_nothing_else() -> None:
    blanks = " \u00a0\u2003\u3000"
    assert read(text_sql("x"), f"{blanks}a{blanks}b{blanks}", blanks, "", "\ta\n", "\u200ba", None) == [
        f"a{blanks}b", None, None, "\ta\n", "\u200ba", None,
    ]  # fmt: skip


def test_a_whole_number_with_a_zero_behind_the_point_is_the_same_id() -> None:
    texts = ("39", "39.0", "39.00", "a39.0", ".0", "39.0\n", "0039.0")
    assert read(id_sql("x"), *texts) == ["39", "39", "39.00", "a39.0", ".0", "39.0\n", "0039"]
