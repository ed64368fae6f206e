"""Words for people."""

from pathlib import Path

import pytest

from botzoo.errors import CheckpointError, printable
from botzoo.models.foreign import no_model
from botzoo.results.record import RunRecord
from botzoo.util.nested import flat, nested
from botzoo.util.text import (
    and_list,
    counted,
    duration,
    epochs_words,
    few,
    interval_words,
    listing,
    one_fold,
    rounded_bounds,
    table,
    under,
)


def test_the_columns_of_a_table_are_as_wide_as_their_widest_cell() -> None:
    assert list(table([("name", "images"), ("a cat", "7")])) == ["name   images", "a cat       7"]


def test_a_heading_stands_before_the_first_line_only() -> None:
    assert list(under("data", ["one", "two"])) == ["data       one", "           two"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(42, "42 s"), (425, "7 min 05 s"), (7380, "2 h 03 min"), (59.6, "1 min 00 s")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("epochs", "words"), [(1, "1 epoch"), (2.4142, "2.41 epochs"), (0.0321, "0.032 epochs")])
def test_epochs(epochs: float, words: str) -> None:
    assert epochs_words(epochs) == words


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 classes"), (1, "1 class"), (2, "2 classes"), (1200, "1,200 classes")]
)
def test_one_is_no_plural(number: int, words: str) -> None:
    assert counted(number, "class", "classes") == words


def test_what_is_too_long_ends_in_an_ellipsis() -> None:
    assert printable("a  b\ncdef", 5) == "a b …"


def test_lists_for_people() -> None:
    assert (and_list([7, 9, 8]), and_list([7])) == ("7, 9 and 8", "7")
    assert listing(["a", "b", "c"], limit=2) == "'a', 'b' and 1 more"


def test_flat_options_nest_again() -> None:
    options = {"lr": 0.1, "data": {"hflip": 0.5, "fold": None}}
    assert flat(options) == {"lr": 0.1, "data.hflip": 0.5, "data.fold": None}
    assert nested(flat(options)) == options


def test_the_first_names_are_shown_and_made_harmless() -> None:
    assert few(["daisy", "roses", "tulips"]) == "daisy, roses, tulips"
    assert few(["a\x1b[2J\n", *"bcdefg"]) == "a [2J, b, c, d, e and 2 more"
    assert len(few(["a" * 1_000])) == 40


def test_a_folder_of_folds_names_a_run_in_it(tmp_path: Path) -> None:
    assert one_fold(tmp_path) == ""
    (tmp_path / "fold-1").mkdir()
    assert one_fold(tmp_path).endswith(f"give one, such as {tmp_path / 'fold-1'}.")
    assert f"such as {tmp_path / 'fold-1'}." in str(no_model(str(tmp_path), []))
    with pytest.raises(CheckpointError, match=r"such as .*fold-1"):
        RunRecord.load(tmp_path)


@pytest.mark.parametrize(
    ("names", "said"),
    [(["a\\b"], r"'a\b'"), (["it's", 'a "b"'], '"it\'s", \'a "b"\''), (["x"] * 7, "'x', 'x' and 5 more")],
)
def test_names_are_listed_as_they_stand(names: list[str], said: str) -> None:
    assert listing(names, 2) == said


@pytest.mark.parametrize("bound", [60.06244, 60.0649, 60.06501, 12.3455, 0.0, 100.0])
def test_a_published_interval_is_shown_as_the_card_shows_it(bound: float) -> None:
    published = rounded_bounds((bound, bound))
    assert interval_words((bound, bound)) == interval_words((published[0], published[1]))
