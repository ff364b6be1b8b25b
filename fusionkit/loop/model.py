"""What the loop knows of a model: `ModelInfo` before its weights load, `Model` afterwards."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fusionkit.loop.room import IN_MEMORY, Room

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.loop.stage import ImagePrompt, Patches, Stage, Step
    from fusionkit.loop.view_maps import ViewMaps
    from fusionkit.loop.views import Wrap


@dataclass(frozen=True)
class ModelInfo:
    """What a model's configuration tells without its weights.

    Args:
        name: As the recipe names it.
        kind: Its family, such as "sdxl".
        channels: Latent channels C.
        factor: Pixels of the picture along one side of a latent pixel.
        window: The size the model was trained at, (width, height) in pixels.
        scheduler: Class name of its own scheduler.
        scheduler_config: That scheduler's configuration.
        prediction_type: "epsilon", "v_prediction", "sample" or "flow_prediction".
        parameters: Number of weights of all components; 0 if not known.
        defaults: Recipe fields that suit the model, by their YAML names; they apply where a recipe is silent.
        unet_channels: Channels of the denoiser at full latent resolution, or of its tokens, for memory estimates.
        vae_channels: Channels of the decoder at full resolution, for memory estimates.
        cross_attention_dim: Length of a token's embedding as the denoiser takes it; 0 if not known.
        block_out_channels: Channels of each of the denoiser's blocks, finest first; empty if not known.
        convolutions: Names of its 3x3 convolutions in ResNet blocks, down- and upsamplers; empty of a transformer.
        cross_attention: Where the denoiser's down and up blocks look at the text: divisors of the latents' sides.
        text_layers: Names of a UNet's layers that look at the text: of its down blocks, its up blocks, and its middle;
            empty of a transformer, or if not known.
        attention_layers: How many layers of the denoiser do; 0 if not known.
        denoiser_parameters: Number of weights of the denoiser alone; 0 if not known.
        scaling_factor: What the VAE's latents are multiplied by; 0 if not known.
        latents_mean: What is taken from each channel of the VAE's latents before; empty for nothing.
        latents_std: What each channel is divided by; empty for 1.
        vae: The autoencoder's class.
        fills_masks: Whether it fills in masked parts of a picture: the denoiser is told mask and picture, in channels
            beside the latents.
        told_size: Whether the denoiser is told a picture's size, and where in it a view lies.
        takes_guidance: Whether the denoiser takes the guidance scale as an input, in place of a second pass (LCM).
        most_clip_skip: How many last layers of the text encoders can be left out; None if not known.
        patch: Latent pixels along one side of the denoiser's token; 1 for UNets.
        most_tokens: Tokens along one side of a view for which the denoiser has places; 0 for any number.
        words: All words that it knows, in small letters, where they are few; empty of a model that knows any.
        notes: What was guessed or chosen, and the key of a recipe that changes it, a line each; `plan` tells them.
    """

    name: str
    kind: str
    channels: int
    factor: int
    window: tuple[int, int]
    scheduler: str
    scheduler_config: Mapping[str, Any] = field(default_factory=dict)
    prediction_type: str = "epsilon"
    parameters: int = 0
    defaults: Mapping[str, Any] = field(default_factory=dict)
    unet_channels: int = 320
    vae_channels: int = 128
    cross_attention_dim: int = 0
    block_out_channels: tuple[int, ...] = ()
    convolutions: tuple[str, ...] = ()
    cross_attention: tuple[int, ...] = ()
    text_layers: tuple[str, ...] = ()
    attention_layers: int = 0
    denoiser_parameters: int = 0
    scaling_factor: float = 0.0
    latents_mean: tuple[float, ...] = ()
    latents_std: tuple[float, ...] = ()
    vae: str = "AutoencoderKL"
    fills_masks: bool = False
    told_size: bool = False
    takes_guidance: bool = False
    most_clip_skip: int | None = None
    patch: int = 1
    most_tokens: int = 0
    words: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def token(self) -> int:
        """Pixels along one side of what the denoiser takes for one token: sizes are whole numbers of these."""
        return self.factor * self.patch

    def passes(self, guidance_scale: float) -> int:
        """How many times a view goes through the denoiser at a guidance scale: with and without the prompt, or once."""
        return 2 if guidance_scale > 1 and not self.takes_guidance else 1


class NetInfo(Protocol):
    """What is known of a network beside the denoiser before its weights load."""

    @property
    def source(self) -> str:
        """As the recipe names it."""

    @property
    def where(self) -> Path | str:
        """Its folder, or its hub id."""

    @property
    def class_name(self) -> str:
        """Its class, by which it loads."""


@dataclass(frozen=True)
class TextToken:
    """One token of a prompt, where the denoiser's image looks at it.

    Args:
        place: Its number among all text tokens that the image looks at.
        start: Its first letter in the prompt's words, without the marks of weights.
        end: The letter after its last.
        text: What it says, as the tokenizer has it.
        weight: The weight that the prompt gives it.
    """

    place: int
    start: int
    end: int
    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class LayerPatch:
    """What is put on one layer of a denoiser; None leaves it as it is.

    Args:
        around: Called in place of the layer: `around(forward, *args, **kwargs)`, with what the layer is given and its
            own `forward`, answers what the layer would.
        kernel: Given the weight of each of its convolutions that is wider than one pixel, (out, in, k, k), answers
            another one, which may be wider; the padding grows with it.
        convolution: Called in place of these: `convolution(conv2d, x, weight, bias, stride, padding, dilation,
            groups)`, with torch's function first and the arguments that it would get; pairs where there may be two.
    """

    around: Callable[..., Any] | None = None
    kernel: Callable[[Tensor], Tensor] | None = None
    convolution: Callable[..., Tensor] | None = None


class Model(Protocol):
    """A text-to-image model as the loop uses it; parameterisation, batching and text encoding stay inside.

    Attributes:
        info: What its configuration tells.
        forward_passes: Views that went through the denoiser so far, conditional and unconditional counted apart.
        forward_seconds: Time spent in the denoiser so far.
        largest_batch: Most views that went through the denoiser together so far, with and without the prompt as one.
        batch_size: Views in one forward pass where the recipe does not say; None chooses.
        batches: What was chosen, by the views' (height, width) in latent pixels; it stays, and may be set beforehand.
        vae_tiling: Whether the VAE decodes and encodes in tiles.
        most_views: The views of the run's largest group, where it is known, for models that choose by it; else 0.
    """

    info: ModelInfo
    forward_passes: int
    forward_seconds: float
    largest_batch: int
    batch_size: int | None
    batches: dict[tuple[int, int], int]
    vae_tiling: bool
    most_views: int

    @property
    def fingerprint(self) -> str:
        """What tells its weights, and their type, from others; empty where that can't be told."""

    @property
    def device(self) -> torch.device:
        """Where the model computes."""

    def predict(
        self,
        stage: Stage,
        at: Step,
        patches: Patches,
        guidance_scale: float | None = None,
        guidance_interval: tuple[float, float] | None = None,
    ) -> Tensor:
        """The guided output for each view, (P, C, h, w), float32: uncond + guidance_scale (cond - uncond).

        In the parameterisation of the stage's main model; a guidance scale of None is what each view is told, or the
        recipe's, as an interval of None is. Outside of the interval only the conditional half is run. Views that
        `patches` leaves out are NaN, and cost nothing.
        """

    def predict_pair(
        self, stage: Stage, at: Step, patches: Patches, guidance_scale: float | Sequence[float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Two outputs for each view, each (P, C, h, w), float32: with the prompt, and without.

        They are such that `uncond + guidance_scale (cond - uncond)` is the model's own guided output at the scale,
        whatever its way of guiding is: of a plain model, the two unguided halves. The scale is one for all views, or
        one for each; None is what each is told, or the recipe's, whatever the interval says. Views that are left out
        are NaN.
        """

    def predict_with(self, stage: Stage, at: Step, patches: Patches, guidance_scale: float | None = None) -> Tensor:
        """The first of `predict_pair`'s outputs alone, (P, C, h, w), at one pass a view: with the prompt."""

    def predict_without(self, stage: Stage, at: Step, patches: Patches, guidance_scale: float | None = None) -> Tensor:
        """The second of `predict_pair`'s outputs alone, (P, C, h, w), at one pass a view."""

    def layers(self, pattern: str = "*") -> Sequence[str]:
        """The names of the denoiser's layers that are like a pattern such as `mid_block.*.conv1`, in its order."""

    def patched(self, patches: Mapping[str, LayerPatch], by: str) -> AbstractContextManager[None]:
        """A context in which predictions are made with patches on layers of the denoiser.

        Each layer keeps its hooks, LoRAs and offload within the patch; a compiled denoiser runs uncompiled. Only this
        model's own predictions see patches, and nothing is left on the denoiser between them. What is put on by others
        stays: of one layer kernels are changed first, then how they are applied, and the last `around` is outermost.

        Args:
            patches: By the layers' names, as `named_modules` has them.
            by: Whose they are, a plugin's name; what it has put on before is off meanwhile.

        Raises:
            ModelError: There is no such layer, or a step cache would skip layers.
        """

    def gradients(
        self, stage: Stage, at: Step, patches: Patches, loss: Callable[[int, Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The gradient of a loss of each view's guided prediction by the view's own latents, (P, C, h, w), float32.

        Through the denoiser, and through the autoencoder where the loss asks for `pixels`. Views are looked at one by
        one, as the memory for a gradient asks for; those that `patches` leaves out are NaN, and cost nothing. Nothing
        of the model is changed.

        Args:
            stage: The stage.
            at: The step.
            patches: The views, with latents and prompts.
            loss: Given a view's number, its latents (1, C, h, w) and their guided prediction, a tensor of one number.
        """

    def pixels(self, latents: Tensor) -> Tensor:
        """Scaled latents (P, C, h, w) as the autoencoder decodes them, (P, 3, h factor, w factor), about -1..1.

        Nothing is clipped. In a loss of `gradients` its own gradient goes through it.
        """

    def text_tokens(self, prompt: str) -> Sequence[TextToken]:
        """A prompt's tokens, in its order, those of its frame, of a template and of what is cut off left out."""

    def capture(
        self,
        views: int,
        view_size: tuple[int, int],
        levels: Sequence[int],
        asked: Callable[[], Sequence[int]] | None = None,
        layers: Collection[int] | None = None,
        over: Literal["text", "all"] | None = None,
    ) -> AbstractContextManager[ViewMaps]:
        """Read how the conditional half's image looks at its text while a group of views is predicted.

        The layers are only listened to: their processors, LoRAs and adapters stay in place, the output is the same to
        the last bit, and nothing is left on the model afterwards. A compiled denoiser runs uncompiled meanwhile.

        Args:
            views: P, how many views it is about to predict.
            view_size: (height, width) of each view, in latent pixels.
            levels: Divisors of the view's size at which attention is read, such as 4 for the layers at latent/4; for a
                transformer its patch.
            asked: Asked while the views are predicted: the numbers of those that are, where some may be left out.
            layers: Which layers count, from 0 in the denoiser's order; None is the family's choice, mostly all.
            over: What a pixel's attention adds up to 1 over, in layers that look at text and image at once: "text"
                alone, which makes it cross-attention, or "all", where a pixel that looks at the image looks less at
                the text. None is the family's choice.
        """

    def embedded(self, prompt: str) -> Tensor:
        """A prompt as the denoiser's image looks at it, (1, L, D): a row for each of its text tokens."""

    @property
    def blank(self) -> str:
        """A token that says nothing, as a prompt has it."""

    def controlnet(self, info: NetInfo) -> Any:
        """A ControlNet of diffusers in the model's type and on its device; loaded once."""

    def image_prompt(self, adapter: Any, encoder: Any, pictures: Sequence[Image]) -> ImagePrompt:
        """Pictures that the denoiser can look at beside the prompt, everywhere and at a scale of 1.

        The adapter is loaded once and kept; the encoder is loaded for pictures that are new, and freed.

        Args:
            adapter: What is known of the network that lets the denoiser look at pictures.
            encoder: What is known of the one that sees them.
            pictures: In RGB; they are looked at together.
        """

    def encode(self, image: Image, wrap: Wrap = "") -> Tensor:
        """A picture, whose edges may meet, as scaled latents, (1, C, H, W), float32; the VAE's mean."""

    def encode_pixels(self, pixels: Tensor, wrap: Wrap = "") -> Tensor:
        """The same of pixels (1, 3, H, W) in -1..1."""

    def decode(self, latents: Tensor, wrap: Wrap = "", room: Room = IN_MEMORY) -> Image:
        """Scaled latents (1, C, H, W) as a picture; where they are a ring its edges meet.

        One that is decoded in tiles is where `room` says.
        """
