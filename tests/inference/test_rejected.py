"""Answers that are none of these, in Python and of the command."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
from PIL import Image

from botzoo.errors import CheckpointError, ConfigError
from botzoo.inference.load import load
from botzoo.inference.output import as_csv, as_json, as_table
from botzoo.inference.prediction import Prediction
from botzoo.models.foreign import read_config
from botzoo.results.calibration import write_rejection, write_temperature
from running import write_teacher

UNSURE = Prediction("a.png", ("=cat", "dog"), (0.6, 0.4), (0, 1), least=0.7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three classes that answers only what is surer than one of its two images."""
    folder = write_teacher(tmp_path_factory.mktemp("rejecting") / "model")
    write_temperature(folder, 1.5)
    sure = sorted(float(load(folder).predict(image).probabilities[0]) for image in images())
    write_rejection(folder, sum(sure) / 2, 0.95)
    return folder


def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, high, (40, 40, 3), np.uint8)) for high in (256, 20)]


def test_the_unsure_image_is_none_of_these(folder: Path) -> None:
    found = load(folder).predict(images())
    (unsure,) = (each for each in found if each.rejected)
    assert (unsure.label, unsure.probability, unsure.top) == (None, None, [])
    assert unsure.labels == load(folder).predict(images(), reject=False)[found.index(unsure)].labels


def test_without_rejection_every_image_is_answered(folder: Path) -> None:
    assert all(each.label is not None for each in load(folder).predict(images(), reject=False))


def test_another_temperature_is_refused_where_the_threshold_counts(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"fitted at temperature 1\.5: leave --temperature 2 out.*--reject 0"):
        load(folder).predict(images(), temperature=2)
    assert load(folder).predict(images()[0], temperature=2, reject=False).label is not None


def test_timm_loads_it_all_the_same(folder: Path) -> None:
    assert timm.create_model(f"local-dir:{folder}", pretrained=True).num_classes == 3  # type: ignore[attr-defined]


def test_no_form_of_output_names_a_rejected_class_as_the_answer() -> None:
    why = "none of these: =cat has 60.00 %, less than 70.00 %"
    assert list(as_table([UNSURE])) == ["a.png", f"  {why}"]
    assert list(as_csv([UNSURE]))[1:] == [f'a.png,1,,"{why}",,']
    said = json.loads(next(as_json([UNSURE])))
    assert (said["predictions"], said["rejected"]) == ([], why)


def test_answers_that_are_sure_enough_look_as_before() -> None:
    sure, before = (Prediction("a.png", ("cat",), (0.8,), (0,), least=least) for least in (0.7, 0.0))
    for form in (as_table, as_csv, as_json):
        assert list(form([sure])) == list(form([before]))


@pytest.mark.parametrize("value", [1.5, -0.1, "0.9", True])
def test_a_threshold_that_nobody_could_mean_is_refused(value: Any, folder: Path, tmp_path: Path) -> None:
    shutil.copyfile(folder / "config.json", tmp_path / "config.json")
    config = read_config(tmp_path / "config.json") | {"rejection": {"threshold": value}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"rejection\.threshold .* must be a number from 0 to 1"):
        read_config(tmp_path / "config.json")
