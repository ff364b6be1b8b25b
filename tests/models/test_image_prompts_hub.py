"""IP-Adapters of a hub: looked at by their headers, downloaded with their encoders, and told by their commits."""

from __future__ import annotations

from pathlib import Path

from local_hub import COMMIT, hub
from test_hub import ask

from fusionkit.testing import tiny_pipeline
from fusionkit.testing.tiny_adapter import PROJECTED, save_tiny_adapter

SCRIPT = """
from fusionkit.models.identity import _identity
from fusionkit.models.image_prompts.adapter import adapter_on_hub, find_adapter, read_adapter
from fusionkit.models.image_prompts.encoder import files_of, find_encoder
def told(call, *given, **options):
    try:
        return call(*given, **options)
    except FusionError as error:
        return error
source, name = "owner/adapters", "models/ip-adapter.safetensors"
print(told(find_adapter, source, name))
there = told(adapter_on_hub, source, name)
print(there and (there.kind, there.image_width, there.token_width, len(there.widths)))
path = told(find_adapter, source, name, download=True)
print(told(find_adapter, source, "models/none.safetensors", download=True))
encoder = told(find_encoder, source, name, None)
print(encoder.where, encoder.projected, files_of(encoder)[0].name)
print(read_adapter(source, name, path).widths == (there or read_adapter(source, name, path)).widths)
print(told(find_encoder, source, name, "other/image_encoder"))
print(_identity(source, None, "config.json", None))
"""


def test_an_adapter_of_the_hub(tmp_path: Path) -> None:
    save_tiny_adapter(tmp_path / "adapters" / "models", tiny_pipeline("sd").unet)
    with hub({"owner/adapters": tmp_path / "adapters"}) as (endpoint, _):
        said = ask(endpoint, tmp_path / "home", SCRIPT)
    assert said == [
        "None",
        f"('projection', {PROJECTED}, 16, 4)",
        "IP-Adapter 'owner/adapters/models/none.safetensors' has no file 'models/none.safetensors'; it has "
        "models/image_encoder/model.safetensors, models/ip-adapter.safetensors",
        f"owner/adapters/models/image_encoder {PROJECTED} image_encoder",
        "True",
        "image encoder 'owner/adapters' is no diffusers image encoder: it has no other/image_encoder/config.json",
        f"commit:{COMMIT}",
    ]
