"""Small raw logs of the sparkify schema, written by hand: one builder for a row, one writer for each file format."""

import csv
import gzip
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]

FIRST_MS = int(datetime(2018, 11, 1, 12, tzinfo=UTC).timestamp() * 1000)
"""Noon of the first day: rows a second apart stay within it."""
DAY_MS = 86_400_000

PERSONAL = {
    "firstName": "Zebediah",
    "lastName": "Quackenbush",
    "gender": "Genderfield",
    "location": "Timbuktu-on-Avon",
    "userAgent": "Netscape/Gold",
}
"""Values that occur nowhere else, so that a search of bytes finds where they went."""

COLUMNS = (
    "artist", "auth", "firstName", "gender", "itemInSession", "lastName", "length", "level", "location", "method",
    "page", "registration", "sessionId", "song", "status", "ts", "userAgent", "userId",
)  # fmt: skip


def raw_row(second: int = 0, *, day: int = 0, **other: Any) -> Row:
    """A song heard by customer 39, so many seconds after noon of the so many-th day."""
    values: Row = {
        "artist": "Muse", "auth": "Logged In", "itemInSession": second, "length": 231.5, "level": "paid",
        "method": "PUT", "page": "NextSong", "registration": FIRST_MS - 30 * DAY_MS, "sessionId": 7,
        "song": "Starlight", "status": 200, "ts": FIRST_MS + second * 1000 + day * DAY_MS, "userId": "39",
        **PERSONAL, **other,
    }  # fmt: skip
    return {column: values[column] for column in COLUMNS}


def raw_rows(count: int, **other: Any) -> list[Row]:
    """So many songs, a second apart."""
    return [raw_row(second, **other) for second in range(count)]


def a_visitor(second: int = 0, *, user: str | None = "") -> Row:
    """A row without a customer, as the public log has them."""
    nobody: Row = dict.fromkeys(PERSONAL)
    other: Row = {"length": None, "artist": None, "song": None, "registration": None, "page": "Home", "sessionId": 8}
    return raw_row(second, auth="Logged Out", userId=user, **other, **nobody)


def write_json_lines(path: Path, rows: Iterable[Row | str]) -> Path:
    """JSON lines, gzipped when the name ends in `.gz`; a text is written as it is."""
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text, mtime=0) if path.name.endswith(".gz") else text)
    return path


def write_csv(path: Path, rows: Iterable[Row], columns: Sequence[str] = COLUMNS) -> Path:
    """A header and the rows; null is an empty field."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_rows_as_parquet(path: Path, rows: list[Row]) -> Path:
    """One parquet file, columns typed as Arrow guesses them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def day(number: int) -> str:
    """ISO date of the so many-th day of these logs."""
    return str((datetime(2018, 11, 1, tzinfo=UTC) + timedelta(days=number)).date())
