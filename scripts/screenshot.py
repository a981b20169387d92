"""`make picture`: draw a digit on the page of a generated project, and keep what one sees.

Needs the Chromium of the system; CHROMIUM names it where it is not at /usr/bin/chromium.
"""

import math
import os
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from scripts.demo import TEMPLATE, generate, serve, train

PICTURE = TEMPLATE / "docs/page.png"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
NUM_POINTS = 60
BARS_AT_REST = "() => document.getAnimations().length === 0"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = generate(Path(folder))
        train(project)
        with serve(project, "development") as service, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(
                viewport={"width": 1080, "height": 900}, device_scale_factor=1.5
            )
            page.goto(service.url)
            draw_three(page)
            page.wait_for_selector("#answer:not(.empty)")
            page.wait_for_function(BARS_AT_REST)
            page.screenshot(path=PICTURE)
            browser.close()
    print(f"{PICTURE.relative_to(TEMPLATE)} written")


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
