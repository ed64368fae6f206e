"""What columns say of images: one label, several, a measurement, or something in doubt."""

from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import MultiLabelBinarizer

from botzoo.errors import DataError
from botzoo.sources.annotations.labels import Answers, read_answers
from botzoo.sources.annotations.splits import split_column

ANIMALS = ["cat", "dog", "owl", "cat", "dog", "owl"]


def read(asked: str | None = None, separator: str | None = None, **columns: list[Any]) -> Answers:
    return read_answers("t.csv", columns, asked, separator)


def refusal(asked: str | None = None, separator: str | None = None, **columns: list[Any]) -> str:
    with pytest.raises(DataError) as caught:
        read(asked, separator, **columns)
    return str(caught.value)


@pytest.mark.parametrize("column", ["label", "Class", "class_name", "BREED", "Label Name"])
def test_labels_are_found_by_usual_names(column: str) -> None:
    found = read(weight=[0.5, 1.5, 2.5] * 2, place=["a", "b"] * 3, **{column: ANIMALS})
    assert (found.columns, found.names, found.several) == ((column,), ("cat", "dog", "owl"), False)


def test_the_only_column_of_classes_needs_no_usual_name() -> None:
    assert read(id=[*"abcdef"], weight=[0.5, 1.5] * 3, kind=ANIMALS).columns == ("kind",)
    assert "several label columns, kind, place" in refusal(kind=ANIMALS, place=["a", "b"] * 3)


def test_words_come_before_the_numbers_of_the_same_classes() -> None:
    assert read(label=[0, 1, 2] * 2, label_name=ANIMALS).columns == ("label_name",)
    assert "several label columns" in refusal(label=[0, 1, 1] * 2, category=ANIMALS)


@pytest.mark.parametrize("bits", [(0, 1), ("0", "1"), ("0.0", "1.0"), (0.0, 1.0), (False, True)])
@pytest.mark.parametrize("several", [False, True])
def test_columns_of_0_and_1_are_classes(bits: tuple[Any, Any], several: bool) -> None:
    lists = [["cat"], ["dog"], ["owl", "cat"] if several else ["owl"], ["dog"]]
    hot = MultiLabelBinarizer(classes=["cat", "dog", "owl"]).fit_transform(lists)
    found = read(**{name: [bits[k] for k in hot[:, j]] for j, name in enumerate(["cat", "dog", "owl"])})
    assert (found.names, found.several) == (("cat", "dog", "owl"), several)
    assert [sorted(cell or []) for cell in found.cells] == [sorted(labels) for labels in lists]


def test_columns_of_0_and_1_beside_another_that_may_be_the_labels_are_a_question() -> None:
    columns = {"sex": ["m", "f"] * 3, "a": [0, 1, 1] * 2, "b": [1, 1, 0] * 2}
    assert "several label columns, sex, a,b" in refusal(**columns)
    assert read("a,b", **columns).names == ("a", "b")


def test_a_single_1_in_each_row_is_beyond_doubt() -> None:
    hot = np.eye(3, dtype=int)[[0, 1, 2, 0, 1, 2]]
    found = read(sex=["m", "f"] * 3, **{name: hot[:, j].tolist() for j, name in enumerate("abc")})
    assert (found.columns, found.several) == (("a", "b", "c"), False)


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["a|b", "a", "c"], "|"),
        (["a;b", "a", "c"], ";"),
        (["a, b", "a", "b"], ","),
        (["a b", "b", "a"], "space"),
        (["['a', 'b']", "['a']", "[]"], None),
        (['["a", "b"]', '["a"]', "[]"], None),
    ],
)
def test_cells_of_several_labels_are_taken_apart(cells: list[str], mark: str | None) -> None:
    found = read(label=cells * 2)
    assert found.several
    assert sorted(found.cells[0] or []) == ["a", "b"]
    assert mark is None or repr(mark) in found.words


@pytest.mark.parametrize(
    "cells",
    [["golden retriever", "pug", "sea lion"], ["leopard, Panthera pardus", "lynx", "a, b"], ["New York", "Bonn"]],
)
def test_names_with_blanks_and_commas_stay_whole(cells: list[str]) -> None:
    assert read(label=cells * 2).names == tuple(sorted(cells))


@pytest.mark.parametrize("mark", [" ", ", "])
def test_what_may_be_names_or_several_labels_is_a_question(mark: str) -> None:
    cells = [f"{one}{mark}{other}" for one in ("red", "green") for other in ("apple", "pear")] * 2
    assert "--data.label-separator none" in refusal(label=cells)
    assert len(read(label=cells, separator="none").names) == 4
    word = {" ": "space", ", ": ","}[mark]
    assert read(label=cells, separator=word).names == ("apple", "green", "pear", "red")


@pytest.mark.parametrize("lists", [[["a"], ["b"]] * 3, [["a"], ["b"], None] * 2])
def test_lists_of_one_are_one_label(lists: list[Any]) -> None:
    found = read(label=lists)
    assert (found.names, found.several) == (("a", "b"), False)
    assert "always of one" in found.words


def test_lists_are_several_labels_and_may_be_0_and_1_for_each_class() -> None:
    assert read(label=[["a"], [], ["a", "b"]]).cells == [["a"], [], ["a", "b"]]
    assert read(label=[[0, 1], [1, 1], [0, 0]]).cells == [["class 1"], ["class 0", "class 1"], []]


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["01", "02"] * 3, ("01", "02")),
        ([10, 9, 2] * 2, ("2", "9", "10")),
        (["1.0", "2.0", None] * 2, ("1", "2")),
        ([True, False] * 3, ("0", "1")),
        ([0.0, 1.0, float(2)] * 2, ("0", "1", "2")),
        ([*range(500)] * 2, tuple(map(str, range(500)))),
        (["1", "2", "unknown"] * 2, ("1", "2", "unknown")),
    ],
)
def test_few_whole_numbers_are_classes(cells: list[Any], names: tuple[str, ...]) -> None:
    assert read(label=cells).names == names


@pytest.mark.parametrize(
    "cells", [[0.5, 1.5, 1.0] * 2, ["0.5", "1.5", "1"] * 2, [*range(0, 1010, 10)] * 2, ["1e-3", "2e-3"] * 3]
)
def test_measurements_are_refused(cells: list[Any]) -> None:
    assert "they are taken for measurements" in refusal(label=cells)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [*"abcdef"]}, "different in each of its 6 rows"),
        ({"label": [None] * 3}, "no label column"),
        ({"weight": [0.5, 1.5, 2.5]}, "no label column among weight"),
        ({"label": [{"a": 1}] * 3}, "labels must be"),
        ({"label": [[["a"]], [["b"]]]}, "labels must be"),
        ({"label": ["a" * 2_000, "b"] * 2}, "a label of 2,000 letters"),
    ],
)
def test_what_are_no_classes_is_refused(columns: dict[str, Any], message: str) -> None:
    assert message in refusal(**columns)


def test_a_column_of_splits_is_found_by_what_it_says() -> None:
    found = split_column("t.csv", {"label": ANIMALS, "part": ["Train", "VAL", "test"] * 2}, None)
    assert found == ("part", ["train", "validation", "test"] * 2)
    assert split_column("t.csv", {"label": ANIMALS}, None) is None
    with pytest.raises(DataError, match="'later', which is no split"):
        split_column("t.csv", {"split": ["train", "later"]}, None)


@pytest.mark.parametrize("cell", ["1.02", "1.002", "10.0500"])
def test_a_fraction_is_no_whole_number(cell: str) -> None:
    assert "fractions" in refusal("label", label=[cell, "12"] * 3)


@pytest.mark.parametrize("column", ["Usage", "set", "sub_set", "Partition", "phase", "dataset"])
def test_an_unknown_word_beside_splits_is_asked_about(column: str) -> None:
    with pytest.raises(DataError, match=r"has 'extra', which is no split.*--data\.label-column"):
        split_column("t.csv", {column: ["train", "test", "extra"]}, None)


def test_words_that_hold_the_name_of_a_split_are_understood() -> None:
    words = ["Training", "PublicTest", "PrivateTest"]
    assert split_column("t.csv", {"Usage": words}, None) == ("Usage", ["train", "test", "test"])
    assert split_column("t.csv", {"what": ["training shoes", "test tube"]}, None) is None


def test_columns_of_0_and_1_with_other_marks_or_gaps_are_never_left_out_in_silence() -> None:
    bits = ["0", "1", "0", "1", "0", "1"]
    for cells in (["-1.0", *bits[1:]], ["-1", *bits[1:]]):
        assert "has -1 in columns of 0 and 1, 'Edema' (1): " in (
            asked := refusal(Mass=bits, Edema=cells, Nodule=bits[::-1])
        )
        assert asked.endswith("A,B; the others are Mass,Nodule.")
    assert "has empty cells in columns of 0 and 1, 'Edema' (1)" in refusal(Mass=bits, Edema=[None, *bits[1:]])
    assert read("Mass,Edema", Mass=bits, Edema=[None, *bits[1:]]).cells[0] is None
    assert read(Mass=[None, *bits[1:]], Edema=[None, *bits[1:]]).cells[0] is None


def test_what_may_stand_for_an_empty_cell_is_said() -> None:
    assert "; 'NA' in 2 rows is a class as any other: leave" in read(label=["cat", "dog", "NA"] * 2).words


@pytest.mark.parametrize("word", ["n/a", "None", "NULL", "<NA>", "?", "-", "-1"])
@pytest.mark.parametrize("cells", [lambda word: ["1", "2", word] * 2, lambda word: [["1", "2"], [word], ["1"]] * 2])
def test_what_may_mean_that_nothing_is_known_is_no_class_in_silence(word: str, cells: Any) -> None:
    assert f"; {word!r} in 2 rows is a class as any other: leave" in read(label=cells(word)).words


@pytest.mark.parametrize("cells", [["1", "-1"] * 3, ["-1", "a", "b"] * 2, ["nano", "nonesuch"] * 3])
def test_what_is_a_class_needs_no_word(cells: list[str]) -> None:
    assert "as any other" not in read(label=cells).words
