"""The whole run on tiny images: what it writes, when it stops, and what it refuses."""

import json
import logging
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from botzoo.errors import BotzooError, CheckpointError, ConfigError, DataError, DivergedError
from botzoo.models.create import Network
from botzoo.options.command_line import made
from botzoo.options.config import TrainConfig
from botzoo.training.callbacks import Callback
from botzoo.training.run import train
from botzoo.training.setup import set_up
from botzoo.training.state import Run
from botzoo.training.steps.feed import ImageFeed
from botzoo.training.steps.trainer import Trainer
from conftest import write_photos
from running import TINY, bare, run, run_distributed, write_teacher

QUICK = {
    "model": "test_resnet",
    "scratch": True,
    "img_size": 32,
    "epochs": 1,
    "batch_size": 16,
    "mixed_precision": "fp32",
}


def config(photos: Path, output: Path | None = None, **options: Any) -> TrainConfig:
    return made({**QUICK, "dataset": str(photos), "output": str(output) if output else None, **options}, TrainConfig)


def quick(photos: Path, output: Path, *callbacks: Callback, **options: Any) -> Run:
    return train(config(photos, output, **options), callbacks)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of four epochs at a constant rate, on images with a test split of which one cannot be read."""
    folder = tmp_path_factory.mktemp("tested")
    for split in ("train", "test"):
        write_photos(folder / "data" / split, classes=2, each=10)
    (folder / "data" / "train" / "class0" / "zero.png").write_bytes(b"")
    options = {"epochs": 4, "lr": 0.5, "cosine": False, "batch_size": 4, "keep_checkpoints": 2, "skip_corrupt": True}
    return quick(folder / "data", folder / "run", **options)


# What it writes


def test_a_run_folder_has_all_its_parts(tested: Run) -> None:
    names = {path.name for path in tested.folder.iterdir()}
    assert {"config.yaml", "metrics.jsonl", "log.txt", "run.json", "checkpoints", "model", "evaluation"} <= names


def test_metrics_have_every_epoch(tested: Run) -> None:
    assert [line["epoch"] for line in lines(tested.folder) if line["split"] == "validation"] == [1, 2, 3, 4]


def test_the_plan_is_in_the_log_with_the_images_left_out(tested: Run) -> None:
    log = (tested.folder / "log.txt").read_text()
    for heading in ("data", "model", "input", "device", "optimizer", "tricks", "steps", "output"):
        assert f"\n{heading} " in "\n" + log
    assert "zero.png" in log


def test_the_test_split_is_looked_at_once_at_the_end(tested: Run) -> None:
    splits = [line["split"] for line in lines(tested.folder)]
    assert splits.count("test") == 1
    assert splits[-1] == "test"
    assert tested.facts["split"] == "test"


def test_without_a_test_split_the_result_is_of_the_split_that_chose_the_epoch(finished_run: Path) -> None:
    facts = json.loads((finished_run / "run.json").read_text())
    assert (facts["split"], facts["data"]["set_aside"]) == ("validation", True)
    assert [path.name for path in (finished_run / "evaluation").glob("*.parquet")] == ["validation.parquet"]


def test_the_best_epoch_is_kept(tested: Run) -> None:
    top1 = [record["top1"] for record in tested.history.of("validation")]
    assert tested.progress.best_score == max(top1)
    assert tested.progress.best_epoch == 1 + int(np.argmax(top1))


def test_the_last_checkpoints_are_kept(tested: Run) -> None:
    names = sorted(path.name for path in (tested.folder / "checkpoints").glob("step-*"))
    assert names == [f"step-{3 * tested.order.steps_per_epoch:08d}", f"step-{4 * tested.order.steps_per_epoch:08d}"]


def test_the_log_is_closed_when_a_run_ends(tested: Run) -> None:
    assert not [h for h in logging.getLogger("botzoo").handlers if isinstance(h, logging.FileHandler)]


def test_a_run_without_an_output_gets_a_folder_of_its_own(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(train(config(photos)).folder) == "runs/photos-test_resnet"


# The papers' augmentation, mean and crops


def test_the_papers_augmentation_brings_its_crops_mean_and_std(photos: Path) -> None:
    run = set_up(config(photos, paper_augment=True, augment={"vflip": 0.5, "rotate90": True}))
    assert [255 * value for value in run.preprocessing.mean] == pytest.approx([123.68, 116.779, 103.939])
    assert [255 * value for value in run.preprocessing.std] == pytest.approx([58.393, 57.12, 57.375])
    seen = run.feed.describe()
    assert "crops of 8% to 100%" in seen
    assert "vflip 0.5, rotate90" in seen
    assert isinstance(run.feed, ImageFeed)
    assert run.feed.paper


def test_pretrained_weights_keep_their_mean_and_a_wish_for_crops_wins(photos: Path, tmp_path: Path) -> None:
    options = {"scratch": False, "pretrained": f"local-dir:{write_teacher(tmp_path)}", "data": {"crop_min": 0.5}}
    run = set_up(config(photos, paper_augment=True, **options))
    assert (run.preprocessing.mean, run.feed.whole.crop_min) == ((0.45, 0.5, 0.55), 0.5)


def test_the_images_set_aside_are_drawn_from_the_readable_ones(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", classes=2, each=10)
    for i in range(5):
        (data / "class0" / f"{i}.png").write_bytes(b"")
    run = set_up(config(data, skip_corrupt=True, batch_size=4))
    assert "3 of 15 training images" in run.data.notes[0]
    counts = {role: np.bincount(split.labels).tolist() for role, split in run.images.items()}
    assert counts == {"train": [4, 8], "validation": [1, 2]}
    assert len(run.left_out) == 5


@pytest.mark.slow
def test_mobilenet_trains_on_small_images(photos: Path, tmp_path: Path) -> None:
    result = quick(photos, tmp_path / "run", model="mobilenet_v1_bot", xavier_init=True, drop_rate=0.2)
    assert result.progress.step == 3
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["architecture"] == "mobilenetv1_100"


# What it refuses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixed_precision": "fp16"}, "bf16"),
        ({"batch_size": 1000}, "is 1000 for 48 training images"),
        ({"optimizer": "adamv"}, "adamw"),
        ({"tracker": "tensorbord"}, "tensorboard"),
        ({"engine": {"device": "cuda"}}, "none here"),
        ({"engine": {"sync_bn": True}}, "needs GPUs"),
        ({"engine": {"micro_batch": 7}}, "micro-batch is 7: give a divisor of the 16 images"),
        ({"engine": {"micro_batch": 1}, "mixup": 0.2}, "give a larger --batch-size"),
        ({"engine": {"micro_batch": 1}, "cutmix": 1.0}, "give a larger --batch-size"),
        ({"distillation": "test_resnet.r160_in1k"}, "1,000 classes and the data set has 3"),
        ({"model": "test_resne"}, "test_resnet"),
        ({"model": "inception_v3_bot", "img_size": 64}, "64 x 64 px but of 96 x 96 .*--img-size"),
        ({"dataset": "cifar11"}, "cifar10"),
        ({"img_size": 16, "mixed_precision": "bf16"}, "single pixel"),
        ({"warmup": 2.0}, "less than --epochs 1"),
    ],
)
def test_refusals_name_the_way_out_and_leave_no_folder(
    options: dict[str, Any], message: str, photos: Path, tmp_path: Path
) -> None:
    if torch.cuda.is_available() and "engine" in options:
        options = {**options, "engine": {**options["engine"], "device": "cpu"}}
    with pytest.raises(BotzooError, match=message):
        quick(photos, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_size_that_only_some_layers_do_not_take_is_refused(photos: Path) -> None:
    with pytest.raises(ConfigError, match="does not take images of 176 x 176"):
        set_up(config(photos, model="hrnet_w18_small", img_size=176))


def test_corrupt_images_are_listed(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", classes=2, each=10)
    (data / "class0" / "zero.png").write_bytes(b"")
    (data / "class1" / "note.jpg").write_text("not an image")
    with pytest.raises(DataError, match=r"(?s)2 of .*zero\.png.*note\.jpg.*--skip-corrupt"):
        set_up(config(data, data={"val_fraction": 0.5}, batch_size=4))


# When it stops


class Poison(Callback):
    """Ruins a weight before an epoch, counted from 0."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_start(self, run: Run, epoch: int) -> None:
        if epoch == self.epoch:
            run.model.get_parameter("fc.bias").data.fill_(float("nan"))


def test_an_infinite_loss_names_step_and_cause_and_keeps_the_checkpoint(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"at step 4 .*learning rate.*step-00000003"):
        quick(photos, tmp_path / "run", Poison(1), epochs=2)
    assert (tmp_path / "run" / "checkpoints" / "step-00000003" / "state.json").is_file()


def test_weights_that_the_last_step_ruined_are_not_saved(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Trainer.step

    def step(self: Trainer, k: int, batches: Any) -> torch.Tensor:
        loss = take(self, k, batches)
        if k + 1 == 6:  # the last step of the second epoch
            self.model.get_parameter("fc.bias").data.fill_(float("inf"))
        return loss

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(DivergedError, match="at step 6 "):
        quick(photos, tmp_path / "run", epochs=3)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")] == ["step-00000003"]


def full_disk(photos: str, output: str, limit: int) -> None:
    """Train where no file may grow beyond ``limit`` bytes; write down the error."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        quick(Path(photos), Path(output), epochs=2)
    except CheckpointError as error:
        Path(output, "error.txt").write_text(str(error)[: limit // 2])


@pytest.mark.slow
@pytest.mark.parametrize("limit", [50_000, 2_000_000])
def test_a_full_disk_is_named_and_leaves_no_half_checkpoint(limit: int, photos: Path, tmp_path: Path) -> None:
    assert run(full_disk, str(photos), str(tmp_path / "run"), limit) == 0
    assert "cannot be written" in (tmp_path / "run" / "error.txt").read_text()
    assert not list((tmp_path / "run" / "checkpoints").glob("*.part"))


def test_tensorboard_gets_the_figures(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    assert run(tracked, str(photos), str(tmp_path / "run")) == 0
    assert list((tmp_path / "run" / "tracker").rglob("events.out.tfevents.*"))


def tracked(photos: str, output: str) -> None:
    quick(Path(photos), Path(output), tracker="tensorboard")


# Which layers are trained


class TrainHead(Callback):
    """Trains the classifier and the last stage."""

    def on_epoch_start(self, run: Run, epoch: int) -> None:
        for name, parameter in run.model.named_parameters():
            parameter.requires_grad_(name.startswith(("layer4", "fc")))


def test_frozen_batch_norm_keeps_its_statistics_from_the_first_step_on(photos: Path, tmp_path: Path) -> None:
    before: dict[str, torch.Tensor] = {}

    class Remember(TrainHead):
        def on_network(self, network: Network) -> None:
            before.update({name: tensor.clone() for name, tensor in network.model.state_dict().items()})

    result = quick(photos, tmp_path / "run", Remember())
    moved = {name for name, tensor in result.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved
    assert all(name.startswith(("layer4", "fc")) for name in moved)


def unfreeze_gradually(photos: str, output: str, pretrained: str) -> None:
    options = {**TINY, "dataset": photos, "output": output, "ema": None, "unfreeze_every": 1, "epochs": 2}
    bare({**options, "scratch": False, "pretrained": f"local-dir:{pretrained}"})


@pytest.mark.slow
def test_gradual_unfreezing_works_on_two_processes(photos: Path, tmp_path: Path) -> None:
    teacher = str(write_teacher(tmp_path / "teacher"))
    assert run_distributed(2, unfreeze_gradually, str(photos), str(tmp_path / "run"), teacher) == [0, 0]
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
