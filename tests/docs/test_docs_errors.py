"""The errors that docs/recipes.md explains are those that are printed."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from docs_pages import DOCS

from fusionkit.cli import main

SAID = {
    "plugins.style-alignment.alhpa=1": "has no option 'alhpa'; did you mean 'alpha'?",
    "plugins=[multi-diffusion]": "no plugin 'multi-diffusion'; did you mean 'multidiffusion'?",
    "steps=many": "'steps' must be a whole number, not 'many'",
    "size=1028x128": "size 1028x128 is not divisible by 8",
    "plugins.multidiffusion.stride=192": "stride 192 is larger than the window, 128x128",
    "plugins=[multidiffusion, multidiffusion]": "both replace the hook 'views'; use one of them",
    "models={scene: vista/scenes}": "has both 'models' and 'model'",
    "scheduler=dpmm": "no scheduler 'dpmm'; did you mean 'ddpm'?",
    "scheduler={ddim: {eta: a}}": "scheduler 'ddim': 'eta' must be a number, not 'a'",
    "steps=1001": "makes at most 1,000 steps",
    "clip-skip=20": "clip-skip 20: the text encoder of model",
    "scheduler=ddim": "variance-corrected-fusion: DDIMScheduler draws no noise",
}


@pytest.mark.parametrize("change", SAID)
def test_an_explained_error_is_printed_in_one_line(change):
    result = CliRunner().invoke(main, ["validate", "panorama", "--set", change])
    assert result.exit_code != 0
    assert len(result.output.splitlines()) == 1
    assert SAID[change] in result.output
    assert SAID[change] in (DOCS / "recipes.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("content", "said"), [(b"prompt: \xff", "not UTF-8"), (b"prompt: [", "not YAML")])
def test_a_file_that_is_no_text_or_no_yaml_is_said_with_its_place(content, said, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    result = CliRunner().invoke(main, ["validate", str(path)])
    assert result.exit_code != 0
    assert f"`{said}`" in (DOCS / "recipes.md").read_text(encoding="utf-8")
    assert "broken.yaml:1:" in result.output
    assert said in result.output
