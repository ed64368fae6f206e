"""Reading every image once, and the decoded pixels that are kept on the disk."""

import io
import os
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from botzoo.data import images as module
from botzoo.data import parallel
from botzoo.data.decode import at_hand, decode
from botzoo.data.decoded import finish, is_kept
from botzoo.data.images import read_images
from botzoo.errors import DataError
from botzoo.sources.base import Encoded
from botzoo.util.cache import DECODED
from data.pictures import RED, encode, noise, open_images, pictures, split_of

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
    with pytest.raises(DataError, match="None of 2 images"):
        read_images(split_of([b"", b""]), skip_corrupt=True)


def test_leaving_out_every_image_of_a_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"of 1 class are unreadable"):
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
    monkeypatch.setattr(module, "at_hand", refuse)
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


@pytest.mark.parametrize("disk", [True, False])
def test_a_failure_of_disk_or_memory_is_not_kept_for_the_next_run(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, disk: bool
) -> None:
    split, calls = split_of(pictures(4)), Counter[Any]()

    def failing(given: Any, *how: Any) -> Any:
        calls[given if disk else "decoded"] += 1
        # the second image, when it is to be decoded: it was read twice before, to be hashed and for its size
        if calls == Counter({"decoded": 2}) or (given == 1 and calls[1] == 3):
            raise OSError(5, "broken") if disk else MemoryError
        return split.read(given) if disk else at_hand(given, *how)

    if not disk:
        monkeypatch.setattr(module, "at_hand", failing)
    monkeypatch.setattr(parallel, "cores", lambda shared: 1)
    assert len(read_images(replace(split, read=failing) if disk else split, skip_corrupt=True)[1]) == 1
    monkeypatch.undo()
    monkeypatch.setenv("BOTZOO_CACHE", str(own_cache.parent))
    assert len(read_images(split)[0]) == 4


def test_an_image_that_is_replaced_while_it_is_read_is_not_kept_as_the_other(own_cache: Path) -> None:
    encoded, seen = pictures(3), Counter[int]()

    def read(i: int) -> Encoded:
        seen[i] += 1
        return encoded[2] if i == 1 and seen[i] > 1 else encoded[i]

    changed, _ = read_images(replace(split_of(pictures(2)), read=read))
    assert changed.fingerprint == read_images(split_of([encoded[0], encoded[2]]))[0].fingerprint
    assert read_images(split_of(encoded[:2]))[0].image(1).tobytes() == decode(encoded[1]).tobytes()


def flipped(place: int) -> Callable[[bytes], bytes]:
    """One bit is another."""
    return lambda content: content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[:-1], lambda c: c[1:], lambda c: c[:-200] + bytes(100) + c[-100:], len, lambda c: b""]
    + [flipped(place) for place in (*range(0, 5 * 12 * 10 * 3, 300), *range(-250, 0, 20))],
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
    assert found.kept_in.startswith("in memory")
    assert found.image(4).tobytes() == decode(pictures(5)[4]).tobytes()
    assert "are held in memory: they cannot be kept in" in caplog.text


def test_beyond_the_budget_only_the_checks_are_kept(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of([*pictures(40), b""])
    for _ in range(2):
        found, bad = read_images(split, skip_corrupt=True, cache_bytes=1000)
        assert (found.cached, len(found), len(bad)) == (False, 40, 1)
        monkeypatch.setattr(module, "at_hand", refuse)
    assert sum(path.stat().st_size for path in own_cache.iterdir()) < 41 * 60
    monkeypatch.undo()
    assert read_images(split, skip_corrupt=True)[0].cached


def test_pixels_at_hand_are_not_decoded_to_disk(own_cache: Path) -> None:
    assert read_images(split_of([np.zeros((4, 4), np.uint8)] * 2))[0].kept_in.startswith("in memory")
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
    with DECODED.writing(path.stem, is_kept) as draft:  # another machine has decoded them too
        for i in range(3):
            draft.write(first.pixels(i).tobytes())
        finish(draft, first.decoded.index, first.decoding, keep=True)
    read_images(split_of(pictures(4)))
    assert path.stat().st_ino == inode
    del first
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


def test_images_can_be_sent_to_a_worker_that_shares_no_memory(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(3):
            RED.save(tmp_path / name / f"{i}.png")
    found, _ = read_images(open_images(str(tmp_path)).train, cache_bytes=0)
    assert pickle.loads(pickle.dumps(found)).image(1).tobytes() == RED.tobytes()
