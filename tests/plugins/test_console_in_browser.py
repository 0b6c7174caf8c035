"""The console in a real browser, alone and inside Airflow's UI: light, dark, narrow, by keyboard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from churn.settings import Settings
from tests.plugins.lived import live

pytestmark = pytest.mark.slow
PAGES = ("", "model", "drift", "performance", "quality")
# Airflow's own frame says so of itself.
_OF_AIRFLOW = "can escape its sandboxing"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        found = started.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any, address: str, tokens: dict[str, str], client: Any, settings: Settings) -> Iterator[Any]:
    """Opens a window of a width and a scheme, logged in as op; in the end nothing was complained of."""
    live(settings)
    windows, complaints = [], []

    def said(message: Any) -> None:
        if message.type in ("error", "warning") and _OF_AIRFLOW not in message.text:
            complaints.append(message.text)

    def open_(width: int = 1280, scheme: str = "light") -> Any:
        window = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        window.add_cookies([{"name": "_token", "value": tokens["op"], "url": address}])
        windows.append(window)
        page = window.new_page()
        page.set_default_timeout(60_000)
        page.on("console", said)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request", lambda r: complaints.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None
        )
        return page

    yield open_
    for window in windows:
        window.close()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_fits_its_window_in_both_schemes(
    opened: Any, address: str, tmp_path: Path, scheme: str, width: int
) -> None:
    page = opened(width, scheme)
    for name in PAGES:
        page.goto(f"{address}/churn/{name}")
        page.screenshot(path=tmp_path / f"{name or 'overview'}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(ground) < 150) == (scheme == "dark")
        here = page.locator("nav [aria-current]").bounding_box()
        assert here["x"] >= 0
        assert here["x"] + here["width"] <= width + 1
        assert page.evaluate(_FAINT) == []


_FAINT = """() => {
  // Text that has less contrast to what is behind it than WCAG asks for (4.5).
  const parts = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = parts(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
  const found = new Set();
  for (const e of document.querySelectorAll("body *:not(svg *)")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.add(`${e.tagName}.${e.className}`);
  }
  return [...found];
}"""


def test_the_rest_of_the_map_is_a_key_away(opened: Any, address: str) -> None:
    page = opened()
    page.goto(f"{address}/churn/drift")
    rows = page.locator(".map tbody tr:visible")
    assert rows.count() == 20
    page.get_by_role("button", name="Show all 64 features").press("Enter")
    assert rows.count() == 64
    page.get_by_role("button", name="Show the first 20 only").press("Enter")
    assert rows.count() == 20


def test_airflow_shows_the_console_in_its_navigation_and_in_its_own_colours(opened: Any, address: str) -> None:
    page = opened(scheme="light")
    page.goto(address)
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.goto(address)
    page.get_by_role("link", name="Churn").click()
    frame = page.frame_locator("iframe[title=Churn]")
    frame.get_by_text("The last nights").wait_for()
    assert frame.locator("html").get_attribute("data-theme") == "dark"
    page.evaluate("document.documentElement.className = 'light'")
    frame.locator("html[data-theme=light]").wait_for()
    # A page of the console has an address of its own, in Airflow's line of addresses.
    frame.get_by_role("link", name="Drift", exact=True).click()
    frame.get_by_text("Features over the nights").wait_for()
    page.wait_for_url("**/plugin/churn_console/churn/drift")
    page.reload()
    frame.get_by_text("Features over the nights").wait_for()


def test_a_rollback_is_a_matter_of_the_keyboard_on_the_page_of_its_dag(opened: Any, address: str) -> None:
    page = opened()
    page.goto(f"{address}/dags/rollback_model/plugin/churn_dag")
    frame = page.frame_locator("iframe[title=Churn]")
    why = frame.get_by_label("Why")
    why.press("Enter")
    assert why.evaluate("e => e.matches(':invalid')")
    why.fill("too many calls")
    why.press("Enter")
    ask = frame.get_by_role("dialog")
    assert "too many calls" in ask.inner_text()
    frame.get_by_role("button", name="Cancel").press("Escape")
    assert ask.count() == 0
    frame.get_by_label("Version").select_option("1")
    why.press("Enter")
    with page.expect_response("**/churn/rollback") as answered:
        frame.get_by_role("button", name="Roll back", exact=True).press("Enter")
    assert answered.value.status == 202
    run = answered.value.json()["run_id"]
    assert answered.value.request.post_data_json == {"version": "1", "why": "too many calls"}
    frame.get_by_text("rollback_model is queued").wait_for()
    # The frame may not be left by itself; its link does so all the same.
    frame.get_by_role("link", name="The run in Airflow").click()
    page.wait_for_url("**/dags/rollback_model/runs/**")
    assert run.split("+")[0].split(":")[0] in page.url
