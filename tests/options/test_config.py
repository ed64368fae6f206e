"""Every option is checked when it is made: one line with the flag, the value and what is accepted."""

import shutil
import subprocess
from dataclasses import FrozenInstanceError, fields, is_dataclass
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from botzoo.errors import ConfigError
from botzoo.options.config import (
    AugmentConfig,
    DataConfig,
    DistillConfig,
    EngineConfig,
    OptimConfig,
    TrainConfig,
    check_tag,
)
from botzoo_finetune.config import FinetuneConfig

WRONG: list[tuple[type, dict[str, Any], str]] = [
    (TrainConfig, {"dataset": ""}, "--dataset is '': it must be a name"),
    (TrainConfig, {"output": ""}, "--output is '': it must be a folder"),
    (TrainConfig, {"epochs": 0}, "--epochs is 0: it must be 1 or more"),
    (TrainConfig, {"batch_size": 1}, "--batch-size is 1: it must be 2 or more"),
    (TrainConfig, {"lr": 0.0}, "--lr is 0.0: it must be greater than 0"),
    (TrainConfig, {"lr": -0.1}, "--lr is -0.1: it must be greater than 0"),
    (TrainConfig, {"lr": 1e9}, "--lr is 1000000000.0: it must be greater than 0 and less than 100"),
    (TrainConfig, {"lr": nan}, "--lr is nan: it must be"),
    (TrainConfig, {"img_size": 7}, "--img-size is 7: it must be 8 or more"),
    (TrainConfig, {"seed": -1}, "--seed is -1: it must be in"),
    (TrainConfig, {"seed": 2**32}, "--seed is 4294967296: it must be in"),
    (TrainConfig, {"warmup": -0.5}, "--warmup is -0.5: it must be 0 or more epochs"),
    (TrainConfig, {"warmup": inf}, "--warmup is inf: it must be 0 or more epochs"),
    (TrainConfig, {"warmup": 3.0, "epochs": 3}, "--warmup is 3.0: it must be less than --epochs 3"),
    (TrainConfig, {"label_smoothing": 1.0}, "--label-smoothing is 1.0: it must be in [0, 1)"),
    (TrainConfig, {"mixup": -0.2}, "--mixup is -0.2: it must be 0 or more"),
    (TrainConfig, {"mixup": inf}, "--mixup is inf: it must be 0 or more"),
    (TrainConfig, {"drop_rate": 1.0}, "--drop-rate is 1.0: it must be in [0, 1)"),
    (TrainConfig, {"drop_rate": -0.1}, "--drop-rate is -0.1: it must be in [0, 1)"),
    (TrainConfig, {"drop_rate": nan}, "--drop-rate is nan: it must be in [0, 1)"),
    (TrainConfig, {"cutmix": -1.0}, "--cutmix is -1.0: it must be 0 or more"),
    (TrainConfig, {"distillation": ""}, "--distillation is '': it must be a model or the folder of a run"),
    (TrainConfig, {"ema": 1.0}, "--ema is 1.0: it must be between 0 and 1"),
    (TrainConfig, {"patience": 0}, "--patience is 0: it must be 1 or more"),
    (TrainConfig, {"min_delta": -1.0}, "--min-delta is -1.0: it must be 0 or more"),
    (TrainConfig, {"checkpoint_every": 0}, "--checkpoint-every is 0: it must be 1 or more"),
    (TrainConfig, {"keep_checkpoints": 0}, "--keep-checkpoints is 0: it must be 1 or more"),
    (TrainConfig, {"scratch": True, "pretrained": "in1k"}, "--scratch starts from nothing and --pretrained in1k"),
    (DataConfig, {"val_fraction": 1.0}, "--data.val-fraction is 1.0: it must be between 0 and 1"),
    (DataConfig, {"crop_min": 0.0}, "--data.crop-min is 0.0: it must be in (0, 1]"),
    (DataConfig, {"train_scale": 0.1}, "--data.train-scale is 0.1: it must be between 0.25 and 2"),
    (DataConfig, {"train_scale": 0.5, "train_scale_epochs": 0}, "--data.train-scale-epochs is 0: it must be 1 or more"),
    (DataConfig, {"train_scale_epochs": 2}, "--data.train-scale-epochs is 2: it must be left out without"),
    (
        TrainConfig,
        {"epochs": 3, "data": DataConfig(train_scale=0.5, train_scale_epochs=3)},
        "--data.train-scale-epochs is 3: it must be less than --epochs 3",
    ),
    (DataConfig, {"hflip": 1.5}, "--data.hflip is 1.5: it must be in [0, 1]"),
    (DataConfig, {"cache_gib": -1.0}, "--data.cache-gib is -1.0: it must be 0 or more"),
    (DataConfig, {"cache_gib": inf}, "--data.cache-gib is inf: it must be 0 or more"),
    (AugmentConfig, {"vflip": -0.1}, "--augment.vflip is -0.1: it must be in [0, 1]"),
    (AugmentConfig, {"color_jitter": 1.5}, "--augment.color-jitter is 1.5: it must be in [0, 1]"),
    (AugmentConfig, {"blur": 2.0}, "--augment.blur is 2.0: it must be in [0, 1]"),
    (AugmentConfig, {"noise": nan}, "--augment.noise is nan: it must be in [0, 1]"),
    (AugmentConfig, {"random_erasing": -1.0}, "--augment.random-erasing is -1.0: it must be in [0, 1]"),
    (AugmentConfig, {"randaugment": 31}, "--augment.randaugment is 31: it must be in 0 ... 30"),
    (AugmentConfig, {"randaugment": 9, "trivialaugment": True}, "--augment.randaugment 9 and --augment.trivialaugment"),
    (TrainConfig, {"paper_augment": True, "augment": AugmentConfig(color_jitter=0.4)}, "--paper-augment scales"),
    (OptimConfig, {"momentum": 1.0}, "--optim.momentum is 1.0: it must be in [0, 1)"),
    (OptimConfig, {"weight_decay": -1e-4}, "--optim.weight-decay is -0.0001: it must be 0 or more"),
    (OptimConfig, {"betas": (0.9, 1.0)}, "--optim.betas is (0.9, 1.0): it must be two in [0, 1)"),
    (OptimConfig, {"clip_grad": 0.0}, "--optim.clip-grad is 0.0: it must be greater than 0"),
    (DistillConfig, {"temperature": 0.0}, "--distill.temperature is 0.0: it must be greater than 0"),
    (DistillConfig, {"weight": -1.0}, "--distill.weight is -1.0: it must be greater than 0"),
    (EngineConfig, {"workers": -1}, "--engine.workers is -1: it must be 0 or more"),
    (EngineConfig, {"micro_batch": 0}, "--engine.micro-batch is 0: it must be 1 or more"),
    (EngineConfig, {"log_every": 0}, "--engine.log-every is 0: it must be 1 or more"),
    (FinetuneConfig, {"freeze": "all"}, "--freeze is 'all': it must be none, backbone or a number"),
    (FinetuneConfig, {"freeze": "-1"}, "--freeze is '-1': it must be none, backbone or a number"),
    (FinetuneConfig, {"freeze": "²"}, "--freeze is '²': it must be none, backbone or a number"),
    (FinetuneConfig, {"layer_decay": 1.1}, "--layer-decay is 1.1: it must be in (0, 1]"),
    (FinetuneConfig, {"head_lr_scale": 0.0}, "--head-lr-scale is 0.0: it must be greater than 0"),
    (FinetuneConfig, {"unfreeze_every": 0}, "--unfreeze-every is 0: it must be 1 or more"),
    (FinetuneConfig, {"unfreeze_every": 1, "freeze": "backbone"}, "--unfreeze-every unfreezes what --freeze backbone"),
    (FinetuneConfig, {"scratch": True, "freeze": "backbone"}, "--scratch starts from random weights, which --freeze"),
    (FinetuneConfig, {"scratch": True, "unfreeze_every": 2}, "--scratch starts from random weights, which --unfreeze"),
    (FinetuneConfig, {"scratch": True, "freeze": "0"}, "--scratch starts from random weights, which --freeze 0 would"),
    (FinetuneConfig, {"epochs": 0}, "--epochs is 0"),
]


@pytest.mark.parametrize(("config", "values", "message"), WRONG, ids=lambda x: str(x) if isinstance(x, dict) else "")
def test_a_wrong_value_is_refused_in_one_line(config: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**values)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [{"epochs": 1, "warmup": 0.0}, {"ema": 0.999}, {"label_smoothing": 0.0}, {"seed": 2**32 - 1}, {"batch_size": 2}],
    ids=str,
)
def test_the_ends_of_the_ranges_are_accepted(values: dict[str, Any]) -> None:
    config = TrainConfig(**values)
    assert {name: getattr(config, name) for name in values} == values


@pytest.mark.parametrize("freeze", ["none", "backbone", "0", "4"])
def test_what_can_be_frozen(freeze: str) -> None:
    assert FinetuneConfig(freeze=freeze).freeze == freeze


@pytest.mark.parametrize(
    "config", [DataConfig(), AugmentConfig(), OptimConfig(), EngineConfig(), TrainConfig(), FinetuneConfig()]
)
def test_a_configuration_is_frozen(config: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(config, fields(config)[0].name, 1)


def test_every_trick_in_the_configuration_is_a_file_of_that_name() -> None:
    import botzoo.tricks

    files = {path.stem for path in Path(botzoo.tricks.__path__[0]).glob("[a-z]*.py")}
    tricks = {f.name for f in fields(TrainConfig) if not is_dataclass(f.type)} & files
    assert tricks == files


TAGS = [
    "v1",
    "v1.0",
    "a/b",
    "größe",
    "@",
    "v+1",
    "v 1",
    "v..1",
    "v1.",
    ".v1",
    "a/.b",
    "a//b",
    "/a",
    "a/",
    "v1.lock",
    "a@{b",
]
TAGS += [f"v{letter}1" for letter in "~^:?*[]\\\t\x7f{}"] + [""]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is what it is compared with")
@pytest.mark.parametrize("name", TAGS)
def test_a_tag_is_what_git_takes_for_one(name: str) -> None:
    gits = subprocess.run(["git", "check-ref-format", f"refs/tags/{name}"], check=False).returncode == 0
    try:
        check_tag(name)
        ours = True
    except ConfigError:
        ours = False
    assert ours == gits
