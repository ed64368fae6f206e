"""Predictions in columns of one's own."""

import csv
from pathlib import Path

import pytest

from botzoo import cli
from botzoo.errors import ConfigError
from botzoo.inference.columns import read_columns
from botzoo.inference.load import load
from botzoo.inference.prediction import Prediction
from running import write_teacher

CLASSES = ("cat", "dog", "a,b", "k=v", "=x")
FOUND = Prediction("data/x/7.b.jpg", ("dog", "a,b", "cat", "k=v", "=x"), (0.7, 0.1, 0.08, 0.07, 0.05), (1, 2, 0, 3, 4))


def lines(text: str, found: Prediction = FOUND, **how: bool) -> list[list[str]]:
    return list(csv.reader(read_columns(text, CLASSES, **how).lines([("x/7.b.jpg", found)])))


@pytest.mark.parametrize(
    ("text", "headings", "row"),
    [
        ("id,label", "id label", "7.b dog"),
        ("file, probability", "file probability", "x/7.b.jpg 0.700000"),
        ("Id=id,Breed=label", "Id Breed", "7.b dog"),
        ("id,cat", "id cat", "7.b 0.080000"),
        ('id,"a,b"', "id a,b", "7.b 0.100000"),
        ("k=v,p=k=v", "k=v p", "0.070000 0.070000"),
        ("id,classes", "id cat dog a,b k=v '=x", "7.b 0.080000 0.700000 0.100000 0.070000 0.050000"),
    ],
)
def test_a_row_has_the_columns_asked_for(text: str, headings: str, row: str) -> None:
    assert lines(text) == [headings.split(), row.split()]


def test_classes_may_be_called_as_columns_are() -> None:
    found = Prediction("x.png", ("file", "label"), (0.7, 0.3), (1, 0))
    assert list(read_columns("id,classes", ("label", "file")).lines([("x.png", found)])) == [
        "id,label,file",
        "x,0.300000,0.700000",
    ]


@pytest.mark.parametrize(
    ("labels", "shares", "label", "least"),
    [(("dog", "cat"), (0.9, 0.6), "dog, cat", "0.600000"), (("dog",), (0.4,), "", ""), ((), (), "", "")],
)
def test_of_several_labels_all_over_one_half_are_given(
    labels: tuple[str, ...], shares: tuple[float, ...], label: str, least: str
) -> None:
    found = Prediction("x", labels, shares, tuple(range(len(labels))))
    assert lines("label,probability", found, one_label=False)[1] == [label, least]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "id,lable",
            "--columns has 'lable', which is no column. Did you mean 'label'? There are file, id, label, prob",
        ),
        ("", "--columns has '', which is no column"),
        ("id,", "--columns has '', which is no column"),
        ("x=catt", "Did you mean 'cat'"),
        ("id,label,id", "--columns has 2 columns with the heading 'id': leave all but one out"),
        ("cat,classes", "2 columns with the heading 'cat'"),
        ("a\rb", "is no line of CSV"),
    ],
)
def test_what_is_no_column_is_refused_with_what_there_is(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_columns(text, CLASSES)
    assert said in str(error.value)


def test_two_images_of_one_id_are_refused() -> None:
    read_columns("file", CLASSES).check(["a/1.png", "b/1.png"])
    with pytest.raises(ConfigError, match=r"a/1\.png and b/1\.jpg have the id '1' both: write file in its place"):
        read_columns("id", CLASSES).check(["a/1.png", "a/2.png", "b/1.jpg"])


def test_the_command_writes_a_folder_in_its_order(photos: Path, tmp_path: Path) -> None:
    write_teacher(tmp_path / "model")
    output, folder = tmp_path / "out.csv", photos / "class1"
    words = [str(folder), "--model", str(tmp_path / "model"), "--columns", "id,label,classes", "--output", str(output)]
    cli._main(["predict", *words])
    rows = list(csv.reader(output.read_text().splitlines()))
    assert rows[0] == ["id", "label", "class0", "class1", "class2"]
    assert [row[0] for row in rows[1:]] == sorted(map(str, range(20)))
    expected = load(tmp_path / "model").predict([folder / f"{row[0]}.png" for row in rows[1:]])
    assert [row[1] for row in rows[1:]] == [found.label for found in expected]
    assert [max(map(float, row[2:])) for row in rows[1:]] == pytest.approx(
        [found.probability for found in expected], abs=1e-6
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--format json", "--columns are of CSV, and the format is json"),
        ("--top-k 2", "--columns and --top-k each say"),
    ],
)
def test_columns_stand_alone(photos: Path, more: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        cli._main(["predict", str(photos), "--columns", "id,label", *more.split()])
