"""What is asked of the ledger and of the checks for the last nights alone, on SQLite and on a real PostgreSQL."""

from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from churn.errors import ContractViolation, Unavailable
from churn.io.checks import Checks
from churn.io.kept_reports import KEPT_INGESTIONS, KeptReports, with_ingestion
from churn.io.lake import write_json
from churn.io.ledger import MOVES, Ledger

NIGHT, DAY = date(2026, 3, 1), timedelta(days=1)


def test_the_last_decisions_come_newest_first_and_no_more_than_asked_for(url: str) -> None:
    with closing(Ledger(url)) as ledger:
        assert ledger.recent(5) == []
        for number in range(6):
            what = "promotion" if number % 2 else "gate"
            ledger.append(what, key=str(number), who="the gate", why="better", version=str(number))  # type: ignore[arg-type]
        assert [e.version for e in ledger.recent(4)] == ["5", "4", "3", "2"]
        assert [e.version for e in ledger.recent(2, MOVES)] == ["5", "3"]
        assert [e.version for e in ledger.recent(1, ("gate",))] == ["4"]


def test_headlines_are_the_checks_of_these_nights_without_their_details(url: str) -> None:
    with closing(Checks(url)) as checks:
        assert checks.newest_night() is None
        for k in range(5):
            written = checks.record(NIGHT + k * DAY, "drift", "1", alarm=k == 2, summary=f"night {k}", detail={"n": k})
        assert checks.newest_night() == NIGHT + 4 * DAY
        found = checks.headlines(NIGHT + 2 * DAY, NIGHT + 4 * DAY)
        assert [c.summary for c in found] == ["night 4", "night 3", "night 2"]
        assert found[0] == replace(written, detail={})
        assert [c.detail["n"] for c in checks.all("drift", since=NIGHT + DAY, until=NIGHT + 2 * DAY)] == [2, 1]


def test_reports_that_are_not_there_are_none_and_damaged_ones_are_said(tmp_path: Path) -> None:
    kept = KeptReports.of(tmp_path)
    assert kept.decision("1") is None
    assert kept.monitoring(NIGHT) is None
    assert kept.features_validation(NIGHT) is None
    assert kept.ingestions(NIGHT) == []
    assert kept.page("drift", str(NIGHT)) is None
    (tmp_path / "reports" / "decisions").mkdir(parents=True)
    (tmp_path / "reports" / "decisions" / "version=1.json").write_text("{half")
    with pytest.raises(ContractViolation, match=r"version=1\.json"):
        kept.decision("1")
    (tmp_path / "reports" / "decisions" / "version=2.json").write_text("[]")
    with pytest.raises(ContractViolation, match="list"):
        kept.decision("2")
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be read"):
        KeptReports.of(tmp_path / "file").decision("1")


def test_a_day_keeps_its_last_ingestions_and_each_of_them_once(tmp_path: Path) -> None:
    kept, found = KeptReports.of(tmp_path), []
    for k in range(KEPT_INGESTIONS + 5):
        found = with_ingestion(found, {"key": str(k), "try": 1})
    found = with_ingestion(found, {"key": "7", "try": 2})
    write_json(kept.ingestions_path(NIGHT), {"ingestions": found})
    read = kept.ingestions(NIGHT)
    assert len(read) == KEPT_INGESTIONS
    assert read[-1] == {"key": "7", "try": 2}
    assert [one["key"] for one in read].count("7") == 1
