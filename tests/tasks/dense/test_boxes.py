"""Average precision against the library of COCO's, cases done by hand, and resamples that are made for real."""

import numpy as np
import pytest

from botzoo.sources.targets.boxes import Boxes
from botzoo.tasks.metrics.dense.coco import SIZES, coco_figures
from botzoo.tasks.metrics.dense.matching import Detections, of_size
from botzoo.tasks.metrics.dense.precision import AveragePrecision, area, at_points, eleven_points
from botzoo.tasks.metrics.dense.resampling import each_resample, interval

Pictures = tuple[list[Detections], list[Boxes]]


def pictures(seed: int, images: int = 12, classes: int = 3) -> Pictures:
    """Random objects of all sizes, some of them crowds, and boxes near them, twice, elsewhere and of other classes."""
    rng = np.random.default_rng(seed)
    found, true = [], []
    for _ in range(images):
        n = int(rng.integers(0, 7))
        corner, sides = rng.uniform(0, 200, (n, 2)), np.exp(rng.uniform(1, 5.5, (n, 2)))
        corners, labels = np.concatenate([corner, corner + sides], 1), rng.integers(0, classes, n)
        true.append(Boxes.of(corners, labels, rng.random(n) < 0.15, areas=sides.prod(1) * rng.uniform(0.4, 1, n)))
        near = np.repeat(corners, 2, 0) + rng.normal(0, 4, (2 * n, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        other = np.tile(rng.uniform(0, 200, (3, 2)), 2) + np.array([0, 0, 30, 40])
        said = np.concatenate([np.repeat(labels, 2), rng.integers(0, classes, 3)])
        said[rng.random(len(said)) < 0.1] = 0
        found.append(Detections.of(np.concatenate([near, other]), said, rng.random(len(said))))
    return found, true


@pytest.mark.parametrize("seed", range(3))
def test_own_figures_are_those_of_the_library(seed: int) -> None:
    found, true = pictures(seed)
    library, own = coco_figures(found, true, 3), AveragePrecision.coco(found, true, 3)
    assert 100 * own.score == pytest.approx(library.map, abs=1e-9)
    np.testing.assert_allclose(100 * own.by_class.mean(1), library.by_class, atol=1e-9)
    np.testing.assert_allclose(100 * np.nanmean(own.by_class[:, [0, 5]], 0), [library.map50, library.map75], atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_own_figures_by_size_are_those_of_the_library(size: str) -> None:
    found, true = pictures(7)
    own = AveragePrecision.coco(found, true, 3, of_size(SIZES[size]))
    assert 100 * own.score == pytest.approx(getattr(coco_figures(found, true, 3), size), abs=1e-9)


def test_more_than_a_hundred_boxes_of_an_image_count_as_in_the_library() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (150, 4)) + np.array([0, 0, 60, 60])
    found, true = [Detections.of(corners, [0] * 150, rng.random(150))], [Boxes.of(corners, [0] * 150)]
    score = 100 * AveragePrecision.coco(found, true, 1).score
    assert score == pytest.approx(coco_figures(found, true, 1).map, abs=1e-9)
    assert score < 70


OBJECT = [10, 10, 20, 20]


@pytest.mark.parametrize(
    ("boxes", "scores", "expected"),
    [
        ([OBJECT], [0.5], 1),
        ([OBJECT, OBJECT], [0.5, 0.9], 1),  # the second is wrong, behind the first
        ([[80, 80, 90, 90], OBJECT], [0.9, 0.5], 0.5),
        ([[10, 10, 20, 16]], [0.5], 0.3),  # 0.6 is enough at three of ten thresholds: at 0.5, 0.55 and 0.6
        ([], [], 0),
    ],
)
def test_coco_by_hand(boxes: list[list[float]], scores: list[float], expected: float) -> None:
    found, true = [Detections.of(boxes, [0] * len(boxes), scores)], [Boxes.of([OBJECT], [0])]
    assert AveragePrecision.coco(found, true, 1).score == pytest.approx(expected, abs=1e-6)
    assert coco_figures(found, true, 1).map == pytest.approx(100 * expected, abs=1e-4)


def test_classes_and_sizes_that_are_not_there_have_no_figure() -> None:
    figures = coco_figures([Detections.of()], [Boxes.of([OBJECT], [1])], 3)
    assert np.isnan(figures.by_class).tolist() == [True, False, True]
    assert np.isnan([figures.small, figures.medium, figures.large]).tolist() == [False, True, True]


FOUR = [[k * 40, 0, k * 40 + 20, 20] for k in range(4)]
"""Objects; of these boxes the second and the fifth are wrong."""
SAID = [FOUR[0], [0, 60, 9, 69], FOUR[1], FOUR[2], [0, 70, 9, 79]]


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        # recall .25 .25 .5 .75 .75 at precision 1 1/2 2/3 3/4 3/5: until .25 it is 1, from there to .75 it is 3/4
        (area, 0.25 * 1 + 0.5 * 0.75),
        (eleven_points, (3 * 1 + 5 * 0.75) / 11),  # at 0, .1, .2 and at .3 to .7
    ],
)
def test_voc_by_hand(mean: object, expected: float) -> None:
    found = [Detections.of(SAID, [0] * 5, [0.9, 0.8, 0.7, 0.6, 0.5])]
    assert AveragePrecision.voc(found, [Boxes.of(FOUR, [0] * 4)], 1, mean).score == pytest.approx(expected)  # type: ignore[arg-type]


def test_voc_passes_over_difficult_objects() -> None:
    true = Boxes.of(FOUR[:2], [0, 0], difficult=[True, False])
    found = Detections.of([FOUR[0], FOUR[0], FOUR[1]], [0] * 3, [0.9, 0.8, 0.7])
    assert AveragePrecision.voc([found], [true], 1).score == 1


def test_voc_counts_a_second_box_of_an_object_as_wrong() -> None:
    found = Detections.of([FOUR[0], FOUR[0], FOUR[1]], [0] * 3, [0.9, 0.8, 0.7])
    assert AveragePrecision.voc([found], [Boxes.of(FOUR[:2], [0, 0])], 1).score == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_voc_takes_the_nearest_object_though_another_has_a_box_too_little() -> None:
    """COCO's rule would give the second box the second object; to VOC both are of the first."""
    true = Boxes.of([[0, 0, 20, 20], [0, 8, 20, 28]], [0, 0])
    found = Detections.of([[0, 0, 20, 20], [0, 2, 20, 22]], [0, 0], [0.9, 0.8])
    assert AveragePrecision.voc([found], [true], 1).rankings[0].right.tolist() == [[True, False]]
    assert AveragePrecision.coco([found], [true], 1).rankings[0].right[0].tolist() == [True, True]


@pytest.mark.parametrize("kind", ["coco", "voc"])
def test_a_resample_is_what_these_images_have(kind: str) -> None:
    found, true = pictures(3)
    make = getattr(AveragePrecision, kind)
    whole = make(found, true, 3)
    times = next(each_resample(len(true)))
    again = np.repeat(np.arange(len(true)), times)
    real = make([found[i] for i in again], [true[i] for i in again], 3)
    np.testing.assert_allclose([each.precision(times) for each in whole.rankings], real.by_class, atol=1e-12)


def test_the_interval_is_around_the_score_and_narrower_with_more_images() -> None:
    widths = []
    for images in (10, 90):
        measured = AveragePrecision.voc(*pictures(1, images), 3)
        low, high = interval(measured.resampled())
        assert low < measured.score < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_a_figure_at_points_is_the_highest_precision_from_there_on() -> None:
    assert at_points(np.array([0.5, 1.0]), np.array([1.0, 0.5]), np.array([0, 0.5, 0.51, 1])) == 0.75
