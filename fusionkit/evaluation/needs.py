"""Whether a metric's needs are met: each reason against it in one line, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from fusionkit.errors import FusionError

if TYPE_CHECKING:
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

Pictures = Sequence["Picture"]
FEATURE_NEEDS = {
    "features": "pooled",
    "feature-maps": "maps",
    "perceptual-distance": "perceptual_distance",
    "class-scores": "class_scores",
}
"""What a metric may need of the feature network, and the network's method that gives it."""
NEEDS = frozenset({"reference", "partner", "prompt", "views", "crop", *FEATURE_NEEDS})
_SHOWN = 3


def unmet(
    needs: Collection[str],
    least: int,
    pictures: Pictures,
    reference: Pictures,
    tools: Tools,
    *,
    any_size: bool = False,
) -> list[str]:
    """Why a metric can't score these pictures, one line each, as far as its class variables tell.

    Args:
        needs: What it can't do without, of `NEEDS`.
        least: The fewest pictures that give a score.
        pictures: The set.
        reference: What it is compared with.
        tools: The feature network.
        any_size: Whether the pictures of a set may be of several sizes.
    """
    both = [("", pictures)]
    problems: list[str] = []
    if "reference" in needs and reference:
        both.append((" of the reference", reference))
    elif "reference" in needs:
        problems.append("needs pictures to compare with; give their folder: --reference DIR")
    for where, each in both:
        if len(each) < least:
            fewest = "1 picture" if least == 1 else f"{least} pictures"
            problems.append(f"needs at least {fewest}{where}; there {_are(len(each))}")
    if not any_size:
        problems += [line for where, each in both for line in _one_size(each, where)]
    if "partner" in needs:
        problems += _partners(pictures)
    if "crop" in needs:
        problems += [line for where, each in both for line in _crops(each, where)] or _one_crop(both)
    if "prompt" in needs and (without := [each for each in pictures if not each.prompt]):
        problems.append(
            f"needs the prompt of each picture, as the files of fusionkit carry it; not known of {named(without)}"
        )
    if "views" in needs:
        problems += _views(pictures)
    # The network is loaded to find out: only where nothing else is in the way.
    if not problems:
        asked = [method for need, method in FEATURE_NEEDS.items() if need in needs]
        problems = [line for method in asked for line in tools.features_problems(method)]
    return problems


def _one_size(pictures: Pictures, where: str) -> list[str]:
    """One line where the pictures are not of one size: each size with its first pictures, the most frequent first."""
    by_size = grouped(pictures, lambda each: sized(each.size))
    if len(by_size) < 2:
        return []
    common_first = sorted(by_size.items(), key=lambda each: -len(each[1]))
    shown = listed(f"{size} ({named(each, most=2)})" for size, each in common_first)
    return [f"needs pictures of one size; there are {shown}{where}"]


def _partners(pictures: Pictures) -> list[str]:
    from fusionkit.evaluation.picture import upright_size

    if not any(each.partner for each in pictures):
        return ["needs a picture of the same name for each; give their folder: --reference DIR"]
    problems = []
    if without := [each for each in pictures if each.partner is None]:
        problems.append(f"needs a picture of the same name for each; the reference has no {named(without)}")
    sizes = [(each, upright_size(each.partner)) for each in pictures if each.partner is not None]
    if differ := [
        f"{each.path.name} {sized(each.size)} and {sized(size)}" for each, size in sizes if size != each.size
    ]:
        problems.append(f"needs pictures of one size in pairs; differing in pixels: {listed(differ)}")
    return problems


def _crops(pictures: Pictures, where: str) -> list[str]:
    if without := [each for each in pictures if each.crop is None]:
        return [
            f"needs the size that the model was trained at; it is not known of {named(without)}{where}; "
            f"give it: --crop WxH"
        ]
    sizes = sorted({each.crop for each in pictures if each.crop is not None})
    if len(sizes) > 1:
        return [f"needs crops of one size; those{where or ' here'} are {listed(map(sized, sizes))}; --crop WxH sets it"]
    if small := [each for each in pictures if each.crop_count == 0]:
        crop, size = sized(sizes[0]), sized(small[0].size)
        return [f"needs pictures{where} no smaller than a crop of {crop}; of {size}: {named(small)}"]
    return []


def _one_crop(both: Sequence[tuple[str, Pictures]]) -> list[str]:
    """The reference's crops against the pictures' own."""
    sizes = [pictures[0].crop for _, pictures in both if pictures]
    if len(set(sizes)) < 2:
        return []
    return [
        f"needs crops of one size; they are {sized(sizes[0])} and, of the reference, {sized(sizes[1])}; "
        f"--crop WxH sets both"
    ]


def _views(pictures: Pictures) -> list[str]:
    reasons = {reason: each for reason, each in grouped(pictures, _views_problem).items() if reason}
    return [f"needs to know where the windows were; {named(each)}: {reason}" for reason, each in reasons.items()]


def _views_problem(picture: Picture) -> str:
    try:
        picture.views()
    except FusionError as error:
        return str(error).removeprefix(f"{picture.path}: ")
    return ""


def grouped(pictures: Pictures, key: Callable[[Picture], str]) -> dict[str, list[Picture]]:
    """Pictures by what a function says of them, in the order in which it is first said."""
    found: dict[str, list[Picture]] = {}
    for each in pictures:
        found.setdefault(key(each), []).append(each)
    return found


def named(pictures: Pictures, most: int = _SHOWN) -> str:
    """The first few pictures by name, and how many more there are: `a.png, b.png, c.png and 7 more`."""
    return listed((each.path.name for each in pictures), most)


def sized(size: tuple[int, int] | None) -> str:
    """`3584x512`, as the command line takes it."""
    return "unknown" if size is None else f"{size[0]}x{size[1]}"


def listed(words: Iterable[str], most: int = _SHOWN) -> str:
    """The first few words, and how many more there are."""
    every = list(words)
    more = len(every) - most
    return ", ".join(every[:most]) + (f" and {more} more" if more > 0 else "")


def _are(number: int) -> str:
    return "is 1" if number == 1 else f"are {number}"
