"""Pictures that move with their boxes and masks: against torchvision's functions, and against the pixels themselves."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as v2

from botzoo.data.dense.placement import Placement, drawn, fitted
from botzoo.data.dense.transforms import DenseEvaluation, DenseTraining, Masks
from botzoo.models.preprocessing import Preprocessing, Size
from botzoo.sources.targets.boxes import Boxes
from botzoo.sources.targets.coding import IGNORED
from data.pictures import IMAGENET, noise

SIZES = [Size(64, 64), Size(48, 96), Size(33, 20)]
SHAPES = [Size(64, 64), Size(90, 200), Size(77, 31), Size(1, 1), Size(3, 150), Size(400, 300)]
SCALES = [(1.0, 1.0), (0.3, 0.6), (0.5, 2.0), (1.5, 6.0)]


@pytest.fixture(scope="module")
def placements() -> list[Placement]:
    rng = random.Random(0)
    return [drawn(rng, shape, size, scales, 0.5) for shape in SHAPES for size in SIZES for scales in SCALES]


def by_torchvision(tensor: torch.Tensor, place: Placement, fill: int, **how: Any) -> torch.Tensor:
    """What its functions make of a picture, a mask or boxes, one after the other."""
    x, y = place.across, place.down
    part = v2.crop(tensor, y.start, x.start, y.end - y.start, x.end - x.start)
    whole = v2.resize(part, [y.until - y.at, x.until - x.at], **how)
    found = v2.pad(whole, [x.at, y.at, place.size.width - x.until, place.size.height - y.until], fill=fill)
    return v2.horizontal_flip(found) if place.mirrored else found


def corners_in(place: Placement, count: int = 20) -> np.ndarray:
    sides = np.array(place.picture[::-1])
    both = np.sort(np.random.default_rng(0).uniform(0, 1, (count, 2, 2)), 1) * sides
    return both.reshape(count, 4).astype(np.float32)


def test_pictures_move_as_torchvision_moves_them(placements: list[Placement]) -> None:
    for place in placements:
        picture = np.asarray(noise(*place.picture[::-1]))
        tensor = tv_tensors.Image(torch.from_numpy(picture.copy()).permute(2, 0, 1))
        theirs = by_torchvision(tensor, place, 7, antialias=True).permute(1, 2, 0).numpy()
        ours = place.pixels(picture, Image.Resampling.BILINEAR, (7, 7, 7))
        # At its edges a part of a small picture is interpolated with what lies beside it, which torchvision cuts off first.
        assert np.median(np.abs(ours.astype(int) - theirs)) <= 1
        assert ((ours == 7).all(-1) == (theirs == 7).all(-1)).mean() > 0.99  # the same is left free


def test_masks_move_as_torchvision_moves_them(placements: list[Placement]) -> None:
    for place in placements:
        mask = np.random.default_rng(0).integers(0, 9, place.picture, np.uint8)
        how = {"interpolation": v2.InterpolationMode.NEAREST_EXACT}
        theirs = by_torchvision(tv_tensors.Mask(torch.from_numpy(mask)), place, IGNORED, **how).numpy()
        assert (place.mask(mask) != theirs).mean() < 0.04  # middles that fall on the border of two pixels


def test_boxes_move_as_torchvision_moves_them(placements: list[Placement]) -> None:
    for place in placements:
        corners = corners_in(place)
        boxes = tv_tensors.BoundingBoxes(torch.from_numpy(corners), format="XYXY", canvas_size=place.picture)
        theirs = v2.clamp_bounding_boxes(by_torchvision(boxes, place, 0)).numpy()
        ours = np.clip(place.corners(corners), 0, [*place.size[::-1]] * 2)
        shown = (ours[:, 2:] - ours[:, :2] > 0.01).all(1)
        # Torchvision clamps to the part that is cut out, of which rounding may leave a pixel less.
        np.testing.assert_allclose(ours[shown], theirs[shown], rtol=0, atol=0.05)


def test_a_pixel_inside_a_box_stays_inside_and_one_outside_stays_outside(placements: list[Placement]) -> None:
    for place in placements:
        height, width = place.picture
        left, top, right, lower = width // 3, height // 3, width // 3 + width // 2 + 1, height // 3 + height // 2 + 1
        mask = np.zeros(place.picture, np.uint8)
        mask[top:lower, left:right] = 1
        moved = place.mask(mask)
        x0, y0, x1, y1 = place.corners(np.array([[left, top, right, lower]], np.float32))[0]
        ys, xs = np.mgrid[: place.size.height, : place.size.width] + 0.5  # middles of pixels
        inside = (xs > x0 - 1e-3) & (xs < x1 + 1e-3) & (ys > y0 - 1e-3) & (ys < y1 + 1e-3)
        assert inside[moved == 1].all()
        surely = (xs > x0 + 1e-3) & (xs < x1 - 1e-3) & (ys > y0 + 1e-3) & (ys < y1 - 1e-3)
        assert not surely[moved == 0].any()


def test_a_mask_of_another_size_than_its_picture_lies_where_that_does() -> None:
    place = drawn(random.Random(1), Size(30, 40), Size(32, 32), (1.0, 2.0), 0.0)
    small = np.random.default_rng(0).integers(0, 9, (30, 40), np.uint8)
    np.testing.assert_array_equal(place.mask(small), place.mask(small.repeat(3, 0).repeat(3, 1)))


def test_of_a_box_that_is_mostly_cut_off_the_rest_is_no_example() -> None:
    place = drawn(random.Random(0), Size(100, 100), Size(100, 100), (2.0, 2.0), 0.0)
    x, y = place.across.start, place.down.start
    whole, half, rest = [x + 10, y, x + 20, y + 20], [x - 10, y, x + 10, y + 5], [x - 40, y, x + 5, y + 5]
    outside = [x - 9, y, x - 1, y + 9]
    moved = place.boxes(Boxes.of([whole, half, rest, outside], [0, 1, 2, 3]), place.picture)
    assert (moved.labels.tolist(), moved.crowd.tolist()) == ([0, 1, 2], [False, False, True])
    assert moved.corners[0].tolist() == [20, 0, 40, 40]


def test_evaluation_shows_the_whole_picture_in_the_upper_left_corner_and_leaves_the_target() -> None:
    p = Preprocessing((48, 64), *IMAGENET, 0.9, "bilinear")
    picture, mask = noise(100, 50), np.zeros((150, 300), np.uint8)
    pixels, same, sizes = DenseEvaluation(p, Masks()).pair(picture, mask, (0, 0))
    whole = np.asarray(picture.resize((64, 32), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(pixels[:32].astype(int), whole, rtol=0, atol=2)
    assert (pixels[32:] == p.fill).all()
    assert same is mask
    assert sizes == (150, 300, 32, 64)


@pytest.mark.parametrize("shape", [*SHAPES, Size(4000, 7), Size(1, 9000)])
def test_a_whole_picture_fits_and_its_boxes_with_it(shape: Size) -> None:
    for size in SIZES:
        place = fitted(shape, size)
        moved = place.corners(np.array([[0, 0, shape.width, shape.height]], np.float32))[0]
        assert moved.tolist() == [0, 0, place.across.until, place.down.until]
        assert place.across.until == size.width or place.down.until == size.height


def test_what_is_drawn_depends_on_seed_epoch_and_index_alone() -> None:
    picture, mask = noise(50, 40), np.random.default_rng(0).integers(0, 9, (40, 50), np.uint8)
    made = [DenseTraining(32, "bilinear", (0.5, 2.0), 0.5, seed, Masks()) for seed in (0, 0, 1)]
    keys = [(0, 0), (0, 1), (1, 0), (0, 0, 1)]
    rows = [[transform.pair(picture, mask, key)[:2] for key in keys] for transform in made]
    assert all((a == b).all() for one, other in zip(*rows[:2], strict=True) for a, b in zip(one, other, strict=True))
    assert len({pixels.tobytes() for row in rows[1:] for pixels, _ in row}) == 8


def test_masks_of_several_sizes_make_one_array() -> None:
    masks = [np.full(shape, k, np.uint8) for k, shape in enumerate([(2, 5), (4, 3)])]
    stacked = Masks().stack(masks)
    assert stacked.shape == (2, 4, 5)
    counts = [[int((mask == value).sum()) for value in (0, 1, IGNORED)] for mask in stacked]
    assert counts == [[10, 0, 10], [0, 12, 8]]
