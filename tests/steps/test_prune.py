"""What is past its time goes, what is still needed stays, and nothing grows for good."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from churn.cli import app
from churn.core.reasons import Reason
from churn.errors import Unavailable
from churn.io import retention
from churn.io.lake import Lake, write_json, write_parquet
from churn.io.ledger import Ledger
from churn.io.registry import Registry
from churn.io.scorebook import REASONS, SCORES, ScoreBook
from churn.io.session_days import SESSION_DAYS
from churn.io.stored_nights import StoredNights
from churn.io.totals import TOTALS
from churn.settings import Settings
from churn.steps.forget import forget
from churn.steps.prune import PruneReport, prune
from tests.io.conftest import postgres, url  # noqa: F401  # fixtures: a SQLite file and a real PostgreSQL

TODAY = datetime.now(UTC).date()
WHY = (Reason("is_paid_user", 1.0, 0.5, 0.9, "pays"),)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def with_(settings: Settings, **other: Any) -> Settings:
    return settings.model_copy(update=other)


def put(path: Path, days: int, content: bytes = b"x" * 100) -> Path:
    """A file last written so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return aged(path, days)


def aged(path: Path, days: float) -> Path:
    at = time.time() - days * 86_400
    os.utime(path, (at, at))
    return path


def parquet(path: Path, days: int) -> Path:
    write_parquet(path, pa.table({"customer_id": ["c1", "c2"]}))
    return aged(path, days)


def at_work(settings: Settings) -> None:
    """The platform wrote something on the last days, today included, so that the clock is believed."""
    for days in (0, 1, 2):
        put(settings.data_home / "reports" / "alerts" / f"{days}.json", days)


def publish(settings: Settings, nights: Sequence[int], *, shadow: bool = False) -> None:
    """Nights so many days ago, of three customers."""
    p = np.array([0.9, 0.5, 0.1])
    with closing(ScoreBook(settings.score_database)) as book:
        for days in nights:
            given = (ago(days), "1", ["c1", "c2", "c3"], p, (p > 0.4).astype(np.int64))
            book.publish(*given, threshold=0.4, reasons=None if shadow else [WHY] * 3, shadow=shadow)


def nights(settings: Settings, table: sa.Table) -> list[int]:
    """Of which nights there are rows, as days ago."""
    with closing(StoredNights(settings.score_database)) as book, book.transaction() as db:
        return sorted((TODAY - day).days for day in db.execute(sa.select(table.c.as_of).distinct()).scalars())


def days_in(folder: Path) -> list[int]:
    return sorted((TODAY - date.fromisoformat(p.name.partition("=")[2])).days for p in folder.glob("*=*"))


def went(report: PruneReport) -> dict[str, int]:
    return {name: place.items for name, place in report.places.items() if place.items}


def grown(settings: Settings) -> None:
    """A data home that has run for years."""
    lake = Lake(settings.data_home)
    home = lake.home
    at_work(settings)
    for days in (0, 1, 60, 100, 500):
        parquet(lake.event_partition(ago(days)), days)
        parquet(lake.features(ago(days)), days)
        parquet(lake.features(ago(days), known_at="then"), days)
        parquet(lake.panel(ago(days)), days)
        parquet(lake.quarantine / f"log-{days}.parquet", days)
        put(home / "predictions" / f"date={ago(days)}" / "120000000000-1-aa.parquet", days)
        for kind in ("drift", "monitoring"):
            put(lake.reports / kind / f"as_of={ago(days)}" / f"{kind}.html", days)
            put(lake.reports / kind / f"as_of={ago(days)}" / f"{kind}.json", days)
        put(lake.reports / "features_validation" / f"as_of={ago(days)}.json", days)
        put(lake.reports / "replay" / f"as_of={ago(days)}.json", days)
        task = (
            home / "airflow" / "logs" / "dag_id=score_nightly" / f"run_id={ago(days)}" / "task_id=x" / "attempt=1.log"
        )
        for path in (put(task, days), task.parent, task.parent.parent):
            aged(path, days)
    put(lake.reports / "decisions" / f"version=1 {ago(500)}.json", 500)
    put(lake.reports / "ingest.json", 500)
    put(home / "landing" / f"{ago(500)}.json", 500)
    put(home / "erasures" / f"{ago(500)}-ab.json", 500)
    put(lake.events / "_receipts" / "ab.json", 500)
    put(home / "logs" / "api.log", 40)
    put(home / "logs" / "mlflow.log", 0)
    put(lake.events / f"date={ago(60)}" / ".events.parquet.4194304.part", 3)
    put(home / "predictions" / f"date={ago(1)}" / ".120000000000-1-bb.parquet.part", 3)
    publish(settings, (0, 1, 60, 100, 500))
    publish(settings, (1, 500), shadow=True)


def test_every_place_keeps_what_it_is_set_to_keep(versions: Settings) -> None:
    grown(versions)
    lake, home = Lake(versions.data_home), versions.data_home
    report = prune(versions, TODAY)
    assert went(report) == {
        "features": 2, "features_known_then": 2, "panels": 2, "quarantine": 1, "predictions": 2, "reports": 5,
        "half-written": 2, "logs": 1, "airflow_logs": 3, "reasons": 6, "scores": 3 + 1 + 3 + 1,
    }  # fmt: skip
    assert report.items == sum(went(report).values())
    assert report.bytes == sum(place.bytes for place in report.places.values()) > 1000
    assert report.left == ()

    assert days_in(lake.events) == [0, 1, 60, 100, 500]  # kept for good by default
    assert days_in(home / "features") == days_in(home / "features_known_then") == days_in(home / "panels") == [0, 1, 60]
    assert days_in(home / "predictions") == [0, 1, 60]
    assert days_in(lake.reports / "drift") == days_in(lake.reports / "monitoring") == [0, 1, 60, 100]
    assert len(list((lake.reports / "features_validation").iterdir())) == 4
    assert nights(versions, SCORES) == [0, 1, 60, 100]
    assert nights(versions, REASONS) == [0, 1, 60]
    assert len(list(lake.quarantine.iterdir())) == 4
    assert len(list((lake.reports / "replay").iterdir())) == 5
    assert [p.name for p in (lake.reports / "decisions").iterdir()] == [f"version=1 {ago(500)}.json"]
    for kept in (home / "landing", home / "erasures", lake.events / "_receipts", lake.reports / "decisions"):
        assert len(list(kept.iterdir())) == 1, kept
    assert (home / "logs" / "api.log").read_bytes() == b""  # a service may have it open: emptied, not removed
    assert (home / "logs" / "mlflow.log").stat().st_size == 100
    assert not list(home.rglob("*.part"))
    runs = (home / "airflow" / "logs" / "dag_id=score_nightly").iterdir()
    assert sorted(p.name for p in runs) == sorted(f"run_id={ago(days)}" for days in (0, 1))


def test_the_second_time_there_is_nothing_to_do(versions: Settings) -> None:
    grown(versions)
    prune(versions, TODAY)
    again = prune(versions, TODAY)
    assert (again.items, again.bytes, again.left) == (0, 0, ())


def test_a_dry_run_lists_what_would_go_and_changes_nothing(versions: Settings) -> None:
    grown(versions)
    files = [p for p in versions.data_home.rglob("*") if p.is_file() and "scores.db" not in p.name]
    before = {p: p.stat().st_mtime_ns for p in files}
    dry = prune(versions, TODAY, dry_run=True)
    assert f"panels/as_of={ago(500)}: " in " ".join(dry.places["panels"].listed)
    assert dry.places["scores"].listed[0].startswith(f"{ago(500)}: 8 rows, ")
    for path, changed in before.items():
        assert path.stat().st_mtime_ns == changed
    assert nights(versions, SCORES) == [0, 1, 60, 100, 500]
    assert went(prune(versions, TODAY)) == went(dry)


def test_panels_and_features_of_models_in_use_stay(versions: Settings) -> None:
    registry, lake = Registry(versions), Lake(versions.data_home)
    registry.promote(registry.version("1"), "a test")
    tags = registry.version("1").tags
    used = [date.fromisoformat(tags[name]) for name in ("as_of", "holdout_snapshot")]
    today = max(used) + timedelta(days=1000)
    publish(versions, ((TODAY - today).days,))
    for day in (*used, used[0] + timedelta(days=1)):
        parquet(lake.panel(day), 900)
        parquet(lake.features(day), 900)
    report = prune(versions, today)
    assert {p.parent.name for p in lake.home.glob("panels/*/panel.parquet")} == {f"as_of={day}" for day in used}
    assert {p.parent.name for p in lake.home.glob("features/*/*.parquet")} == {f"as_of={day}" for day in used}
    assert went(report) == {"panels": 1, "features": 1}


def test_scores_whose_outcomes_are_still_looked_at_stay_whatever_is_set(versions: Settings) -> None:
    publish(versions, (0, 69, 71))
    publish(versions, (69, 71), shadow=True)
    for days in (0, 69, 71):
        parquet(Lake(versions.data_home).features(ago(days)), days)
    prune(with_(versions, keep_scores_days=30, keep_features_days=7, keep_reasons_days=2), TODAY)
    assert nights(versions, SCORES) == [0, 69]  # 14 days of horizon and 56 looked back
    assert nights(versions, REASONS) == [0]
    assert days_in(versions.data_home / "features") == [0, 69]
    with closing(ScoreBook(versions.score_database)) as book:
        assert [(TODAY - p.as_of).days for p in book.publications()] == [69, 0]
        assert [(TODAY - p.as_of).days for p in book.publications(shadow=True)] == [69]


def test_the_longest_horizon_of_a_model_in_use_counts(versions: Settings) -> None:
    registry = Registry(versions)
    registry.promote(registry.version("6"), "looks 30 days ahead")
    publish(versions, (0, 85, 87))
    prune(with_(versions, keep_scores_days=30), TODAY)
    assert nights(versions, SCORES) == [0, 85]


def test_a_platform_that_stood_still_for_years_keeps_its_last_nights(versions: Settings) -> None:
    publish(versions, (700, 720, 800, 1101))
    prune(versions, TODAY)
    assert nights(versions, SCORES) == [700, 720, 800]
    assert nights(versions, REASONS) == [700, 720]


def test_events_go_only_where_that_was_set_and_no_training_needs_them(versions: Settings) -> None:
    lake = Lake(versions.data_home)
    for days in (0, 89, 91, 140, 200, 300):
        parquet(lake.event_partition(ago(days)), days)
        parquet(lake.events / SESSION_DAYS / f"date={ago(days)}" / "a.parquet", days)
    assert "events" not in went(prune(versions, TODAY))
    assert went(prune(with_(versions, keep_events_days=90), TODAY)) == {"events": 4}
    assert days_in(lake.events) == [0, 89, 91, 140]  # two horizons, nine weeks of snapshots and 56 days
    assert days_in(lake.events / SESSION_DAYS) == [0, 89, 91, 140]


def test_totals_that_no_coming_night_looks_back_to_go_and_all_others_stay(versions: Settings) -> None:
    lake = Lake(versions.data_home)
    parquet(lake.event_partition(ago(1)), 1)
    for days in (0, 28, 35, 36, 90):
        parquet(lake.events / TOTALS / f"as_of={ago(days)}" / "a.parquet", days)
    parquet(lake.events / TOTALS / f"as_of={ago(400)}" / "a.parquet", 0)  # of a night that is scored again
    assert went(prune(versions, TODAY)) == {"totals": 2}
    assert days_in(lake.events / TOTALS) == [0, 28, 35, 400]


@pytest.mark.parametrize("place", [SESSION_DAYS, TOTALS])
def test_of_copies_of_a_day_the_last_one_used_stays(versions: Settings, place: str) -> None:
    lake = Lake(versions.data_home)
    parquet(lake.event_partition(ago(1)), 1)
    folder = lake.events / place / f"date={ago(9)}"
    for name, days in (("a", 5), ("b", 2), ("c", 4)):
        parquet(folder / f"{name}.parquet", days)
    assert went(prune(versions, TODAY)) == {"superseded": 2}
    assert [path.stem for path in folder.iterdir()] == ["b"]
    for name in ("d", "e"):
        parquet(folder / f"{name}.parquet", 0)  # one may still be read
    assert went(prune(versions, TODAY)) == {"superseded": 1}
    assert sorted(path.stem for path in folder.iterdir()) == ["d", "e"]


def test_what_was_written_within_a_day_may_belong_to_a_step_at_work(versions: Settings) -> None:
    """A night long past that is scored again, or a panel of then that a training reads at this moment."""
    lake = Lake(versions.data_home)
    parquet(lake.features(ago(500)), 0)
    parquet(lake.panel(ago(500)), 0)
    put(lake.events / f".events.parquet.{os.getpid()}.part", 2)
    put(lake.quarantine / ".log.parquet.4194304.part", 0)
    assert went(prune(versions, TODAY)) == {}


def test_while_the_registry_is_away_what_models_may_need_stays(versions: Settings) -> None:
    grown(versions)
    away = with_(versions, mlflow_tracking_uri="http://127.0.0.1:9")
    report = prune(away, TODAY)
    assert {"features", "panels", "scores", "reasons"}.isdisjoint(went(report))
    assert {"predictions", "airflow_logs", "quarantine"} <= went(report).keys()
    assert "the registry did not answer" in report.left[0]
    assert {"features", "panels", "scores", "reasons"} <= went(prune(versions, TODAY)).keys()


@pytest.mark.parametrize("name", ["ingest", "promotion", "prune"])
def test_a_step_at_work_is_given_way_to(versions: Settings, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    grown(versions)
    monkeypatch.setattr("churn.io.locks.PATIENCE", 0.2)
    with Lake(versions.data_home).lock(name):
        with pytest.raises(Unavailable, match=f"another `{name}` is running"):
            prune(versions, TODAY)
        assert days_in(versions.data_home / "events") == [0, 1, 60, 100, 500]
        assert len(list((versions.data_home / "quarantine").glob("*.parquet"))) == 5
        prune(versions, TODAY, dry_run=True) if name != "prune" else None
    prune(versions, TODAY)
    assert prune(versions, TODAY).items == 0


def killed(settings: Settings, at: str) -> None:
    """Prune in another process, which is killed when it says that it comes to a night."""
    code = (
        "import os, signal, sys; from pathlib import Path; from datetime import date; "
        "from churn.settings import Settings; from churn.steps.prune import prune\n"
        "def said(what): what.startswith(sys.argv[3]) and os.kill(os.getpid(), signal.SIGKILL)\n"
        "prune(Settings(home=Path(sys.argv[1]), mlflow_tracking_uri=None, _env_file=None), "
        "date.fromisoformat(sys.argv[2]), progress=said)"
    )
    command = [sys.executable, "-c", code, str(settings.data_home), str(TODAY), at]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("at", "left"), [("reasons as of", {"reasons": 6, "scores": 8}), (f"scores as of {ago(500)}", {"scores": 8})]
)
def test_killed_in_its_middle_and_run_again_it_comes_to_its_end(
    versions: Settings, at: str, left: dict[str, int]
) -> None:
    grown(versions)
    killed(versions, at)
    assert went(prune(versions, TODAY)) == left
    assert nights(versions, SCORES) == [0, 1, 60, 100]
    assert prune(versions, TODAY).items == 0


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3, 0.6])
@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_it_comes_to_its_end(versions: Settings, seconds: float) -> None:
    grown(versions)
    code = (
        "import sys; from pathlib import Path; from datetime import date; from churn.settings import Settings; "
        "from churn.steps.prune import prune; print('ready', flush=True); "
        "prune(Settings(home=Path(sys.argv[1]), mlflow_tracking_uri=None, _env_file=None), "
        "date.fromisoformat(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(versions.data_home), str(TODAY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    prune(versions, TODAY)
    assert nights(versions, SCORES) == [0, 1, 60, 100]
    assert days_in(versions.data_home / "panels") == [0, 1, 60]
    assert prune(versions, TODAY).items == 0
    with closing(ScoreBook(versions.score_database)) as book:  # a night is there whole or not at all
        assert all(len(book.scores(p)) == p.customers == 3 for p in book.publications())


def test_a_log_that_is_too_large_begins_anew_and_the_next_line_follows(versions: Settings) -> None:
    path = versions.data_home / "logs" / "api.log"
    put(path, 0, b"old line\n" * 1000)
    with path.open("ab") as service:
        report = prune(with_(versions, keep_log_megabytes=0.005), TODAY)
        service.write(b"new line\n")
    assert went(report) == {"logs": 1}
    assert path.read_bytes() == b"new line\n"
    assert path.with_name("api.log.1").read_bytes() == b"old line\n" * 1000


def test_the_ledger_is_not_touched(versions: Settings) -> None:
    with closing(Ledger(versions.score_database)) as ledger:
        when = datetime(2001, 1, 1, tzinfo=UTC)
        ledger.append("found", key="k", who="anna", why="long ago", to_version="1", decided_at=when)
    registry = Registry(versions)
    registry.promote(registry.version("1"), "a test")
    publish(versions, (0, 500))
    assert went(prune(versions, TODAY))["scores"] == 4
    with closing(Ledger(versions.score_database)) as ledger:
        assert [e.key for e in ledger.entries()] == ["k"]


def test_old_nights_leave_either_database(versions: Settings, url: str) -> None:  # noqa: F811
    settings = with_(versions, database_url=url)
    publish(settings, (0, 100, 500))
    publish(settings, (500,), shadow=True)
    report = prune(settings, TODAY)
    assert went(report) == {"reasons": 6, "scores": 3 + 1 + 3 + 1}
    assert nights(settings, SCORES) == [0, 100]
    assert nights(settings, REASONS) == [0]
    with closing(ScoreBook(settings.score_database)) as book:
        assert [len(book.scores(p)) for p in book.publications()] == [3, 3]
        assert book.publications(shadow=True) == []
        assert book.top(1)[0].reasons == WHY
        found = book.customer("c1")
        assert found is not None
        assert found[0].as_of == TODAY


def test_task_logs_are_where_airflow_was_told_to_keep_them(
    versions: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_HOME", str(versions.data_home))
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path / "logs"))
    at_work(versions)
    runs = tmp_path / "logs" / "dag_id=ingest_events"
    old, new = (put(runs / f"run_id={d}" / "attempt=1.log", d) for d in (33, 29))
    assert went(prune(Settings(_env_file=None), TODAY)) == {"airflow_logs": 1}  # type: ignore[call-arg]
    assert not old.exists()
    assert new.exists()
    monkeypatch.setenv("CHURN_AIRFLOW_LOGS", str(tmp_path / "elsewhere"))
    assert Settings(_env_file=None).airflow_logs == tmp_path / "elsewhere"  # type: ignore[call-arg]


def test_on_the_command_line_it_says_what_went_from_where(versions: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(versions)
    monkeypatch.setenv("CHURN_HOME", str(versions.data_home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    dry = CliRunner().invoke(app, ["prune", "--dry-run"])
    assert dry.exit_code == 0
    assert f"panels/as_of={ago(500)}: " in dry.stdout
    assert "would go" in dry.stdout
    done = CliRunner().invoke(app, ["prune", "--json"])
    assert done.exit_code == 0
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["places"]["panels"]["items"] == 2
    assert report == json.loads(json.dumps(report))
    assert asdict(prune(versions, TODAY))["items"] == 0


def test_a_home_with_nothing_in_it_is_fine(settings: Settings) -> None:
    report = prune(settings, TODAY)
    assert report.items == 0
    assert not list((settings.data_home).glob("*/as_of=*"))


def test_parquet_that_is_being_read_is_read_to_its_end(versions: Settings) -> None:
    path = parquet(Lake(versions.data_home).panel(ago(500)), 500)
    at_work(versions)
    with path.open("rb") as file:
        prune(versions, TODAY)
        assert not path.exists()
        assert pq.ParquetFile(file).read().num_rows == 2


def test_what_cannot_be_removed_is_said_and_the_rest_goes(versions: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(versions)
    real = retention.remove

    def stuck(old: retention.Old) -> None:
        if old.path.name == f"date={ago(500)}":
            raise PermissionError(13, "Permission denied")
        real(old)

    monkeypatch.setattr(retention, "remove", stuck)
    report = prune(versions, TODAY)
    assert report.left == (f"predictions/date={ago(500)} could not be removed: Permission denied",)
    assert went(report)["predictions"] == 1
    assert went(report)["panels"] == 2


def test_a_forgotten_customer_who_came_back_meanwhile_goes_with_the_night(versions: Settings) -> None:
    publish(versions, (0,))
    forget(versions, "c2", who="anna")
    publish(versions, (0,))
    report = prune(versions, TODAY)
    assert report.forgotten_again == 2
    with closing(ScoreBook(versions.score_database)) as book:
        assert [s.customer_id for s in book.top(10)] == ["c1", "c3"]
    assert prune(versions, TODAY).forgotten_again == 0


def test_a_report_that_carries_its_moment_is_one_of_that_day(versions: Settings) -> None:
    at_work(versions)
    for days in (10, 500):
        path = Lake(versions.data_home).reports / "ingest" / f"{ago(days)}T02:00:00Z.json"
        write_json(path, {})
        aged(path, days)
    assert went(prune(versions, TODAY)) == {"reports": 1}


@pytest.mark.parametrize("variable", ["CHURN_AIRFLOW_LOGS", "CHURN_HOME", "CHURN_LANDING", "CHURN_APPROVERS"])
def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """An empty path would be the folder one happens to be in, and everything old in it would go."""
    for name in ("CHURN_AIRFLOW_LOGS", "CHURN_HOME", "CHURN_LANDING", "CHURN_APPROVERS"):
        monkeypatch.delenv(name, raising=False)
    without = Settings(_env_file=None)  # type: ignore[call-arg]
    monkeypatch.setenv(variable, "")
    assert Settings(_env_file=None) == without  # type: ignore[call-arg]
    assert without.approvers == ()
    assert without.airflow_logs is None


def test_beside_the_logs_of_our_dags_nothing_is_a_log(versions: Settings, tmp_path: Path) -> None:
    at_work(versions)
    logs = tmp_path / "logs"
    others = [
        put(logs / name, 500)
        for name in ("notes.txt", "dag_id=theirs/run_id=1/attempt=1.log", "git/objects/ab", "dag_processor/a.log",
                     f"dag_processor/{ago(500)}.log", f"elsewhere/{ago(500)}/a.log")
    ]  # fmt: skip
    new = put(logs / "dag_processor" / str(ago(1)) / "dags-folder" / "a.log", 1)
    old = put(logs / "dag_processor" / str(ago(40)) / "dags-folder" / "a.log", 40)
    (logs / "dag_processor" / "latest").symlink_to(new.parent.parent)
    settings = with_(versions, airflow_logs=logs)
    assert went(prune(settings, TODAY)) == {"airflow_logs": 1}
    assert not old.parent.parent.exists()
    assert all(path.is_file() for path in (*others, new))


def test_the_dags_whose_logs_go_are_ours() -> None:
    folder = Path(retention.__file__).parents[2] / "dags"
    assert sorted(retention._DAGS) == sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("churn_"))


def test_a_registry_that_lost_its_model_is_not_taken_for_one_without_models(versions: Settings) -> None:
    grown(versions)
    with closing(Ledger(versions.score_database)) as ledger:
        ledger.append("promotion", key="k", who="gate", why="better", to_version="3")
    report = prune(versions, TODAY)
    assert {"features", "panels", "scores", "reasons", "events"}.isdisjoint(went(report))
    assert {"predictions", "reports", "quarantine"} <= went(report).keys()
    assert report.left == (
        "features, panels, scores and events, because the registry does not have version 3 in production, which the "
        "ledger has there",
    )
    registry = Registry(versions)
    registry.promote(registry.version("3"), "a test")
    assert {"features", "panels", "scores", "reasons"} <= went(prune(versions, TODAY)).keys()


def test_outputs_of_a_log_of_long_ago_stay_like_those_of_today(versions: Settings) -> None:
    lake = Lake(versions.data_home)
    at_work(versions)
    publish(versions, (2000, 2001))
    for days in (2000, 2050, 2095, 2500):
        parquet(lake.features(ago(days)), 5)
        parquet(lake.panel(ago(days)), 5)
        put(lake.reports / "drift" / f"as_of={ago(days)}" / "drift.html", 5)
    assert went(prune(versions, TODAY)) == {"features": 2, "panels": 2, "reports": 1}
    assert days_in(lake.home / "panels") == [2000, 2050]
    assert nights(versions, REASONS) == [2000, 2001]


def test_a_clock_that_jumps_ahead_removes_nothing(versions: Settings) -> None:
    """For years it is another day, and what runs meanwhile writes its files under that date."""
    grown(versions)
    prune(versions, TODAY)
    publish(versions, (0, 1))
    years = -1000
    put(versions.data_home / "predictions" / f"date={ago(years)}" / "120000000000-1-aa.parquet", years)
    put(versions.data_home / "logs" / "ui.log", years)

    def files() -> set[Path]:
        return {p for p in versions.data_home.rglob("*") if p.is_file()}

    before = files()
    report = prune(versions, ago(years))
    assert went(report) == {}
    assert "the clock jumped" in report.left[0]
    assert nights(versions, SCORES) == [0, 1, 60, 100]
    assert files() == before
    assert prune(versions, TODAY).left == ()


def test_after_three_days_of_work_a_platform_that_stood_still_is_no_longer_behind(versions: Settings) -> None:
    predictions = versions.data_home / "predictions"
    for days in (60, 61, 100, 160):
        put(predictions / f"date={ago(days)}" / "120000000000-1-aa.parquet", days)
    for days in (1, 0):
        put(predictions / f"date={ago(days)}" / "120000000000-1-aa.parquet", days)
        report = prune(versions, TODAY)
        assert days_in(predictions)[-2:] == [61, 100]
    assert "the platform wrote on fewer than 3 days" in report.left[0]
    put(predictions / f"date={ago(2)}" / "120000000000-1-aa.parquet", 2)
    assert went(prune(versions, TODAY)) == {"predictions": 1}
    assert days_in(predictions) == [0, 1, 2, 60, 61]


def test_what_the_source_is_writing_in_the_landing_folder_is_its_own(versions: Settings) -> None:
    home = versions.data_home
    theirs = [put(home / "landing" / name, 50) for name in (".upload.json.part", ".a.json.4194304.part")]
    theirs += [put(home / "in" / "deep" / ".a.json.4194304.part", 50), put(home / "reports" / ".notes.part", 50)]
    ours = put(home / "reports" / ".a.json.4194304.part", 50)
    assert went(prune(with_(versions, landing=home / "in" / "deep"), TODAY))["half-written"] == 2
    put(home / "landing" / ".a.json.4194304.part", 50)
    assert went(prune(versions, TODAY))["half-written"] == 1
    assert not ours.exists()
    assert [p.exists() for p in theirs] == [True, True, False, True]
