"""Images that are larger than training can use: decoded by scale, kept small, and the same wherever they are read."""

import io
import json
import math
import multiprocessing
import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from accelerate import Accelerator
from PIL import Image, ImageOps

from botzoo.data import decode as decode_module
from botzoo.data import images as module
from botzoo.data import parallel
from botzoo.data.decode import decode
from botzoo.data.images import decode_smaller, read_images
from botzoo.data.open import find, read
from botzoo.data.order import Order
from botzoo.data.parallel import SharedRoom
from botzoo.data.transforms import EvalTransform, TrainTransform, random_crop_box
from botzoo.errors import CheckpointError
from botzoo.inference.images import read_image
from botzoo.models.foreign import read_config
from botzoo.models.preprocessing import Decoding, Preprocessing
from botzoo.options.config import DataConfig, TrainConfig
from botzoo.sources import files as marked
from botzoo.sources.base import Encoded, Files, Split
from botzoo.sources.find import find_images
from botzoo.training.callbacks import Callback
from botzoo.training.setup import needed_side, smallest_crop
from botzoo.training.state import NOTHING, Own
from data.pictures import IMAGENET, encode, noise, pictures, split_of
from data.streaming.made import stream, write_tar

HOW = Decoding(side=40)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # a quarter
FORMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("JPEG", "RGB", {"quality": 95}),
    "progressive": ("JPEG", "RGB", {"quality": 95, "progressive": True}),
    "grey jpeg": ("JPEG", "L", {"quality": 95}),
    "cmyk": ("JPEG", "CMYK", {"quality": 95}),
    "turned": ("JPEG", "RGB", {"quality": 95, "exif": TURNED}),
    "png": ("PNG", "RGB", {}),
    "transparent": ("PNG", "RGBA", {}),
    "palette": ("PNG", "P", {}),
    "webp": ("WEBP", "RGB", {"lossless": True}),
    "tiff": ("TIFF", "RGB", {}),
}


def psnr(one: Any, other: Any) -> float:
    """Return the peak signal-to-noise ratio in dB."""
    error = np.square(np.asarray(one, float) - np.asarray(other, float)).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize("size", [(300, 200), (201, 317), (90, 500)])
@pytest.mark.parametrize("form", FORMS)
def test_a_large_image_is_what_pillow_makes_of_it_whole(form: str, size: tuple[int, int]) -> None:
    kind, mode, options = FORMS[form]
    encoded = encode(noise(*size).convert(mode), kind, **options)
    whole = decode(encoded)
    found = decode(encoded, HOW)
    assert isinstance(whole, Image.Image)
    assert min(found.size) == 40
    assert psnr(found, whole.resize(found.size, Image.Resampling.BICUBIC)) > 38


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_arrays_of_any_channels_are_reduced(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 80, channels), np.uint8)
    assert np.asarray(decode(pixels, Decoding(channels, side=40))).shape[:2] == (50, 40)


@pytest.mark.parametrize("size", [(40, 40), (40, 900), (39, 41), (1, 5)])
@pytest.mark.parametrize("form", FORMS)
def test_an_image_that_is_no_larger_stays_as_it_is(form: str, size: tuple[int, int]) -> None:
    kind, mode, options = FORMS[form]
    encoded = encode(noise(*size).convert(mode), kind, **options)
    assert np.array_equal(np.asarray(decode(encoded, HOW)), np.asarray(decode(encoded)))


def test_a_photo_counts_for_memory_at_the_size_that_it_is_decoded_at(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(decode_module, "room_for", lambda pixels: counted.append(pixels) or parallel.room_for(pixels))
    for options in ({}, {"progressive": True}):
        decode(encode(noise(640, 480), "JPEG", **options), HOW)
    assert counted == [80 * 60, 640 * 480]


@pytest.mark.parametrize("crop_min", [0.08, 0.35, 1.0])
def test_the_mean_crop_of_a_photo_has_the_pixels_of_the_input(crop_min: float) -> None:
    side = Preprocessing(224, *IMAGENET, 1.0, "bicubic").needed_side(224, crop_min)
    rng = random.Random(0)
    boxes = [random_crop_box(rng, side * 4 // 3, side, crop_min) for _ in range(2000)]
    mean = np.mean([(right - left) * (lower - top) for left, top, right, lower in boxes])
    assert mean > 0.75 * 224**2  # boxes that are longer than a photo, mostly large ones, are drawn again
    assert crop_min == 1 or mean < 1.05 * 224**2  # else it is evaluation that needs more


@pytest.mark.parametrize("crop_min", [0.08, 0.35, 0.7, 1.0])
def test_a_hundred_thousand_photos_fit_on_a_disk(crop_min: float) -> None:
    sides = [Preprocessing(224, *IMAGENET, crop_pct, "bicubic").needed_side(224, crop_min) for crop_pct in (0.875, 1)]
    assert sides[0] == max(256, sides[1])
    assert all(side >= 224 and 1e5 * 3 * side * round(side * 4 / 3) < 28.2e9 for side in sides)


def never(side: int) -> bool:
    return False


@pytest.mark.parametrize(("times", "smaller"), [(1, False), (1.9, False), (2, True), (5, True)])
def test_images_are_reduced_in_every_epoch_where_they_are_decoded_at_half_their_size(
    times: float, smaller: bool
) -> None:
    split = split_of([encode(noise(round(20 * times), round(20 * times)), "JPEG")])
    assert decode_smaller(split, Decoding(side=20)) is smaller


def test_the_side_is_of_the_run_and_a_users_own_crops_get_whole_images() -> None:
    preprocessing = Preprocessing(64, *IMAGENET, 1.0, "bicubic")
    config = TrainConfig()
    sides = [
        needed_side(config, preprocessing, 0.35, NOTHING, *told)
        for told in ((bool, bool), (never, bool), (never, never))
    ]
    assert sides == [math.ceil(64 / math.sqrt(0.9)), math.ceil(64 / math.sqrt(0.35)), 0]
    assert needed_side(config, preprocessing, 0.35, Own(transform=lambda image: image), bool, bool) == 0
    for side in (0, 77):  # as a run that is resumed has it
        given = replace(config, data=replace(config.data, side=side, crop_min=0.7))
        assert needed_side(given, preprocessing, 0.35, NOTHING, bool, bool) == side


class Chooses(Callback):
    """May choose a crop."""

    def smallest_crop(self, *about: Any) -> float:
        return 0.5


@pytest.mark.parametrize(
    ("options", "data", "callbacks", "expected"),
    [
        ({}, {}, [], 0.35),
        ({"epochs": 3}, {}, [], 0.7),
        ({"paper_augment": True}, {}, [], 0.08),
        ({"epochs": 3}, {"crop_min": 0.2}, [Chooses()], 0.2),
        ({"epochs": 3}, {}, [Callback(), Chooses()], 0.5),
    ],
)
def test_images_are_kept_for_the_smallest_crop_that_a_run_may_come_to(
    photos: Path, options: dict[str, Any], data: dict[str, Any], callbacks: list[Callback], expected: float
) -> None:
    config = TrainConfig(**options)
    config = replace(config, data=replace(config.data, **data))
    found = find(photos, config.data)
    assert smallest_crop(config, found, Accelerator(cpu=True), callbacks) == expected


def test_a_photo_is_the_same_pixels_kept_decoded_streamed_and_predicted(tmp_path: Path) -> None:
    encoded = [encode(noise(400, 300, seed), "JPEG") for seed in range(4)]
    for split in ("train", "val"):
        members = [(f"{i}.{kind}", c) for i in range(4) for kind, c in (("cls", b"%d" % (i % 2)), ("jpg", encoded[i]))]
        write_tar(tmp_path / f"{split}-0.tar", members)
    transform = EvalTransform(Preprocessing(32, *IMAGENET, 0.9, "bicubic"))
    kept, anew = (
        read_images(split_of(list(encoded)), HOW)[0],
        read_images(split_of(list(encoded)), HOW, cache_bytes=0)[0],
    )
    streamed = stream(tmp_path)
    streamed.decoding = HOW
    batches = [next(iter(each.eval_batches(transform, 4, rank=0, world_size=1, workers=0, pin=False)))[0]
               for each in (kept, anew, streamed)]  # fmt: skip
    (tmp_path / "photo.jpg").write_bytes(encoded[0])
    with read_image(tmp_path / "photo.jpg", HOW) as picture:
        predicted = transform(picture, (0, 0))
    assert all(batch.equal(batches[0]) for batch in batches)
    assert np.array_equal(batches[0][0].permute(1, 2, 0).numpy(), predicted)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that no other test has filled."""
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


def test_kept_photos_are_small_and_the_plan_says_what_they_take(own_cache: Path) -> None:
    found, _ = read_images(split_of([encode(noise(400, 300), "JPEG")] * 2), HOW)
    assert found.cached_bytes == 2 * 40 * 53 * 3
    assert "shorter side at most 40 px" in found.kept_in


def test_small_images_are_kept_once_for_every_side(own_cache: Path) -> None:
    for side in (12, 300, None):
        read_images(split_of(pictures(3)), Decoding(side=side))
    assert len(list(own_cache.iterdir())) == 1
    assert read_images(split_of(pictures(3)), Decoding(side=5))[0].shapes.tolist() == [[5, 6]] * 3


def test_kept_images_wait_for_no_room(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = read_images(split_of(pictures(4)))
    monkeypatch.setattr(decode_module, "room_for", None)
    list(found.train_batches(TrainTransform(8, "bilinear", 1, 0, 0), Order(4, 4, 0), 0, 1, workers=0, pin=False))


def test_a_process_that_was_killed_while_it_counted_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "DEAD_SECONDS", 0.01)
    room = SharedRoom(multiprocessing.get_context())
    room.lock.acquire()  # and is never seen again
    parallel.use_room(room)
    with parallel.room_for(10):
        assert parallel._ROOMS[0] is not room
    with parallel.room_for(10):
        pass


@pytest.fixture
def files(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Split:
    """Pictures in files, which count as unchanged for long."""
    monkeypatch.setattr(marked, "SETTLING", -1)
    for i, content in enumerate(pictures(12)):
        (tmp_path / f"{i}.png").write_bytes(bytes(content))  # type: ignore[arg-type]
    paths = Files([str(tmp_path / f"{i}.png") for i in range(12)])
    return Split("train", np.arange(12) % 2, paths.read, paths.describe, root=str(tmp_path))


def opened_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are read from now on."""
    names: list[str] = []
    whole = module.read_file
    monkeypatch.setattr(module, "read_file", lambda path: names.append(path.name) or whole(path))
    return names


def test_new_files_are_read_once_and_unchanged_ones_never_again(files: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    few = len(np.unique(np.linspace(0, 11, 12).astype(int)))  # which are looked at beforehand
    names = opened_files(monkeypatch)
    first, _ = read_images(files)
    assert len(names) == few + 12
    names.clear()
    assert read_images(files)[0].fingerprint == first.fingerprint
    assert not names


def overwritten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def replaced(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(path.read_bytes()[::-1])
    other.replace(path)


@pytest.mark.parametrize("change", [overwritten, replaced])
def test_a_file_that_was_changed_in_secret_is_noticed(
    files: Split, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = read_images(files)
    path = Path(files.describe(5))
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    names = opened_files(monkeypatch)
    assert read_images(files, skip_corrupt=True)[0].fingerprint != first.fingerprint
    assert "5.png" in names


def test_a_file_that_has_just_changed_is_not_trusted(files: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marked, "SETTLING", 60)
    read_images(files)
    names = opened_files(monkeypatch)
    read_images(files)
    assert len({*names}) == 12


def table(folder: Path, contents: Sequence[Encoded]) -> Split:
    """Pictures in a saved table, opened as a user's."""
    cells = [{"bytes": content, "path": None} for content in contents]
    rows = {"image": cells, "label": [i % 2 for i in range(len(cells))]}
    datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image()).save_to_disk(str(folder))
    return find_images(str(folder)).train


def read_rows(split: Split) -> set[int]:
    """Return the rows that a reading of a split looks at."""
    rows = set[int]()
    whole = split.read
    read_images(replace(split, read=lambda i: rows.add(i) or whole(i)))  # type: ignore[func-returns-value]
    return rows


def test_rows_of_a_table_that_has_not_changed_are_read_once(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marked, "SETTLING", -1)
    split = table(tmp_path / "a", pictures(12))
    assert (read_rows(split), read_rows(split)) == ({*range(12)}, {0})
    order = np.arange(12)[::-1]
    part, _ = read_images(split.take(order))  # whose rows are others
    assert np.array_equal(part.decoded.index.digests, read_images(split)[0].decoded.index.digests[order])
    before = read_images(split)[0].fingerprint
    shutil.rmtree(tmp_path / "a")
    assert read_images(table(tmp_path / "a", pictures(12)[::-1]))[0].fingerprint != before


def test_the_rows_of_a_users_own_table_are_always_read(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marked, "SETTLING", -1)
    table(tmp_path / "a", pictures(12))
    whole = datasets.load_from_disk(str(tmp_path / "a"))
    first, last = (find_images(whole.select(range(k, k + 6))).train for k in (0, 6))  # of one file, and of one length
    assert read_images(first)[0].fingerprint != read_images(last)[0].fingerprint
    assert read_rows(first) == {*range(6)}


def test_one_deep_image_that_a_few_looks_do_not_show_gives_the_range(files: Split) -> None:
    folder = Path(files.root) / "photos"
    for i in range(50):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        noise(9, 9, i).convert("L").save(folder / "ab"[i % 2] / f"{i:02}.png")
    Image.fromarray(np.arange(100, 181, dtype=np.uint16).reshape(9, 9)).save(folder / "a" / "02.png")
    _, images, _ = read(find(folder, DataConfig()), DataConfig(), split_seed=0)
    assert images["train"].decoding.range is not None


@pytest.mark.parametrize("side", [0, -1, 1e9, "x", [1]])
def test_a_side_that_nobody_could_mean_is_refused(side: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"decoding": {"side": side}}))
    with pytest.raises(CheckpointError, match=r"decoding\.side"):
        read_config(tmp_path / "config.json")


def test_large_images_stay_whole_where_that_is_asked_for() -> None:
    encoded = encode(noise(400, 300), "JPEG", exif=TURNED)
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded)))
    assert np.array_equal(np.asarray(decode(encoded)), np.asarray(picture))
