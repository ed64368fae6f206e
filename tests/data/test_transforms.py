"""Transforms against torchvision and timm."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import RandomResizedCrop, v2

from botzoo.data.transforms import EvalTransform, OwnTransform, TrainTransform, random_crop_box, rng_of
from botzoo.errors import DataError
from botzoo.models.preprocessing import Preprocessing
from data.pictures import IMAGENET, noise


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("size", "crop_pct", "mode"), [(64, 0.875, "center"), (50, 1.0, "center"), (48, 0.95, "squash")]
)
def test_evaluation_sees_what_timm_shows(size: int, crop_pct: float, mode: str, interpolation: str) -> None:
    p = Preprocessing(size, *IMAGENET, crop_pct, interpolation, mode)
    theirs = create_transform(
        (3, size, size), interpolation=interpolation, crop_pct=crop_pct, crop_mode=mode, mean=p.mean, std=p.std
    )
    for width, height in ((64, 64), (200, 90), (31, 77), (1, 1), (10, 75)):
        pixels = EvalTransform(p)(noise(width, height), (0, 0))
        ours = p.normalise(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])[0]
        torch.testing.assert_close(ours, theirs(noise(width, height)), rtol=0, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (1, 1)])
def test_extreme_shapes_are_evaluated_without_extreme_memory(shape: tuple[int, int]) -> None:
    p = Preprocessing(224, *IMAGENET, 0.875, "bicubic")
    assert EvalTransform(p)(Image.new("RGB", shape, (9, 9, 9)), (0, 0)).tolist() == np.full((224, 224, 3), 9).tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(60, 40), (40, 90), (500, 20)])
def test_random_crops_are_distributed_as_torchvision_s(width: int, height: int) -> None:
    torch.manual_seed(0)
    rng, image = random.Random(0), torch.zeros(3, height, width)
    boxes = [random_crop_box(rng, width, height, 0.35) for _ in range(4000)]
    ours = np.array([(left, upper, right - left, lower - upper) for left, upper, right, lower in boxes])
    got = [RandomResizedCrop.get_params(image, [0.35, 1], [3 / 4, 4 / 3]) for _ in range(4000)]
    theirs = np.array([(left, upper, w, h) for upper, left, h, w in got])
    for share in (lambda b: b[:, 2] * b[:, 3], lambda b: b[:, 2] / b[:, 3], lambda b: b[:, 0], lambda b: b[:, 1]):
        a, b = share(ours), share(theirs)
        assert abs(a.mean() - b.mean()) <= 4 * np.hypot(a.std(), b.std()) / 4000**0.5 + 1e-9


def test_random_crops_lie_inside_the_image() -> None:
    rng = random.Random(0)
    for _ in range(3000):
        width, height = rng.choice([1, 2, 7, 64, 5000]), rng.choice([1, 2, 7, 64, 5000])
        left, upper, right, lower = random_crop_box(rng, width, height, rng.uniform(0.01, 1))
        assert 0 <= left < right <= width
        assert 0 <= upper < lower <= height


def test_without_cropping_and_flipping_the_image_is_only_resized() -> None:
    image = noise(30, 20)
    pixels = TrainTransform(16, "bilinear", crop_min=1, hflip=0, seed=0)(image, (0, 0))
    expected = np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    np.testing.assert_allclose(pixels, expected, rtol=0, atol=2)  # torch rounds otherwise


def test_an_image_no_larger_than_the_result_comes_as_pillow_makes_it() -> None:
    image = noise(16, 16)
    pixels = TrainTransform(16, "bicubic", crop_min=0.3, hflip=0, seed=0)(image, (0, 0))
    rng = rng_of(0, (0, 0), 0)
    box = random_crop_box(rng, 16, 16, 0.3)
    assert np.array_equal(pixels, np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC, box)))


def test_a_flip_mirrors_and_comes_as_often_as_asked() -> None:
    image = noise(16, 16)
    straight, mirrored = np.asarray(image), np.asarray(image)[:, ::-1]
    transform = TrainTransform(16, "bilinear", crop_min=1, hflip=0.25, seed=3)
    results = [transform(image, (0, i)) for i in range(1000)]
    flips = sum(bool(np.array_equal(result, mirrored)) for result in results)
    assert flips + sum(bool(np.array_equal(result, straight)) for result in results) == 1000
    assert 200 < flips < 300


@pytest.mark.parametrize(("seed", "epoch", "index"), [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_augmentation_depends_on_seed_epoch_and_index_only(seed: int, epoch: int, index: int) -> None:
    image = noise(40, 40)
    first = TrainTransform(16, "bicubic", 0.2, 0.5, seed=0)(image, (0, 0)).tolist()
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    assert TrainTransform(16, "bicubic", 0.2, 0.5, seed=0)(image, (0, 0)).tolist() == first
    assert TrainTransform(16, "bicubic", 0.2, 0.5, seed=seed)(image, (epoch, index)).tolist() != first


# Own transforms


def jitter(image: Image.Image) -> Image.Image:
    """A transform that draws from all three global generators."""
    shift = random.randrange(50) + int(np.random.randint(50)) + int(torch.randint(50, ()))
    return Image.fromarray(np.asarray(image.resize((8, 8))) // 2 + np.uint8(shift))


class Named:
    """A transform as those of albumentations: of ``image=``, with a dict as its answer."""

    def __call__(self, *args: object, force_apply: bool = False, **data: np.ndarray) -> dict[str, np.ndarray]:
        assert not args
        return {"image": data["image"][:8, :8]}


def test_an_own_transform_depends_on_seed_epoch_and_index_only() -> None:
    image, first = noise(12, 10), OwnTransform(jitter, 8, seed=0)
    keys = [(0, 0), (0, 1), (1, 0)]
    once = [first(image, key).tolist() for key in keys]
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    assert [OwnTransform(jitter, 8, seed=0)(image, key).tolist() for key in reversed(keys)] == once[::-1]
    assert OwnTransform(jitter, 8, seed=1)(image, (0, 0)).tolist() not in once
    assert len({str(pixels) for pixels in once}) == 3


def test_an_own_transform_leaves_the_global_generators_as_they_were() -> None:
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    expected = random.random(), np.random.rand(), float(torch.rand(()))
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    OwnTransform(jitter, 8, seed=0)(noise(12, 10), (0, 0))
    assert (random.random(), np.random.rand(), float(torch.rand(()))) == expected


@pytest.mark.parametrize(
    "transform",
    [
        lambda image: image.crop((0, 0, 8, 8)),
        lambda image: np.asarray(image)[:8, :8],
        v2.Compose([v2.PILToTensor(), lambda x: x[:, :8, :8]]),
        v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), lambda x: x[:, :8, :8]]),
        Named(),
        lambda *, image: {"image": image[:8, :8]},
    ],
    ids=["picture", "array", "uint8", "float", "named", "keyword"],
)
def test_every_kind_of_own_transform_gives_the_same_pixels(transform: Callable[..., object]) -> None:
    image = noise(12, 10)
    assert OwnTransform(transform, 8, seed=0)(image, (0, 0)).tolist() == np.asarray(image)[:8, :8].tolist()


@pytest.mark.parametrize(
    ("transform", "came"),
    [
        (lambda image: image, "a picture of 12 x 10 pixels"),
        (lambda image: None, "returned None"),
        (lambda image: np.zeros((8, 8, 3)), "of float64"),
        (lambda image: torch.full((3, 8, 8), -2.0), "values from -2 to -2"),
        (lambda image: torch.zeros(8, 8, 3, dtype=torch.uint8), r"\(8, 8, 3\) of torch.uint8"),
    ],
)
def test_what_an_own_transform_returns_wrongly_is_named(transform: Callable[..., object], came: str) -> None:
    with pytest.raises(DataError, match=came) as caught:
        OwnTransform(transform, 8, seed=0)(noise(12, 10), (0, 0))
    assert "array (8, 8, 3)" in str(caught.value)
