"""The whole job on tiny images: what it writes, when it stops, and what it refuses."""

import json
import logging
import re
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from safetensors.torch import load_file, save_file

from botzoo.errors import BotzooError, CheckpointError, ConfigError, DataError, DivergedError
from botzoo.options.command_line import made
from botzoo.options.config import TrainConfig
from botzoo.training.run import Result, train
from botzoo.training.setup import Transfer
from botzoo.training.trainer import Trainer
from conftest import write_photos
from running import TINY, run, run_distributed, write_teacher

QUICK = {"model": "test_resnet", "scratch": True, "img_size": 32, "epochs": 1, "batch_size": 16}


def quick(photos: Path, output: Path, **options: Any) -> Result:
    return train(made({**QUICK, "dataset": str(photos), "output": str(output), **options}, TrainConfig))


@pytest.fixture(scope="module")
def result(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return quick(photos, tmp_path_factory.mktemp("run") / "run", epochs=2)


def test_a_run_folder_has_all_its_parts(result: Result) -> None:
    names = {path.name for path in result.job.folder.iterdir()}
    assert {"config.yaml", "metrics.jsonl", "log.txt", "run.json", "checkpoints", "model"} <= names


def test_metrics_have_every_epoch(result: Result) -> None:
    lines = (result.job.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines if '"validation"' in line] == [1, 2]


def test_the_plan_is_in_the_log(result: Result) -> None:
    log = (result.job.folder / "log.txt").read_text()
    for heading in ("data", "model", "input", "device", "optimizer", "tricks", "steps", "output"):
        assert f"\n{heading} " in "\n" + log


def test_the_papers_augmentation_brings_its_crops_mean_and_std(photos: Path, tmp_path: Path) -> None:
    result = quick(photos, tmp_path / "run", paper_augment=True, augment={"vflip": 0.5, "rotate90": True})
    config = json.loads((result.model_folder / "config.json").read_text())["pretrained_cfg"]
    assert [255 * value for value in config["mean"]] == pytest.approx([123.68, 116.779, 103.939])
    assert [255 * value for value in config["std"]] == pytest.approx([58.393, 57.12, 57.375])
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "crops of 8% to 100%, flipped with probability 0.5, vflip 0.5, rotate90, coloured as in the paper" in log
    assert re.search(r"\ntricks .*\bpaper_augment\b", log)


def test_pretrained_weights_keep_their_mean_and_a_wish_for_crops_wins(
    result: Result, photos: Path, tmp_path: Path
) -> None:
    options = {"scratch": False, "pretrained": f"local-dir:{result.model_folder}", "data": {"crop_min": 0.5}}
    later = quick(photos, tmp_path / "run", paper_augment=True, **options)
    assert (later.job.preprocessing.mean, later.job.crop_min) == (result.job.preprocessing.mean, 0.5)
    assert "with the weights' own mean and std" in (tmp_path / "run" / "log.txt").read_text()


def test_the_learning_curve_is_a_picture(result: Result) -> None:
    with Image.open(result.model_folder / "learning_curve.png") as picture:
        assert min(picture.size) > 300


def test_without_a_test_split_the_result_says_that_it_chose_the_epoch(result: Result) -> None:
    assert result.split == "validation"
    assert result.chosen_on_split


def test_the_test_split_is_looked_at_once_at_the_end(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_photos(tmp_path / "data" / split, classes=2, each=10)
    result = quick(tmp_path / "data", tmp_path / "run", epochs=2, batch_size=4)
    splits = [json.loads(line)["split"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert splits.count("test") == 1
    assert splits[-1] == "test"
    assert result.split == "test"


def test_the_best_epoch_is_kept(photos: Path, tmp_path: Path) -> None:
    result = quick(photos, tmp_path / "run", epochs=4, lr=0.5, cosine=False)
    top1 = [record["top1"] for record in result.job.history.of("validation")]
    assert result.evaluation.top1 == max(top1)
    assert result.best_epoch == 1 + int(np.argmax(top1))


def test_patience_stops_the_run(photos: Path, tmp_path: Path) -> None:
    result = quick(photos, tmp_path / "run", epochs=8, lr=1e-9, patience=2)
    top1 = [record["top1"] for record in result.job.history.of("validation")]
    assert len(top1) == 1 + int(np.argmax(top1)) + 2 < 8


def test_min_delta_counts_small_gains_as_none(photos: Path, tmp_path: Path) -> None:
    result = quick(photos, tmp_path / "run", epochs=8, lr=0.5, patience=1, min_delta=100.0)
    assert len(result.job.history.of("validation")) == 2


def test_the_last_checkpoints_are_kept(photos: Path, tmp_path: Path) -> None:
    quick(photos, tmp_path / "run", epochs=4, keep_checkpoints=2)
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*"))
    assert names == ["step-00000009", "step-00000012"]


def test_an_existing_folder_is_left_as_it_is(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(ConfigError, match=r"exists already.*--resume"):
        quick(photos, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_default_names_are_numbered(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [train(made({**QUICK, "dataset": str(photos)}, TrainConfig)).job.folder for _ in range(2)]
    assert [str(folder) for folder in folders] == ["runs/photos-test_resnet", "runs/photos-test_resnet-2"]


def test_a_folder_that_cannot_be_made_is_named(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/run cannot be made \(Not a directory\)"):
        quick(photos, tmp_path / "file" / "run")


def tricks(result: Result) -> list[str]:
    lines = (result.job.folder / "log.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith("tricks")).removeprefix("tricks").strip().split(", ")


def test_the_plan_names_initialisation_and_dropout(result: Result, photos: Path, tmp_path: Path) -> None:
    named = tricks(quick(photos, tmp_path / "run", xavier_init=True, drop_rate=0.25))
    assert {"zero_gamma", "xavier_init", "drop_rate 0.25"} <= set(named)
    assert not {"xavier_init", "drop_rate 0"} & set(tricks(result))


def test_mobilenet_trains_on_small_images(photos: Path, tmp_path: Path) -> None:
    result = quick(photos, tmp_path / "run", model="mobilenet_v1_bot", xavier_init=True, drop_rate=0.2)
    assert result.steps == 3
    assert json.loads((result.model_folder / "config.json").read_text())["architecture"] == "mobilenetv1_100"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixed_precision": "fp16"}, "bf16"),
        ({"batch_size": 1000}, "there are 48 training images"),
        ({"optimizer": "adamv"}, "adamw"),
        ({"tracker": "tensorbord"}, "tensorboard"),
        ({"engine": {"device": "cuda"}}, "none here"),
        ({"engine": {"sync_bn": True}}, "needs GPUs"),
        ({"engine": {"micro_batch": 7}}, "does not divide"),
        ({"engine": {"micro_batch": 1}, "mixup": 0.2}, "each would have 1: give a larger --batch-size"),
        ({"engine": {"micro_batch": 1}, "cutmix": 1.0}, "each would have 1: give a larger --batch-size"),
        ({"distillation": "test_resnet.r160_in1k"}, "knows 1000 classes and the data set has 3: fine-tune it"),
        ({"model": "test_resne"}, "test_resnet"),
        (
            {"model": "inception_v3_bot", "img_size": 64},
            "does not take images of 64 x 64 px but of 96 x 96 .*--img-size",
        ),
        ({"dataset": "cifar11"}, "cifar10"),
    ],
)
def test_refusals_name_the_way_out_and_leave_no_folder(
    options: dict[str, Any], message: str, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(BotzooError, match=message):
        quick(photos, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_corrupt_images_are_listed(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", classes=2, each=10)
    (data / "class0" / "zero.png").write_bytes(b"")
    (data / "class1" / "note.jpg").write_text("not an image")
    with pytest.raises(DataError, match=r"(?s)2 of .*zero\.png.*note\.jpg.*--skip-corrupt"):
        quick(data, tmp_path / "run", data={"val_fraction": 0.5}, batch_size=4)


def test_the_images_set_aside_are_drawn_from_the_readable_ones(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", classes=2, each=10)
    for i in range(5):
        (data / "class0" / f"{i}.png").write_bytes(b"")
    result = quick(data, tmp_path / "run", skip_corrupt=True, batch_size=4)
    assert result.job.data.notes == ("no validation split: 3 of 15 training images (20% of each class) are set aside",)
    assert {role: np.bincount(split.labels).tolist() for role, split in result.job.images.items()} == {
        "train": [4, 8],
        "validation": [1, 2],
    }


def test_skipped_images_are_in_the_log(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", classes=2, each=10)
    (data / "class0" / "zero.png").write_bytes(b"")
    quick(data, tmp_path / "run", skip_corrupt=True, batch_size=4)
    assert "zero.png" in (tmp_path / "run" / "log.txt").read_text()


def test_an_infinite_loss_names_step_and_cause_and_keeps_the_checkpoint(photos: Path, tmp_path: Path) -> None:
    options = {"epochs": 3, "lr": 0.1}
    poisoned = Transfer(set_trainable=poison_in_third_epoch)
    config = made({**QUICK, "dataset": str(photos), "output": str(tmp_path / "run"), **options}, TrainConfig)
    with pytest.raises(DivergedError, match=r"at step 7 .*learning rate.*step-00000006"):
        train(config, transfer=poisoned)
    assert (tmp_path / "run" / "checkpoints" / "step-00000006" / "state.json").is_file()


def poison_in_third_epoch(model: torch.nn.Module, epoch: int) -> bool:
    if epoch == 2:
        model.get_parameter("fc.bias").data.fill_(float("nan"))
    return False


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


def test_a_size_that_the_network_does_not_take_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not take images of 176 x 176"):
        quick(photos, tmp_path / "run", model="hrnet_w18_small", img_size=176)


def test_a_size_at_which_bf16_is_wrong_on_cpus_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="single pixel"):
        quick(photos, tmp_path / "run", img_size=16, mixed_precision="bf16")


def test_changed_images_are_not_resumed(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", classes=2, each=10)
    result = quick(data, tmp_path / "run", batch_size=4)
    Image.new("RGB", (16, 16)).save(data / "class0" / "0.png")
    with pytest.raises(DataError, match="have changed since"):
        train(result.job.config, resume=tmp_path / "run")


def test_a_folder_that_another_process_works_in_is_left_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botzoo.training.folder.PATIENCE", 0.1)
    config = quick(photos, tmp_path / "run").job.config
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(ConfigError, match="Another process is at work in"):
        train(config, resume=tmp_path / "run")


def test_a_changed_teacher_is_not_resumed(photos: Path, tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "teacher")
    result = quick(photos, tmp_path / "run", distillation=f"local-dir:{teacher}")
    tensors = load_file(teacher / "model.safetensors")
    save_file({**tensors, "fc.bias": tensors["fc.bias"] + 1}, teacher / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"weights of the teacher .* have changed since"):
        train(result.job.config, resume=tmp_path / "run")


def test_the_plan_names_the_teacher_and_what_is_mixed(photos: Path, tmp_path: Path) -> None:
    address = f"local-dir:{write_teacher(tmp_path / 'teacher')}"
    quick(photos, tmp_path / "run", distillation=address, mixup=0.2, cutmix=1.0, batch_size=15)
    log = (tmp_path / "run" / "log.txt").read_text()
    assert f"teacher: {address}, " in log
    assert "parameters, sees 32 x 32 px" in log
    assert f"mixup 0.2, cutmix 1, distillation from {address} (T 20, weight 1)" in log


def full_disk(photos: str, output: str, limit: int) -> None:
    """Train where no file may grow beyond ``limit`` bytes; write down the error."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        quick(Path(photos), Path(output), epochs=2)
    except CheckpointError as error:
        Path(output, "error.txt").write_text(str(error)[: limit // 2])


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


def unfreeze_gradually(photos: str, output: str, pretrained: str) -> None:
    from botzoo_finetune.config import FinetuneConfig
    from botzoo_finetune.run import finetune

    options = {**TINY, "dataset": photos, "output": output, "ema": None, "unfreeze_every": 1}
    options |= {"scratch": False, "pretrained": f"local-dir:{pretrained}"}
    finetune(made(options, FinetuneConfig), command="botzoo-finetune")


def test_gradual_unfreezing_works_on_two_processes(photos: Path, tmp_path: Path) -> None:
    teacher = str(write_teacher(tmp_path / "teacher"))
    assert run_distributed(2, unfreeze_gradually, str(photos), str(tmp_path / "run"), teacher) == [0, 0]
    assert (tmp_path / "run" / "model" / "README.md").is_file()


def test_the_log_is_closed_when_a_run_ends(result: Result) -> None:
    assert not [h for h in logging.getLogger("botzoo").handlers if isinstance(h, logging.FileHandler)]
