"""Boxes found and boxes that are there: figures, words, the loss, and what suits a data set."""

import sys
from dataclasses import replace
from typing import Any
from warnings import catch_warnings

import numpy as np
import pytest
import torch

from botzoo.data.dense.boxes import FILL, PlacedBoxes, boxes_of, rows_of
from botzoo.data.dense.placement import fitted
from botzoo.errors import ConfigError, DataError
from botzoo.models.preprocessing import Size
from botzoo.options.config import DetectConfig, TrainConfig
from botzoo.sources.base import ImageData
from botzoo.sources.targets.boxes import Boxes, BoxSplit, Placed
from botzoo.tasks.dense import batch_for
from botzoo.tasks.detection import DETECTION, MOST_FOUND, DetectionEvaluation, DetectionObjective, trained_on
from botzoo.tasks.detector_for import check_anchors, check_numbers, sides_at
from botzoo.tasks.metrics.dense import resampling
from botzoo.tasks.metrics.dense.coco import coco_figures
from botzoo.tasks.metrics.dense.precision import AveragePrecision, eleven_points
from botzoo.training.steps.selection import check_evaluated, check_selection, undefined
from tasks.dense.test_boxes import pictures

NAMES = ("cell", "plate", "never")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as tests need."""
    monkeypatch.setattr(resampling, "RESAMPLES", 40)


def answers(seed: int = 0) -> dict[str, Any]:
    """What is kept of random pictures, as the task makes it of what a network says."""
    found, true = pictures(seed, classes=2)
    sizes = torch.tensor([[400.0, 500.0, 200.0, 250.0]]).expand(len(true), 4)
    said = [
        {
            "boxes": torch.from_numpy(each.corners) / 2,
            "labels": torch.from_numpy(each.labels),
            "scores": torch.from_numpy(each.scores),
        }
        for each in found
    ]
    placed = PlacedBoxes().stack([Placed(boxes, 400, 500) for boxes in true])
    return DETECTION.answers(said, torch.from_numpy(placed), sizes)


def one_image(found: Boxes, scores: list[float], true: Boxes) -> DetectionEvaluation:
    rows = np.concatenate([rows_of(found)[:, :5], np.array(scores, np.float32).reshape(-1, 1)], 1)
    return DetectionEvaluation(rows[None], rows_of(true)[None], np.array([[100, 100]], np.int32))


def test_figures_are_those_of_the_boxes_in_pixels_of_the_stored_pictures() -> None:
    seen = DETECTION.evaluation(answers())
    found, true = pictures(0, classes=2)
    clipped = [replace(each, corners=np.clip(each.corners, 0, [500, 400, 500, 400])) for each in found]
    library = coco_figures(clipped, true, 2)
    assert seen.score == pytest.approx(library.map)
    assert seen.figures == pytest.approx({"map_50_95": library.map, "map_50": library.map50, "map_75": library.map75})
    np.testing.assert_allclose(seen.by_class(3), [*library.by_class, np.nan])
    assert seen.voc[0] == pytest.approx(100 * AveragePrecision.voc(clipped, true, 2, eleven_points).score)


def test_evaluations_come_again_from_their_answers() -> None:
    seen = DETECTION.evaluation(answers())
    again = DETECTION.evaluation(seen.answers)
    assert (again.score, again.interval(), again.loss) == (seen.score, seen.interval(), None)


def test_an_interval_is_around_and_the_gain_over_oneself_is_none() -> None:
    seen, other = (DETECTION.evaluation(answers(seed)) for seed in (0, 1))
    low, high = seen.interval()
    assert low < seen.score < high
    assert seen.gain(seen) == (0, 0, 0)
    gain, least, most = other.gain(replace(seen))
    assert gain == pytest.approx(other.score - seen.score)
    assert least < gain < most


def test_images_of_a_group_are_drawn_together() -> None:
    kept = answers()
    apart = DETECTION.evaluation({**kept, "group": np.arange(len(kept["size"]))})
    together = DETECTION.evaluation({**kept, "group": np.arange(len(kept["size"])) // 6})
    assert apart.interval() == DETECTION.evaluation(kept).interval()
    assert len(np.unique(np.round(together._resampled, 9))) <= 3  # of two groups: each twice, or both


def test_the_f1_of_an_image_counts_surely_found_boxes() -> None:
    there = Boxes.of([[0, 0, 10, 10], [50, 50, 70, 70], [20, 20, 30, 30]], [0, 1, 0])
    found = Boxes.of([[0, 0, 10, 9], [50, 50, 70, 70], [20, 20, 30, 30]], [0, 0, 0])
    assert one_image(found, [0.9, 0.8, 0.3], there).f1.tolist() == [pytest.approx(2 * 1 / (2 + 3))]
    assert one_image(Boxes.of(), [], Boxes.of()).f1.tolist() == [1]


def test_an_image_in_words() -> None:
    there, found = Boxes.of([[0, 0, 9, 9]] * 3, [1, 0, 1]), Boxes.of([[0, 0, 9, 9]] * 2, [1, 0])
    assert one_image(found, [0.7, 0.2], there).said(0, NAMES) == ("2 plate, 1 cell", "1 plate", pytest.approx(0.7))
    assert one_image(Boxes.of(), [], Boxes.of()).said(0, NAMES)[:2] == ("nothing", "nothing")
    words = DETECTION.per_image(one_image(found, [0.7, 0.2], there).answers, NAMES)
    assert words.label == ["2 plate, 1 cell"]
    assert words.correct is not None
    assert words.correct.tolist() == [False]
    assert DETECTION.per_image({k: v for k, v in answers().items() if k != "true"}, NAMES).label is None


def test_rows_of_boxes_come_back_as_boxes() -> None:
    boxes = Boxes.of([[1, 2, 3, 4], [5, 6, 9, 9]], [1, 0], [True, False], [False, True], [3, 7])
    padded = PlacedBoxes().stack([Placed(Boxes.of(), 9, 9), Placed(boxes, 9, 9)])
    assert padded.shape == (2, 2, 8)
    assert (padded[0, :, 4] == FILL).all()
    back = boxes_of(padded[1])
    assert all((getattr(back, name) == getattr(boxes, name)).all() for name in vars(boxes))


def test_boxes_move_from_the_stored_picture_to_the_input() -> None:
    place = fitted(Size(50, 100), Size(64, 64))  # of a picture that was decoded at half its size
    moved = PlacedBoxes().moved(Placed(Boxes.of([[20, 40, 200, 100]], [0]), 100, 200), place)
    np.testing.assert_allclose(moved.boxes.corners, [[6.4, 12.8, 64, 32]], rtol=1e-6)


def test_neither_crowds_nor_what_fills_up_is_trained_on_but_what_is_difficult() -> None:
    boxes = Boxes.of([[0, 0, 4, 4], [1, 1, 9, 9]], [1, 2], crowd=[True, False], difficult=[False, True])
    placed = PlacedBoxes().stack([Placed(boxes, 9, 9), Placed(Boxes.of(), 9, 9)])
    one, none = trained_on(torch.from_numpy(placed))
    assert (one["boxes"].tolist(), one["labels"].tolist()) == ([[1, 1, 9, 9]], [2])
    assert none["boxes"].shape == (0, 4)


def test_the_loss_is_the_sum_of_the_networks() -> None:
    objective, images = DetectionObjective(3), torch.zeros(2, 3, 8, 8)
    losses = {"one": torch.tensor(1.5), "two": torch.tensor(2.0, dtype=torch.bfloat16)}
    targets = objective.labels_of(2, Size(8, 8))
    total = objective.step_loss(lambda images, targets: losses if len(targets) == 2 else {}, images, targets)
    assert (float(total), total.dtype) == (3.5, torch.float32)


def split(corners: list[list[float]], size: tuple[int, int] = (480, 640)) -> BoxSplit:
    boxes, sizes = [Boxes.of([own], [0]) for own in corners], np.array([size] * len(corners), np.int32)
    return BoxSplit.of("train", boxes, sizes, lambda i: np.zeros((*size, 3), np.uint8), str)


def chosen(data: BoxSplit, given: tuple[str, ...] = (), **options: Any) -> dict[str, Any]:
    config = TrainConfig(task="detect", **options)
    return {c.option: c.value for c in DETECTION.choices(config, ImageData("cells", ("cell",), data), given)}


SMALL, MIDDLE = [[5.0, 5, 15, 15]] * 9, [[100.0, 100, 180, 180]] * 9


def test_small_boxes_get_finer_maps_and_smaller_anchors() -> None:
    small, middle = chosen(split(SMALL)), chosen(split(MIDDLE))
    assert (small["detect.stride"], middle["detect.stride"]) == (4, 8)
    assert small["detect.stride"] * small["detect.anchors"] < middle["detect.stride"] * middle["detect.anchors"]
    assert middle["img_size"] == (352, 480)
    assert middle["batch_size"] == 4


def test_what_is_given_is_not_chosen() -> None:
    given = chosen(split(MIDDLE), ("detect.stride", "steps", "lr"), detect=DetectConfig(stride=4), steps=7)
    assert not {"detect.stride", "epochs", "lr"} & given.keys()
    assert given["detect.anchors"] * 4 in (32, 64)  # of the map at hand, whose next one has twice that


def test_boxes_are_measured_in_pixels_of_the_input() -> None:
    assert sides_at(split(MIDDLE), Size(240, 320)).tolist() == [[40, 40]] * 9


def test_anchors_that_fit_no_box_are_refused_with_what_would() -> None:
    config = TrainConfig(task="detect", detect=DetectConfig(anchors=32, stride=16))
    said = r"512 to 2048 px, which fit none of the 9 boxes: .* 59 to 59 px.*: [\d.]+ would fit 100%"
    with pytest.raises(ConfigError, match=said):
        check_anchors(config, ImageData("cells", ("cell",), split(MIDDLE)))


def test_anchors_that_fit_few_boxes_are_said(caplog: pytest.LogCaptureFixture) -> None:
    config = TrainConfig(task="detect", detect=DetectConfig(anchors=8, stride=8))
    with caplog.at_level("WARNING", "botzoo"):
        check_anchors(config, ImageData("cells", ("cell",), split([*MIDDLE, *SMALL])))
    assert "fit 50% of the 18 boxes" in caplog.text


def test_more_boxes_than_are_found_are_said(caplog: pytest.LogCaptureFixture) -> None:
    crowded = split(MIDDLE)
    many = SMALL[:1] * 1000, [0] * 1000
    crowded = replace(crowded, boxes=[*crowded.boxes[2:], Boxes.of(*many), Boxes.of(*many, [True] * 1000)])
    with caplog.at_level("WARNING", "botzoo"):
        check_numbers(ImageData("cells", ("cell",), crowded))
    assert "1 image of the train split with up to 1,000 boxes, and at most 100 are found" in caplog.text


@pytest.mark.parametrize(
    ("images", "processes", "batch"), [(205, 1, 4), (205, 3, 6), (205, 8, 8), (5, 1, 2), (1, 1, 2)]
)
def test_a_batch_is_shared_evenly(images: int, processes: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    assert batch_for(4, images) == batch


@pytest.mark.parametrize(
    ("role", "cure"), [("validation", "so that some training images"), ("test", "--no-data.test-split")]
)
def test_a_split_without_boxes_is_refused(role: str, cure: str) -> None:
    empty = BoxSplit.of(role, [Boxes.of()], np.array([[9, 9]], np.int32), lambda i: b"", str).of_classes(1)
    data = replace(ImageData("cells", ("cell",), split(MIDDLE)), **{role: empty})
    with pytest.raises(DataError, match=f"mAP is not defined on the {role} split, .* nothing to be found: .*{cure}"):
        check_evaluated(data, DETECTION)


def test_without_what_computes_the_figures_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(ConfigError, match=r"pip install 'botzoo\[detection\]'"):
        DETECTION.check(TrainConfig(task="detect"), ImageData("cells", ("cell",), split(MIDDLE)))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_optimizer_that_is_given_keeps_its_own_learning_rate(optimizer: str) -> None:
    found = chosen(split(MIDDLE), ("optimizer",), optimizer=optimizer)
    assert ({"lr", "optim.weight_decay"} <= found.keys()) == (optimizer == "adamw")


def test_what_is_said_of_boxes_is_in_the_fingerprint() -> None:
    one = split(MIDDLE)
    areas = replace(one, boxes=[replace(each, areas=each.areas / 2) for each in one.boxes])
    assert len({each.target_bytes() for each in (one, areas, replace(one, sizes=one.sizes * 2))}) == 3


def test_only_the_headline_figure_chooses_the_epoch() -> None:
    with pytest.raises(
        ConfigError, match=r"--select-by macro-f1 is no metric for any number of boxes: leave it out for mAP\."
    ):
        check_selection("macro-f1", DETECTION, 9, None, 1)
    assert "mAP is not defined on the validation split" in str(undefined(None, DETECTION))


def test_pictures_on_which_nothing_is_there_nor_found_have_no_figure() -> None:
    seen = one_image(Boxes.of(), [], Boxes.of())
    with catch_warnings(action="error"):
        assert np.isnan([seen.score, *seen.interval(), *seen.figures.values(), *seen.voc]).all()


def test_of_more_boxes_than_are_kept_the_likeliest_stay() -> None:
    n = MOST_FOUND + 20
    said = {"boxes": torch.ones(n, 4), "labels": torch.arange(n), "scores": torch.linspace(1, 0, n)}
    found = DETECTION.answers([said], torch.empty(1, 0, 8), torch.tensor([[9, 9, 9, 9]]))["found"]
    assert found[0][:, 4].tolist() == list(range(MOST_FOUND))


def test_a_picture_of_many_boxes_takes_no_room_for_others() -> None:
    many = Boxes.of([[0, 0, 9, 9]] * 1000, [0] * 1000)
    placed = PlacedBoxes().stack([Placed(many, 9, 9), *[Placed(Boxes.of(), 9, 9)] * 3])
    nothing = {"boxes": torch.empty(0, 4), "labels": torch.empty(0, dtype=torch.long), "scores": torch.empty(0)}
    kept = DETECTION.answers([nothing] * 4, torch.from_numpy(placed), torch.full((4, 4), 9))
    assert [len(rows) for rows in kept["true"]] == [1000, 0, 0, 0]
    assert [len(rows) for rows in kept["found"]] == [0, 0, 0, 0]
