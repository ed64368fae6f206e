"""torchvision's augmentations as pure functions of a seed, and how they and the paper's colours come into batches."""

import pickle
import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import kstest
from torch import Tensor
from torchvision.transforms import v2

from botzoo.data.augment import Augment, Pixels, make_augment
from botzoo.data.images import Images, read_images
from botzoo.data.order import Order
from botzoo.data.transforms import EvalTransform, TrainTransform, random_crop_box
from botzoo.models.preprocessing import Preprocessing
from botzoo.options.config import AugmentConfig
from botzoo.sources.base import Encoded, Split
from botzoo.tricks.paper_augment import aspect_ratio

MEAN = (0.5, 0.4, 0.3)
FILL = [128, 102, 76]  # MEAN in eight bits

ALL: dict[str, Any] = {
    "vflip": 0.5,
    "rotate90": True,
    "randaugment": 9,
    "blur": 0.5,
    "noise": 0.02,
    "random_erasing": 0.5,
}


def photo(size: int = 24, seed: int = 0) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def augment(size: int = 24, **options: Any) -> Augment:
    made = make_augment(AugmentConfig(**options), size, MEAN)
    assert made is not None
    return made


def theirs(transform: v2.Transform, pixels: Pixels, seed: int) -> Pixels:
    """What torchvision makes of the pixels after ``torch.manual_seed(seed)``."""
    torch.manual_seed(seed)
    result: Pixels = transform(torch.from_numpy(pixels.copy()).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    return result


def test_by_default_nothing_is_on() -> None:
    assert make_augment(AugmentConfig(), 32, MEAN) is None


BILINEAR = {"interpolation": v2.InterpolationMode.BILINEAR, "fill": FILL}


@pytest.mark.parametrize(
    ("options", "transform"),
    [
        ({"vflip": 0.4}, v2.RandomVerticalFlip(0.4)),
        ({"randaugment": 12}, v2.RandAugment(2, 12, **BILINEAR)),
        ({"trivialaugment": True}, v2.TrivialAugmentWide(**BILINEAR)),
        ({"color_jitter": 0.4}, v2.ColorJitter(0.4, 0.4, 0.4, 0)),
        ({"blur": 1.0}, v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], 1.0)),
        ({"noise": 0.1}, v2.GaussianNoise(0, 0.1, clip=True)),
        ({"random_erasing": 0.7}, v2.RandomErasing(0.7, (0.02, 0.33), (0.3, 3.3), FILL)),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_each_is_torchvisions_for_the_same_seed(options: dict[str, Any], transform: v2.Transform) -> None:
    for seed in range(20):
        assert np.array_equal(augment(**options)(photo(), seed), theirs(transform, photo(), seed))


def test_quarter_turns_come_equally_often() -> None:
    turned = [np.rot90(photo(), k).tobytes() for k in range(4)]
    turn = augment(rotate90=True)
    found = [turned.index(turn(photo(), seed).tobytes()) for seed in range(200)]
    assert min(np.bincount(found, minlength=4)) > 30


@pytest.mark.parametrize(("p", "low", "high"), [(1.0, 300, 300), (0.25, 50, 100)])
def test_a_vertical_flip_comes_as_often_as_asked(p: float, low: int, high: int) -> None:
    upside_down = photo()[::-1]
    flips = sum(np.array_equal(augment(vflip=p)(photo(), seed), upside_down) for seed in range(300))
    assert low <= flips <= high


def test_noise_has_its_standard_deviation() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert (augment(64, noise=0.05)(grey, 3) / 255).std() == pytest.approx(0.05, rel=0.05)  # it is rounded towards 0


def test_the_blur_grows_with_the_image() -> None:
    edge = np.zeros((224, 224, 3), np.uint8)
    edge[:, 112:] = 255
    touched = [np.unique(np.nonzero(np.diff(augment(s, blur=1.0)(edge, 1)[0, :, 0]))).size for s in (32, 224)]
    assert touched[0] < touched[1] <= 23


def test_what_is_erased_gets_the_mean_colour_after_all_the_rest() -> None:
    white = np.full((40, 40, 3), 255, np.uint8)
    erased = (augment(40, random_erasing=1.0, noise=0.05)(white, 5) == FILL).all(2)
    rows, columns = np.flatnonzero(erased.any(1)), np.flatnonzero(erased.any(0))
    assert erased[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
    assert 0.015 < erased.mean() < 0.35


def test_together_they_are_applied_in_the_order_of_their_fields() -> None:
    order = [
        v2.RandomVerticalFlip(0.5),
        v2.RandomChoice([v2.RandomRotation((angle, angle)) for angle in (0, 90, 180, 270)]),
        v2.RandAugment(2, 9, **BILINEAR),
        v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], 0.5),
        v2.GaussianNoise(0, 0.02, clip=True),
        v2.RandomErasing(0.5, value=FILL),
    ]
    for seed in range(20):
        assert np.array_equal(augment(**ALL)(photo(), seed), theirs(v2.Compose(order), photo(), seed))


def test_a_stronger_randaugment_changes_more() -> None:
    def change(magnitude: int) -> float:
        transform = augment(randaugment=magnitude)
        return float(np.mean([abs(transform(photo(), seed) - photo().astype(float)).mean() for seed in range(80)]))

    assert change(1) < change(9) < change(25)


@pytest.mark.parametrize("options", [ALL, {"trivialaugment": True, "color_jitter": 0.3}], ids=["all", "trivial"])
def test_the_seed_decides_and_the_global_generators_are_left_alone(options: dict[str, Any]) -> None:
    first = [augment(**options)(photo(), seed) for seed in range(30)]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index,union-attr]
    again = [augment(**options)(photo(), seed) for seed in range(30)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # type: ignore[index,union-attr]
    assert len({result.tobytes() for result in first}) > 20


# In batches


def images(count: int) -> Images:
    pictures: list[Encoded] = [photo(20, seed) for seed in range(count)]
    return read_images(Split("train", np.arange(count) % 2, pictures.__getitem__, str))[0]


SOME = images(10)


def transform(seed: int = 1, paper: bool = True, **options: Any) -> TrainTransform:
    more = make_augment(AugmentConfig(**options), 16, MEAN)
    return TrainTransform(16, "bilinear", 0.3, 0.5, seed, paper=paper, augment=more)


def collected(first: int, last: int, workers: int = 0, **order: int) -> list[tuple[Tensor, ...]]:
    places = Order(10, 4, 1, **order)
    steps = SOME.train_batches(transform(**ALL), places, first, last, workers=workers, pin=False)
    return [batch for step in steps for batch in step]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine of one core
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_from_a_step_on_equal_those_from_the_start(workers: int) -> None:
    whole, rest = collected(0, 6), collected(3, 6, workers)
    assert len(rest) == 3
    for a, b in zip(whole[3:], rest, strict=True):
        assert len(a) == len(b) == 3
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_two_processes_see_the_colours_of_one() -> None:
    (one,), shares = collected(4, 5), [collected(4, 5, rank=rank, world_size=2)[0] for rank in range(2)]
    for k in range(3):
        assert torch.equal(torch.stack([share[k] for share in shares], 1).flatten(0, 1), one[k])


@pytest.mark.parametrize(("seed", "key"), [(1, (0, 0)), (0, (1, 0)), (0, (0, 1))])
def test_images_and_colours_depend_on_seed_epoch_and_index_only(seed: int, key: tuple[int, int]) -> None:
    image = Image.fromarray(photo(20))
    first = transform(0, **ALL)(image, (0, 0)).tolist(), transform(0).colour((0, 0))
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    assert (transform(0, **ALL)(image, (0, 0)).tolist(), transform(0).colour((0, 0))) == first
    other = transform(seed, **ALL)(image, key).tolist(), transform(seed).colour(key)
    assert other[0] != first[0]
    assert not set(other[1]) & set(first[1])


def test_colours_are_six_numbers_an_image_in_float32() -> None:
    _, _, colours = collected(0, 1)[0]
    keys = Order(10, 4, 1).global_batch(0)
    assert colours.dtype == torch.float32
    assert torch.equal(colours, torch.tensor([transform().colour(key) for key in keys]))


def test_without_the_trick_there_are_no_colours() -> None:
    steps = SOME.train_batches(transform(paper=False), Order(10, 4, 1), 0, 1, workers=0, pin=False)
    assert [len(batch) for step in steps for batch in step] == [2]


def test_evaluation_has_no_colours() -> None:
    plain = EvalTransform(Preprocessing(16, MEAN, MEAN, 1.0, "bilinear"))
    batches = SOME.eval_batches(plain, 4, rank=0, world_size=1, workers=0, pin=False)
    assert {len(batch) for batch in batches} == {2}


def test_colours_say_nothing_of_flips() -> None:
    image = Image.fromarray(photo(16))
    whole = TrainTransform(16, "bilinear", 1, 0.5, 0, paper=True)
    flipped = [key for key in ((0, i) for i in range(60)) if not np.array_equal(whole(image, key), photo(16))]
    assert 15 < len(flipped) < 45
    assert 5 < sum(whole.colour(key)[0] < 1 for key in flipped) < len(flipped) - 5


def test_each_image_is_augmented_by_a_seed_of_its_own() -> None:
    image = Image.fromarray(photo(16))
    whole = TrainTransform(16, "bilinear", 1, 0, 0, augment=augment(16, noise=0.1))
    assert len({whole(image, (0, i)).tobytes() for i in range(10)}) == 10


@pytest.mark.parametrize("paper", [False, True])
def test_crops_have_the_aspect_ratios_of_their_kind(paper: bool) -> None:
    rng, drawn = random.Random(0), transform(paper=paper).aspect_ratio
    assert (drawn is aspect_ratio) == paper
    boxes = [random_crop_box(rng, 6000, 6000, 0.08, drawn) for _ in range(6000)]
    sides = np.array([(right - left, lower - upper) for left, upper, right, lower in boxes])
    small = sides[sides.prod(1) < 0.7 * 6000**2]  # all of these fit, whatever their ratio
    assert kstest(small.prod(1) / 6000**2, "uniform", (0.08, 0.62)).pvalue > 0.01
    ratios = small[:, 0] / small[:, 1]
    assert (kstest(ratios, "uniform", (3 / 4, 4 / 3 - 3 / 4)).pvalue > 0.01) == paper


def test_a_transform_can_be_sent_to_a_worker_that_shares_no_memory() -> None:
    image, whole = Image.fromarray(photo(20)), transform(**ALL)
    sent = pickle.loads(pickle.dumps(whole))
    assert np.array_equal(sent(image, (2, 3)), whole(image, (2, 3)))
    assert sent.colour((2, 3)) == whole.colour((2, 3))
