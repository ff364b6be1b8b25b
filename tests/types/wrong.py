"""What users write by mistake: every line that ends in `# wrong` is an error for each type checker, and no other."""

from __future__ import annotations

from fusionkit import Field, Fusion, Plugin, Recipe, Stage, hookimpl
from fusionkit_gvcf import StyleAlignment

fusion = Fusion.from_pretrained("tinyworld/scenes", sise=(192, 64))  # wrong
fusion = Fusion.from_pretrained("tinyworld/scenes", steps="many")  # wrong
fusion = Fusion.from_pretrained("tinyworld/scenes", dtype="float61")  # wrong
fusion = Fusion.from_pretrained("tinyworld/scenes", plugins=[StyleAlignment])  # wrong
fusion = Fusion.from_pipe(None, model="tinyworld/scenes")  # wrong
fusion = Fusion.from_pipes({"a": None}, revision="main")  # wrong
fusion = Fusion.from_recipe("panorama-tinyworld", stpes=4)  # wrong
fusion = Fusion.from_recipe("panorama-tinyworld", seed="7")  # wrong
fusion("a hill", sise=(192, 64))  # wrong
fusion("a hill", steps="many")  # wrong
fusion("a hill", size=192)  # wrong
fusion("a hill", device="cpu")  # wrong
Recipe(prompt="a hill", sise=(192, 64))  # wrong
Recipe(prompt="a hill", steps="many")  # wrong


class Louder(Plugin):
    """A plugin with an option."""

    factor: float = Field(default=1.05, gt=0, description="Of the noise.")

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        return [] if stage.recipe.stpes else ["no"]  # wrong


Louder(factr=1.1)  # wrong
