"""What every store of rows has in common."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from churn.errors import Unavailable
from churn.io.database import Database

TABLES = sa.MetaData()
NIGHTS = sa.Table("nights", TABLES, sa.Column("night", sa.Integer, primary_key=True))


def database(path: Path, *nights: int) -> Database:
    made = Database(f"sqlite:///{path}", TABLES, "book of nights")
    with made.transaction() as db:
        for night in nights:
            db.execute(sa.insert(NIGHTS).values(night=night))
    return made


def nights(of: Database) -> list[int]:
    with of.transaction() as db:
        return list(db.scalars(sa.select(NIGHTS.c.night).order_by(NIGHTS.c.night)))


def test_a_file_put_in_place_of_another_is_what_is_read_from_then_on(tmp_path: Path) -> None:
    database(tmp_path / "backup.db", 1).close()
    used = database(tmp_path / "nights.db", 1, 2)
    assert nights(used) == [1, 2]
    (tmp_path / "backup.db").replace(tmp_path / "nights.db")
    assert nights(used) == [1]


def test_a_file_that_was_spoilt_is_told_and_not_read_from_memory(tmp_path: Path) -> None:
    used = database(tmp_path / "nights.db", 1)
    assert nights(used) == [1]
    (tmp_path / "nights.db").write_bytes(b"no database " * 2000)
    with pytest.raises(Unavailable, match=r"the book of nights at .* did not answer: file is not a database"):
        nights(used)


def test_a_reader_writes_nothing_into_a_file_that_is_just_being_put_back(tmp_path: Path) -> None:
    used = database(tmp_path / "nights.db", 1)
    (tmp_path / "nights.db").write_bytes(b"")  # how a copy begins
    with pytest.raises(Unavailable, match="no such table"):
        nights(used)
    assert [(file.name, file.stat().st_size) for file in tmp_path.iterdir()] == [("nights.db", 0)]
