"""How LoRA files spell a model's layers: kohya's, diffusers', peft's and Stability's names. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

UNET, TEXT, TEXT_2, OTHER = "unet", "text_encoder", "text_encoder_2", "other"
TRANSFORMER = "transformer"

# What a tensor's name ends in, and what the tensor is of its layer.
_PARTS = (
    (re.compile(r"(?:[._]lora|\.lora_linear_layer)\.(down|up)\.weight$"), ""),
    (re.compile(r"\.lora_(down|up|mid)\.weight$"), ""),
    (re.compile(r"\.lora_A(?:\.[\w-]+)?\.weight$"), "down"),
    (re.compile(r"\.lora_B(?:\.[\w-]+)?\.weight$"), "up"),
    (re.compile(r"(?:[._]lora)?\.alpha$"), "alpha"),
)

# What marks a tensor of another method, and how its users call that method.
_METHODS = (
    (re.compile(r"\.(dora_scale|lora_magnitude_vector)\b"), "DoRA"),
    (re.compile(r"[._]hada_"), "LoHa"),
    (re.compile(r"[._]lokr_"), "LoKr"),
    (re.compile(r"[._](on_input|ia3_l)\b"), "(IA)3"),
    (re.compile(r"[._](boft|oft)_"), "OFT"),
    (re.compile(r"[._]vera_lambda_"), "VeRA"),
    (re.compile(r"\.[ab][12]\.weight$"), "GLoRA"),
    (re.compile(r"\.(diff|diff_b|w_norm|b_norm|set_weight)$|\.modules_to_save\."), "set of whole layers"),
    (re.compile(r"\.lora_(up|down|A|B|bias)\b.*\bbias$|\.lora_bias\b"), "set of biases"),
    (re.compile(r"\.lora_embedding_[AB]\b"), "set of embeddings"),
    (re.compile(r"^bundle_emb\.|^emb_params$|^clip_[lg]$|string_to_param"), "textual inversion"),
)

_PREFIXES = (
    ("lora_unet_", UNET),
    ("lora_unet.", UNET),
    ("unet.", UNET),
    ("model.diffusion_model.", UNET),
    ("diffusion_model.", UNET),
    ("lycoris_", UNET),
    ("lora_te1_", TEXT),
    ("lora_te1.", TEXT),
    ("lora_te2_", TEXT_2),
    ("lora_te2.", TEXT_2),
    ("lora_te_", TEXT),
    ("lora_te.", TEXT),
    ("text_encoder_2.", TEXT_2),
    ("text_encoder.", TEXT),
    ("transformer.", TRANSFORMER),
    ("lora_transformer_", TRANSFORMER),
)
_UNET_PARTS = (
    *("down_blocks", "mid_block", "up_blocks", "conv_in", "conv_out", "time_embedding", "add_embedding"),
    *("input_blocks", "middle_block", "output_blocks", "time_embed", "label_emb"),
)
_PEFT = "base_model.model."

# Of a residual block in Stability's own names, and the same in diffusers'.
_RESNET = {
    "in_layers_0": "norm1",
    "in_layers_2": "conv1",
    "out_layers_0": "norm2",
    "out_layers_3": "conv2",
    "emb_layers_1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
_SINGLE = {
    "input_blocks_0_0": "conv_in",
    "time_embed_0": "time_embedding_linear_1",
    "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1",
    "label_emb_0_2": "add_embedding_linear_2",
    "out_2": "conv_out",
}


def split(key: str) -> tuple[str, str] | None:
    """A tensor's name as its layer's and what it is of it: "down", "up", "mid" or "alpha"; None of any other tensor."""
    for pattern, part in _PARTS:
        if found := pattern.search(key):
            return key[: found.start()], part or found[1]
    return None


def method(key: str) -> str:
    """The method, other than LoRA, whose tensor has such a name; empty where none is known."""
    return next((name for pattern, name in _METHODS if pattern.search(key)), "")


def component(layer: str) -> tuple[str, str]:
    """The part of the pipeline that a layer belongs to, or "other", and its name in there as the file spells it."""
    name = layer.removeprefix(_PEFT)
    for prefix, part in _PREFIXES:
        if name.startswith(prefix):
            return part, name[len(prefix) :].removeprefix(_PEFT)
    if name.startswith(_UNET_PARTS):
        return UNET, name
    if name.startswith(("text_model", "encoder.layers")):
        return TEXT, name
    return OTHER, name


def plain(name: str) -> str:
    """A layer's name in the one spelling in which all are compared: that of kohya's files, without `text_model`."""
    name = name.replace(".processor.", ".").replace(".", "_").removeprefix("text_model_")
    name = re.sub(r"(attn[12])_to_out$", r"\1_to_out_0", name)
    old = re.sub(r"(self_attn)_to_([qkv])$", r"\1_\2_proj", name)
    return re.sub(r"(self_attn)_to_out$", r"\1_out_proj", old)


def layers_per_block(plain_names: Collection[str]) -> int:
    """How many residual blocks a block of the denoiser has, from its layers' names; 2 where they do not tell."""
    found = {name[: len("down_blocks_0_resnets_0")] for name in plain_names if name.startswith("down_blocks_0_resnets")}
    return len(found) or 2


def of_stability(name: str, layers: int = 2) -> str:
    """A plain name in Stability's own spelling as diffusers', and any other as it is.

    Args:
        name: Such as `input_blocks_4_1_proj_in`.
        layers: Residual blocks in a block of the denoiser.
    """
    if name in _SINGLE:
        return _SINGLE[name]
    if found := re.fullmatch(r"(input|output)_blocks_(\d{1,3})_(\d)_(.+)", name):
        side, number, inner, rest = found[1], int(found[2]), int(found[3]), found[4]
        return _in_block(side, number, inner, rest, layers)
    if found := re.fullmatch(r"middle_block_([012])_(.+)", name):
        kind = ("resnets_0", "attentions_0", "resnets_1")[int(found[1])]
        return f"mid_block_{kind}_{_RESNET.get(found[2], found[2])}"
    return name


def _in_block(side: str, number: int, inner: int, rest: str, layers: int) -> str:
    block, layer = divmod(number - 1 if side == "input" else number, layers + 1)
    where = f"{'down' if side == 'input' else 'up'}_blocks_{block}"
    if side == "input" and rest == "op":
        return f"{where}_downsamplers_0_conv"
    if side == "output" and rest == "conv":
        return f"{where}_upsamplers_0_conv"
    if inner == 0:
        return f"{where}_resnets_{layer}_{_RESNET.get(rest, rest)}"
    return f"{where}_attentions_{layer}_{rest}"


def named(items: Collection[str], most: int = 3) -> str:
    """The first few of some names, and how many more there are."""
    return ", ".join(_first(items, most)) + (f" and {len(items) - most:,} more" if len(items) > most else "")


def _first(items: Collection[str], most: int) -> Iterator[str]:
    for number, item in enumerate(items):
        if number < most:
            yield item if len(item) <= 100 else f"{item[:97]}..."
