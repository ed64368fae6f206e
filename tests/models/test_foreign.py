"""Folders that others wrote: whatever is in them ends in one clear line or in a correct load, within bounded memory."""

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from botzoo.errors import BotzooError, CheckpointError
from botzoo.inference.load import load
from botzoo.inference.predict import Predictor
from botzoo.models.create import create_model
from botzoo.models.foreign import meta_network, read_config, read_shapes
from botzoo.training.autotune.memory import peak_memory
from running import write_teacher

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
MUTANTS = 520


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    for file in sound.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def changed(folder: Path, **values: Any) -> Path:
    """Set values of config.json, those with a dot in their name inside an object."""
    config = json.loads((folder / "config.json").read_text())
    for key, value in values.items():
        outer, _, inner = key.rpartition("__")
        (config.setdefault(outer, {}) if outer else config)[inner] = value
    (folder / "config.json").write_text(json.dumps(config))
    return folder


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "classes": ({"num_classes": 10**12}, "num_classes is 1000000000000: it must be a whole number from 0 to 1,000,000"),
    "many classes": ({"num_classes": 900_000, "label_names": None}, "far more elements than its weights fill"),
    "text for a number": ({"num_classes": "3"}, "num_classes is '3'"),
    "architecture": ({"architecture": "resnet_of_mars"}, "timm has no architecture 'resnet_of_mars'"),
    "path": ({"architecture": "../../etc/passwd"}, "timm has no architecture"),
    "list": ({"architecture": ["resnet18"]}, "architecture is"),
    "input": ({"pretrained_cfg__input_size": [3, 10**12, 10**12]}, "sides from 1 to 2048"),
    "tiny crop": ({"pretrained_cfg__crop_pct": 1e-9}, "crop_pct is 1e-09: it must be a number from 0.25 to 2"),
    "no deviation": ({"pretrained_cfg__std": [0, 0, 0]}, "std is"),
    "names": ({"label_names": ["a"]}, "1 label_names and num_classes 3"),
    "classifier": ({"model_args__num_classes": 7}, "num_classes 3 and model_args.num_classes 7: they must be one"),
    "another file": ({"pretrained_cfg__hf_hub_filename": "pytorch_model.bin"}, "another file than model.safetensors"),
    "custom loader": ({"pretrained_cfg__custom_load": True}, "another file than model.safetensors"),
    "another network": ({"architecture": "resnet152"}, "far more|do not fit"),
    "giant": ({"architecture": "vit_giant_patch14_224"}, "far more"),
    "deep": ({"model_args__layers": [60_000, 1, 1, 1]}, "far more tensors than its weights fill"),
    "wide": ({"model_args__channels": [60_000] * 4}, "far more elements than its weights fill"),
    "endless": ({"model_args__layers": [10**9, 1, 1, 1]}, "model_args.layers is"),
    "argument": ({"model_args__checkpoint_path": "/etc/passwd"}, "no property of a network"),
    "unknown argument": ({"model_args__colour": "red"}, "cannot be made with its arguments"),
    "repeats": ({"model_args__block_args": ["ir_r1000000_k3"]}, "model_args.block_args is"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_one_clear_line(name: str, folder: Path) -> None:
    values, message = HOSTILE[name]
    with pytest.raises(CheckpointError, match=message) as caught:
        create_model(f"local-dir:{changed(folder, **values)}", None)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("text", ['{"mean": NaN}', "[" * 100_000, "7", "\udcff", '{"a": 1' + "0" * 5000 + "}"])
def test_what_is_no_json_object_is_refused(text: str, folder: Path) -> None:
    (folder / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=r"is not a model's config.json"):
        read_config(folder / "config.json")


def test_a_huge_file_is_not_read(folder: Path) -> None:
    with (folder / "config.json").open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(CheckpointError, match="larger than 16 MiB"):
        read_config(folder / "config.json")


def test_a_pickle_is_refused_with_the_reason(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"as a pickle only \(pytorch_model.bin\), which can run any code"):
        create_model(f"local-dir:{folder}", None)


@pytest.mark.parametrize("address", ["hf-hub:../../etc", "hf-hub:owner/name@../../main", "hf-hub:a/b/c", "hf-hub:"])
def test_an_address_never_leaves_the_cache(address: str) -> None:
    with pytest.raises(BotzooError) as caught:
        create_model(address, None)
    assert "\n" not in str(caught.value)


def test_the_shapes_are_those_of_the_tensors(sound: Path) -> None:
    tensors = load_file(sound / "model.safetensors")
    shapes = read_shapes(sound / "model.safetensors")
    assert shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    model = meta_network(read_config(sound / "config.json"), shapes, "here")
    assert {p.device.type for p in model.parameters()} == {"meta"}


# Any folder at all

VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 7, 64, 65_536, 65_537, 10**6, 10**12, 10**30, -(10**12), 0.5, 1e-300, 1e308),
    *(
        "",
        "x" * 5000,
        "../../etc/passwd",
        "hf-hub:owner/name",
        "resnet152",
        "test_resnet.r160_in1k",
        "\ud800",
        "\x1b[2J",
    ),
    *([], {}, [[]], [1], [0, 0, 0], [1] * 1000, [10**12] * 3, [65_536] * 4, ["a"] * 3, [[[[[[1]]]]]], {"a": {"b": 1}}),
]
KEYS = [
    "num_classes",
    "label_names",
    "label_descriptions",
    "label_offset",
    "test_input_size",
    "custom_load",
    "url",
    "file",
]
KEYS += [
    "hf_hub_filename",
    "state_dict",
    "source",
    "pretrained_cfg",
    "model_args",
    "labels",
    "first_conv",
    "classifier",
]
ARGS = ["layers", "channels", "block", "in_chans", "img_size", "num_classes", "cardinality", "base_width", "stem_width"]
ARGS += [
    "stem_type",
    "avg_down",
    "output_stride",
    "act_layer",
    "norm_layer",
    "aa_layer",
    "drop_rate",
    "global_pool",
    "pruned",
]
ARGS += ["pretrained", "pretrained_cfg", "checkpoint_path", "cache_dir", "features_only", "block_args", "kwargs_filter"]


def mutated_config(text: str, rng: random.Random) -> bytes:
    if rng.random() < 0.15:
        return mutated_bytes(text.encode(), rng)
    config = json.loads(text)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        inside = config.get(rng.choice(["pretrained_cfg", "model_args", "nothing"]), config)
        inside = inside if isinstance(inside, dict) else config
        keys = ARGS if inside is config.get("model_args") else [*inside, *KEYS]
        key = rng.choice(keys)
        if rng.random() < 0.1:
            inside.pop(key, None)
        else:
            inside[key] = rng.choice(VALUES)
    return json.dumps(config).encode()


def mutated_bytes(content: bytes, rng: random.Random, end: int | None = None) -> bytes:
    changed = bytearray(content)
    kind = rng.randrange(3)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(end or len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(len(changed))] if kind == 0 else changed + bytes(9) if kind == 1 else changed)


def mutated_weights(content: bytes, rng: random.Random) -> bytes:
    size = struct.unpack("<Q", content[:8])[0]
    if rng.random() < 0.5:
        return mutated_bytes(content, rng, rng.choice([8, 8 + size, len(content)]))
    header = json.loads(content[8 : 8 + size])
    name = rng.choice(list(header))
    if rng.random() < 0.3:
        header[rng.choice(["fc.weight", "../../evil", "x" * 1000])] = header.pop(name)
    else:
        key = rng.choice(["dtype", "shape", "data_offsets"])
        header[name][key] = rng.choice([*VALUES, "F16", "I64", [2**40, 2**40, 0], [0, 2**62]])
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + content[8 + size :]


def outcome(folder: Path) -> str:
    """Load what is in the folder and ask it of an image; return the line of the error, or nothing."""
    try:
        classifier = load(str(folder))
        predictor = Predictor(classifier, CPU, requested="fp32")
        size = classifier.preprocessing.size
        shares = predictor.probabilities(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    except BotzooError as error:
        return str(error)
    assert shares.shape == (1, len(classifier.label_names))
    saved = load_file(folder / "model.safetensors")
    own = classifier.module.state_dict()
    assert all(
        torch.equal(own[name], tensor.to(own[name].dtype)) for name, tensor in saved.items() if not tensor.isnan().any()
    )
    return ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_whatever_is_in_a_folder_it_is_one_line_or_a_correct_load(sound: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    config, weights = (sound / "config.json").read_text(), (sound / "model.safetensors").read_bytes()
    before, lines = peak_memory(CPU), []
    for i in range(MUTANTS):
        on_config = i % 2 == 0
        (tmp_path / "config.json").write_bytes(mutated_config(config, rng) if on_config else config.encode())
        (tmp_path / "model.safetensors").write_bytes(weights if on_config else mutated_weights(weights, rng))
        lines.append(outcome(tmp_path))
    assert not [line for line in lines if "\n" in line or len(line) > 900 or "\x1b" in line]
    assert MUTANTS / 20 < lines.count("") < MUTANTS / 2  # both ends are met
    assert peak_memory(CPU) - before < 512 << 20
