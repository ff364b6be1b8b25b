"""The Python face: a model, plugins, and a call that makes a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import FusionError, RecipeError
from fusionkit.pictures.gallery import Gallery
from fusionkit.pictures.result import Result
from fusionkit.plugin import Plugin
from fusionkit.recipe.fields import ADAPTER, WEIGHTS, CallFields, ModelFields, PipeFields, RecipeFields, takes
from fusionkit.recipe.made import changed, make_recipe
from fusionkit.recipe.recipe import Recipe
from fusionkit.runs.attempt import attempted
from fusionkit.runs.checkpoints import EVERY
from fusionkit.runs.checkpoints.resume import find_checkpoint
from fusionkit.runs.finish import finished
from fusionkit.runs.notes import warn_of
from fusionkit.runs.observers import Watched
from fusionkit.runs.plan import RunPlan
from fusionkit.runs.run import execute, prepare
from fusionkit.runs.sources import of_pipes, of_recipe

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from typing_extensions import Unpack

    from fusionkit.distributed.pool import Pool
    from fusionkit.loop.model import Model, ModelInfo
    from fusionkit.loop.stage import Stage, Step
    from fusionkit.runs.live import LivePreview


class Fusion:
    """A model, or several, with plugins, ready to make pictures.

    Weights load when the first picture is asked for and has been checked. Make one with `from_pretrained`, `from_pipe`,
    `from_pipes` or `from_recipe`.

    Args:
        infos: What is known of the models, by name, the main one first.
        load: Loads the models for a recipe.
        recipe: What applies where a call says nothing.

    Attributes:
        batch_size: Views in one forward pass where the recipe does not say; None chooses by device and free memory.
        batches: What is to be chosen, for models by their names, and the views' (height, width) in latent pixels.
    """

    def __init__(
        self, infos: Mapping[str, ModelInfo], load: Callable[[Recipe], Mapping[str, Model]], recipe: Recipe
    ) -> None:
        self.infos = dict(infos)
        self.recipe = recipe
        self._load = load
        self.batch_size: int | None = None
        self.batches: Mapping[str, Mapping[tuple[int, int], int]] = {}
        self._models: Mapping[str, Model] = {}
        self._fixed: Recipe | None = None
        # Within it a stranger's recipe is planned and drawn.
        self._care: Callable[[], AbstractContextManager[object]] = nullcontext

    def __repr__(self) -> str:
        from fusionkit.runs.shown import fusion_text

        return fusion_text(self.infos, self.recipe)

    def _repr_html_(self) -> str:
        from fusionkit.runs.shown import fusion_html

        try:
            plan: RunPlan | FusionError = self.plan()
        except FusionError as error:
            plan = error
        return fusion_html(self.infos, self.recipe, plan)

    @property
    def info(self) -> ModelInfo:
        """What is known of the model, or of the main one."""
        return next(iter(self.infos.values()))

    @classmethod
    @takes(ModelFields)
    def from_pretrained(
        cls,
        model: str | Path | Mapping[str, Any],
        *,
        plugins: Sequence[Plugin] = (),
        **options: Unpack[ModelFields],
    ) -> Fusion:
        """A model by hub id, folder, `.safetensors` file or embedded name such as `vista/scenes`; or several.

        Args:
            model: Where the model is; or a mapping of names to where models are, the main one first.
            plugins: In order of application.
            options: Any other field of a recipe: `scheduler="ddpm"`, `steps=30`, `dtype="bfloat16"`, ...

        Raises:
            ModelError: The model can't be found or is of no known kind.
            RecipeError: An option is unknown or has a wrong value.
        """
        if isinstance(model, Mapping):
            named = {name: str(each) if isinstance(each, Path) else each for name, each in model.items()}
            return cls.from_recipe(make_recipe(models=named, plugins=list(plugins), **options))
        return cls.from_recipe(make_recipe(model=str(model), plugins=list(plugins), **options))

    @classmethod
    @takes(PipeFields)
    def from_pipe(cls, pipe: Any, *, plugins: Sequence[Plugin] = (), **options: Unpack[PipeFields]) -> Fusion:
        """A diffusers pipeline that the caller already has; it is used as it is and left as it was.

        Args:
            pipe: A Stable Diffusion 1.x, 2.x or XL pipeline.
            plugins: In order of application.
            options: Any other field of a recipe.

        Raises:
            ModelError: The pipeline is of no known kind.
            RecipeError: An option is unknown or has a wrong value.
        """
        return cls.from_pipes({"model": pipe}, plugins=plugins, **options)

    @classmethod
    @takes(PipeFields)
    def from_pipes(
        cls, pipes: Mapping[str, Any], *, plugins: Sequence[Plugin] = (), **options: Unpack[PipeFields]
    ) -> Fusion:
        """Several diffusers pipelines that the caller already has, as plugins that blend models take them.

        Args:
            pipes: Pipelines by name, the main one first; two names may have one pipeline.
            plugins: In order of application.
            options: Any other field of a recipe.

        Raises:
            ModelError: A pipeline is of no known kind.
            RecipeError: An option is unknown or has a wrong value, or there is no pipeline.
        """
        made = of_pipes(pipes, plugins, options)
        return cls(made.infos, made.load, made.recipe)

    @classmethod
    @takes(RecipeFields)
    def from_recipe(
        cls,
        recipe: Recipe | str | Path,
        *,
        download: bool = False,
        pool: Pool | None = None,
        **changes: Unpack[RecipeFields],
    ) -> Fusion:
        """A recipe: an object, a file, the name of a bundled one, or a picture that carries one.

        Args:
            recipe: The recipe; of a file with several prompts, the first counts.
            download: Whether the hub may be asked for what a picture names. For any other recipe it may.
            pool: Workers that predict the views; by default those of the recipe's `devices`, if it has any.
            changes: Fields to change, by their Python names.

        Raises:
            RecipeError: The recipe has errors; all of them.
            ModelError: Its model can't be found or is of no known kind.
        """
        made = of_recipe(recipe, download, pool, changes)
        fusion = cls(made.infos, made.load, made.recipe)
        fusion._care = made.care
        return fusion

    @takes(CallFields)
    def __call__(
        self,
        prompt: str | None = None,
        *,
        callback: Callable[[Stage, Step, Tensor], bool | None] | None = None,
        progress: bool = True,
        preview: LivePreview | str | Path | bool | Callable[[Image, Stage, Step], None] | None = None,
        maps: bool = False,
        checkpoint: str | Path | None = None,
        checkpoint_every: float | None = EVERY,
        resume: bool = False,
        **changes: Unpack[CallFields],
    ) -> Result:
        """Make one picture.

        Args:
            prompt: What to show; None is the recipe's.
            callback: Called with the stage, the step and the canvas (1, C, H, W) after each step; answering False
                ends the run.
            progress: Whether to show a progress bar.
            preview: As for `run`; a recipe's `preview_every` is how often.
            maps: Whether to ask the plugins for pictures of how they worked: the result's `maps`.
            checkpoint: As for `run`.
            checkpoint_every: As for `run`.
            resume: As for `run`.
            changes: Fields of the recipe to change for this picture: `size=(896, 128)`, `seed=7`, `steps=30`, ...

        Raises:
            RecipeError: A value makes no sense; before any step.
            PluginError: A plugin failed.
            NumericalError: Numbers became NaN or infinite.
            OutOfMemory: Memory ran out; where only decoding failed, the error holds the latents.
            Cancelled: The callback ended the run.
        """
        if isinstance(prompt, (list, tuple)):
            raise RecipeError(["'prompt' is one text; fusion.many([...]) draws a picture for each of several"])
        given = changes if prompt is None else {**changes, "prompt": prompt}
        return self.run(
            changed(self.recipe, given),
            callback=callback,
            progress=progress,
            preview=preview,
            maps=maps,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
        )

    @takes(CallFields)
    def many(
        self,
        prompts: Sequence[str] | None = None,
        seeds: Iterable[int] | None = None,
        *,
        progress: bool = True,
        preview: LivePreview | str | Path | bool | Callable[[Image, Stage, Step], None] | None = None,
        **changes: Unpack[CallFields],
    ) -> Gallery:
        """Make a picture of each prompt with each seed, prompt by prompt.

        Args:
            prompts: What to show; None is the recipe's alone.
            seeds: None is the recipe's alone.
            progress: Whether to show a progress bar for each.
            preview: As for `run`; a recipe's `preview_every` is how often.
            changes: As for a call.

        Raises:
            RecipeError: A value makes no sense; before any picture.
            FusionError: As for a call.
        """
        if isinstance(prompts, str):
            raise RecipeError(["'prompts' is a list of texts; fusion(prompt) draws a picture of one"])
        recipe = changed(self.recipe, changes)
        varied: list[dict[str, Any]] = [{}] if prompts is None else [{"prompt": each} for each in prompts]
        numbers: list[dict[str, Any]] = [{}] if seeds is None else [{"seed": each} for each in seeds]
        recipes = [changed(recipe, {**each, **seed}) for each in varied for seed in numbers]
        columns = len(numbers) if len(varied) > 1 and len(numbers) > 1 else None
        return Gallery([self.run(each, progress=progress, preview=preview) for each in recipes], columns)

    @classmethod
    def resume(
        cls,
        path: str | Path,
        fusion: Fusion | None = None,
        *,
        callback: Callable[[Stage, Step, Tensor], bool | None] | None = None,
        progress: bool = True,
        preview: LivePreview | str | Path | bool | Callable[[Image, Stage, Step], None] | None = None,
        maps: bool = False,
        checkpoint_every: float | None = EVERY,
        **changes: Unpack[CallFields],
    ) -> Result:
        """Go on with a run that ended before its picture was saved, from its checkpoint.

        Args:
            path: The checkpoint's file.
            fusion: The models, where they came from pipelines, or are loaded already; None loads those of the recipe
                that the checkpoint holds.
            callback: As for a call.
            progress: As for a call.
            preview: As for `run`; a recipe's `preview_every` is how often.
            maps: As for a call.
            checkpoint_every: As for `run`.
            changes: Fields of the recipe that change how a picture is computed and not which one, such as
                `vae_tiling`, `batch_size`, `device` and `offload`.

        Raises:
            CheckpointError: It is none, it is damaged, or something has changed that decides the picture.
        """
        from fusionkit.runs.checkpoints.checkpoint import read_checkpoint
        from fusionkit.runs.checkpoints.resume import recipe_in

        recipe = changed(recipe_in(read_checkpoint(Path(path))), changes)
        return (fusion or cls.from_recipe(recipe)).run(
            recipe,
            callback=callback,
            progress=progress,
            preview=preview,
            maps=maps,
            checkpoint=path,
            checkpoint_every=checkpoint_every,
            resume=True,
        )

    def plan(self, recipe: Recipe | None = None, observers: Sequence[Plugin] = (), device: Any = "cpu") -> RunPlan:
        """Stages and views of a run, checked, without the model's weights.

        Raises:
            RecipeError: Something makes no sense; all of it.
        """
        with self._care():
            return prepare(recipe or self.recipe, self.info, observers, device, infos=self.infos)

    def run(
        self,
        recipe: Recipe | None = None,
        *,
        callback: Callable[[Stage, Step, Tensor], bool | None] | None = None,
        progress: bool = True,
        preview: LivePreview | str | Path | bool | Callable[[Image, Stage, Step], None] | None = None,
        preview_every: int | None = None,
        maps: bool = False,
        checkpoint: str | Path | None = None,
        checkpoint_every: float | None = EVERY,
        resume: bool = False,
    ) -> Result:
        """Run a recipe with this model.

        What the plan notes, such as a canvas that would be drawn as several pictures, is warned of (`RecipeWarning`).

        Args:
            recipe: What to run; None is the recipe this was made from.
            callback: As for a call.
            progress: Whether to show a progress bar.
            preview: A small picture of how far it is, again and again, which changes nothing: in a file, by its name;
                in a notebook, in place, with True; or as a `LivePreview` says. A function is called with the whole
                picture, decoded, the stage and the step.
            preview_every: How many steps apart; None is the recipe's number, or each. A function needs one.
            maps: As for a call.
            checkpoint: Where the run is kept while it lasts, and when it ends before its picture: a file. `Result.save`
                deletes it. None keeps nothing.
            checkpoint_every: Seconds from one checkpoint to the next; 0 writes one after each step, None none at all.
            resume: Go on from the checkpoint, where there is one; it must be of this recipe.

        Raises:
            RecipeError: A value makes no sense; before the weights load.
            PluginError: A plugin failed.
            NumericalError: Numbers became NaN or infinite.
            OutOfMemory: Memory ran out; where only decoding failed, the error holds the latents.
            Cancelled: The callback ended the run.
            CheckpointError: The checkpoint to go on from is damaged, or of another run.
        """
        recipe = recipe or self.recipe
        every = recipe.preview_every if preview_every is None and not isinstance(preview, Plugin) else preview_every
        watched = Watched(progress=progress, callback=callback, preview=preview, preview_every=every)
        plan = self.plan(recipe, watched.observers, self._device)
        warn_of(plan.notes)
        begin = find_checkpoint(Path(checkpoint), plan.recipe) if resume and checkpoint is not None else None
        models = self.models_for(plan.recipe)
        for each in models.values():
            each.most_views = plan.largest_group
        with self._care(), attempted(plan, models, path=checkpoint, every=checkpoint_every, begin=begin) as attempt:
            with watched.shown(plan.forward_passes, attempt.meter.spent().forward_passes):
                latents = execute(plan, next(iter(models.values())), models, attempt.begun, attempt.step_ended)
            return finished(plan, models, latents, attempt.denoised(), maps=maps)

    def models_for(self, recipe: Recipe) -> Mapping[str, Model]:
        """The models by name, the main one first, loaded when they are first needed.

        Raises:
            ModelError: One can't be loaded.
            RecipeError: The recipe asks for other weights, or another place for them, than those loaded.
        """
        if self._fixed is None:
            with self._care():
                self._models, self._fixed = self._load(recipe), recipe
        if moved := [name for name in (*WEIGHTS, *ADAPTER) if getattr(recipe, name) != getattr(self._fixed, name)]:
            raise RecipeError(
                f"{name} can't change to {getattr(recipe, name)!r} once the model is loaded; make another Fusion for it"
                for name in moved
            )
        for name, each in self._models.items():
            each.batch_size, each.vae_tiling = self.batch_size, recipe.vae_tiling
            each.batches.update(self.batches.get(name, {}))
        return self._models

    @property
    def _device(self) -> Any:
        """Where the models are; None before they are loaded."""
        return next(iter(self._models.values())).device if self._models else None
