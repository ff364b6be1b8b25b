"""Takes the documentation's pictures of a comparison's page, in the browser that this machine has.

Run it:  fusionkit compare ... --out FOLDER
         python docs/make_page_picture.py FOLDER
         python docs/make_page_picture.py FOLDER --name evidence --open 3.0

It writes the page anew from the folder's report.json, and of the page `docs/images/NAME.webp` (its beginning),
`NAME-viewer.webp` (the pictures of one prompt and seed) and `NAME-slider.webp` (two of them under the slider).
"""

from __future__ import annotations

import json
import os
import shutil
from io import BytesIO
from pathlib import Path

import click
from PIL import Image

IMAGES = Path(__file__).resolve().parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
WINDOW = (1280, 800)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", default="comparison", show_default=True, help="What the pictures' names begin with.")
@click.option("--open", "row", metavar="PROMPT.SEED", help="The row in the viewer: the prompt's index and the seed.")
@click.option("--height", default=WINDOW[1], show_default=True, help="Height of the first picture, in pixels.")
def main(folder: Path, name: str, row: str | None, height: int) -> None:
    """Take pictures of the page of a comparison's FOLDER."""
    from playwright.sync_api import sync_playwright

    from fusionkit.comparison.page import make_thumbnails, write_page
    from fusionkit.comparison.written import Written

    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    write = Written(folder).write
    make_thumbnails(folder, report, write)
    page_file = write_page(folder, report, write)
    row = row or f"0.{report['seeds'][0]}"
    browser_file = next((path for each in BROWSERS if (path := shutil.which(each))), None)
    if not browser_file:
        raise click.ClickException(f"no browser to take pictures with: install one of {', '.join(BROWSERS)}")
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_file, args=arguments)
        for suffix, address in {"": "", "-viewer": f"open={row}", "-slider": f"open={row}&mode=slider"}.items():
            size = (WINDOW[0], WINDOW[1] if suffix else height)
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.goto(f"{page_file.resolve().as_uri()}#{address}")
            page.evaluate("() => Promise.all([...document.querySelectorAll('.full')].map(image => image.decode()))")
            target = IMAGES / f"{name}{suffix}.webp"
            with Image.open(BytesIO(page.screenshot())) as seen:
                seen.convert("RGB").save(target, quality=88, method=6)
            page.close()
            click.echo(target)
        browser.close()


if __name__ == "__main__":
    main()
