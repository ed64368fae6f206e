"""How many pixels are in memory at once, and images that are too large."""

import io
import multiprocessing
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from botzoo.data.decode import decode, decoding
from botzoo.data.images import read_images
from botzoo.data.order import Order
from botzoo.data.parallel import Room, SharedRoom, room_for
from botzoo.inference.images import read_image
from data.pictures import encode, noise, split_of
from data.streaming.made import TRANSFORM, stream, write_tar

pytestmark = pytest.mark.slow  # all of them together

LIMIT = "BOTZOO_MAX_MEGAPIXELS"


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 pixels."""
    monkeypatch.setenv(LIMIT, "0.001")


def icon(stated: int, real: int) -> bytes:
    """An icon that states another size than that of the picture in it."""
    content = bytearray(encode(Image.new("RGB", (real, real)), "ICO", sizes=[(real, real)]))
    content[6:8] = bytes([stated, stated])
    return bytes(content)


FORMS = ["PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "TGA"]
LARGE = [*(encode(noise(41, 50), form) for form in FORMS), encode(noise(90, 90), "JPEG"), icon(9, 64), icon(64, 64)]
LARGE += [encode(noise(41, 50), "JPEG", progressive=True)]


def to_train(encoded: bytes, folder: Path) -> None:
    read_images(split_of([encoded, encoded]))


def to_predict(encoded: bytes, folder: Path) -> None:
    (folder / "image").write_bytes(encoded)
    with read_image(folder / "image"):
        pass


def to_stream(encoded: bytes, folder: Path) -> None:
    for name in ("train-0", "val-0"):
        members = [
            (f"{i}.{kind}", content) for i in range(2) for kind, content in (("cls", b"%d" % i), ("png", encoded))
        ]
        write_tar(folder / f"{name}.tar", members)
    found = stream(folder)
    list(found.train_batches(TRANSFORM, Order(2, 2, 0), 0, 1, workers=0, pin=False))


@pytest.mark.parametrize("use", [to_train, to_predict, to_stream])
def test_an_image_with_too_many_pixels_is_refused_until_the_limit_is_raised(
    use: Callable[[bytes, Path], None], tmp_path: Path, limit: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for encoded in LARGE:
        monkeypatch.setenv(LIMIT, "0.001")
        with pytest.raises(ValueError, match=rf"pixels, more than 1,000: make it smaller, or set {LIMIT}=1"):
            use(encoded, tmp_path)
        monkeypatch.setenv(LIMIT, "1")
        if encoded != icon(9, 64):  # which Pillow warns of
            use(encoded, tmp_path)


@pytest.mark.parametrize(("width", "height"), [(41, 50), (1000, 2), (60, 60), (62, 63)])
def test_a_larger_jpeg_comes_at_half_its_size(width: int, height: int, limit: None) -> None:
    picture = noise(width, height)
    half = np.asarray(decode(encode(picture, "JPEG", quality=95)), np.float32)
    assert half.shape[:2] == (-(-height // 2), -(-width // 2))
    smaller = picture.resize((half.shape[1], half.shape[0]), Image.Resampling.BOX)
    assert np.abs(half - np.asarray(smaller, np.float32)).mean() < 6


@pytest.mark.parametrize("size", [(31, 32), (1, 1), (1000, 1)])
def test_an_ordinary_jpeg_is_not_scaled(size: tuple[int, int], limit: None) -> None:
    encoded = encode(noise(*size), "JPEG")
    assert decode(encoded).tobytes() == Image.open(io.BytesIO(encoded)).convert("RGB").tobytes()


class Held:
    """The most pixels that were there at once."""

    def __init__(self) -> None:
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def move(self, pixels: int) -> None:
        with self.lock:
            self.now += pixels
            self.most = max(self.most, self.now)


def test_threads_have_no_more_pixels_at_once_than_the_limit(limit: None) -> None:
    rng, held = np.random.default_rng(0), Held()
    encoded = [encode(noise(*map(int, rng.integers(1, 32, 2)))) for _ in range(300)]

    def work(content: bytes) -> None:
        with decoding(content) as image:
            held.move(image.width * image.height)
            image.resize((64, 64), Image.Resampling.BICUBIC)
            held.move(-image.width * image.height)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, encoded))
    assert 0 < held.most <= 1000


def test_what_is_larger_than_the_limit_has_it_alone(limit: None) -> None:
    held = Held()

    def work(pixels: int) -> None:
        with room_for(pixels), room_for(5000):  # who has room waits for no more
            held.move(min(pixels, 1000))
            held.move(-min(pixels, 1000))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [3000, 10, 2000, 999, 1] * 20))
    assert held.most == 1000


def test_room_is_given_back_whatever_happens(limit: None) -> None:
    for _ in range(3):
        with pytest.raises(ValueError, match="truncated"), decoding(encode(noise(30, 30))[:-40]):
            pass
        with pytest.raises(KeyError), decoding(encode(noise(30, 30))):
            raise KeyError
    with room_for(1000):
        pass


def hold(room: Room, now: Any, most: Any, pixels: int) -> None:
    for _ in range(50):
        with room.of(pixels):
            with now.get_lock():
                now.value += pixels
                most.value = max(most.value, now.value)
            with now.get_lock():
                now.value -= pixels


@pytest.mark.skipif(sys.platform != "linux", reason="loader processes are forked on Linux only")
def test_loader_processes_share_one_room(limit: None) -> None:
    context = multiprocessing.get_context("fork")
    room, now, most = SharedRoom(context), context.Value("q", 0), context.Value("q", 0)
    processes = [context.Process(target=hold, args=(room, now, most, pixels)) for pixels in (900, 400, 700)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert 0 < most.value <= 1000


def test_floating_point_is_scaled_strip_by_strip_to_the_same_values() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (9, 300_000)).astype(np.uint16)
    decoded = decode(encode(Image.fromarray(values), compress_level=0))
    assert np.array_equal(np.asarray(decoded)[..., 1], np.round(values * (255 / 65535)))
