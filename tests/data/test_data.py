"""Decoding against Pillow, transforms against torchvision and timm, and order as a pure function."""

import contextlib
import io
import itertools
import os
import pickle
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

from botzoo.data import loader as module
from botzoo.data.decode import decode
from botzoo.data.decoded import writing
from botzoo.data.images import Images, read_images
from botzoo.data.loader import eval_batches, train_batches
from botzoo.data.order import Order
from botzoo.data.sources.base import Encoded, Split
from botzoo.data.sources.find import open_images
from botzoo.data.transforms import EvalTransform, ProgressiveResizing, TrainTransform, random_crop_box
from botzoo.errors import DataError
from botzoo.models.preprocessing import Preprocessing

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth random picture, so that resampling it has no extreme values."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def split_of(encoded: list[Encoded], labels: list[int] | None = None) -> Split:
    numbers = np.array(labels or [i % 2 for i in range(len(encoded))], np.int64)
    return Split("train", numbers, encoded.__getitem__, lambda i: f"image {i}")


def pictures(count: int) -> list[Encoded]:
    return [encode(noise(12, 10, seed)) for seed in range(count)]


def images(count: int) -> Images:
    return read_images(split_of(pictures(count)))[0]


# Decoding

RED = Image.new("RGB", (3, 2), (200, 30, 10))


MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "I;16", "I", "F", "CMYK", "YCbCr", "LAB"],
    "JPEG": ["L", "RGB", "CMYK", "YCbCr"],
    "WEBP": ["RGB", "RGBA"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
    "GIF": ["1", "L", "P", "RGB"],
}


@pytest.mark.parametrize(("form", "mode"), [(form, mode) for form, modes in MODES.items() for mode in modes])
def test_every_mode_becomes_eight_bit_rgb(form: str, mode: str) -> None:
    image = Image.new(mode, (3, 2)) if mode in ("I;16", "LAB") else RED.convert(mode)
    decoded = decode(encode(image, form))
    assert (decoded.mode, decoded.size) == ("RGB", (3, 2))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
def test_common_modes_are_converted_as_pillow_does(mode: str) -> None:
    image = noise(9, 7).convert(mode)
    assert decode(encode(image)).tobytes() == image.convert("RGB").tobytes()


def test_cmyk_is_converted_as_pillow_does() -> None:
    encoded = encode(noise(9, 7).convert("CMYK"), "JPEG")
    assert decode(encoded).tobytes() == Image.open(io.BytesIO(encoded)).convert("RGB").tobytes()


def test_a_palette_with_transparency_is_read_without_a_warning() -> None:
    image = RED.convert("P", palette=Image.Palette.ADAPTIVE)
    transparency = bytes([128]) * 256
    assert decode(encode(image, transparency=transparency)).getpixel((0, 0)) == pytest.approx((200, 30, 10), abs=2)


def test_sixteen_bits_are_scaled_by_their_range_and_not_clipped() -> None:
    values = np.array([[0, 128 * 257, 65535]], np.uint16)
    decoded = np.asarray(decode(encode(Image.fromarray(values))))
    assert decoded[0, :, 0].tolist() == [0, 128, 255]
    dark = np.asarray(decode(encode(Image.fromarray(np.array([[1, 257]], np.uint16)))))
    assert dark[0, :, 0].tolist() == [0, 1]


@pytest.mark.parametrize("values", [[0, 0.5, 1], [0, 128, 255], [-3, 32896, 65535], [float("nan"), 128, 255]])
def test_floating_point_is_scaled_by_the_range_of_its_values(values: list[float]) -> None:
    encoded = encode(Image.fromarray(np.array([values], np.float32)), "TIFF")
    assert np.asarray(decode(encoded))[0, :, 1].tolist() == [0, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_their_exif_says(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = encode(noise(9, 7), exif=exif)
    assert decode(encoded).size == ((9, 7) if orientation <= 4 else (7, 9))
    corner = {1: (0, 0), 2: (8, 0), 3: (8, 6), 4: (0, 6), 5: (0, 0), 6: (0, 6), 7: (8, 6), 8: (8, 0)}[orientation]
    assert decode(encoded).getpixel((0, 0)) == noise(9, 7).getpixel(corner)


def test_the_first_image_of_an_animation_is_taken() -> None:
    blue = Image.new("RGB", RED.size, (0, 0, 255))
    for form in ("GIF", "PNG", "WEBP"):
        encoded = encode(RED, form, save_all=True, append_images=[blue], lossless=True)
        assert decode(encoded).getpixel((0, 0)) == pytest.approx((200, 30, 10), abs=1)


def test_pixels_are_taken_as_they_are() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.asarray(decode(grey)).tolist() == np.stack([grey] * 3, -1).tolist()


def test_a_huge_image_is_read_without_a_warning(tmp_path: Path) -> None:
    Image.new("1", (10_000, 9_000)).save(tmp_path / "huge.png", compress_level=1)
    assert decode(tmp_path / "huge.png").size == (10_000, 9_000)


def test_an_image_beyond_the_limit_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", 5)
    with pytest.raises(ValueError, match="it has 3 x 2 pixels, more than 5"):
        decode(encode(RED))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "ICO", "TGA"])
def test_damage_of_any_kind_is_one_kind_of_error(form: str) -> None:
    whole, rng = encode(noise(40, 50), form), random.Random(0)
    for _ in range(60):
        damaged = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(3 if damaged else 0):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with contextlib.suppress(ValueError):
            assert decode(bytes(damaged)).mode == "RGB"


def test_postscript_is_not_run() -> None:
    with pytest.raises(ValueError, match="it is not an image"):
        decode(encode(RED, "EPS"))


# Reading

JPEG = encode(noise(64, 64), "JPEG")
BROKEN: list[Encoded] = [b"", b"a text", JPEG[:200], encode(noise(64, 64))[:-40], Path("missing.png")]


def test_every_broken_image_is_named_with_its_reason() -> None:
    with pytest.raises(DataError) as caught:
        read_images(split_of([JPEG, *BROKEN]))
    message = str(caught.value)
    assert "5 of 6 images cannot be read" in message
    assert "image 1: it is empty (0 bytes); image 2: it is not an image; image 3:" in message
    assert "image 5: No such file or directory" in message
    assert "--skip-corrupt" in message
    assert "\n" not in message


def test_many_broken_images_are_counted_and_ten_of_them_named() -> None:
    with pytest.raises(DataError, match=r"image 9: .* and 5 more\. Mend"):
        read_images(split_of([b""] * 15))


def test_broken_images_can_be_left_out_and_are_listed() -> None:
    good, left_out = read_images(split_of([JPEG, *BROKEN, JPEG], [0, 0, 0, 0, 0, 0, 1]), skip_corrupt=True)
    assert (len(good), len(left_out), good.labels.tolist()) == (2, 5, [0, 1])
    assert good.image(1).size == (64, 64)


def test_leaving_out_every_image_is_refused() -> None:
    with pytest.raises(DataError, match="None of the 2 images"):
        read_images(split_of([b"", b""]), skip_corrupt=True)


def test_leaving_out_every_image_of_a_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"of 1 class\(es\) are unreadable"):
        read_images(split_of([JPEG, b"", JPEG], [0, 1, 0]), skip_corrupt=True)


def test_odd_metadata_is_no_reason_to_refuse_or_warn() -> None:
    broken_exif = encode(RED, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01")
    assert len(read_images(split_of([broken_exif] * 2))[0]) == 2


def test_the_fingerprint_depends_on_every_byte_label_and_place() -> None:
    a, b = pictures(2)
    variants = [([a, b], [0, 1]), ([b, a], [0, 1]), ([a, b], [1, 0]), ([a, bytes(b) + b"\0"], [0, 1]), ([a], [0])]  # type: ignore[arg-type]
    fingerprints = {read_images(split_of(*variant))[0].fingerprint for variant in variants}
    assert len(fingerprints) == 5
    assert read_images(split_of(*variants[0]), cache_bytes=0)[0].fingerprint in fingerprints


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that no other test has filled."""
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


def refuse(*args: object) -> Image.Image:
    raise AssertionError("an image was decoded")


def test_the_second_reading_decodes_nothing(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of([*pictures(9), b"not an image"])
    once = read_images(split, skip_corrupt=True)
    pixels = [once[0].pixels(i).tolist() for i in range(9)]
    monkeypatch.setattr(module, "decode", refuse)
    again = read_images(split, skip_corrupt=True)
    assert again[1] == once[1]
    assert again[0].fingerprint == once[0].fingerprint
    assert [again[0].pixels(i).tolist() for i in range(9)] == pixels
    assert len(list(own_cache.iterdir())) == 1


def test_decoded_pixels_are_those_of_the_encoded_images(own_cache: Path) -> None:
    encoded = [encode(noise(5 + i, 20 - i, i), "JPEG") for i in range(9)]
    found, _ = read_images(split_of(list(encoded)))
    assert all(np.array_equal(found.pixels(i), np.asarray(decode(encoded[i]))) for i in range(9))
    assert not found.pixels(0).flags.writeable


def test_other_bytes_are_decoded_anew(own_cache: Path) -> None:
    a, b = pictures(2)
    first = read_images(split_of([a, b]))[0].pixels(0).tolist()
    assert read_images(split_of([b, a]))[0].pixels(1).tolist() == first
    assert len(list(own_cache.iterdir())) == 2


@pytest.mark.parametrize(("work", "call", "error"), [("_raw", 2, OSError(5, "broken")), ("_decode", 1, MemoryError())])
def test_a_failure_of_disk_or_memory_is_not_kept_for_the_next_run(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, work: str, call: int, error: Exception
) -> None:
    calls, whole = itertools.count(-4 * (call - 1)), getattr(module, work)

    def failing(*args: object) -> object:
        if next(calls) == 1:  # the second image, when it is to be decoded
            raise error
        return whole(*args)

    monkeypatch.setattr(module, work, failing)
    monkeypatch.setattr(module, "cores", lambda shared: 1)
    assert len(read_images(split_of(pictures(4)), skip_corrupt=True)[1]) == 1
    assert len(read_images(split_of(pictures(4)))[0]) == 4


def test_an_image_that_is_replaced_while_it_is_read_is_not_kept_as_the_other(own_cache: Path) -> None:
    encoded, seen = pictures(3), Counter[int]()

    def read(i: int) -> Encoded:
        seen[i] += 1
        return encoded[2] if i == 1 and seen[i] > 1 else encoded[i]

    changed, _ = read_images(replace(split_of(pictures(2)), read=read))
    assert changed.fingerprint == read_images(split_of([encoded[0], encoded[2]]))[0].fingerprint
    assert read_images(split_of(encoded[:2]))[0].image(1).tobytes() == decode(encoded[1]).tobytes()


def flipped(content: bytes) -> bytes:
    """One bit of the index, behind the pixels of five images, is another."""
    place = 5 * 12 * 10 * 3 + 10
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-1], lambda c: c[1:], lambda c: c[:-200] + bytes(100) + c[-100:], len, flipped]
)
def test_a_damaged_cache_is_decoded_again_and_said(
    own_cache: Path, damage: Callable[[bytes], bytes | int], caplog: pytest.LogCaptureFixture
) -> None:
    split = split_of(pictures(5))
    whole = read_images(split)[0]
    pixels = whole.pixels(3).tolist()
    (path,) = own_cache.iterdir()
    path.write_bytes(bytes(damage(path.read_bytes())))
    assert read_images(split)[0].pixels(3).tolist() == pixels
    assert "are damaged" in caplog.text
    caplog.clear()
    assert read_images(split)[0].cached
    assert not caplog.text


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path / "file"))
    found, _ = read_images(split_of(pictures(5)))
    assert found.kept_in == "in memory"
    assert found.image(4).tobytes() == decode(pictures(5)[4]).tobytes()
    assert "are held in memory: they cannot be kept in" in caplog.text


def test_beyond_the_budget_only_the_checks_are_kept(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of([*pictures(40), b""])
    for _ in range(2):
        found, bad = read_images(split, skip_corrupt=True, cache_bytes=1000)
        assert (found.cached, len(found), len(bad)) == (False, 40, 1)
        monkeypatch.setattr(module, "_check", refuse)
    assert sum(path.stat().st_size for path in own_cache.iterdir()) < 41 * 60
    monkeypatch.undo()
    assert read_images(split, skip_corrupt=True)[0].cached


def test_pixels_at_hand_are_not_decoded_to_disk(own_cache: Path) -> None:
    assert read_images(split_of([np.zeros((4, 4), np.uint8)] * 2))[0].kept_in == "in memory"
    assert not own_cache.exists()


def test_the_oldest_files_make_room(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        read_images(split_of([encode(noise(20, 20, seed))] * 4))
        for path in own_cache.iterdir():
            os.utime(path, (path.stat().st_mtime - 100,) * 2)
    kept = sorted(own_cache.iterdir(), key=lambda path: path.stat().st_mtime)[1:]
    monkeypatch.setenv("BOTZOO_CACHE_GIB", str(3 * 5200 / (1 << 30)))
    read_images(split_of([encode(noise(20, 20, 3))] * 4))
    assert {*kept} < {*own_cache.iterdir()}
    assert len(list(own_cache.iterdir())) == 3


def test_a_file_in_use_is_neither_removed_nor_replaced(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTZOO_CACHE_GIB", "0")
    first, _ = read_images(split_of(pictures(3)))
    path = first.decoded.path
    assert path is not None
    inode = path.stat().st_ino
    with writing(path.stem) as writer:  # another machine has decoded them too
        for i in range(3):
            writer.add(first.pixels(i))
        writer.finish(first.decoded.index, keep=True)
    read_images(split_of(pictures(4)))
    assert path.stat().st_ino == inode
    del first, writer
    read_images(split_of(pictures(5)))
    assert not path.exists()


def test_mapped_images_that_were_sent_and_are_gone_are_named(own_cache: Path) -> None:
    found, _ = read_images(split_of(pictures(3)))
    sent = pickle.dumps(found.decoded)
    (path,) = own_cache.iterdir()
    path.unlink()
    with pytest.raises(DataError, match=r"can no longer be read \(No such file or directory\): go on with --resume"):
        pickle.loads(sent).pixels(0)


def test_mapped_images_can_be_sent_and_divided(own_cache: Path) -> None:
    whole, _ = read_images(split_of(pictures(6)))
    part = whole.only(whole.split.take(np.array([4, 1])))
    sent = pickle.dumps(part.decoded)
    assert len(sent) < 6 * 12 * 10 * 3
    assert pickle.loads(sent).pixels(4).tolist() == part.pixels(0).tolist() == whole.pixels(4).tolist()
    assert part.fingerprint == read_images(part.split)[0].fingerprint


def test_caching_changes_nothing_but_the_memory_held() -> None:
    size = 12 * 10 * 3 * 5
    cached, _ = read_images(split_of(pictures(5)), cache_bytes=size)
    uncached, _ = read_images(split_of(pictures(5)), cache_bytes=size - 1)
    assert (cached.cached, cached.cached_bytes) == (True, size)
    assert (uncached.cached, uncached.cached_bytes) == (False, 0)
    assert all(cached.image(i).tobytes() == uncached.image(i).tobytes() for i in range(5))


@pytest.mark.parametrize("turns", [0, 30])
def test_threads_that_work_ahead_hold_no_more_than_the_bound(monkeypatch: pytest.MonkeyPatch, turns: int) -> None:
    monkeypatch.setattr(module, "AHEAD_BYTES", 20)
    monkeypatch.setattr(module, "cores", lambda shared: 4)
    done: list[int] = []
    results = module.in_order(lambda i: done.append(i) or i, 400, lambda result: 1)
    assert [next(results) for _ in range(turns)] == list(range(turns))
    first = next(results)
    time.sleep(0.05)
    assert len(done) <= first // 8 * 8 + 8 + 20 + 4 + 8
    assert list(results) == list(range(turns + 1, 400))


def test_who_is_not_patient_does_not_wait_for_an_image_at_work() -> None:
    begun, release, finished = threading.Event(), threading.Event(), []

    def work(i: int) -> None:
        if i == 8:
            begun.set()
            release.wait(20)
            finished.append(i)

    results = module.in_order(work, 9, patient=False)
    next(results)
    begun.wait(20)
    results.close()
    assert not finished
    release.set()


def test_an_image_lost_after_reading_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        RED.save(tmp_path / f"{name}.png")
    found, _ = read_images(split_of([tmp_path / "a.png", tmp_path / "b.png"]), cache_bytes=0)
    (tmp_path / "b.png").unlink()
    with pytest.raises(DataError, match="image 1 can no longer be read"):
        found.image(1)


@pytest.mark.usefixtures("own_cache")
def test_progress_sees_every_image_read_and_every_image_decoded() -> None:
    seen: list[int] = []
    for passes in (2, 3):
        read_images(
            split_of(pictures(40)),
            progress=lambda items, total: (seen.append(total) or item for item in items),  # type: ignore[func-returns-value]
        )
        assert seen == [40] * 40 * passes


def test_cifar10_is_read_as_pillow_reads_it(shared_data: Path) -> None:
    split = open_images(str(shared_data / "cifar10")).train.take(np.arange(0, 40_000, 200))
    found, _ = read_images(split)
    for i in (0, 7, 199):
        assert found.image(i).tobytes() == Image.open(io.BytesIO(split.read(i))).convert("RGB").tobytes()  # type: ignore[arg-type]


# Transforms


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


def test_normalising_keeps_channels_last_and_leaves_its_input() -> None:
    batch = torch.randint(0, 256, (2, 5, 5, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    before = batch.clone()
    normalised = Preprocessing(5, *IMAGENET, 1.0, "bilinear").normalise(batch)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, before)


def test_normalising_first_in_inference_leaves_nothing_that_training_cannot_use() -> None:
    preprocessing = Preprocessing(5, (0.123, 0.456, 0.406), (0.229, 0.224, 0.225), 1.0, "bilinear")
    batch = torch.zeros(2, 3, 5, 5, dtype=torch.uint8)
    with torch.inference_mode():
        preprocessing.normalise(batch)
    mean = module._on_device(preprocessing.mean, 5, batch.device)
    assert mean is module._on_device(preprocessing.mean, 5, batch.device)
    (mean * torch.ones(3, 1, 1, requires_grad=True)).sum().backward()


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (1, 1)])
def test_extreme_shapes_are_evaluated_without_extreme_memory(shape: tuple[int, int]) -> None:
    p = Preprocessing(224, *IMAGENET, 0.875, "bicubic")
    assert EvalTransform(p)(Image.new("RGB", shape, (9, 9, 9)), (0, 0)).tolist() == np.full((224, 224, 3), 9).tolist()


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
    assert pixels.tolist() == np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR)).tolist()


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


# Order


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_global_batch_is_the_same_for_any_number_of_processes(world_size: int, accumulate: int) -> None:
    plain = Order(images=37, batch_size=8, seed=5)
    for step in (0, 3, 4, 9):
        shares = [Order(37, 8, 5, rank, world_size, accumulate).micro_batches(step) for rank in range(world_size)]
        sizes = {len(batch) for share in shares for batch in share}
        assert sizes == {8 // world_size // accumulate}
        assert sorted(key for share in shares for batch in share for key in batch) == sorted(plain.global_batch(step))


def test_each_epoch_is_another_permutation() -> None:
    order = Order(images=40, batch_size=8, seed=0)
    epochs = [[key for step in range(5) for key in order.global_batch(5 * epoch + step)] for epoch in range(3)]
    for epoch, keys in enumerate(epochs):
        assert sorted(keys) == [(epoch, i) for i in range(40)]
    assert len({tuple(i for _, i in keys) for keys in epochs}) == 3


def test_the_seed_decides_the_order() -> None:
    batches = {tuple(Order(40, 8, seed).global_batch(0)) for seed in range(5)}
    assert len(batches) == 5


def test_images_that_fill_no_batch_are_left_out_of_that_epoch_only() -> None:
    order = Order(images=10, batch_size=4, seed=0)
    assert order.steps_per_epoch == 2
    seen = {i for step in range(40) for _, i in order.global_batch(step)}
    assert seen == set(range(10))


# Batches


def collected(first: int, last: int, workers: int, accumulate: int = 1) -> list[Tensor]:
    transform = TrainTransform(8, "bilinear", 0.3, 0.5, seed=1)
    order = Order(images=10, batch_size=4, seed=1, accumulate=accumulate)
    steps = train_batches(SOME, transform, order, first, last, workers=workers, pin=False)
    return [tensor for step in steps for batch in step for tensor in batch]


SOME = images(10)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine of one core
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first", [1, 4])
def test_batches_from_a_step_on_equal_those_from_the_start(first: int, workers: int) -> None:
    whole, rest = collected(0, 6, workers=0), collected(first, 6, workers)
    assert len(rest) == 2 * (6 - first)
    assert all(torch.equal(a, b) for a, b in zip(whole[2 * first :], rest, strict=True))


def test_progressive_resizing_changes_the_size_after_its_epochs() -> None:
    small, full = (TrainTransform(size, "bilinear", 0.3, 0.5, seed=1) for size in (8, 16))
    order = Order(images=10, batch_size=4, seed=1)
    steps = train_batches(SOME, ProgressiveResizing(small, 2, full), order, 0, 6, workers=0, pin=False)
    assert [step[0][0].shape[-1] for step in steps] == [8, 8, 8, 8, 16, 16]


def test_micro_batches_together_are_the_whole_batch() -> None:
    whole, halves = collected(0, 1, workers=0), collected(0, 1, workers=0, accumulate=2)
    assert torch.equal(torch.cat(halves[0::2]), whole[0])
    assert torch.equal(torch.cat(halves[1::2]), whole[1])


def test_batches_are_eight_bit_and_channels_last() -> None:
    pixels, labels = collected(0, 1, workers=0)
    assert (pixels.dtype, pixels.shape, labels.dtype) == (torch.uint8, (4, 3, 8, 8), torch.int64)
    assert pixels.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("count", "batch", "world"), [(10, 4, 1), (10, 4, 2), (7, 2, 4), (3, 8, 4), (10, 5, 2)])
def test_evaluation_sees_every_image_exactly_once(count: int, batch: int, world: int) -> None:
    gray: list[Encoded] = [np.full((8, 8), i, np.uint8) for i in range(count)]
    found, _ = read_images(split_of(gray, [i % 3 for i in range(count)]))
    transform = EvalTransform(Preprocessing(8, *IMAGENET, 1.0, "bilinear"))
    shares = [
        eval_batches(found, transform, batch, rank=r, world_size=world, workers=0, pin=False) for r in range(world)
    ]
    seen = [(int(x[0, 0, 0]), int(y)) for share in shares for xs, ys in share for x, y in zip(xs, ys, strict=True)]
    assert sorted(seen) == [(i, i % 3) for i in range(count)]


def test_images_can_be_sent_to_a_worker_that_shares_no_memory(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(3):
            RED.save(tmp_path / name / f"{i}.png")
    found, _ = read_images(open_images(str(tmp_path)).train, cache_bytes=0)
    assert pickle.loads(pickle.dumps(found)).image(1).tobytes() == RED.tobytes()


@pytest.mark.parametrize(
    ("size", "fixed", "trained"), [(64, False, 48), (224, False, 160), (32, False, 32), (224, True, 224)]
)
def test_training_crops_are_smaller_unless_the_size_is_fixed(size: int, fixed: bool, trained: int) -> None:
    preprocessing = Preprocessing(size, (0.5,) * 3, (0.5,) * 3, 1.0, "bilinear", fixed_size=fixed)
    assert preprocessing.train_size(0.75) == trained
