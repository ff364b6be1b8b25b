"""Pictures and tables are there whole or not at all, whenever the process ends, and nobody's work is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

import fusionkit.pictures.claiming
from fusionkit.errors import FusionError
from fusionkit.pictures.files import clear_leftovers, write_file, write_whole
from fusionkit.pictures.image import read_metadata, save_image, save_or_keep

TOLD = {"recipe": "prompt: a hill\n", "seed": 1}

SAVE = """
import sys
from pathlib import Path
from PIL import Image
from fusionkit.pictures.files import write_whole
from fusionkit.pictures.image import save_image
image = Image.effect_noise((512, 512), 60).convert("RGB")
for number in range(10_000):
    save_image(image, Path(sys.argv[1]), {"recipe": "prompt: a hill"}, overwrite="over" in sys.argv[1])
    write_whole(Path(sys.argv[1]).with_name("table.csv"), "number\\n" * 100_000)
    if number == 0:
        print("ready", flush=True)
"""

posix = pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")


def leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")]


@posix
@pytest.mark.parametrize("name", ["new.png", "over.png", "new.jpg"])
def test_killed_at_any_moment(name: str, tmp_path: Path) -> None:
    for number in range(6):
        with subprocess.Popen([sys.executable, "-c", SAVE, str(tmp_path / name)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.01 + 0.037 * number)
            process.send_signal(signal.SIGKILL)
    pictures = [each for each in tmp_path.iterdir() if each.suffix in (".png", ".jpg")]
    assert pictures
    for each in pictures:
        assert read_metadata(each)["recipe"] == "prompt: a hill"
        with Image.open(each) as image:
            image.load()
    assert (tmp_path / "table.csv").read_text() == "number\n" * 100_000
    # What the killed ones left is cleared away by the next one that writes.
    write_whole(tmp_path / "next.txt", "next")
    assert leftovers(tmp_path) == []
    assert {each.suffix for each in tmp_path.iterdir()} <= {".png", ".jpg", ".csv", ".txt"}


def test_only_what_is_ours_and_dead_is_cleared(tmp_path: Path) -> None:
    mine = tmp_path / ".fusionkit-1-0123456789abcdef.part"
    others = [
        ".fusionkit-1.part",
        ".fusionkit-a-0123456789abcdef.part",
        ".p0.png",
        ".fusionkit-1-0123456789abcdef.part.png",
    ]
    for name in (mine.name, *others):
        (tmp_path / name).touch()
    folder = tmp_path / ".fusionkit-1-ffffffffffffffff.part"
    folder.mkdir()
    link = tmp_path / ".fusionkit-2-ffffffffffffffff.part"
    link.symlink_to(tmp_path / others[0])
    clear_leftovers(tmp_path)
    assert not mine.exists() or sys.platform == "win32"
    assert all((tmp_path / name).exists() for name in (*others, folder.name, link.name))


def test_what_another_thread_writes_is_not_cleared(tmp_path: Path) -> None:
    began, end = threading.Event(), threading.Event()

    def slowly(file: object) -> None:
        began.set()
        assert end.wait(30)
        file.write(b"slow")  # type: ignore[attr-defined]

    thread = threading.Thread(target=lambda: write_file(tmp_path / "slow", slowly, replace=False))
    thread.start()
    assert began.wait(30)
    assert len(leftovers(tmp_path)) == 1
    write_whole(tmp_path / "quick", "quick")
    assert len(leftovers(tmp_path)) == 1
    end.set()
    thread.join()
    assert (tmp_path / "slow").read_bytes() == b"slow"
    assert sorted(os.listdir(tmp_path)) == ["quick", "slow"]


@posix
def test_two_processes_that_write_one_name_keep_both(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom PIL import Image\nfrom fusionkit.pictures.image import save_image\n"
        "for _ in range(10):\n    save_image(Image.new('RGB', (8, 8)), Path(sys.argv[1]), {'recipe': 'x'})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.png")]) for _ in range(2)]
    assert [each.wait(60) for each in running] == [0, 0]
    assert sorted(os.listdir(tmp_path)) == sorted(["a.png", *(f"a-{number}.png" for number in range(2, 21))])


@pytest.mark.parametrize("links", [True, False])
def test_a_file_system_without_links(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    image = Image.new("RGB", (8, 8))
    assert [save_image(image, tmp_path / "a.png", TOLD).name for _ in range(3)] == ["a.png", "a-2.png", "a-3.png"]
    assert [read_metadata(each) for each in tmp_path.iterdir()] == [TOLD] * 3


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, link = os.fsync, os.link

    def told(handle: int) -> None:
        done.append("sync")
        sync(handle)

    def linked(source: Path, target: Path) -> None:
        done.append("link")
        assert Path(source).stat().st_size == 5
        link(source, target)

    monkeypatch.setattr(fusionkit.pictures.claiming.os, "fsync", told)
    monkeypatch.setattr(fusionkit.pictures.claiming.os, "link", linked)
    write_file(tmp_path / "a", lambda file: file.write(b"whole"), replace=False)
    assert done == (["sync", "link", "sync"] if sys.platform != "win32" else ["sync"])


@posix
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_full_disk_leaves_nothing_and_says_why(name: str, tmp_path: Path) -> None:
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom PIL import Image\n"
        "from fusionkit.pictures.image import save_image\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "save_image(Image.effect_noise((64, 64), 50).convert('RGB'), Path(sys.argv[1]), {})\n"
    )
    path = tmp_path / name
    ran = subprocess.run([sys.executable, "-B", "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == f"fusionkit.errors.FusionError: '{path}' can't be written: File too large"
    assert os.listdir(tmp_path) == []


def test_a_picture_that_can_not_be_written_is_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("file", "work", "temporary"):
        (tmp_path / name).mkdir()
    image = Image.new("RGB", (8, 8), (1, 2, 3))
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    def kept(path: Path) -> str:
        with pytest.raises(FusionError) as error:
            save_or_keep(image, path, TOLD)
        assert len(str(error.value).splitlines()) == 1
        assert error.value.exit_code != 0
        return str(error.value)

    # A name that the file system refuses: beside it.
    beside = tmp_path / "file" / "fusionkit-kept.png"
    assert kept(tmp_path / "file" / ("x" * 300 + ".jpg")).endswith(f"; the picture is kept as '{beside}'")
    assert read_metadata(beside) == TOLD
    # A folder that has become a file: in the working folder.
    (tmp_path / "gone").touch()
    assert kept(tmp_path / "gone" / "a.png").endswith("; the picture is kept as 'fusionkit-kept.png'")
    assert read_metadata(Path("fusionkit-kept.png")) == TOLD
    # A working folder that has gone, too: among the temporary files.
    (tmp_path / "work" / "fusionkit-kept.png").unlink()
    (tmp_path / "work").rmdir()
    temporary = tmp_path / "temporary" / "fusionkit-kept.png"
    assert kept(tmp_path / "gone" / "a.png").endswith(f"; the picture is kept as '{temporary}'")
    with Image.open(temporary) as picture:
        assert picture.getpixel((0, 0)) == (1, 2, 3)
    # Nowhere: the first reason.
    (tmp_path / "nowhere").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert kept(tmp_path / "gone" / "a.png").startswith(f"'{tmp_path / 'gone' / 'a.png'}' can't be written: ")


def test_a_recipe_that_a_jpeg_has_no_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    long = {"recipe": "x" * 70_000}
    with pytest.raises(FusionError, match=r"JPEG has room for 65.0 kB of recipe, and this one takes 70.0 kB; use .png"):
        save_image(Image.new("RGB", (8, 8)), tmp_path / "a.jpg", long)
    assert json.dumps(read_metadata(save_image(Image.new("RGB", (8, 8)), tmp_path / "a.webp", long))) == json.dumps(
        long
    )


def test_validate_says_so_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusionkit.errors import RecipeError
    from fusionkit.recipe.recipe_file import parse_recipe
    from fusionkit.runs.checks import check_file

    monkeypatch.chdir(tmp_path)
    recipe = f"model: tinyworld/scenes\nprompt: {'山' * 15_000}\n"
    check_file(parse_recipe(recipe + "output: a.png", "r.yaml"))
    with pytest.raises(RecipeError) as error:
        check_file(parse_recipe(recipe + "output: a.jpg", "r.yaml"))
    (problem,) = error.value.problems
    assert problem.startswith("r.yaml:3:9: output 'a.jpg': JPEG has room for 65.0 kB of recipe, and this one takes ")
