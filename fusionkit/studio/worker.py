"""The process that draws: it keeps the models of the last picture, so that the next one need not load them.

It is a process of its own so that a run that dies of its memory takes no page with it, and so that ending it gives back
all that a model holds, whatever library holds it. It reads one JSON message a line and answers likewise; where its
input ends, it keeps the run at the next step and ends.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import Cancelled, FusionError
from fusionkit.foreign import told
from fusionkit.studio.folder import LOG, OWN

if TYPE_CHECKING:
    from fusionkit.fusion import Fusion
    from fusionkit.pictures.result import Result
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.studio.drafts import Draft

Say = Callable[..., None]

IDLE = 600.0
"""After so many seconds without work it ends, and the memory of its models is free."""


class Worker:
    """Draws one job after another.

    Args:
        say: Sends a message to the studio.
    """

    def __init__(self, say: Say) -> None:
        self.say = say
        self.work: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.cancelled = threading.Event()
        self.ended = threading.Event()
        self._loaded: tuple[str, Fusion] | None = None

    def listen(self) -> None:
        """Take messages, until there are no more; on a thread of its own."""
        for line in sys.stdin:
            message = json.loads(line)
            if message["do"] == "draw":
                self.cancelled.clear()
                self.work.put(message)
            elif message["do"] == "cancel":
                self.cancelled.set()
        self.ended.set()
        self.work.put(None)

    def draw_all(self, idle: float = IDLE) -> None:
        """Draw what comes, until nothing more does."""
        while True:
            try:
                message = self.work.get(timeout=idle)
            except queue.Empty:
                return
            if message is None or self.ended.is_set():
                return
            try:
                self._draw(message)
            except Cancelled:
                if not self.ended.is_set():
                    self.say("cancelled")
            except FusionError as error:
                self.say("failed", lines=str(error).split("\n"))
            except Exception as error:  # noqa: BLE001 - whatever a library raises is told, and the next picture drawn
                traceback.print_exc()
                self.say("failed", lines=[f"{told(error)}; see {OWN}/{LOG}"])

    def _draw(self, message: Mapping[str, Any]) -> None:
        from fusionkit.studio.drafts import Draft

        draft = Draft(message["recipe"], message["careful"])
        with draft.care():
            recipe = draft.read().recipes[0]
            fusion = self._fusion(recipe, draft)
            result = self._run(fusion, recipe, message)
            self._save(result, message)

    def _fusion(self, recipe: Recipe, draft: Draft) -> Fusion:
        """The models, of the last picture where they are the same."""
        from fusionkit.fusion import Fusion
        from fusionkit.recipe.fields import ADAPTER, WEIGHTS

        asked = json.dumps([draft.careful, recipe.model_dump(mode="json", include={*WEIGHTS, *ADAPTER})])
        if self._loaded is None or self._loaded[0] != asked:
            # What is there goes first: two models at once may be more than there is room for.
            self._loaded = None
            _free_memory()
            self.say("step", step="loading the model", done=0.0)
            self._loaded = asked, Fusion.from_recipe(recipe)
        return self._loaded[1]

    def _run(self, fusion: Fusion, recipe: Recipe, message: Mapping[str, Any]) -> Result:
        from fusionkit.runs.shortage import in_tiles_if_need_be
        from fusionkit.studio.watching import Watching

        views = fusion.plan(recipe).views
        shown = Path(message["preview"])
        shown.parent.mkdir(parents=True, exist_ok=True)
        Path(message["checkpoint"]).parent.mkdir(parents=True, exist_ok=True)

        def step(stage: Any, at: Any, latents: Any) -> None:
            of_stage = views[stage.index] * (at.index + 1) / at.total
            name = f"stage {stage.index + 1} of {len(views)}, " if len(views) > 1 else ""
            done = (sum(views[: stage.index]) + of_stage) / sum(views)
            self.say("step", step=f"{name}step {at.index + 1} of {at.total}", done=done)

        def ends() -> bool:
            return self.cancelled.is_set() or self.ended.is_set()

        return in_tiles_if_need_be(
            lambda: fusion.run(
                recipe,
                callback=step,
                progress=False,
                preview=Watching(to=shown, overwrite=True, size=384, share=0.1, ends=ends),
                maps=True,
                checkpoint=message["checkpoint"],
                checkpoint_every=message["every"],
                resume=message["resume"],
            )
        )

    def _save(self, result: Result, message: Mapping[str, Any]) -> None:
        from fusionkit.pictures.image import metadata_of, output_path, save_image, save_or_keep

        to = output_path(result.recipe.model_copy(update={"output": Path("{recipe}-{seed}.png")}))
        path = save_or_keep(result.image, to, metadata_of(result))
        result.forget_checkpoint()
        # The picture is safe, and counts as drawn; what shows how it was drawn may fail.
        maps = Path(message["maps"]) / path.name
        shutil.rmtree(maps, ignore_errors=True)  # of a picture that had this name
        try:
            for name, image in result.maps.items():
                save_image(image, maps / f"{name}.png", {})
        except FusionError as error:
            print(error, file=sys.stderr)
        self.say("done", picture=path.name, seconds=result.seconds, passes=result.forward_passes)


def _free_memory() -> None:
    import gc

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def main() -> None:
    """Draw what standard input asks for; the working folder is the studio's."""
    from filelock import FileLock, Timeout

    # Plugins may print: what they say goes to the log, and messages go where only they are written.
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def say(kind: str, **values: Any) -> None:
        # Nobody may listen any more; then the run is kept and ends.
        with suppress(OSError, ValueError):
            messages.write(json.dumps({"event": kind, **values}) + "\n")
            messages.flush()

    worker = Worker(say)
    threading.Thread(target=worker.listen, daemon=True).start()
    try:
        # One that was left behind by a studio that was killed still keeps its run.
        with FileLock(f"{OWN}/worker.lock", timeout=60):
            worker.draw_all()
    except Timeout:
        say("failed", lines=["another process still draws in this folder; end it, and draw this again"])


if __name__ == "__main__":
    main()
