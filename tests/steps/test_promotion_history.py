"""Promotions, rollbacks and what was moved by hand: the registry and the ledger tell the same story."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from churn.core.evidence import evidence_hash
from churn.errors import BadInput, ContractViolation, NotReady
from churn.io.lake import Lake, write_json, write_parquet
from churn.io.ledger import Ledger
from churn.io.registry import Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.compare import decision_path
from churn.steps.history import HistoryReport, history, text_of
from churn.steps.promote import promote
from churn.steps.reconcile import reconcile
from churn.steps.rollback import rollback
from churn.steps.score import publish_scores
from churn.steps.train import staged
from tests.moves import decided, in_production, promoted, rows, story, waits

AS_OF = date(2026, 2, 20)


def by_hand(settings: Settings, version: str, stage: str, *, archive: bool = True) -> None:
    """As on MLflow's own page."""
    Registry(settings).versions()  # points MLflow at the store
    import mlflow

    mlflow.MlflowClient().transition_model_version_stage("churn", version, stage, archive_existing_versions=archive)


# --- Promotion ----------------------------------------------------------------------------------------------------


def test_a_promotion_is_a_row_that_says_who_why_and_on_what_evidence(versions: Settings) -> None:
    first = decided(versions, "1", None)
    assert promote(versions, "1").production == "1"
    second = decided(versions, "2", "1")
    report = promote(versions, "2", who="Ada", comment="seen the figures", evidence_sha256=second)
    assert (report.production, report.promoted, report.reason) == ("2", True, "log loss 3 % lower")
    one, two = rows(versions)
    assert (one.what, one.version, one.from_version, one.to_version) == ("promotion", "1", None, "1")
    assert (one.who, one.why, one.evidence_sha256) == ("the gate", "log loss 3 % lower", first)
    assert (two.version, two.from_version, two.to_version) == ("2", "1", "2")
    assert (two.who, two.evidence_sha256) == ("Ada", second)
    assert two.why == "log loss 3 % lower. Ada: seen the figures"


def test_promoting_twice_moves_and_writes_once(versions: Settings) -> None:
    promoted(versions, "1", "2")
    assert promote(versions, "2").promoted
    assert promote(versions, "2", who="Ada").reason == "log loss 3 % lower"
    assert story(versions) == [("promotion", None, "1"), ("promotion", "1", "2")]


def test_without_a_challenger_or_a_comparison_nothing_is_promoted(versions: Settings) -> None:
    assert promote(versions).reason == "no model waits at stage Staging"
    assert "has not been compared" in promote(versions, "1").reason
    assert (in_production(versions), rows(versions)) == (None, [])


def changed(settings: Settings, **values: Any) -> None:
    path = decision_path(Lake(settings.data_home), "2")
    write_json(path, json.loads(path.read_text()) | values)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"promote": True}, "was changed after it was made"),
        ({"champion": "3"}, "was changed after it was made"),
        ({"reasons": ["trust me"]}, "was changed after it was made"),
        ({"evidence": {"customers": 10_000}}, "was changed after it was made"),
        ({"evidence": {"customers": float("nan")}}, "was changed after it was made"),
        ({"evidence_sha256": "0" * 64}, "was changed after it was made"),
        ({"evidence_sha256": None}, "was changed after it was made"),
        ({"summary": "the page may say what it likes"}, "log loss 3 % higher"),
    ],
)
def test_a_decision_that_was_changed_after_it_was_made_promotes_nothing(
    versions: Settings, change: dict[str, Any], says: str
) -> None:
    promoted(versions, "1")
    decided(versions, "2", "1", yes=False)
    changed(versions, **change)
    report = promote(versions, "2")
    assert (report.production, report.promoted) == ("1", False)
    assert says in report.reason
    assert in_production(versions) == "1"
    assert len(rows(versions)) == 1


@pytest.mark.parametrize("name", ["evidence_sha256", "evidence", "reasons", "promote"])
def test_a_decision_with_a_part_missing_promotes_nothing(versions: Settings, name: str) -> None:
    decided(versions, "1", None)
    path = decision_path(Lake(versions.data_home), "1")
    decision = json.loads(path.read_text())
    del decision[name]
    write_json(path, decision)
    report = promote(versions, "1")
    assert not report.promoted
    assert ("no hash" if name == "evidence_sha256" else "was changed") in report.reason


def test_what_was_approved_and_what_is_on_file_must_be_the_same(versions: Settings) -> None:
    promoted(versions, "1")
    approved = decided(versions, "2", "1", yes=False)
    decided(versions, "2", "1")
    report = promote(versions, "2", who="Ada", evidence_sha256=approved)
    assert not report.promoted
    assert f"{approved[:12]} was approved" in report.reason
    assert in_production(versions) == "1"


def test_a_decision_about_another_champion_or_another_challenger_promotes_nothing(versions: Settings) -> None:
    promoted(versions, "1")
    decided(versions, "3", "1")
    promoted(versions, "2")
    assert "compared with 1" in promote(versions, "3").reason
    lake = Lake(versions.data_home)
    decided(versions, "4", "2")
    decision_path(lake, "4").replace(decision_path(lake, "3"))
    assert "is about version 4" in promote(versions, "3").reason
    assert in_production(versions) == "2"


def test_a_decision_that_was_made_by_hand_hash_and_all_promotes_nothing(versions: Settings) -> None:
    promoted(versions, "1")
    decided(versions, "2", "1", yes=False)
    path = decision_path(Lake(versions.data_home), "2")
    forged = json.loads(path.read_text()) | {"promote": True}
    write_json(path, forged | {"evidence_sha256": evidence_hash(forged)})
    report = promote(versions, "2", who="Ada")
    assert (report.production, report.promoted) == ("1", False)
    assert "the ledger has no row of this decision" in report.reason and "`churn compare` again" in report.reason


def test_a_decision_that_is_not_text_is_none(versions: Settings) -> None:
    decided(versions, "1", None)
    decision_path(Lake(versions.data_home), "1").write_bytes(b"\xff\xfe\x00")
    assert "has not been compared" in promote(versions, "1").reason


def test_where_a_person_has_to_approve_the_gate_promotes_the_first_model_only(versions: Settings) -> None:
    asking = versions.model_copy(update={"promotion": "approve"})
    promoted(asking, "1")
    decided(asking, "2", "1")
    report = promote(asking, "2")
    assert (report.production, report.promoted) == ("1", False)
    assert report.reason == "a person has to approve it (CHURN_PROMOTION=approve)"
    by_hand(asking, "1", "Archived", archive=False)
    decided(asking, "2", None)
    assert not promote(asking, "2").promoted  # version 2 does not become the first by that
    assert promote(asking, "2", who="Ada").promoted


def test_the_gate_promotes_no_version_while_a_newer_one_waits(versions: Settings) -> None:
    promoted(versions, "1")
    decided(versions, "2", "1")
    waits(versions, "3")
    assert promote(versions, "2").reason == "version 3 waits since: compare that"
    waits(versions, "2")  # asked for again: it waits in the place of 3
    assert promote(versions, "2").promoted
    waits(versions, "3")
    decided(versions, "4", "2")
    assert promote(versions, "4").promoted  # what waits is older


def test_a_version_that_is_promoted_meanwhile_is_not_made_to_wait(versions: Settings) -> None:
    """Between the look at its stage and the move no other process may move it: none would be left in production."""
    promoted(versions, "1")
    registry = Registry(versions)
    with ThreadPoolExecutor() as pool:
        with Lake(versions.data_home).lock("promotion"):
            training = pool.submit(staged, versions, "2")
            time.sleep(1)
            assert registry.version("2").stage == "None"
            registry.promote(registry.version("2"), "by another process")
        assert training.result(60).stage == "Production"
    assert in_production(versions) == "2"


# --- Rollback -----------------------------------------------------------------------------------------------------


def test_going_back_twice_goes_further_back(versions: Settings) -> None:
    promoted(versions, "1", "2", "3")
    report = rollback(versions, who="Ada", why="complaints")
    assert (report.production, report.previous, report.rolled_back, report.reason) == ("2", "3", True, "complaints")
    assert rollback(versions, who="Ada", why="still").production == "1"
    with pytest.raises(NotReady, match="version 1 is the first that was in production"):
        rollback(versions, who="Ada", why="further")
    assert in_production(versions) == "1"
    last = rows(versions)[-1]
    assert (last.what, last.from_version, last.to_version, last.who, last.why) == ("rollback", "2", "1", "Ada", "still")


def test_back_to_any_version_that_was_in_production_and_to_no_other(versions: Settings) -> None:
    promoted(versions, "1", "2", "3")
    assert rollback(versions, "1", who="Ada", why="far back").previous == "3"
    assert rollback(versions, "3", who="Ada", why="it was right").production == "3"  # forward again
    with pytest.raises(BadInput, match=r"version 4 was never in production; \['1', '2', '3'\] were"):
        rollback(versions, "4", who="Ada", why="new")
    with pytest.raises(BadInput, match="version 77 was never in production"):
        rollback(versions, "77", who="Ada", why="no such version")
    again = rollback(versions, "3", who="Ada", why="twice")
    assert (again.rolled_back, again.reason) == (False, "version 3 is in production already")
    assert in_production(versions) == "3"
    assert len(story(versions)) == 5


def test_the_same_request_again_is_no_second_rollback(versions: Settings) -> None:
    promoted(versions, "1", "2", "3")
    first = rollback(versions, who="Ada", why="complaints", request="run 7")
    assert rollback(versions, who="Ada", why="complaints", request="run 7") == first
    assert in_production(versions) == "2"
    assert rollback(versions, who="Ada", why="complaints", request="run 8").production == "1"
    late = rollback(versions, who="Ada", why="complaints", request="run 7")  # cleared long after
    assert (late.production, late.previous, late.rolled_back) == ("1", "1", False)
    assert "put version 2 back on" in late.reason and "version 1 is in production now" in late.reason
    assert in_production(versions) == "1"


def test_a_version_of_another_horizon_or_that_cannot_be_read_stays_away(versions: Settings) -> None:
    promoted(versions, "6", "1", "2")
    with pytest.raises(BadInput, match="its horizon_days is 30, that of version 2 is 14"):
        rollback(versions, "6", who="Ada", why="tests")
    with unreadable(versions, "1"), pytest.raises(ContractViolation, match="version 1 cannot be put back"):
        rollback(versions, who="Ada", why="tests")
    assert in_production(versions) == "2"
    assert len(rows(versions)) == 3
    assert rollback(versions, who="Ada", why="tests").production == "1"


@contextmanager
def unreadable(settings: Settings, version: str) -> Iterator[None]:
    """While a manifest of the version says other than the file."""
    import mlflow

    model = mlflow.MlflowClient().get_model_version("churn", version).source.rpartition("/")[2]
    root = Path(mlflow.MlflowClient().get_experiment_by_name("churn").artifact_location.removeprefix("file://"))
    (manifest,) = (p for p in root.rglob("core/manifest.json") if model in str(p))
    whole = manifest.read_text()
    manifest.write_text(whole.replace('"sha256": {', '"sha256": {"more": "0",'))
    yield
    manifest.write_text(whole)


def test_a_version_that_was_rolled_back_from_is_promoted_again_by_a_person_only(versions: Settings) -> None:
    promoted(versions, "1", "2")
    rollback(versions, who="Ada", why="complaints")
    for given in ({}, {"despite_rollback": True}, {"who": "Ada"}):
        report = promote(versions, "2", **given)  # type: ignore[arg-type]
        assert not report.promoted
        assert "version 2 was rolled back from on" in report.reason and "by Ada: complaints" in report.reason
        assert "`churn rollback --to 2`" in report.reason
    assert promote(versions, "2", who="Ada", despite_rollback=True).promoted
    assert promote(versions, "2").promoted  # in production: nothing to do
    assert [what for what, _, _ in story(versions)] == ["promotion", "promotion", "rollback", "promotion"]


def test_a_version_that_was_gone_back_past_is_not_promoted_by_an_old_decision_either(versions: Settings) -> None:
    promoted(versions, "1", "2", "3")
    rollback(versions, "1", who="Ada", why="complaints")  # the champion that the decision about 2 names
    report = promote(versions, "2")
    assert (report.production, report.promoted) == ("1", False)
    assert "version 2 was rolled back from on" in report.reason


# --- What was moved by hand, or killed ------------------------------------------------------------------------------


def test_a_stage_that_was_moved_by_hand_gets_its_row_and_its_alias(versions: Settings) -> None:
    promoted(versions, "1", "2")
    by_hand(versions, "3", "Production")
    moved_at = Registry(versions).version("3").changed_at
    report = reconcile(versions)
    assert report.production == "3"
    row = rows(versions)[-1]
    assert report.mended == ("alias champion names version 3", f"row {row.number} was missing in the ledger: found")
    assert (row.what, row.from_version, row.to_version, row.who) == ("found", "2", "3", "MLflow")
    assert "by hand" in row.why
    assert row.decided_at == moved_at  # when it was moved, not when it was noticed
    assert reconcile(versions).mended == ()
    by_hand(versions, "1", "Production")  # its note tells of an earlier move
    reconcile(versions)
    assert story(versions)[-1] == ("found", "3", "1")


def test_a_model_in_production_before_there_was_a_ledger_is_found(versions: Settings) -> None:
    Registry(versions).promote(Registry(versions).version("1"), "long ago")
    reconcile(versions)
    assert story(versions) == [("found", None, "1")]
    promoted(versions, "2")
    assert rollback(versions, who="Ada", why="tests").production == "1"


def test_a_stage_that_was_emptied_by_hand_is_told_and_filled_again(versions: Settings) -> None:
    promoted(versions, "1", "2")
    by_hand(versions, "2", "Archived", archive=False)
    assert reconcile(versions).production is None
    assert story(versions)[-1] == ("found", "2", None)
    assert rollback(versions, who="Ada", why="by mistake").production == "2"
    assert story(versions)[-1] == ("rollback", None, "2")


def noted(settings: Settings, version: str, note: str) -> None:
    """The note that a move begins with."""
    Registry(settings).versions()  # points MLflow at the store
    import mlflow

    mlflow.MlflowClient().set_model_version_tag("churn", version, "churn.production.note", note)


def note_of(settings: Settings, decided_at: datetime, **changes: Any) -> str:
    """Of a promotion of version 2 by the gate, killed before its stage."""
    last = rows(settings)[-1]
    row = {
        "what": "promotion", "key": f"promotion after {last.number}: 1 to 2", "who": "the gate", "why": "better",
        "version": "2", "from_version": "1", "to_version": "2", "evidence_sha256": "f00d",
    }  # fmt: skip
    return json.dumps({"after": last.number, "decided_at": decided_at.isoformat(), "row": row | changes})


def test_a_move_by_hand_is_not_taken_for_a_promotion_that_was_killed(versions: Settings) -> None:
    promoted(versions, "1")
    now = datetime.now(UTC)
    noted(versions, "2", note_of(versions, now))
    assert reconcile(versions).mended == ("a promotion of version 2 never came: its note is removed",)
    assert reconcile(versions).mended == ()
    by_hand(versions, "2", "Production")
    reconcile(versions)
    assert story(versions)[-1] == ("found", "1", "2")


@pytest.mark.parametrize(("minutes", "what"), [(0, "promotion"), (60, "found")])
def test_a_stage_that_changed_long_after_the_note_was_changed_by_hand(
    versions: Settings, minutes: int, what: str
) -> None:
    promoted(versions, "1")
    noted(versions, "2", note_of(versions, datetime.now(UTC) - timedelta(minutes=minutes)))
    by_hand(versions, "2", "Production")
    reconcile(versions)
    assert story(versions)[-1] == (what, "1", "2")


@pytest.mark.parametrize(
    "note",
    [
        "by hand", "7", "[]", '"x"', '{"after": 2}', '{"after": 2, "decided_at": 7, "row": {}}',
        {"what": "lunch"}, {"who": " "}, {"why": 7}, {"to_version": "3"}, {"more": "x"},
    ],
)  # fmt: skip
def test_a_note_that_is_none_of_ours_harms_nobody(versions: Settings, note: str | dict[str, Any]) -> None:
    promoted(versions, "1")
    noted(versions, "2", note if isinstance(note, str) else note_of(versions, datetime.now(UTC), **note))
    by_hand(versions, "2", "Production")
    assert reconcile(versions).production == "2"
    assert story(versions)[-1] == ("found", "1", "2")


def test_two_versions_that_were_put_into_production_by_hand_become_one(versions: Settings) -> None:
    promoted(versions, "1")
    by_hand(versions, "3", "Production", archive=False)
    by_hand(versions, "2", "Staging")
    report = reconcile(versions)
    assert report.mended[0] == "version 3 alone is at stage Production; 1 archived"
    assert "alias challenger names version 2" in report.mended
    stages = {v.version: v.stage for v in Registry(versions).versions()}
    assert [v for v, stage in stages.items() if stage == "Production"] == ["3"]
    assert stages["1"] == "Archived"


def test_a_model_in_production_cannot_be_made_to_wait(versions: Settings) -> None:
    promoted(versions, "1")
    registry = Registry(versions)
    with pytest.raises(BadInput, match="version 1 is in production"):
        registry.stage(registry.version("1"), "tests")
    assert in_production(versions) == "1"


@pytest.mark.slow
def test_at_every_instant_exactly_one_version_is_in_production(versions: Settings) -> None:
    promoted(versions, "1")
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        with closing(sqlite3.connect(f"file:{versions.data_home}/mlflow/mlflow.db?mode=ro", uri=True)) as db:
            while not done.is_set():
                query = "select count(*) from model_versions where current_stage = 'Production'"
                seen.append(db.execute(query).fetchone()[0])

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(3):
            for version in ("2", "3", "4", "1"):
                decided(versions, version, in_production(versions))
                assert promote(versions, version, who="Ada", despite_rollback=True).promoted
            rollback(versions, who="Ada", why="tests")
            rollback(versions, who="Ada", why="tests")
    finally:
        done.set()
        watcher.join(30)
    assert len(rows(versions)) == 19
    assert len(seen) > 1000
    assert set(seen) == {1}


def test_two_that_move_versions_at_once_take_turns(versions: Settings) -> None:
    promoted(versions, "1", "2", "3")
    failures: list[BaseException] = []

    def back() -> None:
        try:
            rollback(versions, who="Ada", why="tests")
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=back) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [str(e) for e in failures] == [
        "there is no version to go back to: version 1 is the first that was in production"
    ]
    assert story(versions)[3:] == [("rollback", "3", "2"), ("rollback", "2", "1")]


# --- History ------------------------------------------------------------------------------------------------------


@pytest.fixture
def told(versions: Settings) -> Settings:
    """A ledger whose decisions lie days apart, and the registry as it is after them."""
    noon = datetime(2026, 2, 1, 12, tzinfo=UTC)
    moves: list[tuple[Any, str | None, str | None, int]] = [
        ("promotion", None, "1", 0), ("promotion", "1", "2", 3), ("rollback", "2", "1", 5), ("found", "1", None, 7),
        ("promotion", None, "3", 8),
    ]  # fmt: skip
    with closing(Ledger(versions.score_database)) as ledger:
        for n, (what, before, after, day) in enumerate(moves):
            ledger.append(
                what, key=str(n), who="Ada" if what == "rollback" else "the gate", why=f"reason {n}", version=after,
                from_version=before, to_version=after, evidence_sha256="f00d" * 16 if what == "promotion" else None,
                decided_at=noon + timedelta(days=day),
            )  # fmt: skip
        ledger.append("gate", key="g", who="the gate", why="no", version="4", decided_at=noon + timedelta(days=9))
    registry = Registry(versions)
    registry.promote(registry.version("3"), "as the ledger says")
    return versions


@pytest.mark.parametrize(
    ("day", "version"), [(31, None), (1, "1"), (3, "1"), (4, "2"), (5, "2"), (6, "1"), (8, None), (9, "3"), (20, "3")]
)
def test_the_version_of_a_day_is_the_one_at_its_end(told: Settings, day: int, version: str | None) -> None:
    on = date(2026, 1 if day == 31 else 2, day)
    report = history(told, on)
    assert (report.on, report.answer) == (str(on), version)
    said = f"version {version} was in production, since" if version else "no version was in production"
    assert f"{on}: {said}" in text_of(report)


def test_history_tells_who_put_which_version_there_from_when_to_when(told: Settings) -> None:
    report = history(told)
    assert [(p.version, p.since[:10], (p.until or "now")[:10]) for p in report.production] == [
        ("1", "2026-02-01", "2026-02-04"), ("2", "2026-02-04", "2026-02-06"), ("1", "2026-02-06", "2026-02-08"),
        (None, "2026-02-08", "2026-02-09"), ("3", "2026-02-09", "now"),
    ]  # fmt: skip
    assert [p.who for p in report.production] == ["the gate", "the gate", "Ada", "the gate", "the gate"]
    assert [e["what"] for e in report.entries][-1] == "gate"
    text = text_of(report)
    lines = text.splitlines()
    assert lines[0].split("  ")[0] == "version"
    assert len({line.index("2026-02") for line in lines[1::2]}) == 1  # aligned
    assert "2026-02-06 12:00  2026-02-08 12:00  Ada       rollback   –" in text
    assert "reason 2" in text and "f00df00df00d" in text and " now " in text


def test_history_is_plain_json(told: Settings) -> None:
    from dataclasses import asdict

    report = history(told, date(2026, 2, 2))
    again = json.loads(json.dumps(asdict(report), allow_nan=False))
    assert again["answer"] == "1"
    assert again["entries"][0]["decided_at"].startswith("2026-02-01T12:00:00")


def test_history_has_no_answer_about_a_day_that_has_not_begun(versions: Settings) -> None:
    with pytest.raises(BadInput, match="has not begun"):
        history(versions, datetime.now(UTC).date() + timedelta(days=1))
    assert text_of(history(versions)) == "No version has been in production yet."
    assert isinstance(history(versions, datetime.now(UTC).date()), HistoryReport)


# --- Shadow -------------------------------------------------------------------------------------------------------


@pytest.fixture
def night(versions: Settings) -> Settings:
    """Features of one night, and version 1 in production."""
    promoted(versions, "1")
    table = pa.table({"customer_id": ["x", "y", "z"], "a": [0.5, -1.0, 0.0], "b": [2.0, 0.0, -2.0]})
    write_parquet(Lake(versions.data_home).features(AS_OF), table)
    return versions


def shadows(settings: Settings) -> list[str]:
    with closing(ScoreBook(settings.score_database)) as book:
        return [p.model_version for p in book.publications(shadow=True)]


def test_the_challenger_that_waits_is_scored_beside_the_model_in_production(night: Settings) -> None:
    alone = publish_scores(night, AS_OF)
    assert (alone.shadow_version, alone.shadow) == (None, "no challenger waits at stage Staging")
    waits(night, "2")
    report = publish_scores(night, AS_OF)
    assert (report.model_version, report.shadow_version) == ("1", "2")
    with closing(ScoreBook(night.score_database)) as book:
        ((real,), (shadow,)) = book.publications(), book.publications(shadow=True)
        assert (shadow.as_of, shadow.model_version, shadow.customers) == (AS_OF, "2", 3)
        assert book.scores(shadow, shadow=True).equals(book.scores(real))  # the same model, registered twice
        assert book.latest() == real
    assert publish_scores(night, AS_OF) == report


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("4", "version 4 was trained on outcomes up to 2026-03-01"),
        ("5", "could not be scored: BadInput: the model needs"),
    ],
)
def test_a_challenger_that_cannot_be_scored_never_fails_the_night(night: Settings, version: str, why: str) -> None:
    waits(night, version)
    report = publish_scores(night, AS_OF)
    assert (report.customers, report.model_version, report.shadow_version) == (3, "1", None)
    assert why in report.shadow
    assert shadows(night) == []


def test_a_challenger_that_cannot_be_read_never_fails_the_night(night: Settings) -> None:
    waits(night, "2")
    with unreadable(night, "2"):
        report = publish_scores(night, AS_OF)
    assert report.customers == 3
    assert "could not be scored: ContractViolation" in report.shadow


def test_a_ledger_that_cannot_be_reconciled_never_fails_the_night(
    night: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(night, "2", "Production")
    monkeypatch.setattr("churn.steps.reconcile._PATIENCE", 0.2)
    with Lake(night.data_home).lock("promotion"):
        report = publish_scores(night, AS_OF)
    assert (report.model_version, report.customers) == ("2", 3)
    assert report.ledger_behind is not None and "another `promotion` is running" in report.ledger_behind
    assert story(night)[-1] == ("promotion", None, "1")


def test_scoring_notices_what_was_moved_by_hand(night: Settings) -> None:
    by_hand(night, "2", "Production")
    report = publish_scores(night, AS_OF)
    assert (report.model_version, report.ledger_behind) == ("2", None)
    assert story(night)[-1] == ("found", "1", "2")
