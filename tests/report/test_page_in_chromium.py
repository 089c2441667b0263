"""The page in a real browser: what a person sees and does."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from microjoule.report.page import report
from tests.report.samples import records
from tests.report.test_page import HOSTILE

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return report(records(), tmp_path_factory.mktemp("report") / "report.html", title=f"A run {HOSTILE}")


@pytest.fixture
def page(browser, path):
    """The page, opened; whatever it complains about or asks for fails the test."""
    context = browser.new_context(color_scheme="light", viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(path.as_uri())
    opened.wait_for_selector("#plot-errors .main-svg")
    yield opened
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]


def column(page, table, index):
    return page.locator(f"{table} tbody tr > :nth-child({index})").all_inner_texts()


def head(page, name):
    return page.locator("#layers thead th", has=page.get_by_role("button", name=name))


@pytest.mark.slow
def test_every_plot_is_drawn(page):
    plots = page.locator(".plot")
    assert plots.count() == 16
    for plot in plots.all():
        assert plot.locator(".main-svg").count() > 0
        assert plot.bounding_box()["width"] > 900


@pytest.mark.slow
def test_names_from_a_model_run_nothing(page):
    assert page.evaluate("window.broken") is None
    assert page.locator("h1").inner_text().startswith("A run </script>")


@pytest.mark.slow
def test_a_click_sorts_by_number_and_another_turns_it_round(page):
    page.get_by_role("button", name="parameters").click()
    found = [int(text.replace(",", "")) for text in column(page, "#layers", 4)]
    assert found == sorted(found, reverse=True)
    assert head(page, "parameters").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="parameters").click()
    assert [int(text.replace(",", "")) for text in column(page, "#layers", 4)] == sorted(found)
    assert head(page, "parameters").get_attribute("aria-sort") == "ascending"


@pytest.mark.slow
def test_the_keyboard_sorts_too_and_one_column_is_sorted_at_a_time(page):
    page.get_by_role("button", name="parameters").click()
    page.locator("#layers thead button").first.focus()
    page.keyboard.press("Enter")
    names = column(page, "#layers", 1)
    assert names[0].startswith("blocks.1")
    assert names[-1] == "stem.conv"
    assert head(page, "parameters").get_attribute("aria-sort") == "none"


@pytest.mark.slow
def test_a_missing_value_stays_last(page):
    for _ in range(2):
        page.locator("#accuracy").get_by_role("button", name="to FP32").click()
        assert column(page, "#accuracy", 3)[-1] == "–"


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.mark.slow
def test_the_theme_toggles_and_the_plots_follow(page):
    colour = "document.querySelector('#plot-errors .ytick text').style.fill"
    light, light_text = background(page), page.evaluate(colour)
    toggle = page.get_by_role("button", name="Dark theme")
    assert toggle.get_attribute("aria-pressed") == "false"
    toggle.click()
    assert toggle.get_attribute("aria-pressed") == "true"
    assert background(page) != light
    assert page.evaluate(colour) != light_text
    toggle.click()
    assert background(page) == light
    assert page.evaluate(colour) == light_text


@pytest.mark.slow
def test_a_dark_system_gives_a_dark_page(page):
    light = background(page)
    page.emulate_media(color_scheme="dark")
    assert background(page) != light


@pytest.mark.slow
def test_choosing_a_layer_draws_it(page):
    heading = page.locator("#plot-weights .annotation").first
    assert "51×" in heading.text_content()
    page.get_by_label("Layer", exact=True).select_option(index=0)
    assert "51×" not in heading.text_content()


@pytest.mark.slow
def test_a_step_opens_and_says_what_was_skipped(page):
    reason = page.get_by_text("the target computes it in floating point")
    assert not reason.is_visible()
    page.get_by_text("Placed quantizers").click()
    assert reason.is_visible()


@pytest.mark.slow
def test_it_prints_and_is_as_before_afterwards(page, tmp_path):
    page.get_by_role("button", name="Dark theme").click()
    dark = background(page)
    page.pdf(path=tmp_path / "x.pdf")
    assert (tmp_path / "x.pdf").stat().st_size > 50_000
    assert background(page) == dark
    assert page.locator("details[open]").count() == 0


@pytest.mark.slow
def test_a_telephone_scrolls_down_only(page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("document.querySelector('#plot-errors .main-svg').getBoundingClientRect().width < 390")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
