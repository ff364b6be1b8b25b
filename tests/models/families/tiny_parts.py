"""What tiny pipelines of transformers are made of: tokenizers, text encoders, autoencoders, random in every layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from fusionkit.doctor import missing
from fusionkit.models.families import FAMILIES
from fusionkit.models.silence import quiet_diffusers
from fusionkit.testing.tiny import _text_encoder, _tokenizer

TEXTS = [
    "a photo of a red boat on a lake at dawn",
    "a mountain range at twilight, with snow and a small house",
    "two cats and a dog in the rain",
    "the old town by the sea under stars",
    "describe the image user assistant system",
] * 4

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Case:
    """A tiny pipeline of a family, and how diffusers draws with it.

    Args:
        name: Of the case.
        kind: The family's.
        make: Builds the pipeline; asked once.
        drawn: From the pipeline, noise (1, C, h, w), prompt, negative prompt, guidance scale as fusionkit has it and
            other arguments of its call, to what the pipeline itself draws: clean latents (1, C, h, w), unpacked.
        negative: Whether a negative prompt counts.
    """

    name: str
    kind: str
    make: Callable[[], Any]
    drawn: Callable[..., torch.Tensor]
    negative: bool = True

    def __str__(self) -> str:
        return self.name


def cases() -> list[Case]:
    """The `CASES` of each file `tiny_*.py` beside this one: another family is another file."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("tiny_*.py") if path.stem != "tiny_parts")
    return [case for name in names for case in import_module(name).CASES]


def lacking(case: Case) -> str:
    """What must be installed before a case can be made; empty where nothing is missing."""
    return "; ".join(missing(FAMILIES[case.kind].needs))


def made() -> list[Case]:
    """Those of the cases that can be made with what is installed."""
    return [case for case in cases() if not lacking(case)]


@cache
def clip_tokenizer() -> Any:
    """CLIP's, with one token for each letter."""
    with TemporaryDirectory() as folder:
        return _tokenizer(Path(folder))


def clip(*, projected: bool) -> Any:
    return _text_encoder(len(clip_tokenizer()), projected=projected)


@cache
def byte_pairs() -> Any:
    """Byte pairs, as Qwen's, with a chat."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    marks = {"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **marks, model_max_length=1024, padding_side="right"
    )
    fast.chat_template = CHAT
    return fast


@cache
def begun_byte_pairs() -> Any:
    """The same as Gemma's, which put a mark before every text."""
    tokenizer = Tokenizer.from_str(byte_pairs().backend_tokenizer.to_str())
    mark = "<|im_start|>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{mark} $A", special_tokens=[(mark, tokenizer.token_to_id(mark))]
    )
    marks = {"bos_token": mark, "pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **marks, model_max_length=2048, padding_side="right"
    )


@cache
def pieces(length: int = 512) -> Any:
    """Pieces of words, as T5's: words begin with a mark, and a text ends with one."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=160, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks, model_max_length=length)


def t5(tokenizer: Any, width: int = 24) -> Any:
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
        eos_token_id=1,
    )
    return transformers.T5EncoderModel(config).eval()


def gemma2(tokenizer: Any) -> Any:
    config = transformers.Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=12,
        max_position_embeddings=2048,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return transformers.Gemma2Model(config).eval()


def qwen3(tokenizer: Any, **options: Any) -> Any:
    settings = {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 12,
        "max_position_embeddings": 1024,
        **options,
    }
    return transformers.Qwen3Config(vocab_size=len(tokenizer), **settings)


def autoencoder(channels: int = 16, **options: Any) -> Any:
    """`AutoencoderKL` with a factor of 8."""
    widths = (4, 4, 8, 8)
    scaling = {"scaling_factor": 0.3611, "shift_factor": 0.1159, "use_quant_conv": False, "use_post_quant_conv": False}
    return diffusers.AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=2,
        sample_size=64,
        force_upcast=False,
        **{**scaling, **options},
    ).eval()


def flow(**options: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**options)


def shaken(net: Any, seed: int = 1) -> Any:
    """Random weights everywhere: some layers begin at zero, which would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    for weights in net.parameters():
        noise = torch.randn(weights.shape, generator=generator)
        weights.data = weights.data + 0.05 * noise if weights.ndim < 2 else noise * (1.2 / weights.shape[-1] ** 0.5)
    return net.eval().requires_grad_(False)


def seeded(make: Callable[[], Any]) -> Callable[[], Any]:
    """Builds a pipeline once, its weights from a seed."""

    @cache
    def made() -> Any:
        # Some pipelines are built on what diffusers itself calls outdated.
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), quiet_diffusers():
            torch.manual_seed(0)
            pipe = make()
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return made


def packed(pipe: Any, noise: torch.Tensor) -> torch.Tensor:
    """Noise (1, C, h, w) as Flux and its kin take it."""
    _, channels, height, width = noise.shape
    tokens: torch.Tensor = pipe._pack_latents(noise, 1, channels, height, width)
    return tokens


def unpacked(pipe: Any, tokens: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Tokens as latents of the noise's shape."""
    factor = pipe.vae_scale_factor
    latents: torch.Tensor = pipe._unpack_latents(tokens, noise.shape[2] * factor, noise.shape[3] * factor, factor)
    return latents


def qwen2_5_vl(tokenizer: Any) -> Any:
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 2, 2], "rope_type": "default"},
    }
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 24}
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    return transformers.Qwen2_5_VLForConditionalGeneration(config).eval()


def qwen_autoencoder() -> Any:
    return diffusers.AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1 * number - 0.8 for number in range(16)],
        latents_std=[1 + 0.1 * number for number in range(16)],
    ).eval()
