"""What names and numbers alone tell of a data set."""

import numpy as np
import pytest

from botzoo_finetune.doctor.quick import check_counts, check_names, folded

NAMES = ["cat", "dog", "hot dog"]


def test_splits_that_agree_are_well() -> None:
    assert check_names({"train": NAMES, "validation": NAMES, "test": NAMES}) == []


@pytest.mark.parametrize("name", ["Cat", "cat ", " CAT"])
def test_another_spelling_is_one_finding_and_not_a_missing_class(name: str) -> None:
    (finding,) = check_names({"train": NAMES, "validation": [name, *NAMES[1:]]})
    assert finding.reason.startswith(f"'cat' (train) and {name!r} (validation) differ by case")


def test_two_spellings_in_one_split_are_found() -> None:
    (finding,) = check_names({"train": [*NAMES, "Hot_Dog"]})
    assert "'hot dog' (train) and 'Hot_Dog' (train)" in finding.reason


def test_classes_missing_on_either_side_are_named() -> None:
    extra, missing = (f.reason for f in check_names({"train": NAMES, "test": ["cat", "dog", "wolf"]}))
    assert extra.startswith("test has 'wolf'")
    assert missing.startswith("test has no images of 'hot dog'")


def test_one_class_is_found() -> None:
    assert "of one class, 'cat'" in check_names({"train": ["cat"]})[0].reason


def test_folding_keeps_different_names_apart() -> None:
    assert len({folded(name) for name in ["cat", "cats", "c at", "cat2"]}) == 4


@pytest.mark.parametrize(("counts", "found"), [([50, 50, 50], 0), ([50, 6, 50], 0), ([60, 6, 50], 1), ([50, 4, 50], 2)])
def test_few_images_and_imbalance_are_found(counts: list[int], found: int) -> None:
    assert len(check_counts(np.array(counts), NAMES)) == found


def test_imbalance_names_largest_and_smallest() -> None:
    (finding,) = check_counts(np.array([500, 0, 10]), NAMES)
    assert "50 to 1: 'cat' has 500 training images, 'hot dog' 10" in finding.reason
