"""Features against timm's own, and the file that keeps them against what can happen to it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from botzoo.errors import ModelError
from botzoo.training.command_line import made
from botzoo.training.data import EvalTransform
from botzoo.training.prepare import Settled, Transfer, prepare
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.features import Body, Extractor, open_features, path_of
from running import TINY


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "features"
    AcceleratorState._reset_state()


@pytest.fixture
def settled(photos: Path) -> Settled:
    return prepare(made({**TINY, "mixed_precision": "fp32", "dataset": str(photos)}, FinetuneConfig), Transfer())


def only_file(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


def test_features_are_those_of_timm(settled: Settled) -> None:
    images, transform = settled.images["validation"], EvalTransform(settled.preprocessing)
    pixels = np.stack([transform(images.image(i), (0, i)) for i in range(len(images))])
    with torch.no_grad():
        batch = settled.trainer.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        expected = Body(settled.model.eval())(batch)
    np.testing.assert_allclose(Extractor(settled)("validation"), expected, rtol=2e-3, atol=2e-3)


def test_the_second_time_they_come_from_the_file(
    settled: Settled, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Extractor(settled)("validation")
    monkeypatch.setattr(Extractor, "_compute", lambda *args: pytest.fail("they were computed again"))
    second = Extractor(settled)("validation")
    assert isinstance(second, np.memmap)
    assert (first == second).all()


def test_other_weights_have_other_features_but_another_classifier_has_not(settled: Settled) -> None:
    extract = Extractor(settled)
    before = extract.key("train")
    torch.nn.init.ones_(settled.model.get_classifier().weight)
    assert Extractor(settled).key("train") == before
    torch.nn.init.ones_(next(settled.model.parameters()))
    assert Extractor(settled).key("train") != before


def test_another_input_size_has_other_features(settled: Settled) -> None:
    larger = replace(settled, preprocessing=replace(settled.preprocessing, size=64))
    assert Extractor(larger).key("train") != Extractor(settled).key("train")


def test_a_damaged_file_is_said_and_computed_again(
    settled: Settled, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = np.array(Extractor(settled)("validation"))
    path = only_file(cache)
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    assert (Extractor(settled)("validation") == first).all()
    assert "are damaged (its SHA-256 differs)" in caplog.text


@pytest.mark.parametrize("content", [b"", b"short", bytes(4096)], ids=["empty", "short", "zeros"])
def test_what_is_no_file_of_features_is_removed(content: bytes, cache: Path) -> None:
    cache.mkdir(parents=True)
    path_of("key").write_bytes(content)
    assert open_features("key", 5) is None
    assert not path_of("key").exists()


def test_features_of_another_number_of_images_are_not_taken(settled: Settled, cache: Path) -> None:
    extract = Extractor(settled)
    extract("validation")
    assert open_features(only_file(cache).stem, len(settled.images["validation"]) + 1) is None


def test_without_room_on_the_disk_they_are_held_in_memory(
    settled: Settled, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")
    found = Extractor(settled)("validation")
    assert found.shape[0] == len(settled.images["validation"])
    assert "Features are held in memory" in caplog.text


def test_weights_that_give_no_numbers_are_named(settled: Settled, cache: Path) -> None:
    torch.nn.init.constant_(next(settled.model.parameters()), float("nan"))
    with pytest.raises(
        ModelError, match=r"class0/\d+\.png.* 9 more so far are NaN or infinite: conv1\.0\.weight of its weights"
    ):
        Extractor(settled)("validation")
    assert not list(cache.glob("*"))
