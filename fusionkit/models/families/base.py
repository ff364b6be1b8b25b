"""What is particular to one family of models: one small file a family. Importing this needs no torch.

A family says how its folders look, how a prompt is encoded, what the denoiser is called with, and how its answer
becomes a prediction of unpacked latents (B, C, h, w). Batches, guidance, the autoencoder, caches, offload and fusion
are the adapter's and the loop's. Latents outside of a family are never packed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fusionkit.models.families.asked import Asked as Asked
from fusionkit.models.families.asked import Steered as Steered
from fusionkit.models.families.in_file import InFile, Shapes

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.model import ModelInfo

    Embedding = tuple[Tensor, ...]

ADAPTERS = "fusionkit.models.adapters"

Over = Literal["text", "all"]
"""What an image token's attention to the text adds up to 1 over: the text alone, or text and image."""


class Family:
    """A family of models, with what most diffusion transformers have in common.

    Attributes:
        kind: Its name, that of its entry point in the group `fusionkit.families`.
        title: As people call it.
        pipelines: Classes of diffusers' pipelines, the first of which loads a folder.
        adapter: `module:Class` of what holds a pipeline; a `DiffusersModel`.
        denoiser: The pipeline's part that predicts.
        denoisers: Classes that it may be of.
        autoencoders: Classes that the VAE may be of.
        encoders: The parts that encode text; each has a tokenizer of the same ending.
        optional: Parts that a folder may lack, which the pipeline then gets None for.
        left_out: Arguments of the pipeline that no picture needs, and what they are set to.
        in_file: How a single file holds such a model; None where diffusers loads none.
        controlnets: Classes of diffusers' ControlNets that steer it; none where there are none.
        brings: Classes of its parts that are not among diffusers' and transformers' own, as a folder's index names
            them, and where each is: `{"kolors.ChatGLMModel": "diffusers.pipelines.kolors:ChatGLMModel"}`. Nothing else
            that an index names is imported.
        needs: Modules that a plain install lacks, and what brings each: `{"sentencepiece": "fusionkit[kolors]"}`.
        widths: What of the denoiser's configuration must be the width of which text encoder's tokens.
        reads: Where the text that image tokens look at is tokenized, and the most tokens that are read; what is longer
            loses its end. Nothing where a prompt is encoded in as many chunks as it has.
        patch: Latent pixels along one side of the denoiser's token.
        packs: Whether the denoiser takes tokens, of `patch` x `patch` latent pixels each, and not latents.
        prediction: What the denoiser answers: "flow_prediction", "epsilon", "v_prediction" or "sample".
        crops: Whether the denoiser is told the picture's size, and where in it a view lies.
        window: (width, height) in pixels, where the configuration does not tell what it was trained at.
        defaults: Recipe fields that suit the family, by their YAML names.
        half: The type of 16 bits that it is run in on a GPU.
        one_length: Whether rows of one batch must have texts of one length, since the denoiser can't mask.
        text_first: Whether text comes before the image in the joint sequence; None for cross-attention.
        readable: Whether `places` can tell text from image, for all rows of a batch alike.
        attentive_layers: The layers, from 0, whose attention tells best where words are; empty is all.
        attention_over: What it adds up to 1 over there.
        skipped: Last layers of its text encoders that are left out whatever `clip-skip` says.
        maps: Bytes of a forward pass at its peak, in units of (image + text tokens) x width x bytes of a number.
        text_tokens: Tokens of a text, for that estimate.
        parameters: Weights of all parts, where their number is not known.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    pipelines: ClassVar[tuple[str, ...]]
    adapter: ClassVar[str] = f"{ADAPTERS}.transformer_model:TransformerModel"
    denoiser: ClassVar[str] = "transformer"
    denoisers: ClassVar[tuple[str, ...]] = ()
    autoencoders: ClassVar[tuple[str, ...]] = ("AutoencoderKL", "AutoencoderTiny")
    encoders: ClassVar[tuple[str, ...]] = ("text_encoder",)
    optional: ClassVar[frozenset[str]] = frozenset()
    left_out: ClassVar[Mapping[str, Any]] = {}
    in_file: ClassVar[InFile | None] = None
    controlnets: ClassVar[tuple[str, ...]] = ()
    brings: ClassVar[Mapping[str, str]] = {}
    needs: ClassVar[Mapping[str, str]] = {}
    widths: ClassVar[Mapping[str, str]] = {}
    reads: ClassVar[Mapping[str, int]] = {"tokenizer": 512}
    patch: ClassVar[int] = 2
    packs: ClassVar[bool] = False
    prediction: ClassVar[str] = "flow_prediction"
    crops: ClassVar[bool] = False
    window: ClassVar[tuple[int, int]] = (1024, 1024)
    defaults: ClassVar[Mapping[str, Any]] = {}
    half: ClassVar[str] = "bfloat16"
    one_length: ClassVar[bool] = False
    text_first: ClassVar[bool | None] = True
    readable: ClassVar[bool] = True
    attentive_layers: ClassVar[frozenset[int]] = frozenset()
    attention_over: ClassVar[Over] = "text"
    skipped: ClassVar[int] = 0
    maps: ClassVar[int] = 20
    text_tokens: ClassVar[int] = 512
    parameters: ClassVar[int] = 10_000_000_000

    # What is asked before the weights load, without torch. A model's settings are its denoiser's configuration and what
    # the pipeline's own, `model_index.json`, tells beside its parts.

    def suits(self, config: Mapping[str, Any]) -> bool:
        """Whether a denoiser's configuration is one of this family, where a folder's pipeline is named as its."""
        return True

    def guesses(self, config: Mapping[str, Any]) -> bool:
        """Whether a denoiser's configuration alone tells that it is of this family, whatever the pipeline's name."""
        return False

    def told_by_file(self, shapes: Shapes) -> Mapping[str, Any] | None:
        """All that is known of a single file that needs no other parts, by its header, as fields of a `ModelInfo`.

        None where the file is of another family, or the header does not tell all.
        """
        return None

    def base_of(self, denoiser: Shapes) -> str:
        """The hub's id of a model whose other parts fit a single file, by the shapes of its denoiser."""
        return self.in_file.base if self.in_file is not None else ""

    def loader(self, named: str) -> str:
        """The pipeline's class that loads a folder, which names one itself."""
        return named if named in self.pipelines else self.pipelines[0]

    def width(self, config: Mapping[str, Any]) -> int:
        """Numbers of a token inside the denoiser, for memory estimates; 0 if its configuration does not tell."""
        heads, each = config.get("num_attention_heads") or 0, config.get("attention_head_dim") or 0
        return int(heads * each or config.get("dim") or config.get("hidden_size") or 0)

    def layers(self, config: Mapping[str, Any]) -> int:
        """How many layers of the denoiser look at the text, by its configuration; 0 if it does not tell."""
        keys = "num_layers", "num_single_layers", "n_layers", "num_mmdit_layers", "num_single_dit_layers"
        counts = (config.get(key) or 0 for key in keys)
        return int(sum(counts))

    def takes_scale(self, config: Mapping[str, Any]) -> bool:
        """Whether the guidance scale calls for no second pass, by a model's settings.

        It is an input of the denoiser, or of no meaning to one that is distilled from guided answers.
        """
        return bool(config.get("guidance_embeds"))

    def told_size(self, config: Mapping[str, Any]) -> bool:
        """Whether a denoiser is told the picture's size, by a model's settings."""
        return self.crops

    def defaults_of(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Recipe fields that suit a model, by its settings: the family's, unless it is one that is distilled, say."""
        return self.defaults

    def schedule(self, config: Mapping[str, Any], scheduler: Mapping[str, Any]) -> Mapping[str, Any]:
        """A model's scheduler's configuration with what the pipeline sets whatever it says, by the model's settings."""
        return scheduler

    def window_of(self, config: Mapping[str, Any], factor: int) -> tuple[int, int]:
        """(width, height) in pixels that a denoiser was trained at, by its configuration or else the family's."""
        side = config.get("sample_size")
        return (side * factor, side * factor) if isinstance(side, int) else self.window

    def solver(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """A folder's scheduler, as its configuration tells it, as one that is known here and solves the same."""
        return config

    def problems(self, config: Mapping[str, Any], channels: int) -> Iterator[str]:
        """Why a denoiser can't draw from a prompt alone, in lines that read on from the model's name.

        Args:
            config: Its configuration, with its class' defaults.
            channels: Channels of the autoencoder's latents.
        """
        expected = channels * (self.patch**2 if self.packs else 1)
        given = config.get("in_channels")
        if given not in (None, expected) and not self.fills(config, channels):
            yield (
                f"takes {given} channels, not the {expected} of its latents: models that are told a picture in the "
                f"others can't be used; use the plain one"
            )

    def fills(self, config: Mapping[str, Any], channels: int) -> bool:
        """Whether a denoiser fills in masked parts: it is told mask and picture in channels beside the latents.

        Args:
            config: Its configuration.
            channels: Channels of the autoencoder's latents.
        """
        return False

    def most_tokens(self, config: Mapping[str, Any]) -> int:
        """Tokens along one side of a view for which a denoiser has places, where they are of a table; 0 for any number.

        Beyond its table a learned one answers other places without a word.
        """
        return 0

    def view_problems(self, info: ModelInfo, view: tuple[int, int]) -> Iterator[str]:
        """Why a denoiser can't draw views of a size, in lines that read on from the model's name.

        Args:
            info: The model.
            view: (width, height) in pixels of one forward pass.
        """
        most = info.most_tokens * info.token
        if most and max(view) > most:
            yield f"has places for views of at most {most} pixels a side, not of {view[0]}x{view[1]}; set the window"

    def view_bytes(self, info: ModelInfo, view: tuple[int, int], itemsize: int) -> int:
        """Bytes of one view's forward pass with guidance, a conditional and an unconditional half; a rough estimate.

        Args:
            info: The model.
            view: (height, width) in latent pixels.
            itemsize: Bytes of one number.
        """
        tokens = -(-view[0] // self.patch) * -(-view[1] // self.patch)
        return max(1, 2 * self.maps * info.unet_channels * (tokens + self.text_tokens) * itemsize)

    def sigmas(self, steps: int) -> list[float] | None:
        """The noise levels before any shift; None lets the scheduler choose."""
        return [1 - number / steps for number in range(steps)]

    def shift(self, config: Mapping[str, Any], tokens: int, steps: int) -> float | None:
        """The parameter mu of a dynamic shift, from the tokens of one forward pass; None where the shift is fixed.

        Args:
            config: The scheduler's configuration.
            tokens: Tokens of one view, which is what the denoiser sees, and not the canvas.
            steps: Sampling steps.
        """
        if not config.get("use_dynamic_shifting"):
            return None
        few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        return float(low + (high - low) * (tokens - few) / (many - few))

    def timing(self, config: Mapping[str, Any], tokens: int, steps: int) -> dict[str, Any]:
        """Arguments of a scheduler's `set_timesteps`, for what one forward pass sees; as for `shift`."""
        given = {"sigmas": self.sigmas(steps), "mu": self.shift(config, tokens, steps)}
        return {key: value for key, value in given.items() if value is not None}

    # What is asked with the pipeline.

    def beside(self, mask: Tensor, picture: Tensor) -> Tensor:
        """What a denoiser that fills in is told of the canvas in channels beside the latents, (1, E, H, W).

        Args:
            mask: (1, 1, H factor, W factor), in pixels: 1 where something is to be filled in.
            picture: The scaled latents (1, C, H, W) of the picture, grey there.
        """
        raise NotImplementedError

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """The text encoders' answer to one prompt, each tensor with a first axis of 1; (1, L, D) comes first."""
        raise NotImplementedError

    def encode_negative(self, pipe: Any, text: str, device: Any) -> Embedding:
        """The same of a negative prompt, where that is another."""
        return self.encode(pipe, text, device)

    def aligned(self, embeddings: Sequence[Embedding]) -> Sequence[Embedding]:
        """The embeddings of all prompts of a group, made alike where their lengths differ."""
        return embeddings

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """The denoiser's arguments but the latents and the time, for B rows with one embedding each."""
        raise NotImplementedError

    def time(self, timestep: Tensor, dtype: Any) -> Tensor:
        """The denoiser's time (B,) of the scheduler's, which is 1000 times the noise level; rounded as in diffusers."""
        return timestep.to(dtype) / 1000

    def packed(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) as the denoiser takes them: tokens (B, h w / patch^2, patch^2 C) where it is packed."""
        if not self.packs:
            return latents
        (batch, channels, height, width), p = latents.shape, self.patch
        tokens = latents.reshape(batch, channels, height // p, p, width // p, p).permute(0, 2, 4, 1, 3, 5)
        return tokens.reshape(batch, -1, channels * p * p)

    def unpacked(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """The inverse of `packed`, for views of (height, width) latent pixels."""
        if not self.packs:
            return tokens
        (height, width), p = size, self.patch
        grid = tokens.reshape(len(tokens), height // p, width // p, -1, p, p).permute(0, 3, 1, 4, 2, 5)
        return grid.reshape(len(tokens), -1, height, width)

    def call(self, denoiser: Any, latents: Tensor, timestep: Tensor, conditions: dict[str, Any]) -> Tensor:
        """The prediction (B, C, h, w) for latents (B, C, h, w) at a timestep (B,); of a flow, the velocity eps - x0."""
        time = self.time(timestep, latents.dtype)
        answer = denoiser(hidden_states=self.packed(latents), timestep=time, **conditions, return_dict=False)[0]
        height, width = latents.shape[-2:]
        return self.unpacked(answer, (height, width))

    def controlnet_problems(self, config: Mapping[str, Any]) -> Iterator[str]:
        """Why a ControlNet of the family's class can't be used, in lines that read on from its name.

        Args:
            config: Its configuration, with its class' defaults.
        """
        return iter(())

    def hint(self, pipe: Any, net: Any, latents: Tensor) -> Tensor:
        """A hint of the whole canvas as a ControlNet takes it, from its latents (1, C, H, W) as the denoiser has them.

        Args:
            pipe: The pipeline.
            net: The ControlNet.
            latents: The hint's.
        """
        return latents

    def residuals(
        self, asked: Asked, steered: Steered, latents: Tensor, timestep: Tensor, conditions: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What a ControlNet adds, as arguments of the denoiser: tensors, in lists or mappings.

        Args:
            asked: As for `conditions`.
            steered: The ControlNet, and what it is shown.
            latents: (B, C, h, w), whole tokens.
            timestep: (B,).
            conditions: The denoiser's arguments.
        """
        raise NotImplementedError

    def guided(self, cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
        """The guided prediction of its two halves, (P, C, h, w), h and w whole tokens."""
        return uncond + scale * (cond - uncond)

    @property
    def guides_plainly(self) -> bool:
        """Whether `guided` is uncond + scale (cond - uncond) and nothing more."""
        return type(self).guided is Family.guided

    def heard(self, prompt: str) -> str:
        """A prompt as its pipeline hands it to the tokenizer, letter by letter."""
        return prompt

    def mended(self, pipe: Any, text: str) -> str:
        """What its pipeline makes of a prompt's words before they are tokenized, where letters come or go."""
        return text

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """The tokenizer of the text that image tokens look at, its template, and how many tokens are cut off in front.

        The template has {} where the prompt goes.
        """
        return pipe.tokenizer, "{}", 0

    def places(self, tokens: int, text: int, queries: int, keys: int) -> tuple[slice, slice] | None:
        """Where image tokens are among a joint attention's queries, and text tokens among its keys; None if not both.

        Args:
            tokens: Image tokens of a view.
            text: Text tokens, as the denoiser is given them.
            queries: Length of the attention's queries.
            keys: Length of its keys.
        """
        if queries != keys or queries != tokens + text:
            return None
        return (slice(text, None), slice(0, text)) if self.text_first else (slice(0, tokens), slice(tokens, None))
