"""The frozen network with its probe, which every epoch has to beat: what is kept, what is said, and after a kill."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from botzoo.results.record import RunRecord
from botzoo.tasks.multi_label import MultiLabelEvaluation
from botzoo_finetune.probing import first_look, start
from botzoo_finetune.probing.probe import Linear, Probe, probe
from running import SIGKILLED, command, final_weights, finetune, finetune_and_signal, run

WORDS = ("--epochs", 2, "--batch-size", 16, "--mixed-precision", "fp32")


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [("--lr", 0.3), ("--freeze", "backbone"), ("--ema", 0.9, "--soup", 2)],
    ids=lambda more: " ".join(map(str, more)),
)
def test_of_equals_the_network_as_it_was_is_kept_with_its_probe(
    more: tuple[object, ...], photos: Path, pretrained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--dataset", photos, "--model", pretrained, *WORDS, *more, "--output", tmp_path / "run")
    assert command(*words) == 0  # the probe has all of these images right
    before = load_file(Path(pretrained.removeprefix("local-dir:")) / "model.safetensors")
    after = final_weights(tmp_path / "run")
    assert [name for name in before if not torch.equal(before[name], after[name])] == ["fc.bias", "fc.weight"]
    assert facts(tmp_path / "run")["best_epoch"] == 0
    assert "no epoch is better" in capsys.readouterr().out
    assert "no epoch is better" in (tmp_path / "run" / "model" / "README.md").read_text()


@pytest.fixture
def useless_probe(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes that say the same of every image."""

    def useless(*args: Any) -> Probe:
        found = probe(*args)
        return replace(found, linear=nothing(found))

    def nothing(found: Probe, *args: Any) -> Linear:
        return Linear(*(np.zeros_like(part) for part in vars(found.linear).values()))

    monkeypatch.setattr(first_look.probes, "probe", useless)
    monkeypatch.setattr(first_look.probes, "gentle", nothing)


@pytest.mark.slow
@pytest.mark.usefixtures("useless_probe")
def test_an_epoch_that_is_better_is_kept_and_its_gain_said(
    photos: Path, pretrained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--dataset", photos, "--model", pretrained, *WORDS, "--output", tmp_path / "run") == 0
    found = facts(tmp_path / "run")
    gain, (low, high) = found["gain"]["gain"], found["gain"]["interval_95"]
    assert found["best_epoch"] == found["gain"]["epoch"] > 0
    assert found["gain"]["split"] == "validation"
    assert 0 < low < gain < high
    assert f"{gain:+.2f} points (95 % interval {low:+.2f} to {high:+.2f}" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("useless_probe")
def test_the_interval_of_the_gain_is_worked_out_once(
    pictures: Path, pretrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def gain(self: MultiLabelEvaluation, before: MultiLabelEvaluation) -> tuple[float, float, float]:
        asked.append(self.score)
        return 1.0, 0.0, 2.0

    monkeypatch.setattr(MultiLabelEvaluation, "gain", gain)
    words = ("--dataset", pictures, "--model", pretrained, *WORDS, "--freeze", "backbone", "--lr", 1.0, "--epochs", 6)
    assert command(*words, "--output", tmp_path / "run") == 0
    scores = [line["map"] for line in RunRecord.load(tmp_path / "run").of("validation")]
    assert scores[0] < scores[1]  # so that two epochs, at the least, were the best so far
    assert asked == [max(scores)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["--dry-run", "--find-lr"])
def test_a_rehearsal_does_not_evaluate_what_a_run_would_start_from(
    mode: str, photos: Path, pretrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # for its picture
    monkeypatch.setattr(start, "evaluate_split", None)
    assert command("--dataset", photos, "--model", pretrained, *WORDS, "--batch-size", 4, mode) in (
        0,
        2,
    )  # 2: the loss never falls


@pytest.fixture(scope="module")
def options(photos: Path, pretrained: str) -> dict[str, Any]:
    plain = {"epochs": 2, "batch_size": 16, "lr": 0.3, "mixed_precision": "fp32", "auto": False}
    return {"dataset": str(photos), "model": pretrained, **plain}


@pytest.fixture(scope="module")
def whole(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "whole"
    finetune({**options, "output": str(folder)})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 5])  # before the first checkpoint, and after it
def test_killed_and_resumed_it_is_compared_all_the_same(
    step: int, options: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    cut = {**options, "output": str(killed)}
    assert run(finetune_and_signal, cut, signal.SIGKILL, step) == SIGKILLED
    finetune(options, resume=str(killed))
    assert RunRecord.load(whole).gain == RunRecord.load(killed).gain is not None
    assert all(torch.equal(tensor, final_weights(killed)[name]) for name, tensor in final_weights(whole).items())
    starts = [line for line in (killed / "metrics.jsonl").read_text().splitlines() if '"start"' in line]
    assert len(starts) == 1
