"""Files are written whole where that is hard: no links, no locks, a full disk, a folder that goes, devices, loops."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import pytest
from PIL import Image

import fusionkit.pictures.claiming
from fusionkit.errors import FusionError
from fusionkit.pictures.files import clear_leftovers, unwritable, write_file, write_whole
from fusionkit.pictures.image import output_problems, save_image

posix = pytest.mark.skipif(sys.platform == "win32", reason="no such files there")

WITHOUT_LINKS = """
import os, sys
from pathlib import Path
from fusionkit.pictures import claiming, files
def refuse(*_, **__):
    raise PermissionError(1, "Operation not permitted")
os.link = refuse
if "no-locks" in sys.argv:
    claiming.lock = lambda handle, wait=False: None
for number in range(40):
    files.write_whole(Path(sys.argv[1]), f"{os.getpid()} {number}", replace=False)
"""


def test_a_folder_that_vanishes_meanwhile_is_made_again(tmp_path: Path) -> None:
    calls = []

    def write(file: BinaryIO) -> None:
        calls.append(1)
        file.write(b"whole")
        if len(calls) == 1:
            shutil.rmtree(tmp_path / "a")

    for replace in (False, True):
        calls.clear()
        path = write_file(tmp_path / "a" / "b" / "c.txt", write, replace=replace)
        assert path.read_bytes() == b"whole"
        assert len(calls) == 2
        assert os.listdir(path.parent) == ["c.txt"]


def test_a_folder_that_vanishes_again_and_again_is_told(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"c\.txt' can't be written: No such file or directory$"):
        write_file(tmp_path / "a" / "c.txt", lambda file: shutil.rmtree(tmp_path / "a"), replace=False)


@posix
@pytest.mark.parametrize("locks", ["locks", "no-locks"])
def test_two_that_write_one_name_without_links_keep_both(locks: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    command = [sys.executable, "-c", WITHOUT_LINKS, str(path), locks]
    running = [subprocess.Popen(command) for _ in range(2)]
    empty = 0
    while any(each.poll() is None for each in running):
        empty += any(each.stat().st_size == 0 for each in tmp_path.glob("*.txt"))
    assert [each.returncode for each in running] == [0, 0]
    found = {each.read_text() for each in tmp_path.iterdir()}
    assert found == {f"{each.pid} {number}" for each in running for number in range(40)}
    assert empty == 0 or locks == "no-locks"


def test_leftovers_where_nothing_can_be_locked_go_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusionkit.pictures.claiming, "lock", lambda handle, wait=False: None)
    old, new = (tmp_path / f".fusionkit-1-{letter * 16}.part" for letter in "ab")
    for each in (old, new):
        each.touch()
    os.utime(old, (yesterday := time.time() - 25 * 3600, yesterday))
    clear_leftovers(tmp_path)
    assert os.listdir(tmp_path) == [new.name]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_a_file_system_that_can_not_be_asked_to_sync(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fusionkit.pictures.claiming.os, "fsync", refuse)
    assert write_whole(tmp_path / "a", "whole").read_text() == "whole"


def test_what_does_not_come_to_the_disk_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fusionkit.pictures.claiming.os, "fsync", refuse)
    with pytest.raises(FusionError, match=r"can't be written: Input/output error$"):
        write_whole(tmp_path / "a", "whole")
    assert os.listdir(tmp_path) == []


def test_once(tmp_path: Path) -> None:
    image, other = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), (1, 1, 1))
    path = tmp_path / "a.png"
    assert [save_image(each, path, {}, once=True).name for each in (image, image, other, other, image)] == [
        "a.png",
        "a.png",
        "a-2.png",
        "a-2.png",
        "a.png",
    ]
    assert save_image(image, path, {}).name == "a-3.png"


def test_before_it_has_its_name_it_is_whole(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def before(whole: Path) -> None:
        assert not (tmp_path / "a").exists()
        seen.append(whole.read_bytes())

    write_file(tmp_path / "a", lambda file: file.write(b"whole"), replace=True, before=before)
    assert seen == [b"whole"]


@posix
def test_devices_and_pipes_are_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert unwritable(tmp_path / "pipe", True) == f"'{tmp_path / 'pipe'}' can't be written: it is a pipe"
    assert unwritable(Path("/dev/null"), True) == "'/dev/null' can't be written: it is a device"
    with pytest.raises(FusionError, match="can't be written: it is a pipe"):
        write_whole(tmp_path / "pipe", "whole")
    assert os.listdir(tmp_path) == ["pipe"]
    assert write_whole(tmp_path / "pipe", "whole", replace=False).name == "pipe-2"


@posix
def test_links_that_lead_nowhere_are_found_before(tmp_path: Path) -> None:
    loop, gone = tmp_path / "loop", tmp_path / "gone"
    loop.symlink_to(loop)
    gone.symlink_to(tmp_path / "nothing")
    for link in (loop, gone):
        told = f"'{link}' is a link that leads nowhere"
        for path in (link / "a.png", link / "b" / "a.png"):
            assert output_problems([path], (8, 8)) == [f"output folder {told}"]
            assert unwritable(path, False) == f"'{path}' can't be written: {told}"
            with pytest.raises(FusionError, match=r"is a link that leads nowhere$"):
                save_image(Image.new("RGB", (8, 8)), path, {})
    # A picture's own name may be such a link: it is somebody's, and kept.
    own = tmp_path / "own.png"
    own.symlink_to(own)
    assert output_problems([own], (8, 8)) == []
    assert save_image(Image.new("RGB", (8, 8)), own, {}).name == "own-2.png"
    assert own.is_symlink()


def test_a_folder_in_the_picture_s_place_is_found_before(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    (tmp_path / "file").touch()
    assert output_problems([tmp_path / "a.png"], (8, 8)) == [
        f"output '{tmp_path / 'a.png'}' is a folder; give a file's name"
    ]
    assert output_problems([tmp_path / "file" / "b" / "a.png"], (8, 8)) == [
        f"output folder '{tmp_path / 'file'}' is a file"
    ]


FULL = """
set -e
mkdir full work
mount -t tmpfs -o size=64k none full
cd work
"$0" -c "
import os, subprocess, sys
from pathlib import Path
from PIL import Image
from fusionkit.pictures.image import save_image, save_or_keep
noise = Image.effect_noise((400, 400), 60).convert('RGB')
save_image(noise.crop((0, 0, 32, 32)), Path('../full/first.png'), {})
if sys.argv[1] == 'read-only':
    subprocess.run(['mount', '-o', 'remount,ro', '../full'], check=True)
save_or_keep(noise, Path('../full/a.png'), {'recipe': 'prompt: a hill'})
" "$1" 2>&1 | tail -1
ls -A ../full
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts as Linux does")
@pytest.mark.parametrize(("how", "why"), [("full", "No space left on device"), ("read-only", "Read-only file system")])
def test_a_disk_that_is_full_or_becomes_read_only(how: str, why: str, tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    command = ["unshare", "-rm", "sh", "-c", FULL, sys.executable, how]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    if "mount" in ran.stderr:
        pytest.skip("no file system can be mounted here")
    told = f"'../full/a.png' can't be written: {why}; the picture is kept as 'fusionkit-kept.png'"
    assert ran.stdout.splitlines() == [f"fusionkit.errors.FusionError: {told}", "first.png"]
    with Image.open(tmp_path / "work" / "fusionkit-kept.png") as image:
        image.load()
        assert image.size == (400, 400)
