"""The command line: it teaches, it reports, and it refuses in one clear line."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from churn.cli import app
from churn.settings import Settings

TODAY = datetime.now(UTC).date()
STEPS = (
    "simulate", "ingest", "features", "train", "compare", "promote", "score", "drift", "monitor", "rollback", "history",
    "replay", "evaluate", "prune", "forget",
)  # fmt: skip


def churn(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), env={"NO_COLOR": "1", "COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def test_the_help_lists_the_steps_of_a_night_in_their_order() -> None:
    code, out, _ = churn("--help")
    assert code == 0
    found = [step for step in re.findall(r"[a-z]+", out.split("Commands")[1]) if step in STEPS]
    assert tuple(dict.fromkeys(found)) == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_every_step_explains_itself(step: str) -> None:
    code, out, _ = churn(step, "--help")
    assert code == 0
    assert "--json" in out


def test_the_report_is_the_last_line_as_json_or_a_table_for_people(settings: Settings, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    code, out, _ = churn("simulate", "--customers", "30", "--days", "5", "--out", log, "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1])["files"] == 5
    code, out, _ = churn("ingest", log, "--json")
    report = json.loads(out.splitlines()[-1])
    assert code == 0
    assert report["read"] == report["accepted"] + report["set_aside"] + report["quarantined"] > 0
    code, out, _ = churn("features", "--as-of", str(TODAY))
    assert code == 0
    assert re.search(r"customers +\d+", out)


def test_a_day_that_has_not_begun_is_no_cut_off(settings: Settings) -> None:
    tomorrow = str(TODAY + timedelta(days=1))
    for step in ("features", "train", "score", "drift", "monitor"):
        code, _, err = churn(step, "--as-of", tomorrow)
        assert code == 2
        assert "has not begun" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("score",), "Run `churn ingest` first"),
        (("compare",), "churn train"),
        (("drift",), "no model is in production"),
        (("monitor",), "no model is in production"),
        (("rollback",), "no version"),
        (("history", "--on", "soon"), "write it as YYYY-MM-DD"),
        (("replay", "--from", "2026-03-02", "--to", "2026-03-01"), "before it begins"),
        (("ingest", "nowhere.json"), "does not exist"),
        (("features", "--as-of", "soon"), "write it as YYYY-MM-DD"),
        (("simulate", "--customers", "1", "--out", "x"), "customers"),
    ],
)
def test_a_refusal_is_one_clear_message_and_no_traceback(
    settings: Settings, arguments: tuple[str, ...], says: str
) -> None:
    code, _, err = churn(*arguments)
    assert code in (1, 2)
    assert says in err
    assert "Traceback" not in err


def test_a_refused_file_is_named_after_the_others_were_taken(settings: Settings, tmp_path: Path) -> None:
    churn("simulate", "--customers", "30", "--days", "3", "--out", str(tmp_path))
    (tmp_path / "broken.json").write_text("")
    code, out, err = churn("ingest", str(tmp_path), "--json")
    assert code == 1
    assert "broken.json is empty" in err
    assert json.loads(out.splitlines()[-1])["accepted"] > 0


def test_a_setting_that_is_wrong_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_CONTACT_SUCCESS", "150")
    code, _, err = churn("score")
    assert code == 1
    assert "contact_success" in err
    assert "Traceback" not in err
