"""The console inside Airflow's real application: who may see what, what it starts, and what it shows."""

import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from churn.core.evidence import evidence_hash
from churn.io.checks import Checks
from churn.io.lake import write_json
from churn.io.ledger import Ledger
from churn.settings import Settings
from tests.plugins.lived import DAY, LAST, live
from tests.steps.conftest import registered, versions  # noqa: F401 - fixtures

PAGES = ("", "model", "drift", "performance", "quality")
WISH = {"version": None, "why": "complaints since noon"}


def as_(user: str, tokens: dict[str, str], **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens[user]}", **more}


def page(client: Any, tokens: dict[str, str], name: str, user: str = "viewer") -> str:
    answer = client.get(f"/churn/{name}", headers=as_(user, tokens, Accept="text/html"))
    assert answer.status_code == 200, answer.text
    return str(answer.text)


# --- Who may do what ----------------------------------------------------------------------------------------------


def test_no_route_answers_anybody_who_is_not_logged_in(client: Any) -> None:
    from churn_console.routes import app

    routes = [(method, route.path) for route in app.routes for method in route.methods]
    assert len(routes) >= 9
    for method, path in routes:
        path = path.format(dag_id="score_nightly", kind="drift", key=str(LAST), name="console.css")
        for headers in ({}, {"Content-Type": "application/json"}, {"Accept": "text/html"}):
            answer = client.request(method, f"/churn{path}", headers=headers, content=b"{not json")
            assert answer.status_code == 401, (method, path, headers)
        assert client.request(method, f"/churn{path}", headers={"Authorization": "Bearer x"}).status_code in (401, 403)
    assert client.get("/churn/openapi.json", headers={}).status_code == 404


def test_whoever_may_read_the_dags_may_read_every_page_and_whoever_may_not_reads_none(
    client: Any, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    for user in tokens:
        for name in PAGES:
            assert f"logged in as {user}" in page(client, tokens, name, user)
    allowed = type(get_auth_manager()).is_authorized_dag

    def but_one(self: Any, *, details: Any = None, **asked: Any) -> bool:
        return details.id != "monitor_model" and allowed(self, details=details, **asked)

    monkeypatch.setattr(type(get_auth_manager()), "is_authorized_dag", but_one)
    for name in (*PAGES, "static/console.css", f"reports/drift/{LAST}"):
        assert client.get(f"/churn/{name}", headers=as_("admin", tokens)).status_code == 403


def test_the_cookie_of_the_ui_opens_the_pages_too(client: Any, tokens: dict[str, str]) -> None:
    client.cookies.set("_token", tokens["viewer"])
    assert client.get("/churn/model").status_code == 200


def test_a_viewer_may_not_roll_back_and_sees_no_form(client: Any, tokens: dict[str, str], settings: Settings) -> None:
    live(settings, nights=3)
    before = runs()
    assert client.post("/churn/rollback", json=WISH, headers=as_("viewer", tokens)).status_code == 403
    assert runs() == before
    assert "rollback-form" not in page(client, tokens, "model")
    assert "rollback-form" in page(client, tokens, "model", "op")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_page_of_another_site_cannot_roll_back_with_the_cookie_of_a_user(
    client: Any, tokens: dict[str, str], headers: dict[str, str], status: int
) -> None:
    before = runs()
    client.cookies.set("_token", tokens["op"])
    answer = client.post(
        "/churn/rollback", content=b'{"why": "x"}', headers={"Content-Type": "application/json"} | headers
    )
    assert answer.status_code == status
    assert runs() == before


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "body"),
        (b'{"version": "3"}', "why"),
        (b'{"why": "   "}', "why"),
        (b'{"why": 5}', "why"),
        (b'{"version": "3; drop", "why": "x"}', "version"),
        (b'{"why": "' + b"x" * 501 + b'"}', "why"),
    ],
)
def test_a_wish_that_is_none_starts_nothing_and_says_what_is_wrong(
    client: Any, tokens: dict[str, str], body: bytes, named: str
) -> None:
    before = runs()
    headers = as_("op", tokens, **{"Content-Type": "application/json", "Origin": "http://testserver"})
    answer = client.post("/churn/rollback", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"{named}: ")
    assert runs() == before


@pytest.mark.parametrize(
    ("column", "now", "usually", "named"),
    [("is_paused", True, False, "paused"), ("allowed_run_types", ["scheduled"], None, "does not allow runs")],
)
def test_a_dag_that_is_paused_or_that_nobody_may_start_by_hand_starts_nothing(
    client: Any, tokens: dict[str, str], column: str, now: Any, usually: Any, named: str
) -> None:
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    def change(value: Any) -> None:
        with create_session() as session:
            session.execute(update(DagModel).where(DagModel.dag_id == "rollback_model").values({column: value}))

    before = runs()
    change(now)
    try:
        answer = client.post("/churn/rollback", json=WISH, headers=as_("op", tokens))
    finally:
        change(usually)
    assert answer.status_code == 409
    assert named in answer.json()["detail"]
    assert runs() == before


def runs() -> int:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    with create_session() as session:
        return int(session.scalar(select(func.count()).select_from(DagRun)) or 0)


# --- Rolling back -------------------------------------------------------------------------------------------------


def test_a_rollback_is_a_run_in_the_users_name_and_the_ledger_names_them(
    client: Any,
    tokens: dict[str, str],
    versions: Settings,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from tests.moves import in_production, promoted

    monkeypatch.setenv("CHURN_HOME", str(versions.data_home))
    promoted(versions, "1", "2", "3")
    assert '<option value="1">' in page(client, tokens, "model", "op")

    answer = client.post(
        "/churn/rollback", json={"version": "1", "why": " <b>too many</b> "}, headers=as_("op", tokens)
    )
    assert answer.status_code == 202
    told = answer.json()
    state = client.get(told["state"], headers=as_("op", tokens)).json()
    assert (state["state"], state["dag_run_id"]) == ("queued", told["run_id"])
    assert state["conf"] == {"version": "1", "reason": "<b>too many</b>"}
    assert state["triggering_user_name"] == "op"
    log = client.get("/api/v2/eventLogs?dag_id=rollback_model&order_by=-id&limit=1", headers=as_("admin", tokens))
    written = log.json()["event_logs"][0]
    assert (written["event"], written["owner"]) == ("trigger_dag_run", "op")
    assert json.loads(written["extra"])["conf"] == {"version": "1", "reason": "<b>too many</b>"}

    with create_session() as session:
        run = session.scalar(select(DagRun).where(DagRun.run_id == told["run_id"]))
        session.expunge_all()
    work(run)
    assert in_production(versions) == "1"
    with closing(Ledger(versions.score_database)) as ledger:
        row = ledger.recent(1)[0]
    assert (row.what, row.from_version, row.to_version, row.who, row.why) == (
        "rollback",
        "3",
        "1",
        "op",
        "<b>too many</b>",
    )
    shown = page(client, tokens, "model")
    assert "Version 1 is in production" in shown
    assert "&lt;b&gt;too many&lt;/b&gt;" in shown


def work(run: Any) -> None:
    """Do what a worker does with the run's only task."""
    import os

    from airflow.dag_processing.dagbag import BundleDagBag

    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    dag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder").dags["rollback_model"]
    params = {"version": None, "reason": ""} | run.conf
    dag.task_dict["rollback"].python_callable(params=params, dag_run=run, outlet_events=defaultdict(SimpleNamespace))


# --- What waits ---------------------------------------------------------------------------------------------------


def test_an_approval_that_waits_is_shown_with_the_way_to_it_until_it_is_answered(
    client: Any, tokens: dict[str, str]
) -> None:
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select

    run = trigger_dag("retrain_model", triggered_by=DagRunTriggeredByType.UI, triggering_user_name="op", conf={})
    of_run = (TaskInstance.run_id == run.run_id, TaskInstance.task_id == "approve")
    with create_session() as session:
        task = session.scalar(select(TaskInstance).where(*of_run))
        task.state = "awaiting_input"
        session.add(
            HITLDetail(
                ti_id=task.id, options=["Approve", "Reject"], subject="Promote <version> 4?", body="",
                defaults=["Reject"], multiple=False, params={}, assignees=[{"id": "admin", "name": "ada & co"}],
            )
        )  # fmt: skip
    try:
        for name in ("", "model"):
            shown = page(client, tokens, name)
            assert "Promote &lt;version&gt; 4?" in shown
            assert "ada &amp; co" in shown
            link = re.search(r'href="(/dags/retrain_model/runs/[^"]+/tasks/approve/required_actions)"', shown)
            assert link
            assert ":" not in link[1]
    finally:
        with create_session() as session:
            task = session.scalar(select(TaskInstance).where(*of_run))
            session.get(HITLDetail, task.id).responded_at = datetime.now(UTC)
    assert "Promote &lt;version&gt; 4?" not in page(client, tokens, "model")


# --- What is shown ------------------------------------------------------------------------------------------------


def test_nothing_at_all_is_said_in_words(client: Any, tokens: dict[str, str], settings: Settings) -> None:
    said = {
        "": ("No model is in production yet", "No night yet", "stale"),
        "model": (
            "No model is in production",
            "The ledger is empty",
            "No challenger has been compared",
            "You may look",
        ),
        "drift": ("No night was compared yet",),
        "performance": ("No night was judged yet",),
        "quality": ("Nothing was validated",),
    }
    for name, sentences in said.items():
        shown = page(client, tokens, name)
        for sentence in sentences:
            assert sentence in shown
    assert "There is no version to go back to" in page(client, tokens, "model", "op")


def test_nights_are_shown_with_what_each_came_to(client: Any, tokens: dict[str, str], settings: Settings) -> None:
    live(settings)
    shown = page(client, tokens, "")
    assert shown.count("<tr>") == 31
    assert shown.count("no scores") == 2
    assert shown.count("▲ alarm") == 7
    assert "✗ 1" in shown
    assert "Version 3" in shown
    shown = page(client, tokens, "model")
    assert "Version 3 is in production" in shown
    assert "Keep version 3: version 4 has not shown that it is better" in shown
    assert "0.0030 lower to 0.0030 higher" in shown
    assert "on file as it was decided" in shown
    shown = page(client, tokens, "drift")
    assert shown.count('scope="row"') == 64
    assert shown.count(" drifted</span>") == 12
    shown = page(client, tokens, "performance")
    assert "The model has degraded" in shown
    assert len(re.findall(r"<circle", shown)) > 60
    shown = page(client, tokens, f"quality?night={LAST - 14 * DAY}")
    assert "63 of 64 expectations met" in shown
    assert "312" in shown


def test_earlier_nights_are_a_link_away(client: Any, tokens: dict[str, str], settings: Settings) -> None:
    live(settings, nights=45)
    for name in ("", "drift", "performance", "quality"):
        assert f"?until={LAST - 30 * DAY}" in page(client, tokens, name)
        shown = page(client, tokens, f"{name}?until={LAST - 30 * DAY}")
        assert str(LAST - 44 * DAY) in shown
        assert f"?until={LAST}" in shown
    assert client.get("/churn/?until=yesterday", headers=as_("op", tokens)).status_code == 422


@pytest.mark.parametrize("until", ["0001-01-01", "0001-01-05", "9999-12-31"])
@pytest.mark.parametrize("name", ["", "drift", "performance", "quality"])
def test_the_ends_of_the_calendar_are_nights_like_others(
    client: Any, tokens: dict[str, str], settings: Settings, name: str, until: str
) -> None:
    live(settings)
    page(client, tokens, f"{name}?until={until}")


def test_evidence_that_was_changed_is_not_shown(client: Any, tokens: dict[str, str], settings: Settings) -> None:
    live(settings, nights=3)
    path = settings.data_home / "reports" / "decisions" / "version=4.json"
    honest = path.read_text()
    path.write_text(honest.replace("0.1702", "0.1234"))
    shown = page(client, tokens, "model")
    assert "changed after it was written" in shown
    assert "0.1234" not in shown
    path.write_text((path.parent / "version=3.json").read_text())
    assert "another comparison" in page(client, tokens, "model")
    path.write_text("[1")
    assert "The last comparison cannot be shown" in page(client, tokens, "model")
    path.unlink()
    assert "not on file any more" in page(client, tokens, "model")


def test_a_difference_beyond_the_drawing_is_not_drawn_at_its_edge(
    client: Any, tokens: dict[str, str], settings: Settings
) -> None:
    live(settings, nights=3)
    drawn = page(client, tokens, "model").count("<circle")
    path = settings.data_home / "reports" / "decisions" / "version=4.json"
    decision = json.loads(path.read_text())
    decision["evidence"]["criteria"]["ece"]["difference"] |= {"value": 0.5, "low": 0.4, "high": 0.6}
    decision["evidence_sha256"] = evidence_hash(decision)
    write_json(path, decision)
    with closing(Ledger(settings.score_database)) as ledger:
        sha = decision["evidence_sha256"]
        ledger.append("gate", key="far", who="the gate", why="no: far worse", version="4", evidence_sha256=sha)
    shown = page(client, tokens, "model")
    assert shown.count("beyond ▶") == 1
    assert shown.count("<circle") == drawn - 1


def test_whatever_is_stored_is_text_on_the_page(client: Any, tokens: dict[str, str], settings: Settings) -> None:
    live(settings, nights=3)
    bad = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"
    with closing(Ledger(settings.score_database)) as ledger:
        ledger.append(
            "found", key="x", who=bad, why=bad, version=bad, from_version=bad, to_version=bad, evidence_sha256=bad
        )
    with closing(Checks(settings.score_database)) as checks:
        for what in ("drift", "performance", "early_warning"):
            detail = {"features": {bad: {"ks": 0.5, "drifted": True}}}
            checks.record(LAST, what, bad, alarm=True, summary=bad, detail=detail)
    kept = settings.data_home / f"reports/features_validation/as_of={LAST}.json"
    kept.write_text(kept.read_text().replace("total_sessions is between", "<script>is between"))
    for name in PAGES:
        shown = page(client, tokens, name, "op")
        assert "<script>alert" not in shown
        assert "<script>is" not in shown
        assert "<img src=x" not in shown
        assert "onerror=alert(1)&gt;" in shown or name == "quality"


def test_pages_ask_nobody_else_and_bring_no_script_or_style_of_their_own(
    client: Any, tokens: dict[str, str], settings: Settings
) -> None:
    live(settings, nights=5)
    for name in (*PAGES, "static/console.css", "static/console.js", "static/theme.js", "nothing"):
        answer = client.get(f"/churn/{name}", headers=as_("op", tokens, Accept="text/html"))
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", answer.text)
        assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", answer.text)
        assert not re.search(r"<script(?! src)", answer.text)
        assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", "")


def test_a_report_is_shown_where_it_can_do_nothing(client: Any, tokens: dict[str, str], settings: Settings) -> None:
    live(settings, nights=3)
    for path in (f"drift/{LAST}", f"monitoring/{LAST}", "decision/4"):
        answer = client.get(f"/churn/reports/{path}", headers=as_("viewer", tokens))
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["content-security-policy"].endswith("sandbox")
        assert "script-src" not in answer.headers["content-security-policy"]
    for path, status in (
        (f"drift/{LAST + DAY}", 404),
        ("decision/..%2F..%2Fx", 404),
        ("decision/x", 422),
        ("other/1", 422),
    ):
        assert client.get(f"/churn/reports/{path}", headers=as_("viewer", tokens)).status_code == status


@pytest.mark.parametrize(
    ("dag", "shows"),
    [("ingest_events", "quality"), ("score_nightly", ""), ("monitor_model", "performance"), ("retrain_model", "model"),
     ("rollback_model", "model#rollback"), ("anything", "")],
)  # fmt: skip
def test_the_tab_of_a_dag_shows_what_the_dag_is_about(
    client: Any, tokens: dict[str, str], dag: str, shows: str
) -> None:
    answer = client.get(f"/churn/dags/{dag}", headers=as_("viewer", tokens))
    assert answer.headers["location"] == f"/churn/{shows}"


# --- What is away, and what grows ---------------------------------------------------------------------------------


def test_a_database_that_is_away_is_said_once_and_not_waited_for_again(
    client: Any, tokens: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(settings, nights=3)
    monkeypatch.setenv("CHURN_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    for name in PAGES:
        started = time.monotonic()
        shown = page(client, tokens, name, "op")
        assert time.monotonic() - started < 5
        assert "secret" not in shown
        assert ("did not answer" in shown) == (name != "quality")
    shown = page(client, tokens, f"quality?until={LAST}")
    assert "64 of 64 expectations met" in shown


def test_reports_that_cannot_be_read_are_said_and_the_rest_shows(
    client: Any, tokens: dict[str, str], settings: Settings
) -> None:
    live(settings, nights=3)
    (settings.data_home / "reports").rename(settings.data_home / "gone")
    (settings.data_home / "reports").write_text("a file")
    assert "unreadable" in page(client, tokens, "")
    assert "Version 3" in page(client, tokens, "")
    assert "The last comparison cannot be shown" in page(client, tokens, "model")
    assert "The calibration curve cannot be shown" in page(client, tokens, "performance")
    assert "unreadable" in page(client, tokens, "quality")
    assert client.get(f"/churn/reports/drift/{LAST}", headers=as_("op", tokens)).status_code == 503


def test_settings_that_cannot_be_used_are_said(
    client: Any, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_PROMOTION", "maybe")
    for path in ("/churn/", f"/churn/reports/drift/{LAST}"):
        answer = client.get(path, headers=as_("op", tokens))
        assert answer.status_code == 503
        assert "promotion" in answer.json()["detail"]


@pytest.mark.slow
def test_a_page_costs_the_same_after_a_year_as_after_a_month(
    client: Any, tokens: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(settings, nights=30)
    young = {name: _cost(client, tokens, name, settings, monkeypatch) for name in PAGES}
    live(settings, nights=300)
    with closing(Ledger(settings.score_database)) as ledger:
        for number in range(300):
            ledger.append("gate", key=f"g{number}", who="the gate", why="no: worse", version=str(number + 10))
            ledger.append("rollback", key=f"r{number}", who="op", why="worse", from_version="3", to_version="2")
            ledger.append("promotion", key=f"p{number}", who="op", why="better", from_version="2", to_version="3")
    old = {name: _cost(client, tokens, name, settings, monkeypatch) for name in PAGES}
    for name in PAGES:
        (statements, steps, files, size), (before, less, fewer, smaller) = old[name], young[name]
        assert statements == before <= 8, name
        assert files <= max(fewer, 62), name
        assert steps <= 1.5 * less + 100, (name, steps, less)
        assert size <= 1.5 * smaller, (name, size, smaller)


def _cost(
    client: Any, tokens: dict[str, str], name: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, int, int, int]:
    """SQL statements of a page, hundreds of SQLite's own steps, report files read, characters of the answer."""
    import sqlalchemy as sa

    from churn.io.kept_reports import KeptReports
    from churn_console.reading import stores

    page(client, tokens, name)  # opens what is opened once
    count = {"statements": 0, "steps": 0, "files": 0}

    def ticked() -> int:
        count["steps"] += 1
        return 0

    def stated(*_: Any) -> None:
        count["statements"] += 1

    def connected(connection: Any, *_: Any) -> None:
        connection.set_progress_handler(ticked, 100)

    read = KeptReports._text

    def reading(self: KeptReports, path: Path) -> str | None:
        count["files"] += 1
        return read(self, path)

    kept = stores(settings.score_database)
    engines = [store._database._engine for store in (kept.ledger, kept.checks, kept.book)]
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", stated)
        sa.event.listen(engine, "checkout", connected)
    monkeypatch.setattr(KeptReports, "_text", reading)
    try:
        size = len(page(client, tokens, name))
    finally:
        monkeypatch.setattr(KeptReports, "_text", read)
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", stated)
            sa.event.remove(engine, "checkout", connected)
    return count["statements"], count["steps"], count["files"], size


def test_airflow_loads_the_plugin_everywhere_and_the_pages_nowhere_before_they_are_asked_for() -> None:
    """In a process of its own: this one has asked for pages. Heavy libraries stay away even then."""
    code = """
import sys
from airflow import plugins_manager
found, errors = plugins_manager._get_plugins()
assert errors == {}, errors
assert sorted(p.name for p in found if p.name.startswith("churn")) == ["churn_console", "churn_timetables"]
loaded = {"routes", "pages", "reading", "drift", "models", "nights", "quality", "airflow_side"} & set(sys.modules)
assert not loaded, loaded
early = [m for m in sys.modules if m.startswith(("churn_console.", "churn."))]
assert not early, early
import churn_console.routes
import churn.steps.check_freshness
heavy = {"mlflow", "pandas", "sklearn", "scipy", "pyarrow", "xgboost", "great_expectations"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_dates_of_the_page_are_utc(client: Any, tokens: dict[str, str], settings: Settings) -> None:
    live(settings, nights=3)
    shown = page(client, tokens, "model")
    assert f"{date(2026, 3, 30)} 03:04 UTC" in shown


def test_what_another_version_stored_is_said_in_its_section(
    client: Any, tokens: dict[str, str], settings: Settings
) -> None:
    live(settings, nights=3)
    with closing(Checks(settings.score_database)) as checks:
        checks.record(LAST, "drift", "9", alarm=False, summary="odd", detail={"features": {"a": {"ks": "far"}}})
        checks.record(LAST, "performance", "9", alarm=False, summary="odd", detail={"realised": {"nights": "some"}})
    write_json(settings.data_home / f"reports/features_validation/as_of={LAST}.json", {"findings": 3})
    write_json(settings.data_home / f"reports/monitoring/as_of={LAST}/monitor.json", {"assessment": {"calibration": 1}})
    assert "is not what this version writes" in page(client, tokens, "drift")
    assert "is not what this version writes" in page(client, tokens, "performance")
    assert "is not what this version writes" in page(client, tokens, "quality")
    assert "unreadable" in page(client, tokens, "")
