"""The ledger on SQLite and on a real PostgreSQL: what is written stays, once, and says what was in production when."""

import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from churn.errors import BadInput, Unavailable
from churn.io.ledger import DECISIONS, Entry, Ledger, rolled_back_from, succession

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def moved(url: str, what: Any, before: str | None, after: str | None, at: datetime | None = None) -> Entry:
    with closing(Ledger(url)) as ledger:
        key = f"{len(ledger.entries())}"
        return ledger.append(
            what, key=key, who="Ada", why="tests", version=after, from_version=before, to_version=after, decided_at=at
        )


def test_what_is_appended_is_what_is_read(url: str) -> None:
    before = datetime.now(UTC)
    with closing(Ledger(url)) as ledger:
        written = ledger.append(
            "promotion", key="k", who="Ada", why="bessere Wörter; --'", version="2", from_version="1", to_version="2",
            evidence_sha256="ab",
        )  # fmt: skip
        assert ledger.entries() == [written]
        assert ledger.find("k") == ledger.production() == written
        assert ledger.find("another") is None
    assert written == Entry(1, "promotion", "2", "1", "2", "Ada", "bessere Wörter; --'", "ab", written.decided_at, "k")
    assert before <= written.decided_at <= datetime.now(UTC)
    assert written.decided_at.utcoffset() == timedelta(0)


def test_a_time_in_another_zone_is_the_same_moment(url: str) -> None:
    here = NOON.astimezone(timezone(timedelta(hours=-7)))
    assert moved(url, "promotion", None, "1", here).decided_at == NOON
    with closing(Ledger(url)) as ledger:
        held = ledger.production_at(NOON.astimezone(timezone(timedelta(hours=5))))
        assert held is not None and held.decided_at.utcoffset() == timedelta(0)
        with pytest.raises(BadInput, match="has no zone"):
            ledger.append("gate", key="naive", who="Ada", why="tests", decided_at=datetime(2026, 3, 1))  # noqa: DTZ001


def test_the_same_key_again_changes_nothing(url: str) -> None:
    with closing(Ledger(url)) as ledger:
        first = ledger.append("gate", key="k", who="the gate", why="yes")
        assert ledger.append("promotion", key="k", who="Eve", why="no", to_version="9") == first
        assert ledger.entries() == [first]


@pytest.mark.parametrize("given", [{"what": "guess"}, {"who": " "}, {"why": ""}])
def test_a_decision_without_a_kind_a_who_or_a_why_is_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    with closing(Ledger(f"sqlite:///{tmp_path}/l.db")) as ledger:
        with pytest.raises(BadInput, match="a decision has a kind"):
            ledger.append(**{"what": "gate", "key": "k", "who": "Ada", "why": "tests"} | given)
        assert ledger.entries() == []


CHANGES = [
    "update decisions set who = 'Eve'",
    "update decisions set why = why",
    "delete from decisions",
    "delete from decisions where number = 2",
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_database_refuses_to_change_or_remove_a_row(url: str, change: str) -> None:
    moved(url, "promotion", None, "1")
    moved(url, "promotion", "1", "2")
    with closing(Ledger(url)) as ledger:
        rows = ledger.entries()
        _refused(ledger, change, "append-only")
        assert ledger.entries() == rows


def test_a_row_is_not_replaced_and_the_table_not_emptied_in_one_go(url: str) -> None:
    moved(url, "promotion", None, "1")
    with closing(Ledger(url)) as ledger:
        rows = ledger.entries()
        if url.startswith("sqlite"):
            values = "values ({}, 'promotion', 'Eve', 'x', '2026-01-01 00:00:00', {})"
            into = "insert or replace into decisions (number, what, who, why, decided_at, key) "
            _refused(ledger, into + values.format(1, "'new'"), "has this key")
            _refused(ledger, into + values.format("null", "'0'"), "has this key")
        else:
            _refused(ledger, "truncate decisions", "append-only")
        assert ledger.entries() == rows


def test_the_guards_come_back_when_their_making_was_killed(url: str) -> None:
    moved(url, "promotion", None, "1")
    with closing(Ledger(url)) as ledger:
        engine = sa.create_engine(ledger.url)
        with engine.begin() as db:
            if url.startswith("sqlite"):
                db.exec_driver_sql("drop trigger decisions_no_update")
            else:
                db.exec_driver_sql("drop trigger decisions_no_change on decisions")
        engine.dispose()
    with closing(Ledger(url)) as ledger:
        assert len(ledger.entries()) == 1  # opens it
        _refused(ledger, "update decisions set who = 'Eve'", "append-only")


def _refused(ledger: Ledger, statement: str, why: str) -> None:
    engine = sa.create_engine(ledger.url)
    with pytest.raises(DBAPIError, match=why), engine.begin() as db:
        db.exec_driver_sql(statement)
    engine.dispose()


def test_the_version_in_production_at_a_moment_is_the_one_of_the_last_move_before_it(url: str) -> None:
    moved(url, "promotion", None, "1", NOON)
    moved(url, "gate", "1", "2", NOON + DAY)  # moves nothing
    moved(url, "promotion", "1", "2", NOON + 2 * DAY)
    moved(url, "rollback", "2", "1", NOON + 3 * DAY)
    moved(url, "found", "1", None, NOON + 4 * DAY)
    with closing(Ledger(url)) as ledger:
        assert ledger.production_at(NOON - timedelta(microseconds=1)) is None
        held = [ledger.production_at(NOON + n * DAY) for n in range(5)]
        assert [e.to_version for e in held if e] == ["1", "1", "2", "1", None]
        just_before = ledger.production_at(NOON + 2 * DAY - timedelta(microseconds=1))
        assert just_before is not None and just_before.to_version == "1"
        last = ledger.production()
        assert last is not None and last.what == "found"
        assert [e.what for e in ledger.entries("promotion")] == ["promotion", "promotion"]


def entries(*moves: tuple[str, str | None]) -> list[Entry]:
    """``("promotion", "2")``: moves to versions, one after the other."""
    before = [None, *(to for _, to in moves)]
    return [
        Entry(n + 1, what, to, before[n], to, "Ada", "tests", None, NOON, str(n)) for n, (what, to) in enumerate(moves)
    ]


PROMOTED = [("promotion", "1"), ("promotion", "2"), ("promotion", "3")]


@pytest.mark.parametrize(
    ("then", "standing"),
    [
        ([], ["1", "2", "3"]),
        ([("rollback", "2")], ["1", "2"]),
        ([("rollback", "2"), ("rollback", "1")], ["1"]),
        ([("rollback", "2"), ("promotion", "4")], ["1", "2", "4"]),
        ([("rollback", "2"), ("promotion", "3")], ["1", "2", "3"]),
        ([("rollback", "2"), ("rollback", "3")], ["1", "2", "3"]),  # taken back
        ([("promotion", "1")], ["1", "2", "3", "1"]),  # forward to an old one: what is wrong with it leads back to 3
        ([("found", "1")], ["1"]),  # by hand: a way of going back
        ([("found", "4")], ["1", "2", "3", "4"]),
        ([("found", None)], ["1", "2", "3"]),
        ([("gate", "4")], ["1", "2", "3"]),
    ],
)
def test_going_back_leads_further_back_and_never_to_and_fro(then: list[tuple[str, str]], standing: list[str]) -> None:
    assert succession(entries(*PROMOTED, *then)) == standing


def test_a_version_counts_as_rolled_back_until_it_is_in_production_again(url: str) -> None:
    moved(url, "promotion", None, "1")
    moved(url, "promotion", "1", "2")
    with closing(Ledger(url)) as ledger:
        assert rolled_back_from(ledger, "2") is None
        rollback = moved(url, "rollback", "2", "1")
        assert rolled_back_from(ledger, "2") == rollback
        assert rolled_back_from(ledger, "1") is None
        moved(url, "promotion", "1", "2")
        assert rolled_back_from(ledger, "2") is None


def test_a_version_that_a_rollback_went_past_counts_as_rolled_back_too(url: str) -> None:
    for before, after in ((None, "1"), ("1", "2"), ("2", "3")):
        moved(url, "promotion", before, after)
    far = moved(url, "rollback", "3", "1")
    with closing(Ledger(url)) as ledger:
        assert [rolled_back_from(ledger, v) for v in "123"] == [None, far, far]
        moved(url, "promotion", "1", "4")
        assert rolled_back_from(ledger, "2") == far
        moved(url, "rollback", "4", "2")
        assert rolled_back_from(ledger, "2") is None
        moved(url, "found", "2", None)  # emptied by hand
        past = moved(url, "rollback", None, "1")
        assert [rolled_back_from(ledger, v) for v in "124"] == [None, past, past]


_APPEND = """
import sys, time
from churn.io.ledger import Ledger
url, at = sys.argv[1:]
ledger = Ledger(url)
while time.time() < float(at):
    pass
entry = ledger.append("promotion", key="the one", who=sys.argv[2], why="tests", to_version="2")
ledger.append("gate", key=str(time.time_ns()), who="the gate", why="tests")
print(entry.number)
"""


@pytest.mark.slow
def test_processes_that_open_an_empty_database_and_append_the_same_key_at_once_write_it_once(url: str) -> None:
    at = str(time.time() + 3)  # all have imported by then
    run = [sys.executable, "-c", _APPEND, url, at]
    processes = [subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [p.communicate(timeout=60) for p in processes]
    assert [p.returncode for p in processes] == [0] * 4, said
    assert len({out for out, _ in said}) == 1
    with closing(Ledger(url)) as ledger:
        assert [len(ledger.entries(what)) for what in ("promotion", "gate")] == [1, 4]
        _refused(ledger, "delete from decisions", "append-only")


def test_a_ledger_that_is_away_is_unavailable_and_no_password_is_told() -> None:
    url = "postgresql://churn:geheim@127.0.0.1:1/churn?connect_timeout=2"
    with closing(Ledger(url)) as ledger, pytest.raises(Unavailable, match="the ledger at") as error:
        ledger.append("gate", key="k", who="Ada", why="tests")
    assert "geheim" not in str(error.value)


def test_the_table_is_what_messages_and_readers_rely_on() -> None:
    assert [c.name for c in DECISIONS.columns] == list(Entry.__dataclass_fields__)
