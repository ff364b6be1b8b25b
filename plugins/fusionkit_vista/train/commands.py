"""What each command trains."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch

from fusionkit_vista.drawer import vocabulary
from fusionkit_vista.judge import load_judge
from fusionkit_vista.train import latents as encoded
from fusionkit_vista.train.clock import Clock, say
from fusionkit_vista.train.denoiser import RATE, WIDTHS, denoiser_stage
from fusionkit_vista.train.device import choose_device, fit_norms, half
from fusionkit_vista.train.expert_pictures import FOLDER as EXPERT_PICTURES
from fusionkit_vista.train.expert_pictures import taught_window
from fusionkit_vista.train.finding import Places, finder_stage
from fusionkit_vista.train.flow import HEADS, LAYERS, SINGLE_LAYERS, Flow, flow_stage
from fusionkit_vista.train.judging import Lessons, build_judge, judge_stage, report
from fusionkit_vista.train.layout import best_vae, class_of, load, load_tokenizer
from fusionkit_vista.train.lessons import lessons
from fusionkit_vista.train.loop import Stage, Training
from fusionkit_vista.train.pictures import MOST, Pictures
from fusionkit_vista.train.prompts import SHEET
from fusionkit_vista.train.sampling import STEPS, denoiser_sampler, draw, flow_sampler, sheet, write
from fusionkit_vista.train.specials import controlnet_stage, expert_stage
from fusionkit_vista.train.text import tokenizer_of
from fusionkit_vista.train.vae import WIDTHS as VAE_WIDTHS
from fusionkit_vista.train.vae import build_vae, decoder_stage, psnr, save_half, vae_stage
from fusionkit_vista.windows import window

SHIPPED = Path(__file__).parents[1] / "weights" / "scenes"
"""The package's own model."""
NEEDED = {
    "vae": ("AutoencoderKL",),
    "decoder": ("AutoencoderKL",),
    "encode": ("AutoencoderKL",),
    "denoiser": ("UNet2DConditionModel", "CLIPTextModel", "CLIPTokenizer"),
    "flow": ("FluxTransformer2DModel", "T5EncoderModel", "CLIPTextModel", "CLIPTokenizer"),
    "judge": ("AutoencoderKL",),
    "finder": (),
    "expert": ("AutoencoderKL", "UNet2DConditionModel", "CLIPTextModel", "CLIPTokenizer"),
    "controlnet": ("AutoencoderKL", "UNet2DConditionModel", "CLIPTextModel", "CLIPTokenizer"),
    "sheets": ("AutoencoderKL", "UNet2DConditionModel", "FluxTransformer2DModel", "T5EncoderModel", "CLIPTextModel"),
}
"""What each command takes from diffusers and transformers; it is loaded before anything is waited for."""


class Run:
    """One command.

    Args:
        options: Of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.tiny = options, bool(options.tiny)
        self.work: Path = options.work
        self.pictures_folder: Path = options.pictures or options.work / "pictures"
        self.device = choose_device(options.device)
        self.on_gpu = self.device.type == "cuda"
        torch.set_num_threads(options.threads)
        torch.manual_seed(options.seed)
        seconds = options.seconds if options.minutes is None else 60 * options.minutes
        self.clock = Clock(options.steps, seconds, options.until)
        for name in NEEDED[options.command]:
            class_of(name)
        say(f"{options.command}: ready on {self.device}")

    def batch(self, on_cpu: int, on_gpu: int) -> int:
        """How many examples a step has."""
        chosen: int = self.options.batch or (on_gpu if self.on_gpu else on_cpu)
        return chosen

    def train(self, stage: Stage) -> None:
        """Train a stage into the folder of its name."""
        options = self.options
        weights = sum(weight.numel() for _, weight in stage.named())
        say(f"{stage.name}: {weights / 1e6:.2f}M weights on {self.device}")
        folder = self.work / stage.name
        Training(stage, folder, self.clock, options.seed, options.resume, options.save_every, options.log_every).run()

    def pictures(self, least: int | None = None) -> Pictures:
        """The pictures, once there are so many of them, or all."""
        pictures = Pictures(self.pictures_folder, self.device, 200 if self.tiny else MOST)
        pictures.wait(least)
        return pictures

    def vae(self) -> None:
        """Train the autoencoder, whiten it, and encode all pictures."""
        pictures = self.pictures(64 if self.tiny else 4000)
        vae = build_vae(self.options.channels, (16, 16, 24, 24) if self.tiny else self.options.widths or VAE_WIDTHS)
        stage = vae_stage(vae, pictures, self.device, self.batch(2, 64), self.work / "vae")
        self.train(stage)
        pictures.wait()
        mean: Any = stage.means["vae"]
        encoded.finish(mean, pictures, self.work / "vae", 256 if self.on_gpu else 16)
        save_half({"vae": mean}, self.work / "vae")

    def encode(self) -> None:
        """Encode all pictures with a finished autoencoder: the one given, or the package's; on a GPU mirrored, too."""
        vae = load("AutoencoderKL", self.options.start or SHIPPED / "vae").to(self.device).eval()
        fit_norms(vae)
        with half(self.device):
            encoded.write(vae, self.pictures(), self.work / "vae", 256 if self.on_gpu else 8, self.on_gpu)

    def decoder(self) -> None:
        """Train the decoder further."""
        pictures = self.pictures()
        vae = load("AutoencoderKL", self._vae()).to(self.device)
        rate = self.options.rate or 5e-4
        stage = decoder_stage(vae, pictures, self.device, self.batch(2, 64), self.work / "decoder", rate)
        self.train(stage)
        held = pictures.held.windows[:512]
        say(f"psnr {psnr(stage.means['vae'], held):.2f} dB of {len(held)} held-out windows")

    def _vae(self) -> Path:
        if self.options.start:
            return Path(self.options.start)
        encoded.wait(self.work / "vae" / "vae" / "config.json")
        return self.work / "vae" / "vae"

    def denoiser(self) -> None:
        """Train the denoiser and its text encoder."""
        latents, captions = encoded.load(self.work / "vae", self.device)
        folder, start = self.work / "denoiser", self.options.start
        tokenizer = tokenizer_of(folder, words_of(captions))
        widths = (16, 32, 32) if self.tiny else self.options.widths or WIDTHS
        rate, batch = self.options.rate or RATE, self.batch(16, 512)
        learning = tokenizer, latents, captions, self.device, batch, folder
        stage = denoiser_stage(*learning, widths, rate, self.options.grounded)
        if start:
            for name, part in stage.models.items():
                finished = load({"unet": "UNet2DConditionModel"}.get(name, "CLIPTextModel"), start / name)
                for model in (part, stage.means[name]):
                    model.load_state_dict(finished.state_dict())
        self.train(stage)

    def flow(self) -> None:
        """Train the transformer and its text encoders."""
        latents, captions = encoded.load(self.work / "vae", self.device)
        folder = self.work / "flow"
        tokenizer = tokenizer_of(folder, words_of(captions))
        shape = (1, (1, 1)) if self.tiny else (HEADS, (LAYERS, SINGLE_LAYERS))
        stage = flow_stage(tokenizer, latents, captions, self.device, self.batch(32, 512), folder, *shape)
        self.train(stage)

    def judge(self) -> None:
        """Train the judge, and print how often it is right."""
        vae = load("AutoencoderKL", self._vae()).to(self.device)
        pictures = self.pictures()
        judge, sets = build_judge(), [pictures]
        if list((self.work / EXPERT_PICTURES).glob("*.json")):
            sets.append(Pictures(self.work / EXPERT_PICTURES, self.device, 100 if self.tiny else 20_000))
            say(f"{sets[-1].take()} pictures of what the expert knows")
        lessons = Lessons([each.some for each in sets], judge)
        if self.options.decode:
            lessons.decode(vae, self.options.decode)
        stage = judge_stage(judge, lessons, self.device, self.batch(32, 256), self.work / "judge")
        self.train(stage)
        mean: Any = stage.means["judge"]
        report(mean, Lessons([each.held for each in sets], judge), vae)

    def finder(self) -> None:
        """Train the finder of things on crowds, from the judge's layers on; without any, from the package's judge's."""
        own = self.work / "judge" / "judge"
        judge = load_judge(own if own.exists() else Path(__file__).parents[1] / "weights" / "judge")
        places = Places(self.options.count or (16 if self.tiny else 5000), self.options.seed, judge.things, self.device)
        self.train(finder_stage(places, judge, self.device, self.batch(16, 128), self.work / "finder"))

    def _trained(self) -> tuple[Any, Any, Any, Any]:
        """Autoencoder, denoiser, text encoder and tokenizer: those of the work folder, or the package's."""
        own = self.work / "denoiser"
        folder = own if (own / "unet").exists() else SHIPPED
        vae = best_vae(self.work) if own == folder else SHIPPED / "vae"
        parts = {"unet": "UNet2DConditionModel", "text_encoder": "CLIPTextModel"}
        unet, text_encoder = (load(kind, folder / name) for name, kind in parts.items())
        return load("AutoencoderKL", vae).to(self.device), unet, text_encoder, load_tokenizer(folder / "tokenizer")

    def expert(self) -> None:
        """Train an expert's LoRA on what the base does not know: watercolours and dragons."""
        vae, unet, text_encoder, tokenizer = self._trained()
        count, folder = self.options.count or (16 if self.tiny else 4000), self.work / "expert"
        known = lessons(folder, vae, taught_window, count, self.options.seed, self.device)
        parts = unet, text_encoder, tokenizer
        self.train(expert_stage(*parts, known, self.device, self.batch(16, 256), folder))

    def controlnet(self) -> None:
        """Train a ControlNet of edges."""
        vae, unet, text_encoder, tokenizer = self._trained()
        count, folder = self.options.count or (16 if self.tiny else 4000), self.work / "controlnet"
        known = lessons(folder, vae, window, count, self.options.seed + 1, self.device, hints=True)
        parts = unet, text_encoder, tokenizer
        self.train(controlnet_stage(*parts, known, self.device, self.batch(16, 256), folder))

    def sheets(self) -> None:
        """Draw sheets of samples with the denoiser and the transformer as they are."""
        captions = list(SHEET[::10] if self.tiny else SHEET)
        many = json.loads(self.options.captions.read_text(encoding="utf-8")) if self.options.captions else []
        for name in ("denoiser", "flow"):
            try:
                if self.options.wait:
                    encoded.wait(self.work / f"{name}.done", self.clock)
            except RuntimeError as error:
                say(str(error))
            try:
                self._sheet(name, captions, many)
            except Exception as error:  # noqa: BLE001 - one that fails leaves the other
                say(f"no sheet of {name}: {type(error).__name__}: {error}")

    def _sheet(self, name: str, captions: list[str], many: list[str]) -> None:
        folder, device = self.work / name, self.device
        vae, tokenizer = load("AutoencoderKL", best_vae(self.work)).to(device), load_tokenizer(folder / "tokenizer")
        clip = load("CLIPTextModel", folder / "text_encoder").to(device)
        steps = 2 if self.tiny else STEPS
        if name == "denoiser":
            unet = load("UNet2DConditionModel", folder / "unet").to(device)
            sample = denoiser_sampler(unet, clip, tokenizer, device, steps)
        else:
            transformer = load("FluxTransformer2DModel", folder / "transformer").to(device)
            t5 = load("T5EncoderModel", folder / "text_encoder_2").to(device)
            sample = flow_sampler(Flow(transformer, clip, t5), tokenizer, device, steps)
        batch = self.batch(8, 64)
        out = self.work / "sheets"
        for seed in (0, 1000):
            write(out / f"{name}-{seed}.png", sheet(draw(sample, vae, captions, seed, batch), 6))
            say(f"sheet of {name}, seeds from {seed} on")
        if many:
            pictures = draw(sample, vae, many, 5000, batch)
            for start in range(0, len(many), 100):
                write(out / "samples" / f"{name}-{start}.png", sheet(pictures[start : start + 100], 10))
            say(f"{len(many)} samples of {name}")


def words_of(captions: list[str]) -> tuple[str, ...]:
    """The words of captions, and those that an expert's may have, sorted."""
    return tuple(sorted({*vocabulary(), *(word for caption in captions for word in caption.split())}))


def mark(work: Path, name: str) -> None:
    """Say that a command has come to its end."""
    work.mkdir(parents=True, exist_ok=True)
    (work / f"{name}.done").write_text(str(os.getpid()), encoding="utf-8")
