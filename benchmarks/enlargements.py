"""Pictures of twice vista's side as arXiv 2407.10738 scores them: as a whole (r), and by their crops (c).

The pictures are those of `python benchmarks/upscaling.py --world vista`. They are compared with drawings of the world,
which are to it what photographs are to Stable Diffusion, of the same prompts and size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from claims import Claim, above, below
from experiments import markdown, shown
from in_print import printed, printed_difference, printed_score
from PIL import Image
from upscaling import LABELS, SETTINGS
from worlds import WORLDS

from fusionkit.evaluation import Picture, Tools, difference, evaluate, make_metrics
from fusionkit.evaluation.intervals import Sampled
from fusionkit.pictures.picture import open_picture

DRAWN = 5
"""Drawings of each prompt to compare with."""
COLUMNS = {"fid-r": "FID_r (low)", "is-r": "IS_r (high)", "fid-c": "FID_c (low)", "is-c": "IS_c (high)"}
AGREEMENT = "agreement"
SETS: Mapping[str, str] = {"is": "is-r", "fid": "fid-r", "vista-agreement": AGREEMENT}


@dataclass(frozen=True)
class Enlargements:
    """The pictures of a folder, and what they score.

    Args:
        folder: That of `benchmarks/upscaling.py`.
        world: The name of the world that they are of.
    """

    folder: Path
    world: str = "vista"
    name: str = field(default="accdiffusion", init=False)

    @cached_property
    def cases(self) -> Mapping[int, str]:
        """The prompts by number of all that is drawn of the first stage."""
        return {
            case.number: case.prompt
            for case in WORLDS[self.world].cases(1000)
            if (self.folder / "first" / f"{case.number:03}.png").exists()
        }

    @cached_property
    def settings(self) -> list[str]:
        """The enlargements that have drawn every prompt."""
        return [
            setting
            for setting in SETTINGS
            if setting != "first"
            and self.cases
            and all((self.folder / setting / f"{number:03}.png").exists() for number in self.cases)
        ]

    def reference(self) -> list[Path]:
        """Drawings of the same specifications with other seeds, made where they are missing."""
        import numpy as np

        from fusionkit_vista.drawer import caption, draw, parse, sample_spec

        side, paths = WORLDS[self.world].side, []
        for number, prompt in self.cases.items():
            asked = parse(prompt)
            for seed in range(DRAWN):
                path = self.folder / "drawings" / f"{number:03}-{seed}.png"
                if not path.exists():
                    path.parent.mkdir(exist_ok=True)
                    spec = sample_spec(np.random.default_rng((11, number, seed)), **asked)
                    assert caption(spec) == prompt, (caption(spec), prompt)
                    Image.fromarray(draw(spec, size=(side, side))).save(path)
                paths.append(path)
        return paths

    def pictures(self, paths: list[Path], prompts: list[str], side: int) -> list[Picture]:
        """Pictures that metrics look at in crops of a side."""
        sizes = [open_picture(path).size for path in paths]
        return [
            Picture(path, size, prompt, crop=(side, side))
            for path, size, prompt in zip(paths, sizes, prompts, strict=True)
        ]

    @cached_property
    def scores(self) -> dict[str, dict[str, Sampled]]:
        """What each setting scores, by column."""
        world, found = WORLDS[self.world], {}
        tools = Tools(self.world, cache=self.folder / ".features")
        names = [prompt for prompt in self.cases.values() for _ in range(DRAWN)]
        for setting in self.settings:
            paths = [self.folder / setting / f"{number:03}.png" for number in self.cases]
            found[setting] = {}
            for kind, crop in (("r", world.side), ("c", world.window)):
                mine = self.pictures(paths, list(self.cases.values()), crop)
                others = self.pictures(self.reference(), names, crop)
                named = ["fid", "is", *(["vista-agreement"] if kind == "r" else [])]
                for metric in make_metrics(named):
                    key = AGREEMENT if metric.metric_name == "vista-agreement" else f"{metric.metric_name}-{kind}"
                    found[setting][key] = evaluate(mine, [metric], tools, others).sampled[metric.metric_name]
        return found

    def table(self) -> str:
        """The page's table, the paper's figures beside ours."""
        header = [""]
        for title in COLUMNS.values():
            header += [title, "in print"]
        rows = []
        for setting, scores in self.scores.items():
            row = [LABELS[setting]]
            for column in (*COLUMNS, AGREEMENT):
                row += [shown(scores[column].score) if column in scores else "-"]
                row += [printed(printed_score(self.name, setting, column))]
            rows.append(row)
        return markdown([*header, "agreement (high)", "CLIP in print"], rows)

    def claims(self) -> list[Claim]:
        """What the paper says, and what is measured here to try it."""
        said = {
            "fid-r": "AccDiffusion is better than DemoFusion as a whole",
            "is-r": "AccDiffusion is better than DemoFusion as a whole",
            "fid-c": "AccDiffusion is better than DemoFusion in detail",
            "is-c": "AccDiffusion is better than DemoFusion in detail",
            AGREEMENT: "AccDiffusion follows the prompt better than DemoFusion",
        }
        claims = [self.claim("accdiffusion", "demofusion", column, text) for column, text in said.items()]
        for other, name in (("direct", "direct sampling"), ("multidiffusion", "MultiDiffusion")):
            for column in ("fid-r", "fid-c"):
                text = f"AccDiffusion is better than {name}"
                claims.append(self.claim("accdiffusion", other, column, text, "yes, without figures"))
        return claims

    def claim(self, some: str, others: str, column: str, text: str, in_print: str = "") -> Claim:
        """One setting is better than another."""
        better, worse = (below(0), above(0)) if column.startswith("fid") else (above(0), below(0))
        gap = printed_difference(self.name, some, others, column)
        what = COLUMNS.get(column, column).partition(" ")[0]
        return Claim(
            text,
            f"{what}, {LABELS[some]} minus {LABELS[others].partition(',')[0]}",
            lambda: difference(self.scores[some][column], self.scores[others][column]),
            better,
            worse,
            in_print or printed(gap, 3, signed=True),
        )
