"""Training on smaller JPEGs of large images, where their pixels have no room."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botzoo.data import decoded as decoded_module
from botzoo.data import images as module
from botzoo.data.images import Images, read_images, way_to_keep
from botzoo.data.open import are_kept, find, read
from botzoo.data.order import Order
from botzoo.data.transforms import EvalTransform, TrainTransform
from botzoo.errors import DataError
from botzoo.models.preprocessing import Decoding, Preprocessing
from botzoo.options.config import DataConfig
from botzoo.sources.base import Encoded, Split
from botzoo.training.setup import copied
from data.pictures import IMAGENET, encode, noise, pictures, split_of
from data.test_large import psnr

HOW = Decoding(side=40)
ROOM = 30_000
"""Bytes: more than ten copies take, and less than their pixels do."""

TRANSFORM = TrainTransform(32, "bicubic", 0.35, 0.5, 0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that no other test has filled."""
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


def large(count: int = 10) -> list[Encoded]:
    return [encode(noise(160, 120, seed), "JPEG", quality=95) for seed in range(count)]


def opened(encoded: list[Encoded], copies: bool | None = None, room: int = ROOM, how: Decoding = HOW) -> Images:
    return read_images(split_of(encoded), how, cache_bytes=room, copies=copies)[0]


def train_batches(images: Images, first: int = 0) -> list[Any]:
    steps = images.train_batches(TRANSFORM, Order(len(images), 5, 0), first, 4, workers=0, pin=False)
    return [batch[0] for step in steps for batch in step]


@pytest.mark.parametrize(("room", "kept"), [(10**6, (True, False)), (ROOM, (False, True)), (100, (False, False))])
def test_images_are_kept_as_pixels_as_copies_or_not_at_all_whichever_has_room(
    room: int, kept: tuple[bool, bool]
) -> None:
    images = opened(large(), room=room)
    assert (images.cached, images.copied) == kept
    assert images.cached_bytes <= room


@pytest.mark.parametrize("channels", [1, 3])
def test_a_copy_is_the_reduced_image_but_for_the_jpeg(channels: int) -> None:
    how = replace(HOW, channels=channels)
    copies, files = opened(large(), how=how, room=ROOM * channels // 3), opened(large(), False, how=how)
    assert copies.copied
    assert copies.shapes.tolist() == files.shapes.tolist()
    assert all(psnr(copies.pixels(i), files.pixels(i)) > 38 for i in range(10))
    assert copies.fingerprint == files.fingerprint


def test_images_that_are_not_reduced_are_trained_on_as_they_are() -> None:
    encoded = [*large(8), *pictures(2)]
    images = opened(encoded, True)
    assert images.copied
    assert np.array_equal(images.pixels(9), opened(encoded, False).pixels(9))
    assert not opened(pictures(4), True).copied  # nothing to copy


def test_a_run_goes_on_with_the_same_pixels_also_where_there_is_room_by_then(own_cache: Path) -> None:
    whole = train_batches(opened(large()))
    shutil.rmtree(own_cache)
    rest = train_batches(opened(large(), True, 10**6), 2)
    assert all(a.equal(b) for a, b in zip(whole[2:], rest, strict=True))


def test_copies_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(large())
    monkeypatch.setattr(module, "at_hand", None)
    assert opened(large()).decoded.path == first.decoded.path


def test_evaluation_sees_the_images_themselves(tmp_path: Path) -> None:
    for i, content in enumerate(large(20)):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(content))  # type: ignore[arg-type]
    config = DataConfig(cache_gib=2 * ROOM / (1 << 30))
    found = find(tmp_path / "photos", config)
    transform = EvalTransform(Preprocessing(32, *IMAGENET, 1.0, "bicubic"))

    def validation(copies: bool | None) -> Any:
        _, images, _ = read(found, config, HOW, split_seed=0, copies=copies)
        assert images["train"].copied is (copies is None)
        return next(iter(images["validation"].eval_batches(transform, 9, rank=0, world_size=1, workers=0, pin=False)))[
            0
        ]

    assert validation(None).equal(validation(False))


def test_a_broken_image_is_found_when_it_is_copied() -> None:
    broken = large()
    broken[3] = broken[3][:900]  # type: ignore[index]
    with pytest.raises(DataError, match="1 of 10 images"):
        opened(broken)
    images, _ = read_images(split_of(broken), HOW, cache_bytes=ROOM, copies=None, skip_corrupt=True)
    assert (images.copied, len(images)) == (True, 9)
    assert np.array_equal(images.pixels(3), opened(large()).pixels(4))


def test_copies_that_were_asked_for_and_have_no_room_are_refused(own_cache: Path) -> None:
    with pytest.raises(DataError, match=r"--data\.cache-gib, or begin a run with --data\.copies never"):
        opened(large(), True, 100)
    assert not [path for path in own_cache.iterdir() if path.suffix == ".part"]


def test_a_full_disk_leaves_nothing_half_written(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(draft: Any, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded_module.Draft, "write", full)
    images = opened(large())
    assert (images.cached, images.copied) == (False, False)
    assert not list(own_cache.iterdir())


def split_of_size(width: int, height: int) -> Split:
    return split_of([encode(noise(width, height), "JPEG")] * 10)


@pytest.mark.parametrize(("size", "way"), [((160, 120), "copies"), ((60, 45), None), ((40, 30), None)])
def test_copies_are_made_only_of_files_that_are_much_larger(size: tuple[int, int], way: str | None) -> None:
    assert way_to_keep(split_of_size(*size), HOW, 10_000 if way is None else ROOM) == way
    assert way_to_keep(split_of([np.zeros((120, 160, 3), np.uint8)] * 10), HOW, ROOM) is None


@pytest.mark.parametrize(
    ("options", "kept"),
    [({}, True), ({"cache_gib": 0}, False), ({"copies": "never"}, True), ({"streaming": True}, False)],
)
def test_images_that_are_decoded_in_every_epoch_are_reduced_less(
    photos: Path, options: dict[str, Any], kept: bool
) -> None:
    found = find(photos, DataConfig())
    assert are_kept(found, DataConfig(**options), 8) is kept
    prepared = Preprocessing(224, *IMAGENET, 1.0, "bicubic")
    assert prepared.needed_side(224, 0.35, smallest=True) == 379 > prepared.needed_side(224, 0.35) == 237


def test_the_run_keeps_what_it_trains_on() -> None:
    opened_ones = [opened(large()), opened(large(), False), opened(pictures(3), False)]
    assert [copied(DataConfig(), images).copies for images in opened_ones] == ["always", "never", "auto"]


def test_the_plan_says_what_copies_take() -> None:
    assert "smaller JPEGs" in opened(large()).kept_in
    assert "--data.copies never" in opened(large()).kept_in
    assert "smaller copies of them" in opened(large(), False, 100).kept_in
