"""The first look at a data set from the command line, and the start that it gives to fine-tuning."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from botzoo.guard import guarded
from botzoo_finetune import cli
from conftest import write_photos
from running import write_teacher

OPTIONS = ["--epochs", "1", "--batch-size", "16", "--mixed-precision", "fp32"]


def command(*argv: str) -> int:
    return guarded(cli.PROG, cli._main, list(argv))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of a network of other classes than the photos'."""
    return f"local-dir:{write_teacher(tmp_path_factory.mktemp('weights') / 'model', classes=5)}"


def test_a_probe_is_written_and_makes_no_run(photos: Path, pretrained: str, tmp_path: Path) -> None:
    folder = tmp_path / "look"
    assert command("--dataset", str(photos), "--model", pretrained, *OPTIONS, "--probe", "--output", str(folder)) == 0
    assert [path.name for path in folder.iterdir()] == ["probe.json"]
    found = json.loads((folder / "probe.json").read_text())
    assert found["images"] == {"train": 48, "validation": 12}
    low, high = found["interval_95"]
    assert low <= found["top1"] <= high
    assert [point["images"] for point in found["curve"]] == [6, 12, 24, 48]


def test_a_probe_never_looks_at_the_test_split(pretrained: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_photos(tmp_path / "data" / split, classes=3, each=10)
    options = ["--dataset", str(tmp_path / "data"), "--model", pretrained, *OPTIONS]
    assert command(*options, "--probe", "--output", str(tmp_path / "look")) == 0
    assert json.loads((tmp_path / "look" / "probe.json").read_text())["split"] == "validation"


def test_fine_tuning_starts_from_the_probe(photos: Path, pretrained: str, tmp_path: Path) -> None:
    options = ["--dataset", str(photos), "--model", pretrained, *OPTIONS, "--lr", "1e-9", "--freeze", "backbone"]
    losses = []
    for lp_ft in ("true", "false"):
        run = tmp_path / lp_ft
        assert command(*options, "--lp-ft", lp_ft, "--output", str(run)) == 0
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        losses.append(next(line["loss"] for line in lines if line["split"] == "validation"))
    assert losses[0] < losses[1]


def test_a_classifier_that_came_with_the_weights_is_kept(photos: Path, tmp_path: Path) -> None:
    start = write_teacher(tmp_path / "model", classes=3)
    options = ["--dataset", str(photos), "--model", f"local-dir:{start}", *OPTIONS, "--lr", "1e-9"]
    assert command(*options, "--output", str(tmp_path / "run")) == 0
    assert "the classifier starts from" not in (tmp_path / "run" / "log.txt").read_text()
    name = "fc.weight"
    before, after = (load_file(folder / "model.safetensors") for folder in (start, tmp_path / "run" / "model"))
    torch.testing.assert_close(after[name], before[name], atol=1e-5, rtol=0)


def test_probe_and_scratch_is_one_line_and_status_2(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--dataset", str(photos), "--probe", "--scratch") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_that_is_there_is_not_written_into(photos: Path, tmp_path: Path) -> None:
    assert command("--dataset", str(photos), "--probe", "--output", str(tmp_path)) == 2
    assert not list(tmp_path.iterdir())
