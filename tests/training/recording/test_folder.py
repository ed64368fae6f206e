"""A run's folder: its name, what is left alone, its log, and what a run that goes on is compared with."""

import logging
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate import Accelerator
from filelock import FileLock

from botzoo import __version__
from botzoo.errors import CheckpointError, ConfigError, DataError
from botzoo.options.command_line import load_config
from botzoo.options.config import DataConfig, TrainConfig
from botzoo.training.recording.facts import record_facts
from botzoo.training.recording.folder import (
    RunLog,
    begin,
    check_output,
    open_folder,
    read_facts,
    usual_name,
    working_in,
    write_facts,
)

log = logging.getLogger("botzoo")
QUICK = TrainConfig(dataset="me/photos", model="test_resnet")


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def test_lines_from_before_the_folder_are_in_the_log(tmp_path: Path) -> None:
    with RunLog() as lines:
        log.info("found %d images", 60)
        lines.write_to(tmp_path / "log.txt")
        assert (tmp_path / "log.txt").read_text() == "found 60 images\n"
        log.warning("late")
        assert (tmp_path / "log.txt").read_text() == "found 60 images\nlate\n"
    log.warning("later")
    assert (tmp_path / "log.txt").read_text() == "found 60 images\nlate\n"


def test_a_run_that_is_refused_writes_no_log(tmp_path: Path) -> None:
    with RunLog():
        log.info("found nothing")
    assert not [h for h in log.handlers if isinstance(h, RunLog | logging.FileHandler)]
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError("No space left on device")

    with RunLog() as lines:
        lines.write_to(tmp_path / "log.txt")
        monkeypatch.setattr(logging.StreamHandler, "flush", full)
        with pytest.raises(OSError, match="No space left"):
            log.info("one line more")
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (QUICK, "runs/photos-test_resnet"),
        (TrainConfig(dataset="/data/pets/", model="hf-hub:me/net"), "runs/pets-net"),
        (TrainConfig(dataset="x/c-{0..9}.tar", model="a", data=DataConfig(streaming=True)), "runs/c--a"),
    ],
)
def test_a_folder_is_named_after_data_and_model(config: TrainConfig, name: str) -> None:
    assert usual_name(config) == Path(name)


def test_default_names_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accelerator: Accelerator) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [open_folder(QUICK, accelerator) for _ in range(2)]
    begin(folders[1], QUICK, accelerator)
    assert [str(folder) for folder in folders] == ["runs/photos-test_resnet", "runs/photos-test_resnet-2"]
    assert load_config(folders[1] / "config.yaml", TrainConfig) == QUICK


def test_an_existing_folder_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(ConfigError, match=r"exists already.*--resume"):
        check_output(TrainConfig(output=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, accelerator: Accelerator) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"run cannot be made \(Not a directory\)"):
        open_folder(TrainConfig(output=str(tmp_path / "file" / "run")), accelerator)


def test_a_folder_that_another_process_works_in_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accelerator: Accelerator
) -> None:
    monkeypatch.setattr("botzoo.training.recording.folder.PATIENCE", 0.1)
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(ConfigError, match="Another process is at work in"),
        working_in(tmp_path, accelerator),
    ):
        pass


# What a run that goes on is compared with


class Three(list[int]):
    """A split of three images."""

    def __init__(self, fingerprint: str, order_depends_on_processes: bool) -> None:
        super().__init__(range(3))
        self.fingerprint, self.order_depends_on_processes = fingerprint, order_depends_on_processes


def a_run(
    folder: Path, accelerator: Accelerator, images: str = "aa11", teacher: str = "bb22", streamed: bool = False
) -> Any:
    """Return as much of a run as run.json is made of."""
    known = SimpleNamespace(identity={"name": "local-dir:x", "sha256": teacher})
    of_run: dict[str, Any] = {
        "images": {"train": Three(images, streamed)},
        "accelerator": accelerator,
        "teacher": known,
    }
    of_run["precision"] = SimpleNamespace(name="fp32", reason="as asked")
    return SimpleNamespace(**of_run, folder=folder, facts={}, is_main=True)


def test_a_run_that_goes_on_keeps_what_it_recorded(tmp_path: Path, accelerator: Accelerator) -> None:
    first = record_facts(a_run(tmp_path, accelerator), "botzoo train", resumed=False)
    again = record_facts(a_run(tmp_path, accelerator), "botzoo train --resume x", resumed=True)
    assert again == first == read_facts(tmp_path)


def test_a_checkout_that_is_not_installed_knows_its_version(
    tmp_path: Path, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = Distribution.from_name

    def not_ours(name: str) -> Distribution:
        if name.startswith("botzoo"):
            raise PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(Distribution, "from_name", not_ours)
    facts = record_facts(a_run(tmp_path, accelerator), "botzoo train", resumed=False)
    assert facts["versions"]["botzoo"] == __version__


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"images": "aa12"}, DataError, "images have changed since"),
        ({"teacher": "bb23"}, CheckpointError, r"teacher local-dir:x have changed since"),
    ],
)
def test_what_has_changed_is_not_gone_on_with(
    changed: dict[str, str], error: type[Exception], said: str, tmp_path: Path, accelerator: Accelerator
) -> None:
    record_facts(a_run(tmp_path, accelerator), "botzoo train", resumed=False)
    with pytest.raises(error, match=said):
        record_facts(a_run(tmp_path, accelerator, **changed), "botzoo train", resumed=True)


def test_a_stream_goes_on_with_as_many_processes_as_it_began_with(tmp_path: Path, accelerator: Accelerator) -> None:
    record_facts(a_run(tmp_path, accelerator, streamed=True), "botzoo train", resumed=False)
    write_facts(tmp_path, (read_facts(tmp_path) or {}) | {"processes": 2})
    with pytest.raises(ConfigError, match="--num_processes 2"):
        record_facts(a_run(tmp_path, accelerator, streamed=True), "botzoo train", resumed=True)
