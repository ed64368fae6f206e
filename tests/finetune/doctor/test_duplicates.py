"""Equal files, and images that are nearly the same."""

from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from botzoo_finetune.doctor.duplicates import (
    check_blank,
    check_duplicates,
    check_near_duplicates,
    close_pairs,
    contrast,
    difference_hash,
    groups_of,
    least_correlation,
    likeness,
    small,
)
from botzoo_finetune.doctor.findings import Finding

RNG = np.random.default_rng(0)


def roll(digests: np.ndarray, labels: list[int], roles: list[int], images: Sequence[Image.Image] = ()) -> Any:
    """What is asked of the images of a data set."""
    names = ["train", "validation", "test"]
    given = {"labels": np.array(labels), "roles": np.array(roles, np.int8), "role_names": names}
    return SimpleNamespace(digests=digests, image=images.__getitem__, **given)


def photo(size: int = 64) -> Image.Image:
    """A picture with large and small features, unlike every other."""
    coarse = Image.fromarray(RNG.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    noise = RNG.normal(0, 12, (size, size, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


def as_jpeg(image: Image.Image, quality: int = 80) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def near(images: list[Image.Image], roles: list[int], labels: list[int] | None = None) -> list[Finding]:
    hashes = np.array([difference_hash(image) for image in images])
    contrasts = np.array([contrast(image) for image in images], np.uint8)
    digests = RNG.integers(0, 256, (len(images), 32), dtype=np.uint8)
    return check_near_duplicates(roll(digests, labels or [0] * len(images), roles, images), hashes, contrasts)[0]


def test_groups_are_those_that_counting_finds() -> None:
    keys = RNG.integers(0, 300, 500).astype(np.uint64)
    found = {int(keys[group[0]]): len(group) for group in groups_of(keys)}
    assert found == {key: count for key, count in Counter(keys.tolist()).items() if count > 1}
    assert all(len(set(keys[group])) == 1 for group in groups_of(keys))


def test_equal_files_across_splits_come_first() -> None:
    digests = RNG.integers(0, 256, (7, 32), dtype=np.uint8)
    digests[1], digests[5], digests[4] = digests[0], digests[2], digests[3]
    findings = check_duplicates(roll(digests, [0, 0, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 2, 2]))
    assert [(f.images, f.reason) for f in findings] == [
        ((2, 5), "the same file in train and test"),
        ((3, 4), "the same file 2 times in train, under different labels"),
        ((0, 1), "the same file 2 times in train"),
    ]


def test_the_hash_asks_whether_each_pixel_is_brighter_than_its_left_neighbour() -> None:
    grey = RNG.integers(0, 256, (8, 9), dtype=np.uint8)
    bits = [grey[y, x + 1] > grey[y, x] for y in range(8) for x in range(8)]
    assert (
        np.unpackbits(np.array([difference_hash(Image.fromarray(grey))]).view(np.uint8)).astype(bool).tolist() == bits
    )


def test_close_pairs_are_those_of_a_plain_loop() -> None:
    hashes = RNG.integers(0, 2**64, 90, dtype=np.uint64)
    hashes[60:] = hashes[:30] ^ np.uint64(0b1011) << RNG.integers(0, 60, 30, dtype=np.uint64)
    pairs, whole = close_pairs(hashes, 6, block=4)
    values = hashes.tolist()
    plain = {(i, j) for j in range(90) for i in range(j) if (values[i] ^ values[j]).bit_count() <= 6}
    assert whole
    assert sorted(map(tuple, pairs.tolist())) == sorted(plain)
    assert len(plain) >= 30


def test_the_search_ends_where_everything_is_alike() -> None:
    pairs, whole = close_pairs(np.zeros(200, np.uint64), 4, most=1000, block=8)
    assert (len(pairs), whole) == (1000, False)


def test_likeness_is_the_correlation_without_the_mean_of_each_colour() -> None:
    one, other = small(photo()), small(photo())
    correlation, difference = likeness(one[None], other[None])
    x, y = (p.astype(float) - p.mean(0) for p in (one, other))
    assert correlation[0] == pytest.approx(np.corrcoef(x.ravel(), y.ravel())[0, 1], abs=1e-5)
    assert difference[0] == pytest.approx(np.abs(one.astype(float) - other).mean(), rel=1e-5)


@pytest.mark.parametrize("change", [as_jpeg, lambda image: image.resize((51, 51)), lambda image: image.rotate(1)])
def test_a_changed_copy_is_found_and_others_are_not(change: object) -> None:
    images = [photo() for _ in range(40)]
    images.append(change(images[3]))  # type: ignore[operator]
    (finding,) = near(images, [0] * 40 + [2])
    assert (finding.images, finding.reason) == ((3, 40), "nearly the same image in train and test")
    assert finding.look


def test_the_same_shape_in_another_colour_is_no_copy() -> None:
    red = np.asarray(photo().convert("L"))[..., None] // 4 * np.array([1, 0, 0], np.uint8) + np.array(
        [190, 20, 20], np.uint8
    )
    images = [
        Image.fromarray(red),
        Image.fromarray(np.ascontiguousarray(red[..., ::-1])),
        *(photo() for _ in range(40)),
    ]
    assert near(images, [0] * 42) == []


def test_likeness_within_a_split_is_worth_knowing_and_no_more() -> None:
    images = [photo() for _ in range(40)]
    images.append(as_jpeg(images[0]))
    assert not near(images, [0] * 41)[0].look
    assert near(images, [0] * 41, [0] * 40 + [1])[0].look


def test_three_copies_are_one_group_with_the_least_of_their_correlations() -> None:
    images = [photo() for _ in range(60)]
    images += [as_jpeg(images[7]), as_jpeg(images[7], 30)]
    (finding,) = near(images, [0] * 60 + [1, 2])
    assert finding.images == (7, 60, 61)
    least = min(likeness(small(images[i])[None], small(images[j])[None])[0][0] for i, j in [(7, 60), (7, 61), (60, 61)])
    assert finding.score == pytest.approx(float(least), abs=1e-4)


def test_of_very_many_images_some_are_compared_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botzoo_finetune.doctor.duplicates.MOST_IMAGES", 10)
    images = [photo() for _ in range(30)]
    hashes = np.array([difference_hash(image) for image in images])
    digests, contrasts = RNG.integers(0, 256, (30, 32), dtype=np.uint8), np.full(30, 99, np.uint8)
    asked: list[int] = []

    def some(hashes: np.ndarray, distance: int) -> tuple[np.ndarray, bool]:
        asked.append(len(hashes))
        return close_pairs(hashes, distance)

    monkeypatch.setattr("botzoo_finetune.doctor.duplicates.close_pairs", some)
    _, remarks = check_near_duplicates(roll(digests, [0] * 30, [0] * 30, images), hashes, contrasts)
    assert asked == [10]
    assert remarks == ["near duplicates: of 30 images only 10, evenly spread, were compared with one another"]


def test_where_many_are_alike_only_the_likest_count() -> None:
    linked = [(i, i + 1, 0.91) for i in range(0, 40, 2)] + [(50, 51, 0.96)]
    assert least_correlation(linked, 1000) == 0.9
    assert least_correlation(linked, 100) == 0.95


def test_images_of_one_colour_are_blank_and_never_duplicates() -> None:
    images = [Image.new("RGB", (40, 30), (c, c, c)) for c in (0, 128, 129)]
    assert near(images, [0, 1, 2]) == []
    contrasts = np.array([contrast(image) for image in [*images, photo()]], np.uint8)
    assert [f.images for f in check_blank(contrasts)] == [(0,), (1,), (2,)]
