"""The figures of classes of boxes and masks, against COCO's and scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import jaccard_score, precision_score, recall_score

from botzoo.results.dense.faults import error_analysis
from botzoo.results.dense.figures import box_figures, box_summary, region_figures
from recorded import found_boxes, told_pixels

NAMES = ("ant", "bee", "cat", "dog")


def test_the_average_precision_of_classes_is_coco_s() -> None:
    pytest.importorskip("faster_coco_eval")
    seen = found_boxes()
    figures = box_figures(seen, NAMES[:3])
    assert [f.average_precision for f in figures] == pytest.approx(seen.coco.by_class)
    assert np.mean([f.at_half for f in figures]) == pytest.approx(seen.coco.map50)
    assert all(f.interval[0] <= f.average_precision <= f.interval[1] for f in figures)


def test_the_figures_over_all_classes_are_coco_s_too() -> None:
    pytest.importorskip("faster_coco_eval")
    seen = found_boxes()
    found = {f.name: f.value for f in box_summary(seen, 3)}
    coco = seen.coco
    expected = {"mAP": coco.map, "mAP50": coco.map50, "mAP75": coco.map75, "mAP small": coco.small}
    assert found == pytest.approx(expected)


def test_a_class_without_objects_has_no_figures() -> None:
    assert [f.name for f in box_figures(found_boxes(), NAMES)] == ["ant", "bee", "cat"]
    assert [f.name for f in region_figures(told_pixels(), NAMES)] == ["ant", "bee", "cat"]


def test_objects_and_boxes_are_counted_as_they_are_analysed() -> None:
    seen = found_boxes()
    figures, (there, found, _) = box_figures(seen, NAMES[:3]), error_analysis(seen).by_class(3)
    assert [(f.objects, f.answers) for f in figures] == list(zip(there.tolist(), found.tolist(), strict=True))


def test_the_figures_of_pixels_are_scikit_learn_s() -> None:
    seen = told_pixels()
    assert seen.confusion is not None
    pairs = np.argwhere(np.ones_like(seen.confusion))
    true, said = pairs.T
    how = {"labels": range(3), "average": None, "sample_weight": seen.confusion.ravel()}
    figures = region_figures(seen, NAMES)
    for name, score in (("iou", jaccard_score), ("precision", precision_score), ("recall", recall_score)):
        assert [getattr(f, name) for f in figures] == pytest.approx(100 * score(true, said, **how))
    assert sum(f.pixels for f in figures) == pytest.approx(100)


def test_intervals_are_wider_where_images_come_in_groups() -> None:
    seen = told_pixels(40)
    groups = np.repeat(np.arange(4), 10)
    widths = []
    for of in (None, groups):
        (first, *_) = region_figures(type(seen)(seen.counts * (1 + groups)[:, None, None], seen.nll, groups=of), NAMES)
        widths.append(first.interval[1] - first.interval[0])
    assert widths[0] > 0
    assert widths[1] != widths[0]
