"""Damage to any file of a run that was killed or has ended, or a kill as it begins, never changes its result."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from botzoo.errors import BotzooError, CheckpointError
from botzoo.options.command_line import load_config
from botzoo.options.config import TrainConfig
from botzoo.results.record import NEEDED
from botzoo.results.report import checked
from botzoo.training.callbacks import Callback
from botzoo.training.recording.checkpoint import BEST, load_newest
from botzoo.training.run import train
from botzoo.util import files as writing
from botzoo.util.files import read_sealed, write_json
from conftest import write_photos
from damage import DAMAGES, damage, files_in
from running import TINY, final_weights, train_briefly

pytestmark = pytest.mark.slow  # all of them together

KILLED_AFTER = 7
"""Of 8 steps, 4 an epoch."""


class Kill(BaseException):
    """Ends a run as a kill does, but spares the process."""


class KillAfter(Callback):
    def on_log(self, run: Any, record: dict[str, Any]) -> None:
        if record["step"] == KILLED_AFTER:
            raise Kill


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    photos = write_photos(tmp_path_factory.mktemp("few"), classes=3, each=7)
    few = {"epochs": 2, "batch_size": 4, "checkpoint_every": 2, "engine": {"log_every": 1}}
    return {**TINY, **few, "mixed_precision": "fp32", "dataset": str(photos)}


def made(options: dict[str, Any], folder: Path) -> TrainConfig:
    from botzoo.options.command_line import made

    return made({**options, "output": str(folder)}, TrainConfig)


@pytest.fixture(scope="module")
def killed(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "run"
    with pytest.raises(Kill):
        train(made(options, folder), [KillAfter()])
    return folder


def resumed(folder: Path) -> None:
    train(load_config(folder / "config.yaml", TrainConfig), resume=folder)


def result(folder: Path) -> tuple[list[Any], list[Any]]:
    """Return the final weights, and the figures without what the clock says."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    figures = [{key: line[key] for key in line.keys() - {"seconds", "images_per_second"}} for line in lines]
    return [tensor.tolist() for tensor in final_weights(folder).values()], figures


@pytest.fixture(scope="module")
def whole(killed: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What comes of the killed run where nothing is damaged."""
    folder = shutil.copytree(killed, tmp_path_factory.mktemp("whole") / "run")
    resumed(folder)
    return result(folder)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_checkpoint_with_a_damaged_file_is_passed_over(kind: str, killed: Path, tmp_path: Path) -> None:
    for name in files_in(newest := killed / "checkpoints" / "step-00000006"):
        folder = shutil.copytree(killed / "checkpoints", tmp_path / name)
        damage(folder / newest.name / name, kind)
        found = load_newest(folder, torch.device("cpu"))
        assert found is not None
        assert found[0].step == 4, name


@pytest.mark.slow
def test_damage_to_any_file_of_a_killed_run_is_mended_or_said(
    killed: Path, whole: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rest = [name for name in files_in(killed) if "step-" not in name and name != ".lock"]
    for name, kind in zip([*rest, "checkpoints/step-00000006/tensors.pt"], DAMAGES, strict=False):
        folder = shutil.copytree(killed, tmp_path / kind)
        damage(folder / name, kind)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "botzoo"):
            resumed(folder)
        if result(folder) != whole:
            assert name == "checkpoints/best.safetensors", (name, kind)
            assert "best weights cannot be taken" in caplog.text
        assert len(caplog.messages) <= 1, (name, kind)


def read_again(folder: Path) -> Any:
    """Return what a card is made of, or the line that says why there can be none."""
    try:
        return vars(checked(folder)) | {"folder": None, "evaluation": None, "held_out": None}
    except BotzooError as error:
        return str(error)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_to_any_file_of_a_finished_run_is_one_line(kind: str, finished_run: Path, tmp_path: Path) -> None:
    right = read_again(finished_run)
    believed = ("config.yaml", "run.json", "metrics.jsonl", "model/model.safetensors")
    for name in (*believed, *(n for n in files_in(finished_run) if n.startswith("evaluation/"))):
        folder = shutil.copytree(finished_run, tmp_path / Path(name).name)
        damage(folder / name, kind)
        if (folder / name).read_bytes() != (finished_run / name).read_bytes():
            found = read_again(folder)
            assert found == right or (Path(name).name in found or "weights in" in found), name
            assert found == right or "\n" not in found


def test_a_value_of_another_type_in_run_json_is_one_line(finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    facts = json.loads((folder / "run.json").read_text())
    facts.pop("sha256")
    for key in NEEDED:
        *groups, last = key.split(".")
        changed = json.loads(json.dumps(facts))
        place = changed
        for group in groups:
            place = place[group]
        place[last] = {"another": "type"}
        write_json(folder / "run.json", changed, seal=True)
        with pytest.raises(CheckpointError, match=f"run.json has no {key}"):
            checked(folder)


def test_a_finished_run_that_is_damaged_is_finished_anew(
    options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from botzoo.api import run_training

    folder = train_briefly(Path(options["dataset"]), tmp_path / "run", epochs=1)
    right = {name: tensor.clone() for name, tensor in final_weights(folder).items()}  # not mapped from the file
    damage(folder / "model" / "model.safetensors", "flipped")
    found = run_training(load_config(folder / "config.yaml", TrainConfig), command="botzoo train", resume=folder)
    assert found is not None
    assert all(torch.equal(tensor, right[name]) for name, tensor in final_weights(folder).items())
    assert "The end of the run is done again" in caplog.text


@pytest.mark.slow
def test_a_kill_at_any_moment_of_the_beginning_is_gone_on_from(
    options: dict[str, Any], whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace: Callable[..., Path] = Path.replace
    for k in range(4):  # config.yaml and run.json, each before and after it takes its place
        folder, count = tmp_path / str(k), iter(range(10))

        def killing(self: Path, target: Path, k: int = k, count: Any = count) -> Path:
            if (n := next(count)) == k // 2 and k % 2 == 0:
                raise Kill
            replace(self, target)
            if n == k // 2:
                raise Kill
            return target

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killing)
            patch.setattr(writing, "_remove", lambda path: None)  # a kill leaves what was half written
            with pytest.raises(Kill):
                train(made(options, folder))
        train(made(options, folder))
        assert result(folder) == whole


def test_a_folder_with_anything_else_is_left_alone(options: dict[str, Any], tmp_path: Path) -> None:
    for name in ("notes.txt", "checkpoints/mine", "config.yaml", "log.txt"):
        folder = tmp_path / name.replace("/", " ")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("mine: 1")
        with pytest.raises(BotzooError, match="exists already and is left as it is"):
            train(made(options, folder))
        assert files_in(folder) == [name]


def test_a_disk_that_is_too_small_is_told_of_before_the_folder_is_made(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9e9, 9e9, 5_000_000))
    with pytest.raises(BotzooError, match=r"The run needs [\d.]+ MiB in .*, where 4.8 MiB are free: make room"):
        train(made(options, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_what_a_checkpoint_takes_is_known_before_it_is_written(killed: Path, options: dict[str, Any]) -> None:
    from botzoo.training.recording.room import checkpoint_bytes
    from botzoo.training.setup import set_up

    size = next(killed.glob("checkpoints/step-*/tensors.pt")).stat().st_size
    assert checkpoint_bytes(set_up(made(options, killed))) == pytest.approx(size, rel=0.1)


def test_options_without_their_digest_are_taken_as_they_are_now_and_the_run_ends(killed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(killed, tmp_path / "run")
    options = (folder / "config.yaml").read_text().partition("\n")[2]
    (folder / "config.yaml").write_text(options.replace("\nepochs: 2\n", "\nepochs: 1\n"))  # fewer than were trained
    resumed(folder)
    assert (folder / "model" / "model.safetensors").is_file()
    assert json.loads(read_sealed(folder / "run.json"))["edited"] == [6]
    assert "epochs: 1\n" in read_sealed(folder / "config.yaml")
    assert (folder / "damaged-config.yaml").read_text().startswith("dataset:")  # as somebody wrote it


class KillAtTheEndOf(Callback):
    """Kills a run after the best weights of an epoch are written, and before the checkpoint that names them."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, run: Any, evaluation: Any) -> None:
        if run.epochs_done == self.epoch:
            raise Kill


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_kill_between_best_weights_and_their_checkpoint_changes_nothing(
    epoch: int, options: dict[str, Any], whole: Any, tmp_path: Path
) -> None:
    with pytest.raises(Kill):
        train(made(options, tmp_path / "run"), [KillAtTheEndOf(epoch)])
    resumed(tmp_path / "run")
    assert result(tmp_path / "run") == whole


def test_the_best_weights_of_another_run_are_not_taken(
    killed: Path, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(killed, tmp_path / "run")
    monkeypatch.setattr("botzoo.training.run.keep_best", lambda run, *others: False)  # no later epoch is better
    shutil.copyfile(finished_run / BEST, folder / BEST)
    resumed(folder)
    assert "has not the weights that belong to the checkpoint" in (folder / "log.txt").read_text()
    assert json.loads(read_sealed(folder / "run.json"))["best_lost"]
