"""Several pipelines in one memory: what is equal is there once, and under offload one module is on the device."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from peft import LoraConfig
from tiny_models import CHECKPOINTS, plain, run, stage_on
from torch._subclasses.fake_tensor import FakeTensorMode

from fusionkit.models.families import FAMILIES
from fusionkit.models.load import wrap_pipeline
from fusionkit.models.offload import modules_of
from fusionkit.models.pipelines import pipeline_class
from fusionkit.models.sharing import Turns, place, share_components
from fusionkit.models.silence import quiet_diffusers
from fusionkit.testing.tiny import _pipeline as fresh_tiny_pipeline

CUDA = torch.device("cuda:0")
COMPONENTS = {
    "sd": {"unet", "vae", "text_encoder", "tokenizer"},
    "sdxl": {"unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"},
}


def shared(one: Any, other: Any) -> set[str]:
    """Names of the components that two pipelines have as one object."""
    both = one.components
    return {name for name, each in other.components.items() if each is not None and each is both[name]}


def storages(*pipes: Any) -> dict[int, int]:
    """Bytes of every different storage that the pipelines' weights are in, by address."""
    tensors = [weights for pipe in pipes for module in modules_of(pipe) for weights in module.state_dict().values()]
    return {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}


def other_unet(pipe: Any) -> Any:
    """The pipeline with the second tiny UNet."""
    cls = type(pipe.unet)
    pipe.register_modules(unet=cls.from_pretrained(CHECKPOINTS / "tiny-sd-b" / "unet").eval())
    return pipe


def change_one_number(module: Any) -> None:
    """The last number of the largest tensor, which no quick look at the first ones sees."""
    weights = max(module.parameters(), key=torch.Tensor.numel)
    with torch.no_grad():
        weights.view(-1)[-1] += 1e-3


def test_equal_pipelines_become_one_in_memory(kind: str) -> None:
    first, second = plain(kind), plain(kind)
    before, gone = storages(first), [weakref.ref(module) for module in modules_of(second)]
    assert sum(storages(first, second).values()) == 2 * sum(before.values())

    share_components([first, second])

    assert shared(first, second) == COMPONENTS[kind]
    assert storages(first, second) == before
    assert all(ref() is None for ref in gone)
    # A pipeline's configuration and its parts still tell the same story.
    assert second.components["vae"] is first.vae
    assert second.config["vae"] == first.config["vae"] == ("diffusers", "AutoencoderKL")


def test_several_models_cost_their_denoisers_and_nothing_more() -> None:
    pipes = [plain("sd"), other_unet(plain("sd")), plain("sd")]
    change_one_number(pipes[2].unet)
    unets = [sum(weights.nbytes for weights in pipe.unet.parameters()) for pipe in pipes]
    alone = sum(storages(pipes[0]).values())

    share_components(pipes)
    gc.collect()

    assert [shared(pipes[0], pipe) for pipe in pipes[1:]] == [COMPONENTS["sd"] - {"unet"}] * 2
    assert sum(storages(*pipes).values()) == alone + unets[1] + unets[2]
    share_components(pipes)
    assert sum(storages(*pipes).values()) == alone + unets[1] + unets[2]


def test_later_ones_may_share_what_the_first_does_not_have() -> None:
    first, second, third = (plain("sd") for _ in range(3))
    change_one_number(first.text_encoder)
    share_components([first, second, third])
    assert shared(first, second) == shared(first, third) == COMPONENTS["sd"] - {"text_encoder"}
    assert shared(second, third) == COMPONENTS["sd"]


def test_sharing_changes_no_picture() -> None:
    first, second = plain("sd"), other_unet(plain("sd"))
    expected = [run(stage_on(wrap_pipeline(pipe))) for pipe in (first, second)]
    assert (expected[0] - expected[1]).abs().max() > 0.1
    share_components([first, second])
    for pipe, latents in zip((first, second), expected, strict=True):
        assert run(stage_on(wrap_pipeline(pipe))).equal(latents)


def _another_scale(pipe: Any) -> None:
    pipe.vae.register_to_config(scaling_factor=0.5)


def _training(pipe: Any) -> None:
    pipe.vae.train()


def _half(pipe: Any) -> None:
    pipe.vae.to(torch.bfloat16)


def _one_weight(pipe: Any) -> None:
    change_one_number(pipe.vae)


def _a_hook(pipe: Any) -> None:
    pipe.vae._hf_hook = "somebody's"


@pytest.mark.parametrize("differ", [_another_scale, _training, _half, _one_weight, _a_hook])
def test_what_differs_at_all_stays_apart(differ: Callable[[Any], None]) -> None:
    first, second = plain("sd"), plain("sd")
    differ(second)
    share_components([first, second])
    assert shared(first, second) == COMPONENTS["sd"] - {"vae"}


def test_where_a_component_came_from_does_not_matter() -> None:
    first, second = plain("sd"), plain("sd")
    second.text_encoder.config.update(
        {"transformers_version": "4.0", "projection_dim": 7, "_name_or_path": "elsewhere"}
    )
    second.vae.register_to_config(_name_or_path="elsewhere")
    share_components([first, second])
    assert shared(first, second) == COMPONENTS["sd"]


@pytest.mark.parametrize("change", ["added", "side", "length"])
def test_tokenizers_of_other_rules_stay_apart(change: str) -> None:
    first, second = plain("sd"), plain("sd")
    if change == "added":
        second.tokenizer.add_tokens(["<thing>"])
    elif change == "side":
        second.tokenizer.padding_side = "left"
    else:
        second.tokenizer.model_max_length = 20
    share_components([first, second])
    assert shared(first, second) == COMPONENTS["sd"] - {"tokenizer"}


def test_what_has_a_lora_stays_apart() -> None:
    """Even beside its equal: a LoRA's scale is no weight."""
    first, second = plain("sd"), plain("sd")
    config = LoraConfig(r=2, lora_alpha=2, target_modules=["q_proj"], init_lora_weights=True)
    for pipe in (first, second):
        torch.manual_seed(0)
        pipe.text_encoder.add_adapter(config)
    assert first.text_encoder.state_dict().keys() == second.text_encoder.state_dict().keys()
    share_components([first, second])
    assert shared(first, second) == COMPONENTS["sd"] - {"text_encoder"}

    third, fourth = plain("sd"), plain("sd")
    fourth.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"]))
    share_components([third, fourth])
    assert shared(third, fourth) == COMPONENTS["sd"] - {"unet"}
    fourth.unload_lora_weights()
    share_components([third, fourth])
    assert shared(third, fourth) == COMPONENTS["sd"]


@pytest.mark.parametrize("offload", ["none", "model"])
def test_offloaded_pipelines_that_share_draw_the_same(offload: str) -> None:
    """With the hooks of a GPU, but on the CPU."""
    pipes = [plain("sd"), other_unet(plain("sd"))]
    expected = [run(stage_on(wrap_pipeline(pipe))) for pipe in pipes]
    pictures = [wrap_pipeline(pipe).decode(latents).tobytes() for pipe, latents in zip(pipes, expected, strict=True)]
    share_components(pipes)
    place(pipes, torch.device("cpu"), offload)

    turns = Turns()
    for _ in range(2):
        for pipe, latents, picture in zip(pipes, expected, pictures, strict=True):
            model = wrap_pipeline(pipe)
            turns.take(pipe)
            assert model.device == torch.device("cpu")
            assert (run(stage_on(model)) - latents).abs().max() <= 1e-4
            assert model.decode(latents).tobytes() == picture
            turns.release()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors that know a device and a shape, but have no numbers; they refuse to compute across devices."""
    if not torch.backends.cuda.is_built():
        pytest.skip("this build of torch knows no CUDA device; no GPU is needed")

    def move(weights: Any, moved: Any) -> None:
        weights.fake_device = moved.fake_device

    # Modules swap such a weight for the moved one, for which nothing else may know it; tracing does.
    monkeypatch.setattr(torch.utils, "swap_tensors", move)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


class Gpu:
    """Two pipelines that share all but the denoiser, and what of them is on the device."""

    def __init__(self, kind: str) -> None:
        self.pipes = [fresh_tiny_pipeline.__wrapped__(kind, seed) for seed in (0, 1)]
        first, second = self.pipes
        # Numbers can't be compared where there are none.
        second.register_modules(**{name: each for name, each in first.components.items() if name not in UNSHARED})
        self.xl = kind == "sdxl"

    def on_device(self) -> set[str]:
        names = {}
        for number, pipe in enumerate(self.pipes):
            for name, module in pipe.components.items():
                if isinstance(module, torch.nn.Module):
                    where = {weights.device.type for weights in module.parameters()}
                    assert len(where) == 1, f"{name} is torn between {where}"
                    names[f"unet {number}" if name == "unet" else name] = where.pop()
        return {name for name, where in names.items() if where == "cuda"}

    def encode(self, number: int) -> None:
        pipe, ids = self.pipes[number], torch.ones(1, 16, dtype=torch.int64, device="cuda")
        for name in ("text_encoder", "text_encoder_2") if self.xl else ("text_encoder",):
            assert pipe.components[name](ids)[0].device == CUDA
            assert self.on_device() == {name}

    def predict(self, number: int) -> None:
        unet, shape = self.pipes[number].unet, (1, 16, self.pipes[number].unet.config.cross_attention_dim)
        text = torch.zeros(shape, device="cuda")
        more = {"text_embeds": torch.zeros(1, 16, device="cuda"), "time_ids": torch.zeros(1, 6, device="cuda")}
        latents, timestep = torch.zeros(1, 4, 8, 8, device="cuda"), torch.zeros(1, device="cuda")
        predicted = unet(latents, timestep, text, added_cond_kwargs=more if self.xl else None)[0]
        assert predicted.device == CUDA

    def decode(self, number: int) -> None:
        latents = torch.zeros(1, 4, 8, 8, device="cuda")
        assert self.pipes[number].vae.decode(latents, return_dict=False)[0].device == CUDA


UNSHARED = ("unet", "scheduler")


@pytest.mark.usefixtures("gpu")
def test_under_offload_only_the_module_at_work_is_on_the_device(kind: str) -> None:
    gpu = Gpu(kind)
    place(gpu.pipes, torch.device("cuda"), "model")
    assert gpu.on_device() == set()
    assert {pipe._execution_device for pipe in gpu.pipes} == {CUDA}
    turns = Turns()
    for _ in range(2):  # as two runs
        gpu.encode(0)
        for number in (0, 1, 0):
            turns.take(gpu.pipes[number])
            gpu.predict(number)
            assert gpu.on_device() == {f"unet {number}"}
        gpu.encode(1)  # a prompt that turns up in between
        turns.take(gpu.pipes[1])
        gpu.predict(1)
        assert gpu.on_device() == {"unet 1"}
        gpu.decode(0)
        assert gpu.on_device() == {"vae"}
        gpu.pipes[0].maybe_free_model_hooks()
        turns.release()
        assert gpu.on_device() == set()


@pytest.mark.usefixtures("gpu")
def test_pipelines_that_their_user_offloads_take_turns() -> None:
    gpu = Gpu("sd")
    for pipe in gpu.pipes:
        pipe.enable_model_cpu_offload(device="cuda")
    turns = Turns()
    for number in (0, 1, 0):
        turns.take(gpu.pipes[number])
        gpu.predict(number)
        assert gpu.on_device() == {f"unet {number}"}
    turns.release()
    assert gpu.on_device() == set()
    gpu.decode(0)
    assert gpu.on_device() == {"vae"}
    turns.release()
    assert gpu.on_device() == set()


@pytest.mark.usefixtures("gpu")
def test_without_turns_denoisers_that_are_offloaded_apart_pile_up() -> None:
    """What diffusers' own chains do with two pipelines: the reason for turns."""
    gpu = Gpu("sd")
    for pipe in gpu.pipes:
        pipe.enable_model_cpu_offload(device="cuda")
    gpu.predict(0)
    gpu.predict(1)
    assert gpu.on_device() == {"unet 0", "unet 1"}
    # The VAE is in the chain of the pipeline that was hooked last.
    gpu.decode(0)
    assert gpu.on_device() == {"unet 0", "vae"}


@pytest.mark.usefixtures("gpu")
def test_what_is_not_offloaded_stays() -> None:
    gpu = Gpu("sd")
    place(gpu.pipes, torch.device("cuda"), "none")
    everything = {"unet 0", "unet 1", "vae", "text_encoder"}
    turns = Turns()
    for number in (0, 1):
        turns.take(gpu.pipes[number])
        gpu.predict(number)
        assert gpu.on_device() == everything
    turns.release()
    assert gpu.on_device() == everything


@pytest.mark.usefixtures("gpu")
def test_one_pipeline_is_offloaded_as_diffusers_does() -> None:
    pipe = fresh_tiny_pipeline.__wrapped__("sd", 0)
    place([pipe], torch.device("cuda"), "model")
    assert len(pipe._all_hooks) == 3
    assert pipe.unet._hf_hook.prev_module_hook.model is pipe.text_encoder


def test_a_pipeline_of_its_own_class_may_share() -> None:
    """`from_pipe` gives pipelines that share from the start."""
    first = plain("sd")
    with quiet_diffusers():
        second = pipeline_class(FAMILIES["sd"]).from_pipe(first)
    share_components([first, second])
    assert shared(first, second) >= COMPONENTS["sd"]
