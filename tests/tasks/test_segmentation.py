"""Masks: what is minimised and what is kept of them, against torch and scikit-learn; runs on drawn pictures."""

import json
from pathlib import Path
from signal import SIGTERM
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, jaccard_score
from torch.nn import functional as F

from botzoo.errors import BotzooError
from botzoo.models.dense.folder import read_dense_folder
from botzoo.sources.find import find_images
from botzoo.sources.targets.coding import IGNORED
from botzoo.tasks.answers import read_answers
from botzoo.tasks.segmentation import SEGMENTATION, SegmentationObjective
from botzoo.training.steps.trainer import Trainer
from drawn import HEIGHT, NAMES, WIDTH
from running import DENSE, TINY, bare, final_weights, finetune_and_signal, run_distributed

SIZES = torch.tensor([[20, 30, 16, 24], [24, 16, 16, 11]])  # of the pictures, and of what they fill of 16 x 24 pixels


@pytest.fixture
def said() -> torch.Tensor:
    """Logits of two pictures of 16 x 24 pixels, three classes."""
    return torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def true_masks() -> tuple[list[torch.Tensor], torch.Tensor]:
    """The masks of two pictures, and both in one tensor."""
    rng = torch.Generator().manual_seed(1)
    each = [torch.randint(0, 3, size, generator=rng, dtype=torch.uint8) for size in ((20, 30), (24, 16))]
    each[0][:4] = IGNORED
    stacked = torch.full((2, 24, 30), IGNORED, dtype=torch.uint8)
    for whole, mask in zip(stacked, each, strict=True):
        whole[: mask.shape[0], : mask.shape[1]] = mask
    return each, stacked


def logits_of(said: torch.Tensor, i: int) -> torch.Tensor:
    height, width, filled_height, filled_width = SIZES[i].tolist()
    part = said[i : i + 1, :, :filled_height, :filled_width]
    return F.interpolate(part, (height, width), mode="bilinear", align_corners=False)


@pytest.mark.parametrize("i", [0, 1])
def test_the_loss_of_an_image_is_that_of_its_own_known_pixels(said: torch.Tensor, i: int) -> None:
    each, stacked = true_masks()
    loss = F.cross_entropy(logits_of(said, i), each[i][None].long(), ignore_index=IGNORED)
    assert SEGMENTATION.answers(said, stacked, SIZES)["loss"][i] == pytest.approx(float(loss), rel=1e-6)


def test_figures_are_those_of_scikit_learn_over_all_known_pixels(said: torch.Tensor) -> None:
    each, stacked = true_masks()
    seen = SEGMENTATION.evaluation(SEGMENTATION.answers(said, stacked, SIZES))
    found = torch.cat([logits_of(said, i).argmax(1).flatten() for i in (0, 1)]).numpy()
    true = torch.cat([mask.flatten() for mask in each]).numpy()
    found, true = found[true != IGNORED], true[true != IGNORED]
    assert (seen.confusion == confusion_matrix(true, found)).all()
    assert seen.score == pytest.approx(100 * jaccard_score(true, found, average="macro"))
    assert seen.figures["pixel_accuracy"] == pytest.approx(100 * (true == found).mean())


def test_what_is_shown_is_what_is_evaluated(said: torch.Tensor) -> None:
    for i, mask in enumerate(SEGMENTATION.shown(said, SIZES)):
        assert (mask == logits_of(said, i).argmax(1)[0].numpy()).all()


@pytest.mark.parametrize("at_once", [0, 300])  # rows one by one, and three or so
def test_very_many_logits_are_held_in_parts(said: torch.Tensor, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    def every() -> list[Any]:
        answers = SEGMENTATION.answers(said, true_masks()[1], SIZES)
        return [*SEGMENTATION.shown(said, SIZES), answers["confusion"], answers["loss"]]

    whole = every()
    monkeypatch.setattr("botzoo.tasks.segmentation.AT_ONCE", at_once)
    for found, expected in zip(every(), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_step_minimises_the_mean_over_known_pixels(said: torch.Tensor) -> None:
    targets = torch.full((2, 16, 24), IGNORED, dtype=torch.uint8)
    targets[0, 3:9], targets[1, :, 5:] = 2, 1
    loss = SegmentationObjective(3).loss(said, targets)
    torch.testing.assert_close(loss, F.cross_entropy(said, targets.long(), ignore_index=IGNORED))


def test_a_batch_without_a_known_pixel_teaches_nothing(said: torch.Tensor) -> None:
    logits = said.requires_grad_()
    loss = SegmentationObjective(3).loss(logits, torch.full((2, 16, 24), IGNORED, dtype=torch.uint8))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_gain_of_a_network_over_itself_is_nothing(said: torch.Tensor) -> None:
    seen = SEGMENTATION.evaluation(SEGMENTATION.answers(said, true_masks()[1], SIZES))
    assert seen.gain(seen) == (0, 0, 0)


def test_groups_are_drawn_whole(said: torch.Tensor) -> None:
    answers = SEGMENTATION.answers(said, true_masks()[1], SIZES)
    low, high = SEGMENTATION.evaluation({**answers, "group": np.zeros(2, np.int64)}).interval()
    assert low == high


# A data set


def test_the_classes_on_an_image_are_its_labels(masks: Path) -> None:
    data = find_images(str(masks), kind="segment")
    assert data.class_names == NAMES
    assert data.train.class_counts(3).tolist() == [12, 12, 12]
    assert data.train.take(np.array([2, 1])).mask(0).tolist() == data.train.mask(2).tolist()
    both = data.train.joined(data.validation)
    assert both.mask(13).tolist() == data.validation.mask(1).tolist()
    assert both.target_bytes() == data.train.target_bytes() + data.validation.target_bytes()


def test_a_mask_of_another_size_is_told_of_its_image(masks: Path, tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for i in range(3):
            picture = Image.open(masks / kind / "train" / f"{i}.png")
            picture = picture.resize((24, 16), Image.Resampling.NEAREST) if (kind, i) == ("masks", 1) else picture
            picture.save(tmp_path / kind / f"{i}.png")
    found = find_images(str(tmp_path), kind="segment").train.problems
    assert found == {1: f"its mask has 16 x 24 pixels, and it has {HEIGHT} x {WIDTH}"}


# Runs

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"mixup": 0.2}, "--mixup 0.2"),
    ({"cutmix": 1.0}, "--cutmix 1"),
    ({"label_smoothing": 0.1}, "--label-smoothing 0.1"),
    ({"class_weights": "balanced"}, "--class-weights balanced"),
    ({"distillation": "resnet10d_bot"}, "--distillation resnet10d_bot"),
    ({"paper_augment": True}, "--paper-augment"),
    ({"reject": 0.9}, "--reject 0.9"),
    ({"data": {"fit": "squash"}}, "--data.fit squash"),
    ({"data": {"crop_min": 0.5}}, "--data.crop-min 0.5"),
    ({"data": {"sampling": "balanced"}}, "--data.sampling balanced"),
    ({"data": {"fold": "1/3"}}, "--data.fold 1/3"),
    ({"data": {"streaming": True}}, "--data.streaming"),
    ({"augment": {"rotate90": True}, "img_size": 32}, "--augment.rotate90"),
    ({"augment": {"randaugment": 9}}, "--augment.randaugment 9"),
    ({"labels": "labels.csv"}, "--labels"),
]


@pytest.mark.parametrize(("options", "flag"), REFUSED, ids=lambda case: case if isinstance(case, str) else "")
def test_what_needs_a_class_of_the_image_is_refused(
    options: dict[str, Any], flag: str, masks: Path, tmp_path: Path
) -> None:
    plain = {**TINY, **DENSE, "mixup": 0.0, "cutmix": 0.0, "dataset": str(masks), "output": str(tmp_path / "run")}
    with pytest.raises(BotzooError, match=flag) as refused:
        bare({**plain, **options})
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_run_learns_the_masks_and_says_so(finished_masks_run: Path) -> None:
    lines = [json.loads(line) for line in (finished_masks_run / "metrics.jsonl").read_text().splitlines()]
    test = next(line for line in lines if line["split"] == "test")
    assert test["miou"] > 60
    best = max((line for line in lines if line["split"] == "validation"), key=lambda line: line["miou"])
    assert test["epoch"] == best["epoch"]


def test_its_folder_gives_the_masks_that_were_evaluated(finished_masks_run: Path, masks: Path) -> None:
    model = read_dense_folder(finished_masks_run / "model")
    assert (model.task, model.class_names) == ("segmentation", NAMES)
    split = find_images(str(masks), kind="segment").test
    transform, rows = SEGMENTATION.eval_transform(model.preprocessing), []
    for i in range(len(split)):
        pixels, mask, size = transform.pair(Image.open(split.read(i)), split.target(i), (0, i))
        images = model.preprocessing.normalise(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])
        with torch.inference_mode():
            said = SEGMENTATION.say(model.module, images)
        rows.append(SEGMENTATION.answers(said, torch.from_numpy(mask.copy())[None], torch.tensor([size])))
    kept = read_answers(finished_masks_run / "evaluation" / "test.parquet")[1]
    assert (np.concatenate([row["counts"] for row in rows]) == kept["counts"]).all()


MANY = {"soup": 2, "patience": 3, "ema": 0.5, "epochs": 3, "optim": {"clip_grad": 1.0}, "augment": {"noise": 0.02}}


@pytest.mark.slow
def test_a_run_that_is_resumed_ends_with_the_same_bits(
    masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**TINY, **DENSE, **MANY, "dataset": str(masks)}
    bare({**options, "output": str(tmp_path / "whole")})
    monkeypatch.setattr(Trainer, "step", Trainer.step)  # put back at the end
    finetune_and_signal({**options, "output": str(tmp_path / "cut")}, SIGTERM, 5, how=bare)
    assert json.loads((tmp_path / "cut" / "stopped.json").read_text())[1] == 128 + SIGTERM
    bare({}, str(tmp_path / "cut"))
    one, other = (final_weights(tmp_path / name) for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_two_processes_evaluate_each_image_once(masks: Path, tmp_path: Path) -> None:
    options = {**TINY, **DENSE, "epochs": 1, "dataset": str(masks), "output": str(tmp_path / "two"), "ema": None}
    assert run_distributed(2, bare, options) == [0, 0]
    names, answers = read_answers(tmp_path / "two" / "evaluation" / "test.parquet")
    assert names == [f"images/test/{i}.png" for i in range(4)]
    assert answers["counts"][:, 1].sum(1).tolist() == [(HEIGHT - 1) * WIDTH] * 4
