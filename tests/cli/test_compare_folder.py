"""A comparison's folder may hold what others put there: nothing of theirs is deleted, written over, or followed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from command_line import RECIPE, Run
from PIL import Image

from fusionkit.cli import main
from fusionkit.comparison.folder import Folder
from fusionkit.pictures.image import read_metadata, save_image

OUT = Path("out/compare/r")
COMPARE = ("compare", "r.yaml", "--set", "steps=1", "--metrics", "variance", "-q")
FIRST, SECOND = OUT / "pictures/r/p000-s0.png", OUT / "pictures/r/p000-s1.png"
KEPT = "not written by fusionkit, or changed since, and kept: "
AGAIN = "move it away, or delete it to have it drawn again"


def photograph(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (200, 30, 30)).save(path)
    return path.read_bytes()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two pictures and a reference, drawn once."""
    folder = tmp_path_factory.mktemp("comparison")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("r.yaml").write_text(RECIPE)
        with pytest.raises(SystemExit) as ended:
            main([*COMPARE, "--seeds", "0-1", "--reference-seeds", "0"], prog_name="fusionkit")
    assert not ended.value.code
    return folder / OUT


@pytest.fixture
def drawn(comparison: Path) -> None:
    shutil.copytree(comparison, OUT)


@pytest.mark.usefixtures("drawn")
def test_replace_keeps_what_it_did_not_write_and_what_was_changed(fusionkit: Run) -> None:
    places = ("reference/me.png", "pictures/r/holiday.png", "thumbnails/x.webp", "recipes/mine.yaml", ".features/n.npy")
    foreign = {OUT / name: photograph(OUT / "x.png") for name in places}
    for path, data in foreign.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    # The picture that a metadata-keeping editor leaves.
    told = read_metadata(SECOND)
    save_image(Image.new("RGB", (256, 128)), SECOND, told, overwrite=True)
    changed = SECOND.read_bytes()
    ran = fusionkit(*COMPARE, "--seeds", "5", "--replace")
    assert ran.code == 0, ran.err
    assert {path: path.read_bytes() for path in foreign} == foreign
    assert SECOND.read_bytes() == changed
    named = ran.err.removeprefix(KEPT).strip().split(", ")
    assert ran.err.startswith(KEPT)
    assert sorted(named) == sorted(map(str, [*foreign, SECOND]))
    assert not FIRST.exists()
    assert not (OUT / "reference/p000-s0.png").exists()
    assert (OUT / "pictures/r/p000-s5.png").exists()


@pytest.mark.usefixtures("drawn")
def test_replace_leaves_nothing_of_ours(fusionkit: Run) -> None:
    (OUT / "pictures/r/.fusionkit-123-0123456789abcdef.part").write_bytes(b"half a picture")
    assert Folder(OUT).clear() == []
    assert list(everything(OUT)) == ["comparison.json"]
    assert not (OUT / "pictures").exists()


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("other", ["photograph", "second", "without metadata", "re-encoded"])
def test_another_picture_is_kept_aside_and_drawn_again(fusionkit: Run, other: str) -> None:
    whole = FIRST.read_bytes()
    if other == "photograph":
        photograph(FIRST)
    elif other == "second":
        shutil.copy(SECOND, FIRST)
    else:
        told = {**read_metadata(FIRST), "run": {}} if other == "re-encoded" else {}
        with Image.open(FIRST) as image:
            FIRST.unlink()
            save_image(image, FIRST, told)
    data, second, table = FIRST.read_bytes(), SECOND.stat().st_mtime_ns, (OUT / "scores.csv").read_text()
    again = (*COMPARE, "--seeds", "0-1", "--reference-seeds", "0")
    shown = fusionkit(*again, "--show")
    assert (shown.code, shown.err) == (0, f"not as drawn, and left out; without --show they are drawn again: {FIRST}\n")
    assert FIRST.read_bytes() == data
    ran = fusionkit(*again)
    assert (ran.code, ran.err) == (0, f"not as drawn, kept in {OUT / 'kept'}, and drawn again: {FIRST}\n")
    assert read_metadata(FIRST)["latents"] != read_metadata(SECOND)["latents"]
    assert abs(FIRST.stat().st_size - len(whole)) < 100
    assert SECOND.stat().st_mtime_ns == second
    assert (OUT / "scores.csv").read_text() == table
    kept = OUT / "kept" / "pictures" / "r" / FIRST.name
    assert kept.read_bytes() == data
    # Another one gets a number, and neither is ever deleted.
    photograph(FIRST)
    assert fusionkit(*again).code == 0
    assert fusionkit(*COMPARE, "--seeds", "5", "--replace").code == 0
    assert kept.read_bytes() == data
    assert sorted(path.name for path in kept.parent.iterdir()) == ["p000-s0-2.png", "p000-s0.png"]


@pytest.mark.usefixtures("drawn")
def test_replace_keeps_another_picture_too(fusionkit: Run) -> None:
    data = photograph(FIRST)
    ran = fusionkit(*COMPARE, "--seeds", "0-1", "--reference-seeds", "0", "--replace")
    assert ran.code == 0
    assert ran.err.splitlines() == [f"{KEPT}{FIRST}", f"not as drawn, kept in {OUT / 'kept'}, and drawn again: {FIRST}"]
    assert (OUT / "kept/pictures/r/p000-s0.png").read_bytes() == data
    assert read_metadata(FIRST)["seed"] == 0


@pytest.mark.usefixtures("drawn")
def test_a_picture_of_a_seed_that_was_never_drawn_is_a_strangers(fusionkit: Run) -> None:
    path = OUT / "pictures/r/p000-s2.png"
    path.write_bytes(b"GIF89a no picture of ours")
    ran = fusionkit(*COMPARE, "--seeds", "0-2", "--reference-seeds", "0")
    assert (ran.code, ran.err) == (2, f"{path}: was not written by fusionkit; {AGAIN}\n")


@pytest.mark.parametrize("damage", ["empty", "half", "noise"])
def test_a_damaged_picture_is_drawn_again_and_told(fusionkit: Run, drawn: None, damage: str) -> None:
    whole, other, scores = FIRST.read_bytes(), SECOND.stat().st_mtime_ns, (OUT / "scores.csv").read_text()
    hashed = read_metadata(FIRST)["latents"]
    FIRST.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "noise": b"\0" * 1000}[damage])
    shown = fusionkit(*COMPARE, "--seeds", "0-1", "--reference-seeds", "0", "--show")
    assert shown.code == 0, shown.err
    assert shown.err == f"empty or damaged, and left out; without --show they are drawn again: {FIRST}\n"
    ran = fusionkit(*COMPARE, "--seeds", "0-1", "--reference-seeds", "0")
    assert (ran.code, ran.err) == (0, f"empty or damaged, and drawn again: {FIRST}\n")
    assert read_metadata(FIRST)["latents"] == hashed
    assert SECOND.stat().st_mtime_ns == other
    assert (OUT / "scores.csv").read_text() == scores


@pytest.mark.usefixtures("drawn")
def test_tables_that_were_changed_are_not_written_over(fusionkit: Run) -> None:
    notes = "my own notes\n"
    for name in ("scores.csv", "scores.tex", "recipes/r.yaml"):
        (OUT / name).write_text(notes)
    ran = fusionkit(*COMPARE, "--seeds", "0-2", "--reference-seeds", "0")
    assert ran.code == 2
    assert ran.err.splitlines() == [
        f"{OUT / name}: was changed since fusionkit wrote it; move it away, or delete it to have it written again"
        for name in ("scores.csv", "scores.tex", "recipes/r.yaml")
    ]
    assert (OUT / "scores.csv").read_text() == notes
    assert not (OUT / "pictures/r/p000-s2.png").exists()


def test_a_folder_that_was_copied_goes_on(fusionkit: Run, drawn: None) -> None:
    shutil.copytree(OUT, "copy")
    before = (Path("copy") / FIRST.relative_to(OUT)).stat().st_mtime_ns
    ran = fusionkit(*COMPARE, "--seeds", "0-1", "--reference-seeds", "0", "--out", "copy")
    assert ran.code == 0, ran.err
    assert (Path("copy") / FIRST.relative_to(OUT)).stat().st_mtime_ns == before


def test_links_lead_nowhere(fusionkit: Run, drawn: None) -> None:
    """Neither writing nor deleting follows one out of the folder."""
    private = Path("private")
    photograph(private / "p000-s0.png")
    before = everything(private)
    for path in list((OUT / "reference").iterdir()):
        path.unlink()
    (OUT / "reference").rmdir()
    (OUT / "reference").symlink_to(private.absolute())
    (OUT / ".claims").mkdir()
    (OUT / ".claims/pictures").symlink_to(private.absolute())
    for flags in ((), ("--replace",)):
        ran = fusionkit(*COMPARE, "--seeds", "0-1", "--reference-seeds", "0", *flags)
        assert ran.code == 2
        assert ran.err.splitlines() == [
            f"{OUT / name}: is a link, which fusionkit never makes; delete it"
            for name in ("reference", ".claims/pictures")
        ]
    assert Folder(OUT).clear() == [OUT / "reference"]
    assert everything(private) == before


HOSTILE = {
    "paths": {"title": "x", "pictures": {"../../secret.png": "1", "/etc/passwd": "2"}},
    "types": {"title": ["a"], "pictures": [["a", {"b": 1}]]},
    "null": {"title": None, "pictures": None},
}


CONTENTS = {**{name: json.dumps(each) for name, each in HOSTILE.items()}, "deep": "[" * 100_000, "empty": ""}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_strangers_list_of_pictures_leads_nowhere(fusionkit: Run, content: str) -> None:
    Path("secret.png").write_bytes(b"keep")
    OUT.mkdir(parents=True)
    (OUT / "comparison.json").write_text(content)
    (OUT / ".written").write_text(f"{'0' * 64}  ../../../secret.png\n\nnonsense\n{'e' * 64}\n")
    ran = fusionkit(*COMPARE, "--seeds", "0")
    assert ran.code in (1, 2)
    assert ran.err.count("\n") == 1
    assert Folder(OUT).clear() == []
    assert Path("secret.png").read_bytes() == b"keep"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_fifos_are_not_waited_for(fusionkit: Run) -> None:
    OUT.mkdir(parents=True)
    os.mkfifo(OUT / "comparison.json")
    assert fusionkit(*COMPARE, "--seeds", "0").code == 1
    os.mkfifo("prompts.txt")
    ran = fusionkit(*COMPARE, "--prompts", "prompts.txt")
    assert (ran.code, ran.err) == (2, "prompts.txt: is no regular file\n")


@pytest.mark.usefixtures("drawn")
def test_a_replay_never_writes_into_a_comparison(fusionkit: Run) -> None:
    before = sorted(everything(OUT))
    line = "lies in a comparison's folder, which holds what 'compare' drew; give another place: -o PATH"
    assert fusionkit("replay", str(FIRST), "-q") == (2, "", f"{FIRST}: {line}\n")
    inside = OUT / "pictures" / "new.png"
    assert fusionkit("replay", str(FIRST), "-q", "-o", str(inside)) == (2, "", f"{inside}: {line}\n")
    assert fusionkit("replay", str(FIRST), "-q", "-o", "again.png").code == 0
    assert sorted(everything(OUT)) == before


def test_a_run_that_fails_is_named(fusionkit: Run) -> None:
    Path("r.yaml").write_text(RECIPE)
    ran = fusionkit(*COMPARE, "--seeds", "3", "--set", "guidance-scale=1e38")
    assert ran.code == 1
    line = ran.err.splitlines()[-1]
    assert line.startswith("setting 'r', picture pictures/r/p000-s3.png: ")
    assert "not finite" in line
    assert not list(OUT.glob("pictures/**/*.png"))


@pytest.mark.usefixtures("drawn")
def test_a_run_that_says_nonsense_is_named(fusionkit: Run) -> None:
    from fusionkit.pictures.image import save_image

    told = read_metadata(FIRST)
    save_image(Image.new("RGB", (256, 128)), FIRST, {**told, "run": {**told["run"], "seconds": "x"}}, overwrite=True)
    Folder(OUT).written.note(FIRST, FIRST.read_bytes())
    ran = fusionkit(*COMPARE, "--seeds", "0-1", "--reference-seeds", "0")
    assert ran.code == 2
    assert ran.err == f"{FIRST}: does not say what its run cost; delete it to have it drawn again\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is damaged"),
        (b"\xff\xfe{", "it is damaged"),
        (b'{"a":' * 3000, "it is damaged"),
        (b"null", "it has no title and pictures"),
        (b"[1]", "it has no title and pictures"),
        (b"{}", "it has no title and pictures"),
    ],
)
@pytest.mark.usefixtures("drawn")
def test_a_comparisons_own_file_that_is_damaged_is_told_in_our_words(content: bytes, says: str, fusionkit: Run) -> None:
    (OUT / "comparison.json").write_bytes(content)
    line = f"{OUT / 'comparison.json'}: can't be read as a comparison: {says}; give another --out\n"
    assert fusionkit(*COMPARE, "--seeds", "0-1", "-q") == (1, "", line)


def test_a_folder_that_is_a_link_to_nowhere(fusionkit: Run) -> None:
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.symlink_to("nowhere")
    line = f"{OUT}: is a link that leads nowhere; delete it, or give another folder: --out DIR\n"
    assert fusionkit(*COMPARE, "--seeds", "0-1", "-q") == (2, "", line)
