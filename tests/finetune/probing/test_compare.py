"""Several networks probed on the same images."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.probing.compare import Row, ranking, with_weights
from running import command, write_teacher


def test_models_are_ranked_by_their_probes(photos: Path, tmp_path: Path) -> None:
    models = [f"local-dir:{write_teacher(tmp_path / name, size=size)}" for name, size in (("a", 32), ("b", 64))]
    words = ("--dataset", photos, "--batch-size", 16, "--mixed-precision", "fp32", "--output", tmp_path / "look")
    assert command(*words, "--compare", ",".join(models)) == 0
    rows = json.loads((tmp_path / "look" / "compare.json").read_text())["ranking"]
    assert {row["model"] for row in rows} == set(models)
    assert rows[0]["top1"] >= rows[1]["top1"]
    assert {row["size"] for row in rows} == {32, 64}


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("resnet10d_bot", "two or more different models"),
        ("resnet10d_bot,resnet10d_bot", "two or more different models"),
        ("resnet10d_bott,resnet10d_bot", "--compare resnet10d_bott: "),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    models: str, said: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--dataset", photos, "--mixed-precision", "fp32", "--compare", models) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("file", ["w.safetensors", "a/b.safetensors@student.encoder", "w.pth"])
def test_weights_stand_behind_the_name_of_a_model(file: str) -> None:
    config = with_weights(FinetuneConfig(), f"resnet18={file}")
    assert (config.model, config.pretrained) == ("resnet18", file)


def test_the_table_names_the_best_and_what_may_be_as_good() -> None:
    best = Row("a", 90.0, (85.0, 95.0), 100, 1.0, 500.0, 2_000_000, 3_000_000_000, 224)
    rows = [best, replace(best, model="bb", interval=(80.0, 92.0)), replace(best, model="c", interval=(70.0, 80.0))]
    lines = list(ranking(rows))
    assert lines[1].split() == [
        *("a", "90.00", "%", "85.00", "to", "95.00", "1.0", "500"),
        *["2.0", "M", "3.00", "G", "224", "px"],
    ]
    assert "--model a" in lines[-1]
    assert lines[-1].endswith("bb may be as good")


def test_a_file_of_weights_is_compared_with_others(photos: Path, tmp_path: Path) -> None:
    folder = write_teacher(tmp_path / "a=b")
    models = [f"local-dir:{folder}", f"test_resnet={folder / 'model.safetensors'}"]
    words = ("--dataset", photos, "--img-size", 32, "--mixed-precision", "fp32", "--output", tmp_path / "look")
    assert command(*words, "--compare", ",".join(models)) == 0
    rows = json.loads((tmp_path / "look" / "compare.json").read_text())["ranking"]
    assert {row["model"] for row in rows} == set(models)


def test_the_best_is_said_as_it_is_to_be_given() -> None:
    best = Row("a=b/c.safetensors", 90.0, (85.0, 95.0), 100, 1.0, 500.0, 2_000_000, 3_000_000_000, 224)
    assert "--model a --pretrained b/c.safetensors, by" in list(ranking([best]))[-1]
