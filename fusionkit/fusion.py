"""The Python face: a model, plugins, and a call that makes a picture."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import RecipeError
from fusionkit.observers import OnStepDone, Preview, Progress
from fusionkit.plugin import Plugin
from fusionkit.recipe import Recipe
from fusionkit.run import RunPlan, ask_maps, execute, prepare

# What the weights were loaded with: a later call can't change it.
WEIGHTS = ("model", "revision", "variant", "loras", "dtype", "device", "offload", "compile", "channels_last")
ADAPTER = ("vae_tiling", "clip_skip")

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.models import Model, ModelInfo


@dataclass(frozen=True)
class Result:
    """A finished picture and how it was made.

    Args:
        image: The picture; a notebook shows it.
        latents: Its clean latents, (1, C, H, W), float32 on the CPU.
        recipe: The recipe that made it, completed with all defaults.
        seconds: Time of the denoising and the decoding together.
        denoising_seconds: Time of the denoising alone.
        forward_share: The part of the denoising time that the model's own forward passes took, 0..1.
        forward_passes: How many views went through the denoiser.
        draw_maps: Asks the plugins for `maps`.
    """

    image: Image
    latents: Tensor = field(repr=False)
    recipe: Recipe = field(repr=False)
    seconds: float
    denoising_seconds: float
    forward_share: float
    forward_passes: int
    draw_maps: Callable[[], Mapping[str, Image]] = field(default=dict, repr=False)

    @property
    def seed(self) -> int:
        """The seed that was used."""
        return self.recipe.seed

    @cached_property
    def maps(self) -> Mapping[str, Image]:
        """The plugins' pictures of how they worked, by name; drawn when first looked at, none unless asked for.

        Raises:
            PluginError: A plugin failed.
        """
        return self.draw_maps()

    @property
    def latents_hash(self) -> str:
        """SHA-256 of the latents' bytes, to tell whether two runs gave exactly the same."""
        return hashlib.sha256(self.latents.contiguous().numpy().tobytes()).hexdigest()

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the picture, with recipe, seed, versions and the latents' hash inside where the format is PNG.

        Args:
            path: The file; its folder is made. An existing file is kept and a number is added to the new one's name.
            overwrite: Replace an existing file instead.

        Returns:
            Where the picture is.
        """
        from fusionkit.image import metadata_of, save_image

        return save_image(self.image, Path(path), metadata_of(self), overwrite=overwrite)

    def _repr_png_(self) -> bytes | None:
        return self.image._repr_png_()


class Fusion:
    """A model with plugins, ready to make pictures; weights load when the first one is asked for and has been checked.

    Make one with `from_pretrained`, `from_pipe` or `from_recipe`.

    Args:
        info: What is known of the model.
        load: Loads the model for a recipe.
        recipe: What applies where a call says nothing.
    """

    def __init__(self, info: ModelInfo, load: Callable[[Recipe], Model], recipe: Recipe) -> None:
        self.info = info
        self.recipe = recipe
        self._load = load
        self._model: Model | None = None
        self._fixed: Recipe | None = None

    @classmethod
    def from_pretrained(cls, model: str | Path, *, plugins: Sequence[Plugin] = (), **options: Any) -> Fusion:
        """A model by hub id, folder, `.safetensors` file or embedded name such as `tinyworld/scenes`.

        Args:
            model: Where the model is.
            plugins: In order of application.
            options: Any other field of a recipe: `scheduler="ddpm"`, `steps=30`, `dtype="bfloat16"`, ...

        Raises:
            ModelError: The model can't be found or is of no known kind.
            RecipeError: An option is unknown or has a wrong value.
        """
        return cls.from_recipe(make_recipe(model=str(model), plugins=list(plugins), **options))

    @classmethod
    def from_pipe(cls, pipe: Any, *, plugins: Sequence[Plugin] = (), **options: Any) -> Fusion:
        """A diffusers pipeline that the caller already has; it is used as it is and left as it was.

        Args:
            pipe: A Stable Diffusion 1.x, 2.x or XL pipeline.
            plugins: In order of application.
            options: Any other field of a recipe.

        Raises:
            ModelError: The pipeline is of no known kind.
            RecipeError: An option is unknown or has a wrong value.
        """
        from fusionkit.models.inspect import info_of_pipeline
        from fusionkit.models.load import wrap_pipeline

        recipe = make_recipe(plugins=list(plugins), **options)
        if given := [name for name in WEIGHTS if name in recipe.model_fields_set]:
            raise RecipeError(f"{name} is decided by the pipeline; set it there, before from_pipe" for name in given)

        def load(recipe: Recipe) -> Model:
            return wrap_pipeline(pipe, vae_tiling=recipe.vae_tiling, clip_skip=recipe.clip_skip)

        return cls(info_of_pipeline(pipe), load, recipe)

    @classmethod
    def from_recipe(cls, recipe: Recipe | str | Path, **changes: Any) -> Fusion:
        """A recipe: an object, a file, or the name of a bundled one.

        Args:
            recipe: The recipe; of a file with several prompts, the first counts.
            changes: Fields to change, by their Python names.

        Raises:
            RecipeError: The recipe has errors; all of them.
            ModelError: Its model can't be found or is of no known kind.
        """
        from fusionkit.models.inspect import inspect_model
        from fusionkit.models.load import load_model

        if not isinstance(recipe, Recipe):
            from fusionkit.recipe_file import load_recipes

            recipe = load_recipes(recipe)[0]
        recipe = changed(recipe, changes)
        if recipe.model is None:
            raise RecipeError(["a recipe needs a model: a hub id, a folder, a .safetensors file, or an embedded name"])
        info = inspect_model(recipe.model, revision=recipe.revision, variant=recipe.variant)
        return cls(info, lambda r: load_model(r, info), recipe)

    def __call__(
        self,
        prompt: str | None = None,
        *,
        callback: Callable[..., bool | None] | None = None,
        progress: bool = True,
        maps: bool = False,
        **changes: Any,
    ) -> Result:
        """Make one picture.

        Args:
            prompt: What to show; None is the recipe's.
            callback: Called with the stage, the step and the canvas (1, C, H, W) after each step; answering False
                ends the run.
            progress: Whether to show a progress bar.
            maps: Whether to ask the plugins for pictures of how they worked: the result's `maps`.
            changes: Fields of the recipe to change for this picture: `size=(896, 128)`, `seed=7`, `steps=30`, ...

        Raises:
            RecipeError: A value makes no sense; before any step.
            PluginError: A plugin failed.
            Cancelled: The callback ended the run.
        """
        if prompt is not None:
            changes["prompt"] = prompt
        return self.run(changed(self.recipe, changes), callback=callback, progress=progress, maps=maps)

    def plan(self, recipe: Recipe | None = None, observers: Sequence[Plugin] = (), device: Any = "cpu") -> RunPlan:
        """Stages and views of a run, checked, without the model's weights.

        Raises:
            RecipeError: Something makes no sense; all of it.
        """
        return prepare(recipe or self.recipe, self.info, observers, device)

    def run(
        self,
        recipe: Recipe | None = None,
        *,
        callback: Callable[..., bool | None] | None = None,
        progress: bool = True,
        preview: Callable[..., None] | None = None,
        preview_every: int | None = None,
        maps: bool = False,
    ) -> Result:
        """Run a recipe with this model.

        Args:
            recipe: What to run; None is the recipe this was made from.
            callback: As for a call.
            progress: Whether to show a progress bar.
            preview: Called with a picture, the stage and the step.
            preview_every: How many steps apart.
            maps: As for a call.

        Raises:
            RecipeError: A value makes no sense; before the weights load.
            PluginError: A plugin failed.
            Cancelled: The callback ended the run.
        """
        recipe = recipe or self.recipe
        bar = Progress()
        observers: list[Plugin] = [bar] if progress else []
        if preview is not None and preview_every is not None:
            observers.append(Preview(every=preview_every, show=preview))
        if callback is not None:
            observers.append(OnStepDone(call=callback))
        plan = self.plan(recipe, observers, self._device(recipe))
        model = self.model_for(plan.recipe)

        passes, forward, began = model.forward_passes, model.forward_seconds, time.perf_counter()
        if progress:
            bar.open(plan.forward_passes)
        try:
            latents = execute(plan, model)
        finally:
            bar.close()
        denoised = time.perf_counter()
        image = model.decode(latents)
        ended = time.perf_counter()
        return Result(
            image=image,
            latents=latents.float().cpu().clone(),  # a plain tensor, no longer one of inference mode
            recipe=plan.recipe,
            seconds=ended - began,
            denoising_seconds=denoised - began,
            forward_share=(model.forward_seconds - forward) / (denoised - began),
            forward_passes=model.forward_passes - passes,
            draw_maps=partial(ask_maps, plan, image) if maps else dict,
        )

    def model_for(self, recipe: Recipe) -> Model:
        """The model, loaded when it is first needed.

        Raises:
            ModelError: The model can't be loaded.
            RecipeError: The recipe asks for other weights, or another place for them, than those loaded.
        """
        if self._model is None or self._fixed is None:
            self._model, self._fixed = self._load(recipe), recipe
        if moved := [name for name in (*WEIGHTS, *ADAPTER) if getattr(recipe, name) != getattr(self._fixed, name)]:
            raise RecipeError(
                f"{name} can't change to {getattr(recipe, name)!r} once the model is loaded; make another Fusion for it"
                for name in moved
            )
        return self._model

    def _device(self, recipe: Recipe) -> Any:
        if self._model is not None:
            return self._model.device
        from fusionkit.models.load import check_machine, pick_device

        if problems := check_machine(recipe):
            raise RecipeError(problems)
        return pick_device(recipe.device)


def make_recipe(**fields: Any) -> Recipe:
    """A recipe from fields by their Python names, with errors as a recipe file's are: one line each, all at once.

    Raises:
        RecipeError: A field is unknown or has a wrong value.
    """
    from pydantic import ValidationError

    from fusionkit.recipe import problems_of

    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(problems_of(error)) from None


def changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """The recipe with some fields changed, validated again.

    Raises:
        RecipeError: A field is unknown or has a wrong value.
    """
    if not changes:
        return recipe
    given = {name: getattr(recipe, name) for name in recipe.model_fields_set}
    return make_recipe(**{**given, **changes})
