"""Events by kind, and pages that the contract does not know, of the days asked for."""

from datetime import date
from pathlib import Path

import pytest

from churn.io.contracts import load_contract
from churn.io.event_kinds import FEW, NAMED_FROM, events_by_kind, unknown_pages
from churn.io.lake import Lake
from churn.settings import Settings
from churn.steps.ingest import ingest
from tests.raw_log import raw_row, raw_rows, write_json_lines

SPARKIFY = load_contract("sparkify")
FIRST, SECOND, THIRD = date(2018, 11, 1), date(2018, 11, 2), date(2018, 11, 3)


@pytest.fixture
def lake(settings: Settings, tmp_path: Path) -> Lake:
    """Two days: on the second a page has another name; the file of it was delivered twice, once longer."""
    other = [raw_row(s, day=1, page="Dislike", userId=str(40 + s)) for s in range(5)]
    odd = [raw_row(9, day=0, page="play"), raw_row(10, day=1, level="gold")]
    first = write_json_lines(tmp_path / "log" / "a.json", [*raw_rows(300), odd[0]])
    again = [*raw_rows(200, day=1), *other[:4], other[0]]  # the first of them came twice
    second = write_json_lines(tmp_path / "log" / "b.json", again)
    third = write_json_lines(tmp_path / "log" / "c.json", [*again, other[4], odd[1]])
    ingest(settings, [first, second, third])
    return Lake(settings.data_home)


def test_kinds_and_unknown_pages_are_counted_on_their_days(lake: Lake) -> None:
    assert events_by_kind(lake, SPARKIFY, FIRST, SECOND) == {"play": 300, FEW: 1}
    assert events_by_kind(lake, SPARKIFY, SECOND, THIRD) == {"play": 200, "page 'Dislike'": 6}
    assert events_by_kind(lake, SPARKIFY, THIRD, date(2018, 12, 1)) == {}


def test_a_row_delivered_twice_counts_once_and_only_pages_count(lake: Lake) -> None:
    assert unknown_pages(lake, SPARKIFY, FIRST, THIRD) == {"page 'Dislike'": 6, FEW: 1}


def test_the_text_of_a_page_is_shown_only_when_several_customers_produced_it(
    settings: Settings, tmp_path: Path
) -> None:
    """Columns that have shifted put anything there; a page with another name is met by many, also in a small log."""
    shifted = [raw_row(s, page="ann@example.com", userId=str(s % 4)) for s in range(40)]
    renamed = [raw_row(s, page="Dislike", userId=str(s)) for s in range(NAMED_FROM)]
    alone = [raw_row(7, page="Zebediah Quackenbush"), raw_row(8, day=1, page="Dislike")]
    ingest(settings, [write_json_lines(tmp_path / "a.json", [*raw_rows(2_000), *shifted, *renamed, *alone])])
    lake = Lake(settings.data_home)
    first = events_by_kind(lake, SPARKIFY, FIRST, SECOND)
    assert first == {"play": 2_000, "page 'Dislike'": NAMED_FROM, FEW: 41}
    assert unknown_pages(lake, SPARKIFY, SECOND, THIRD) == {FEW: 1}
    assert unknown_pages(lake, SPARKIFY, SECOND, THIRD, named=first) == {"page 'Dislike'": 1}  # known by now


def test_a_contract_without_pages_has_no_unknown_ones(lake: Lake) -> None:
    assert unknown_pages(lake, load_contract("transactions"), FIRST, THIRD) == {}
