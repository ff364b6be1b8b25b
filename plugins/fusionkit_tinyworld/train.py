"""Trains the embedded world from a seed: `python -m fusionkit_tinyworld.train --out DIR`.

The defaults made the shipped weights. Stages, each kept in the output folder: `data` (drawings), `vae` (training,
whitening, encoding of the windows), `unet` (denoiser and text encoder), `decoder` (its further training), `canny`
(the ControlNet of edges), `experts` (the LoRAs), `classifier`, `judge` (of mixtures), `export` (the pipeline in half
precision). A part that the output folder lacks is the shipped one where the stages `canny`, `experts` and `judge` need
it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fusionkit_tinyworld import WEIGHTS
from fusionkit_tinyworld.canny import HintCache, build_controlnet, canny_stage, encode_hints, save_controlnet
from fusionkit_tinyworld.captions import all_landscapes, caption, vocabulary
from fusionkit_tinyworld.classifier import (
    Classifier,
    WholePictures,
    classifier_stage,
    held_out_accuracy,
    save_classifier,
)
from fusionkit_tinyworld.data import TRAIN, LatentCache, draw_pictures, encode_windows
from fusionkit_tinyworld.experts import EXPERTS, add_lora, encode_expert, expert_stage, save_expert
from fusionkit_tinyworld.judge import HEADS as JUDGE_HEADS
from fusionkit_tinyworld.judge import Judge, accuracy, judge_pictures
from fusionkit_tinyworld.parts import Autoencoder, Denoiser, Pipeline, TextEncoder, diffusers, transformers
from fusionkit_tinyworld.pipeline import assemble, sample, sheet, write_picture
from fusionkit_tinyworld.training import Schedule, Stage, StoppedError, TimeBox, run_stage
from fusionkit_tinyworld.unet import build_text_encoder, build_unet, unet_stage
from fusionkit_tinyworld.vae import build_vae, decoder_stage, psnr, vae_stage
from fusionkit_vista.tokenizer import build_tokenizer
from fusionkit_vista.train.layout import save
from fusionkit_vista.train.whitening import whiten

STAGES = ("data", "vae", "unet", "decoder", "canny", "experts", "classifier", "judge", "export")


@dataclass(frozen=True)
class Plan:
    """What a run does; the defaults are those of the shipped weights."""

    out: Path
    seed: int = 0
    vae_drawings: int = 3000
    vae_steps: int = 2400
    drawings: int = 8000
    unet_steps: int = 8000
    decoder_steps: int = 2000
    canny_drawings: int = 2400
    canny_steps: int = 3000
    experts: tuple[str, ...] = tuple(EXPERTS)
    expert_drawings: int = 3000
    expert_steps: int = 2000
    classifier_drawings: int = 8000
    classifier_steps: int = 1200
    judge_drawings: int = 9000
    judge_steps: int = 2000
    workers: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    compiled: bool = False
    resume: bool = False
    checkpoint_every: float = 120.0
    sheet_every: int = 5
    """Checkpoints between two sample sheets; 0 writes none."""

    @property
    def vae_schedule(self) -> Schedule:
        """The autoencoder's learning rate."""
        return Schedule(rate=2e-3, steps=self.vae_steps, warmup=100, decay=1500)

    @property
    def unet_schedule(self) -> Schedule:
        """The learning rate of the denoiser and the text encoder."""
        return Schedule(rate=1e-3, steps=self.unet_steps, warmup=200, decay=2000)

    @property
    def decoder_schedule(self) -> Schedule:
        """The decoder's learning rate when it is trained further."""
        return Schedule(rate=1e-3, steps=self.decoder_steps, warmup=50, decay=500)

    @property
    def canny_schedule(self) -> Schedule:
        """The ControlNet's learning rate."""
        return Schedule(rate=1e-3, steps=self.canny_steps, warmup=100, decay=1000)

    @property
    def expert_schedule(self) -> Schedule:
        """The learning rate of each expert's LoRA."""
        return Schedule(rate=1.5e-3, steps=self.expert_steps, warmup=100, decay=700)

    @property
    def classifier_schedule(self) -> Schedule:
        """The classifier's learning rate."""
        return Schedule(rate=2e-3, steps=self.classifier_steps, warmup=50, decay=600)

    @property
    def judge_schedule(self) -> Schedule:
        """The judge's learning rate."""
        return Schedule(rate=2e-3, steps=self.judge_steps, warmup=50, decay=1000)

    def done(self, path: Path) -> bool:
        """Whether a resumed run finds this result of a former one."""
        return self.resume and path.exists()


class Run:
    """The stages of a plan, under one time box."""

    def __init__(self, plan: Plan, time_box: TimeBox) -> None:
        self.plan = plan
        self.time_box = time_box
        self.out = plan.out
        self.out.mkdir(parents=True, exist_ok=True)

    def data(self) -> None:
        """Draw the pictures that the autoencoder learns from."""
        path = self.out / "drawings.npy"
        if not self.plan.done(path):
            print(f"drawing {self.plan.vae_drawings} pictures", flush=True)
            partial = self.out / "drawings.partial"
            draw_pictures(partial, self.plan.seed, self.plan.vae_drawings, self.plan.workers)
            os.replace(partial, path)

    def vae(self) -> None:
        """Train the autoencoder, whiten its latents and encode the windows."""
        plan, folder = self.plan, self.out / "vae"
        if not plan.done(folder):
            torch.manual_seed(plan.seed)
            vae = build_vae()
            drawings = np.load(self.out / "drawings.npy", mmap_mode="r")
            self._train(vae_stage(vae, drawings, plan.vae_schedule, plan.seed, plan.device))
            sample_cache = encode_windows(vae, plan.seed, min(plan.drawings, 400), 0, plan.device)
            whiten(vae, torch.from_numpy(sample_cache.latents).to(plan.device), power=0.5)
            self._print_psnr(vae)
            vae.save_pretrained(folder)
        if not plan.done(self.out / "latents.npz"):
            vae = diffusers.AutoencoderKL.from_pretrained(folder).to(plan.device, memory_format=torch.channels_last)
            encode_windows(vae, plan.seed, plan.drawings, plan.workers, plan.device).save(self.out / "latents.npz")

    def unet(self) -> None:
        """Train the denoiser and the text encoder."""
        plan = self.plan
        tokenizer = build_tokenizer(vocabulary(), self.out / "tokenizer")
        torch.manual_seed(plan.seed)
        unet, text_encoder = build_unet(), build_text_encoder(tokenizer)
        cache = LatentCache.load(self.out / "latents.npz")
        stage = unet_stage(
            unet, text_encoder, tokenizer, cache, plan.unet_schedule, plan.seed, plan.device, plan.compiled
        )
        vae = diffusers.AutoencoderKL.from_pretrained(self.out / "vae").to(plan.device)
        pipeline = assemble(vae, stage.ema["unet"], stage.ema["text_encoder"], tokenizer)
        checkpoints = 0

        def write_sheet(step: int) -> None:
            nonlocal checkpoints
            checkpoints += 1
            if plan.sheet_every and checkpoints % plan.sheet_every == 0:
                self._sheet(pipeline, self.out / f"samples-{step:06d}.png")

        self._train(stage, write_sheet)
        averaged: dict[str, Any] = dict(stage.ema)
        for name, model in averaged.items():
            model.save_pretrained(self.out / name)

    def decoder(self) -> None:
        """Train the decoder further, with its latents as they are."""
        plan = self.plan
        vae = diffusers.AutoencoderKL.from_pretrained(self.out / "vae")
        drawings = np.load(self.out / "drawings.npy", mmap_mode="r")
        self._train(decoder_stage(vae, drawings, plan.decoder_schedule, plan.seed, plan.device))
        self._print_psnr(vae)
        vae.save_pretrained(self.out / "vae-final")

    def canny(self) -> None:
        """Train the ControlNet of edges for the denoiser as it is."""
        plan = self.plan
        vae, unet, text_encoder = self._trained_parts()
        tokenizer = build_tokenizer(vocabulary(), self.out / "tokenizer")
        path = self.out / "hints.npz"
        if not plan.done(path):
            vae.to(plan.device, memory_format=torch.channels_last)
            encode_hints(vae, plan.seed, plan.canny_drawings, plan.workers, plan.device).save(path)
        cache = HintCache.load(path)
        torch.manual_seed(plan.seed)
        controlnet = build_controlnet(unet)
        stage = canny_stage(
            controlnet, unet, text_encoder, tokenizer, cache, plan.canny_schedule, plan.seed, plan.device
        )
        self._train(stage)
        save_controlnet(stage.ema["controlnet"], self.out / "canny")
        print(f"the ControlNet is in {self.out / 'canny'}", flush=True)

    def experts(self) -> None:
        """Train the experts' LoRAs, each on the denoiser as it is."""
        plan = self.plan
        tokenizer = build_tokenizer(vocabulary(), self.out / "tokenizer")
        for name in plan.experts:
            if plan.done(self.out / "experts" / name):
                continue
            vae, unet, text_encoder = self._trained_parts()
            path = self.out / f"{name}.npz"
            if not plan.done(path):
                vae.to(plan.device, memory_format=torch.channels_last)
                encode_expert(vae, name, plan.seed, plan.expert_drawings, plan.workers, plan.device).save(path)
            torch.manual_seed(plan.seed)
            add_lora(unet)
            cache = LatentCache.load(path)
            stage = expert_stage(
                name, unet, text_encoder, tokenizer, cache, plan.expert_schedule, plan.seed, plan.device
            )
            self._train(stage)
            save_expert(stage.ema["unet"], self.out / "experts" / name)
            print(f"the LoRA is in {self.out / 'experts' / name}", flush=True)

    def _trained_parts(self) -> tuple[Autoencoder, Denoiser, TextEncoder]:
        """Autoencoder, denoiser and text encoder in single precision."""
        return (
            diffusers.AutoencoderKL.from_pretrained(self._trained_or_shipped("vae-final", "vae")).float(),
            diffusers.UNet2DConditionModel.from_pretrained(self._trained_or_shipped("unet", "unet")).float(),
            transformers.CLIPTextModel.from_pretrained(
                self._trained_or_shipped("text_encoder", "text_encoder")
            ).float(),
        )

    def _trained_or_shipped(self, trained: str, shipped: str) -> Path:
        folder = self.out / trained
        return folder if folder.exists() else WEIGHTS / "scenes" / shipped

    def export(self) -> None:
        """Save the pipeline in half precision, and a sheet of its samples."""
        pipeline = assemble(
            diffusers.AutoencoderKL.from_pretrained(self.out / "vae-final"),
            diffusers.UNet2DConditionModel.from_pretrained(self.out / "unet"),
            transformers.CLIPTextModel.from_pretrained(self.out / "text_encoder"),
            transformers.CLIPTokenizer.from_pretrained(self.out / "tokenizer"),
        )
        save(pipeline, self.out / "tokenizer", self.out / "scenes", ("vae", "unet", "text_encoder"))
        if self.plan.sheet_every:
            self._sheet(pipeline.to(self.plan.device), self.out / "samples.png")
        print(f"the pipeline is in {self.out / 'scenes'}", flush=True)

    def classifier(self) -> None:
        """Train the classifier that judges samples."""
        plan = self.plan
        torch.manual_seed(plan.seed)
        classifier = Classifier()
        pictures, landscapes = WholePictures(plan.seed, TRAIN, plan.classifier_drawings).load(plan.workers)
        self._train(
            classifier_stage(
                "classifier", classifier, pictures, landscapes, plan.classifier_schedule, plan.seed, plan.device
            )
        )
        save_classifier(classifier, self.out / "classifier")
        held_out = held_out_accuracy(classifier, plan.seed, max(8, plan.classifier_drawings // 8), plan.workers)
        shares = ", ".join(f"{name} {share:.1%}" for name, share in held_out.shares.items())
        print(f"accuracy on {held_out.count} held-out drawings: {shares}", flush=True)

    def judge(self) -> None:
        """Train the judge of mixtures of what the models draw."""
        plan = self.plan
        vae = self._trained_parts()[0].to(plan.device)
        torch.manual_seed(plan.seed)
        classifier = Classifier(JUDGE_HEADS)
        pictures, shown = judge_pictures(plan.seed, plan.judge_drawings, plan.workers, vae)
        self._train(classifier_stage("judge", classifier, pictures, shown, plan.judge_schedule, plan.seed, plan.device))
        save_classifier(classifier, self.out / "judge")
        count = max(8, plan.judge_drawings // 9)
        shares = accuracy(Judge(classifier), plan.seed, count, plan.workers, vae)
        text = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
        print(f"accuracy on {count} held-out drawings, encoded and decoded: {text}", flush=True)

    def _print_psnr(self, vae: Autoencoder) -> None:
        by_zoom = psnr(vae, self.plan.seed, self.plan.device, count=min(48, self.plan.vae_drawings))
        values = ", ".join(f"zoom {zoom} {value:.2f} dB" for zoom, value in by_zoom.items())
        print(f"PSNR on held-out drawings: {values}", flush=True)

    def _train(self, stage: Stage, on_checkpoint: Callable[[int], None] | None = None) -> None:
        path = self.out / f"{stage.name}.pt"
        run_stage(stage, path, self.time_box, self.plan.resume, self.plan.checkpoint_every, on_checkpoint)

    def _sheet(self, pipeline: Pipeline, path: Path) -> None:
        landscapes = list(all_landscapes())[::15]
        write_picture(path, sheet(sample(pipeline, [caption(landscape) for landscape in landscapes], steps=20), 8, 2))
        print(f"wrote {path}", flush=True)


def parse(arguments: Sequence[str] | None = None) -> tuple[Plan, str, float | None, int | None]:
    """The plan, the stage, the time limit in seconds and the number of threads of a command line."""
    parser = argparse.ArgumentParser(prog="python -m fusionkit_tinyworld.train", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and results")
    parser.add_argument("--stage", choices=("all", *STAGES), default="all", help="run one stage only")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="seed of drawings, weights and batches")
    parser.add_argument("--steps", type=int, help="steps of every stage, in place of the seven options below")
    parser.add_argument("--vae-steps", type=int, default=Plan.vae_steps)
    parser.add_argument("--unet-steps", type=int, default=Plan.unet_steps)
    parser.add_argument("--decoder-steps", type=int, default=Plan.decoder_steps)
    parser.add_argument("--canny-steps", type=int, default=Plan.canny_steps)
    parser.add_argument("--expert-steps", type=int, default=Plan.expert_steps)
    parser.add_argument("--classifier-steps", type=int, default=Plan.classifier_steps)
    parser.add_argument("--judge-steps", type=int, default=Plan.judge_steps)
    parser.add_argument("--vae-drawings", type=int, default=Plan.vae_drawings, help="drawings for the autoencoder")
    parser.add_argument("--drawings", type=int, default=Plan.drawings, help="drawings that give windows to the UNet")
    parser.add_argument(
        "--canny-drawings", type=int, default=Plan.canny_drawings, help="drawings that give windows to the ControlNet"
    )
    parser.add_argument("--experts", nargs="+", choices=tuple(EXPERTS), default=list(EXPERTS), help="which to train")
    parser.add_argument("--expert-drawings", type=int, default=Plan.expert_drawings, help="drawings to each expert")
    parser.add_argument("--classifier-drawings", type=int, default=Plan.classifier_drawings)
    parser.add_argument("--judge-drawings", type=int, default=Plan.judge_drawings)
    parser.add_argument("--time-limit", type=float, help="seconds after which training saves its state and stops")
    parser.add_argument("--resume", action="store_true", help="go on from what the output folder holds")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... or auto: a GPU where there is one")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's choice)")
    parser.add_argument("--workers", type=int, default=Plan.workers, help="processes that draw; 0 draws in this one")
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    parser.add_argument(
        "--sheet-every", type=int, default=Plan.sheet_every, help="checkpoints between two sheets; 0: none"
    )
    options = parser.parse_args(arguments)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    plan = Plan(
        out=options.out,
        seed=options.seed,
        vae_drawings=options.vae_drawings,
        vae_steps=options.vae_steps if options.steps is None else options.steps,
        drawings=options.drawings,
        unet_steps=options.unet_steps if options.steps is None else options.steps,
        decoder_steps=options.decoder_steps if options.steps is None else options.steps,
        canny_drawings=options.canny_drawings,
        canny_steps=options.canny_steps if options.steps is None else options.steps,
        experts=tuple(options.experts),
        expert_drawings=options.expert_drawings,
        expert_steps=options.expert_steps if options.steps is None else options.steps,
        classifier_drawings=options.classifier_drawings,
        classifier_steps=options.classifier_steps if options.steps is None else options.steps,
        judge_drawings=options.judge_drawings,
        judge_steps=options.judge_steps if options.steps is None else options.steps,
        workers=options.workers,
        device=torch.device(device),
        compiled=options.compile,
        resume=options.resume,
        sheet_every=options.sheet_every,
    )
    return plan, options.stage, options.time_limit, options.threads


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 3 when it was stopped before the end."""
    plan, stage, time_limit, threads = parse(arguments)
    if threads:
        torch.set_num_threads(threads)
    run = Run(plan, TimeBox(time_limit))
    try:
        for name in STAGES if stage == "all" else (stage,):
            getattr(run, name)()
    except StoppedError as stopped:
        print(f"{stopped}\nTo go on, repeat the command with --resume.", flush=True)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
