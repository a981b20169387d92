"""`make picture`: draw a digit on the page and on the site of a generated project, and keep both.

Needs the Chromium of the system; CHROMIUM names it where it is not at /usr/bin/chromium.
"""

import functools
import http.server
import math
import os
import subprocess
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from scripts.demo import TEMPLATE, generate, project_environment, serve, train

PICTURE = TEMPLATE / "docs/page.png"
PICTURE_OF_SITE = TEMPLATE / "docs/site.png"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
NUM_POINTS = 60
BARS_AT_REST = "() => document.getAnimations().length === 0"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = generate(Path(folder))
        train(project)
        with serve(project, "development") as service, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            picture(browser, service.url, PICTURE)
            make_site = ["make", "site"]
            subprocess.run(make_site, cwd=project, env=project_environment(), check=True)
            folder_of_site = str(project / "build/site")
            handler = functools.partial(
                http.server.SimpleHTTPRequestHandler, directory=folder_of_site
            )
            with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
                threading.Thread(target=server.serve_forever, daemon=True).start()
                picture(browser, f"http://127.0.0.1:{server.server_port}", PICTURE_OF_SITE)
                server.shutdown()
            browser.close()


def picture(browser: Browser, url: str, file: Path) -> None:
    """Draw on a page, wait for its prediction, and keep what one sees first."""
    page = browser.new_page(viewport={"width": 1080, "height": 900}, device_scale_factor=1.5)
    page.goto(url)
    page.get_by_text("ready", exact=True).wait_for()
    draw_three(page)
    page.wait_for_selector("#answer:not(.empty)")
    page.wait_for_function(BARS_AT_REST)
    page.screenshot(path=file)
    page.close()
    print(f"{file.relative_to(TEMPLATE)} written")


def draw_three(page: Page) -> None:
    """Draw the digit 3 with the mouse: two arcs, one above the other."""
    box = page.locator("#pad").bounding_box()
    assert box is not None
    radius = 0.17 * box["height"]
    centre = box["x"] + 0.47 * box["width"]
    points = [
        (
            centre + radius * math.sin(angle),
            box["y"] + box["height"] * middle - radius * math.cos(angle),
        )
        for middle in (0.32, 0.66)
        for angle in (math.radians(-60 + 225 * step / NUM_POINTS) for step in range(NUM_POINTS))
        if middle < 0.5 or angle > math.radians(15)
    ]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()


if __name__ == "__main__":
    main()
