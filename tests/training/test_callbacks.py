"""The protocol of callbacks on a real run: when each is called, what it may do then, and what is kept of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from botzoo.errors import ConfigError
from botzoo.options.choices import Choice
from botzoo.options.command_line import load_config, made
from botzoo.options.config import TrainConfig
from botzoo.training.callbacks import Callback, load_states, states
from botzoo.training.rehearsal import dry_run
from botzoo.training.run import train
from botzoo.training.state import Run

HOOKS = [name for name in vars(Callback) if name.startswith("on_")]
QUICK = {
    "model": "test_resnet",
    "scratch": True,
    "img_size": 32,
    "epochs": 2,
    "batch_size": 16,
    "mixed_precision": "fp32",
}
"""Two epochs of three steps."""


def config(photos: Path, output: Path, **options: Any) -> TrainConfig:
    return made({**QUICK, "dataset": str(photos), "output": str(output), **options}, TrainConfig)


class Recorder(Callback):
    """Notes every call, by its name and what tells the calls of one name apart."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __getattribute__(self, name: str) -> Any:
        if name not in HOOKS:
            return super().__getattribute__(name)
        return lambda *args: self.noted(name, *args)

    def noted(self, name: str, subject: Any, *more: Any) -> Any:
        detail: Any = more[0] if name == "on_epoch_start" else None
        if name in ("on_train_start", "on_epoch_end", "on_train_end", "on_finish"):
            detail = subject.progress.step
        self.calls.append((name, detail))
        return () if name in ("on_resolve", "on_plan") else None


class Look(Callback):
    """Looks at what there is at some moments."""

    def __init__(self) -> None:
        self.folder_at_start: Path | None = None
        self.best = self.finished = False

    def on_train_start(self, run: Run) -> None:
        self.folder_at_start = run.place

    def on_train_end(self, run: Run) -> None:
        best = load_file(run.folder / "checkpoints" / "best.safetensors")
        self.best = all(torch.equal(value, best[name]) for name, value in run.trainer.evaluated.state_dict().items())

    def on_finish(self, run: Run) -> None:
        there = ("model/model.safetensors", "evaluation/validation.parquet", "metrics.jsonl", "run.json")
        self.finished = all((run.folder / name).is_file() for name in there)


@pytest.fixture(scope="module")
def recorded(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recorder, Look, Run]:
    recorder, look = Recorder(), Look()
    return recorder, look, train(config(photos, tmp_path_factory.mktemp("run") / "run"), [recorder, look])


def test_hooks_come_in_the_order_of_the_protocol(recorded: tuple[Recorder, Look, Run]) -> None:
    assert list(dict.fromkeys(name for name, _ in recorded[0].calls)) == HOOKS


def test_each_epoch_begins_and_ends_once(recorded: tuple[Recorder, Look, Run]) -> None:
    epochs = [call for call in recorded[0].calls if call[0].startswith("on_epoch")]
    assert epochs[:4] == [("on_epoch_start", 0), ("on_epoch_end", 3), ("on_epoch_start", 1), ("on_epoch_end", 6)]
    assert [step for name, step in recorded[0].calls if name in HOOKS[-2:]] == [6, 6]


def test_what_is_there_at_each_moment_is_what_the_protocol_says(recorded: tuple[Recorder, Look, Run]) -> None:
    look = recorded[1]
    assert (look.folder_at_start, look.best, look.finished) == (None, True, True)


def test_a_dry_run_ends_with_the_plan(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recorder = Recorder()
    dry_run(config(photos, tmp_path / "run"), [recorder])
    assert recorder.calls[-1][0] == "on_plan"
    assert not (tmp_path / "run").exists()


class Ends(Callback):
    """Ends the run after its first epoch, or fails there, and counts the epochs that it has seen."""

    def __init__(self, error: type[BaseException] | None = None) -> None:
        self.error, self.epochs, self.resolved = error, 0, 0

    def on_resolve(self, draft: Any) -> list[Choice]:
        self.resolved += 1
        return [Choice("warmup", 0.5, "so", "a test")]

    def on_log(self, run: Run, record: dict[str, Any]) -> None:
        if self.error is not None and record["step"] == 6:
            raise self.error

    def on_epoch_end(self, run: Run, evaluation: Any) -> bool:
        self.epochs += 1
        return self.error is not None

    def state(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state(self, state: dict[str, Any]) -> None:
        self.epochs = state["epochs"]


def test_false_ends_the_run_and_its_choices_are_in_plan_and_configuration(photos: Path, tmp_path: Path) -> None:
    run = train(config(photos, tmp_path / "run"), [Ends()])
    assert (run.progress.step, run.progress.stopped_early) == (3, True)
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
    assert load_config(tmp_path / "run" / "config.yaml", TrainConfig).warmup == 0.5
    assert "--warmup 0.5: so (a test)" in (tmp_path / "run" / "log.txt").read_text()


class Killed(BaseException):
    """Ends a run as a kill does."""


def test_state_survives_a_kill_and_options_are_chosen_once(photos: Path, tmp_path: Path) -> None:
    chosen = config(photos, tmp_path / "run")
    with pytest.raises(Killed):
        train(chosen, [Ends(Killed)])
    later = Ends(KeyError)
    later.error = None
    run = train(load_config(tmp_path / "run" / "config.yaml", TrainConfig), [later], resume=tmp_path / "run")
    assert (later.epochs, later.resolved, run.progress.step) == (2, 0, 6)


class Refuses(Callback):
    """Raises ConfigError at one of the moments."""

    def __init__(self, hook: str) -> None:
        setattr(self, hook, self.refuse)

    def refuse(self, *args: Any) -> None:
        raise ConfigError("not like this")


@pytest.mark.parametrize("hook", ["on_network", "on_resolve", "on_setup", "on_epoch_start", "on_train_start"])
def test_a_refusal_leaves_no_folder(hook: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not like this"):
        train(config(photos, tmp_path / "run"), [Refuses(hook)])
    assert not (tmp_path / "run").exists()


def test_callbacks_of_one_class_keep_a_state_each() -> None:
    first, second, third, fourth = (Ends() for _ in range(4))
    first.epochs, second.epochs = 1, 2
    load_states([third, Callback(), fourth], states([first, Callback(), second]))
    assert (third.epochs, fourth.epochs) == (1, 2)


def test_a_callback_without_a_state_is_not_in_a_checkpoint() -> None:
    assert states([Callback()]) == {}
