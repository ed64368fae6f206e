"""Runs side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botzoo.errors import ConfigError, DataError
from botzoo.report.compare import Discordant, compare, names_of, page, write_where_comparable
from botzoo.report.material import Material, Originals
from recorded import a_record, answers, evaluation, write_run


def test_mcnemar_s_exact_test_is_twice_the_tail_of_the_binomial() -> None:
    assert Discordant(50, 2, 8, 40).p_value == pytest.approx(2 * (1 + 10 + 45) / 2**10)
    assert Discordant(50, 0, 0, 50).p_value == 1


def test_runs_are_compared_image_by_image_whatever_their_order() -> None:
    first = a_record(seen=answers(wrong=4))
    order = np.random.default_rng(0).permutation(120)
    better = answers(wrong=1)
    other = evaluation(better.labels[order], better.predicted[order])
    second = replace(a_record(seen=other), image_names=[first.image_names[i] for i in order])
    found = compare([first, second]).runs[1]
    assert found.discordant == Discordant(96, 18, 0, 6)
    assert (found.gain, found.low, found.high) == better.gain(answers(wrong=4))
    assert found.words == "better"


def test_only_images_that_all_runs_have_count() -> None:
    first = a_record(seen=answers())
    some = evaluation(first.evaluation.labels[:30], first.evaluation.predicted[:30])
    second = replace(a_record(seen=some), image_names=first.image_names[:30])
    found = compare([first, second])
    assert (found.images, found.runs[1].gain, found.runs[1].words) == (30, 0, "no clear difference")


def test_groups_without_an_image_that_counts_are_not_drawn() -> None:
    groups, half = np.repeat(np.arange(30), 4), slice(60, None)
    first, second = (replace(answers(wrong=wrong), groups=groups) for wrong in (4, 2))
    kept = first.labels[half], second.predicted[half], first.predicted[half], groups[half] - 15
    after, before = (replace(evaluation(kept[0], predicted), groups=kept[3]) for predicted in kept[1:3])
    names = [f"{i}.png" for i in range(120)][half]
    found = compare([a_record(seen=first), replace(a_record(seen=after), image_names=names)]).runs[1]
    assert (found.gain, found.low, found.high) == after.gain(before)


def test_runs_that_cannot_be_compared_are_refused() -> None:
    first = a_record()
    with pytest.raises(DataError, match="other classes"):
        compare([first, a_record(names=("a", "b"))])
    with pytest.raises(DataError, match="no image in common"):
        compare([first, replace(a_record(), image_names=[f"other/{i}" for i in range(120)])])
    with pytest.raises(DataError, match="other labels"):
        compare([first, a_record(seen=evaluation(first.evaluation.labels[::-1], first.evaluation.predicted))])
    with pytest.raises(ConfigError, match="1 run cannot be compared"):
        compare([first])


def test_the_page_names_the_difference_and_the_options() -> None:
    second = a_record(Path("runs/other"), seen=answers(wrong=2), options={"lr": 0.5}, name="other")
    text = page(compare([a_record(seen=answers(wrong=4)), second]), Material(Originals()))
    assert "other +10.00 points" in text
    assert '<th scope="row">lr</th>' in text


def test_images_that_cannot_be_shown_are_said() -> None:
    @contextmanager
    def gone(i: int) -> Iterator[Any]:
        raise OSError("gone")
        yield

    found = compare([a_record(seen=answers(wrong=2)), a_record(seen=answers(wrong=1))])
    assert "6 images that the page would show can no longer be read" in page(found, Material(Originals(gone)))
    assert "where they were" in page(found, Material(Originals(), absent=["Not where they were."]))


def test_runs_of_one_name_are_told_apart_by_their_folders() -> None:
    runs = [a_record(Path(f"runs/{rung}/seed-0"), name="seed-0") for rung in ("plain", "mixup")]
    assert names_of(runs) == ["plain/seed-0", "mixup/seed-0"]
    assert names_of([runs[0], a_record()]) == ["seed-0", "pets-run"]


def test_a_series_has_its_page_only_where_its_runs_share_images(tmp_path: Path) -> None:
    runs = [write_run(a_record(tmp_path / f"trial-{k}", name=f"trial-{k}")) for k in (1, 2)]
    other = replace(a_record(tmp_path / "fold-2"), image_names=[f"other/{i}" for i in range(120)])
    write_where_comparable([runs[0], write_run(other)], tmp_path / "folds.html")
    write_where_comparable(runs, tmp_path / "search.html")
    assert not (tmp_path / "folds.html").exists()
    assert "trial-2 +0.00 points" in (tmp_path / "search.html").read_text()
