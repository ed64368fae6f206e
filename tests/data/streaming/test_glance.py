"""What a look at the first images of shards finds, before anything is trained."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from botzoo.data import open as opening
from botzoo.data.streaming import glance as module
from botzoo.errors import DataError
from botzoo.models.preprocessing import Preprocessing
from botzoo.options.config import DataConfig
from botzoo.training.plan import median_stretch
from data.pictures import encode, noise
from data.streaming.made import write_tar
from data.test_decode import sixteen_bit_png


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def shards(folder: Path, *images: bytes, ending: str = "png") -> Path:
    """Two shards of these images, three times, and one for validation."""
    for name, count in (("train-0", 3), ("train-1", 3), ("val-0", 1)):
        every = [
            (f"{i}.{kind}", content)
            for i, image in enumerate(images * count)
            for kind, content in (("cls", str(i % 2).encode()), (ending, image))
        ]
        write_tar(folder / f"{name}.tar", every)
    return folder


def found(folder: Path, **options: Any) -> Any:
    return opening.find(str(folder), DataConfig(streaming=True, **options))


GREY = encode(Image.fromarray(np.arange(0, 4096, 64, np.uint16).reshape(8, 8)))
FIVE = npy(np.zeros((8, 8, 5), np.uint8))
COLOUR = sixteen_bit_png(np.arange(0, 60_000, 312, np.uint16)[:192].reshape(8, 8, 3))


@pytest.mark.parametrize(
    ("image", "between"), [(GREY, "0,4095"), (COLOUR, "0,65535"), (npy(np.linspace(0, 1, 64).reshape(8, 8)), "0,1")]
)
def test_deep_images_are_refused_until_their_range_is_said(image: bytes, between: str, tmp_path: Path) -> None:
    folder = shards(tmp_path, image, encode(noise(8, 8)), ending="npy" if image[:1] == b"\x93" else "png")
    with pytest.raises(
        DataError, match=rf"6 of the first 12 images of some shards .* such as --data.range {between}\."
    ):
        opening.decoding_of(found(folder), DataConfig(streaming=True))
    low, high = map(float, between.split(","))
    data = found(folder, range=(low, high))
    assert opening.decoding_of(data, DataConfig(streaming=True, range=(low, high))).range == (low, high)
    assert "6 of the first 12 images of some shards have more than 8 bits" in data.notes[1]


def test_grey_and_transparent_ones_are_counted(tmp_path: Path) -> None:
    clear = encode(Image.new("RGBA", (8, 8), (255, 0, 0, 100)))
    data = found(shards(tmp_path, encode(noise(8, 8).convert("L")), clear, clear))
    said = " ".join(data.notes)
    assert "12 of the first 18 images of some shards are transparent in part, and lie on white" in said
    assert "6 of the first 18 images of some shards are grey, in three equal channels (--data.channels 1" in said
    assert "grey" not in " ".join(found(tmp_path, channels=1).notes)


def test_what_is_plain_needs_no_word(tmp_path: Path) -> None:
    assert "of the first" not in " ".join(found(shards(tmp_path, encode(noise(8, 8)))).notes)


def test_other_channels_are_those_of_the_first_image(tmp_path: Path) -> None:
    folder = shards(tmp_path / "five", npy(np.zeros((8, 8, 5), np.uint8)), ending="npy")
    assert opening.decoding_of(found(folder), DataConfig(streaming=True)).channels == 5
    doubt = shards(tmp_path / "four", npy(np.zeros((8, 8, 4), np.uint8)), ending="npy")
    with pytest.raises(
        DataError, match=r"image 0 of the shard .*train-0.tar has four channels: give --data.channels 3"
    ):
        opening.decoding_of(found(doubt), DataConfig(streaming=True))


def test_long_ones_are_known_to_be(tmp_path: Path) -> None:
    folder, config = shards(tmp_path, encode(noise(40, 10))), DataConfig(streaming=True)
    _, images, _ = opening.read(found(folder), config, split_seed=0, bars=False)
    assert median_stretch(images["train"], Preprocessing(8, (0.5,), (0.5,), 1.0, "bilinear")) == 4


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    seen = found(shards(tmp_path, b"nothing", encode(noise(8, 8)))).train.seen
    assert (seen.images, seen.like) == (6, f"image 1 of the shard {tmp_path / 'train-0.tar'}")


def test_few_shards_and_images_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(opening, "glance", lambda few, how: names.extend(n for _, n in few) or module.Glance())
    for k in range(9):
        write_tar(tmp_path / f"train-{k}.tar", [(f"{i}.{e}", b"0") for i in range(40) for e in ("cls", "png")])
    write_tar(tmp_path / "val-0.tar", [("0.cls", b"0"), ("0.png", b"0")])
    found(tmp_path, classes="2")
    trained = [name for name in names if "train" in name]
    assert len(trained) == 4 * 16
    assert {name.rpartition("/")[2] for name in trained} == {f"train-{k}.tar" for k in (0, 2, 5, 8)}


@pytest.mark.parametrize(
    ("odd", "wrong"),
    [(GREY, r"1 of the first 1 image of some validation shards .*--data.range 0,4095"), (FIVE, "as image 0")],
)
def test_what_would_end_the_first_evaluation_is_refused_before_training(odd: bytes, wrong: str, tmp_path: Path) -> None:
    ending = "npy" if odd is FIVE else "png"
    image = npy(np.zeros((8, 8), np.uint8)) if odd is FIVE else encode(noise(8, 8))
    shards(tmp_path, image, ending=ending)
    write_tar(tmp_path / "val-0.tar", [("0.cls", b"0"), (f"0.{ending}", odd)])
    with pytest.raises(DataError, match=wrong):
        opening.read(found(tmp_path, classes="2"), DataConfig(streaming=True), split_seed=0)


def test_a_test_split_that_is_left_unread_is_not_looked_at(tmp_path: Path) -> None:
    shards(tmp_path, encode(noise(8, 8)), encode(noise(8, 8)))
    write_tar(tmp_path / "test-0.tar", [("0.cls", b"0"), ("0.png", GREY)])
    assert "test" not in found(tmp_path, test_split=False).splits
    with pytest.raises(DataError, match="test shards"):
        opening.decoding_of(found(tmp_path), DataConfig(streaming=True))


def test_a_range_that_cannot_be_meant_is_refused_and_one_without_effect_noted(tmp_path: Path) -> None:
    flat, deep = (shards(tmp_path / name, image, image) for name, image in (("8", encode(noise(8, 8))), ("16", GREY)))
    assert "--data.range 0,9 has no effect on the first 12 images" in found(flat, range=(0.0, 9.0)).notes[-1]
    config = DataConfig(streaming=True, range=(5000.0, 9000.0))
    with pytest.raises(DataError, match="hold values from 0 to 4032: all would be black"):
        opening.decoding_of(opening.find(str(deep), config), config)
