"""LoRAs: checked before anything loads, put on a pipeline, counted, and taken off again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.doctor import unfit_hint
from fusionkit.errors import ModelError
from fusionkit.loop.model import ModelInfo
from fusionkit.models.embedded import embedded_models
from fusionkit.models.lora.file import LoraFile, read_lora
from fusionkit.models.lora.fit import Layers, Match, family_problem, layers_of_model, match
from fusionkit.models.lora.names import TEXT, TEXT_2, TRANSFORMER, UNET
from fusionkit.models.lora.place import called, find_lora
from fusionkit.models.silence import quiet_loading
from fusionkit.trust import no_download

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Lora, ModelSpec

_PARTS = (UNET, TRANSFORMER, TEXT, TEXT_2)


def check_loras(spec: ModelSpec, info: ModelInfo | None = None, *, download: bool = False) -> list[str]:
    """One line for each thing that is wrong with a model's LoRAs, found without torch.

    Files are read as far as their headers. Of those on the hub that are not in its cache, only their names are asked.

    Args:
        spec: The model and its LoRAs.
        info: What is known of the model; None leaves out whether they fit it.
        download: Fetch from the hub what is not here.
    """
    if not spec.loras:
        return []
    layers = None if info is None else layers_of_model(spec.model, spec.revision)
    problems = []
    for lora in spec.loras:
        lines: Sequence[str] = ()
        try:
            path = find_lora(lora, download=download)
            if path is None and (refused := no_download()):
                raise ModelError(refused)
            file = None if path is None else read_lora(path)
            if file is not None and info is not None and layers is not None:
                other = family_problem(file, info)
                lines = [other] if other else match(file, layers, f"'{spec.model}'")[1]
        except ModelError as error:
            lines = str(error).splitlines()
        problems += [_told(lora, line) for line in lines]
    return problems


def add_loras(pipe: Any, loras: Sequence[Lora]) -> None:
    """Put LoRAs on a pipeline that has none, each at its scale: W + scale alpha/rank up down, for each layer.

    Alphas count for each layer by itself, as in kohya's sd-scripts. What is on the pipeline afterwards is counted
    against what the files hold.

    Raises:
        ModelError: The pipeline has some, or one can't be read or does not fit the model; then none is put on.
    """
    if not loras:
        return
    if pipe.get_list_adapters():
        raise ModelError("the pipeline has LoRAs of its own; put the recipe's beside them with pipe.load_lora_weights")
    with quiet_loading():
        from fusionkit.models.lora.layers import finish, put_on

    layers = _layers_of_pipe(pipe)
    for number, lora in enumerate(loras):
        try:
            file, matches = _matched(lora, layers)
            put_on(pipe, file, matches, f"fusionkit_{number}")
        except ModelError as error:
            remove_loras(pipe)
            raise ModelError("\n".join(_told(lora, line) for line in str(error).splitlines())) from error
        except Exception as error:
            # What peft raises where it does not fit the other libraries has no common type.
            remove_loras(pipe)
            why = f"{' '.join(str(error).split()):.300}{unfit_hint('peft')}"
            raise ModelError(_told(lora, f"can't be put on: {why}")) from error
    finish(pipe, {f"fusionkit_{number}": lora.scale for number, lora in enumerate(loras)})


def merge_embedded_lora(pipe: Any, source: str) -> None:
    """Merge the LoRA of an embedded model into the denoiser, where the model is another one with a LoRA."""
    embedded = embedded_models().get(source)
    if embedded is None or embedded.lora is None:
        return
    with quiet_loading():  # of a text encoder that the LoRA leaves alone
        pipe.load_lora_weights(str(embedded.lora.parent), weight_name=embedded.lora.name, use_safetensors=True)
        pipe.fuse_lora()
        pipe.unload_lora_weights()


def remove_loras(pipe: Any) -> None:
    """Take all LoRAs off a pipeline; it is then as if it had never had one."""
    pipe.unload_lora_weights()


def _matched(lora: Lora, layers: Layers) -> tuple[LoraFile, list[Match]]:
    path = find_lora(lora, download=True)
    assert path is not None, "what is downloaded is there"
    file = read_lora(path)
    matches, problems = match(file, layers)
    if problems:
        raise ModelError("\n".join(problems))
    return file, matches


def _layers_of_pipe(pipe: Any) -> Layers:
    from fusionkit.models.lora.layers import shapes_of

    found: dict[str, Mapping[str, tuple[int, ...]]] = {}
    for part in _PARTS:
        module = getattr(pipe, part, None)
        found[part] = {} if module is None else shapes_of(module)
    return found


def _told(lora: Lora, line: str) -> str:
    if line.startswith("LoRA '"):  # what the hub answers names it already
        return line
    # "LoRA 'x': no such file", but "LoRA 'x' is damaged".
    return f"{called(lora)}{':' if line.startswith('no such') else ''} {line}"
