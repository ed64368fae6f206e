"""Fine-tuning as a user does it, from the command to the model folder."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import ModelCard

from botzoo.options.command_line import load_config, parse
from botzoo_finetune import cli
from botzoo_finetune.config import FinetuneConfig
from running import command, python, run

TINY = ["--model", "test_resnet", "--scratch", "--img-size", "32", "--epochs", "1", "--batch-size", "16"]


@pytest.fixture(scope="module")
def folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    assert command("--dataset", photos, *TINY, "--output", folder) == 0
    return folder


def test_the_model_folder_is_complete(folder: Path) -> None:
    names = {path.name for path in (folder / "model").iterdir()}
    assert {"model.safetensors", "config.json", "README.md", "learning_curve.png", "confusion.png"} <= names


def test_config_json_has_the_names_of_the_classes(folder: Path) -> None:
    config = json.loads((folder / "model" / "config.json").read_text())
    assert config["label_names"] == ["class0", "class1", "class2"]
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]


def test_the_recipe_is_that_of_the_run_without_its_machine(folder: Path, photos: Path) -> None:
    again = parse(cli.command(), ["--config", str(folder / "model" / "recipe.yaml")]).config
    ran = load_config(folder / "config.yaml", FinetuneConfig)
    assert (ran.data.hflip, ran.data.crop_min) == (0.5, 0.7)
    assert again == replace(ran, output=None, dataset="photos")
    assert str(photos.parent) not in (folder / "model" / "recipe.yaml").read_text()


def test_the_metrics_travel_with_the_model(folder: Path) -> None:
    assert (folder / "model" / "metrics.jsonl").read_text() == (folder / "metrics.jsonl").read_text()


def test_the_card_has_the_command_without_the_machines_folders(folder: Path) -> None:
    card = ModelCard.load(folder / "model" / "README.md")
    assert f"botzoo-finetune --dataset photos {' '.join(TINY)} --output run\n" in card.text


def test_the_model_loads_in_timm(folder: Path) -> None:
    model = timm.create_model(f"local-dir:{folder / 'model'}", pretrained=True).eval()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_the_summary_closes_the_log(folder: Path) -> None:
    log = (folder / "log.txt").read_text()
    assert "95 % interval" in log
    assert "local-dir:" in log


def test_resuming_a_complete_run_says_so_and_changes_nothing(folder: Path) -> None:
    before = (folder / "model" / "model.safetensors").stat().st_mtime_ns
    assert command("--resume", folder) == 0
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_safetensors_file_that_fits_partly_is_reported(folder: Path, photos: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model" / "model.safetensors")
    tensors.pop("bn1.bias")
    tensors["fc.weight"] = tensors["fc.weight"][:2].clone()
    save_file({**tensors, "extra": torch.zeros(1)}, tmp_path / "part.safetensors")
    options = [option for option in TINY if option != "--scratch"]
    weights, run = tmp_path / "part.safetensors", tmp_path / "run"
    assert command("--dataset", photos, *options, "--pretrained", weights, "--output", run) == 0
    (line,) = [line for line in (run / "log.txt").read_text().splitlines() if "tensors:" in line]
    assert "(bn1.bias) missing, 1 (fc.weight) mism" in line
    assert "1 (extra) unexpected" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [["--freeze", "1"], ["--unfreeze-every", "1"], ["--ema", "0.9", "--mixup", "0.2"]], ids=" ".join
)
def test_ways_to_transfer_from_a_model_folder_run_to_their_end(
    options: list[str], folder: Path, photos: Path, tmp_path: Path
) -> None:
    start = ["--model", f"local-dir:{folder / 'model'}", "--epochs", "1", "--batch-size", "16"]
    assert command("--dataset", photos, *start, *options, "--output", tmp_path / "run") == 0


@pytest.mark.slow
def test_a_run_is_the_teacher_of_the_next_and_its_card_says_so(folder: Path, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command("--dataset", photos, *TINY, "--distillation", folder, "--output", run) == 0
    card = (run / "model" / "README.md").read_text()
    sha256 = json.loads((run / "run.json").read_text())["teacher"]["sha256"]
    assert "T = 20, weight 1): `local-dir:run/model`" in card
    assert f"`{sha256}`" in card
    assert f"distillation from local-dir:{folder}/model" in (run / "log.txt").read_text()


@pytest.mark.slow
def test_a_frozen_backbone_is_the_one_it_started_from(folder: Path, photos: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    weights, run = f"local-dir:{folder / 'model'}", tmp_path / "run"
    options = ["--model", weights, "--freeze", "backbone", "--epochs", "1", "--output", run]
    assert command("--dataset", photos, *options) == 0
    before, after = (load_file(f / "model" / "model.safetensors") for f in (folder, run))
    assert [name for name in before if not torch.equal(before[name], after[name])] == ["fc.bias", "fc.weight"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--dataset", "digit"], "digits"),
        (["--model", "resnet50d_bo"], "resnet50d_bot"),
        (["--model", "resnet50d_bot", "--pretrained", "gluon_in2k"], "gluon_in1k"),
        (["--model", "resnet50a_bot"], "--scratch"),
        (["--freeze", "9"], "stem"),
        (["--mixed-precision", "fp16", "--engine.device", "cpu"], "bf16"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_input_is_one_line_and_status_2(
    argv: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*argv, "--output", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_torchrun_starts_two_processes(photos: Path, tmp_path: Path) -> None:
    argv = ("--standalone", "--nproc_per_node", 2, "-m", "botzoo_finetune", "--dataset", photos, *TINY)
    assert run(torchrun, tmp_path / "said", *map(str, (*argv, "--output", tmp_path / "run"))) == 0
    said = (tmp_path / "said").read_text()
    assert "2 processes x 1 micro-batch" in said
    assert [said.count(words) for words in ("\nsteps ", "epoch 1/1")] == [1, 1]


def torchrun(said: Path, *argv: str) -> None:
    """Do what torchrun does, and write down what is said; but fork its processes from this one, which has imported all."""
    from torch.distributed import run as program
    from torch.distributed.launcher.api import elastic_launch

    def forked(config: Any, **given: Any) -> Any:
        return elastic_launch(replace(config, start_method="fork"), python)

    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            program, "elastic_launch", lambda config, **_: elastic_launch(replace(config, start_method="fork"), python)
        )
        program.main([*argv])


@pytest.mark.slow
def test_the_default_run_reads_handwritten_digits(tmp_path: Path) -> None:
    assert command("--epochs", 2, "--output", tmp_path / "run") == 0  # a third of those that it chooses
    results = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    best: Any = max((r for r in results if r["split"] == "validation"), key=lambda r: r["top1"])
    assert best["images"] == 359
    assert best["top1"] >= 97
