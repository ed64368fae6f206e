"""What a run keeps of the features of its images, in its folder and beside its weights."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import botzoo
from botzoo.data.images import Images
from botzoo.errors import CheckpointError
from botzoo.models.unlike import FILE
from botzoo.results.record import RunRecord
from botzoo.training.recording import features
from botzoo.training.recording.checkpoint import BEST
from botzoo.training.recording.features import PLACE
from damage import damage
from running import final_weights, train_briefly


def test_the_copy_beside_the_weights_is_the_runs_own(finished_run: Path) -> None:
    assert (finished_run / "model" / FILE).read_bytes() == (finished_run / PLACE).read_bytes()


def test_the_weights_stay_those_of_the_best_epoch(finished_run: Path) -> None:
    best = load_file(finished_run / BEST)
    assert all(torch.equal(value, best[name]) for name, value in final_weights(finished_run).items())


def test_validation_images_are_not_unlike(finished_run: Path, photos: Path) -> None:
    answers = botzoo.load(finished_run).predict(sorted(photos.glob("*/*.png")))
    assert np.mean([answer.is_unlike for answer in answers]) < 0.2


def test_a_checkerboard_is_unlike_images_of_one_colour(finished_run: Path) -> None:
    board = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)
    assert botzoo.load(finished_run).predict(board).is_unlike


def test_a_damaged_file_of_the_run_is_told(finished_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished_run, tmp_path / "run")
    damage(copy / PLACE, "flipped")
    with pytest.raises(CheckpointError, match=r"features\.safetensors is not as the run wrote it"):
        RunRecord.load(copy)


def test_a_file_of_the_run_that_is_gone_is_told(finished_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished_run, tmp_path / "run")
    (copy / PLACE).unlink()
    with pytest.raises(CheckpointError, match=r"features\.safetensors is missing: put it back, or remove"):
        RunRecord.load(copy)


@pytest.mark.slow
def test_a_run_may_do_without(photos: Path, tmp_path: Path) -> None:
    run = train_briefly(photos, tmp_path / "run", epochs=1, unlike=False)
    assert not (run / PLACE).exists()
    assert botzoo.load(run).predict(np.zeros((16, 16), np.uint8)).unlike is None


def test_streams_are_left_out() -> None:
    run: Any = SimpleNamespace(images={"train": object(), "validation": object()})
    assert features.fitted(run) == "streamed images are not looked at again"


@pytest.mark.parametrize(("train", "looked"), [(60, 60), (1438, 500), (2400, 800), (50_000, 1000)])
def test_more_of_many_images_are_looked_at(train: int, looked: int) -> None:
    assert features.looked_at(train, 10_000) == (looked, 200)


def test_a_network_without_pooled_features_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    images = object.__new__(Images)
    run: Any = SimpleNamespace(
        images={"train": images, "validation": images}, network=SimpleNamespace(architecture="net")
    )
    monkeypatch.setattr(features, "features", lambda *args: np.empty((0, 0), np.float32))
    assert features.fitted(run) == "the classifier of net takes no pooled features"
