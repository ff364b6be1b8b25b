"""LoRAs: put on a pipeline, and taken off again."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import ModelError
from fusionkit.models.embedded import embedded_models
from fusionkit.models.silence import quiet_loading

if TYPE_CHECKING:
    from fusionkit.recipe import Lora


def check_loras(loras: Sequence[Lora]) -> list[str]:
    """One line for each LoRA whose file is not there or not safe to load; hub ids are not looked up."""
    problems = []
    for lora in loras:
        path = Path(lora.path).expanduser()
        file = path / lora.weight_name if path.is_dir() and lora.weight_name else path
        if file.suffix in (".bin", ".pt", ".pth", ".ckpt"):
            problems.append(
                f"LoRA '{file}' is pickled, which can run any code and is refused; convert it to .safetensors"
            )
        elif not file.exists() and (path.is_dir() or path.suffix or lora.path.count("/") != 1):
            problems.append(f"LoRA '{file}': no such file or folder")
        elif file.is_dir() and not list(file.glob("*.safetensors")):
            problems.append(f"LoRA '{file}' has no .safetensors file")
    return problems


def add_loras(pipe: Any, loras: Sequence[Lora]) -> None:
    """Put LoRAs on a pipeline that has none, each at its scale.

    Raises:
        ModelError: The pipeline has some, or one can't be loaded or does not fit the model; then none is put on.
    """
    if not loras:
        return
    if pipe.get_list_adapters():
        raise ModelError("the pipeline has LoRAs of its own; put the recipe's beside them with pipe.load_lora_weights")
    for number, lora in enumerate(loras):
        path = Path(lora.path).expanduser()
        try:
            with quiet_loading(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Already found a `peft_config`")  # a second one is meant
                pipe.load_lora_weights(
                    str(path) if path.exists() else lora.path,
                    weight_name=lora.weight_name,
                    adapter_name=f"fusionkit_{number}",
                    use_safetensors=True,
                )
        except Exception as error:
            # LoRAs are somebody else's: what diffusers and peft raise for bad ones has no common type.
            remove_loras(pipe)
            raise ModelError(f"LoRA '{lora.path}' can't be loaded: {' '.join(str(error).split()):.300}") from error
    names = [f"fusionkit_{number}" for number in range(len(loras))]
    pipe.set_adapters(names, [lora.scale for lora in loras])


def merge_embedded_lora(pipe: Any, source: str) -> None:
    """Merge the LoRA of an embedded model into the denoiser, where the model is another one with a LoRA."""
    embedded = embedded_models().get(source)
    if embedded is None or embedded.lora is None:
        return
    pipe.load_lora_weights(str(embedded.lora.parent), weight_name=embedded.lora.name, use_safetensors=True)
    pipe.fuse_lora()
    pipe.unload_lora_weights()


def remove_loras(pipe: Any) -> None:
    """Take all LoRAs off a pipeline; it is then as if it had never had one."""
    pipe.unload_lora_weights()
