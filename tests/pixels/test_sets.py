"""What is found of a whole data set: one range, one number of channels; and what its card has to say of it."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from botzoo.data import decode as decode_module
from botzoo.data import images as images_module
from botzoo.data import open as opening
from botzoo.data.decode import DEEP, OWN, TRANSPARENT, decode
from botzoo.data.images import Images
from botzoo.data.streaming.stream import Row, _Prepared
from botzoo.data.transforms import EvalTransform
from botzoo.errors import CheckpointError, ConfigError, DataError
from botzoo.inference.images import check_kind, read_image
from botzoo.models.create import create_model
from botzoo.models.folder import write_model_folder
from botzoo.models.foreign import decoding_in, read_config
from botzoo.models.preprocessing import PLAIN, Decoding, Preprocessing
from botzoo.options.config import AugmentConfig, DataConfig, TrainConfig
from botzoo.pixels.bands import pixels_of
from botzoo.results.card.usage import Reading, possible_readings, reading_of, usage_code
from botzoo.sources.base import ImageData
from botzoo.training.setup import set_up
from data.pictures import encode, noise
from data.test_decode import clear


def data_of(arrays: list[Any]) -> Any:
    """Images in memory, the first half of one class and the second half of another."""
    return arrays, ["a" if i < len(arrays) // 2 else "b" for i in range(len(arrays))]


def read(arrays: list[Any], **options: Any) -> tuple[ImageData[Any], Images]:
    config = DataConfig(**options)
    data, images, _ = opening.read(opening.find(data_of(arrays), config), config, split_seed=0, bars=False)
    return data, images["train"]


def twelve_bits() -> list[Any]:
    """Images of even grey, each brighter than the one before."""
    return [np.full((8, 8), 400 * i, np.uint16) for i in range(10)]


def test_all_images_get_one_range_and_the_plan_says_it() -> None:
    data, images = read(twelve_bits())
    assert images.decoding.range == (0, 4095)
    levels = {int(images.pixels(i)[0, 0, 0]) for i in range(len(images))}
    assert levels <= {round(400 * i * 255 / 4095) for i in range(10)}
    assert len(levels) == len(images) > 2
    assert (
        "10 images of more than 8 bits, of values from 0 to 3600: 0 becomes black, 4095 white (--data.range)"
        in data.notes
    )


def test_images_of_eight_bits_beside_deeper_ones_are_not_counted_and_stay() -> None:
    grey = encode(noise(8, 8).convert("L"), "TIFF")
    data, images = read([grey, *twelve_bits(), grey])
    assert data.notes[0].startswith("10 images of more than 8 bits")
    assert any(np.array_equal(images.pixels(i), np.asarray(decode(grey))) for i in range(len(images)))


def test_a_range_that_is_given_is_taken_and_said() -> None:
    data, images = read(twelve_bits(), range=(400.0, 800.0))
    assert {int(images.pixels(i)[0, 0, 0]) for i in range(len(images))} == {0, 255}
    assert "10 images of more than 8 bits: 400 becomes black, 800 white, as --data.range says" in data.notes


@pytest.mark.parametrize(("given", "colour"), [((-5.0, 0.0), "white"), ((3600.0, 1e9), "black")])
def test_a_range_that_holds_no_value_is_refused(given: tuple[float, float], colour: str) -> None:
    with pytest.raises(DataError, match=f"hold values from 0 to 3600: all would be {colour}"):
        read(twelve_bits(), range=given)


def test_a_range_that_no_image_needs_is_dropped_and_that_is_said() -> None:
    data, images = read([encode(noise(8, 8, i)) for i in range(6)], range=(0.0, 4095.0))
    assert images.decoding.range is None
    assert "--data.range 0,4095 has no effect: no image has more than 8 bits" in data.notes


def test_extremes_are_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path))
    first, _ = read(twelve_bits())
    monkeypatch.setattr(images_module, "extremes", lambda *given: pytest.fail("looked again"))
    assert read(twelve_bits())[0].notes == first.notes


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "PPM"])
def test_images_of_eight_bits_are_not_decoded_for_a_range(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "extremes_of", lambda values: pytest.fail("looked at"))
    _, images = read([encode(noise(8, 8, i), form) for i in range(6)])
    assert images.decoding == Decoding(background="white")


@pytest.mark.parametrize("value", [0, 700])
def test_images_of_one_value_are_refused_in_one_line(value: int) -> None:
    if value == 0:
        with pytest.raises(DataError, match="no finite value, so they are all alike"):
            read([np.full((8, 8), np.nan)] * 6)
    else:
        with pytest.raises(DataError, match=r"hold the one value 700, so they are all alike: .* --data.range LOW,HIGH"):
            read([np.full((8, 8), value, np.uint16)] * 6)


def test_channels_that_differ_are_named_by_two_images(tmp_path: Path) -> None:
    for split, name in ((split, name) for split in ("train", "val") for name in ("a", "b")):
        (tmp_path / split / name).mkdir(parents=True)
        np.save(
            tmp_path / split / name / "1.npy", np.zeros((8, 8, 6 if (split, name) == ("val", "b") else 5), np.uint8)
        )
    found = opening.find(str(tmp_path), DataConfig())
    with pytest.raises(
        DataError, match=r"val/b/1.npy: it has 6 channels and not 5 as .*val/a/1.npy: give images of one"
    ):
        opening.read(found, DataConfig(), split_seed=0, bars=False)


def test_a_fourth_channel_in_doubt_is_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "1.npy", np.zeros((8, 8, 4), np.uint8))
    found = opening.find(str(tmp_path), DataConfig())
    with pytest.raises(DataError, match=r"1.npy has four channels: give --data.channels 3 .* or --data.channels 4"):
        opening.decoding_of(found, DataConfig())
    assert opening.decoding_of(found, DataConfig(channels=4)).channels == 4


@pytest.mark.slow
def test_augmentations_of_colours_are_refused_for_other_channels(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            np.save(tmp_path / name / f"{i}.npy", np.full((8, 8, 5), i, np.uint8))
    config = TrainConfig(
        dataset=str(tmp_path), model="test_resnet", scratch=True, augment=AugmentConfig(color_jitter=0.4)
    )
    with pytest.raises(
        ConfigError, match=r"color-jitter 0.4 needs images of three channels, and those of .* have 5: leave"
    ):
        set_up(config)


@pytest.mark.parametrize("bad", [(5.0, 5.0), (9.0, 1.0), (float("nan"), 1.0)])
def test_an_empty_range_is_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="two numbers, the lower one first"):
        TrainConfig(data=DataConfig(range=bad))


DECODINGS = [PLAIN, Decoding(background="white"), Decoding(background="#102030", range=(-4, 70.5)), Decoding(5)]


@pytest.mark.parametrize("how", DECODINGS)
def test_a_model_folder_keeps_how_images_are_read(how: Decoding, tmp_path: Path) -> None:
    network = create_model("test_resnet", 2, scratch=True, channels=how.channels)
    prepared = replace(network.preprocessing, decoding=how)
    write_model_folder(tmp_path, network.model, prepared, ("a", "b"), tag="mine", license=None)
    found = decoding_in(read_config(tmp_path / "config.json"))
    assert found == how
    if found.range is not None:  # by their text decoded images are found again
        assert str(found.range) == str(tuple(map(float, how.range or ())))


@pytest.mark.parametrize(
    "said",
    [
        {"background": 'white"))\nimport os'},
        {"background": "rgb(1,2,3)"},
        {"range": [4, 4]},
        {"range": [0, "1"]},
        {"range": 7},
    ],
)
def test_what_no_run_writes_is_refused(said: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18", "decoding": said}))
    with pytest.raises(CheckpointError, match=r"decoding\.(background|range) is"):
        read_config(tmp_path / "config.json")


def stored(kind: str) -> bytes:
    if kind == "twelve":
        return encode(Image.fromarray(np.arange(0, 4096, 41, np.uint16)[:99].reshape(9, 11)))
    if kind == "float":
        return encode(Image.fromarray(np.linspace(-5, 80, 99, dtype=np.float32).reshape(9, 11)), "TIFF")
    return encode(
        clear(kind) if kind in ("RGBA", "P", "LA", "RGB") else noise(11, 9).convert(kind.removeprefix("opaque "))
    )


@pytest.mark.parametrize("kind", ["RGBA", "P", "LA", "RGB", "opaque RGB", "opaque RGBA", "opaque L", "twelve", "float"])
@pytest.mark.parametrize(
    "how",
    [
        Decoding(background="white", range=(0, 4095)),
        Decoding(1, "red", (-5.5, 70)),
        Decoding(background="#0080ff"),
        Decoding(1),
    ],
)
def test_the_lines_of_a_card_give_the_pixels_of_training(kind: str, how: Decoding) -> None:
    if kind in ("twelve", "float"):  # of which a run always has the range
        how = replace(how, range=how.range or (0.0, 4095.0))
    needed = reading_of(how, {TRANSPARENT: 1, DEEP: int(how.range is not None)})
    names = {"image": ImageOps.exif_transpose(Image.open(io.BytesIO(stored(kind)))), "np": np, "Image": Image}
    exec(needed.lines(), names)
    assert names["image"].tobytes() == decode(stored(kind), how).tobytes()  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", DECODINGS)
@pytest.mark.parametrize("kinds", [{}, {TRANSPARENT: 2}, {DEEP: 1, OWN: 1}, {TRANSPARENT: 1, DEEP: 1}, None])
def test_the_code_of_a_card_is_found_again_by_who_verifies_it(how: Decoding, kinds: dict[str, int] | None) -> None:
    assert reading_of(how, kinds) in possible_readings(how)


def test_a_card_of_plain_images_has_the_line_that_everybody_knows() -> None:
    how = reading_of(Decoding(background="white"), {})
    assert how == Reading()
    line = 'image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")  # upright, as in training'
    assert line in usage_code("x", 2, ours=False, reading=how).splitlines()


@pytest.mark.parametrize("kinds", [{TRANSPARENT: 1}, {DEEP: 1}, {OWN: 1}])
def test_a_card_says_what_others_leave_out(kinds: dict[str, int]) -> None:
    assert "alone" in " ".join(reading_of(Decoding(background="white", range=(0, 4095)), kinds).remarks())


def test_streamed_images_of_more_than_eight_bits_need_a_range() -> None:
    deep = Row((0, 0), encode(Image.fromarray(np.full((8, 8), 2048, np.uint16))), 1, "shard 1, image 7")
    transform = EvalTransform(Preprocessing(8, (0.5,) * 3, (0.5,) * 3, 1.0, "bilinear"))
    assert "image 7: it has more than 8 bits, and shards" in _Prepared(transform, Decoding())[deep]
    assert (np.asarray(_Prepared(transform, Decoding(range=(0, 4095)))[deep][0]) == 128).all()


def test_pictures_in_memory_keep_what_their_files_would_hold() -> None:
    deep = read([Image.fromarray(array) for array in twelve_bits()])
    assert deep[1].decoding.range == (0, 4095)
    notes = read([clear(mode) for mode in ("RGBA", "P", "LA", "RGB", "RGBA", "L")])[0].notes
    assert "6 transparent images lie on white (--data.background)" in notes


@pytest.mark.parametrize(
    ("image", "how"),
    [
        (np.arange(60, dtype=np.uint16).reshape(6, 10), Decoding(range=(0, 59))),
        (np.arange(60, dtype=np.float32).reshape(6, 10), Decoding(1, range=(0, 59))),
        (np.arange(300, dtype=np.uint8).reshape(6, 10, 5), Decoding(5)),
        (np.arange(240, dtype=np.uint8).reshape(6, 10, 4), Decoding(background="white")),
        (np.arange(60, dtype=np.uint8).reshape(6, 10), Decoding(1)),
    ],
)
def test_an_array_is_predicted_on_as_it_was_trained_on(image: np.ndarray, how: Decoding) -> None:
    check_kind(image, 0, how)
    with read_image(image, how) as found:
        assert np.array_equal(pixels_of(found), pixels_of(decode(image, how)))


@pytest.mark.parametrize(
    ("shape", "dtype", "how"), [((6, 9, 5), "u1", PLAIN), ((6, 9), "u2", PLAIN), ((6, 9), "u1", Decoding(5))]
)
def test_an_array_of_another_kind_is_refused(shape: tuple[int, ...], dtype: str, how: Decoding) -> None:
    with pytest.raises(DataError, match="is an array of shape"):
        check_kind(np.zeros(shape, dtype), 0, how)


def test_one_without_a_finite_value_is_a_broken_image() -> None:
    with pytest.raises(DataError, match=r"1 of 6 images cannot be read: .*: it holds no finite value"):
        read([np.linspace(0, 1, 64).reshape(8, 8), np.full((8, 8), np.nan)] + [np.linspace(0, 1, 64).reshape(8, 8)] * 4)


@pytest.mark.parametrize(("pages", "channels"), [(1, 3), (3, 3), (3, 1)])
def test_pages_that_are_not_read_are_told(tmp_path: Path, pages: int, channels: int) -> None:
    page = noise(12, 12).convert("L")
    for name in ("a/1.tif", "a/2.tif", "b/1.tif", "b/2.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        page.save(tmp_path / name, save_all=True, append_images=[page] * (pages - 1))
    config = DataConfig(val_fraction=0.5, channels=channels)
    notes = opening.read(opening.find(str(tmp_path), config), config, split_seed=0)[0].notes
    assert any("4 TIFF files have several pages, of which the first is used" in note for note in notes) == (pages > 1)
