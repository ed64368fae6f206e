"""The built-in digits."""

from sklearn.datasets import load_digits

from data.pictures import open_images


def test_digits_are_those_of_scikit_learn_and_are_not_mirrored() -> None:
    data = open_images("digits")
    assert len(data.splits["train"]) + len(data.splits["validation"]) == len(load_digits().target) == 1797
    assert data.class_names == tuple("0123456789")
    assert not data.mirrored
