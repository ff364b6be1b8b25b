"""Evaluation: what is scored and how, what is checked first, and what a metric that fails is told."""

from __future__ import annotations

from math import isnan, sqrt
from typing import ClassVar

import numpy as np
import pytest
from evaluating import Apart, Brightness, Colours, Spread, Windows, noisy, told

from fusionkit.errors import PluginError, RecipeError
from fusionkit.evaluation import Metric, Tools, check, evaluate, make_metrics, read_pictures, usable
from fusionkit.evaluation.features import resized
from fusionkit.evaluation.intervals import mean


@pytest.fixture
def tools() -> Tools:
    return Tools(Colours(), device="cpu")


def problems(*args) -> list[str]:
    with pytest.raises(RecipeError) as error:
        evaluate(*args)
    return error.value.problems


def test_a_mean_has_each_pictures_value_and_students_interval(tmp_path, tools):
    pictures = read_pictures(noisy(tmp_path, [10, 20, 30, 40]))
    found = evaluate(pictures, [Brightness(gain=2)], tools)
    assert found.each == {"brightness": [20, 40, 60, 80]}
    score = found.scores["brightness"]
    assert (score.value, score.count) == (50, 4)
    assert score.high - score.value == pytest.approx(3.182446 * 25.819889 / 2, rel=1e-6)
    assert found.notes == []


def test_a_picture_without_a_value_is_left_out_and_named(tmp_path, tools):
    pictures = read_pictures(noisy(tmp_path, [0, 20, 40]))
    found = evaluate(pictures, [Brightness()], tools)
    assert (found.scores["brightness"].value, found.scores["brightness"].count) == (30, 2)
    assert isnan(found.each["brightness"][0])
    assert found.notes == ["brightness: 1 of 3 pictures have no value: a.png"]


def test_a_score_of_a_set_is_resampled_by_picture(tmp_path, tools):
    pictures = read_pictures(noisy(tmp_path / "x", [10, 20, 30]), crop=(16, 16))
    reference = read_pictures(noisy(tmp_path / "y", [50, 60, 70]), crop=(16, 16))
    found = evaluate(pictures, [Spread()], tools, reference)
    # Two crops a picture: 50, 50, 60, 60, 70, 70 deviate by 8.944 from their mean.
    score = found.scores["spread"]
    assert score.value == pytest.approx(40 / 8.944272, rel=1e-6)
    # The interval of the mean of 10, 20, 30 by Student's t; that of six crops drawn alone would be half as wide.
    assert (score.high - score.value) * 8.944272 == pytest.approx(4.302653 * 10 / np.sqrt(3), rel=0.2)
    assert found.each == {}
    assert found.notes == ["spread: the interval is from 50 resamples, not 500"]
    assert len(found.sampled["spread"].resampled) == 50


def test_intervals_are_over_seeds_where_the_prompts_are_known(tmp_path, tools):
    for seed in range(4):
        told(tmp_path / f"{seed}.png", seed=60 * seed, prompt="the sea at noon" if seed < 2 else "hills at dusk")
    pictures = read_pictures(tmp_path)
    found = evaluate(pictures, [Brightness()], tools)
    # (n, 100, 100) of n = 0, 60, 120, 180: two prompts that differ by 40, and two seeds of each by 20.
    assert found.scores["brightness"] == mean(found.each["brightness"], ["sea", "sea", "hills", "hills"])
    assert found.scores["brightness"].high - found.scores["brightness"].value == pytest.approx(10 * 4.302653 / sqrt(2))
    assert found.notes == ["intervals are of other pictures of the same 2 prompts in the same shares"]
    alone = evaluate(pictures, [Brightness()], tools, strata=["all"] * 4)
    assert alone.scores["brightness"] == mean(found.each["brightness"])
    assert alone.notes == []


def test_pictures_that_score_alike_are_named_as_such(tmp_path, tools):
    found = evaluate(read_pictures(noisy(tmp_path, [10, 10])), [Brightness(), Windowless()], tools)
    assert found.notes == ["brightness, windowless: all pictures score alike, which gives no interval for others"]


def test_progress_counts_pictures_and_then_resamples(tmp_path, tools):
    pictures = read_pictures(noisy(tmp_path / "x", [10, 20, 30]), crop=(16, 16))
    told_of = []
    evaluate(pictures, [Brightness(), Spread()], tools, pictures[:2], lambda *args: told_of.append(args))
    assert told_of[:5] == [(done, 5, "pictures") for done in range(1, 6)]
    assert told_of[5:][0] == (1, 50, "spread")
    assert told_of[-1] == (50, 50, "spread")


def test_partners_are_compared_one_by_one(tmp_path, tools):
    noisy(tmp_path / "y", [12, 17])
    found = evaluate(read_pictures(noisy(tmp_path / "x", [10, 20]), partner=tmp_path / "y"), [Apart()], tools)
    assert found.each == {"apart": [2, 3]}


def test_windows_come_from_the_recipes(tmp_path, tools):
    for seed in (1, 2):
        told(tmp_path / f"{seed}.png", seed=seed)
    assert evaluate(read_pictures(tmp_path), [Windows()], tools).each == {"windows": [5, 5]}


class Seam(Metric):
    """A metric that describes by two numbers, of which each picture has a ratio."""

    def describe(self, picture, tools):
        return np.array([picture.pixels().mean(), 2.0])

    def each(self, described):
        return described[0] / described[1]

    def score(self, described, reference):
        total = np.sum(described, axis=0)
        return total[0] / total[1]


def test_a_metric_may_say_itself_what_a_pictures_own_value_is(tmp_path, tools):
    found = evaluate(read_pictures(noisy(tmp_path, [10, 20])), [Seam()], tools)
    assert found.each == {"seam": [5, 10]}
    assert found.scores["seam"].value == 7.5


class Windowless(Metric):
    """The same for every picture."""

    def describe(self, picture, tools):
        return 1


class Everything(Metric):
    """Needs all there is."""

    needs: ClassVar[frozenset[str]] = frozenset({"reference", "partner", "features", "prompt", "views", "crop"})
    least = 3

    def describe(self, picture, tools):
        return 1.0


def test_all_that_is_missing_is_said_at_once_with_the_numbers(tmp_path, tools):
    pictures = read_pictures(noisy(tmp_path, [1, 2]))
    lines = [
        "everything: needs pictures to compare with; give their folder: --reference DIR",
        "everything: needs at least 3 pictures; there are 2",
        "everything, apart: needs a picture of the same name for each; give their folder: --reference DIR",
        "everything: needs the size that the model was trained at; it is not known of a.png, b.png; "
        "give it: --crop WxH",
        "everything: needs the prompt of each picture, as the files of fusionkit carry it; not known of a.png, b.png",
        "everything, windows: needs to know where the windows were; a.png, b.png: where its windows were is not known; "
        "give --crop WxH and --stride N",
    ]
    assert check(pictures, [Everything(), Apart(), Windows()], tools) == lines
    assert problems(pictures, [Everything(), Apart(), Windows()], tools) == lines


def test_too_few_pictures_of_the_reference_are_counted_too(tmp_path, tools):
    pictures = read_pictures(noisy(tmp_path, [1, 2, 3, 4]), crop=(16, 16))
    assert check(pictures[:1], [Spread()], tools, pictures[:1]) == [
        "spread: needs at least 2 pictures; there is 1",
        "spread: needs at least 2 pictures of the reference; there is 1",
    ]
    assert check([], [Brightness()], tools) == ["there are no pictures to evaluate"]


def test_crops_that_do_not_fit_are_refused(tmp_path, tools):
    folder = noisy(tmp_path / "x", [1, 2])
    large, small, none = (read_pictures(folder, crop=crop) for crop in ((32, 32), (16, 16), None))
    assert check(large, [Spread()], tools, small) == [
        "spread: needs pictures no smaller than a crop of 32x32; of 32x16: a.png, b.png"
    ]
    assert check(small, [Spread()], tools, none) == [
        "spread: needs the size that the model was trained at; it is not known of a.png, b.png of the reference; "
        "give it: --crop WxH"
    ]
    tiny = read_pictures(folder, crop=(8, 8))
    assert check(small, [Spread()], tools, tiny) == [
        "spread: needs crops of one size; they are 16x16 and, of the reference, 8x8; --crop WxH sets both"
    ]
    assert check([*small, *tiny], [Spread()], tools, small) == [
        "spread: needs crops of one size; those here are 8x8, 16x16; --crop WxH sets it"
    ]


def test_pictures_of_different_sizes_are_named_with_their_sizes(tmp_path, tools):
    noisy(tmp_path, [1, 2, 3, 4])
    for index, width in enumerate((48, 64, 80)):
        (noisy(tmp_path / "other", [1], size=(width, 16)) / "a.png").rename(tmp_path / f"{'wxy'[index]}.png")
    pictures = read_pictures(tmp_path)
    assert check(pictures, [Brightness()], tools) == [
        "brightness: needs pictures of one size; there are 32x16 (a.png, b.png and 2 more), 48x16 (w.png), "
        "64x16 (x.png) and 1 more"
    ]


def test_partners_that_are_missing_or_differ_in_size_are_named(tmp_path, tools):
    noisy(tmp_path / "y", [1, 2, 3], size=(32, 20))
    pictures = read_pictures(noisy(tmp_path / "x", [1, 2, 3, 4, 5]), partner=tmp_path / "y")
    assert check(pictures, [Apart()], tools) == [
        "apart: needs a picture of the same name for each; the reference has no d.png, e.png",
        "apart: needs pictures of one size in pairs; differing in pixels: a.png 32x16 and 32x20, "
        "b.png 32x16 and 32x20, c.png 32x16 and 32x20",
    ]


def test_a_metric_twice_and_a_device_that_is_not_there(tmp_path):
    pictures = read_pictures(noisy(tmp_path, [1, 2]))
    assert check(pictures, [Brightness(), Brightness(gain=2)], Tools(Colours(), device="xpu:7")) == [
        "metric 'brightness' is there twice",
        "device 'xpu:7' is not there; this machine has: cpu",
    ]


def test_unknown_features_are_said_with_a_near_one(tmp_path):
    class Looks(Brightness):
        needs: ClassVar[frozenset[str]] = frozenset({"features"})

    pictures = read_pictures(noisy(tmp_path, [1, 2]))
    assert check(pictures, [Looks()], Tools("inceptoin", device="cpu")) == [
        "looks: no features 'inceptoin'; did you mean 'inception'?"
    ]


class Failing(Metric):
    """Fails where it is told to."""

    where: str = "describe"

    def problems(self, pictures, reference, tools):
        return super().problems(pictures, reference, tools) if self.where != "problems" else [1 / 0]

    def describe(self, picture, tools):
        return 1.0 if self.where != "describe" else 1 / 0

    def score(self, described, reference):
        return 1.0 if self.where != "score" else 1 / 0


@pytest.mark.parametrize(
    ("where", "said"),
    [("problems", "problems: "), ("describe", r"describe of .*a\.png: "), ("score", "score: ")],
    ids=["problems", "describe", "score"],
)
def test_what_a_metric_raises_names_it(tmp_path, tools, where, said):
    pictures = read_pictures(noisy(tmp_path, [1, 2]))
    with pytest.raises(PluginError, match=f"metric 'failing' failed in {said}ZeroDivisionError: division by zero"):
        evaluate(pictures, [Failing(where=where)], tools)


def test_usable_metrics_are_told_apart_from_those_that_lack_something(tmp_path, tools):
    pictures = read_pictures(noisy(tmp_path, [1, 2]))
    able, left_out = usable([Brightness(), Windows(), Failing(where="problems")], pictures, tools)
    assert [each.metric_name for each in able] == ["brightness"]
    assert left_out == {
        "windows": "needs to know where the windows were; a.png, b.png: where its windows were is not known; "
        "give --crop WxH and --stride N",
        "failing": "metric 'failing' failed in problems: ZeroDivisionError: division by zero",
    }


def test_features_are_computed_once_a_picture_and_kept_by_content(tmp_path):
    folder = noisy(tmp_path / "x", [10, 20])
    network = Colours()
    tools = Tools(network, cache=tmp_path / "cache")
    pictures = read_pictures(folder, crop=(16, 16))
    first = [tools.pooled(each).tolist() for each in (*pictures, *pictures)]
    assert first[:2] == first[2:] == [[[10] * 3] * 2, [[20] * 3] * 2]
    assert network.seen == 4
    # Another run finds them by the files' content, whatever they are called.
    (folder / "a.png").rename(folder / "z.png")
    later = Colours()
    again = Tools(later, cache=tmp_path / "cache")
    assert [again.pooled(each).tolist() for each in read_pictures(folder, crop=(16, 16))] == first[1::-1]
    assert later.seen == 0
    # Other crops, and other pictures of the same name, are computed.
    assert again.pooled(read_pictures(folder, crop=(8, 8))[0]).shape == (8, 3)
    noisy(folder, [99, 20])
    assert again.pooled(read_pictures(folder, crop=(16, 16))[0])[0, 0] == 99
    assert later.seen == 10


def test_a_damaged_cache_is_computed_anew(tmp_path):
    pictures = read_pictures(noisy(tmp_path / "x", [10]), crop=(16, 16))
    Tools(Colours(), cache=tmp_path / "cache").pooled(pictures[0])
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:50])
    network = Colours()
    assert Tools(network, cache=tmp_path / "cache").pooled(pictures[0]).shape == (2, 3)
    assert network.seen == 2


def test_crops_are_resized_as_clean_fid_does():
    crops = np.random.default_rng(0).integers(256, size=(2, 40, 60, 3), dtype=np.uint8)
    found = resized(crops, (15, 10))
    assert found.shape == (2, 10, 15, 3)
    assert found.dtype == np.float32
    # Each pixel of a picture a quarter as large is a mean over the whole square and more: little noise is left.
    assert found.std() < 0.3 * crops.std()
    assert not np.array_equal(found, found.round())
    assert np.array_equal(resized(crops, (60, 40)), crops.astype(np.float32))
    stripes = np.zeros((1, 8, 8, 3), np.uint8)
    stripes[:, :, ::2] = 200
    # Without a filter every second column would be taken, and they are all alike.
    assert resized(stripes, (4, 4))[0, 2, 1:3] == pytest.approx(100, abs=12)


def test_metrics_are_named_as_their_classes_unless_they_say_otherwise():
    class HowBlue(Metric):
        pass

    class Red(Metric, name="how-red"):
        title = "Redness"

    assert (HowBlue.metric_name, HowBlue.title) == ("how-blue", "HowBlue")
    assert (Red.metric_name, Red.title) == ("how-red", "Redness")
    with pytest.raises(TypeError, match=r"metric 'wrong' needs \['crops'\]"):

        class Wrong(Metric):
            needs: ClassVar[frozenset[str]] = frozenset({"crops"})


def test_options_that_do_not_fit_are_all_named():
    with pytest.raises(RecipeError) as error:
        make_metrics(
            ["seam", "sim", "variance"], ["seam=1", "ssim.x=2", "variance.nothing=3", "kid.subsets=4", "seam.a=[1"]
        )
    found = error.value.problems
    assert found[0] == "--set seam=1: must be METRIC.OPTION=VALUE, such as ssim.window=7"
    assert found[1] == "--set ssim.x=2: metric 'ssim' is not evaluated; did you mean 'sim'?"
    assert "no metric 'sim'; did you mean 'ssim'?" in found
    assert any(line.startswith("metric 'variance' has no option 'nothing'") for line in found)
    assert all("\n" not in line for line in found)
    assert any("kid" in line and "is not evaluated" in line for line in found)


def test_the_package_is_light():
    import subprocess
    import sys

    code = "import sys, fusionkit.evaluation; print({'torch', 'numpy', 'PIL', 'scipy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
