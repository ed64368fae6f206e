"""The teacher: which networks can be one, and that it sees what the student sees, in its own normalisation and size."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
from accelerate import Accelerator
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import load_file, save_file
from torch import Tensor

from botzoo.data.decode import TRANSPARENT
from botzoo.errors import BotzooError, CheckpointError, ConfigError, ModelError, NetworkError
from botzoo.models.preprocessing import Decoding, Preprocessing, Size
from botzoo.tasks.objective import mix
from botzoo.training.steps.teacher import Teacher, decoding_notes, fingerprint, make_teacher
from botzoo.util.private import reset_precision
from running import write_teacher

NAMES = ("class0", "class1", "class2")
STUDENT = Preprocessing(32, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), 1.0, "bilinear")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a normalisation of its own, for images of 32 px."""
    return write_teacher(tmp_path_factory.mktemp("teacher"))


def make(name: str | Path, crop: int = 32, names: tuple[str, ...] = NAMES, student: Preprocessing = STUDENT) -> Teacher:
    name = name if isinstance(name, str) else f"local-dir:{name}"
    reset_precision()  # a run before this one may have chosen another precision
    return make_teacher(name, names, student, Size.of(crop), Accelerator(cpu=True, mixed_precision="no"))


def pixels(size: int = 32, n: int = 4) -> Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def answers(folder: Path, images: Tensor) -> Tensor:
    """What timm's own copy of the model says to normalised images."""
    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()(images)


def own(folder: Path) -> Preprocessing:
    cfg = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    return Preprocessing(cfg["input_size"][-1], tuple(cfg["mean"]), tuple(cfg["std"]), 1.0, "bilinear")


def edited(folder: Path, to: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """Copy the folder, with another config.json."""
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    to.mkdir(exist_ok=True)
    (to / "config.json").write_text(json.dumps(config))
    (to / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    return to


# What it sees


def test_it_answers_as_it_does_to_images_of_its_own_normalisation(folder: Path) -> None:
    assert own(folder).mean != STUDENT.mean
    expected = answers(folder, own(folder).normalise(pixels()))
    torch.testing.assert_close(make(folder)(STUDENT.normalise(pixels())), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("alphas", [(0.4, 0.0), (0.0, 1.0)], ids=["mixup", "cutmix"])
def test_it_sees_the_mixed_pixels(folder: Path, alphas: tuple[float, float]) -> None:
    targets = torch.eye(4)
    mixed, _ = mix(pixels().float(), targets, *alphas, seed=0, step=3)
    theirs = (mixed / 255 - torch.tensor(own(folder).mean)[:, None, None]) / torch.tensor(own(folder).std)[
        :, None, None
    ]
    seen, _ = mix(STUDENT.normalise(pixels()), targets, *alphas, seed=0, step=3)
    assert not torch.equal(mixed, pixels().float())
    torch.testing.assert_close(make(folder)(seen), answers(folder, theirs), rtol=1e-4, atol=1e-4)


def test_smaller_crops_are_enlarged_to_its_own_size(folder: Path) -> None:
    teacher = make(folder, crop=16)
    seen: list[Tensor] = []
    teacher.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    grey = torch.full((2, 3, 16, 16), 100, dtype=torch.uint8)
    teacher(STUDENT.normalise(grey))
    assert (teacher.size.side, seen[0].shape) == (32, (2, 3, 32, 32))
    expected = own(folder).normalise(torch.full((2, 3, 32, 32), 100, dtype=torch.uint8))
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)


def test_larger_crops_are_seen_as_they_are(folder: Path) -> None:
    teacher = make(folder, crop=64)
    expected = answers(folder, own(folder).normalise(pixels(64)))
    assert teacher.size.side == 64
    torch.testing.assert_close(teacher(STUDENT.normalise(pixels(64))), expected, rtol=1e-4, atol=1e-4)


def test_it_is_in_evaluation_mode_and_keeps_no_graph(folder: Path) -> None:
    teacher = make(folder)
    before = fingerprint(teacher.model)
    logits = teacher(STUDENT.normalise(pixels()).requires_grad_())
    assert not logits.requires_grad
    assert not any(p.requires_grad for p in teacher.model.parameters())
    assert not any(module.training for module in teacher.model.modules())
    assert fingerprint(teacher.model) == before


def test_its_answers_can_be_learned_from(folder: Path) -> None:
    """Tensors of inference mode cannot be kept for a backward pass."""
    logits = torch.zeros(4, 3, requires_grad=True)
    (logits * make(folder)(STUDENT.normalise(pixels()))).sum().backward()
    assert logits.grad is not None


def test_channels_last_stays_channels_last(folder: Path) -> None:
    teacher, seen = make(folder, crop=16), []
    teacher.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    teacher(STUDENT.normalise(pixels(16)).contiguous(memory_format=torch.channels_last))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert teacher.model.get_parameter("conv1.0.weight").is_contiguous(memory_format=torch.channels_last)


# Its identity


def test_the_fingerprint_is_of_every_tensor(folder: Path) -> None:
    model = make(folder).model
    before = fingerprint(model)
    assert fingerprint(make(folder).model) == before
    for name in ("fc.bias", "bn1.running_mean"):
        tensor = model.state_dict()[name]
        tensor[0] *= -1
        assert fingerprint(model) != before
        tensor[0] *= -1
    assert fingerprint(model) == before


def test_its_licence_is_known_where_the_folder_says_it(folder: Path) -> None:
    assert make(folder).start.license == "mit"
    assert make(folder).identity == {"name": f"local-dir:{folder}", "sha256": fingerprint(make(folder).model)}


def test_the_packaged_weights_can_teach() -> None:
    from botzoo.models.pretrained import EMBEDDED, WEIGHTS

    teacher = make(EMBEDDED, 64, tuple(WEIGHTS[EMBEDDED].beside["label_names"]))
    assert (teacher.start.source, teacher.start.license, teacher.size.side) == (EMBEDDED, "apache-2.0", 64)


def test_a_folder_of_a_run_is_the_model_in_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    folder.rename(tmp_path / "model")
    try:
        assert make(str(tmp_path)).start.source == f"local-dir:{tmp_path / 'model'}"
    finally:
        (tmp_path / "model").rename(folder)


# Refusals


def refused(error: type[BotzooError], *words: str, **options: Any) -> None:
    with pytest.raises(error) as caught:
        make(**options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_another_number_of_classes_is_refused_with_the_way_to_a_teacher(folder: Path) -> None:
    words = (
        "knows 3 classes and the data set has 2",
        f"(--model local-dir:{folder})",
    )
    refused(ConfigError, *words, name=folder, names=NAMES[:2])


def test_another_number_of_classes_is_refused_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    refused(ConfigError, "1,000 classes and the data set has 3", name="resnet152d.ra2_in1k")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("class0", "class2", "class1"), "Class 1 is 'class1' to the teacher"),
        (("ant", "bee", "cat"), "Class 0 is 'class0' to the teacher"),
    ],
)
def test_other_classes_or_another_order_are_refused(names: tuple[str, ...], said: str, folder: Path) -> None:
    refused(ConfigError, said, repr(names[int(said[6])]), "fine-tune it", name=folder, names=names)


def test_classes_without_names_are_taken_on_trust(folder: Path, tmp_path: Path) -> None:
    nameless = edited(folder, tmp_path / "nameless", lambda config: config.pop("label_names"))
    assert make(nameless, names=("ant", "bee", "cat")).size.side == 32


def test_a_smaller_fixed_input_is_refused(tmp_path: Path) -> None:
    vit = write_teacher(tmp_path, "test_vit")
    assert make(vit, crop=16).size.side == 32
    refused(ConfigError, "takes images of 32 px only", "trains on 48 px", "--img-size 32", name=vit, crop=48)


def test_a_size_that_it_cannot_take_is_refused(tmp_path: Path) -> None:
    vit = write_teacher(tmp_path, "test_vit")
    silent = edited(vit, tmp_path / "silent", lambda config: config["pretrained_cfg"].pop("fixed_input_size"))
    refused(ConfigError, "does not take images of 50 x 50 px", "another --img-size", name=silent, crop=50)


def test_damaged_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    damaged = edited(folder, tmp_path / "damaged", lambda config: None)
    tensors = load_file(damaged / "model.safetensors")
    save_file({name: t for name, t in tensors.items() if name != "bn1.bias"}, damaged / "model.safetensors")
    refused(CheckpointError, "The teacher cannot be had", "bn1.bias", name=damaged)
    save_file({**tensors, "fc.bias": torch.full((3,), torch.nan)}, damaged / "model.safetensors")
    refused(CheckpointError, "3 finite logits", name=damaged)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("resnet10b_bot", ModelError, "has no trained weights: train it first"),
        ("resnet5d_bot", ModelError, "Did you mean"),
        ("legacy_seresnet18.in1k", ModelError, "are a pickle, which is not read"),
        ("local-dir:nowhere", CheckpointError, "There is no model in nowhere"),
        ("s3:bucket", BotzooError, "s3:bucket"),
    ],
)
def test_what_is_no_teacher_is_named(name: str, error: type[BotzooError], said: str) -> None:
    refused(error, said, name=name)


def test_an_unfinished_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    refused(CheckpointError, f"has not finished: go on with it by --resume {tmp_path}", name=str(tmp_path))


def test_offline_it_says_what_works_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    refused(NetworkError, "hf-hub:owner/name are not cached", "folder of a finished run", name="hf-hub:owner/name")


@pytest.mark.parametrize(
    ("pickle", "words"),
    [(True, "as a pickle only (pytorch_model.bin)"), (False, "no model.safetensors in owner/name")],
)
def test_a_repository_without_safetensors_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pickle: bool, words: str
) -> None:
    """timm would load its pickle."""
    from botzoo.models import loading as model

    def download(hub_id: str, filename: str, **kwargs: Any) -> str:
        if filename == "model.safetensors":
            raise EntryNotFoundError(f"no {filename} in {hub_id}")
        assert filename == "config.json"
        return str(folder / filename)

    def files(api: Any, hub_id: str, **kwargs: Any) -> list[str]:
        if not pickle:
            raise ConnectionError
        return ["config.json", "pytorch_model.bin"]

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(model, "hf_hub_download", download)
    monkeypatch.setattr(model.HfApi, "list_repo_files", files)
    refused(CheckpointError, words, name="hf-hub:owner/name")


@pytest.mark.parametrize("said", [{}, {"background": "white", "range": [0, 4095]}])
def test_a_teacher_of_other_pixels_is_told_of(said: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    teacher = make(edited(folder, tmp_path, lambda config: config.update(decoding=said)))
    same, other = Decoding(background="white", range=(0.0, 4095.0)), Decoding(background="black", range=(0.0, 1.0))
    found = [list(decoding_notes(teacher, how, {TRANSPARENT})) for how in (same, other)]
    assert list(map(len, found)) == ([0, 2] if said else [2, 2])
    assert not list(decoding_notes(teacher, Decoding(background="black", side=9), {}))
