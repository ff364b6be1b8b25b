"""Z-Image's own architecture with random weights, made where it computes: a transformer at its real size.

The defaults of diffusers' class are the published configuration; the text encoder is Qwen3-4B's, the autoencoder
Flux.1's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fusionkit.models.sharing import place
from fusionkit.models.silence import quiet_loading
from on_gpu.models import born, forget

_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TEXT = {
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40_960,
    "vocab_size": 151_936,
}
_TINY_TEXT = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 12,
    "max_position_embeddings": 1024,
    "vocab_size": 300,
}
_TINY = {
    "dim": 32,
    "n_layers": 2,
    "n_refiner_layers": 1,
    "n_heads": 2,
    "n_kv_heads": 2,
    "cap_feat_dim": 24,
    "axes_dims": [4, 6, 6],
}


class ZImage:
    """Z-Image with random weights.

    Args:
        device: Where it is made.
        tiny: A tiny one in float32, to try the commands on a CPU in seconds.
    """

    def __init__(self, device: torch.device, *, tiny: bool = False) -> None:
        self.device = device
        self.tiny = tiny
        self.dtype = torch.float32 if tiny else torch.bfloat16
        self.window = 64 if tiny else 1024

    def pipeline(self) -> Any:
        """A `ZImagePipeline`, every part in bfloat16, as fusionkit loads it."""
        from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline

        torch.manual_seed(0)
        with quiet_loading():
            pipe = ZImagePipeline(
                scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
                vae=self._made(self._vae),
                text_encoder=self._made(self._text_encoder),
                tokenizer=tokenizer(),
                transformer=self.transformer(),
            )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    @contextmanager
    def placed(self, offload: str) -> Iterator[Any]:
        """While the block runs, a pipeline that is on the device, or comes there in parts; then it is gone."""
        pipe = self.pipeline()
        try:
            if self.device.type != "cpu" and offload != "none":  # from a CPU there is nowhere to offload
                pipe.to("cpu")
                forget(self.device)
                place([pipe], self.device, offload)
            yield pipe
        finally:
            del pipe
            forget(self.device)

    def transformer(self) -> Any:
        """The denoiser, with the random weights of its constructor."""
        from diffusers import ZImageTransformer2DModel

        return self._made(lambda: ZImageTransformer2DModel(**(_TINY if self.tiny else {})))

    def _made(self, make: Any) -> Any:
        with born(self.device, self.dtype):
            return make().eval().requires_grad_(False)

    def _text_encoder(self) -> Any:
        from transformers import Qwen3Config, Qwen3Model

        return Qwen3Model(Qwen3Config(**(_TINY_TEXT if self.tiny else _TEXT)))

    def _vae(self) -> Any:
        from diffusers import AutoencoderKL

        widths = (4, 4, 8, 8) if self.tiny else (128, 256, 512, 512)
        return AutoencoderKL(
            block_out_channels=widths,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1 if self.tiny else 2,
            latent_channels=16,
            norm_num_groups=2 if self.tiny else 32,
            sample_size=self.window,
            scaling_factor=0.3611,
            shift_factor=0.1159,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )


def tokenizer() -> Any:
    """Byte pairs with no pairs, and a chat, as Qwen's: one token a byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = [*marks, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(marks)
    names = {"pad_token": marks[0], "eos_token": marks[2]}
    fast = PreTrainedTokenizerFast(tokenizer_object=made, **names, model_max_length=1024, padding_side="right")
    fast.chat_template = _CHAT
    return fast
