"""What becomes of found boxes and of objects, against hand-made cases and COCO's own matching."""

from types import SimpleNamespace

import numpy as np
import pytest

from botzoo.results.dense.faults import DOUBLE, IGNORED, MISPLACED, NOTHING, RIGHT, WRONG_CLASS, analyse, error_analysis
from botzoo.sources.targets.boxes import Boxes
from botzoo.tasks.metrics.dense.matching import Detections, match_coco

OBJECT = [10, 10, 50, 50]


@pytest.mark.parametrize(
    ("corners", "label", "verdict"),
    [
        (OBJECT, 0, RIGHT),
        (OBJECT, 1, WRONG_CLASS),
        ([30, 10, 70, 50], 0, MISPLACED),
        ([30, 10, 70, 50], 1, NOTHING),
        ([60, 60, 90, 90], 0, NOTHING),
        ([10, 10, 10, 10], 0, NOTHING),
    ],
)
def test_a_box_beside_one_object(corners: list[int], label: int, verdict: int) -> None:
    analysed = analyse(Detections.of([corners], [label], [0.9]), Boxes.of([OBJECT], [0]))
    assert (analysed.verdict.tolist(), analysed.missed.tolist()) == ([verdict], [verdict != RIGHT])


def test_the_likelier_of_two_boxes_on_an_object_is_right_and_the_other_a_double() -> None:
    analysed = analyse(Detections.of([OBJECT, [12, 10, 50, 50]], [0, 0], [0.6, 0.8]), Boxes.of([OBJECT], [0]))
    assert analysed.verdict.tolist() == [RIGHT, DOUBLE]
    assert analysed.loss == pytest.approx(1 - 2 / 3)


def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong() -> None:
    analysed = analyse(Detections.of([[12, 12, 30, 30]], [0], [0.9]), Boxes.of([OBJECT], [0], crowd=[True]))
    assert (analysed.verdict.tolist(), analysed.loss, analysed.faults) == ([IGNORED], 0.0, 0)


def test_boxes_below_the_threshold_do_not_count() -> None:
    analysed = analyse(Detections.of([OBJECT], [0], [0.49]), Boxes.of([OBJECT], [0]))
    assert (len(analysed.found), analysed.missed.tolist(), analysed.loss) == (0, [True], 1.0)


def test_an_image_without_anything_has_no_loss() -> None:
    assert analyse(Detections.of(), Boxes.of()).loss == 0


def random_image(seed: int) -> tuple[Detections, Boxes]:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (12, 2))
    boxes = np.hstack([corners, corners + rng.uniform(10, 40, (12, 2))])
    found = Detections.of(boxes[:9] + rng.normal(0, 4, (9, 4)), rng.integers(0, 2, 9), rng.uniform(0, 1, 9))
    return found, Boxes.of(boxes[4:], rng.integers(0, 2, 8), crowd=rng.random(8) < 0.2)


@pytest.mark.parametrize("seed", range(20))
def test_right_boxes_are_those_of_coco(seed: int) -> None:
    found, true = random_image(seed)
    analysed = analyse(found, true)
    for label in (0, 1):
        own = (found.labels == label) & (found.scores >= 0.5)
        of_class = true.take(true.labels == label)
        matches = match_coco(found.corners[own], found.scores[own], of_class, np.array([0.5]))
        assert np.array_equal(analysed.verdict[analysed.found.labels == label] == RIGHT, matches.right[0])
        assert np.array_equal(analysed.verdict[analysed.found.labels == label] == IGNORED, matches.ignored[0])


@pytest.mark.parametrize("seed", range(5))
def test_the_matrix_counts_each_object_and_each_wrong_box_once(seed: int) -> None:
    images = [random_image(10 * seed + k) for k in range(6)]
    found, true = zip(*images, strict=True)
    analysed = error_analysis(Evaluation(found, true))
    there, sure, right = analysed.by_class(2)
    matrix = analysed.matrix(2)
    assert np.array_equal(matrix[:2].sum(1), there)
    assert np.array_equal(matrix.diagonal()[:2], right)
    assert (matrix[:, :2].sum(0) <= sure).all()


class Evaluation(SimpleNamespace):
    """Boxes of some images, found and true."""

    def __init__(self, found: object, true: object) -> None:
        super().__init__(detections=found, boxes=true)

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__


def test_the_worst_images_come_first_and_those_without_faults_not_at_all() -> None:
    there = Boxes.of([OBJECT], [0])
    right, wrong = Detections.of([OBJECT], [0], [0.9]), Detections.of([OBJECT], [1], [0.9])
    analysed = error_analysis(Evaluation([right, Detections.of(), wrong], [there] * 3))
    assert analysed.worst().tolist() == [2, 1]
