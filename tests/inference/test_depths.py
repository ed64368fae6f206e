"""Images of another depth than those that a network was trained on: answered, and said."""

import io
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from botzoo import cli
from botzoo.data import open as opening
from botzoo.inference.images import Depths, read_image
from botzoo.inference.load import load
from botzoo.models.preprocessing import Decoding
from botzoo.options.config import DataConfig
from data.pictures import encode, noise
from data.test_decode import sixteen_bit_png

GREY = Image.fromarray(np.arange(0, 4096, 64, np.uint16).reshape(8, 8))
COLOUR = sixteen_bit_png(np.arange(0, 384, 2, np.uint16).reshape(8, 8, 3) * 170)
DEEP: dict[str, Any] = {
    "grey PNG": encode(GREY),
    "grey TIFF": encode(GREY, "TIFF"),
    "colour PNG": COLOUR,
    "opened colour": Image.open(io.BytesIO(COLOUR)),
    "a picture": GREY,
    "floats": encode(Image.fromarray(np.linspace(-3, 3, 64, dtype=np.float32).reshape(8, 8)), "TIFF"),
}
PLAIN: dict[str, Any] = {
    "PNG": encode(noise(8, 8)),
    "JPEG": encode(noise(8, 8), "JPEG"),
    "a picture": noise(8, 8),
    "an array": np.zeros((8, 8), np.uint8),
    "palette": encode(noise(8, 8).convert("P")),
}


def is_odd(image: Any, between: tuple[float, float] | None) -> bool:
    how, kinds = Decoding(range=between), set[str]()
    depths = Depths(how)
    with read_image(image, how, kinds.add):
        depths.note("it", kinds)
    return bool(depths.remarks("the model"))


@pytest.mark.parametrize("between", [None, (0.0, 4095.0)])
def test_an_image_of_another_depth_is_seen(between: tuple[float, float] | None) -> None:
    assert {name: is_odd(image, between) for name, image in DEEP.items()} == dict.fromkeys(DEEP, between is None)
    assert {name: is_odd(image, between) for name, image in PLAIN.items()} == dict.fromkeys(PLAIN, between is not None)


def test_an_array_in_the_range_of_fractions_is_of_no_other_depth() -> None:
    assert not is_odd(np.full((8, 8, 3), 0.5, np.float32), None)


def test_they_are_counted_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    model = load("resnet10d_bot")
    with caplog.at_level(logging.WARNING, "botzoo"):
        model.predict([DEEP["grey PNG"], PLAIN["PNG"], DEEP["colour PNG"]])
        model.predict([PLAIN["PNG"]])
    assert caplog.messages == [
        "2 images have more than 8 bits, such as image 0, and resnet10d_bot says no range for them: each was scaled by "
        "itself, so answers may be wrong."
    ]
    prepared = replace(model.preprocessing, decoding=Decoding(range=(0.0, 4095.0)))
    with caplog.at_level(logging.WARNING, "botzoo"):
        replace(model, preprocessing=prepared).predict([PLAIN["PNG"], DEEP["grey PNG"]])
    assert "1 image has 8 bits, such as image 0, and resnet10d_bot knows values from 0 to 4095" in caplog.messages[-1]


def test_the_command_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep.png").write_bytes(DEEP["grey PNG"])
    monkeypatch.setattr(sys, "argv", ["botzoo", "predict", str(tmp_path / "deep.png")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert capsys.readouterr().err.count("1 image has more than 8 bits, such as ") == 1


def test_colours_of_opened_pictures_keep_all_bits_in_training() -> None:
    config = DataConfig(range=(0.0, 4000.0))
    labels = ["a", "b"] * 5
    read = []
    for images in ([COLOUR] * 10, [Image.open(io.BytesIO(COLOUR)) for _ in labels]):
        found = opening.find((images, labels), config)
        read.append(opening.read(found, config, split_seed=0, bars=False)[1]["train"].pixels(0))
    assert np.array_equal(*read)
    assert len(np.unique(read[0])) > 10
