"""The first look at a data set from the command line, and the start that it gives to fine-tuning."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import write_photos
from running import command, write_teacher

OPTIONS = ["--epochs", "1", "--batch-size", "16", "--mixed-precision", "fp32"]


def test_a_probe_is_written_and_makes_no_run(photos: Path, pretrained: str, tmp_path: Path) -> None:
    folder = tmp_path / "look"
    assert command("--dataset", photos, "--model", pretrained, *OPTIONS, "--probe", "--output", folder) == 0
    assert [path.name for path in folder.iterdir()] == ["probe.json"]
    found = json.loads((folder / "probe.json").read_text())
    assert found["images"] == {"train": 48, "validation": 12}
    low, high = found["interval_95"]
    assert low <= found["top1"] <= high
    assert [point["images"] for point in found["curve"]] == [6, 12, 24, 48]


def test_broken_images_are_named_at_once_where_none_are_kept(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for role in ("train", "val"):
        write_photos(tmp_path / "data" / role, classes=2, each=10)
    for name in ("2.png", "4.png"):
        path = tmp_path / "data" / "train" / "class0" / name
        path.write_bytes(path.read_bytes()[:300])
    assert command("--dataset", tmp_path / "data", "--data.cache-gib", "0", *OPTIONS, "--probe") == 2
    assert "2 of 40 images cannot be read" in capsys.readouterr().err


@pytest.fixture
def no_work(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called, fail where features are computed or opened, something is fitted, or the speed is measured."""

    def begin() -> None:
        for name in ("transfer.features.Extractor.__call__", "probing.probe.fit", "probing.probe.nearest_neighbours"):
            monkeypatch.setattr(f"botzoo_finetune.{name}", lambda *args, name=name: pytest.fail(f"{name} was called"))
        monkeypatch.setattr("botzoo.tricks.mixed_precision.bf16_speedup", lambda: pytest.fail("speed was measured"))

    return begin


def test_the_second_probe_takes_everything_from_the_first(
    photos: Path, pretrained: str, tmp_path: Path, no_work: Callable[[], None]
) -> None:
    found = []
    for name in ("first", "second"):
        options = ["--dataset", photos, "--model", pretrained, "--output", tmp_path / name]
        assert command(*options, "--batch-size", "16", "--probe") == 0
        found.append(json.loads((tmp_path / name / "probe.json").read_text()))
        no_work()
    assert found[0] | {"seconds": 0, "kept_from_before": True} == found[1] | {"seconds": 0}
    assert not found[0]["kept_from_before"]


@pytest.mark.slow
def test_fine_tuning_and_comparing_take_the_probe_from_before(
    photos: Path, pretrained: str, tmp_path: Path, no_work: Callable[[], None]
) -> None:
    options = ["--dataset", photos, *OPTIONS]
    assert command(*options, "--model", pretrained, "--output", tmp_path / "first") == 0
    no_work()
    assert command(*options, "--model", pretrained, "--output", tmp_path / "second") == 0
    assert "as kept from before" in (tmp_path / "second" / "log.txt").read_text()
    weights = [load_file(tmp_path / name / "model" / "model.safetensors")["fc.weight"] for name in ("first", "second")]
    assert torch.equal(*weights)
    shutil.copytree(pretrained.removeprefix("local-dir:"), again := tmp_path / "again")
    models = f"{pretrained},local-dir:{again}"
    assert command(*options, "--compare", models, "--output", tmp_path / "look") == 0


@pytest.mark.slow
@pytest.mark.parametrize("more", [["--seed", "1"], ["--img-size", "64"], ["--data.val-fraction", "0.3"]], ids=" ".join)
def test_another_question_gets_another_probe(photos: Path, pretrained: str, cache: Path, more: list[str]) -> None:
    options = ["--dataset", photos, "--model", pretrained, *OPTIONS, "--probe"]
    assert command(*options) == command(*options, *more) == 0
    assert len(list((cache / "probes").iterdir())) == 4  # a probe and an outlook of each


def test_a_probe_never_looks_at_the_test_split(pretrained: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_photos(tmp_path / "data" / split, classes=3, each=10)
    options = ["--dataset", tmp_path / "data", "--model", pretrained, *OPTIONS]
    assert command(*options, "--probe", "--output", tmp_path / "look") == 0
    assert json.loads((tmp_path / "look" / "probe.json").read_text())["split"] == "validation"


@pytest.mark.slow
def test_fine_tuning_starts_from_the_probe_and_a_frozen_body_from_the_best(
    photos: Path, pretrained: str, tmp_path: Path
) -> None:
    options = ["--dataset", photos, "--model", pretrained, *OPTIONS, "--lr", "1e-9", "--freeze", "backbone"]
    found = {}
    for flag in ("--lp-ft", "--no-lp-ft"):
        assert command(*options, flag, "--output", tmp_path / flag) == 0
        lines = [json.loads(line) for line in (tmp_path / flag / "metrics.jsonl").read_text().splitlines()]
        found[flag] = next(line for line in lines if line["split"] == "validation")
    assert found["--lp-ft"]["loss"] < found["--no-lp-ft"]["loss"]
    assert f"probe      {found['--lp-ft']['top1']:.2f} %" in (tmp_path / "--lp-ft" / "log.txt").read_text()


@pytest.mark.slow
def test_a_classifier_that_came_with_the_weights_is_kept(photos: Path, tmp_path: Path) -> None:
    start = write_teacher(tmp_path / "model", classes=3)
    options = ["--dataset", photos, "--model", f"local-dir:{start}", *OPTIONS, "--lr", "1e-9"]
    assert command(*options, "--output", tmp_path / "run") == 0
    assert "the classifier starts from" not in (tmp_path / "run" / "log.txt").read_text()
    name = "fc.weight"
    before, after = (load_file(folder / "model.safetensors") for folder in (start, tmp_path / "run" / "model"))
    torch.testing.assert_close(after[name], before[name], atol=1e-5, rtol=0)


def test_probe_and_scratch_is_one_line_and_status_2(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--dataset", photos, "--probe", "--scratch") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_in_use_is_not_written_into(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert command("--dataset", photos, "--probe", "--output", tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("classes", "each"), [(3, 1), (12, 1), (2, 2)])
def test_a_handful_of_images_is_probed_all_the_same(
    pretrained: str, cache: Path, tmp_path: Path, classes: int, each: int
) -> None:
    for split in ("train", "validation"):
        write_photos(tmp_path / "data" / split, classes, each)
    options = ["--dataset", tmp_path / "data", "--model", pretrained, "--mixed-precision", "fp32"]
    assert command(*options, "--probe", "--output", tmp_path / "look") == 0
    assert json.loads((tmp_path / "look" / "probe.json").read_text())["folds"] == (2 if each > 1 else 0)


@pytest.mark.parametrize("mode", ["--probe", "--dry-run"])
def test_images_that_are_all_alike_are_one_line_and_status_2(
    pretrained: str, cache: Path, tmp_path: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photos(tmp_path / "data", classes=2, each=10)
    image = (tmp_path / "data" / "class0" / "0.png").read_bytes()
    for file in (tmp_path / "data").rglob("*.png"):
        file.write_bytes(image)
    options = ["--dataset", tmp_path / "data", "--model", pretrained, "--mixed-precision", "fp32"]
    assert command(*options, mode) == 2
    assert "has looked at are all alike to it" in (error := capsys.readouterr().err)
    assert error.count("\n") == 1


def test_weights_with_nan_are_one_line_and_status_2(
    photos: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_teacher(tmp_path / "model", classes=5)
    weights = load_file(folder / "model.safetensors")
    weights["conv1.0.weight"][0] = float("nan")
    save_file(weights, folder / "model.safetensors")
    options = ["--dataset", photos, "--model", f"local-dir:{folder}", *OPTIONS]
    assert command(*options, "--probe", "--output", tmp_path / "look") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "NaN" in error
    assert not (tmp_path / "look").exists()


@pytest.mark.slow
def test_of_too_many_classes_there_is_no_probe_and_a_run_starts_without(
    photos: Path, pretrained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botzoo_finetune.probing.probe.MOST_CLASSES", 2)
    options = ["--dataset", photos, "--model", pretrained, *OPTIONS]
    assert command(*options, "--probe") == 2
    assert "A probe is of 2 classes at most; photos has 3: leave it out." in capsys.readouterr().err.replace(
        f"{photos}", "photos"
    )
    assert command(*options, "--output", tmp_path / "run") == 0
    assert "the classifier starts at random: a probe is of 2 classes" in (tmp_path / "run" / "log.txt").read_text()
