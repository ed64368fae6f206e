"""Features against timm's own, and the file that keeps them against what can happen to it."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from botzoo.data.order import Order
from botzoo.data.transforms import EvalTransform
from botzoo.errors import ModelError
from botzoo.options.command_line import made
from botzoo.training.setup import Settled, Transfer
from botzoo.training.setup import set_up as prepare
from botzoo.util.cache import prune
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.transfer.features import STORE, Body, Extractor, Features, open_features, write_features
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


def test_a_truncated_file_is_said_and_computed_again(
    settled: Settled, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = np.array(Extractor(settled)("validation"))
    path = only_file(cache)
    path.write_bytes(path.read_bytes()[:-40])
    assert (Extractor(settled)("validation") == first).all()
    assert "are damaged" in caplog.text


@pytest.mark.parametrize("content", [b"", b"short", bytes(4096)], ids=["empty", "short", "zeros"])
def test_what_is_no_file_of_features_is_removed(content: bytes, cache: Path) -> None:
    cache.mkdir(parents=True)
    STORE.path("key").write_bytes(content)
    assert open_features("key", 5) is None
    assert not STORE.path("key").exists()


def test_half_precisions_have_features_of_their_own(settled: Settled) -> None:
    keys = set()
    for precision in ("no", "bf16", "fp16"):
        state = SimpleNamespace(mixed_precision=precision, device=torch.device("cuda"))
        keys.add(Extractor(replace(settled, accelerator=state)).key("train"))
    assert len(keys) == 3


@pytest.mark.parametrize(("size", "images"), [(32, 4096), (224, 334), (1024, 32)])
def test_on_a_gpu_a_large_batch_of_training_is_not_passed_at_once(settled: Settled, size: int, images: int) -> None:
    gpu, order = SimpleNamespace(device=torch.device("cuda")), Order(4096, 2048, 0)
    preprocessing = replace(settled.preprocessing, size=size)
    extract = Extractor(replace(settled, accelerator=gpu, order=order, preprocessing=preprocessing))
    assert extract.batch_size == images


def test_what_is_mapped_is_not_removed(settled: Settled, cache: Path) -> None:
    found = Extractor(settled)("validation")
    path = only_file(cache)
    prune(cache, 0, spare=None)
    assert path.exists()
    del found
    prune(cache, 0, spare=None)
    assert not path.exists()


def test_what_another_process_wrote_meanwhile_is_not_replaced(cache: Path) -> None:
    def slow() -> Iterator[Features]:
        write_features("key", iter([np.ones((3, 2), np.float16)]), 3)
        seen.append(STORE.path("key").stat().st_ino)
        yield np.ones((3, 2), np.float16)

    seen: list[int] = []
    write_features("key", slow(), 3)
    assert [STORE.path("key").stat().st_ino] == seen


def test_a_file_that_cannot_be_read_is_not_called_damaged(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    STORE.path("key").mkdir(parents=True)
    assert open_features("key", 5) is None
    assert "cannot be read" in caplog.text
    assert STORE.path("key").exists()


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


class Overflowing(nn.Module):
    """Gives numbers in fp32 only, or never."""

    def __init__(self, ever: bool) -> None:
        super().__init__()
        self.ever = ever

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        finite = self.ever and not torch.is_autocast_enabled("cpu")
        return torch.full((len(images), 2), 0.0 if finite else float("inf"))


@pytest.mark.parametrize(
    ("ever", "cause"),
    [(True, "they are finite in fp32, so give --mixed-precision fp32"), (False, "its weights are finite but far too")],
)
def test_the_likely_cause_is_named(settled: Settled, cache: Path, ever: bool, cause: str) -> None:
    extract = Extractor(settled)
    vars(extract).update(_half=True, _body=Overflowing(ever))
    with pytest.raises(ModelError, match=cause) as caught:
        extract("validation")
    assert "\n" not in str(caught.value)
    assert not list(cache.glob("*"))


def test_features_of_another_model_under_this_name_are_computed_anew(
    settled: Settled, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Extractor(settled)
    other("validation")
    torch.nn.init.normal_(next(settled.model.parameters()))
    extract = Extractor(settled)
    only_file(cache).rename(STORE.path(extract.key("validation")))
    expected = np.concatenate(list(extract._batches(settled.images["validation"])))  # type: ignore[arg-type]
    assert (extract("validation") == expected).all()
    assert "its SHA-256 differs" in caplog.text


def full(*args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["os.posix_fallocate", "os.fsync"])
def test_on_a_full_disk_they_are_held_in_memory_and_nothing_is_left(
    where: str, settled: Settled, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = np.array(Extractor(settled)("validation"))
    only_file(cache).unlink()
    monkeypatch.setattr(where, full)
    assert (Extractor(settled)("validation") == expected).all()
    assert "Features are held in memory" in caplog.text
    assert "No space left on device" in caplog.text
    assert not list(cache.iterdir())


def test_a_full_disk_is_known_of_before_the_features_are_computed(
    settled: Settled, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.posix_fallocate", full)
    monkeypatch.setattr(Extractor, "batch_size", 8)
    passed: list[int] = []
    extract = Extractor(settled)
    extract._body.register_forward_pre_hook(lambda module, inputs: passed.append(len(inputs[0])))
    extract("validation")
    assert passed == [8, 8, 4]  # of the first batch, then in memory


def test_a_disk_that_cannot_be_reserved_is_written_to_all_the_same(
    settled: Settled, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*args: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("os.posix_fallocate", cannot)
    assert isinstance(Extractor(settled)("validation"), np.memmap)
