"""The ingestion contract on real files: nothing is lost, nothing twice, nothing personal, and every fault is named."""

import gzip
import hashlib
import json
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from churn.core.canonical import rules
from churn.core.features import FEATURE_NAMES
from churn.errors import BadInput, ChurnError, ContractViolation, NotReady
from churn.io.contracts import load_contract
from churn.io.engines.duckdb import open_engine
from churn.io.intake import Intake
from churn.io.lake import Lake
from churn.io.raw import find_raw_files
from churn.io.validation import validate_events
from churn.settings import REPOSITORY, Settings
from churn.steps.build_features import build_features
from churn.steps.build_panel import build_panel
from churn.steps.ingest import IngestReport, ingest, ingest_or_refuse
from tests.raw_log import (
    COLUMNS,
    DAY_MS,
    FIRST_MS,
    PERSONAL,
    Row,
    a_visitor,
    day,
    raw_row,
    raw_rows,
    write_csv,
    write_json_lines,
    write_rows_as_parquet,
)

NEEDED = ("userId", "ts", "sessionId", "page", "level", "registration", "itemInSession", "length")
SHIPPED = REPOSITORY / "churn" / "contracts" / "sparkify.toml"


def settings_in(folder: Path, **other: Any) -> Settings:
    return Settings(_env_file=None, home=folder, **other)  # type: ignore[call-arg]


def ingested(settings: Settings, *paths: Path) -> IngestReport:
    """Ingest, and check what must hold of every ingestion there is."""
    report = ingest(settings, list(paths))
    assert report.read == report.accepted + report.set_aside + report.quarantined
    assert not list(settings.data_home.rglob("*.part"))
    return report


def refusal(settings: Settings, path: Path) -> str:
    """Why a file was refused whole; nothing of it is in the lake, and the caller who insists gets an error."""
    report = ingested(settings, path)
    assert report.read == report.new_events == 0
    assert not events(settings)
    (why,) = report.rejected_files.values()
    with pytest.raises(ContractViolation, match="refused whole"):
        ingest_or_refuse(settings, [path])
    assert path.name in why
    return why


def events(settings: Settings) -> list[tuple[Any, ...]]:
    """Every canonical event in the lake but for the time it came in, in the order of the files."""
    found: list[tuple[Any, ...]] = []
    for path in sorted(settings.data_home.glob("events/date=*/*.parquet")):
        found += map(tuple, map(dict.values, pq.ParquetFile(path).read().drop_columns("ingested_ms").to_pylist()))
    return found


def tree(folder: Path) -> dict[str, str]:
    """Every file under a folder with the sha256 of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def quarantined(settings: Settings) -> list[Row]:
    paths = sorted(settings.data_home.glob("quarantine/*"))
    return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]


def everything_written(settings: Settings) -> str:
    """All bytes under the data home as text, parquet decoded."""
    found = []
    for path in settings.data_home.rglob("*"):
        if path.suffix == ".parquet":
            found.append(f"{pq.read_schema(path)} {pq.ParquetFile(path).read().to_pylist()}")
        elif path.is_file():
            found.append(path.read_bytes().decode("utf-8", "replace"))
    return "\n".join(found)


# --- What is taken, set aside and quarantined ---------------------------------------------------------------------


def test_every_row_is_accepted_set_aside_or_quarantined(settings: Settings, tmp_path: Path) -> None:
    rows = [*raw_rows(5), a_visitor(6), a_visitor(7, user=None), raw_row(8, page="Teleport")]
    report = ingested(settings, write_json_lines(tmp_path / "log.json", rows))
    assert (report.read, report.accepted, report.set_aside, report.quarantined) == (8, 5, 2, 1)
    assert report.broken_rules == {"page is known to the contract": 1}
    assert (report.new_events, report.partitions_written, report.first_day) == (5, 1, day(0))


def test_an_event_holds_what_the_row_said(settings: Settings, tmp_path: Path) -> None:
    ingested(settings, write_json_lines(tmp_path / "log.json", [raw_row(3)]))
    (path,) = settings.data_home.glob("events/date=2018-11-01/*.parquet")
    (event,) = pq.ParquetFile(path).read().to_pylist()
    assert event.pop("ingested_ms") > FIRST_MS
    assert event == {
        "customer_id": "39", "ts_ms": FIRST_MS + 3000, "session_id": "7", "kind": "play", "plan": "paid",
        "registered_ms": FIRST_MS - 30 * DAY_MS, "item_in_session": 3, "duration_s": 231.5,
    }  # fmt: skip


def test_each_page_of_the_contract_becomes_its_kind(settings: Settings, tmp_path: Path) -> None:
    kinds = load_contract("sparkify").kinds
    rows = [raw_row(second, page=page) for second, page in enumerate(kinds)]
    report = ingested(settings, write_json_lines(tmp_path / "log.json", rows))
    assert report.accepted == len(kinds)
    assert [event[3] for event in events(settings)] == list(kinds.values())


@pytest.mark.parametrize("user", ["", None, "   "])
def test_a_row_without_a_customer_is_set_aside_whatever_else_is_wrong_with_it(
    settings: Settings, tmp_path: Path, user: str | None
) -> None:
    rows = [raw_row(0), {**a_visitor(1, user=user), "page": "Teleport", "ts": "noon"}]
    report = ingested(settings, write_json_lines(tmp_path / "log.json", rows))
    assert (report.accepted, report.set_aside, report.quarantined) == (1, 1, 0)


def test_an_id_written_as_a_float_is_the_same_customer(settings: Settings, tmp_path: Path) -> None:
    rows = [raw_row(0), raw_row(1, userId=39), raw_row(2, userId=39.0), raw_row(3, userId=" 39 ")]
    ingested(settings, write_json_lines(tmp_path / "log.json", rows))
    assert {event[0] for event in events(settings)} == {"39"}


BROKEN: dict[str, tuple[Row, str]] = {
    "text as a time": ({"ts": "yesterday"}, "ts is a time in epoch milliseconds"),
    "a time of day as a time": ({"ts": "2018-11-01T12:00:00"}, "ts is a time in epoch milliseconds"),
    "a fraction as a time": ({"ts": FIRST_MS + 0.5}, "ts is a time in epoch milliseconds"),
    "true as a time": ({"ts": True}, "ts is a time in epoch milliseconds"),
    "a time beyond 64 bits": ({"ts": 10**30}, "ts is a time in epoch milliseconds"),
    "no time": ({"ts": None}, "ts is given"),
    "seconds instead of milliseconds": (
        {"ts": FIRST_MS // 1000}, "ts is between 9.46685e+11 and 4.10244e+12"),
    "a negative length": ({"length": -1.0}, "length is between 0 and 86400"),
    "a length of more than a day": ({"length": 86400.5}, "length is between 0 and 86400"),
    "text as a length": ({"length": "long"}, "length is a number"),
    "no number as a length": ({"length": float("nan")}, "length is a number"),
    "an infinite length": ({"length": float("inf")}, "length is a number"),
    "a length that is infinite below": ({"length": float("-inf")}, "length is a number"),
    "an unknown page": ({"page": "Teleport"}, "page is known to the contract"),
    "a page in other letters": ({"page": "nextsong"}, "page is known to the contract"),
    "no page": ({"page": None}, "page is given"),
    "an empty page": ({"page": ""}, "page is given"),
    "an unknown level": ({"level": "premium"}, "level is known to the contract"),
    "a fractional item": ({"itemInSession": 1.5}, "itemInSession is a whole number"),
    "a negative item": ({"itemInSession": -1}, "itemInSession is between 0 and 2.14748e+09"),
    "an item beyond 32 bits": ({"itemInSession": 2**31}, "itemInSession is a whole number"),
    "no session": ({"sessionId": None}, "sessionId is given"),
    "a registration before 1970": ({"registration": -1}, "registration is between 0 and 4.10244e+12"),
}  # fmt: skip


MALFORMED = {
    "cut off": '{"ts": 1543622400000, "page": "Nex',
    "an array": json.dumps([raw_row(1)]),
    "a text": '"hello"',
    "a number": "17",
    "null": "null",
    "no JSON": "Nov 01 12:00:00 host app[17]: NextSong",
    "an unpaired surrogate": '{"userId": "\\ud800"}',
    "blanks": "   ",
}
GOOD_ROWS = 1000
"""So many that one broken row of each sort is less than the share at which a file is refused."""


@pytest.fixture(scope="module")
def one_of_each(tmp_path_factory: pytest.TempPathFactory) -> tuple[IngestReport, dict[int, Row]]:
    """A file with good rows, then one row of each broken sort, then malformed lines: the report, and by line what
    the quarantine holds."""
    folder = tmp_path_factory.mktemp("broken")
    settings = settings_in(folder / "home")
    broken = [{**raw_row(0, day=1), **other} for other, _ in BROKEN.values()]
    rows: list[Row | str] = [*raw_rows(GOOD_ROWS), *broken, *MALFORMED.values()]
    report = ingested(settings, write_json_lines(folder / "log.json", rows))
    return report, {row["line_no"]: row for row in quarantined(settings)}


def test_of_a_file_with_one_of_each_the_good_rows_are_taken(one_of_each: tuple[IngestReport, dict[int, Row]]) -> None:
    report, kept = one_of_each
    assert (report.accepted, report.quarantined) == (GOOD_ROWS, len(BROKEN) + len(MALFORMED))
    assert len(kept) == report.quarantined
    assert {row["file"] for row in kept.values()} == {"log.json"}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_row_that_breaks_a_rule_is_quarantined_with_the_rule_and_the_line(
    one_of_each: tuple[IngestReport, dict[int, Row]], fault: str
) -> None:
    other, rule = BROKEN[fault]
    row = one_of_each[1][GOOD_ROWS + 1 + list(BROKEN).index(fault)]
    assert row["broken"] == rule
    assert row["sessionId"] == (None if "sessionId" in other else "7")


@pytest.mark.parametrize("line", MALFORMED)
def test_a_line_that_is_no_json_object_is_quarantined(
    one_of_each: tuple[IngestReport, dict[int, Row]], line: str
) -> None:
    row = one_of_each[1][GOOD_ROWS + len(BROKEN) + 1 + list(MALFORMED).index(line)]
    assert "the line is a JSON object" in row["broken"]


def test_a_row_that_breaks_two_rules_is_counted_once_and_named_twice(settings: Settings, tmp_path: Path) -> None:
    rows = [*raw_rows(3), raw_row(3, page="Teleport", level="premium")]
    report = ingested(settings, write_json_lines(tmp_path / "log.json", rows))
    assert report.quarantined == 1
    assert report.broken_rules == {"level is known to the contract": 1, "page is known to the contract": 1}


def test_a_line_that_is_no_json_object_breaks_no_other_rule(settings: Settings, tmp_path: Path) -> None:
    report = ingested(settings, write_json_lines(tmp_path / "log.json", [*raw_rows(2), "{"]))
    assert report.broken_rules == {"the line is a JSON object": 1}


def test_line_numbers_count_empty_lines_too(settings: Settings, tmp_path: Path) -> None:
    report = ingested(settings, write_json_lines(tmp_path / "log.json", ["", raw_row(1), "", raw_row(2, page="?")]))
    assert (report.read, report.accepted) == (2, 1)
    assert quarantined(settings)[0]["line_no"] == 4


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_a_missing_last_one_and_a_byte_order_mark_lose_nothing(
    settings: Settings, tmp_path: Path, newline: str, last: bool, mark: bytes
) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(mark + (newline.join(map(json.dumps, raw_rows(4))) + newline * last).encode())
    assert ingested(settings, path).accepted == 4


def test_a_file_with_both_line_ends_is_taken_or_refused_but_not_halved(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(
        b"".join(json.dumps(r).encode() + (b"\r\n" if i % 2 else b"\n") for i, r in enumerate(raw_rows(6)))
    )
    report = ingested(settings, path)
    assert report.read == 6 or (report.read == 0 and [Path(f).name for f in report.rejected_files] == ["log.json"])


def test_a_gzip_of_several_members_is_read_to_its_end(settings: Settings, tmp_path: Path) -> None:
    whole = gzip.compress((json.dumps(raw_row(0)) + "\n").encode())
    (tmp_path / "log.json.gz").write_bytes(whole + gzip.compress((json.dumps(raw_row(1)) + "\n").encode()))
    assert ingested(settings, tmp_path / "log.json.gz").accepted == 2


def test_null_and_absent_are_alike(settings: Settings, tmp_path: Path) -> None:
    without = {name: value for name, value in raw_row(1).items() if name not in {"length", "registration"}}
    rows = [raw_row(0), without, {**raw_row(1, day=1), "length": None, "registration": None}]
    ingested(settings, write_json_lines(tmp_path / "log.json", rows))
    first, second = events(settings)[1:]
    assert first[0] == second[0] and first[3:] == second[3:]
    assert (second[5], second[7]) == (None, None)


# --- What is refused whole ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", NEEDED)
@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_a_file_without_a_column_is_refused_and_the_column_is_named(
    settings: Settings, tmp_path: Path, missing: str, suffix: str
) -> None:
    rows = [{name: value for name, value in row.items() if name != missing} for row in raw_rows(3)]
    path = tmp_path / f"log{suffix}"
    if suffix == ".csv":
        write_csv(path, rows, [c for c in COLUMNS if c != missing])
    elif suffix == ".parquet":
        write_rows_as_parquet(path, rows)
    else:
        write_json_lines(path, rows)
    assert f"no column {missing};" in refusal(settings, path)


def test_columns_that_the_contract_ignores_may_be_absent(settings: Settings, tmp_path: Path) -> None:
    rows = [{name: row[name] for name in NEEDED} for row in raw_rows(3)]
    assert ingested(settings, write_json_lines(tmp_path / "a.json", rows)).accepted == 3
    assert ingested(settings, write_csv(tmp_path / "b.csv", rows, NEEDED)).accepted == 3


def test_a_column_that_only_the_last_of_many_lines_names_is_there(settings: Settings, tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "length"} for row in raw_rows(1500)] + [raw_row(1500)]
    assert ingested(settings, write_json_lines(tmp_path / "log.json", rows)).accepted == 1501


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_cut_off_gzip_is_refused(settings: Settings, tmp_path: Path, share: float) -> None:
    path = write_json_lines(tmp_path / "log.json.gz", [raw_row(i, song=f"{i * 7919 % 1009}") for i in range(500)])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "not a whole gzip file" in refusal(settings, path)
    path.write_bytes(whole)
    assert ingested(settings, path).accepted == 500


def test_a_gzip_whose_middle_is_damaged_is_refused(settings: Settings, tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "log.json.gz", [raw_row(i, song=f"{i * 7919 % 1009}") for i in range(500)])
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)
    assert "not a whole gzip file" in refusal(settings, path)


UNREADABLE = {
    "nothing at all": ("log.json", b"", "is empty (0 bytes)"),
    "nothing in a gzip": ("log.json.gz", gzip.compress(b""), "holds no rows"),
    "empty lines": ("log.json", b"\n\n\n\n", "holds no rows"),
    "not UTF-8": ("log.json", json.dumps(raw_row(0)).encode() + b'\n{"song": "\xe9t\xe9"}\n', "cannot be read as json"),
    "no gzip": ("log.json.gz", b'{"ts": 1}\n', "not a whole gzip file"),
    "an empty CSV": ("log.csv", b"", "is empty (0 bytes)"),
    "a CSV of a header": ("log.csv", ",".join(COLUMNS).encode() + b"\n", "holds no rows"),
    "a CSV that is not UTF-8": (
        "log.csv", (",".join(NEEDED) + "\n39,1,1,Björk,free,1,1,1\n").encode("latin-1"), "cannot be read as csv"),
    "no parquet": ("log.parquet", b"PAR1 is how it begins", "cannot be read as parquet"),
    "an empty parquet": ("log.parquet", b"", "is empty (0 bytes)"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(settings: Settings, tmp_path: Path, what: str) -> None:
    name, content, reason = UNREADABLE[what]
    (tmp_path / name).write_bytes(content)
    assert reason in refusal(settings, tmp_path / name)


def test_a_cut_off_parquet_is_refused(settings: Settings, tmp_path: Path) -> None:
    path = write_rows_as_parquet(tmp_path / "log.parquet", raw_rows(50))
    path.write_bytes(path.read_bytes()[:-9])
    assert "cannot be read as parquet" in refusal(settings, path)


@pytest.mark.parametrize("extra", [["a", "b"], [str(n) for n in range(25)]], ids=["too short", "too long"])
@pytest.mark.parametrize("where", ["first", "last"])
def test_a_csv_with_a_row_of_another_length_is_refused_whole(
    settings: Settings, tmp_path: Path, extra: list[str], where: str
) -> None:
    path = write_csv(tmp_path / "log.csv", raw_rows(30))
    header, *rows = path.read_text().splitlines()
    odd = ",".join(extra)
    path.write_text("\n".join([header, odd, *rows] if where == "first" else [header, *rows, odd]) + "\n")
    refusal(settings, path)


def test_two_csvs_of_different_width_in_one_file_lose_no_row_in_silence(settings: Settings, tmp_path: Path) -> None:
    narrow = write_csv(tmp_path / "a.csv", raw_rows(10), [c for c in COLUMNS if c != "song"]).read_text()
    wide = write_csv(tmp_path / "b.csv", raw_rows(30, day=1)).read_text()
    path = tmp_path / "both" / "log.csv"
    path.parent.mkdir()
    path.write_text(narrow + wide)
    refusal(settings, path)


def test_a_csv_row_that_begins_like_a_comment_is_a_row(settings: Settings, tmp_path: Path) -> None:
    rows = [raw_row(i, userId=f"#{i}" if i % 3 else str(i)) for i in range(30)]
    order = ("userId", *(c for c in COLUMNS if c != "userId"))
    assert ingested(settings, write_csv(tmp_path / "log.csv", rows, order)).accepted == 30


@pytest.mark.parametrize("bad", [11, 12, 50])
def test_a_file_with_too_many_broken_rows_is_refused_and_the_others_are_ingested(
    settings: Settings, tmp_path: Path, bad: int
) -> None:
    landing = tmp_path / "landing"
    write_json_lines(landing / "good.json", raw_rows(20))
    write_json_lines(
        landing / "bad.json", [raw_row(i, day=1, page="Teleport" if i < bad else "Home") for i in range(100)]
    )
    report = ingested(settings, landing)
    assert (report.files, report.read, report.accepted, report.quarantined) == (2, 20, 20, 0)
    (why,) = report.rejected_files.values()
    assert f"{bad} of 100 rows" in why
    assert f"page is known to the contract: {bad}" in why
    assert len(events(settings)) == 20
    with pytest.raises(ContractViolation, match=r"1 of 2 files were refused whole(?s:.*)bad.json"):
        ingest_or_refuse(settings, [landing])


def test_ten_broken_rows_are_no_share_of_a_small_file(settings: Settings, tmp_path: Path) -> None:
    rows = [raw_row(i, page="Teleport" if i < 10 else "Home") for i in range(20)]
    report = ingested(settings, write_json_lines(tmp_path / "log.json", rows))
    assert (report.accepted, report.quarantined, report.rejected_files) == (10, 10, {})


def test_a_mended_file_is_ingested_after_its_refusal(settings: Settings, tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "log.json", raw_rows(20, level="premium"))
    assert "level is known to the contract: 20" in refusal(settings, path)
    assert ingested(settings, write_json_lines(path, raw_rows(20))).new_events == 20


def test_a_wrong_customer_column_is_refused_and_named(settings: Settings, tmp_path: Path) -> None:
    why = refusal(settings, write_json_lines(tmp_path / "log.json", [a_visitor(i) for i in range(150)]))
    assert "150 of 150 rows have no customer" in why
    assert "'userId'" in why


def test_a_log_written_as_one_json_array_is_refused(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(raw_rows(500)))
    assert "JSON object" in refusal(settings, path)


def test_two_refused_files_of_the_same_name_are_both_reported(settings: Settings, tmp_path: Path) -> None:
    for number in range(2):
        write_json_lines(tmp_path / f"landing/date={day(number)}/part-0.json", ["{"] * (20 + number))
    assert len(ingested(settings, tmp_path / "landing").rejected_files) == 2


def test_a_folder_with_no_log_a_missing_path_and_a_wrong_suffix_are_errors(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotReady, match=r"no raw log in .*empty"):
        ingest(settings, [tmp_path / "empty"])
    with pytest.raises(BadInput, match=r"gone\.json does not exist"):
        ingest(settings, [tmp_path / "gone.json"])
    (tmp_path / "log.txt").write_text("{}")
    with pytest.raises(BadInput, match=r"log\.txt: expected one of .*\.jsonl"):
        ingest(settings, [tmp_path / "log.txt"])
    with pytest.raises(NotReady, match=r"no raw log in .*landing"):
        ingest(settings)
    assert not events(settings)


def test_the_landing_folder_is_looked_through_and_hidden_files_are_left(settings: Settings, tmp_path: Path) -> None:
    write_json_lines(settings.landing_dir / "2018" / "11" / "log.json", raw_rows(3))
    write_json_lines(settings.landing_dir / ".log.json.part.json", raw_rows(3, day=1))
    write_json_lines(settings.landing_dir / ".hidden" / "log.json", raw_rows(3, day=2))
    assert ingested(settings).new_events == 3


# --- Again, twice, late, in another order -------------------------------------------------------------------------


def test_the_same_file_again_changes_no_byte(settings: Settings, tmp_path: Path) -> None:
    rows = [*raw_rows(20), a_visitor(30), *raw_rows(20, day=1), raw_row(99, page="Teleport")]
    path = write_json_lines(tmp_path / "log.json", rows)
    ingested(settings, path)
    before = tree(settings.data_home)
    again = ingested(settings, path)
    assert tree(settings.data_home) == before
    assert (again.read, again.accepted, again.set_aside, again.quarantined) == (42, 40, 1, 1)
    assert (again.new_events, again.partitions_written, again.ingested_before) == (0, 0, 1)


def test_the_same_content_under_another_name_changes_no_byte(settings: Settings, tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "log.json", [*raw_rows(20), raw_row(99, page="Teleport")])
    ingested(settings, path)
    before = tree(settings.data_home)
    assert ingested(settings, path.rename(tmp_path / "renamed.jsonl")).ingested_before == 1
    assert tree(settings.data_home) == before


def test_the_same_content_under_two_names_at_once_is_read_once(settings: Settings, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        write_json_lines(tmp_path / "landing" / name, [*raw_rows(20), raw_row(99, page="Teleport")])
    report = ingested(settings, tmp_path / "landing")
    assert report.new_events == len(events(settings)) == 20
    assert len(quarantined(settings)) == 1


def test_a_refused_file_again_touches_no_event(settings: Settings, tmp_path: Path) -> None:
    write_json_lines(tmp_path / "landing/good.json", raw_rows(5))
    write_json_lines(tmp_path / "landing/bad.json", ["{"] * 20)
    ingested(settings, tmp_path / "landing")
    before = tree(settings.data_home / "events")
    assert len(ingested(settings, tmp_path / "landing").rejected_files) == 1
    assert tree(settings.data_home / "events") == before


@pytest.mark.parametrize("together", [True, False])
def test_a_day_that_lies_in_two_files_is_taken_once(settings: Settings, tmp_path: Path, together: bool) -> None:
    first = write_json_lines(tmp_path / "in/a.json", [*raw_rows(10), *raw_rows(10, day=1)])
    second = write_json_lines(tmp_path / "in/b.json", [*raw_rows(10, day=1), *raw_rows(10, day=2)])
    new = [ingested(settings, tmp_path / "in").new_events] if together else [
        ingested(settings, first).new_events, ingested(settings, second).new_events,
    ]  # fmt: skip
    assert sum(new) == len(events(settings)) == 30
    assert max(Counter(events(settings)).values()) == 1


def test_true_repetitions_inside_one_file_are_kept(settings: Settings, tmp_path: Path) -> None:
    rows = [raw_row(0), raw_row(1), raw_row(1), raw_row(1)]
    assert ingested(settings, write_json_lines(tmp_path / "a.json", rows)).new_events == 4
    assert ingested(settings, write_json_lines(tmp_path / "b.json", [*rows, raw_row(2)])).new_events == 1
    assert ingested(settings, write_json_lines(tmp_path / "c.json", [raw_row(1), raw_row(2)])).new_events == 0
    assert sorted(Counter(events(settings)).values()) == [1, 1, 3]


def test_a_late_event_lands_in_its_old_partition_and_leaves_the_others_untouched(
    settings: Settings, tmp_path: Path
) -> None:
    ingested(settings, write_json_lines(tmp_path / "a.json", [r for d in range(4) for r in raw_rows(5, day=d)]))
    before = tree(settings.data_home / "events")
    times = {path: path.stat().st_mtime_ns for path in settings.data_home.glob("events/date=*/*")}
    late = write_json_lines(tmp_path / "b.json", [raw_row(100, day=1), *raw_rows(5, day=3)])
    report = ingested(settings, late)
    assert (report.new_events, report.partitions_written) == (1, 1)
    after = tree(settings.data_home / "events")
    changed = {name for name, sha in after.items() if name.startswith("date=") and before.get(name) != sha}
    assert changed == {f"date={day(1)}/events.parquet"}
    assert {path.parent.name for path, time in times.items() if path.stat().st_mtime_ns != time} == {f"date={day(1)}"}


def test_the_day_of_an_event_is_utc_and_midnight_begins_it(settings: Settings, tmp_path: Path) -> None:
    midnight = FIRST_MS // DAY_MS * DAY_MS + DAY_MS
    rows = [
        raw_row(i, ts=ts) for i, ts in enumerate([midnight - 1, midnight, midnight + DAY_MS - 1, midnight + DAY_MS])
    ]
    ingested(settings, write_json_lines(tmp_path / "log.json", rows))
    held = {day_: pq.ParquetFile(Lake(settings.data_home).event_partition(day_)).metadata.num_rows
            for day_ in Lake(settings.data_home).event_days()}  # fmt: skip
    assert held == {date(2018, 11, 1): 1, date(2018, 11, 2): 2, date(2018, 11, 3): 1}


def test_the_order_of_files_and_of_rows_does_not_matter(tmp_path: Path) -> None:
    parts = [[*raw_rows(8), raw_row(3)], [*raw_rows(8, day=1), *raw_rows(3)], raw_rows(8, day=1, userId="40")]
    files = [write_json_lines(tmp_path / f"{name}.json", rows) for name, rows in zip("abc", parts, strict=True)]
    turned = [write_json_lines(tmp_path / f"r{i}.json", rows[::-1]) for i, rows in enumerate(parts)]
    at_once, forth, back = (settings_in(tmp_path / name) for name in ("at once", "forth", "back"))
    ingested(at_once, *files)
    for file in files:
        ingested(forth, file)
    for file in turned[::-1]:
        ingested(back, file)
    assert events(at_once) == events(forth) == events(back)
    assert len(events(at_once)) == 9 + 8 + 8


def test_csv_parquet_and_gzip_give_the_same_events_as_json(tmp_path: Path) -> None:
    rows = [
        *raw_rows(6),
        a_visitor(7),
        raw_row(8, song='a "quoted", title\nover two lines'),
        raw_row(9, page="Teleport"),
    ]
    files = [
        write_json_lines(tmp_path / "log.json", rows),
        write_json_lines(tmp_path / "log.jsonl.gz", rows),
        write_csv(tmp_path / "log.csv", rows),
        write_rows_as_parquet(tmp_path / "log.parquet", rows),
    ]
    found = {}
    for file in files:
        settings = settings_in(tmp_path / f"home of {file.name}")
        report = ingested(settings, file)
        assert (report.read, report.accepted, report.set_aside, report.quarantined) == (9, 7, 1, 1)
        found[file.name] = events(settings)
    assert all(these == found["log.json"] for these in found.values())
    together = settings_in(tmp_path / "together")
    assert ingested(together, *files).new_events == 7


def test_a_semicolon_or_a_tab_separates_too(tmp_path: Path) -> None:
    text = write_csv(tmp_path / "log.csv", raw_rows(20)).read_text()
    for number, separator in enumerate(";\t"):
        path = tmp_path / f"other{number}.csv"
        path.write_text(text.replace(",", separator))
        assert ingested(settings_in(tmp_path / f"home{number}"), path).accepted == 20


def test_the_report_is_written_by_the_run_after_one_that_was_killed_just_before(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_json_lines(tmp_path / "log.json", raw_rows(5))
    ingested(settings, path)
    report = settings.data_home / "reports" / "ingest.json"
    report.unlink()
    ingested(settings, path)
    assert report.is_file()


# --- What never leaves ingestion, and what is written down --------------------------------------------------------


def test_nothing_personal_is_written_anywhere(settings: Settings, tmp_path: Path) -> None:
    """Not in events, quarantine, receipts or reports; whatever becomes of the file that brought it."""
    landing = tmp_path / "landing"
    odd: list[Row | str] = [raw_row(50, page="Teleport"), raw_row(51, ts="noon"), json.dumps(raw_row(52))[:-3]]
    write_json_lines(landing / "some.json", [*raw_rows(20), *odd])
    write_json_lines(landing / "refused.json", [*(raw_row(i, level="premium") for i in range(30)), *odd])
    write_csv(landing / "good.csv", raw_rows(20, day=1))
    write_csv(landing / "lacks.csv", raw_rows(20), [c for c in COLUMNS if c != "ts"])
    latin = write_csv(landing / "latin.csv", raw_rows(20, song="été"))
    latin.write_bytes(latin.read_text().encode("latin-1"))
    (landing / "latin.json").write_bytes(json.dumps(raw_row(1, song="été"), ensure_ascii=False).encode("latin-1"))
    write_rows_as_parquet(landing / "log.parquet", raw_rows(20, day=2))
    report = ingested(settings, landing)
    assert len(report.rejected_files) == 4
    written = everything_written(settings) + str(asdict(report))
    assert "Teleport" in written  # the search finds what is there
    assert [value for value in PERSONAL.values() if value in written] == []


def test_a_csv_without_a_header_is_refused_without_a_word_of_its_rows(settings: Settings, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "log.csv", raw_rows(20))
    path.write_text("\n".join(path.read_text().splitlines()[1:]) + "\n")
    why = refusal(settings, path)
    assert [value for value in PERSONAL.values() if value in why + everything_written(settings)] == []


def test_great_expectations_finds_what_the_sql_rules_find(tmp_path: Path) -> None:
    """Rule by rule: the unexpected count of each expectation is the number of rows that break the rule."""
    contract = load_contract("sparkify")
    rows: list[Row | str] = [*raw_rows(400), *(a_visitor(i, user=None) for i in range(20))]
    for number, (other, _) in enumerate(BROKEN.values()):
        if other != {"ts": 10**30}:
            rows += [{**raw_row(500 + number), **other}] * (1 + number % 3)
    rows += [raw_row(600, page=None, level="x", ts="y"), {**a_visitor(601), "page": "?", "length": -5}]
    # A bad share of more than the limit would refuse the file, so there are enough good rows.
    rows += raw_rows(700, day=1)
    (file,) = find_raw_files([write_json_lines(tmp_path / "log.json", rows)])
    with open_engine() as engine:
        intake = Intake(engine, engine, contract, Lake(tmp_path), tmp_path, sampled=10_000)
        report = intake.read(file, 0)
        found = validate_events(intake.sample, rules(contract), max_bad_share=0.05)
    assert report.rejected is None
    assert {f.rule: f.unexpected for f in found.findings} == {
        rule.name: report.broken_rules.get(rule.name, 0) for rule in rules(contract)
    }
    assert found.rows == report.accepted + report.quarantined


def test_an_expectation_fails_when_more_rows_break_it_than_the_limit_allows(tmp_path: Path) -> None:
    contract = load_contract("sparkify")
    rows = [raw_row(i, level="premium" if i < 8 else "paid", length=-1 if i == 0 else 1) for i in range(100)]
    (file,) = find_raw_files([write_json_lines(tmp_path / "log.json", rows)])
    with open_engine() as engine:
        intake = Intake(engine, engine, contract, Lake(tmp_path), tmp_path, sampled=10_000)
        intake.read(file, 0)
        found = validate_events(intake.sample, rules(contract), max_bad_share=0.05)
    assert [f.rule for f in found.failures] == ["level is known to the contract"]
    assert not found.success


def test_an_ingestion_of_visitors_only_is_validated_and_leaves_no_event(settings: Settings, tmp_path: Path) -> None:
    report = ingested(settings, write_json_lines(tmp_path / "log.json", [a_visitor(i) for i in range(5)]))
    assert (report.set_aside, report.new_events, report.first_day) == (5, 0, None)


def test_the_validation_is_kept_as_a_report(settings: Settings, tmp_path: Path) -> None:
    rows = [*raw_rows(30), raw_row(31, level="premium")]
    report = ingested(settings, write_json_lines(tmp_path / "log.json", rows))
    kept = json.loads((settings.data_home / "reports" / "events_validation.json").read_text())
    count = len(rules(load_contract("sparkify")))
    assert len(kept["findings"]) == count
    assert report.validation == f"{count} of {count} expectations met on 31 rows"


# --- Contracts of one's own ---------------------------------------------------------------------------------------


def test_a_contract_file_by_path_maps_another_log(tmp_path: Path) -> None:
    contract = tmp_path / "mine.toml"
    contract.write_text(
        SHIPPED.read_text().replace('"userId"', '"who"').replace('NextSong = "play"', 'Watched = "play"')
    )
    settings = settings_in(tmp_path / "home", contract=str(contract))
    rows = [{**raw_row(0, page="Watched"), "who": "u1"}, {**raw_row(1), "who": "u1"}]
    report = ingested(settings, write_json_lines(tmp_path / "log.json", rows))
    assert (report.accepted, report.broken_rules) == (1, {"page is known to the contract": 1})
    assert [(event[0], event[3]) for event in events(settings)] == [("u1", "play")]


def test_a_broken_contract_is_an_error_that_lists_every_fault(tmp_path: Path) -> None:
    contract = tmp_path / "mine.toml"
    contract.write_text(
        SHIPPED.read_text()
        .replace("horizon_days = 14", "horizon_dayz = 14")
        .replace('read = "integer"', 'read = "whole"')
        .replace("max_bad_share = 0.05", "max_bad_share = 5")
    )
    path = write_json_lines(tmp_path / "log.json", raw_rows(1))
    with pytest.raises(BadInput) as error:
        ingest(settings_in(tmp_path / "home", contract=str(contract)), [path])
    for fault in (
        "horizon_days: Field required",
        "horizon_dayz",
        "columns.item_in_session.read",
        "limits.max_bad_share",
    ):
        assert fault in str(error.value)


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ('Home = "browse"', 'Home = "browsing"', "browsing"),
        ('free = "free"', 'free = "gratis"', "gratis"),
        ("customer_id = {", "customer = {", "customer"),
        ("[limits]", "[limits", "not valid TOML"),
        ('churn = "cancel"', 'churn = "leaves"', "'cancel' or 'lapse'"),
    ],
)
def test_a_contract_with_one_fault_names_it(tmp_path: Path, was: str, becomes: str, says: str) -> None:
    contract = tmp_path / "mine.toml"
    assert was in SHIPPED.read_text()
    contract.write_text(SHIPPED.read_text().replace(was, becomes))
    with pytest.raises(BadInput, match=says):
        load_contract(str(contract))


def test_a_contract_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    for name in ("netflix", "nowhere/mine.toml"):
        with pytest.raises(BadInput, match=r"\['sparkify', 'transactions'\]"):
            load_contract(name)


FAULTY_CONTRACTS = {
    "a time that may be absent": (
        'read = "epoch_ms", required = true, min = 946684800000, max = 4102444800000', 'read = "epoch_ms"'),
    "a time read as text": (
        '"ts", read = "epoch_ms", required = true, min = 946684800000, max = 4102444800000', '"ts", required = true'),
    "the same customer for all rows": ('from = "userId", read = "text"', 'constant = "everyone"'),
    "a length read as text": ('"length", read = "number", present = true, min = 0, max = 86400', '"length"'),
    "a text with a least value": ('"sessionId", read = "text"', '"sessionId", read = "text", min = 0'),
    "bytes that are no UTF-8": ("Sparkify", "\udcff"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTY_CONTRACTS)
def test_a_contract_that_cannot_give_canonical_events_is_refused(tmp_path: Path, fault: str) -> None:
    was, becomes = FAULTY_CONTRACTS[fault]
    text = SHIPPED.read_text()
    assert was in text
    contract = tmp_path / "mine.toml"
    contract.write_bytes(text.replace(was, becomes).encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput):
        load_contract(str(contract))


def test_a_time_beyond_all_calendars_is_quarantined_or_refused(tmp_path: Path) -> None:
    contract = tmp_path / "mine.toml"
    contract.write_text(SHIPPED.read_text().replace("min = 946684800000, max = 4102444800000 } # years", "min = 0 } #"))
    settings = settings_in(tmp_path / "home", contract=str(contract))
    path = write_json_lines(tmp_path / "log.json", [*raw_rows(5), raw_row(6, ts=9 * 10**17)])
    with suppress(ChurnError):
        assert ingested(settings, path).quarantined == 1


@pytest.mark.xfail(strict=True, reason="a receipt does not know the contract: rows quarantined under one stay there")
def test_a_mended_contract_lets_in_what_was_quarantined(tmp_path: Path) -> None:
    contract = tmp_path / "mine.toml"
    contract.write_text(SHIPPED.read_text())
    settings = settings_in(tmp_path / "home", contract=str(contract))
    path = write_json_lines(tmp_path / "log.json", [*raw_rows(5), raw_row(6, page="Teleport")])
    assert ingested(settings, path).quarantined == 1
    contract.write_text(SHIPPED.read_text().replace('Home = "browse"', 'Home = "browse"\nTeleport = "browse"'))
    assert ingested(settings, path).new_events == 1


# --- Purchases ----------------------------------------------------------------------------------------------------

PURCHASES = "customer_id,date,dollar_value,number_of_cds\n"


def purchases(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PURCHASES + "".join(row + "\n" for row in rows))
    return path


def test_a_purchase_is_a_play_of_a_paying_customer_and_its_day_a_session(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", contract="transactions")
    path = purchases(tmp_path / "buys.csv", "1,1997-01-01,11.77,1", "2,1997-01-12,77.00,5", "2,1997-01-12,12.00,1")
    report = ingested(settings, path)
    assert (report.accepted, report.first_day, report.last_day) == (3, "1997-01-01", "1997-01-12")
    assert events(settings) == [
        ("1", 852076800000, "1997-01-01", "play", "paid", None, None, 11.77),
        ("2", 853027200000, "1997-01-12", "play", "paid", None, None, 12.0),
        ("2", 853027200000, "1997-01-12", "play", "paid", None, None, 77.0),
    ]


def test_purchases_that_break_a_rule_are_quarantined(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", contract="transactions")
    rows = [
        "1,1997-01-01,11.77,1",
        "1,1997-02-30,1,1",
        "1,soon,1,1",
        "1,1997-03-01,-5,1",
        "1,1997-03-01,,1",
        ",1997-01-01,1,1",
    ]
    report = ingested(settings, purchases(tmp_path / "buys.csv", *rows))
    assert (report.accepted, report.set_aside, report.quarantined) == (1, 1, 4)
    assert report.broken_rules == {
        "date is a date": 2, "dollar_value is between 0 and 1e+09": 1, "dollar_value is given": 1,
    }  # fmt: skip


def test_a_purchase_without_a_date_breaks_that_rule_once(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", contract="transactions")
    report = ingested(settings, purchases(tmp_path / "buys.csv", "1,1997-01-01,11.77,1", "1,,1,1"))
    assert report.broken_rules == {"date is given": 1}


def test_two_purchases_on_one_day_are_one_session_and_formats_agree(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", contract="transactions")
    rows = ["1,1997-01-01 10:00:00,5,1", "1,1997-01-01 17:30:00,7,1"]
    ingested(settings, purchases(tmp_path / "buys.csv", *rows))
    assert len({event[2] for event in events(settings)}) == 1


# --- Real data ----------------------------------------------------------------------------------------------------

SHARED = REPOSITORY.parent / "shared" / "data"
REAL_LOG = SHARED / "sparkify_logs" / "daily_json"
CDNOW = SHARED / "cdnow" / "transactions.parquet"


@pytest.mark.skipif(not REAL_LOG.is_dir(), reason="the public Sparkify log is not there: ../shared/data/sparkify_logs")
def test_the_public_log_comes_to_what_is_known_of_it_and_again_changes_no_byte(settings: Settings) -> None:
    report = ingested(settings, REAL_LOG)
    assert (report.read, report.accepted, report.set_aside, report.quarantined) == (8_056, 7_770, 286, 0)
    assert (report.files, report.rejected_files, report.broken_rules) == (30, {}, {})
    assert (report.first_day, report.last_day) == ("2018-11-01", "2018-11-30")
    built = build_features(settings, date(2018, 12, 1))
    assert built.customers == 97
    before = tree(settings.data_home)
    assert ingested(settings, REAL_LOG).new_events == 0
    build_features(settings, date(2018, 12, 1))
    assert tree(settings.data_home) == before


@pytest.mark.slow
@pytest.mark.skipif(not CDNOW.is_file(), reason="the CDNOW purchases are not there: ../shared/data/cdnow")
def test_the_cdnow_purchases_go_from_ingestion_to_a_panel(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home", contract="transactions")
    report = ingested(settings, CDNOW)
    assert (report.read, report.accepted, report.new_events) == (69_659, 69_659, 69_659)
    assert (report.first_day, report.last_day) == ("1997-01-01", "1998-06-30")
    as_of = date(1998, 7, 1)
    built = build_features(settings, as_of)
    assert (built.customers, built.features) == (23_570, len(FEATURE_NAMES))
    panel = build_panel(settings, as_of)
    assert panel.holdout_snapshot == "1998-04-02"  # the last day whose 90 days had passed
    assert panel.holdout_rows == 23_570
    assert 0.5 < panel.holdout_churned / panel.holdout_rows < 0.95
