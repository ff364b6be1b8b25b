"""Jobs survive their process; the folder is all that is served."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from fusionkit.errors import FusionError
from fusionkit.studio.folder import Folder, NotHereError, studio_folder
from fusionkit.studio.jobs import CANCELLED, DONE, DRAWING, FAILED, WAITING, Job, Jobs


@pytest.fixture
def folder(here: Path) -> Folder:
    return studio_folder(here)


def states(jobs: Jobs) -> list[str]:
    return [job.state for job in jobs]


def test_jobs_are_drawn_in_their_order_and_kept(folder: Folder) -> None:
    jobs = Jobs(folder)
    first, second, third = (jobs.add(Job({"seed": seed})) for seed in range(3))
    assert jobs.next() is first
    assert jobs.next() is second
    jobs.update(first, state=DONE, picture="a.png", seconds=2.0, passes=4)
    assert jobs.cancel(third)
    assert not jobs.cancel(second)
    assert states(jobs) == [DONE, DRAWING, CANCELLED]
    again = Jobs(folder)
    assert states(again) == [DONE, WAITING, CANCELLED]
    assert [job.resume for job in again] == [False, True, False]
    assert next((job.picture, dict(job.recipe)) for job in again) == ("a.png", {"seed": 0})


def test_a_job_that_ended_early_goes_on_and_one_that_is_forgotten_leaves_nothing(folder: Folder) -> None:
    jobs = Jobs(folder)
    job = jobs.add(Job({}))
    jobs.update(job, state=FAILED, lines=["no room"])
    kept = jobs.checkpoint(job)
    kept.parent.mkdir()
    kept.touch()
    jobs.again(job)
    assert (job.state, job.resume, job.lines) == (WAITING, True, [])
    jobs.forget(job)
    assert states(jobs) == [WAITING], "it is open"
    jobs.cancel(job)
    jobs.forget(job)
    assert [list(jobs), kept.exists(), states(Jobs(folder))] == [[], False, []]
    with pytest.raises(FusionError, match="no job"):
        jobs.get(job.id)


def test_a_broken_file_of_a_job_is_left_out(folder: Folder) -> None:
    Jobs(folder).add(Job({}))
    (folder.own / "jobs" / "a.json").write_text("{")
    (folder.own / "jobs" / "b.json").write_text('{"state": "done"}')
    assert states(Jobs(folder)) == [WAITING]


def test_nothing_outside_of_the_folder_is_served(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    Image.new("RGB", (8, 8)).save(outside)
    Image.new("RGB", (8, 8)).save(folder.path / "mine.png")
    (folder.path / "notes.txt").touch()
    Image.new("RGB", (8, 8)).save(folder.path / ".hidden.png")
    (folder.path / "sub").mkdir()
    Image.new("RGB", (8, 8)).save(folder.path / "sub" / "inner.png")
    os.symlink(outside, folder.path / "link.png")
    assert folder.file("mine.png") == folder.path / "mine.png"
    wrong = [
        "../secret.png",
        str(outside),
        "link.png",
        "notes.txt",
        ".hidden.png",
        "sub/inner.png",
        "",
        "..",
        "a\0.png",
    ]
    for name in wrong:
        with pytest.raises(NotHereError):
            folder.file(name)
        with pytest.raises(NotHereError):
            folder.thumbnail(name)


def test_a_picture_that_is_removed_can_be_put_back_and_none_is_replaced(folder: Folder) -> None:
    def drawn(colour: str) -> None:
        Image.new("RGB", (8, 8), colour).save(folder.path / "a.png")
        folder.maps_folder("a.png").mkdir(parents=True)
        (folder.maps_folder("a.png") / f"{colour}.png").touch()

    for number, colour in enumerate(("red", "blue")):
        drawn(colour)
        folder.thumbnail("a.png")
        assert folder.remove("a.png") == ("a.png", "a-2.png")[number]
        assert folder.pictures() == []
        assert not (folder.own / "thumbnails" / "a.png.webp").exists()
    drawn("green")
    assert folder.restore("a.png") == "a-2.png", "another one has its name meanwhile"
    assert folder.restore("a-2.png") == "a-2-2.png"
    assert {each["name"]: each["maps"] for each in folder.pictures()} == {
        "a.png": ["green"],
        "a-2.png": ["red"],
        "a-2-2.png": ["blue"],
    }
    colours = {"a.png": (0, 128, 0), "a-2.png": (255, 0, 0), "a-2-2.png": (0, 0, 255)}
    for name, colour in colours.items():
        with Image.open(folder.path / name) as image:
            assert image.getpixel((0, 0)) == colour
    assert list((folder.path / "removed").iterdir()) == []
    for wrong in ("../a.png", "removed/a.png", "nowhere.png"):
        with pytest.raises(NotHereError):
            folder.remove(wrong)
        with pytest.raises(NotHereError):
            folder.restore(wrong)


def test_a_picture_that_can_t_be_moved_stays(folder: Folder) -> None:
    Image.new("RGB", (8, 8)).save(folder.path / "a.png")
    (folder.path / "removed").touch()
    with pytest.raises(FusionError, match=r"'a\.png' can't be moved to 'removed': File exists"):
        folder.remove("a.png")
    assert [each["name"] for each in folder.pictures()] == ["a.png"]


def test_pictures_are_listed_newest_first_with_their_maps(folder: Folder) -> None:
    for name, when in (("old.png", 1), ("new.jpg", 2)):
        Image.new("RGB", (900, 100)).save(folder.path / name)
        os.utime(folder.path / name, (when, when))
    maps = folder.maps_folder("old.png")
    maps.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(maps / "regions.png")
    assert folder.pictures() == [
        {"name": "new.jpg", "changed": 2000, "maps": []},
        {"name": "old.png", "changed": 1000, "maps": ["regions"]},
    ]
    with Image.open(folder.thumbnail("old.png")) as small:
        assert (small.format, small.size) == ("WEBP", (640, 71))
