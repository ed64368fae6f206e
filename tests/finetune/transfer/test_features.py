"""Features against timm's own, and the file that keeps them against what can happen to it."""

import copy
import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from botzoo.data.images import Images, read_images
from botzoo.data.transforms import EvalTransform
from botzoo.errors import ConfigError, ModelError
from botzoo.models.create import Network, create_model
from botzoo.options.config import TrainConfig
from botzoo.sources.find import find_images
from botzoo.util.cache import FEATURES, prune
from botzoo.util.private import reset_precision
from botzoo_finetune.transfer import features
from botzoo_finetune.transfer.feature_store import Features, open_features, write_features
from botzoo_finetune.transfer.features import Body, Extractor

Extract = Callable[..., Extractor]


@pytest.fixture(scope="module")
def images(photos: Path) -> Images:
    return read_images(find_images(str(photos)).train)[0]


@pytest.fixture(scope="module")
def weights() -> Network:
    torch.manual_seed(0)
    return create_model("test_resnet", 3, scratch=True, img_size=32)


@pytest.fixture
def network(weights: Network) -> Network:
    """Weights that may be changed."""
    return replace(weights, model=copy.deepcopy(weights.model))


def run_of(network: Network, images: object, accelerator: object) -> Any:
    """What an extractor asks of a run."""
    return SimpleNamespace(network=network, images={"train": images}, accelerator=accelerator, config=TrainConfig())


@pytest.fixture
def extract(network: Network, images: Images, store: Path) -> Extract:
    """Returns an extractor of ``network`` and ``images``, under the role "train"."""

    def make(network: Network = network, precision: str = "no") -> Extractor:
        return Extractor(run_of(network, images, Accelerator(cpu=True, mixed_precision=precision)))

    return make


@pytest.fixture
def store(cache: Path) -> Path:
    """The folder of features, which is not there yet."""
    return cache / "features"


def only_file(store: Path) -> Path:
    (path,) = store.iterdir()
    return path


def with_first_weights(network: Network, value: float) -> None:
    nn.init.constant_(next(network.model.parameters()), value)


def test_features_are_those_of_timm(network: Network, images: Images, extract: Extract) -> None:
    transform = EvalTransform(network.preprocessing)
    pixels = np.stack([transform(images.image(i), (0, i)) for i in range(len(images))])
    with torch.no_grad():
        batch = network.preprocessing.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        expected = Body(network.model.eval())(batch)
    np.testing.assert_allclose(extract()("train"), expected, rtol=2e-3, atol=2e-3)


def test_the_second_time_they_come_from_the_file(extract: Extract, monkeypatch: pytest.MonkeyPatch) -> None:
    first = extract()("train")
    monkeypatch.setattr(features, "eval_pixels", lambda *args: pytest.fail("they were computed again"))
    second = extract()("train")
    assert not second.flags.writeable  # mapped
    assert (first == second).all()


def test_other_weights_have_other_features_but_another_classifier_has_not(network: Network, extract: Extract) -> None:
    before = extract().key("train")
    nn.init.ones_(network.model.get_classifier().weight)  # type: ignore[operator]
    assert extract().key("train") == before
    with_first_weights(network, 1.0)
    assert extract().key("train") != before


def test_another_input_size_has_other_features(network: Network, extract: Extract) -> None:
    larger = replace(network, preprocessing=replace(network.preprocessing, size=64))
    assert extract(larger).key("train") != extract().key("train")


@pytest.mark.parametrize("half", [True, False])
def test_a_precision_has_features_of_its_own_where_it_is_computed_in(
    half: bool, extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "has_matrix_unit", lambda: half)
    full = extract().key("train")
    reset_precision()
    assert (extract(precision="bf16").key("train") != full) == half


def test_features_of_streamed_images_are_refused(network: Network) -> None:
    with pytest.raises(ConfigError, match=r"leave --data\.streaming out"):
        Extractor(run_of(network, object(), Accelerator(cpu=True)))("train")


@pytest.mark.parametrize(("size", "together"), [(32, 4096), (224, 334), (1024, 32)])
def test_on_a_gpu_a_large_batch_of_training_is_not_passed_at_once(network: Network, size: int, together: int) -> None:
    preprocessing, gpu = replace(network.preprocessing, size=size), SimpleNamespace(device=torch.device("cuda"))
    extractor = Extractor(run_of(replace(network, preprocessing=preprocessing), None, gpu))
    extractor.most = 4096
    assert extractor.batch_size == together


@pytest.mark.parametrize(
    "damage", [lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:], lambda content: content[:-40]]
)
def test_a_damaged_file_is_said_and_computed_again(
    damage: Callable[[bytes], bytes], extract: Extract, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = np.array(extract()("train"))
    path = only_file(store)
    path.write_bytes(damage(path.read_bytes()))
    assert (extract()("train") == first).all()
    assert "are damaged" in caplog.text


@pytest.mark.parametrize("content", [b"", b"short", bytes(4096)], ids=["empty", "short", "zeros"])
def test_what_is_no_file_of_features_is_removed(content: bytes, store: Path) -> None:
    store.mkdir(parents=True)
    FEATURES.path("key").write_bytes(content)
    assert open_features("key", 5) is None
    assert not FEATURES.path("key").exists()


def test_features_under_another_name_are_not_taken(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_features("other", iter([np.ones((3, 2), np.float16)]), 3)
    FEATURES.path("other").rename(FEATURES.path("key"))
    assert open_features("key", 3) is None
    assert "its digest differs" in caplog.text


def test_features_of_another_number_of_images_are_not_taken(store: Path) -> None:
    write_features("key", iter([np.ones((3, 2), np.float16)]), 3)
    assert open_features("key", 4) is None


def test_what_is_mapped_is_not_removed(extract: Extract, store: Path) -> None:
    found = extract()("train")
    path = only_file(store)
    prune(store, 0, spare=None)
    assert path.exists()
    del found
    prune(store, 0, spare=None)
    assert not path.exists()


def test_what_another_process_wrote_meanwhile_is_not_replaced(store: Path) -> None:
    def slow() -> Iterator[Features]:
        write_features("key", iter([np.ones((3, 2), np.float16)]), 3)
        seen.append(FEATURES.path("key").stat().st_ino)
        yield np.ones((3, 2), np.float16)

    seen: list[int] = []
    write_features("key", slow(), 3)
    assert [FEATURES.path("key").stat().st_ino] == seen


def test_a_file_that_cannot_be_read_is_not_called_damaged(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    FEATURES.path("key").mkdir(parents=True)
    assert open_features("key", 5) is None
    assert "cannot be read" in caplog.text
    assert FEATURES.path("key").exists()


def test_weights_that_give_no_numbers_are_named(network: Network, extract: Extract, store: Path) -> None:
    with_first_weights(network, float("nan"))
    with pytest.raises(ModelError, match=r"class0/\d+\.png.* NaN or infinite: conv1\.0\.weight of its weights"):
        extract()("train")
    assert not list(store.glob("*"))


class Overflowing(nn.Module):
    """A network that gives numbers in fp32 only, or never."""

    def __init__(self, ever: bool) -> None:
        super().__init__()
        self.ever, self.fc = ever, nn.Linear(2, 3)

    def get_classifier(self) -> nn.Module:
        return self.fc

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def forward_head(self, images: torch.Tensor, pre_logits: bool) -> torch.Tensor:
        finite = self.ever and not torch.is_autocast_enabled("cpu")
        return torch.full((len(images), 2), 0.0 if finite else float("inf"))


@pytest.mark.parametrize(
    ("ever", "cause"), [(True, "give --mixed-precision fp32"), (False, "finite but far too large")]
)
def test_the_likely_cause_is_named(
    ever: bool, cause: str, network: Network, extract: Extract, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "has_matrix_unit", lambda: True)
    with pytest.raises(ModelError, match=cause) as caught:
        extract(replace(network, model=Overflowing(ever)), "bf16")("train")
    assert "\n" not in str(caught.value)
    assert not list(store.glob("*"))


def full(*args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_without_a_folder_to_keep_them_in_they_are_held_in_memory(
    extract: Extract, images: Images, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.parent.mkdir(exist_ok=True)
    store.write_text("a file where the folder should be")
    assert len(extract()("train")) == len(images)
    assert "Features are held in memory" in caplog.text


@pytest.mark.parametrize("where", ["os.posix_fallocate", "os.fsync"])
def test_on_a_full_disk_they_are_held_in_memory_and_nothing_is_left(
    where: str, extract: Extract, store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = np.array(extract()("train"))
    only_file(store).unlink()
    monkeypatch.setattr(where, full)
    assert (extract()("train") == expected).all()
    assert "No space left on device" in caplog.text
    assert not list(store.iterdir())


def test_a_full_disk_is_known_of_before_the_features_are_computed(
    extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.posix_fallocate", full)
    monkeypatch.setattr(Extractor, "batch_size", 32)
    passed: list[int] = []
    monkeypatch.setattr(features.Body, "forward", lambda body, images: passed.append(len(images)) or images[:, :, 0, 0])
    extract()("train")
    assert passed[-3:] == [32, 32, 28]  # of the first batch, then in memory


def test_a_disk_that_cannot_be_reserved_is_written_to_all_the_same(
    extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*args: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("os.posix_fallocate", cannot)
    assert not extract()("train").flags.writeable  # mapped
