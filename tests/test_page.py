"""The page in a real Chromium, as people use it: by mouse, by keyboard, on a telephone."""

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
)

from scripts.screenshot import draw_three

from .bakes import Bake
from .servers import serve

WRITE_SECONDS = 60
SERIOUS = {"serious", "critical"}

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]
expect.set_options(timeout=60_000)  # ms; the five seconds of its default can pass on a busy machine


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "predictions.db"


@pytest.fixture(scope="module")
def url(demo: Bake, database: Path) -> Iterator[str]:
    """Where a trained project's service answers."""
    with serve(demo, demo.path / ".venv", DATABASE_URL=f"sqlite:///{database}") as client:
        yield str(client.base_url)


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The page, loaded; fails where it asks another host, or the console shows an error."""
    context = browser.new_context()
    errors: list[str] = []
    hosts: set[str] = set()
    page = context.new_page()

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    opened(page, url)
    yield page
    context.close()
    assert errors == []
    assert hosts - {""} == {urlsplit(url).netloc}  # a blob of the page's own has no host


def opened(page: Page, url: str) -> Page:
    """Open the page, and wait until it shows the model and images to try."""
    page.goto(url)
    expect(page.locator("#status")).to_have_text("ready")
    expect(page.locator("#samples button").first).to_be_visible()
    return page


def test_a_drawn_digit_is_recognised_and_feedback_on_it_is_kept(page: Page, database: Path) -> None:
    draw_three(page)
    expect(page.locator("#label")).to_have_text("3")
    page.get_by_role("button", name="This is wrong").click()
    page.get_by_label("The right label is").select_option("8")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#thanks")).to_contain_text("Thank you")
    assert kept_feedback(database) == [("3", "8", True)]


def kept_feedback(database: Path) -> list[tuple[str, str, bool]]:
    """The predicted and the corrected label, and whether the image was kept, once written."""
    query = (
        "SELECT predictions.label, feedback.label, length(image) > 0 FROM feedback"
        " JOIN predictions ON predictions.id = prediction_id"
    )
    deadline = time.monotonic() + WRITE_SECONDS
    with contextlib.closing(sqlite3.connect(database)) as connection:
        while time.monotonic() < deadline:
            with contextlib.suppress(sqlite3.OperationalError):  # the first row makes the tables
                if rows := connection.execute(query).fetchall():
                    return rows
            time.sleep(0.1)
    pytest.fail("the feedback is not in the database")


def test_a_sample_is_classified_by_keyboard_alone(page: Page) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#samples') !== null"):
            break
    label = page.evaluate("document.activeElement.title")
    page.keyboard.press("Enter")
    expect(page.locator("#label")).to_have_text(label)
    expect(page.locator("#bars .best")).to_contain_text(label)


def test_a_file_that_is_no_picture_gets_a_sentence(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "text.png"
    file.write_text("no image")
    with contextlib.closing(browser.new_context()) as context:
        page = opened(context.new_page(), url)
        page.locator("#file").set_input_files(file)
        expect(page.locator("#error")).to_have_text(re.compile(r"\w+ \w+"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1080, 360])
def test_axe_has_no_serious_finding_and_nothing_is_cut_off(
    scheme: str, width: int, browser: Browser, url: str, axe: Path
) -> None:
    context = context_of(browser, scheme, width)
    page = opened(context.new_page(), url)
    draw_three(page)
    expect(page.get_by_role("button", name="This is wrong")).to_be_visible()
    page.wait_for_function("() => document.getAnimations().length === 0")
    page.add_script_tag(path=axe)
    findings = page.evaluate("axe.run()")["violations"]
    assert [finding["help"] for finding in findings if finding["impact"] in SERIOUS] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def context_of(browser: Browser, scheme: str, width: int) -> BrowserContext:
    """A window that the auditor's script may be put into."""
    return browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 900},
        bypass_csp=True,
    )
