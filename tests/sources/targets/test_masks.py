"""Masks as numbers, palettes, colours, black and white; and which image each belongs to."""

import io
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from botzoo.errors import DataError
from botzoo.sources.find import find_images
from botzoo.sources.targets.coding import IGNORED
from botzoo.sources.targets.find import find_masks
from sources.targets.made import HEIGHT, WIDTH, mask, picture, refusal, text

NUMBERS = np.array([[0, 1, 2], [2, 1, IGNORED]])
COLOURS = {"sky": (1, 2, 200), "road": (90, 90, 90), "tree": (0, 120, 7)}


def one(folder: Path, values: object, mode: str | None = None, split: str = "train", name: str = "a") -> Path:
    picture(folder / split / "images" / f"{name}.jpg", 3, 2)
    mask(folder / split / "masks" / f"{name}.png", values, mode)
    return folder


def opened(folder: Path) -> list[list[int]]:
    return find_masks(str(folder)).train.mask(0).tolist()


@pytest.mark.parametrize("mode", [None, "P"])
def test_numbers_are_classes_in_grey_and_with_a_palette(tmp_path: Path, mode: str | None) -> None:
    assert opened(one(tmp_path, NUMBERS, mode)) == NUMBERS.tolist()


def test_grey_colours_are_numbers(tmp_path: Path) -> None:
    assert opened(one(tmp_path, np.repeat(NUMBERS[:, :, None], 3, 2))) == NUMBERS.tolist()


def test_black_and_white_are_two_classes(tmp_path: Path) -> None:
    data = find_masks(str(one(tmp_path, [[0, 255, 255], [0, 0, 0]])))
    assert data.train.mask(0).tolist() == [[0, 1, 1], [0, 0, 0]]
    assert data.class_names == ("class 0", "class 1")


@pytest.mark.parametrize("mode", ["1", "LA", "RGBA", "P"])
def test_black_and_white_may_be_stored_in_any_way(tmp_path: Path, mode: str) -> None:
    one(tmp_path, [[0, 255, 255], [0, 0, 0]])
    path = tmp_path / "train" / "masks" / "a.png"
    with Image.open(path) as grey:
        grey.convert(mode).save(path)
    assert opened(tmp_path) == [[0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("layout", ["{0},{1},{2},{3}", "{1} {2} {3}\t{0}", "{0}:{1},{2},{3}::"])
def test_colours_are_looked_up_in_a_table(tmp_path: Path, layout: str) -> None:
    values = np.array(list(COLOURS.values()))[np.where(NUMBERS == IGNORED, 0, NUMBERS)]
    values[1, 2] = (9, 9, 9)
    lines = [layout.format(name, *colour) for name, colour in (*COLOURS.items(), ("void", (9, 9, 9)))]
    text(one(tmp_path, values) / "label_colors.txt", *lines)
    data = find_masks(str(tmp_path))
    assert data.class_names == tuple(COLOURS)
    assert data.train.mask(0).tolist() == NUMBERS.tolist()


def test_colours_that_the_table_lacks_are_refused(tmp_path: Path) -> None:
    values = np.full((2, 3, 3), (1, 2, 200))
    values[0, 0] = (1, 2, 201)
    text(one(tmp_path, values) / "classes.csv", "name,r,g,b", "sky,1,2,200", "road,0,0,0")
    assert "has the colour '#0102c9', which the table of colours does not name" in refusal(tmp_path, opened)


def test_colours_without_a_table_are_refused(tmp_path: Path) -> None:
    one(tmp_path, np.full((2, 3, 3), (1, 2, 200)))
    assert "nothing says which class a colour is: add classes.csv" in refusal(tmp_path, find_masks)


@pytest.mark.parametrize("line", ["sky,1,2", "sky,1,2,256", "sky,1,2,3,4", "1,2,3"])
def test_lines_of_a_table_that_are_no_colour_are_refused(tmp_path: Path, line: str) -> None:
    text(one(tmp_path, NUMBERS) / "classes.csv", "name,r,g,b", line)
    assert "line 2, is" in refusal(tmp_path, find_masks)


def test_a_value_that_is_no_class_is_refused(tmp_path: Path) -> None:
    text(one(tmp_path, NUMBERS) / "classes.txt", "sky", "road")
    assert "has the value '2', and the 2 classes are 0 to 1" in refusal(tmp_path, opened)


def test_a_lossy_mask_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "masks" / "a.jpg")
    assert "a JPEG, which changes values" in refusal(tmp_path, find_masks)


def test_numbers_over_255_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(tmp_path / "masks" / "a.png")
    assert "values up to 300" in refusal(tmp_path, find_masks)


def test_what_all_masks_have_behind_the_name_of_their_image_is_found(tmp_path: Path) -> None:
    for stem in ("1", "10"):
        picture(tmp_path / "images" / f"{stem}.jpg", 3, 2)
        mask(tmp_path / "masks" / f"{stem}_mask.png", NUMBERS)
    assert len(find_masks(str(tmp_path)).train) == 2


@pytest.mark.parametrize(
    ("image", "of"),
    [
        ("train/a.jpg", "train_labels/a_L.png"),
        ("train/images/a.jpg", "train/masks/a.png"),
        ("images/train/a.jpg", "annotations/train/a.png"),
        ("train_images/a.jpg", "train_masks/a.png"),
        ("part_2/images/a.jpg", "part_2/GT/a.png"),
        ("JPEGImages/a.jpg", "SegmentationClass/a.png"),
    ],
)
def test_folders_of_images_and_masks_have_many_names(tmp_path: Path, image: str, of: str) -> None:
    picture(tmp_path / image)
    mask(tmp_path / of, NUMBERS)
    data = find_masks(str(tmp_path))
    assert data.train.describe_mask(0) == str(tmp_path / of)


def test_images_of_two_folders_keep_their_own_masks(tmp_path: Path) -> None:
    for part in ("images_1", "images_2"):
        picture(tmp_path / part / "a.jpg")
        mask(tmp_path / part.replace("images", "masks") / "a.png", NUMBERS)
    data = find_masks(str(tmp_path))
    assert [Path(data.train.describe_mask(i)).parent.name for i in range(2)] == ["masks_1", "masks_2"]


def test_images_and_masks_without_the_other_are_counted(tmp_path: Path) -> None:
    one(tmp_path, NUMBERS)
    picture(tmp_path / "train" / "images" / "bare.jpg")
    mask(tmp_path / "train" / "masks" / "lost.png", NUMBERS)
    notes = find_masks(str(tmp_path)).notes
    assert "not used: 1 image without a mask, such as 'train/images/bare.jpg'" in notes
    assert "not used: 1 mask without an image, such as 'train/masks/lost.png'" in notes


def test_no_mask_of_any_image_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    mask(tmp_path / "masks" / "b.png", NUMBERS)
    assert "No mask in" in refusal(tmp_path, find_masks)


def test_splits_by_folder_either_way_round(tmp_path: Path) -> None:
    for split in ("train", "val"):
        picture(tmp_path / "images" / split / "test_1.jpg", 3, 2)
        mask(tmp_path / "masks" / split / "test_1.png", NUMBERS)
    data = find_masks(str(tmp_path))
    assert {role: len(split) for role, split in data.splits.items()} == {"train": 1, "validation": 1}


def test_rows_have_an_image_and_a_mask(tmp_path: Path) -> None:
    def png(values: object) -> dict:
        file = io.BytesIO()
        Image.fromarray(np.asarray(values, np.uint8)).save(file, "PNG")
        return {"bytes": file.getvalue(), "path": None}

    cells = {"image": [png(np.zeros((2, 3, 3)))], "label": [png(NUMBERS)]}
    features = datasets.Features(dict.fromkeys(cells, datasets.Image()))
    (tmp_path / "set").mkdir()
    datasets.Dataset.from_dict(cells, features).to_parquet(tmp_path / "set" / "train.parquet")
    data = find_masks(str(tmp_path / "set"))
    assert data.train.mask(0).tolist() == NUMBERS.tolist()


def test_real_masks_have_the_values_that_pillow_reads(shared_data: Path) -> None:
    data = find_masks(str(shared_data / "camvid"))
    assert [len(split) for split in data.splits.values()] == [367, 101, 233]
    assert len(data.class_names) == 11
    path = Path(data.train.describe_mask(5))
    assert (path.parent.name, path.stem) == ("masks", Path(data.train.describe(5)).stem)
    assert np.array_equal(data.train.mask(5), np.asarray(Image.open(path)))


def _three(folder: Path, *values: int, names: str = "a b c") -> Path:
    """Write pictures with masks of one value each."""
    for i, value in enumerate(values):
        picture(folder / "images" / f"{i}.png")
        mask(folder / "masks" / f"{i}.png", np.full((HEIGHT, WIDTH), value))
    text(folder / "classes.txt", *names.split())
    return folder


@pytest.mark.parametrize(("names", "said"), [("a b c", "3 classes are"), ("a", "one class is")])
def test_black_and_white_is_of_two_classes(tmp_path: Path, names: str, said: str) -> None:
    refused = refusal(_three(tmp_path, 0, 255, names=names), find_masks)
    assert f"0 and 255 alone, and {said} named: name two" in refused


def test_a_second_file_that_names_the_classes_is_told_of(tmp_path: Path) -> None:
    _three(tmp_path, 0, 1)
    text(tmp_path / "labels.txt", "x", "y")
    assert "not used: 'labels.txt', as classes.txt names the classes" in find_masks(str(tmp_path)).notes


def test_an_empty_line_among_names_is_refused(tmp_path: Path) -> None:
    _three(tmp_path, 0, 1)
    text(tmp_path / "classes.txt", "a", "", "b", "")
    assert "classes.txt, line 2, is empty" in refusal(tmp_path, find_masks)


def test_masks_of_nothing_but_ignored_pixels_teach_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"The masks of the train split of .* are all ignored"):
        find_images(str(_three(tmp_path, 255, 255)), kind="segment")


def test_fractions_are_no_classes(tmp_path: Path) -> None:
    _three(tmp_path, 0)
    Image.fromarray(np.full((HEIGHT, WIDTH), 0.5, np.float32)).save(tmp_path / "masks" / "0.tif")
    (tmp_path / "masks" / "0.png").unlink()
    assert "has numbers with fractions" in refusal(tmp_path, find_masks)


def test_a_damaged_mask_is_named_when_all_are_read(tmp_path: Path) -> None:
    _three(tmp_path, 0, 1, 2)
    (tmp_path / "masks" / "0.png").write_bytes(b"none")
    problems = find_images(str(tmp_path), kind="segment").train.problems
    assert problems == {0: f"{tmp_path / 'masks' / '0.png'} cannot be read (it is no image): mend or remove it"}
