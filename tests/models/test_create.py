"""The network of a run: made from every kind of address, and a folder that timm and transformers load as it is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models import adapt_input_conv
from torch import Tensor, nn

from botzoo.data.transforms import EvalTransform
from botzoo.errors import CheckpointError, ConfigError, ModelError, NetworkError
from botzoo.models.create import adopt, create_model, drops_out
from botzoo.models.folder import write_model_folder
from botzoo.models.layers import head_names
from botzoo.models.loading import load_what_fits
from botzoo.models.preprocessing import Preprocessing, Side

NAMES = ("cat", "dog", "Käuzchen", "a|b", "x")


@torch.inference_mode()
def logits(model: nn.Module, size: int) -> Tensor:
    return model.eval()(torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1)))


def in_use(model: nn.Module, size: int) -> nn.Module:
    """Give every tensor a value of its own, as training would: weights and BatchNorm's statistics."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
        model.train()(torch.randn(4, 3, size, size, generator=generator))
    return model.eval()


def written(folder: Path, model: nn.Module, preprocessing: Preprocessing, names: tuple[str, ...] = NAMES) -> Tensor:
    """Write ``model`` as if it were trained and return its logits."""
    in_use(model, preprocessing.size)
    write_model_folder(folder, model, preprocessing, names, tag="mine", license="mit")
    return logits(model, preprocessing.size)


def scratch(name: str, classes: int = len(NAMES), **kwargs: Any) -> tuple[nn.Module, Preprocessing]:
    torch.manual_seed(0)
    network = create_model(name, classes, scratch=True, zero_gamma=False, **kwargs)
    return network.model, network.preprocessing


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def fresh(code: str, *args: object) -> Any:
    """Run ``code`` in a new Python in which every warning is an error, and return the JSON that it prints."""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# The folder

FOLDERS = {
    "a-run of/model 1": ("resnet10d_bot", {}),
    "basic": ("resnet10b_bot", {"img_size": 48}),
    "vit": ("test_vit", {}),
    "vit-resized": ("test_vit", {"img_size": 96}),
    "convnext": ("test_convnext", {"img_size": 64}),
    "mobilenet": ("mobilenet_v1_bot", {"img_size": 64}),
    "inception": ("inception_v3_bot", {"img_size": 96}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Tensor, nn.Module, Preprocessing]]:
    root, made = tmp_path_factory.mktemp("runs"), {}
    for place, (name, kwargs) in FOLDERS.items():
        model, preprocessing = scratch(name, **kwargs)
        made[place] = (root / place, written(root / place, model, preprocessing), model, preprocessing)
    return made


LOAD_WITH_TIMM = """
import json, sys, timm, torch
rows = []
for folder, size in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.inference_mode():
        x = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
        rows.append(model(x).tolist())
assert not any(name.startswith("botzoo") for name in sys.modules)
names = {name: timm.model_entrypoint(name) for name in timm.list_models()}
import botzoo
taken = [name for name, function in names.items() if timm.model_entrypoint(name) is not function]
print(json.dumps({"rows": rows, "taken": taken, "ours": timm.is_model("resnet50d_bot")}))
"""


@pytest.fixture(scope="module")
def stranger(folders: dict[str, Any]) -> dict[str, Any]:
    """What a Python finds that has imported timm, and botzoo only later."""
    return fresh(
        LOAD_WITH_TIMM, *(arg for path, _, _, preprocessing in folders.values() for arg in (path, preprocessing.size))
    )


@pytest.mark.slow
def test_timm_alone_loads_the_folder_and_gives_the_same_logits(
    folders: dict[str, Any], stranger: dict[str, Any]
) -> None:
    for place, row in zip(folders, stranger["rows"], strict=True):
        torch.testing.assert_close(torch.tensor(row), folders[place][1], msg=place)


@pytest.mark.slow
def test_botzoo_after_timm_takes_no_name_from_it(stranger: dict[str, Any]) -> None:
    assert (stranger["taken"], stranger["ours"]) == ([], True)


@pytest.mark.slow
def test_transformers_gives_the_same_label_and_score(folders: dict[str, Any], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    noise = torch.randint(0, 256, (90, 120, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    Image.fromarray(noise.numpy()).save(photo := tmp_path / "photo.png")
    for path, _, model, preprocessing in folders.values():
        answer = transformers.pipeline("image-classification", model=str(path))(str(photo))[0]
        seen = torch.from_numpy(EvalTransform(preprocessing)(Image.open(photo), (0, 0)).copy()).permute(2, 0, 1)
        with torch.inference_mode():
            shares = model(preprocessing.normalise(seen[None])).softmax(1)[0]
        assert answer["label"] == NAMES[int(shares.argmax())]
        assert answer["score"] == pytest.approx(float(shares.max()), rel=1e-4)


@pytest.mark.parametrize(("side", "fit"), [((32, 96), "crop"), (48, "squash"), ((64, 32), "pad")])
def test_timm_and_transformers_fit_images_as_we_do(side: Side, fit: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model, preprocessing = scratch("test_resnet", img_size=side)
    preprocessing = preprocessing.fitted(fit)
    write_model_folder(tmp_path, model, preprocessing, NAMES, tag="mine", license=None)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 130, 3), dtype=np.uint8))
    ours = torch.from_numpy(EvalTransform(preprocessing)(image, (0, 0)).copy()).permute(2, 0, 1)[None]
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    shown = timm.data.create_transform(**timm.data.resolve_model_data_config(theirs))(image)[None]
    torch.testing.assert_close(preprocessing.normalise(ours), shown, rtol=0, atol=2e-6)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    torch.testing.assert_close(processor(image)["pixel_values"], shown)
    assert create_model(f"local-dir:{tmp_path}", len(NAMES)).preprocessing == preprocessing


def test_a_network_of_squares_refuses_another_shape_in_a_line() -> None:
    with pytest.raises(ConfigError, match="--img-size 96 192 is no square, and nest_tiny takes squares only: give one"):
        create_model("nest_tiny", 3, scratch=True, img_size=(96, 192))


def test_config_json_holds_names_and_the_true_input(folders: dict[str, Any]) -> None:
    path, _, _, preprocessing = folders["vit-resized"]
    cfg = config(path)["pretrained_cfg"]
    assert config(path)["label_names"] == list(NAMES)
    assert cfg["input_size"] == [3, 96, 96]
    assert (tuple(cfg["mean"]), tuple(cfg["std"])) == (preprocessing.mean, preprocessing.std)
    assert (cfg["crop_pct"], cfg["interpolation"]) == (preprocessing.crop_pct, preprocessing.interpolation)
    assert (cfg["tag"], cfg["license"]) == ("mine", "mit")


@pytest.mark.parametrize(
    ("place", "name", "args"),
    [
        ("a-run of/model 1", "resnet18d", {"layers": [1, 1, 1, 1]}),
        ("mobilenet", "mobilenetv1_100", {}),
        ("inception", "inception_v3", {}),
    ],
)
def test_ours_is_written_under_timms_name(place: str, name: str, args: dict[str, Any], folders: dict[str, Any]) -> None:
    found = config(folders[place][0])
    assert (found["architecture"], found["model_args"]) == (name, args)


def test_an_unknown_licence_leaves_the_key_out(tmp_path: Path) -> None:
    write_model_folder(tmp_path, *scratch("test_resnet"), NAMES, tag="mine", license=None)
    assert "license" not in config(tmp_path)["pretrained_cfg"]


def test_variant_a_keeps_our_name_and_loads(tmp_path: Path) -> None:
    model = timm.create_model("resnet50a_bot", num_classes=5, channels=(8, 16, 24, 32))
    _, preprocessing = scratch("test_resnet", img_size=64)
    expected = written(tmp_path, model, preprocessing)
    assert config(tmp_path)["architecture"] == "resnet50a_bot"
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    torch.testing.assert_close(logits(loaded, 64), expected)


def test_arguments_of_the_network_are_kept(tmp_path: Path) -> None:
    model = timm.create_model("test_vit", num_classes=5, depth=2, global_pool="avg", img_size=64)
    _, preprocessing = scratch("test_vit", img_size=64)
    expected = written(tmp_path, model, preprocessing)
    assert config(tmp_path)["model_args"] == {"depth": 2, "global_pool": "avg", "img_size": 64}
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    torch.testing.assert_close(logits(loaded, 64), expected)


# Starting from one's own result


@pytest.mark.parametrize("place", ["a-run of/model 1", "vit-resized"])
def test_a_result_is_a_model_to_start_from(folders: dict[str, Any], place: str) -> None:
    path, _, before, preprocessing = folders[place]
    network = create_model(f"local-dir:{path}", 3)
    model, again, start = network.model, network.preprocessing, network.start
    assert (model.num_classes, again) == (3, preprocessing)
    assert (start.source, start.license, start.base_model) == (f"local-dir:{path}", "mit", None)
    assert set(start.report.mismatched) == set(head_names(model))
    for name in start.report.loaded:
        assert torch.equal(model.state_dict()[name], before.state_dict()[name])


def test_the_second_generation_loads_as_the_first_did(folders: dict[str, Any], tmp_path: Path) -> None:
    network = create_model(f"local-dir:{folders['a-run of/model 1'][0]}", 3)
    model, preprocessing = network.model, network.preprocessing
    expected = written(tmp_path, model, preprocessing, NAMES[:3])
    assert config(tmp_path)["model_args"] == {"layers": [1, 1, 1, 1]}
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    torch.testing.assert_close(logits(loaded, preprocessing.size), expected)


def test_a_result_at_another_size(folders: dict[str, Any]) -> None:
    network = create_model(f"local-dir:{folders['vit'][0]}", 3, img_size=64)
    model, preprocessing = network.model, network.preprocessing
    assert preprocessing.size == 64
    assert logits(model, 64).shape == (2, 3)


def test_as_many_classes_keep_the_classifier(folders: dict[str, Any]) -> None:
    path, expected, _, preprocessing = folders["basic"]
    network = create_model(f"local-dir:{path}", len(NAMES))
    model, start = network.model, network.start
    assert start.report.fits
    torch.testing.assert_close(logits(model, preprocessing.size), expected)


def test_weights_of_a_folder_bring_their_preprocessing(tmp_path: Path) -> None:
    model, preprocessing = scratch("test_resnet", img_size=48)
    other = Preprocessing(48, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), 0.9, "bilinear")
    write_model_folder(tmp_path, model, other, NAMES, tag="mine", license="mit")
    network = create_model("test_resnet", 3, pretrained=f"local-dir:{tmp_path}")
    found, start = network.preprocessing, network.start
    assert (found, start.license) == (other, "mit")
    assert found != preprocessing


def test_a_key_missing_from_the_folder_is_an_error(folders: dict[str, Any], tmp_path: Path) -> None:
    tensors = load_file(folders["basic"][0] / "model.safetensors")
    del tensors["layer3.0.conv1.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config(folders["basic"][0])))
    with pytest.raises(CheckpointError, match=r"Missing key.*layer3\.0\.conv1\.weight"):
        create_model(f"local-dir:{tmp_path}", 3)


# Weights from a file


def saved(path: Path, tensors: dict[str, Tensor]) -> str:
    save_file(tensors, path)
    return str(path)


def test_a_file_that_fits_partly_is_loaded_where_it_fits(tmp_path: Path) -> None:
    tensors = scratch("test_resnet", 7)[0].state_dict()
    gone, kept = "layer2.0.conv1.weight", "layer1.0.conv1.weight"
    file = saved(tmp_path / "w.safetensors", {k: v for k, v in tensors.items() if k != gone} | {"other": torch.ones(1)})
    network = create_model("test_resnet", 3, pretrained=file)
    model, start = network.model, network.start
    report = start.report
    assert (report.missing, report.unexpected) == ((gone,), ("other",))
    assert report.mismatched == ("fc.weight", "fc.bias")
    assert len(report.loaded) == len(tensors) - 3
    assert torch.equal(model.state_dict()[kept], tensors[kept])


def test_a_file_with_nothing_that_fits_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "w.safetensors", scratch("test_vit")[0].state_dict())
    with pytest.raises(CheckpointError, match=r"w\.safetensors was made for another.* 0 of .*'blocks.*'conv1"):
        create_model("test_resnet", 3, pretrained=file)


def test_a_classifier_alone_does_not_count_as_fitting() -> None:
    model = scratch("test_resnet")[0]
    head = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("fc")}
    with pytest.raises(CheckpointError, match="made for another network"):
        load_what_fits(model, head, "here")


@pytest.mark.parametrize("content", [b"", b"some text, no weights", None], ids=["empty", "text", "truncated"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = Path(saved(tmp_path / "w.safetensors", scratch("test_resnet")[0].state_dict()))
    file.write_bytes(file.read_bytes()[:-100] if content is None else content)
    with pytest.raises(CheckpointError, match=r"w.safetensors is not a complete safetensors file"):
        create_model("test_resnet", 3, pretrained=str(file))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"There is no file nowhere.safetensors"):
        create_model("test_resnet", 3, pretrained="nowhere.safetensors")


def test_weights_may_be_read_by_whoever_may_read_the_rest(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_model_folder(tmp_path, *scratch("test_resnet"), NAMES, tag="mine", license=None)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


# Addresses that lead nowhere


def test_a_text_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"no model in .*notes.txt \(no config.json and no model.safetensors\)"):
        create_model(f"local-dir:{tmp_path / 'notes.txt'}", 3)


def test_a_folder_with_a_pickle_only_is_refused(folders: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config(folders["basic"][0])))
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no model.safetensors"):
        create_model(f"local-dir:{tmp_path}", 3)


@pytest.mark.parametrize("text", ["{", "[]", '{"architecture": "resnet_of_mars", "pretrained_cfg": {}}'])
@pytest.mark.parametrize("flag", ["model", "pretrained"])
def test_a_damaged_config_is_an_error(folders: dict[str, Any], tmp_path: Path, text: str, flag: str) -> None:
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError):
        create_model(*(f"local-dir:{tmp_path}", 3) if flag == "model" else ("test_resnet", 3), **_from(flag, tmp_path))


def _from(flag: str, folder: Path) -> dict[str, str]:
    return {"pretrained": f"local-dir:{folder}"} if flag == "pretrained" else {}


@pytest.mark.parametrize(
    ("name", "pretrained", "message"),
    [
        ("resnet10dbot", None, "no network 'resnet10dbot'.*Did you mean.*'resnet10d_bot'"),
        ("resnet50d_bot.gluon_in1", None, "no weights with the tag 'gluon_in1'. Did you mean 'gluon_in1k'"),
        ("resnet50d_bot", "gluon", "no weights with the tag 'gluon'. Did you mean 'gluon_in1k'"),
        ("resnet50a_bot", None, "no pretrained weights for resnet50a_bot.*--scratch"),
        ("timm/resnet50", None, "no network 'timm/resnet50'.*hf-hub:owner/name"),
        ("tests", None, "It is a folder: give local-dir:tests"),
        ("README.md", None, "It is a file of weights: give --pretrained README.md beside --model"),
        ("test_resnet", "s3:bucket", "'s3:bucket' is of no known kind"),
        ("local-dir:tests", "gluon_in1k", "gluon_in1k is a tag, and local-dir:tests has no tags"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(
    name: str, pretrained: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    with pytest.raises(ModelError, match=message):
        create_model(name, 3, pretrained=pretrained)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_weights_are_fitted_to_other_channels_as_timm_does(channels: int) -> None:
    name = "resnet10d_bot"
    made, plain = create_model(name, 3, channels=channels), create_model(name, 3)
    weights = [network.model.state_dict()["conv1.0.weight"] for network in (made, plain)]
    assert torch.allclose(weights[0], adapt_input_conv(channels, weights[1]), atol=1e-3)  # kept in half precision
    assert made.preprocessing.channels == len(made.preprocessing.mean) == channels


def test_a_folder_for_other_channels_is_found_again_and_fitted_to_three(tmp_path: Path) -> None:
    made = create_model("test_resnet", len(NAMES), scratch=True, channels=5)
    write_model_folder(tmp_path, made.model, made.preprocessing, NAMES, tag="mine", license=None)
    assert create_model(f"local-dir:{tmp_path}", None).preprocessing == made.preprocessing
    assert create_model(f"local-dir:{tmp_path}", None, channels=3).model(torch.zeros(1, 3, 64, 64)).shape == (
        1,
        len(NAMES),
    )
    bare = create_model("test_resnet", len(NAMES), pretrained=f"local-dir:{tmp_path}", channels=5)
    assert bare.start.report is not None
    assert not bare.start.report.mismatched


@pytest.mark.parametrize(
    ("name", "pretrained"),
    [("hf-hub:owner/name", None), ("test_resnet.r160_in1k", None), ("test_resnet", "hf-hub:owner/name@main")],
)
def test_offline_it_says_what_works_without_a_network(
    name: str, pretrained: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NetworkError, match=f"{pretrained or name} are not cached.*--model resnet10d_bot"):
        create_model(name, 3, pretrained=pretrained)


def test_an_unreachable_hub_is_noticed_without_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    constants, offline = huggingface_hub.constants, []
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def download(*args: Any, **kwargs: Any) -> str:
        offline.append(constants.HF_HUB_OFFLINE)
        return huggingface_hub.hf_hub_download(*args, **kwargs)

    monkeypatch.setattr("botzoo.models.loading.hf_hub_download", download)
    with pytest.raises(NetworkError, match="cannot be reached"):
        create_model("hf-hub:owner/name", 3)
    assert (offline, constants.HF_HUB_OFFLINE) == ([True], False)  # the client looks into its cache only


# Random weights


@pytest.mark.parametrize(("zero", "gamma"), [(True, 0.0), (False, 1.0)])
def test_zero_gamma_counts_from_scratch(zero: bool, gamma: float) -> None:
    network = create_model("resnet10d_bot", 3, scratch=True, zero_gamma=zero)
    model, start = network.model, network.start
    assert {float(block.bn2.weight.detach().mean()) for layer in (model.layer1, model.layer4) for block in layer} == {
        gamma
    }
    assert (start.source, start.report, start.license) == ("random weights", None, None)


@pytest.mark.parametrize(("zero", "gamma"), [(True, 0.0), (False, 1.0)])
def test_xavier_counts_from_scratch_and_zero_gamma_comes_after_it(zero: bool, gamma: float) -> None:
    model = create_model("resnet10d_bot", 3, scratch=True, zero_gamma=zero, xavier_init=True).model
    bound = (6 / (64 * 9 + 64 * 9)) ** 0.5
    assert 0.98 * bound < float(model.layer1[0].conv1.weight.detach().abs().max()) <= bound
    assert model.fc.bias.tolist() == [0.0] * 3
    assert model.layer1[0].bn2.weight.tolist() == [gamma] * 64


def test_xavier_leaves_given_weights_as_they_are(folders: dict[str, Any]) -> None:
    path, expected, _, preprocessing = folders["basic"]
    model = create_model(f"local-dir:{path}", len(NAMES), xavier_init=True).model
    torch.testing.assert_close(logits(model, preprocessing.size), expected)


# Dropout


@torch.inference_mode()
def drops(model: nn.Module, size: int) -> bool:
    """Tell whether two looks at one image differ in training, whose BatchNorm is the same for both."""
    x = torch.rand(4, 3, size, size, generator=torch.Generator().manual_seed(1))
    features = model.eval().forward_features(x)
    model.train()
    return not torch.equal(model.forward_head(features), model.forward_head(features))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet10d_bot", "mobilenet_v1_bot", "inception_v3_bot", "test_vit", "test_convnext"])
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_drop_rate_reaches_the_classifier(name: str, rate: float) -> None:
    model = create_model(name, 3, scratch=True, img_size=96, drop_rate=rate).model
    torch.manual_seed(0)
    assert drops(model, 96) is (rate > 0)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["basic", "inception"])
def test_a_result_can_be_trained_on_with_dropout_and_other_classes(place: str, folders: dict[str, Any]) -> None:
    path, _, _, preprocessing = folders[place]
    model = create_model(f"local-dir:{path}", 3, drop_rate=0.5).model
    torch.manual_seed(0)
    assert drops(model, preprocessing.size)


def test_dropout_changes_no_logits_and_is_not_handed_on(folders: dict[str, Any], tmp_path: Path) -> None:
    path, expected, _, preprocessing = folders["basic"]
    model = create_model(f"local-dir:{path}", len(NAMES), drop_rate=0.5).model
    torch.testing.assert_close(logits(model, preprocessing.size), expected)
    write_model_folder(tmp_path, model, preprocessing, NAMES, tag="mine", license=None)
    assert "drop_rate" not in config(tmp_path)["model_args"]
    assert not drops(create_model(f"local-dir:{tmp_path}", 3).model, preprocessing.size)


def test_a_network_without_dropout_refuses_a_drop_rate() -> None:
    with pytest.raises(ConfigError, match=r"--drop-rate is 0\.1 and gemma4_vit_167m_enc has no dropout: leave it out"):
        create_model("gemma4_vit_167m_enc", 3, scratch=True, drop_rate=0.1)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_drop_rate_that_has_not_arrived_is_noticed(name: str) -> None:
    assert drops_out(timm.create_model(name, drop_rate=0.3), 0.3)
    assert not drops_out(timm.create_model(name, drop_path_rate=0.3), 0.3)


def test_a_fixed_size_network_is_made_for_the_size_asked_for() -> None:
    network = create_model("test_vit", 3, scratch=True, img_size=64)
    model, preprocessing = network.model, network.preprocessing
    assert (model.patch_embed.img_size, preprocessing.size) == ((64, 64), 64)
    assert logits(model, 64).shape == (2, 3)


def sees(channels: int, *before: nn.Module) -> nn.Module:
    layers = nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    return nn.Sequential(*before, *layers)


@pytest.mark.parametrize("timms", [True, False])
def test_a_network_of_one_s_own_for_other_channels_is_refused(timms: bool) -> None:
    network = timm.create_model("test_resnet", num_classes=2) if timms else sees(3)
    with pytest.raises(ModelError, match=r"takes images of 3 channels and the data's have 5: make it for 5"):
        adopt(network, 2, 32, channels=5)


def test_a_network_of_one_s_own_that_makes_its_channels_is_taken() -> None:
    class Thrice(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.expand(-1, 3, -1, -1)

    assert adopt(sees(3, Thrice()), 2, 32, channels=1).preprocessing.channels == 1
