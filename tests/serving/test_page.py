"""The page in a real browser."""

import csv
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from churn.core.assessment import assess
from churn.core.evaluation import Economics
from churn.core.features import FEATURES
from churn.io.checks import Checks
from churn.io.lake import write_json
from churn.io.registry import Models
from serving.keys import new_key
from tests.serving.conftest import NAMES, Platform, eventually, platform_in, random_customers, running

pytestmark = pytest.mark.slow

CUSTOMERS = 300
TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    expect.set_options(timeout=20_000)  # plotly's 5 MB of script take a busy machine seconds to read
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that asks no other host and has nothing to complain about."""
    page = browser.new_page()
    complaints: list[str] = []
    outside: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.on("request", lambda r: outside.append(r.url) if urlsplit(r.url).hostname not in ("127.0.0.1", None) else None)
    yield page
    page.close()
    # Chromium writes every answer of 4xx and 5xx, and every lost connection, to the console; the page shows them.
    assert not [c for c in complaints if not c.startswith("Failed to load resource")]
    assert not outside


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, first_models: Models) -> Platform:
    """The morning after: a version with its hold-out on record, scores with reasons, and nights of checks."""
    platform = platform_in(tmp_path_factory.mktemp("night"))
    features = random_customers(CUSTOMERS, 7, FEATURES)
    p = first_models.full.predict_proba(features)
    threshold = first_models.full.card.threshold
    ids = [f"c{i:03d}" for i in range(CUSTOMERS)]
    churned = (np.random.default_rng(7).random(CUSTOMERS) < p).astype(int)
    found = assess(churned, p, ids, threshold=threshold, economics=Economics(), resamples=50)
    write_json(platform.folder / "attachments" / "evaluation.json", {"holdout": {"full": asdict(found)}})
    version = platform.promote(first_models)
    platform.book.publish(
        TODAY, version.version, ids, p, first_models.full.decide(p),
        threshold=threshold, reasons=first_models.full.reasons(features, 3),
    )  # fmt: skip
    _checks(platform, version.version)
    return platform


def _checks(platform: Platform, version: str) -> None:
    checks = Checks(platform.settings.score_database)
    for ago in (4, 3, 1, 0):  # one night without a check
        drifted = ["sessions_7d"] if ago == 3 else []
        said = "drift: 1 of 41 columns moved" if drifted else "no drift: none of 41 columns differs"
        checks.record(
            TODAY - timedelta(ago), "drift", version, alarm=bool(drifted), summary=said, detail={"drifted": drifted}
        )
    for ago in (1, 0):
        realised = {"roc_auc": 0.74, "roc_auc_low": 0.70, "roc_auc_high": 0.78, "expected_roc_auc": 0.75}
        checks.record(
            TODAY - timedelta(ago), "performance", version, alarm=False, summary="no degradation: ROC AUC 0.740",
            detail={"expected": {}, "realised": realised, "limit": 0.71},
        )  # fmt: skip
    checks.record(TODAY, "early_warning", version, alarm=True, summary="paid: more cancel than expected", detail={})
    checks.close()


@pytest.fixture(scope="module")
def morning(night: Platform) -> Iterator[httpx.Client]:
    with running(night.settings) as client:
        eventually(lambda: client.get("/readyz").status_code == 200)
        yield client


def asked(client: httpx.Client, path: str, **params: Any) -> Any:
    return client.get(f"/api/churn{path}", params=params).raise_for_status().json()


# ---------------------------------------------------------------- tonight


def test_the_list_can_be_filtered_and_exported(page: Page, morning: httpx.Client, tmp_path: Path) -> None:
    everybody = asked(morning, "/top")
    page.goto(str(morning.base_url))
    expect(page.locator("#rows tr")).to_have_count(20)
    expect(page.locator("#count")).to_contain_text("300 of 300 customers match; the 20 riskiest are shown")
    expect(page.locator("#rows tr").first).to_contain_text(everybody["customers"][0]["reasons"][0]["text"])
    page.select_option("#decision", "0")
    page.fill("#minimum", "10")
    page.fill("#search", "C1")
    wanted = asked(morning, "/top", decision=0, minimum=0.1, search="C1")
    assert 0 < wanted["matching"] < 100
    expect(page.locator("#count")).to_contain_text(f"{wanted['matching']} of 300 customers match")
    expect(page.locator("#rows .pill.leave")).to_have_count(0)
    with page.expect_download() as download:
        page.click("#export")
    assert download.value.suggested_filename == f"churn-{TODAY}.csv"
    download.value.save_as(tmp_path / "list.csv")
    rows = list(csv.DictReader((tmp_path / "list.csv").read_text("utf-8-sig").splitlines()))
    assert len(rows) == wanted["matching"] and rows[0]["customer_id"] == wanted["customers"][0]["customer_id"]
    page.fill("#search", "nobody")
    expect(page.locator("#none")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#rows tr")).to_have_count(20)


def test_the_list_can_be_filtered_by_reason(page: Page, morning: httpx.Client) -> None:
    page.goto(str(morning.base_url))
    expect(page.locator("#reason option")).not_to_have_count(1)
    page.select_option("#reason", "time_since_last_activity")
    matching = asked(morning, "/top", reason="time_since_last_activity")["matching"]
    assert 0 < matching < CUSTOMERS
    expect(page.locator("#count")).to_contain_text(f"{matching} of 300")


def test_more_reasons_and_a_customer_open_by_keyboard(page: Page, morning: httpx.Client) -> None:
    riskiest = asked(morning, "/top", limit=1)["customers"][0]
    page.goto(str(morning.base_url))
    more = page.locator("#rows details").first
    more.locator("summary").press("Enter")
    expect(more.locator("li").first).to_contain_text(riskiest["reasons"][1]["text"])
    name = page.get_by_role("button", name=riskiest["customer_id"])
    name.press("Enter")
    sheet = page.get_by_role("dialog", name=f"Customer {riskiest['customer_id']}")
    expect(sheet.locator(".verdict")).to_contain_text("contact this customer")
    expect(sheet.locator(".bars li")).to_have_count(len(riskiest["reasons"]))
    for row, reason in zip(sheet.locator(".bars li").all(), riskiest["reasons"], strict=True):
        expect(row).to_contain_text(reason["text"])
        expect(row).to_contain_text("raises" if reason["contribution"] > 0 else "lowers")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(name).to_be_focused()


# ---------------------------------------------------------------- whom to contact


def test_the_threshold_moves_by_keyboard_and_the_counts_with_it(page: Page, morning: httpx.Client) -> None:
    curve = asked(morning, "/profit")
    points = curve["points"]
    at = next(i for i, point in enumerate(points) if point["threshold"] == curve["threshold"])
    page.goto(str(morning.base_url))
    expect(page.locator("#people")).to_have_text(str(points[at]["customers"]))
    page.locator("#threshold").press("ArrowLeft")
    page.locator("#threshold").press("ArrowLeft")
    expect(page.locator("#people")).to_have_text(str(points[at - 2]["customers"]))
    assert f"{points[at - 2]['customers']} people" in (page.locator("#threshold").get_attribute("aria-valuetext") or "")
    page.locator("#threshold").press("Home")
    expect(page.locator("#people")).to_have_text(str(CUSTOMERS))
    page.click("#to-best")
    best = max(points, key=lambda point: point["expected_profit"])
    expect(page.locator("#people")).to_have_text(str(best["customers"]))
    expect(page.locator("#profit-of")).to_have_text("the most that is possible")
    expect(page.locator("#profit-chart svg.main-svg").first).to_be_visible()


def test_other_costs_move_the_profit_without_asking_again(page: Page, morning: httpx.Client) -> None:
    curve = asked(morning, "/profit")
    point = next(p for p in curve["points"] if p["threshold"] == curve["threshold"])
    page.goto(str(morning.base_url))
    expect(page.locator("#cost")).to_have_value("50")
    page.fill("#cost", "20")
    page.fill("#success", "50")
    profit = 0.5 * 200 * point["expected_leavers"] - 20 * point["customers"]
    digits = 1 if abs(profit) < 1000 else 0
    expect(page.locator("#profit-now")).to_have_text(f"{profit:,.{digits}f}".replace("-", "−"))
    page.fill("#success", "150")
    expect(page.locator("#profit-fault")).to_be_visible()
    page.click("#profit-reset")
    expect(page.locator("#success")).to_have_value("75")
    expect(page.locator("#profit-fault")).to_be_hidden()


# ---------------------------------------------------------------- what if


def test_score_and_reasons_follow_a_slider(page: Page, morning: httpx.Client, first_models: Models) -> None:
    page.goto(str(morning.base_url))
    expect(page.locator("#gauge .at")).to_have_text(f"threshold {first_models.core.threshold * 100:.3g}\u00a0%")
    before = page.locator("#probability").inner_text()
    slider = page.get_by_label("Last seen, slider")
    slider.press("End")
    expect(page.locator("#time_since_last_activity")).to_have_value("100")
    expect(page.locator("#result-reasons")).to_contain_text("100 days since the last visit")
    expect(page.locator("#probability")).not_to_have_text(before)
    expect(page.locator("#verdict")).to_contain_text("contact this customer")
    expect(page.locator("#result-model")).to_have_text("Scored by the core model of version 1.")
    page.fill("#total_sessions", "20")
    expect(page.locator("#avg_songs_per_session")).to_have_value("5")
    page.fill("#time_since_last_activity", "7,5")
    expect(page.locator("#result-reasons")).to_contain_text("7.5 days since the last visit")
    assert page.locator(".field").count() == len(NAMES)
    page.get_by_role("button", name="Start again").click()
    expect(page.locator("#probability")).to_have_text(before)


def test_while_it_is_dragged_one_question_is_asked_at_a_time_and_the_last_value_wins(
    page: Page, morning: httpx.Client
) -> None:
    recency = next(f for f in FEATURES if f.name == "time_since_last_activity")
    at_work: list[int] = [0]
    most: list[int] = [0]

    def begun(request: Any) -> None:
        if "/explain" in request.url:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])

    page.on("request", begun)
    page.on("requestfinished", lambda r: at_work.__setitem__(0, at_work[0] - ("/explain" in r.url)))
    page.goto(str(morning.base_url))
    expect(page.locator("#probability")).to_contain_text("%")
    slider = page.get_by_label("Last seen, slider")
    slider.press("Home")
    for _ in range(60):
        slider.press("ArrowRight")
    days = float(page.locator("#time_since_last_activity").input_value())
    expect(page.locator("#result-reasons")).to_contain_text(recency.said(days))
    assert most == [1]


def test_a_fault_is_shown_beside_its_field(page: Page, morning: httpx.Client) -> None:
    page.goto(str(morning.base_url))
    expect(page.locator("#probability")).to_contain_text("%")
    page.fill("#total_sessions", "-3")
    page.fill("#thumbs_up_count", "ten")
    expect(page.locator("#total_sessions-fault")).to_contain_text("whole number from 0")
    expect(page.locator("#thumbs_up_count-fault")).to_be_visible()
    expect(page.locator("#total_sessions")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#result-error")).to_have_text("2 fields need a look.")
    page.fill("#total_sessions", "3")
    expect(page.locator("#total_sessions-fault")).to_be_hidden()
    expect(page.locator("#result-error")).to_have_text("1 field needs a look.")


# ---------------------------------------------------------------- the model


def test_the_model_is_shown_with_intervals_calibration_drift_and_outcomes(page: Page, morning: httpx.Client) -> None:
    known = asked(morning, "/model/evaluation")
    page.goto(str(morning.base_url))
    expect(page.locator("#health-text")).to_have_text("Healthy, version 1")
    roc_auc = known["metrics"]["roc_auc"]
    shown = page.locator("#metrics li").first
    expect(shown).to_contain_text(f"{roc_auc['value']:.3f}")
    expect(shown).to_contain_text(f"{roc_auc['low']:.3f} to {roc_auc['high']:.3f}")
    expect(page.locator("#facts")).to_contain_text(f"on {len(FEATURES)} features; the form above uses {len(NAMES)}")
    for chart in ("calibration", "performance"):
        page.locator(f"#{chart}-chart").scroll_into_view_if_needed()
        expect(page.locator(f"#{chart}-chart svg.main-svg").first).to_be_visible()
    expect(page.locator("#calibration-chart .point")).to_have_count(len(known["calibration"]))
    expect(page.locator("#verdicts .verdict-card")).to_have_count(3)
    expect(page.locator("#verdicts [data-state=alarm]")).to_contain_text("More cancel than expected", ignore_case=True)
    states = page.locator("#drift-strip span").evaluate_all("all => all.map(night => night.dataset.state)")
    assert states == ["quiet-night", "alarm", "none", "quiet-night", "quiet-night"]
    expect(page.locator("#alarms")).to_contain_text("sessions begun in the last 7 days")
    expect(page.locator("#performance-said")).to_contain_text("0.740 (0.700 to 0.780), expected 0.750")
    page.get_by_text("What the hold-out really earned").click()
    expect(page.locator("#evidence-chart svg.main-svg").first).to_be_visible()


def test_what_is_not_known_yet_is_said(page: Page, client: httpx.Client) -> None:
    page.goto(str(client.base_url))
    expect(page.locator("#performance-empty")).to_contain_text("Needs a horizon to pass")
    expect(page.locator("#drift-empty")).to_be_visible()
    expect(page.locator("#calibration-empty")).to_be_visible()
    expect(page.locator("#metrics")).to_contain_text("no interval stored")
    expect(page.locator("#profit-notice")).to_contain_text("No scores yet")


# ---------------------------------------------------------------- all of it


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_window(browser: Browser, morning: httpx.Client, tmp_path: Path, scheme: Any, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.goto(str(morning.base_url))
    expect(page.locator("#probability")).to_contain_text("%")
    for part in ("tonight", "contact", "what-if", "model"):
        page.locator(f"#{part}").scroll_into_view_if_needed()
    for chart in ("profit", "calibration", "performance"):
        page.locator(f"#{chart}-chart").scroll_into_view_if_needed()
        expect(page.locator(f"#{chart}-chart svg.main-svg").first).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=tmp_path / f"page-{width}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator("[data-customer]").first.click()
    expect(page.locator("#customer .bars li").first).to_be_visible()
    page.screenshot(path=tmp_path / f"customer-{width}-{scheme}.png")
    page.close()


def test_without_model_or_scores_it_says_so_and_catches_up(
    page: Page, platform: Platform, first_models: Models
) -> None:
    with running(platform.settings) as client:
        page.goto(str(client.base_url))
        expect(page.locator("#health-text")).to_have_text("Waiting for a model")
        expect(page.locator("#model-notice")).to_contain_text("No model yet")
        expect(page.locator("#list-notice")).to_contain_text("No scores yet")
        expect(page.locator("#result-error")).to_contain_text("no model yet")
        platform.promote(first_models)
        platform.publish(TODAY, [0.2, 0.8])
        expect(page.locator("#health-text")).to_have_text("Healthy, version 1")
        expect(page.locator("#rows tr")).to_have_count(2)
        expect(page.locator("#rows tr").first).to_contain_text("80.0\u00a0%")
        expect(page.locator("#probability")).to_contain_text("%")
    expect(page.locator("#health-text")).to_have_text("API away")
    page.get_by_label("Last seen, slider").press("End")
    expect(page.locator("#result-error")).to_contain_text("does not answer")
    expect(page.locator("#rows tr")).to_have_count(2)


def test_old_scores_are_called_old(page: Page, scored: Platform) -> None:
    scored.publish(date(2024, 1, 1), [0.2, 0.8])
    with running(scored.settings) as client:
        page.goto(str(client.base_url))
        expect(page.locator("#list-notice")).to_contain_text("days old")


def test_it_asks_for_the_key_and_says_when_it_is_wrong(page: Page, night: Platform) -> None:
    key = new_key()
    with running(night.settings.model_copy(update={"api_keys": (key.digest,)})) as client:
        page.goto(str(client.base_url))
        dialog = page.get_by_role("dialog", name="API key")
        expect(page.get_by_label("Key", exact=True)).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#health-text")).to_have_text("Key needed")
        page.get_by_role("button", name="Enter API key").click()
        page.get_by_label("Key", exact=True).fill("not the key")
        page.keyboard.press("Enter")
        expect(page.locator("#key-fault")).to_have_text("The service did not accept that key.")
        page.get_by_label("Key", exact=True).fill(key.key)
        page.get_by_role("button", name="Continue").click()
        expect(dialog).to_be_hidden()
        expect(page.locator("#rows tr")).to_have_count(20)
        expect(page.locator("#probability")).to_contain_text("%")
        with page.expect_download() as download:
            page.click("#export")
        assert download.value.suggested_filename == f"churn-{TODAY}.csv"
        page.reload()
        expect(page.locator("#rows tr")).to_have_count(20)
        expect(dialog).to_be_hidden()


def test_the_charts_script_is_packed_and_kept(morning: httpx.Client) -> None:
    packed = morning.get("/static/plotly.min.js")
    assert packed.headers["content-encoding"] == "gzip" and "max-age" in packed.headers["cache-control"]
    assert "plotly.js v" in packed.text[:200]
    assert int(packed.headers["content-length"]) < len(packed.content) / 3
    again = morning.get("/static/plotly.min.js", headers={"If-None-Match": packed.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert morning.get("/static/plotly.min.js", headers={"Accept-Encoding": "identity"}).text == packed.text


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_works_offline(page: Page, client: httpx.Client, path: str) -> None:
    page.goto(f"{client.base_url}{path}")
    expect(page.get_by_text("/api/churn/predict").first).to_be_visible(timeout=15_000)
