"""A run that was killed and resumed ends as if nothing had happened, whatever it keeps in mind."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from botzoo.errors import StoppedError
from botzoo.tasks.answers import read_answers
from botzoo.training.autotune import budget
from botzoo.training.autotune.budget import Pace
from botzoo.training.autotune.speed import Costs
from botzoo.training.callbacks import Callback
from botzoo.util.files import read_sealed, write_json
from botzoo.util.guard import ENDING
from conftest import write_photos
from data.streaming.made import write_tars
from running import SIGKILLED, TINY, bare, context, final_weights, finetune_and_signal, run, write_teacher

pytestmark = pytest.mark.slow

BASE = {**TINY, "epochs": 2, "checkpoint_every": 4}
"""12 steps, 6 of them an epoch: 48 of 60 images in batches of 8."""


class Case(NamedTuple):
    """What a run is to keep in mind, and the steps after which it is killed.

    Attributes:
        options: besides ``BASE``.
        kills: each sitting goes on from the newest checkpoint and is killed after one of these steps.
        data: name of the data set, or of the fixture that makes it.
    """

    options: dict[str, Any]
    kills: tuple[int, ...] = (7,)
    data: str = "photos"


PRETRAINED = {"scratch": False, "pretrained": "TEACHER"}
FROZEN = {**PRETRAINED, "freeze": "backbone", "mixup": 0.0, "cutmix": 0.0, "drop_rate": 0.2}
UNEVEN = {"data": {"sampling": "balanced"}, "batch_size": 6}
ALL = {"vflip": 0.5, "rotate90": True, "randaugment": 9, "blur": 0.5, "noise": 0.02, "random_erasing": 0.5}

CASES = {
    "before the first checkpoint and later": Case({"drop_rate": 0.2, "xavier_init": True}, (1, 9)),
    "distillation and progressive resizing": Case(
        {"distillation": "TEACHER", "data": {"train_scale": 1.5, "train_scale_epochs": 1}}
    ),
    "soup, and after the last step": Case({"epochs": 3, "lr": 0.1, "soup": 3, "keep_checkpoints": 1}, (14, 18)),
    "plateau": Case(
        {
            "epochs": 3,
            "cosine": False,
            "min_delta": 1000.0,  # so that no epoch counts as better
            "optim": {"decay": "plateau", "decay_patience": 1, "decay_factor": 0.5},
        },
        (15,),
    ),
    "patience, and sampling by class": Case(
        {"epochs": 3, "patience": 2, "min_delta": 1000.0, **UNEVEN}, (9,), "uneven"
    ),
    "part of an epoch, class weights and lamb": Case(
        {"epochs": None, "steps": 9, "class_weights": "balanced", "optimizer": "lamb", "ema": None}, (8,)
    ),
    "budget that was made longer": Case({"epochs": None, "budget": "10s"}, (10,)),
    "workers and augmentation": Case({"engine": {"workers": 2}, "paper_augment": True, "augment": ALL}),
    "streaming": Case({"data": {"streaming": True, "shuffle_buffer": 5}, "engine": {"workers": 2}}, data="shards"),
    "two views of frozen features": Case({**FROZEN, "views": 2}),
    "gradual unfreezing": Case({**PRETRAINED, "unfreeze_every": 1, "layer_decay": 0.8, "ema": None}),
    "several labels": Case({}, data="pictures"),
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_teacher(tmp_path_factory.mktemp('teacher'))}"


@pytest.fixture(scope="module")
def places(photos: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where each data set is."""
    folder = tmp_path_factory.mktemp("sets")
    uneven = write_photos(folder / "uneven", classes=3, each=16)
    for i in range(10):
        (uneven / "class2" / f"{i}.png").unlink()
    return {"photos": photos, "pictures": pictures, "uneven": uneven, "shards": write_tars(folder / "shards")}


def trained_on_time(options: dict[str, Any], resume: str | None = None) -> Any:
    """Train with a budget, where there is one, of 8 steps, and of 12 from the first epoch on; nothing is measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "measure", lambda *args: Costs(((0, 1.0),), 0.0, 0.0, 0.0, 0.0))
        patch.setattr(budget, "fit_steps", lambda *args: 8)
        patch.setattr(Pace, "refit", lambda self, step, seconds: 12 if step == 6 else self.steps)
        return bare(options, resume)


def figures(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl but for what the clock said."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in line.keys() - {"seconds", "images_per_second"}} for line in lines]


def same_weights(a: Path, b: Path) -> bool:
    ours, theirs = final_weights(a), final_weights(b)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * ("engine" in case.options)) for name, case in CASES.items()]
)
def test_killed_and_resumed_it_is_the_same_to_the_bit(
    name: str, places: dict[str, Path], teacher: str, tmp_path: Path
) -> None:
    case, whole, killed = CASES[name], tmp_path / "whole", tmp_path / "killed"
    named = {key: teacher for key, value in case.options.items() if value == "TEACHER"}
    options = {**BASE, **case.options, **named, "dataset": str(places[case.data])}
    trained_on_time({**options, "output": str(whole), "engine": {"workers": 0}})  # which changes nothing either
    resume = None
    for step in case.kills:
        cut = {**options, "output": str(killed)}
        assert run(finetune_and_signal, cut, signal.SIGKILL, step, resume, trained_on_time) == SIGKILLED
        resume = str(killed)
    trained_on_time(options, resume)
    assert figures(killed) == figures(whole)
    assert same_weights(killed, whole)


@pytest.fixture(scope="module")
def options(photos: Path) -> dict[str, Any]:
    return {**BASE, "dataset": str(photos), "engine": {"log_every": 1}}


@pytest.fixture(scope="module")
def uninterrupted(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    bare({**options, "output": str(folder)})
    return folder


class Killed(BaseException):
    """Ends a run as a kill does, but spares the process."""


class After(Callback):
    """Sends this process a signal while a step ends, which is granted after the next one; without a number it dies."""

    def __init__(self, step: int, number: int | None = None) -> None:
        self.step, self.number = step, number

    def on_log(self, run: Any, record: dict[str, Any]) -> None:
        if record["step"] == self.step:
            if self.number is None:
                raise Killed
            os.kill(os.getpid(), self.number)


def killed_after(step: int, options: dict[str, Any], folder: Path) -> Path:
    with pytest.raises(Killed):
        bare({**options, "output": str(folder)}, None, After(step))
    return folder / "checkpoints"


@pytest.mark.parametrize(("number", "status"), [(n, 128 + n) for n in ENDING])
def test_a_signal_writes_a_checkpoint_and_names_the_command_to_go_on(
    number: int, status: int, options: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(StoppedError, match=f"botzoo-finetune --resume {folder}") as caught:
        bare({**options, "output": str(folder)}, None, After(1, number))
    assert caught.value.exit_status == status
    assert (folder / "checkpoints" / "step-00000002").is_dir()


def test_after_a_signal_in_the_middle_of_an_epoch_it_ends_as_one_that_was_not_stopped(
    options: dict[str, Any], uninterrupted: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        bare({**options, "output": str(tmp_path / "run")}, None, After(6, ENDING[0]))
    bare(options, str(tmp_path / "run"))
    assert same_weights(tmp_path / "run", uninterrupted)


class Interrupt(Callback):
    """Presses Ctrl-C after the last step."""

    def on_train_end(self, run: Any) -> None:
        raise KeyboardInterrupt


def test_an_interrupt_after_the_last_step_names_the_command_to_go_on(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match=f"--resume {tmp_path / 'run'}"):
        bare({**options, "epochs": 1, "output": str(tmp_path / "run")}, None, Interrupt())


def test_a_damaged_checkpoint_is_passed_over(options: dict[str, Any], uninterrupted: Path, tmp_path: Path) -> None:
    newest = killed_after(9, options, tmp_path / "run") / "step-00000008" / "tensors.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    bare(options, str(tmp_path / "run"))
    assert same_weights(tmp_path / "run", uninterrupted)


def test_damaged_best_weights_are_replaced_by_the_last(options: dict[str, Any], tmp_path: Path) -> None:
    checkpoints = killed_after(11, options, tmp_path / "run")
    best = checkpoints / "best.safetensors"
    best.write_bytes(best.read_bytes()[:-100])
    state = checkpoints / "step-00000008" / "state.json"
    progress = json.loads(read_sealed(state))
    progress["progress"]["best_score"] = 101.0  # so that the last epoch does not write it anew
    write_json(state, progress, seal=True)
    assert bare(options, str(tmp_path / "run")).progress.best_epoch == 2
    assert "best weights cannot be taken" in (tmp_path / "run" / "log.txt").read_text()


def test_an_end_that_is_done_again_is_the_same_to_the_bit(uninterrupted: Path, tmp_path: Path) -> None:
    again = shutil.copytree(uninterrupted, tmp_path / "again")
    shutil.rmtree(again / "model")
    shutil.rmtree(again / "evaluation")
    bare({}, str(again))
    assert same_weights(again, uninterrupted)
    (names, ours), (others, theirs) = (
        read_answers(folder / "evaluation" / "validation.parquet") for folder in (again, uninterrupted)
    )
    assert names == others
    assert all((ours[key] == theirs[key]).all() for key in theirs)


@pytest.mark.slow
def test_a_signal_to_the_whole_group_spares_the_workers(options: dict[str, Any], tmp_path: Path) -> None:
    # Long epochs: workers leave signals alone only once they have started, and each evaluation starts new ones.
    long = {"epochs": 400, "batch_size": 2, "checkpoint_every": 1, "engine": {"workers": 2}}
    options = {**options, "output": str(tmp_path / "run"), **long}
    process = context.Process(target=own_group, args=(options,))
    process.start()
    while not list((tmp_path / "run").glob("checkpoints/step-*")):
        time.sleep(0.1)
    subprocess.run(["kill", "-TERM", "--", f"-{process.pid}"], check=True)  # not from this process, the workers' parent
    process.join(60)
    assert json.loads((tmp_path / "run" / "stopped.json").read_text())[1] == 143


def own_group(options: dict[str, Any]) -> None:
    os.setsid()
    finetune_and_signal(options, signal.SIGTERM, -1, None, bare)
