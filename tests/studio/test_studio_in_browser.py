"""The studio in a real browser: the whole way from an empty page to a picture, also by keyboard alone.

One studio and one tab serve all tests, which run in their order; the last ones end the studio and start it again.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from studio_served import Serve, Served

from fusionkit.pictures.metadata import read_metadata
from fusionkit.recipe.recipe_file import load_recipes

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

RECIPE = """\
name: sky
model: tinyworld/scenes
prompt: a photo of the sky at noon
size: 128x64
steps: 2
seed: 3
plugins:
  - multidiffusion: {stride: 32}
  - guided-fusion
"""


@pytest.fixture(scope="module")
def studio(browser: Browser, serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("studio")
    (folder / "sky.yaml").write_text(RECIPE)
    return serve(folder)


@pytest.fixture(scope="module")
def tab(browser: Browser, studio: Served) -> Page:
    made = browser.new_context().new_page()
    made.goto(f"{studio.address}/?token={studio.token}")
    assert made.url == f"{studio.address}/", "the token is in no address that is shown"
    return made


@pytest.fixture
def page(tab: Page, studio: Served) -> Iterator[Page]:
    """An empty page; in the end it must have been quiet, and have asked the studio alone."""
    said: list[str] = []
    asked: list[str] = []
    handlers: dict[Any, Any] = {
        "console": lambda message: said.append(f"{message.type}: {message.text}"),
        "pageerror": lambda error: said.append(f"error: {error}"),
        "request": lambda request: asked.append(request.url),
    }
    for name, handler in handlers.items():
        tab.on(name, handler)
    tab.set_viewport_size({"width": 1280, "height": 800})
    load(tab, studio)
    yield tab
    tab.evaluate("localStorage.clear()")
    tab.goto("about:blank")
    for name, handler in handlers.items():
        tab.remove_listener(name, handler)
    assert [each for each in said if "net::ERR_CONNECTION" not in each] == [], "but where a studio was ended"
    assert [url for url in asked if not url.startswith((studio.address, "data:", "about:", "blob:"))] == []


def load(page: Page, studio: Served) -> None:
    page.goto(studio.address)
    page.wait_for_selector("html[data-ready]")


def choose(page: Page, name: str) -> None:
    from playwright.sync_api import expect

    page.get_by_label("Start from").select_option(label=name)
    expect(page.locator("#plan")).to_contain_text("passes")


def drawn(page: Page, count: int) -> None:
    """Waits until so many pictures are there, and nothing is drawn."""
    from playwright.sync_api import expect

    expect(page.locator("#pictures button")).to_have_count(count, timeout=120_000)
    expect(page.locator("#progress")).to_be_hidden()


def card(page: Page, name: str) -> Locator:
    return page.locator("#plugins li.card").filter(has=page.locator("summary", has_text=re.compile(f"^{name}")))


def yaml(page: Page) -> str:
    return page.locator("#yaml-text").input_value()


def test_from_an_empty_page_to_a_picture_and_its_replay(page: Page, studio: Served) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#pictures")).to_have_text("None yet.")
    expect(page.locator("#plan")).to_have_text("Start from a recipe or a picture, or choose a model")
    expect(page.locator("#problems")).to_be_hidden()
    page.locator("#begin button", has_text="A city on the left and a forest on the right").click()
    expect(page.get_by_label("Start from")).to_have_value('{"recipe":"two-prompts-vista"}')
    expect(page.locator("#begin")).to_be_hidden()
    expect(page.locator("#plugins summary", has_text="regions")).to_be_visible()
    page.locator("#at-model").fill("tinyworld/scenes")
    expect(page.locator("#at-prompt")).to_have_attribute("placeholder", re.compile("^a landscape photo of mountains"))
    choose(page, "sky.yaml")
    expect(page.locator("#plan")).to_have_text(re.compile(r"^128x64 · 12 passes · \d+ MB of memory$"))
    page.get_by_label("prompt", exact=True).fill("a photo of a desert at noon")
    page.get_by_role("button", name="Draw", exact=True).click()
    drawn(page, 1)
    path = studio.folder / "sky-3.png"
    told = read_metadata(path)
    assert "prompt: a photo of a desert at noon" in told["recipe"]
    image = page.locator(".paper img").first
    assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [128, 64]
    expect(page.locator(".chosen .name")).to_contain_text("seed 3")
    # Its recipe makes the same picture again.
    expect(page.locator("#plan")).to_contain_text("about")
    page.get_by_label("preset", exact=True).select_option("fast")
    expect(page.locator("#yaml-text")).to_have_value(re.compile("^preset: fast$", re.MULTILINE))
    page.get_by_role("button", name="Use its recipe").click()
    expect(page.get_by_label("preset", exact=True)).to_have_value("")
    page.get_by_label("steps", exact=True).fill("1")
    page.wait_for_timeout(1100)  # what is typed within a second is one change
    page.get_by_role("button", name="Use its recipe").click()
    expect(page.get_by_label("steps", exact=True)).to_have_value("2")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("steps", exact=True)).to_have_value("1")
    page.get_by_role("button", name="Use its recipe").click()
    expect(page.get_by_label("steps", exact=True)).to_have_value("2")
    page.get_by_role("button", name="Draw", exact=True).click()
    drawn(page, 2)
    assert read_metadata(studio.folder / "sky-3-2.png")["latents"] == told["latents"]


def test_plugins_are_cards_that_are_added_moved_and_removed(page: Page, studio: Served) -> None:
    from playwright.sync_api import expect

    choose(page, "sky.yaml")
    page.get_by_label("Add a plugin").select_option("sky-and-sea")
    expect(page.locator("#add-about")).to_have_text(
        "Give the views above the horizon one prompt, and the views below it another."
    )
    page.get_by_role("button", name="Add", exact=True).click()
    theirs = card(page, "sky-and-sea")
    expect(theirs).to_contain_text("of the package fusionkit-sky-and-sea")
    theirs.get_by_label("above", exact=True).fill("a photo of the sky at dusk")
    slider = theirs.get_by_role("slider", name="horizon, as a slider")
    assert [slider.get_attribute(each) for each in ("min", "max")] == ["0", "1"]
    slider.fill("0.25")
    expect(theirs.get_by_label("horizon", exact=True)).to_have_value("0.25")
    theirs.get_by_role("button", name="Move sky-and-sea up").click()
    card(page, "multidiffusion").get_by_role("button", name="Remove multidiffusion").click()
    expect(page.locator("#yaml-text")).to_have_value(re.compile("horizon: 0.25"))
    assert yaml(page).partition("plugins:\n")[2] == (
        "  - sky-and-sea:\n      above: a photo of the sky at dusk\n      horizon: 0.25\n  - guided-fusion\n"
    )


def test_mistakes_are_at_their_controls(page: Page, studio: Served) -> None:
    from playwright.sync_api import expect

    choose(page, "sky.yaml")
    steps = page.get_by_label("steps", exact=True)
    steps.fill("0")
    card(page, "multidiffusion").locator("summary").click()
    page.get_by_label("jitter", exact=True).fill("-1")
    expect(page.locator("#plan")).to_have_text("2 things are to mend")
    expect(steps).to_have_attribute("aria-invalid", "true")
    expect(steps).to_have_accessible_description(re.compile("'steps' must be at least 1, not 0"))
    expect(page.get_by_label("jitter", exact=True)).to_have_accessible_description(re.compile("must be at least 0"))
    expect(card(page, "multidiffusion").locator("details")).to_have_attribute("data-wrong-inside", "")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(steps).to_be_focused()
    steps.fill("2")
    page.get_by_label("jitter", exact=True).fill("")
    expect(page.locator("#plan")).to_contain_text("12 passes")
    assert page.locator("[aria-invalid]").count() == 0


def drag(page: Page, *shares: tuple[float, float]) -> None:
    """Drags the pointer over the picture, by shares of it."""
    box = page.locator(".layer").bounding_box()
    assert box is not None
    for number, (x, y) in enumerate(shares):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def test_boxes_and_masks_are_drawn_on_the_picture(page: Page, studio: Served) -> None:
    from playwright.sync_api import expect

    choose(page, "sky.yaml")
    page.get_by_label("Add a plugin").select_option("regions")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("A name for a new entry of boxes").fill("left")
    page.get_by_label("A name for a new entry of boxes").press("Enter")
    drag(page, (0, 0), (0.3, 0.5), (0.5, 1))
    page.locator("[id='at-plugins.2.regions.boxes.left.prompt']").fill("a photo of a desert at noon")
    expect(page.locator("#yaml-text")).to_have_value(re.compile(r"box:\n +- 0\n +- 0\n +- 64\n +- 64\n"))
    expect(page.locator(".boxes .box")).to_have_text("left")
    page.get_by_label("A name for a new entry of masks").fill("right")
    page.get_by_role("button", name="Add to masks").click()
    page.get_by_role("button", name="Paint").click()
    drag(page, (0.75, 0.2), (0.75, 0.9))
    page.get_by_role("button", name="Take it").click()
    expect(page.locator("[id='at-plugins.2.regions.masks.right.mask']")).to_have_value("mask-right.png")
    page.locator("[id='at-plugins.2.regions.masks.right.prompt']").fill("a photo of the sea at noon")
    with Image.open(studio.folder / "mask-right.png") as mask:
        assert mask.size == (128, 64)
        assert [mask.convert("L").getpixel(at) for at in ((96, 32), (20, 32))] == [255, 0]
    expect(page.locator("#plan")).to_contain_text("passes")
    before = page.locator("#pictures button").count()
    page.get_by_role("button", name="Draw", exact=True).click()
    drawn(page, before + 1)
    page.get_by_label("Map over the picture").select_option("regions")
    expect(page.locator(".legend")).to_be_visible()
    overlay, picture, legend = (page.locator(each).bounding_box() for each in (".map", ".paper", ".legend"))
    assert overlay is not None
    assert picture is not None
    assert legend is not None
    assert overlay["width"] == pytest.approx(picture["width"], abs=1)
    assert overlay["height"] == pytest.approx(picture["height"] + legend["height"], abs=2)


def test_one_of_nine_is_picked_and_drawn_larger(page: Page, studio: Served) -> None:
    from playwright.sync_api import expect

    choose(page, "sky.yaml")
    page.get_by_label("size", exact=True).fill("64x64")
    expect(page.locator("#plan")).to_contain_text("64x64")
    before = page.locator("#pictures button").count()
    page.get_by_role("button", name="9 variants").click()
    drawn(page, before + 9)
    page.get_by_role("button", name="sky-7.png").click()
    expect(page.get_by_role("img", name="The picture sky-7.png")).to_be_visible()
    page.get_by_role("button", name="Draw it larger").click()
    drawn(page, before + 10)
    with Image.open(studio.folder / "sky-7-2.png") as larger, Image.open(studio.folder / "sky-7.png") as picked:
        assert (picked.size, larger.size) == ((64, 64), (128, 128))
    expect(card(page, "progressive-upscaling").get_by_label("times", exact=True)).to_have_value("2")


def test_pictures_are_compared_removed_and_put_back(page: Page, studio: Served) -> None:
    from playwright.sync_api import expect

    before = page.locator("#pictures button").count()
    page.get_by_role("button", name="sky-8.png").click()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="sky-9.png").click()
    expect(page.locator(".split")).to_have_text("sky-8.pngsky-9.png")
    divider = page.get_by_role("slider", name="Divider between the two pictures")
    divider.fill("25")
    assert page.locator(".other").evaluate("other => getComputedStyle(other).clipPath") == "inset(0px 0px 0px 25%)"
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".split")).to_be_hidden()
    picture = studio.folder / "sky-8.png"
    told = picture.read_bytes()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#pictures button")).to_have_count(before - 1)
    assert (picture.exists(), (studio.folder / "removed" / "sky-8.png").read_bytes()) == (False, told)
    expect(page.locator(".chosen .name")).to_contain_text("sky-7.png")
    page.get_by_role("button", name="sky-9.png").press("Delete")
    expect(page.locator("#pictures button")).to_have_count(before - 2)
    expect(page.get_by_role("button", name="sky-7.png")).to_be_focused()
    expect(page.locator("#removed")).to_contain_text("sky-9.png is in the folder 'removed'.")
    page.get_by_role("button", name="Put it back").click()
    expect(page.get_by_role("img", name="The picture sky-9.png")).to_be_visible()
    expect(page.locator("#pictures button")).to_have_count(before - 1)


def test_the_recipe_is_read_and_saved_as_yaml(page: Page, studio: Served) -> None:
    from playwright.sync_api import expect

    page.locator("summary", has_text="YAML").click()
    text = page.get_by_label("The recipe as YAML")
    text.fill("model: tinyworld/scenes\nsteps: 1\nsteps: 2\n")
    page.get_by_role("button", name="Use this text").click()
    expect(page.locator("#yaml-problems")).to_have_text("line:3:1: 'steps' is given twice")
    text.fill("name: mine\nextends: sky.yaml\nsteps: 5\n")
    page.get_by_role("button", name="Use this text").click()
    expect(page.get_by_label("steps", exact=True)).to_have_value("5")
    expect(page.locator("#plugins li")).to_have_count(2)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#yaml-said")).to_have_text("saved as mine.yaml")
    assert load_recipes(studio.folder / "mine.yaml")[0].steps == 5
    page.get_by_label("Start from").select_option(label="mine.yaml")
    page.locator("#load-file").set_input_files({"name": "x.yaml", "mimeType": "text/yaml", "buffer": RECIPE.encode()})
    expect(page.get_by_label("steps", exact=True)).to_have_value("2")


def test_a_telephone_and_a_keyboard_are_enough(page: Page, studio: Served) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 400, "height": 800})
    before = page.locator("#pictures button").count()

    def tab_to(label: str) -> None:
        for _ in range(120):
            page.keyboard.press("Tab")
            if page.evaluate(NAME) == label:
                return
        raise AssertionError(f"no way to '{label}' by Tab")

    tab_to("Start from")
    while page.evaluate("document.activeElement.selectedOptions[0].label") != "sky.yaml":
        page.keyboard.press("ArrowDown")
    expect(page.locator("#plan")).to_contain_text("12 passes")
    tab_to("steps")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("1")
    tab_to("guided-fusion")
    page.keyboard.press("Tab")
    assert page.evaluate(NAME) == "Move guided-fusion up"
    page.keyboard.press("Enter")
    expect(page.locator("#plugins summary").first).to_contain_text("guided-fusion")
    expect(page.locator("#plan")).to_contain_text("6 passes")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.keyboard.press("ControlOrMeta+Enter")
    drawn(page, before + 1)
    assert page.locator("#draw").bounding_box()["y"] < 800, "what draws is always there"
    nameless = page.evaluate(
        "name => [...document.querySelectorAll('input, select, textarea, button, summary, a')]"
        ".filter(each => each.checkVisibility() && !eval(name)(each)).map(each => each.outerHTML)",
        f"(element => {NAME_OF})",
    )
    assert nameless == []


NAME_OF = """(element.getAttribute('aria-label') ?? element.labels?.[0]?.firstChild?.textContent
    ?? (element.firstChild?.textContent || element.textContent)).trim()"""
NAME = f"(element => {NAME_OF})(document.activeElement)"


def test_a_stranger_can_ask_nothing(studio: Served) -> None:
    import urllib.error
    import urllib.request

    def code(path: str, cookie: str = studio.cookie, **headers: str) -> int:
        request = urllib.request.Request(f"{studio.address}{path}", headers={"Cookie": cookie, **headers})
        try:
            with urllib.request.urlopen(request) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert code("/") == 200
    for cookie in ("", studio.cookie[:-1], f"other={studio.token}"):
        for path in ("/", "/?token=", "/?token=x", "/page/page.js", "/api/about", f"/api/about?token={studio.token}"):
            assert code(path, cookie) == 403, path
    assert code("/", Host="evil.example") == 400
    assert code("/api/about", Origin="http://evil.example") == 403
    for path in (
        "/pictures/..%2F..%2Fetc%2Fpasswd",
        "/pictures/sky.yaml",
        "/pictures/removed%2Fsky-8.png",
        "/previews/..%2Ftoken",
        "/page/../server.py",
    ):
        assert code(path) == 404, path


def test_the_folder_is_one_studio_s(studio: Served) -> None:
    from warm import answered

    second = answered("studio", str(studio.folder), "--port", "0", "--no-browser")
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == f"another studio is open on '{studio.folder}'; close it, or give another folder\n"
    port = studio.address.rpartition(":")[2]
    taken = answered("studio", str(studio.folder.parent / "other"), "--port", port, "--no-browser")
    assert (taken.returncode, taken.stderr.startswith(f"port {port} can't be opened: ")) == (1, True)


def test_a_run_that_is_cancelled_is_forgotten_when_somebody_says_so_twice(page: Page, studio: Served) -> None:
    from playwright.sync_api import expect

    choose(page, "sky.yaml")
    page.get_by_label("steps", exact=True).fill("400")
    expect(page.locator("#plan")).to_contain_text("2,400 passes")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.locator("#step")).to_contain_text("left")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#jobs li")).to_contain_text("cancelled at")
    page.once("dialog", lambda asked: asked.dismiss())
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    page.once("dialog", lambda asked: asked.accept())
    page.get_by_role("button", name="Forget").click()
    expect(page.locator("#jobs li")).to_have_count(0)


def test_what_the_studio_writes_is_in_its_folder(studio: Served) -> None:
    others = {each.name for each in Path(studio.folder).iterdir() if not each.name.endswith((".png", ".yaml"))}
    assert others == {".studio", "removed"}


def test_a_reload_of_the_page_and_the_end_of_the_studio_lose_nothing(page: Page, studio: Served, serve: Serve) -> None:
    from playwright.sync_api import expect

    choose(page, "sky.yaml")
    page.get_by_label("seed", exact=True).fill("90")
    page.get_by_label("steps", exact=True).fill("40")
    expect(page.locator("#plan")).to_contain_text("240 passes")
    pictures = page.locator("#pictures button").count()
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.get_by_role("img", name="A preview of what is being drawn")).to_be_visible()
    load(page, studio)
    expect(page.get_by_label("steps", exact=True)).to_have_value("40")
    expect(page.locator("#step")).to_contain_text("of 40")
    drawing = next(job["id"] for job in studio.ask("state")["jobs"] if job["state"] == "drawing")
    studio.process.send_signal(signal.SIGKILL)
    # What draws is a process of its own: nobody asks it any more, so it keeps its run and ends.
    kept = studio.folder / ".studio" / "checkpoints" / f"{drawing}.checkpoint.safetensors"
    end = time.monotonic() + 60
    while not kept.is_file():
        assert time.monotonic() < end
        time.sleep(0.05)
    expect(page.locator("#lost")).to_have_text(re.compile("does not answer"))

    again = serve(studio.folder, int(studio.address.rpartition(":")[2]))
    state = again.ask("state")
    assert len(state["pictures"]) == pictures
    assert [job["resume"] for job in state["jobs"] if job["id"] == drawing] == [True]
    drawn(page, pictures + 1)
    expect(page.locator("#lost")).to_be_hidden()
    assert not kept.exists()
    # Another process draws now: the whole run once more, and what the first process has drawn.
    for name in ("sky-90.png", "sky-3.png"):
        again.ask("draw", recipe=again.ask("open", file=name)["recipe"])
    drawn(page, pictures + 3)
    latents = {name: read_metadata(studio.folder / name)["latents"] for name in ("sky-90.png", "sky-3.png")}
    assert read_metadata(studio.folder / "sky-90-2.png")["latents"] == latents["sky-90.png"], "bit for bit"
    (newest, _) = [each["name"] for each in again.ask("state")["pictures"]][:2]
    assert newest.startswith("sky-3-")
    assert read_metadata(studio.folder / newest)["latents"] == latents["sky-3.png"]
    page.get_by_role("button", name="Free the model's memory").click()
    expect(page.locator("#free")).to_be_hidden()
