"""How images of any shape fit an input of any shape: against timm, torchvision, and the geometry itself."""

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import RandomResizedCrop

from botzoo.data.transforms import EvalTransform, TrainTransform, frame_of, random_crop_box
from botzoo.models.preprocessing import FITS, Preprocessing, Side, Size
from data.pictures import IMAGENET, noise

SIDES: list[Side] = [32, (16, 64), (48, 20)]
SHAPES = [(64, 64), (200, 90), (31, 77), (1, 1), (10, 75), (150, 20), (64, 16), (3, 2)]


def prepared(side: Side, fit: str, crop_pct: float = 0.9) -> Preprocessing:
    return Preprocessing(side, *IMAGENET, crop_pct, "bicubic").fitted(fit)


def training(p: Preprocessing, crop_min: float = 1, hflip: float = 0, seed: int = 0) -> TrainTransform:
    return TrainTransform(p.size, p.interpolation, crop_min, hflip, seed, crop_mode=p.crop_mode, fill=p.fill)


def assert_alike(one: np.ndarray, other: np.ndarray) -> None:
    """The same but for two levels of rounding, as training resizes by torch and evaluation by Pillow."""
    np.testing.assert_allclose(one.astype(int), other, rtol=0, atol=2)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("side", SIDES)
def test_evaluation_sees_what_timm_shows(side: Side, fit: str) -> None:
    p = prepared(side, fit)
    how = {"crop_pct": p.crop_pct, "crop_mode": p.crop_mode, "interpolation": p.interpolation}
    theirs = create_transform((3, *p.shape), mean=p.mean, std=p.std, **how)
    for width, height in SHAPES:
        pixels = EvalTransform(p)(noise(width, height), (0, 0))
        ours = p.normalise(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])[0]
        torch.testing.assert_close(ours, theirs(noise(width, height)), rtol=0, atol=2e-6)


@pytest.mark.parametrize("crop_pct", [1.0, 0.875, 0.7])
@pytest.mark.parametrize("side", [64, (96, 64)])
@pytest.mark.parametrize("shape", [(640, 640), (300, 600), (900, 500), (2000, 90)])
def test_padded_images_of_other_channels_are_cropped_as_timm_crops_padded_rgb(
    side: Side, shape: tuple[int, int], crop_pct: float
) -> None:
    p = Preprocessing(side, (0.3,) * 3, (0.5,) * 3, crop_pct, "bilinear", "border")
    grey = noise(*shape).convert("L")
    ours, theirs = EvalTransform(replace(p, mean=(0.3,), std=(0.5,))), EvalTransform(p)
    difference = ours(grey, (0, 0)).astype(int) - theirs(grey.convert("RGB"), (0, 0))
    assert np.abs(difference).mean() < 5  # timm crops at whole pixels, half a pixel beside the middle


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("side", "shape"), [*itertools.product(SIDES, [(1, 20_000), (20_000, 1), (1, 65), (129, 2)])])
def test_extreme_shapes_become_pixels_of_the_input_s_size(side: Side, shape: tuple[int, int], fit: str) -> None:
    p, image = prepared(side, fit), Image.new("RGB", shape, prepared(side, fit).fill)
    for pixels in (EvalTransform(p)(image, (0, 0)), training(p, 0.3)(image, (0, 0)), training(p)(image, (0, 0))):
        assert pixels.tolist() == np.full((*p.shape, 3), p.fill).tolist()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("width", "height"), [(64, 64), (200, 90), (31, 77), (300, 20), (33, 1)])
def test_trained_whole_a_squashed_image_is_the_one_that_is_evaluated(side: Side, width: int, height: int) -> None:
    p, image = prepared(side, "squash"), noise(width, height)
    assert_alike(training(p)(image, (0, 0)), EvalTransform(p)(image, (0, 0)))


@pytest.mark.parametrize(
    ("side", "width", "height"), [(32, 128, 32), (32, 20, 60), ((16, 64), 64, 64), ((48, 20), 80, 8)]
)
def test_trained_whole_a_padded_image_is_the_one_that_is_evaluated(side: Side, width: int, height: int) -> None:
    p, image = prepared(side, "pad"), noise(width, height)
    assert_alike(training(p)(image, (0, 0)), EvalTransform(p)(image, (0, 0)))


@pytest.mark.parametrize("seed", range(5))
def test_of_a_square_in_a_square_the_three_are_one(seed: int) -> None:
    image = noise(50, 50)
    one, *others = (training(prepared(32, fit), 0.2, 0.5, seed)(image, (0, 1)).tolist() for fit in FITS)
    assert others == [one, one]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("width", "height"), [(900, 100), (50, 700)])
def test_crops_of_a_squashed_image_are_distributed_as_torchvision_s_of_it(side: Side, width: int, height: int) -> None:
    torch.manual_seed(0)
    rng, size = random.Random(0), Size(*(30 * s for s in Size.of(side)))
    frame = frame_of(width, height, size, "squash")
    boxes = np.array([random_crop_box(rng, width, height, 0.35, frame=frame) for _ in range(1000)])
    ours = boxes / [width, height, width, height]
    frame_image = torch.empty(3, *size)
    k = size.width / size.height  # squashed to a rectangle: the aspect ratios are relative to the rectangle's
    got = np.array([RandomResizedCrop.get_params(frame_image, [0.35, 1], [3 / 4 * k, 4 / 3 * k]) for _ in range(1000)])
    theirs = np.stack([got[:, 1], got[:, 0], got[:, 1] + got[:, 3], got[:, 0] + got[:, 2]], 1) / (
        *size[::-1],
        *size[::-1],
    )
    for a, b in zip(ours.T, theirs.T, strict=True):
        assert abs(a.mean() - b.mean()) <= 4 * np.hypot(a.std(), b.std()) / 1000**0.5 + 0.01


def drawn(side: Side, crop_mode: str) -> list[tuple[tuple[int, int], tuple[int, int, int, int], float]]:
    """Image, box, and how much longer what is in it looks than in evaluation, of random shapes."""
    rng, found = random.Random(0), []
    for _ in range(800):
        width, height = (rng.choice([40, 90, 400, 1000]) for _ in range(2))
        frame = frame_of(width, height, Size.of(side), crop_mode)
        box = random_crop_box(rng, width, height, 0.3, frame=frame)
        found.append(((width, height), box, (box[2] - box[0]) / (box[3] - box[1]) / frame.ratio))
    return found


@pytest.mark.parametrize("side", SIDES)
def test_crops_of_a_padded_image_have_all_of_it_or_lie_within(side: Side) -> None:
    for shape, box, longer in drawn(side, "border"):
        assert 0.7 < longer < 1.43
        for whole, first, last in zip(shape, box[:2], box[2:], strict=True):
            assert (first <= 0 and last >= whole) or (first >= 0 and last <= whole)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("crop_mode", ["center", "squash"])
def test_crops_lie_within_the_image(side: Side, crop_mode: str) -> None:
    for (width, height), (left, top, right, lower), _ in drawn(side, crop_mode):
        assert 0 <= left < right <= width
        assert 0 <= top < lower <= height


def test_crops_for_a_rectangle_are_as_long_as_it() -> None:
    ratios = [longer for shape, _, longer in drawn((16, 64), "center") if shape == (1000, 400)]
    assert max(abs(math.log(ratio)) for ratio in ratios) < math.log(4 / 3) + 0.02


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("width", "height"), [(800, 200), (500, 500), (200, 900), (600, 150)])
def test_the_share_that_the_centre_crop_sees_is_what_it_shows(side: Side, width: int, height: int) -> None:
    p = prepared(side, "crop")
    ramps = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    image = Image.fromarray(np.stack([*ramps, ramps[0]], -1).astype(np.uint8))
    shown = EvalTransform(p)(image, (0, 0)).astype(float).reshape(-1, 3)
    ends = shown.max(0) - shown.min(0)
    steps = [
        (side + 0.0) / (side - 1) for side in p.shape[::-1]
    ]  # from first to last centre is a pixel short of the whole
    seen = math.prod(ends[:2] / 255 * steps)
    stretch = float(p.stretch(np.array(height), np.array(width)))
    assert seen == pytest.approx(p.crop_pct**2 / stretch, rel=0.08)
