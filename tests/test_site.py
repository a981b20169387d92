"""`make site` in a real Chromium, from a subfolder of a static host, as on GitHub Pages."""

import base64
import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect

from benchmarks.site import compare, photographs
from scripts.screenshot import draw_three

from .bakes import SCRIPTS, Bake, activated
from .pictures import png
from .servers import http_folder
from .test_page import SERIOUS, context_of
from .test_pipeline import repro, small_bake

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]

SIZE_MB = 16
PYTHON = ".venv/bin/python"


@pytest.fixture(scope="module")
def site(demo: Bake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make site` writes."""
    project = demo.copy(tmp_path_factory.mktemp("site"))
    shutil.copytree(demo.path / "metrics", project.path / "metrics")
    project.run(".venv/bin/python", "-m", f"{project.package}.site.build")
    return project.path / "build/site"


@pytest.fixture(scope="module")
def url(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the site is, below another one."""
    root = tmp_path_factory.mktemp("host")
    (root / "project").symlink_to(site)
    with http_folder(root) as host:
        yield f"{host}/project/"


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The site, ready; fails where it asks another host, or the console shows an error."""
    errors: list[str] = []
    hosts: set[str] = set()

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(url)
        expect(page.locator("#status")).to_have_text("ready")
        yield page
    assert errors == []
    assert hosts - {""} == {urlsplit(url).netloc}


def test_it_is_small_and_nothing_in_it_is_missing(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < SIZE_MB * 1e6
    assert {"index.html", "model-card.html", "data-card.html"} <= {path.name for path in files}


def test_a_drawn_digit_is_recognised_in_the_browser(page: Page) -> None:
    draw_three(page)
    expect(page.locator("#label")).to_have_text("3")
    expect(page.locator("#progress")).to_be_hidden()


def test_a_sample_is_classified_by_keyboard_alone(page: Page) -> None:
    page.locator("#clear").focus()
    page.keyboard.press("Tab")
    label = page.evaluate("document.activeElement.title")
    page.keyboard.press("Enter")
    expect(page.locator("#label")).to_have_text(label)


def test_the_browser_predicts_what_the_service_does(page: Page, site: Path) -> None:
    project = site.parent.parent
    images = np.load(project / "data/prepared/test_images.npy")[:100]
    files = {f"{i:04}.png": png(pixels) for i, pixels in enumerate(images)}
    difference, num_other = compare(page, project, PYTHON, files)
    assert difference < 1e-3
    assert num_other == 0


def test_photographs_are_scaled_as_the_service_does_it(page: Page, site: Path) -> None:
    difference, num_other = compare(page, site.parent.parent, PYTHON, photographs(3))
    assert difference < 0.02  # decoders of JPEG differ by a shade
    assert num_other == 0


def test_a_bar_shows_how_much_of_the_model_has_arrived(browser: Browser, url: str) -> None:
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        held: list[Route] = []
        page.route("**/*.wasm", lambda route: held.append(route))
        page.goto(url)
        progress = page.locator("#progress")
        page.wait_for_function("() => document.getElementById('progress').value > 0")  # the model
        assert progress.evaluate("bar => bar.value < bar.max")
        expect(progress).to_be_visible()
        expect(page.locator("#status")).to_have_text("loading the model")
        held[0].continue_()
        expect(page.locator("#status")).to_have_text("ready")
        expect(progress).to_be_hidden()


def colours(name: str, number: int, size: tuple[int, int]) -> bytes:
    """A JPEG of smooth random colours, of which one is strong."""
    random = np.random.default_rng(number)
    patches = random.integers(0, 120, (6, 8, 3), dtype=np.uint8)
    patches[..., ["red", "green", "blue"].index(name)] += 120
    buffer = io.BytesIO()
    Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def own_site(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of a model of the user's own images, in two folders."""
    changes: dict[str, dict[str, object]] = {
        "prepare": {"image_size": 32},
        "train": {"epochs": 4, "crop_padding": 0},
    }
    project = small_bake(tmp_path_factory.mktemp("own"), "image-folder", changes)
    for name in ("blue", "red"):
        folder = project.path / "data/images" / name
        folder.mkdir(parents=True)
        for number in range(100):
            (folder / f"{number}.jpg").write_bytes(colours(name, number, (160, 120)))
    project.run("dvc", "add", "data/images", env=activated(environment, project))
    repro(project, environment)
    python = environment / SCRIPTS / "python"
    command = (python, "-m", f"{project.package}.site.build")
    project.run(*command, env=activated(environment, project))
    return project.path / "build/site"


def test_a_photograph_is_dropped_on_the_site_of_the_users_own_images(
    browser: Browser, own_site: Path
) -> None:
    drop = """async (image) => {
        const bytes = Uint8Array.from(atob(image), (byte) => byte.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], "holiday.jpg", { type: "image/jpeg" }));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true }));
    }"""
    with http_folder(own_site) as host, contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(host)
        expect(page.locator("#status")).to_have_text("ready")
        for name in ("red", "blue"):
            photograph = colours(name, 12345, (1600, 1200))
            page.evaluate(drop, base64.b64encode(photograph).decode())
            expect(page.locator("#label")).to_have_text(name)
        expect(page.locator("#resolution")).to_contain_text("32")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1080, 360])
def test_axe_has_no_serious_finding_and_nothing_is_cut_off(
    scheme: str, width: int, browser: Browser, url: str, axe: Path
) -> None:
    context = context_of(browser, scheme, width)
    for name in ("", "model-card.html"):
        page = context.new_page()
        page.goto(url + name)
        if not name:
            expect(page.locator("#status")).to_have_text("ready")
            draw_three(page)
        page.wait_for_function("() => document.getAnimations().length === 0")
        page.add_script_tag(path=axe)
        findings = page.evaluate("axe.run()")["violations"]
        assert [finding["help"] for finding in findings if finding["impact"] in SERIOUS] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_every_link_of_the_site_leads_somewhere(page: Page, url: str, site: Path) -> None:
    for name in [path.name for path in site.glob("*.html")]:
        page.goto(url + name)
        links = page.evaluate("[...document.links].map((link) => link.href)")
        images = page.evaluate("[...document.images].map((image) => image.src)")
        own = [link for link in (*links, *images) if link.startswith(url)]
        assert own
        for link in own:
            assert (site / urlsplit(link).path.split("/project/")[1]).exists(), link
