"""Takes the documentation's picture of the studio, in the browser that this machine has.

Run it:  fusionkit run panorama --seeds 4-6 --set steps=8 -o FOLDER/
         python docs/make_studio_picture.py FOLDER

It opens the studio of the folder, picks `panorama-4.png`, and writes `docs/images/studio.webp`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import click
from PIL import Image

IMAGES = Path(__file__).resolve().parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
PICTURE = "panorama-4.png"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Take a picture of the studio of FOLDER."""
    from playwright.sync_api import expect, sync_playwright

    browser_file = next((path for each in BROWSERS if (path := shutil.which(each))), None)
    if not browser_file:
        raise click.ClickException(f"no browser to take pictures with: install one of {', '.join(BROWSERS)}")
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [sys.executable, "-m", "fusionkit", "studio", str(folder), "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as studio, sync_playwright() as playwright:
        assert studio.stdout is not None
        found = re.search(r"http\S+", studio.stdout.readline())
        assert found is not None
        browser = playwright.chromium.launch(executable_path=browser_file, args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 820})
        page.goto(found[0])
        page.get_by_role("button", name=PICTURE, exact=True).click(timeout=60_000)
        page.get_by_role("button", name="Use its recipe").click()
        expect(page.locator("#plan")).to_contain_text("passes", timeout=120_000)
        with Image.open(BytesIO(page.screenshot())) as seen:
            seen.convert("RGB").save(IMAGES / "studio.webp", quality=76, method=6)
        browser.close()
        studio.terminate()
    click.echo(IMAGES / "studio.webp")


if __name__ == "__main__":
    main()
