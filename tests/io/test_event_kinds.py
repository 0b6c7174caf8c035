"""Events by kind, and pages that the contract does not know, of the days asked for."""

from datetime import date
from pathlib import Path

import pytest

from churn.io.event_kinds import events_by_kind, unknown_pages
from churn.io.lake import Lake
from churn.io.raw import load_contract
from churn.settings import Settings
from churn.steps.ingest import ingest
from tests.raw_log import raw_row, raw_rows, write_json_lines

SPARKIFY = load_contract("sparkify")
FIRST, SECOND, THIRD = date(2018, 11, 1), date(2018, 11, 2), date(2018, 11, 3)


@pytest.fixture
def lake(settings: Settings, tmp_path: Path) -> Lake:
    """Two days: on the second a page has another name; the file of it was delivered twice, once longer."""
    other = [raw_row(s, day=1, page="Dislike") for s in range(4)]
    odd = [raw_row(9, day=0, page="play"), raw_row(10, day=1, level="gold")]
    first = write_json_lines(tmp_path / "log" / "a.json", [*raw_rows(300), odd[0]])
    again = [*raw_rows(200, day=1), *other[:3], other[0]]  # the first of them came twice
    second = write_json_lines(tmp_path / "log" / "b.json", again)
    third = write_json_lines(tmp_path / "log" / "c.json", [*again, other[3], odd[1]])
    ingest(settings, [first, second, third])
    return Lake(settings.data_home)


def test_kinds_and_unknown_pages_are_counted_on_their_days(lake: Lake) -> None:
    assert events_by_kind(lake, SPARKIFY, FIRST, SECOND) == {"play": 300, "page 'play'": 1}
    assert events_by_kind(lake, SPARKIFY, SECOND, THIRD) == {"play": 200, "page 'Dislike'": 5}
    assert events_by_kind(lake, SPARKIFY, THIRD, date(2018, 12, 1)) == {}


def test_a_row_delivered_twice_counts_once_and_only_pages_count(lake: Lake) -> None:
    assert unknown_pages(lake, SPARKIFY, FIRST, THIRD) == {"Dislike": 5, "play": 1}


def test_a_contract_without_pages_has_no_unknown_ones(lake: Lake) -> None:
    assert unknown_pages(lake, load_contract("transactions"), FIRST, THIRD) == {}
