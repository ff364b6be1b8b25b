"""Workers on Ray: what they answer, and that nothing is lost with them, nor anything other than it was."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionkit import Fusion
from fusionkit.cli import main
from fusionkit.comparison.folder import Folder
from fusionkit.comparison.jobs import jobs_of
from fusionkit.comparison.spec import compared
from fusionkit.errors import FusionError, RecipeError
from fusionkit.evaluation import Tools, evaluate, make_metrics, read_pictures
from fusionkit.pictures.image import metadata_of, read_metadata

pytest.importorskip("ray", reason="Ray is not installed: pip install 'fusionkit[ray]'")

import ray
import ray_tasks
from ray_tasks import Divide, Lent, Refuse, Say, Troubled, kill, only_one

from fusionkit.comparison.on_workers import draw_on
from fusionkit.distributed.ray_pool import RayPool
from fusionkit.distributed.ray_session import LOOPBACK, end_session, open_session

# Workers do not look for modules where tests are.
ray.cloudpickle.register_pickle_by_value(ray_tasks)
pytestmark = [pytest.mark.usefixtures("nobody_else"), pytest.mark.timeout(900)]

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"
RECIPE = f"""
model: {CHECKPOINTS / "tiny-sd"}
prompt: a hill
size: 320x128
window: 128x128
scheduler: ddpm
steps: 3
batch-size: 1
plugins:
  - multidiffusion: {{stride: 32}}
  - variance-corrected-fusion
"""


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def pool(nobody_else: None, told: list[str]) -> Iterator[RayPool]:
    # Room for workers that take the place of others before these are quite gone.
    assert open_session(None, 8)
    try:
        with RayPool(2, told=told.append) as pool:
            yield pool
    finally:
        end_session()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "r.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def alone(recipe: Path) -> Fusion:
    return Fusion.from_recipe(recipe)


@pytest.fixture(autouse=True)
def nothing_told(told: list[str]) -> None:
    told.clear()


def test_everybody_works_and_answers_come_in_their_order(pool: RayPool) -> None:
    assert pool.ready() == 2
    answers = [answer.value for answer in pool.run([Say(number, 0.05) for number in range(60)])]
    assert [number for number, _ in answers] == list(range(60))
    assert {pid for _, pid in answers} == {worker["pid"] for worker in pool.workers}
    assert pool.given < 60  # several of them in one call
    here = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, worker["pid"]) for worker in pool.workers} == {here}


def test_nobody_else_can_reach_a_session_of_this_machine(pool: RayPool) -> None:
    import psutil
    import ray

    assert ray.util.get_node_ip_address() == LOOPBACK
    own = psutil.Process()
    places = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in [own, *own.children(recursive=True)]
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert places == {LOOPBACK}


def test_an_error_is_raised_as_it_is_and_the_workers_go_on(pool: RayPool, told: list[str]) -> None:
    with pytest.raises(RecipeError) as refused:
        pool.run([Say(1), Refuse(), Say(2)])
    assert refused.value.problems == ["one problem", "another problem"]
    with pytest.raises(ZeroDivisionError, match=r"^division by zero$"):
        pool.run([Divide()])
    with pytest.raises(RecipeError):
        pool.prepare(Refuse())
    assert [answer.value[0] for answer in pool.run([Say(3)])] == [3]
    assert told == []


def test_a_stuck_worker_is_helped_and_the_first_answer_counts(pool: RayPool) -> None:
    pool.run([Say(number, 0.02) for number in range(8)])
    before = pool.repeated
    (pid,) = kill(pool, 1, signal.SIGSTOP)
    try:
        answers = [answer.value for answer in pool.run([Say(number, 0.02) for number in range(20)])]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [number for number, _ in answers] == list(range(20))
    assert pool.repeated > before
    assert pid not in {each for _, each in answers}
    # It has still to say what nobody waits for any more, and is then as good as any.
    assert pid in {answer.value[1] for answer in pool.run([Say(number, 0.05) for number in range(60)])}


def test_a_worker_that_is_stuck_in_vain_is_replaced(pool: RayPool, told: list[str]) -> None:
    (pid,) = kill(pool, 1, signal.SIGSTOP)
    patience, pool.patience = pool.patience, 0.5
    try:
        for _ in range(2):  # the first run ends, and leaves it behind
            pool.run([Say(number, 0.02) for number in range(50)])
    finally:
        pool.patience = patience
    assert [line.partition(";")[0].partition(":")[2] for line in told] == [f"{pid} does not answer"]
    assert pid not in {worker["pid"] for worker in pool.workers}


def test_versions_must_be_alike(pool: RayPool) -> None:
    ours = pool.crew.versions
    pool.crew.versions = {**ours, "torch": "1.0"}
    try:
        with pytest.raises(FusionError, match=r"^worker .* has torch .*, and not 1\.0; install the same versions on"):
            pool.prepare(Say(0))
    finally:
        pool.crew.versions = ours
    assert len(pool.prepare(Say(0))) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_picture_is_that_of_one_process(pool: RayPool, alone: Fusion, recipe: Path, workers: int) -> None:
    expected = alone.run(progress=False)
    fusion = Fusion.from_recipe(recipe, pool=pool)
    fusion.models_for(fusion.recipe)
    with only_one(pool) if workers == 1 else nullcontext():
        result = fusion.run(progress=False)
    assert result.latents_hash == expected.latents_hash
    assert result.image.tobytes() == expected.image.tobytes()
    assert (result.forward_passes, metadata_of(result)) == (expected.forward_passes, metadata_of(expected))


def test_workers_are_killed_in_a_step_and_as_they_load(
    pool: RayPool, alone: Fusion, recipe: Path, tmp_path: Path, told: list[str]
) -> None:
    def trouble(step: int, answered: int) -> None:
        # One of two; then, while another one is started in its place, the one that is left.
        if step < 2 and answered == 1:
            killed.extend(kill(pool, 1))

    killed: list[int] = []
    lost, note = pool.lost, tmp_path / "died"
    note.touch()  # not yet
    fusion = Fusion.from_recipe(recipe, pool=Troubled(pool, trouble, note))
    fusion.models_for(fusion.recipe)
    note.unlink()  # who takes the place of the first one dies as it loads
    result = fusion.run(progress=False)
    assert result.latents_hash == alone.run(progress=False).latents_hash
    assert note.exists()
    assert (len(killed), pool.lost - lost) == (2, 3)
    assert [line.partition(" died")[2].partition(" views ")[2] for line in told if "views" in line] == [
        "are predicted again"
    ] * 2
    assert "a worker died before it was ready; another one is started" in told


def test_a_comparison_that_loses_a_worker_and_is_interrupted_goes_on_to_equal_tables(
    pool: RayPool, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str], interruptible: None
) -> None:
    def trouble(_: int, answered: int) -> None:
        if answered == 1:
            kill(pool, 1)
        if answered == 3:
            signal.raise_signal(signal.SIGINT)

    def compare(folder: str, *options: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["compare", *asked, "--out", folder, "-q", *options], prog_name="fusionkit")
        assert not ended.value.code

    monkeypatch.chdir(tmp_path)
    asked = (str(recipe), "--vary", "guidance-scale=1,3", "--seeds", "0-2", "--metrics", "variance")
    compare("one")
    jobs = jobs_of(compared([str(recipe)], vary=["guidance-scale=1,3"], seeds="0-2", metrics=["variance"]))
    folder = Folder(tmp_path / "many")
    folder.claim(json.loads(Path("one/comparison.json").read_text())["title"], jobs)
    with pytest.raises(KeyboardInterrupt), folder.claims() as claims:
        draw_on(Troubled(pool, trouble), folder, jobs, claims, progress=False)
    assert sum(map(folder.has, jobs)) in (2, 3)  # the third may be on its way to the disk
    assert len(told) == 1
    assert "picture" in told[0]
    monkeypatch.setattr("fusionkit.distributed.ray_pool.RayPool", lambda *_, **__: Lent(pool))
    compare("many", "--workers", "2")
    for name in ("scores.csv", "pictures.csv", "comparison.json"):
        assert Path("many", name).read_bytes() == Path("one", name).read_bytes()
    for job in jobs:
        theirs, ours = (read_metadata(Path(each, job.file)) for each in ("one", "many"))
        assert theirs.pop("run")["device"] == ours["run"]["device"]
        assert ours.pop("run")["worker"]
        assert theirs == ours
        assert opened(Path("one", job.file)) == opened(Path("many", job.file))


def test_pictures_are_described_as_in_one_process(pool: RayPool, tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(numbers.integers(0, 256, (64, 128, 3), np.uint8)).save(tmp_path / f"{name}.png")
    pictures = read_pictures(tmp_path, crop=(64, 64))
    metrics, progress = make_metrics(["variance", "style-loss"]), list[tuple[int, int, str]]()
    here, there = (
        evaluate(pictures, metrics, Tools("tinyworld"), (), told, pool=some)
        for some, told in ((None, None), (pool, lambda *each: progress.append(each)))
    )
    assert there.each == here.each
    assert there.scores == here.scores
    assert progress[:3] == [(1, 3, "pictures"), (2, 3, "pictures"), (3, 3, "pictures")]
    broken = replace(pictures[0], crop=None)
    for some in (None, pool):
        with pytest.raises(FusionError) as failed:
            evaluate([broken], make_metrics(["style-loss"]), Tools("tinyworld"), pool=some)
        assert str(failed.value).splitlines()


def opened(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()
