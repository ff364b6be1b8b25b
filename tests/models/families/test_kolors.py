"""Kolors alone: the parts that its family brings, SDXL beside it, its ControlNets, its vocabulary of two languages."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from controls import Steered, hint
from on_families import PROMPT, apart, drawn, model_of, run, stage_on
from safetensors.torch import save_file

pytest.importorskip("sentencepiece", reason="Kolors needs sentencepiece: pip install 'fusionkit[kolors]'")
from tiny_kolors import CASES, CHINESE

from fusionkit import Fusion, ModelError, Patches, View
from fusionkit.cli import main
from fusionkit.models.compatibility import misfits
from fusionkit.models.controlnet import inspect_controlnet, load_controlnet
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_model
from fusionkit.models.lora.loras import check_loras
from fusionkit.models.parameterisation import alpha_sigma
from fusionkit.models.prompts.plan import reader_of
from fusionkit.recipe import Lora, ModelSpec, Recipe
from fusionkit.testing.tiny import controlnet_for
from fusionkit_accdiffusion.words import words_of
from fusionkit_magicfusion import SaliencyNoiseBlending

(KOLORS,) = CASES
SDXL = Path(__file__).parents[2] / "golden" / "checkpoints" / "tiny-sdxl"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kolors") / "model"
    KOLORS.make().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    copied: Path = shutil.copytree(saved, tmp_path / "model")
    return copied


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def problem(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        inspect_model(str(folder))
    return str(caught.value).replace(f"model '{folder}'", "it")


def test_code_beside_its_parts_is_never_run(folder: Path) -> None:
    """As its makers' files name it, for those who have not the classes."""
    for part, kind in (("text_encoder", "AutoModel"), ("tokenizer", "AutoTokenizer")):
        (folder / part / "own_code.py").write_text("raise SystemExit('own code was run')")
        file = folder / part / {"text_encoder": "config.json", "tokenizer": "tokenizer_config.json"}[part]
        change(file, auto_map={"AutoConfig": "own_code.ChatGLMConfig", kind: "own_code.Own"})
    info = inspect_model(str(folder))
    model: Any = load_model(Recipe(model=str(folder), device="cpu", dtype="float32"), info)
    for part in ("text_encoder", "tokenizer"):
        assert type(getattr(model.pipe, part)).__module__ == f"diffusers.pipelines.kolors.{part}"
    assert apart(model.embed(PROMPT)[0], model_of(KOLORS).embed(PROMPT)[0]) == 0


def test_only_the_classes_that_the_family_names_are_its_parts(folder: Path) -> None:
    change(folder / "model_index.json", text_encoder=["own_code", "ChatGLMModel"])
    assert problem(folder) == "it needs its own code for 'text_encoder' (own_code.ChatGLMModel), which is not run"
    change(folder / "model_index.json", text_encoder=["kolors", "KolorsPipeline"])
    assert "it needs its own code for 'text_encoder' (kolors.KolorsPipeline), which is not run" in problem(folder)
    change(folder / "model_index.json", text_encoder=["kolors", "ChatGLMModel"], tokenizer=["..", "ChatGLMTokenizer"])
    assert "it needs its own code for 'tokenizer' (...ChatGLMTokenizer), which is not run" in problem(folder)
    change(folder / "text_encoder" / "config.json", auto_map={"AutoModel": "own_code.Own"})
    change(folder / "model_index.json", text_encoder=["transformers", "BertModel"])
    assert "text_encoder/config.json asks for code of its own ('auto_map'), which is not loaded" in problem(folder)


@pytest.mark.parametrize(
    ("part", "values", "told"),
    [
        ("text_encoder", {"hidden_size": 32}, "its text_encoder's tokens have 32 numbers; its denoiser takes 24"),
        (
            "text_encoder",
            {"num_layers": 4},
            "text_encoder/config.json does not fit its weights: they have 3 layers, not 4",
        ),
        ("text_encoder", {"num_layers": 10**9}, "'num_layers' of text_encoder/config.json must be 1 to 200"),
        ("text_encoder", {"seq_length": 10**9}, "'seq_length' of text_encoder/config.json must be 1 to 10,000,000"),
        (
            "unet",
            {"encoder_hid_dim": None, "encoder_hid_dim_type": None},
            "tokens have 24 numbers; its denoiser takes 16",
        ),
        ("unet", {"projection_class_embeddings_input_dim": 80}, "its denoiser takes 80 numbers on the picture's size"),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_together(folder: Path, part: str, values: Any, told: str) -> None:
    change(folder / part / "config.json", **values)
    assert told in problem(folder)


def test_without_its_vocabulary_it_reads_nothing(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.model").unlink()
    assert "it can't read a prompt: its tokenizer needs" in problem(folder)


def test_without_sentencepiece_the_extra_is_named(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    line = "Kolors model, which needs sentencepiece, which is not installed: pip install 'fusionkit[kolors]'"
    assert problem(saved) == f"it is a {line}"
    told = CliRunner().invoke(main, ["validate", "panorama", "--set", f"model={saved}"])
    assert told.exit_code != 0
    assert told.output.count("\n") == 1
    assert line in told.output
    with pytest.raises(ModelError, match=r"a KolorsPipeline needs sentencepiece, which is not installed: pip install"):
        Fusion.from_pipe(KOLORS.make())


def test_a_prompt_is_read_as_a_whole(saved: Path) -> None:
    reader = reader_of(ModelSpec(model=str(saved)))
    assert reader is not None
    assert reader.told(PROMPT) == ""
    assert "tokens, of which the first 256 are read" in reader.told(f"{PROMPT} " * 60)
    assert reader.told("a (red:1.3) boat") == "weights: 'red' 1.3: left out, as such models know none"


@pytest.mark.parametrize("prompt", [CHINESE, "a boat, 一只红色的船", "two cats  in the rain é"])
def test_words_of_any_script_have_tokens_of_their_own(prompt: str) -> None:
    """A piece may be of several ideographs, and a letter in no piece is bytes; two words never share one."""
    model = model_of(KOLORS)
    words = words_of(prompt, model.text_tokens(prompt))
    assert "".join(word.text for word in words) == prompt.replace(" ", "")
    assert all(word.positions for word in words)
    tokens = [place for word in words for place in word.positions]
    ids = model.pipe.tokenizer(prompt).input_ids
    assert max(tokens) == 255
    assert set(range(256 - len(ids) + 2, 256)) >= set(tokens)
    said = [model.pipe.tokenizer.decode([ids[place - 256] for place in word.positions]) for word in words]
    assert all(word.bare in text for word, text in zip(words, said, strict=True))


@pytest.fixture(params=["sdxl", "kolors"])
def pair(request: pytest.FixtureRequest, saved: Path) -> dict[str, str]:
    """Both models, either of them as the main one."""
    models = {"sdxl": str(SDXL), "kolors": str(saved)}
    return {name: models[name] for name in sorted(models, key=lambda name: name != request.param)}


def test_kolors_and_sdxl_draw_one_picture(pair: dict[str, str]) -> None:
    """One autoencoder, two schedules: each is asked at its own time of the same noise-to-signal ratio."""
    assert misfits({name: inspect_model(source) for name, source in pair.items()}) == []
    blended = SaliencyNoiseBlending(models={name: {"prompt": PROMPT, "k": 4} for name in pair}, smoothing=False)
    fields: dict[str, Any] = {"prompt": PROMPT, "size": (64, 64), "window": (64, 64), "steps": 2, "device": "cpu"}
    fields |= {"guidance_scale": 2.0, "seed": 1, "scheduler": "ddim"}
    fusion = Fusion.from_pretrained(pair, plugins=[blended], **fields)
    both = fusion(progress=False).latents
    alone = [Fusion.from_pretrained(source, **fields)(progress=False).latents for source in pair.values()]
    assert both.isfinite().all()
    assert all(apart(both, each) > 0.1 for each in alone)


def test_beside_sdxl_it_is_told_its_own_time(saved: Path) -> None:
    main, kolors = model_of_folder(SDXL), model_of(KOLORS)
    stage = stage_on(main, "ddim", guidance_scale=1.0, size=(128, 128), window=(128, 128))
    told: list[float] = []
    handle = kolors.denoiser.register_forward_pre_hook(lambda _, args: told.append(float(args[1])))
    try:
        for at in stage.steps:
            latents = stage.noise("x", (1, *stage.shape[1:]), at=at)
            kolors.predict(stage, at, Patches((View(0, 0, 16, 16),), latents=latents, prompts=[PROMPT]))
    finally:
        handle.remove()
    betas = torch.linspace(0.00085**0.5, 0.014**0.5, 1100, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - betas, 0)
    own = ((1 - kept) / kept).sqrt()
    for at, time in zip(stage.steps, told, strict=True):
        a, s = alpha_sigma(stage.scheduler, at.timestep)
        found = own[int(time)] + (time % 1) * (own[min(int(time) + 1, 1099)] - own[int(time)])
        assert float(found) == pytest.approx(s / a, rel=2e-3)


def model_of_folder(folder: Path) -> Any:
    return load_model(Recipe(model=str(folder), device="cpu", dtype="float32"), inspect_model(str(folder)))


def test_its_controlnets_project_the_text_themselves(tmp_path: Path) -> None:
    """As its makers' own class does, and diffusers' leaves to whoever calls it."""
    size = (160, 96)
    model, shown = model_of(KOLORS, size), hint(*size)
    controlnet_for(model.denoiser, 0).save_pretrained(tmp_path / "net")
    info = inspect_controlnet(str(tmp_path / "net"))
    assert (info.kind, info.misfit(model.info)) == ("kolors", "")
    assert info.misfit(inspect_model(str(SDXL))).endswith(
        "it is made for Kolors, and the model is a Stable Diffusion XL"
    )
    net = load_controlnet(info, model.device, model.dtype)
    stage = stage_on(model, steps=3)
    plain, ours = run(stage), run(stage_on(model, steps=3), Steered(controls=((net, shown, 0.7),)))

    def steer(_: Any, args: Any, told: Any) -> Any:
        down, middle = net(
            *args,
            encoder_hidden_states=net.encoder_hid_proj(told["encoder_hidden_states"]),
            controlnet_cond=shown.expand(len(args[0]), -1, -1, -1),
            conditioning_scale=0.7,
            added_cond_kwargs=told["added_cond_kwargs"],
            return_dict=False,
        )
        return args, {**told, "down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    handle = model.denoiser.register_forward_pre_hook(steer, with_kwargs=True)
    try:
        theirs = drawn(KOLORS, stage)
    finally:
        handle.remove()
    assert apart(ours, theirs) <= 1e-4
    assert apart(ours, plain) > 1e-2, "it steers"


def test_loras_of_others_are_refused(saved: Path, tmp_path: Path) -> None:
    file, info = tmp_path / "lora.safetensors", inspect_model(str(saved))

    def told(**shapes: tuple[tuple[int, int], tuple[int, int]]) -> str:
        down_up = {
            f"{name}.lora_{half}.weight": torch.ones(shape)
            for name, both in shapes.items()
            for half, shape in zip(("down", "up"), both, strict=True)
        }
        save_file(down_up, file)
        (line,) = check_loras(ModelSpec(model=str(saved), loras=(Lora(path=str(file)),)), info)
        return line.replace(f"LoRA '{file}' ", "")

    attention = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    assert told(**{attention: ((2, 768), (16, 2))}).startswith(
        "is for a model whose text has 768 numbers a token, not 16"
    )
    second = {"lora_te2_text_model_encoder_layers_0_mlp_fc1": ((2, 8), (8, 2))}
    assert told(**second) == "is for SDXL, not for Kolors: it changes a second text encoder"
    flux = {"lora_unet_double_blocks_0_img_attn_qkv": ((2, 8), (8, 2))}
    assert told(**flux).startswith("is for Flux, or a model like it, not for Kolors")
