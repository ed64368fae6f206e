"""Checkpoints: whole or not there, the newest few, and never trusted without a look."""

import errno
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from botzoo.errors import CheckpointError
from botzoo.training.recording import checkpoint
from botzoo.training.recording.checkpoint import BEST, Progress, checkpoints, load, load_newest, save, save_weights
from botzoo.training.run import load_best
from botzoo.util.files import read_sealed, write_json

CPU = torch.device("cpu")


def tensors(step: int) -> dict[str, Any]:
    return {"model": {"w": torch.full((100,), float(step))}, "ema": None, "optimizer": {"state": {0: {"n": step}}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's checkpoints after steps 10, 20 and 30."""
    for step in (10, 20, 30):
        save(tmp_path / "run" / "checkpoints", Progress(step=step, best_score=step), tensors(step), keep=3)
    return tmp_path / "run" / "checkpoints"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def disk_full(state: Any, path: Path) -> None:
    path.write_bytes(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def disk_full_as_torch_says_it(state: Any, path: Path) -> None:
    path.write_bytes(b"half")
    raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0\nC++ frames follow")


def interrupted(state: Any, path: Path) -> None:
    path.write_bytes(b"half")
    raise KeyboardInterrupt


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    progress = Progress(7, 81.5, best_epoch=2, seconds=3.5, callbacks={"Plateau": {"falls": [3]}})
    path = save(tmp_path, progress, tensors(7), keep=3)
    loaded, state = load(path, CPU)
    assert loaded == progress
    assert torch.equal(state["model"]["w"], tensors(7)["model"]["w"])
    assert (state["ema"], state["optimizer"]) == (None, tensors(7)["optimizer"])


def test_a_process_among_others_loads_it_too(tmp_path: Path) -> None:
    path = save(tmp_path, Progress(step=7), tensors(7), keep=3)
    assert torch.equal(load(path, torch.device("cpu", 0))[1]["model"]["w"], tensors(7)["model"]["w"])


@pytest.mark.parametrize(("keep", "kept"), [(1, [50]), (2, [40, 50]), (9, [10, 20, 30, 40, 50])])
def test_the_newest_are_kept(tmp_path: Path, keep: int, kept: list[int]) -> None:
    for step in (10, 20, 30, 40, 50):
        save(tmp_path, Progress(step=step), tensors(step), keep)
    assert names(tmp_path) == [f"step-{step:08d}" for step in kept]


def test_a_step_can_be_saved_again(folder: Path) -> None:
    save(folder, Progress(step=30, seconds=9.0), tensors(30), keep=3)
    assert load_newest(folder, CPU)[0] == Progress(step=30, seconds=9.0)  # type: ignore[index]


@pytest.mark.parametrize("failing", [disk_full, disk_full_as_torch_says_it])
def test_a_full_disk_leaves_the_earlier_checkpoints_and_no_part(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failing: Callable[..., None]
) -> None:
    before = names(folder)
    monkeypatch.setattr(torch, "save", failing)
    with pytest.raises(CheckpointError):
        save(folder, Progress(step=40), tensors(40), keep=1)
    assert names(folder) == before
    assert load_newest(folder, CPU)[0].step == 30  # type: ignore[index]


def test_a_full_disk_is_named_with_the_way_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(CheckpointError, match=r"\(No space left on device\).*make room.*--resume .*run\.$") as caught:
        save(folder, Progress(step=40), tensors(40), keep=3)
    assert "\n" not in str(caught.value)


def test_torchs_own_words_for_a_full_disk_are_translated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "save", disk_full_as_torch_says_it)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(CheckpointError, match="No space left on device"):
        save(folder, Progress(step=40), tensors(40), keep=3)


def test_a_kill_in_the_middle_leaves_a_part_that_nobody_reads(folder: Path) -> None:
    (folder / ".step-00000040.part").mkdir()
    (folder / ".step-00000040.part" / checkpoint.TENSORS).write_bytes(b"half")
    assert load_newest(folder, CPU)[0].step == 30  # type: ignore[index]


def test_an_interrupt_in_the_middle_leaves_the_earlier_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = names(folder)
    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(folder, Progress(step=40), tensors(40), keep=3)
    assert names(folder) == before


def test_the_next_save_clears_stale_parts_away(folder: Path) -> None:
    (folder / ".step-00000040.part").mkdir()
    save(folder, Progress(step=50), tensors(50), keep=9)
    assert names(folder) == [f"step-{step:08d}" for step in (10, 20, 30, 50)]


def test_other_files_are_no_checkpoints(folder: Path) -> None:
    (folder / "best.safetensors").write_bytes(b"")
    (folder / "step-notes").mkdir()
    assert [path.name for path in checkpoints(folder)] == ["step-00000010", "step-00000020", "step-00000030"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, Path.unlink])
@pytest.mark.parametrize("file", [checkpoint.TENSORS, checkpoint.STATE])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    folder: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], file: str
) -> None:
    damage(folder / "step-00000030" / file)
    with caplog.at_level(logging.WARNING, "botzoo"):
        progress, state = load_newest(folder, CPU)  # type: ignore[misc]
    assert progress.step == 20
    assert torch.equal(state["model"]["w"], tensors(20)["model"]["w"])
    assert "step-00000030 is damaged" in caplog.text
    assert "passing it over" in caplog.text


def test_one_flipped_bit_is_noticed(folder: Path) -> None:
    flip_a_bit(folder / "step-00000030" / checkpoint.TENSORS)
    with pytest.raises(CheckpointError, match=r"SHA-256 of tensors\.pt differs"):
        load(folder / "step-00000030", CPU)


@pytest.mark.parametrize("change", [{}, {"stepp": 1}, {"step": "30"}, {"step": 20}, {"step": -5}])
def test_a_strange_state_is_damage_even_with_its_digest(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "step-00000030"
    state = json.loads(read_sealed(path / checkpoint.STATE))
    write_json(path / checkpoint.STATE, state | {"progress": change and state["progress"] | change}, seal=True)
    with pytest.raises(CheckpointError, match="is damaged"):
        load(path, CPU)


@pytest.mark.parametrize("state", ["[]", "{}", '{"progress": {"step": 30}, "files": {}}', "\x00", "", "\xff"])
def test_a_state_without_its_digest_is_damage(folder: Path, state: str) -> None:
    path = folder / "step-00000030"
    (path / checkpoint.STATE).write_text(state, encoding="latin-1")
    with pytest.raises(CheckpointError, match="is damaged"):
        load(path, CPU)


def test_when_all_are_damaged_it_is_an_error(folder: Path) -> None:
    for path in checkpoints(folder):
        truncate(path / checkpoint.TENSORS)
    with pytest.raises(CheckpointError, match=r"All 3 checkpoints in .* are damaged"):
        load_newest(folder, CPU)


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "nowhere", CPU) is None
    assert load_newest(tmp_path, CPU) is None


def test_nothing_is_unpickled_beyond_tensors(tmp_path: Path) -> None:
    path = save(tmp_path, Progress(step=1), {"model": Path("x")}, keep=1)
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        load(path, CPU)


def of_another_run(path: Path) -> None:
    save_weights(path, torch.nn.Linear(2, 2).state_dict())


@pytest.mark.parametrize("best_epoch", [0, 1])
@pytest.mark.parametrize("damage", [flip_a_bit, truncate, Path.unlink, of_another_run])
def test_best_weights_that_are_not_the_runs_end_one_that_nothing_else_is_as_good_in(
    damage: Callable[[Path], None], best_epoch: int, tmp_path: Path
) -> None:
    network = torch.nn.Linear(2, 2)
    file = tmp_path / BEST
    file.parent.mkdir()
    digest = save_weights(file, network.state_dict())
    run: Any = SimpleNamespace(folder=tmp_path, trainer=SimpleNamespace(evaluated=network), epochs_done=2, facts={})
    run.progress = Progress(step=4, best_epoch=best_epoch, best_digest=digest)
    assert load_best(run) == run.progress
    damage(file)
    if best_epoch:
        assert load_best(run).best_epoch == 2
        assert run.facts["best_lost"]
    else:
        with pytest.raises(CheckpointError, match="begin the run again"):
            load_best(run)
