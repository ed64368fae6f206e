"""botzoo explain: what is written where, what is refused, and what names of strangers do."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from botzoo.commands.explain import METHODS, run
from botzoo.data.transforms import EvalTransform
from botzoo.errors import BotzooError, ConfigError, DataError
from botzoo.explain import maps, overlays
from botzoo.explain.maps import Explainer, batched
from botzoo.explain.overlays import Seen, class_number, look, write_overlays
from botzoo.inference.images import read_image
from botzoo.inference.load import load
from botzoo.inference.predict import Model
from botzoo.models.preprocessing import Decoding, Preprocessing
from botzoo.tasks.multi_label import MULTI_LABEL
from running import write_teacher


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("model"), size=64)


@pytest.fixture(scope="module")
def explainer(folder: Path) -> Explainer:
    return Explainer(load(folder), device="cpu", batch_size=3)


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def test_each_image_has_a_picture_of_its_size_and_a_place_on_the_page(
    explainer: Explainer, photos: Path, tmp_path: Path
) -> None:
    images = [str(photos / "class0" / f"{i}.png") for i in range(7)]
    assert write_overlays(explainer, images, tmp_path / "new" / "out") == []
    files = sorted(path.name for path in (tmp_path / "new" / "out").glob("*.png"))
    assert [name.split("-")[:2] for name in files] == [[str(i + 1), str(i)] for i in range(7)]
    assert pixels(tmp_path / "new" / "out" / files[0]).shape == (16, 16, 3)
    page = (tmp_path / "new" / "out" / "index.html").read_text()
    assert re.findall(r'href="([^"]+)"', page) == files
    assert explainer.layer in page
    assert not [path for path in (tmp_path / "new").iterdir() if path.name != "out"]


def test_a_picture_has_the_map_of_its_image(explainer: Explainer, photos: Path, tmp_path: Path) -> None:
    images = [photos / "class0" / "3.png", photos / "class2" / "4.png"]
    write_overlays(explainer, images, tmp_path, of=1)
    heat = explainer.heat(batched([explainer.transform(Image.open(image), (0, 0)) for image in images]), [1, 1])
    for image, one, file in zip(images, heat, sorted(tmp_path.glob("*.png")), strict=True):
        expected = maps.overlay(Image.fromarray(pixels(image)), one)  # of a square picture all is seen
        np.testing.assert_array_equal(pixels(file), np.asarray(expected))


def test_images_that_cannot_be_read_are_listed(explainer: Explainer, photos: Path, tmp_path: Path) -> None:
    said: list[str] = []
    images = ["gone.png", photos / "class0" / "0.png"]
    assert [one.name for one in write_overlays(explainer, images, tmp_path / "out", say=said.append)] == ["gone.png"]
    assert said == ["gone.png: there is no such file"]
    assert "gone.png: there is no such file" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize("output", [".", "..", "../in", "new"])
def test_a_folder_may_be_named_in_any_way(
    explainer: Explainer, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    write_overlays(explainer, [photos / "class0" / "0.png"], Path(output))
    assert Path(output, "index.html").is_file()
    assert not [*tmp_path.rglob("*.part")]


def test_a_picture_is_large_though_the_network_needs_a_small_one(tmp_path: Path) -> None:
    rows = np.arange(400, dtype=np.uint8)[:, None, None].repeat(600, 1).repeat(3, 2)
    Image.fromarray(rows).save(tmp_path / "photo.jpg")
    prepared = Preprocessing(16, (0.5,) * 3, (0.25,) * 3, 1.0, "bilinear", decoding=Decoding(side=20))
    found = look(EvalTransform(prepared), tmp_path / "photo.jpg")
    assert isinstance(found, Seen)
    assert found.picture.size == (600, 400)
    with read_image(tmp_path / "photo.jpg", prepared.decoding) as small:
        np.testing.assert_array_equal(found.pixels, EvalTransform(prepared)(small, (0, 0)))


def test_where_none_can_be_read_no_folder_is_made(explainer: Explainer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Of 1 image none can be read"):
        write_overlays(explainer, ["gone.png"], tmp_path / "out")
    assert not list(tmp_path.iterdir())


class Brightness(torch.nn.Module):
    """Says of each of three channels whether it is bright."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 10 * images.mean((2, 3))


def test_each_label_of_an_image_has_a_map_of_its_own(tmp_path: Path) -> None:
    preprocessing = Preprocessing(16, (0.5,) * 3, (0.25,) * 3, 1.0, "bilinear")
    model = Model("m", Brightness(), preprocessing, ("red", "green", "blue"), MULTI_LABEL)
    images = [Image.new("RGB", (16, 16), colour) for colour in ((250, 9, 200), (0, 60, 0), (9, 200, 9))]
    write_overlays(Explainer(model, "occlusion", device="cpu", batch_size=2), images, tmp_path)
    expected = ["1-image_0-red", "2-image_0-blue", "3-image_1-green", "4-image_2-green"]  # of no label the likeliest
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == expected


HOSTILE = ["<script>alert(1)</script>", "../../up", "=1+1", "a\x1b[31m\n\u202e", '"><img src=x onerror=alert(1)>', ".."]


def test_names_of_strangers_are_neither_markup_nor_ways_out(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, len(HOSTILE)))
    preprocessing = Preprocessing(16, (0.5,) * 3, (0.25,) * 3, 1.0, "bilinear")
    model = Model(HOSTILE[0], network.eval(), preprocessing, tuple(HOSTILE))
    for k, name in enumerate(HOSTILE):
        image = tmp_path / "in" / str(k) / f"{name.replace('/', '_')}.png"
        image.parent.mkdir(parents=True)
        shutil.copyfile(photos / "class0" / f"{k}.png", image)
        write_overlays(Explainer(model, "occlusion", device="cpu"), [image, "<b>.png"], tmp_path / "out" / str(k), of=k)
        (file,) = (path.name for path in (tmp_path / "out" / str(k)).glob("*.png"))
        assert re.fullmatch(r"1-[\w.-]+\.png", file)
        page = (tmp_path / "out" / str(k) / "index.html").read_text()
        assert not re.search(r"<script|<b>|<img src=x|\x1b|\u202e", page)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("letter", ["a", "é", "猫", "\U0001d400"])
def test_names_of_files_are_never_too_long(letter: str, explainer: Explainer, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(image := tmp_path / f"{letter * 60}.png")
    long = replace(explainer.model, label_names=(letter * 200,) * 3)
    write_overlays(Explainer(long, device="cpu"), [image], tmp_path / "out")
    (file,) = (tmp_path / "out").glob("*.png")
    assert 100 < len(file.name.encode()) < 255


def test_the_folder_may_be_the_one_that_one_is_in(
    explainer: Explainer, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_overlays(explainer, [photos / "class0" / "0.png"], Path())
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert Path("index.html").is_file()


def test_the_page_is_bounded(
    explainer: Explainer, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlays, "PICTURED", 2)
    write_overlays(explainer, [photos / "class0" / "0.png"] * 5, tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert (page.count("<figure"), len(list(tmp_path.glob("*.png")))) == (2, 5)
    assert "The first 2 are shown here" in page


# The class


def model_of(*names: str) -> Model:
    return Model("m", torch.nn.Identity(), Preprocessing(8, (0.5,) * 3, (0.5,) * 3, 1.0, "bilinear"), names)


@pytest.mark.parametrize(
    ("name", "number"), [("tench", 0), ("Tinca  tinca", 0), ("CRANE", 1), ("2", 3), ("1", 1), (2, 2), ("0", 0)]
)
def test_a_class_is_its_name_a_part_of_it_or_its_number(name: str | int, number: int) -> None:
    assert class_number(model_of("tench, Tinca tinca", "crane", "dog", "2"), name) == number


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tulp", r"There is no class 'tulp'\. Did you mean 'tulip'\? m knows tulip, crane, crane"),
        ("crane", "one of several of that name: give its number, one of 1, 2"),
        (3, "There is no class 3"),
        ("-1", "There is no class '-1'"),
        ("", "There is no class ''"),
    ],
)
def test_a_class_that_is_none_is_refused(name: str | int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        class_number(model_of("tulip", "crane", "crane"), name)


# The command


def test_the_command_writes_and_says_where(
    folder: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    argv = [
        str(photos / "class1" / "0.png"),
        "--model",
        str(folder),
        "--output",
        str(tmp_path / "out"),
        "--class",
        "class2",
    ]
    with pytest.raises(ConfigError, match="is not empty: give another folder, or --overwrite"):
        run(argv)
    run([*argv, "--overwrite"])
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "layercam: the layer layer2, 8 x 8 cells"
    assert out[1] == f"1 image explained: {tmp_path / 'out' / 'index.html'}"
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    assert "Where" in (tmp_path / "out" / "index.html").read_text()


def test_some_unreadable_images_are_status_1(folder: Path, photos: Path, tmp_path: Path) -> None:
    image = photos / "class0" / "0.png"
    with pytest.raises(SystemExit) as end:
        run([str(image), "gone.png", "--model", str(folder), "--output", str(tmp_path / "out")])
    assert end.value.code == 1
    assert (tmp_path / "out" / "index.html").is_file()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--method", "cam"], r"--method is 'cam': it must be one of layercam, gradcam, occlusion"),
        (["--class", "clas1"], r"no class 'clas1'\. Did you mean 'class1'"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--output", ""], "is ''"),
        (["--output", __file__], "is a file: give the name of a folder"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    argv: list[str], message: str, folder: Path, photos: Path, tmp_path: Path
) -> None:
    given = [str(photos), "--model", str(folder), "--output", str(tmp_path / "out"), *argv]
    with pytest.raises(BotzooError, match=message):
        run(given)
    assert not list(tmp_path.iterdir())


def test_the_folder_of_the_images_is_no_place_for_the_pictures(folder: Path, photos: Path) -> None:
    before = sorted((photos / "class0").iterdir())
    given: list[Any] = [photos / "class0" / "0.png", "--model", folder, "--output", photos / "class0", "--overwrite"]
    with pytest.raises(ConfigError, match="is the folder of the image"):
        run([str(word) for word in given])
    assert sorted((photos / "class0").iterdir()) == before


def test_the_command_knows_the_methods() -> None:
    assert METHODS == maps.METHODS
