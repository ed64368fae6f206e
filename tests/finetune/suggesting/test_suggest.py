"""--suggest from command to files, on small images."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from botzoo.errors import BotzooError, ConfigError, DataError
from botzoo_finetune import suggest
from botzoo_finetune.suggesting.suggestions import Suggestions
from running import command

TINY = {"img_size": 32}


def write(folder: Path, number: int, seed: int = 0) -> Path:
    """Write so many images of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(number):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def found(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Suggestions:
    """What is suggested of 12 images, three of the same bytes, one of the data set and one damaged beside them."""
    place = tmp_path_factory.mktemp("suggest")
    folder = write(place / "new", 12)
    for name in ("again.png", "<b>=1+1.png"):
        shutil.copyfile(folder / "03.png", folder / name)
    shutil.copyfile(photos / "class1" / "4.png", folder / "known.png")
    (folder / "cut.png").write_bytes((folder / "05.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("no image")
    return suggest(photos, folder, 5, output=str(place / "out"), **TINY)


def test_what_teaches_nothing_is_left_out_and_counted(found: Suggestions) -> None:
    assert (found.found, found.unreadable, found.known, found.twice) == (16, 1, 1, 2)


def test_as_many_as_were_asked_for_come_the_most_telling_first(found: Suggestions) -> None:
    scores = [image.score for image in found.images]
    assert (len(scores), scores) == (5, sorted(scores, reverse=True))
    assert len({image.file for image in found.images}) == 5


def test_the_table_says_the_same(found: Suggestions) -> None:
    with (found.written / "suggested.csv").open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [row["file"] for row in rows] == [image.file for image in found.images]
    assert [row["label"] for row in rows] == [image.label for image in found.images]


def test_the_page_has_every_picture_and_no_script(found: Suggestions) -> None:
    page = (found.written / "suggested.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == len(found.images)
    assert ">1. " + Path(found.images[0].file).name in page.replace("\n", "")
    assert "<script" not in page
    assert "<b>=1" not in page


def test_fewer_images_than_were_asked_for_are_all_suggested(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "botzoo"):
        found = suggest(photos, write(tmp_path / "new", 3), 50, output=str(tmp_path / "out"), **TINY)
    assert len(found.images) == 3
    assert "3 images to label, all that are left, and 50 were asked for" in caplog.text


@pytest.mark.slow
def test_images_with_several_labels_are_ranked_too(pictures: Path, tmp_path: Path) -> None:
    found = suggest(pictures, write(tmp_path / "new", 6), 2, output=str(tmp_path / "out"), **TINY)
    assert {image.label for image in found.images} <= {"red", "green", "blue"}


def refusal(error: type[BotzooError], photos: Path, folder: Path, **options: object) -> str:
    with pytest.raises(error) as caught:
        suggest(photos, folder, 5, **TINY, **options)
    return str(caught.value)


def test_a_folder_that_is_not_there_is_refused(photos: Path, tmp_path: Path) -> None:
    assert "there is no such folder" in refusal(DataError, photos, tmp_path / "nowhere")


def test_a_folder_without_images_is_refused(photos: Path, tmp_path: Path) -> None:
    assert "There is no image in the folder" in refusal(DataError, photos, tmp_path)


def test_images_that_are_all_known_are_refused(photos: Path, tmp_path: Path) -> None:
    said = refusal(DataError, photos, photos / "class1", output=str(tmp_path / "out"))
    assert said.startswith("All 20 images")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_left_as_it_is(photos: Path, tmp_path: Path) -> None:
    new, out = write(tmp_path / "new", 3), write(tmp_path / "out", 1)
    assert "exists already" in refusal(ConfigError, photos, new, output=str(out))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--count", 5), "--count counts with --suggest only"),
        (("--suggest", "new", "--count", 0), "--count is 0: it must be 1 or more"),
        (("--suggest", "new", "--count", "many"), "--count is 'many': it must be a whole number"),
        (("--suggest", "new", "--probe"), "--probe and --suggest each do something else"),
        (("--suggest", "new", "--data.streaming"), "--suggest looks at all images at once"),
        (("--suggest", "new", "--scratch"), "--scratch has no features to --suggest"),
    ],
)
def test_words_that_do_not_go_together_are_refused(
    words: tuple[object, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*words) == 2
    assert said in capsys.readouterr().err
