"""The page in a real browser."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from churn.core.features import FEATURES
from churn.io.registry import Models
from tests.serving.conftest import NAMES, Platform, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
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


def test_a_customer_is_scored_from_the_form(page: Page, client: httpx.Client, first_models: Models) -> None:
    page.goto(str(client.base_url))
    page.fill("#time_since_last_activity", "7,5")
    page.fill("#total_sessions", "20")
    expect(page.locator("#avg_songs_per_session")).to_have_value("5")
    page.click("#submit")
    expect(page.locator("#probability")).to_contain_text("%")
    expect(page.locator("#verdict")).to_contain_text("contact")
    expect(page.locator("#gauge-threshold")).to_have_text(f"threshold {first_models.core.threshold * 100:.3g} %")
    expect(page.locator("#result-model")).to_have_text("Scored by the core model of version 1.")
    expect(page.locator("#facts")).to_contain_text(f"on {len(FEATURES)} features; the form above uses {len(NAMES)}")
    assert page.locator(".field").count() == len(NAMES)
    expect(page.locator("#health-text")).to_have_text("Healthy, version 1")
    assert page.locator(".tile").count() == 6


def test_a_fault_is_shown_beside_its_field(page: Page, client: httpx.Client) -> None:
    page.goto(str(client.base_url))
    page.fill("#total_sessions", "-3")
    page.fill("#thumbs_up_count", "ten")
    page.click("#submit")
    expect(page.locator("#total_sessions-fault")).to_contain_text("whole number from 0")
    expect(page.locator("#thumbs_up_count-fault")).to_be_visible()
    expect(page.locator("#total_sessions")).to_be_focused()
    expect(page.locator("#result-error")).to_have_text("2 fields need a look.")
    page.fill("#total_sessions", "3")
    expect(page.locator("#total_sessions-fault")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Browser, client: httpx.Client, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(str(client.base_url))
    page.click("#submit")
    expect(page.locator("#probability")).to_contain_text("%")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()


def test_without_model_or_scores_it_says_so_and_catches_up(
    page: Page, platform: Platform, first_models: Models
) -> None:
    with running(platform.settings) as client:
        page.goto(str(client.base_url))
        expect(page.locator("#health-text")).to_have_text("Waiting for a model")
        expect(page.locator("#model-notice")).to_contain_text("No model yet")
        expect(page.locator("#list-notice")).to_contain_text("No scores yet")
        page.click("#submit")
        expect(page.locator("#result-error")).to_contain_text("no model yet")
        platform.promote(first_models)
        platform.publish(datetime.now(UTC).date(), [0.2, 0.8])
        expect(page.locator("#health-text")).to_have_text("Healthy, version 1", timeout=15_000)
        expect(page.locator("#rows tr")).to_have_count(2, timeout=15_000)
        expect(page.locator("#rows tr").first).to_contain_text("80.0 %")
    expect(page.locator("#health-text")).to_have_text("API away", timeout=15_000)
    page.click("#submit")
    expect(page.locator("#result-error")).to_contain_text("does not answer")
    expect(page.locator("#rows tr")).to_have_count(2)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_works_offline(page: Page, client: httpx.Client, path: str) -> None:
    page.goto(f"{client.base_url}{path}")
    expect(page.get_by_text("/api/churn/predict").first).to_be_visible(timeout=15_000)
