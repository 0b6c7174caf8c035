"""A forgotten customer is in no byte of the data home and the score book, and no file brings them back."""

import gzip
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
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
from churn.errors import BadInput, Unavailable
from churn.io.erasure_receipts import Receipt
from churn.io.lake import Lake, write_json, write_parquet
from churn.io.scorebook import ScoreBook
from churn.io.stored_nights import StoredNights
from churn.io.suppression import Suppressions, canonical_id
from churn.settings import Settings
from churn.steps.build_features import build_features
from churn.steps.check_drift import check_drift
from churn.steps.evaluate import evaluate
from churn.steps.forget import forget
from churn.steps.ingest import ingest
from churn.steps.monitor import monitor
from churn.steps.prune import prune
from churn.steps.score import score
from churn.steps.simulate import simulate
from churn.steps.sweep import forget_again
from churn.steps.train import train
from tests.io.conftest import postgres, url  # noqa: F401  # fixtures: a SQLite file and a real PostgreSQL
from tests.raw_log import raw_row, raw_rows, write_csv, write_json_lines, write_rows_as_parquet
from tests.serving.conftest import eventually, running

WHO, OTHER = "quetzal-7781-zx", "heron-5520-qk"
NIGHT = date(2018, 11, 3)
WHY = (Reason("is_paid_user", 1.0, 0.5, 0.9, "pays"), Reason("total_sessions", 3.0, 5.0, -0.1, "few visits"))


def settings_of(home: Path, **other: Any) -> Settings:
    """As :func:`tests.moves.settings_of`."""
    return Settings(home=home, mlflow_tracking_uri=None, _env_file=None, **other)  # type: ignore[call-arg]


@pytest.fixture
def platform(tmp_path: Path, empty_mlflow: Path, url: str) -> Settings:  # noqa: F811
    """A data home in which one customer is everywhere."""
    home = tmp_path / "home"
    (home / "mlflow").mkdir(parents=True)
    shutil.copy(empty_mlflow, home / "mlflow" / "mlflow.db")
    settings = settings_of(home, database_url=url)
    lived(settings)
    replayed(settings)
    return settings


def lived(settings: Settings) -> None:
    home, landing = settings.data_home, settings.landing_dir
    theirs, others = raw_rows(6, userId=WHO), [*raw_rows(6, userId=OTHER), *raw_rows(6)]
    broken = [raw_row(60, userId=who, page="No Such Page") for who in (WHO, OTHER)]
    write_json_lines(landing / "a.json.gz", [*theirs, *others, *broken, f'{{"userId": "{WHO}", "ts": '])
    write_csv(landing / "b.csv", [{**row, "ts": row["ts"] + 86_400_000} for row in (*theirs, *others)])
    write_rows_as_parquet(landing / "c.parquet", [{**row, "ts": row["ts"] + 2 * 86_400_000} for row in others])
    ingest(settings, [landing])
    for known_at in ("now", "then"):
        table = build_features(settings, NIGHT) if known_at == "now" else None
        features = Lake(home).features(NIGHT)
        if table is None:
            write_parquet(Lake(home).features(NIGHT, known_at="then"), pq.ParquetFile(features).read())
    write_parquet(Lake(home).panel(NIGHT), pq.ParquetFile(Lake(home).features(NIGHT)).read())
    part = Lake(home).event_partition(date(2018, 11, 9)).with_name(".events.parquet.4194304.part")
    part.parent.mkdir()
    part.write_bytes(WHO.encode())
    old = time.time() - 3600
    os.utime(part, (old, old))
    publish(settings)


def publish(settings: Settings, who: Sequence[str] = (WHO, OTHER, "39")) -> None:
    probability = np.linspace(0.9, 0.1, len(who))
    with closing(ScoreBook(settings.score_database)) as book:
        for night in (NIGHT, NIGHT + timedelta(days=1)):
            given = (night, "1", list(who), probability, (probability > 0.5).astype(np.int64))
            book.publish(*given, threshold=0.5, reasons=[WHY] * len(who))
            book.publish(*given, threshold=0.5, shadow=True)


def replayed(settings: Settings) -> None:
    """A past night lived again, in a home of its own within the data home."""
    own = settings_of(settings.data_home / "replays" / "from=2018-11-02")
    own.data_home.mkdir(parents=True)
    (own.data_home / "events").symlink_to(settings.data_home / "events")
    write_json(own.data_home / "replay.json", {})
    source = pq.ParquetFile(Lake(settings.data_home).features(NIGHT)).read()
    write_parquet(Lake(own.data_home).features(NIGHT), source)
    publish(own)


def texts(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what is written in it compressed."""
    yield path.read_bytes()
    if path.suffix == ".parquet" and path.name != "none.parquet":
        table = pq.ParquetFile(path).read()
        yield json.dumps(table.to_pydict(), default=str).encode()
    if path.suffix == ".gz" and path.name not in ("cut.json.gz", "broken.json.gz"):
        yield gzip.decompress(path.read_bytes())


def places_of(settings: Settings, customer: str = WHO) -> set[str]:
    """Folders of the data home with a file that holds the customer, and the database's own files."""
    home, found = settings.data_home, set[str]()
    for path in (p for p in home.rglob("*") if p.is_file()):
        if any(customer.encode() in text for text in (*texts(path), str(path).encode())):
            found.add(path.relative_to(home).parts[0])
    address = sa.make_url(settings.score_database)
    if address.drivername.startswith("sqlite"):
        files = [p for p in Path(address.database or "").parent.glob("scores.db*") if p.is_file()]
    else:
        files = postgres_files(address)
    if any(customer.encode() in path.read_bytes() for path in files):
        found.add("database")
    return found


def postgres_files(address: sa.URL) -> list[Path]:
    """The tables of all databases of the server as they lie on its disk; its write-ahead log is not among them."""
    engine = sa.create_engine(address.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as db:
        db.execute(sa.text("checkpoint"))
        folder = Path(db.execute(sa.text("show data_directory")).scalar_one())
    engine.dispose()
    try:
        next((folder / "base").iterdir())
    except PermissionError:
        pytest.skip("the server's files belong to another user")
    return [p for p in (folder / "base").rglob("*") if p.is_file()]


def test_a_search_of_every_byte_finds_nothing_of_a_forgotten_customer(platform: Settings) -> None:
    everywhere = {"events", "quarantine", "features", "features_known_then", "panels", "replays", "landing", "database"}
    assert places_of(platform) >= everywhere
    others = places_of(platform, OTHER)

    report = forget(platform, WHO, who="anna", landing=True)
    assert places_of(platform) == set()
    assert places_of(platform, OTHER) == others

    rows = {name: place.rows for name, place in report.places.items()}
    assert rows == {
        "events": 12, "session_days": 2, "totals": 1, "quarantine": 1, "features": 2, "score_shards": 0,
        "features_known_then": 1, "panels": 1,
        "scores": 4, "shadow_scores": 4, "reasons": 4, "half-written": 0, "landing": 14,
    }  # fmt: skip
    assert report.places["half-written"].files == 1
    assert report.asked_by == "anna"
    assert report.landing_files == {}


@pytest.mark.slow
def test_reports_and_models_name_nobody_before_and_after(settings: Settings) -> None:
    """A whole night of a customer with an id that stands for nothing else, looked for in every file that it leaves."""
    night, first, renamed = date(2026, 3, 1), None, 0
    simulate(settings.landing_dir, customers=250, days=75, seed=3, start=night - timedelta(days=75))
    for path in sorted(settings.landing_dir.glob("*.json*")):
        lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        first = first or next(row["userId"] for row in lines if row["userId"])
        renamed += sum(row["userId"] == first for row in lines)
        write_json_lines(path, [row | ({"userId": WHO} if row["userId"] == first else {}) for row in lines])
    assert renamed > 20
    ingest(settings)
    train(settings, night)
    score(settings, night)
    check_drift(settings, night)
    monitor(settings, night)
    evaluate(settings, night)
    assert places_of(settings) == {"landing", "events", "features", "panels", "scores.db", "database"}
    assert forget(settings, WHO, who="anna").places["panels"].rows > 0
    assert places_of(settings) == {"landing"}
    score(settings, night)  # the night again is without them
    assert places_of(settings) == {"landing"}


def test_without_being_asked_to_raw_files_stay_and_are_listed(platform: Settings) -> None:
    before = {p: p.read_bytes() for p in platform.landing_dir.iterdir()}
    report = forget(platform, WHO, who="anna")
    assert {Path(name).name: rows for name, rows in report.landing_files.items()} == {"a.json.gz": 8, "b.csv": 6}
    assert {p: p.read_bytes() for p in platform.landing_dir.iterdir()} == before
    assert places_of(platform) == {"landing"}
    assert any("--landing" in why for why in report.left)


@pytest.fixture
def home(tmp_path: Path, empty_mlflow: Path) -> Settings:
    """As ``platform``, on SQLite in the data home."""
    (tmp_path / "own" / "mlflow").mkdir(parents=True)
    shutil.copy(empty_mlflow, tmp_path / "own" / "mlflow" / "mlflow.db")
    settings = settings_of(tmp_path / "own")
    lived(settings)
    return settings


def test_no_file_brings_a_forgotten_customer_back(home: Settings) -> None:
    forget(home, WHO, who="anna")
    shutil.rmtree(home.data_home / "events" / "_receipts")  # as if no file had been ingested before
    report = ingest(home)
    assert (report.new_events, report.quarantined, report.set_aside) == (0, 2, 13)
    assert report.read == report.accepted + report.set_aside + report.quarantined
    assert places_of(home) == {"landing"}

    # Nor does a file that holds hardly anybody else, and is no file without customers for that.
    write_json_lines(home.landing_dir / "d.json", [*raw_rows(500, userId=WHO, day=5), *raw_rows(1, day=5)])
    report = ingest(home)
    assert report.rejected_files == {}
    assert (report.new_events, report.set_aside) == (1, 513)
    assert places_of(home) == {"landing"}


def test_a_rewritten_raw_file_changes_no_event_of_the_others(home: Settings) -> None:
    forget(home, WHO, who="anna", landing=True)
    held = {p: p.read_bytes() for p in sorted(Lake(home.data_home).events.glob("date=*/*"))}
    report = ingest(home)
    assert (report.new_events, report.ingested_before, report.rejected_files) == (0, 1, {})
    assert report.set_aside == 0
    assert {p: p.read_bytes() for p in sorted(Lake(home.data_home).events.glob("date=*/*"))} == held


def test_the_api_knows_a_forgotten_customer_no_more(home: Settings) -> None:
    with running(home) as client:
        customer, top = f"/api/churn/customers/{WHO}", "/api/churn/top"
        assert client.get(customer).status_code == 200
        assert [c["customer_id"] for c in client.get(top).json()["customers"]] == [WHO, OTHER, "39"]
        eventually(lambda: client.get("/api/churn/health").json()["scores_reachable"])
        forget(home, WHO, who="anna")
        assert client.get(customer).status_code == 404
        assert [c["customer_id"] for c in client.get(top).json()["customers"]] == [OTHER, "39"]
        assert WHO not in client.get("/api/churn/top.csv").text
        assert client.get(f"/api/churn/customers/{OTHER}").status_code == 200


def test_a_publication_says_what_it_still_holds(home: Settings) -> None:
    forget(home, WHO, who="anna")
    with closing(ScoreBook(home.score_database)) as book:
        for shadow in (False, True):
            for publication in book.publications(shadow=shadow):
                assert (publication.customers, publication.predicted_to_churn) == (2, 0)
                assert publication.mean_probability == pytest.approx(0.3)
                assert len(book.scores(publication, shadow=shadow)) == 2


def test_the_receipt_names_nobody_and_is_sealed(home: Settings) -> None:
    report = forget(home, WHO, who="anna")
    path = Path(report.receipt)
    assert path.parent == home.data_home / "erasures"
    assert path.name.startswith(f"{datetime.now(UTC):%Y-%m-%d}-")
    assert path.stat().st_mode & 0o077 == 0
    stored = json.loads(path.read_text())
    assert stored == json.loads(json.dumps(asdict(report)))
    seal = stored.pop("sha256")
    assert hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest() == seal
    assert WHO not in path.read_text()
    # The hash is that of no list of all ids that somebody else could make.
    assert report.customer_hash != hashlib.sha256(WHO.encode()).hexdigest()
    assert report.customer_hash == Suppressions(home.data_home).hash_of(WHO)
    for word in ("backups", "prediction", "model"):
        assert any(word in why for why in report.left), word


def test_forgetting_again_changes_nothing_and_gives_the_same_receipt(home: Settings) -> None:
    first = forget(home, WHO, who="anna")
    before = tree(home)
    assert forget(home, f" {WHO} ", who="ben") == first
    assert tree(home) == before


def test_who_was_never_there_is_forgotten_too(home: Settings) -> None:
    before = tree(home, "features")
    report = forget(home, "nobody-knows-1", who="anna")
    assert not any(place.rows for place in report.places.values())
    assert tree(home, "features") == before
    assert Suppressions(home.data_home).among(["nobody-knows-1", WHO]) == {"nobody-knows-1"}


def test_what_a_step_at_work_writes_back_goes_with_the_next_night(home: Settings) -> None:
    """A scoring that had read the customer before, and published after."""
    features = pq.ParquetFile(Lake(home.data_home).features(NIGHT)).read()
    forget(home, WHO, who="anna", landing=True)
    write_parquet(Lake(home.data_home).features(NIGHT), features)
    publish(home)
    assert {"features", "database"} <= places_of(home)
    assert forget_again(home) == 1 + 6
    assert places_of(home) == set()
    assert forget_again(home) == 0


def test_after_a_restored_backup_the_list_is_enough_to_forget_again(home: Settings, tmp_path: Path) -> None:
    backup = shutil.copytree(home.data_home, tmp_path / "backup")
    forget(home, WHO, who="anna", landing=True)
    assert forget_again(home) == 0
    shutil.move(home.data_home / "suppressed", tmp_path / "suppressed")
    shutil.rmtree(home.data_home)
    shutil.move(backup, home.data_home)
    shutil.move(tmp_path / "suppressed", home.data_home / "suppressed")
    for path in home.data_home.rglob("*"):
        if path.name != ".swept":
            os.utime(path, (1e9, 1e9))
    today = datetime.now(UTC).date()
    assert prune(home, today).forgotten_again == 0
    assert places_of(home) > {"landing"}
    assert prune(home, today, restored=True).forgotten_again == 19 + 6
    assert places_of(home) == {"landing"}


FORGET = "forget(settings, sys.stdin.readline(), who='anna', landing=True, progress=said)"


def killed(settings: Settings, at: str, step: str = FORGET) -> None:
    """Forget in another process, which is killed when it says that it comes to something."""
    code = (
        "import os, signal, sys; from pathlib import Path; from churn.settings import Settings; "
        "from churn.steps.forget import forget; from churn.steps.sweep import forget_again\n"
        "def said(what): what.startswith(sys.argv[2]) and os.kill(os.getpid(), signal.SIGKILL)\n"
        f"settings = Settings(home=Path(sys.argv[1]), mlflow_tracking_uri=None, _env_file=None)\n{step}"
    )
    command = [sys.executable, "-c", code, str(settings.data_home), at]
    process = subprocess.run(command, input=f"{WHO}\n", text=True, check=False, timeout=60)
    assert process.returncode == -signal.SIGKILL


@pytest.fixture
def reader(home: Settings) -> Iterator[None]:
    """Somebody has the score book open, as the API has at times: its write-ahead log stays, with what was removed."""
    with closing(sqlite3.connect(home.data_home / "scores.db")) as db:
        assert db.execute("select count(*) from scores").fetchall() == [(6,)]
        yield


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("at", "left"),
    [
        ("looking through panels", {"panels", "landing", "database"}),
        ("writing the score book", {"landing", "database"}),
        ("looking through the raw files", {"landing"}),
        ("writing the receipt", set()),
    ],
)
def test_killed_in_its_middle_and_run_again_it_comes_to_its_end(home: Settings, at: str, left: set[str]) -> None:
    for part in home.data_home.rglob(".*.part"):
        part.unlink()
    killed(home, at)
    assert places_of(home) - {"scores.db", "scores.db-wal"} == left
    (receipt,) = (home.data_home / "erasures").glob("*.json")
    assert json.loads(receipt.read_text())["finished_at"] is None
    assert forget(home, WHO, who="anna", landing=True).interrupted_before
    assert places_of(home) == set()


@pytest.mark.usefixtures("reader")
def test_killed_the_second_time_the_bytes_in_the_score_book_go_too(home: Settings) -> None:
    forget(home, WHO, who="anna", landing=True)
    publish(home)
    killed(home, "writing the score book")
    assert "database" in places_of(home)
    said: list[str] = []
    assert forget(home, WHO, who="anna", landing=True, progress=said.append).interrupted_before
    assert any(what.startswith("writing the score book") for what in said)
    assert places_of(home) == set()


@pytest.mark.usefixtures("reader")
def test_a_night_that_was_killed_before_the_bytes_were_gone_is_made_good(home: Settings) -> None:
    forget(home, WHO, who="anna", landing=True)
    publish(home)
    killed(home, "writing the score book", "forget_again(settings, progress=said)")
    assert "database" in places_of(home)
    said: list[str] = []
    assert forget_again(home, progress=said.append) == 0
    assert any(what.startswith("writing the score book") for what in said)
    assert places_of(home) == set()


def test_a_search_of_everything_that_was_killed_is_gone_on_with_by_the_next_night(home: Settings) -> None:
    path = Lake(home.data_home).features(NIGHT)
    features = pq.ParquetFile(path).read()
    forget(home, WHO, who="anna", landing=True)
    write_parquet(path, features)  # as a restored backup brings it back, with the time that it had
    os.utime(path, (1e9, 1e9))
    killed(home, "looking through features", "forget_again(settings, everywhere=True, progress=said)")
    assert forget_again(home) == 1
    assert places_of(home) == set()


def test_nights_that_were_missed_are_made_good(home: Settings) -> None:
    """For two weeks nothing was pruned, and meanwhile a step wrote a customer back."""
    forget(home, WHO, who="anna", landing=True)
    assert forget_again(home) == 0
    publish(home)
    suppressed = home.data_home / "suppressed"
    of_then = time.time() - 14 * 86_400
    for name in (Suppressions(home.data_home).hash_of(WHO), ".swept"):
        os.utime(suppressed / name, (of_then, of_then))
    assert forget_again(home) == 6
    assert places_of(home) == set()
    publish(home)
    assert forget_again(home) == 0  # two weeks after, and searched since: no step works so long


def test_whoever_was_never_searched_for_is_however_long_ago(home: Settings) -> None:
    forget(home, WHO, who="anna", landing=True)
    publish(home)
    of_then = time.time() - 14 * 86_400
    os.utime(home.data_home / "suppressed" / Suppressions(home.data_home).hash_of(WHO), (of_then, of_then))
    assert forget_again(home) == 6


def test_a_clock_that_was_ahead_when_somebody_was_forgotten_hides_no_file(home: Settings) -> None:
    features = pq.ParquetFile(Lake(home.data_home).features(NIGHT)).read()
    forget(home, WHO, who="anna", landing=True)
    write_parquet(Lake(home.data_home).features(NIGHT), features)
    ahead = time.time() + 400 * 86_400
    os.utime(home.data_home / "suppressed" / Suppressions(home.data_home).hash_of(WHO), (ahead, ahead))
    assert forget_again(home) == 1


BLANKS = ("39\t", "\t39", " 39\n", "39.0\t", "39\u00a0", "\u300039")


def test_an_id_with_other_blanks_is_the_same_customer_everywhere(tmp_path: Path, empty_mlflow: Path) -> None:
    (tmp_path / "own" / "mlflow").mkdir(parents=True)
    shutil.copy(empty_mlflow, tmp_path / "own" / "mlflow" / "mlflow.db")
    settings = settings_of(tmp_path / "own")
    landing, lake = settings.landing_dir, Lake(settings.data_home)
    rows = [raw_row(n, userId=who) for n, who in enumerate((*BLANKS, "390", "3 9"))]
    write_json_lines(landing / "a.json", rows)
    ingest(settings)

    def customers() -> list[str]:
        return sorted(pq.ParquetFile(lake.event_partition(date(2018, 11, 1))).read()["customer_id"].to_pylist())

    kept = customers()
    assert "39\t" in kept  # as the SQL of ingestion leaves it
    publish(settings, sorted({*kept}))
    report = forget(settings, "39", who="anna", landing=True)
    assert report.places["events"].rows == report.places["landing"].rows == len(BLANKS)
    assert report.places["reasons"].rows == 2 * len({*kept} - {"3 9", "390"})
    assert customers() == ["3 9", "390"]

    again = [raw_row(n, day=1, userId=who) for n, who in enumerate((*BLANKS, "390"))]
    write_json_lines(landing / "b.json", again)
    write_csv(landing / "c.csv", [row | {"ts": row["ts"] + 86_400_000} for row in again])
    found = ingest(settings)
    assert (found.set_aside, found.new_events, found.rejected_files) == (2 * len(BLANKS), 2, {})
    publish(settings, sorted({*kept}))
    assert forget_again(settings) == 2 * 3 * len({*kept} - {"3 9", "390"})


@pytest.mark.parametrize("spelt", ["a\\/b", "\\u0061/b", "a\\u002Fb", "a/b"])
def test_json_may_spell_an_id_in_other_ways(home: Settings, spelt: str) -> None:
    whole = json.dumps(raw_row(1, userId="WHO")).replace("WHO", spelt)
    path = write_json_lines(home.landing_dir / "n.json", [raw_row(2), whole, "{" + whole, raw_row(3, userId="a/bc")])
    assert forget(home, "a/b", who="anna").landing_files == {str(path): 2}
    assert forget(home, "a/b", who="anna", landing=True).places["landing"].rows == 2
    assert [json.loads(line)["userId"] for line in path.read_text().splitlines()] == ["39", "a/bc"]


def test_a_raw_file_that_cannot_be_read_is_said_and_keeps_nobody_from_being_forgotten(home: Settings) -> None:
    landing = home.landing_dir
    (landing / "cut.json.gz").write_bytes((landing / "a.json.gz").read_bytes()[:-30])
    (landing / "broken.json.gz").write_bytes((landing / "a.json.gz").read_bytes()[:20] + b"\xff" * 40)
    (landing / "none.parquet").write_bytes(b"PAR1 and nothing more")
    (landing / "nowhere.json").symlink_to(landing / "gone.json")
    report = forget(home, WHO, who="anna")
    assert report.finished_at is not None
    assert places_of(home) == {"landing"}
    unread = next(why for why in report.left if "could not be read" in why)
    assert all(name in unread for name in ("cut.json.gz", "broken.json.gz", "none.parquet"))
    assert {Path(name).name for name in report.landing_files} == {"a.json.gz", "b.csv"}

    with pytest.raises(BadInput, match=r"cannot be read.*cut\.json\.gz") as e:
        forget(home, WHO, who="anna", landing=True)
    assert WHO not in str(e.value)
    assert places_of(home) <= {"landing"}
    for name in ("cut.json.gz", "broken.json.gz", "none.parquet"):
        (landing / name).unlink()
    done = forget(home, WHO, who="anna", landing=True)
    assert done.interrupted_before
    assert done.landing_files == {}
    assert places_of(home) == set()


def test_no_version_waits_for_the_raw_files_to_be_looked_through(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    free: dict[str, bool] = {}

    def said(what: str) -> None:
        try:
            with Lake(home.data_home).lock("promotion"):
                free[what.partition(" (")[0]] = True
        except Unavailable:
            free[what.partition(" (")[0]] = False

    forget(home, WHO, who="anna", progress=said)
    assert not free["looking through panels"]
    assert free["looking through the raw files"]
    assert free["writing the score book anew, without what was removed"]


def test_another_user_than_the_one_that_ingests_is_refused(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(home)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(BadInput, match="docker compose exec airflow-scheduler churn forget"):
        forget(home, WHO, who="anna")
    assert tree(home) == before
    assert not (home.data_home / "suppressed").exists()


def test_the_receipt_says_what_nobody_knows_of(home: Settings) -> None:
    left = " ".join(forget(home, WHO, who="anna").left)
    assert f"raw files outside {home.landing_dir}" in left
    assert "--into" in left
    assert "names of raw files" in left


def test_half_a_raw_file_of_a_killed_attempt_goes_with_the_next_one(home: Settings) -> None:
    left = home.landing_dir / ".b.csv.4194304.part"
    theirs = home.landing_dir / ".b.csv.part"
    for path in (left, theirs):
        path.write_text("half")
    forget(home, WHO, who="anna", landing=True)
    assert not left.exists()
    assert theirs.exists()


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15, 0.3, 0.5, 0.8])
@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_it_comes_to_its_end(home: Settings, seconds: float) -> None:
    code = (
        "import sys; from pathlib import Path; from churn.settings import Settings; "
        "from churn.steps.forget import forget; print('ready', flush=True); "
        "forget(Settings(home=Path(sys.argv[1]), mlflow_tracking_uri=None, _env_file=None), "
        "sys.stdin.readline(), who='anna', landing=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home.data_home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write(f"{WHO}\n")
        process.stdin.flush()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    report = forget(home, WHO, who="anna", landing=True)
    assert report.finished_at is not None
    # Half a file of a process that is gone stays for minutes, because it could be another machine's.
    for part in home.data_home.rglob(".*.part"):
        part.unlink()
    assert places_of(home) == set()
    assert len(list((home.data_home / "erasures").glob("*.json"))) == 1


def test_what_another_step_is_at_is_waited_for(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("churn.io.locks.PATIENCE", 0.2)
    before = tree(home, "events")
    with Lake(home.data_home).lock("ingest"), pytest.raises(Unavailable, match="another `ingest` is running"):
        forget(home, WHO, who="anna")
    assert tree(home, "events") == before
    assert forget(home, WHO, who="anna").places["events"].rows == 12


def test_without_its_salt_the_list_of_the_forgotten_is_no_list(home: Settings) -> None:
    forget(home, WHO, who="anna")
    (home.data_home / "suppressed" / ".salt").unlink()
    shutil.rmtree(home.data_home / "events" / "_receipts")
    with pytest.raises(BadInput, match="from a backup"):
        ingest(home)


@pytest.mark.parametrize(("given", "known_as"), [(" 39 ", "39"), ("39.0", "39"), ("a.0", "a.0"), ("07", "07")])
def test_an_id_is_read_as_ingestion_reads_it(given: str, known_as: str) -> None:
    assert canonical_id(given) == known_as


@pytest.mark.parametrize("given", ["", "  ", "a\0b", "x" * 1001])
def test_what_is_no_id_is_refused_without_naming_it(given: str) -> None:
    with pytest.raises(BadInput, match="no customer id") as e:
        canonical_id(given)
    assert not given.strip() or given not in str(e.value)


def test_on_the_command_line_the_id_is_read_from_standard_input_and_never_said(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_HOME", str(home.data_home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = CliRunner().invoke(app, ["forget", "-", "--json"], input=f"{WHO}\n")
    assert result.exit_code == 0
    report = Receipt(**json.loads(result.stdout.splitlines()[-1]))
    assert report.customer_hash == Suppressions(home.data_home).hash_of(WHO)
    assert WHO not in result.output
    again = CliRunner().invoke(app, ["forget", WHO, "--landing"])
    assert again.exit_code == 0
    assert "14 rows in 2 files" in " ".join(again.stdout.split())
    assert WHO not in again.output


def test_an_error_of_the_database_does_not_name_the_customer(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(StoredNights(home.score_database)) as book, book.transaction() as db:
        db.execute(sa.text("create trigger no_delete before delete on scores begin select raise(abort, 'full'); end"))
    with pytest.raises(Unavailable) as e:
        forget(home, WHO, who="anna")
    assert WHO not in "".join(map(str, (e.value, e.value.__cause__, e.value.__context__)))
    with closing(sqlite3.connect(home.data_home / "scores.db")) as db:
        db.execute("drop trigger no_delete")
    assert forget(home, WHO, who="anna").interrupted_before
    assert places_of(home) == {"landing"}


def test_a_number_is_the_customer_in_every_format_that_writes_numbers(tmp_path: Path, home: Settings) -> None:
    landing = home.landing_dir
    numbers = [raw_row(n, userId=who) for n, who in enumerate((7781, 77810, "7781.0"))]
    write_json_lines(landing / "n.json", numbers)
    pq.write_table(pa.Table.from_pylist([raw_row(4, userId=7781.0), raw_row(5, userId=8.0)]), landing / "n.parquet")
    report = forget(home, "7781", who="anna", landing=True)
    assert report.places["landing"].rows == 3
    assert (landing / "n.json").read_text().count("\n") == 1
    assert pq.ParquetFile(landing / "n.parquet").read()["userId"].to_pylist() == [8.0]


def tree(settings: Settings, folder: str = ".") -> dict[str, bytes]:
    """Files that may be compared: databases and locks are not among them."""
    home = settings.data_home
    return {
        str(p.relative_to(home)): p.read_bytes()
        for p in (home / folder).rglob("*")
        if p.is_file() and p.suffix not in (".lock", ".db") and not p.name.startswith("scores.db")
    }
