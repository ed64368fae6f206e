"""A frozen backbone passed once: the same steps as through the network, and a whole model at the end."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from botzoo.data.order import Order
from botzoo.training.autotune import speed as measure
from botzoo.util.guard import guarded
from botzoo_finetune import cli
from botzoo_finetune.transfer.features import Extractor
from botzoo_finetune.transfer.head_only import in_parts
from running import SIGKILLED, TINY, finetune, finetune_and_signal, run, write_teacher

Finetuned = Callable[..., Path]

OPTIONS = [
    "--freeze",
    "backbone",
    "--epochs",
    "2",
    "--batch-size",
    "16",
    "--mixed-precision",
    "fp32",
    "--lp-ft",
    "false",
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "features"
    AcceleratorState._reset_state()


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_teacher(tmp_path_factory.mktemp('weights') / 'model', classes=5)}"


@pytest.fixture
def finetuned(photos: Path, pretrained: str, tmp_path: Path) -> Finetuned:
    def run(name: str, *more: str, status: int = 0) -> Path:
        argv = ["--dataset", str(photos), "--model", pretrained, *OPTIONS, *more, "--output", str(tmp_path / name)]
        assert guarded(cli.PROG, cli._main, argv) == status
        return tmp_path / name

    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def test_the_steps_are_those_through_the_network(finetuned: Finetuned) -> None:
    whole = ["--views", "0", "--data.crop-min", "1", "--data.hflip", "0"]  # images of this size are resized whole then
    through, kept = weights(finetuned("through", *whole)), weights(finetuned("kept"))
    assert set(kept) == set(through)
    for name in kept:
        torch.testing.assert_close(kept[name], through[name], rtol=0.02, atol=2e-3, msg=name)


def test_every_epoch_passes_the_classifier_only(finetuned: Finetuned, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[object] = []
    compute = Extractor._compute
    monkeypatch.setattr(Extractor, "_compute", lambda *args: computed.append(args) or compute(*args))
    log = (finetuned("run", "--epochs", "4") / "log.txt").read_text()
    assert len(computed) == 2
    assert "computed once and kept" in log


def test_without_room_on_the_disk_they_are_computed_once_all_the_same(
    finetuned: Finetuned, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[object] = []
    compute = Extractor._compute
    monkeypatch.setattr(Extractor, "_compute", lambda *args: computed.append(args) or compute(*args))
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    finetuned("run", "--views", "2", "--epochs", "5")
    assert len(computed) == 3  # two views of the training images, one of the validation images


def test_views_take_turns(finetuned: Finetuned, cache: Path) -> None:
    finetuned("run", "--views", "2", "--epochs", "5")
    assert len(list(cache.glob("*.npy"))) == 3  # two of the training images, one of the validation images


def test_the_average_of_the_classifier_is_kept(finetuned: Finetuned) -> None:
    plain, averaged = weights(finetuned("plain")), weights(finetuned("averaged", "--ema", "0.9"))
    assert [name for name in plain if not torch.equal(plain[name], averaged[name])] == ["fc.bias", "fc.weight"]


def test_epochs_of_the_classifier_are_averaged(finetuned: Finetuned) -> None:
    plain, soup = finetuned("plain", "--epochs", "3"), finetuned("soup", "--epochs", "3", "--soup", "3")
    lines = [json.loads(line) for line in (soup / "metrics.jsonl").read_text().splitlines()]
    trials = [line for line in lines if line["split"] == "soup"]
    assert len(trials) == 2
    changed = {name for name, tensor in weights(plain).items() if not torch.equal(tensor, weights(soup)[name])}
    assert changed == ({"fc.bias", "fc.weight"} if any(trial["kept"] for trial in trials) else set())


@pytest.mark.parametrize(("batch", "world", "micro"), [(4096, 1, 128), (4096, 2, 128), (300, 1, 150), (8, 2, 4)])
def test_the_whole_network_is_judged_on_no_more_images_at_once_than_gave_features(
    batch: int, world: int, micro: int
) -> None:
    assert in_parts(Order(5000, batch, 0, world_size=world), 334).micro_batch == micro


def test_the_closing_figure_is_the_whole_networks(finetuned: Finetuned) -> None:
    lines = [json.loads(line) for line in (finetuned("run") / "metrics.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines if line["split"] == "validation"] == [12, 12]


@pytest.mark.parametrize("flags", [["--mixup", "0.2"], ["--paper-augment", "true"]], ids=" ".join)
def test_what_changes_images_passes_the_network_or_is_refused(
    finetuned: Finetuned, cache: Path, flags: list[str]
) -> None:
    finetuned("run", *flags)
    assert not cache.exists()
    finetuned("refused", *flags, "--views", "1", status=2)


def test_a_budget_counts_the_closing_evaluation_through_the_whole_network(
    finetuned: Finetuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "_evaluation", lambda settled, *rest: (0.0, 0.0 if settled.shortcut else 49.1))
    monkeypatch.setattr(measure, "UNMEASURED", 0.0)
    finetuned("run", "--epochs", "null", "--budget", "80s", "--dry-run")
    assert "49 s at the end" in capsys.readouterr().out


def test_what_augments_images_passes_the_network_unless_views_are_asked_for(finetuned: Finetuned, cache: Path) -> None:
    flags = ["--epochs", "1", "--augment.randaugment", "9"]
    assert "randaugment 9" in (finetuned("run", *flags) / "log.txt").read_text()
    assert not cache.exists()
    finetuned("views", *flags, "--views", "2")
    assert cache.exists()


def test_views_without_a_frozen_network_are_refused(finetuned: Finetuned, capsys: pytest.CaptureFixture[str]) -> None:
    finetuned("run", "--freeze", "none", "--views", "2", status=2)
    assert "give --freeze backbone too" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--class-weights", "balanced"], ["--data.sampling", "balanced"]], ids=" ".join)
def test_rare_classes_count_for_more_on_features_too(
    finetuned: Finetuned, photos: Path, tmp_path: Path, flags: list[str]
) -> None:
    few = tmp_path / "few"
    shutil.copytree(photos, few, ignore=lambda folder, names: names[4:] if folder.endswith("class2") else [])
    flags = [*flags, "--optimizer", "sgd"]
    whole = ["--views", "0", "--data.crop-min", "1", "--data.hflip", "0"]
    through, kept = (
        weights(finetuned(n, "--dataset", str(few), *flags, *more)) for n, more in (("a", whole), ("b", []))
    )
    plain = weights(finetuned("plain", "--dataset", str(few), "--optimizer", "sgd"))
    assert not torch.allclose(plain["fc.bias"], kept["fc.bias"], atol=2e-3)
    torch.testing.assert_close(kept["fc.weight"], through["fc.weight"], rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("views", [1, 2])
def test_killed_and_resumed_weights_are_identical_to_the_bit(
    views: int, photos: Path, pretrained: str, tmp_path: Path, cache: Path
) -> None:
    own = {"model": pretrained, "scratch": False, "mixup": 0.0, "cutmix": 0.0, "drop_rate": 0.2}
    head = {**TINY, **own, "dataset": str(photos), "freeze": "backbone", "views": views}
    whole, killed = ({**head, "output": str(tmp_path / name)} for name in ("whole", "killed"))
    env = {"BOTZOO_CACHE": str(cache.parent)}
    assert run(finetune, whole, env=env) == 0
    assert run(finetune_and_signal, killed, signal.SIGKILL, 9, env=env) == SIGKILLED  # in the second of three epochs
    shutil.rmtree(cache)  # what it goes on with is computed anew
    assert run(finetune, killed, killed["output"], env=env) == 0
    ours, theirs = weights(tmp_path / "killed"), weights(tmp_path / "whole")
    assert "computed once and kept" in (tmp_path / "whole" / "log.txt").read_text()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
