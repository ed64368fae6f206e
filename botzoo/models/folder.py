"""The model folder: weights and config.json that timm, transformers and the Hub load as they are."""

import json
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from botzoo.models.foreign import read_config
from botzoo.models.networks import bot_resnet
from botzoo.models.preprocessing import Preprocessing
from botzoo.util.files import own_folder, take_mode, write_json, written_whole

_IN_TIMM = bot_resnet.IN_TIMM | {"inception_v3_bot": ("inception_v3", {}), "mobilenet_v1_bot": ("mobilenetv1_100", {})}


def timm_architecture(model_name: str) -> tuple[str, dict[str, Any]] | None:
    """Return the name and model_args with which timm alone builds the same network, None for ResNet-A and other names.

    The state dict fits as it is, so a checkpoint that names this architecture loads without botzoo. ``model_name`` may
    carry a tag.
    """
    return deepcopy(_IN_TIMM.get(model_name.split(".", 1)[0]))


def config_sha256(folder: Path) -> str:
    """Return the SHA-256 of what config.json says, but for what is fitted when a run has been recorded.

    Raises:
        CheckpointError: see ``read_config``.
    """
    config = read_config(folder / "config.json")
    for fitted in ("calibration", "rejection"):
        config.pop(fitted, None)
    return sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def write_model_folder(
    folder: Path,
    model: nn.Module,
    preprocessing: Preprocessing,
    class_names: tuple[str, ...],
    *,
    tag: str,
    license: str | None,
    problem_type: str = "single_label_classification",
) -> None:
    """Write ``model.safetensors`` and ``config.json``, under timm's name of the network where it has another one.

    Args:
        model: a classifier with one output for each of ``class_names``; saved in fp32.
        tag: names these weights, as in timm's ``name.tag``.
        license: as on the Hub, such as "apache-2.0"; None leaves the key out.
        problem_type: transformers' name for it; "multi_label_classification" where an image has any number of labels.
    """
    own_folder(folder)
    weights, file = folder / "model.safetensors", folder / "config.json"
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    with written_whole(weights) as part:
        save_file(tensors, part, metadata={"format": "pt"})
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    architecture, model_args = timm_architecture(cfg["architecture"]) or (cfg["architecture"], {})
    created: dict[str, Any] = getattr(model, "_model_args", {})  # the arguments that timm had besides the name
    # With num_classes among them transformers cannot load the folder, and the top level has it. Dropout belongs to this
    # training: whoever starts from the folder would inherit it unasked.
    kept = {key: value for key, value in created.items() if key not in ("num_classes", "drop_rate")}
    p = preprocessing
    # the size of the last features is known for one size of the image only
    same_size = list(cfg.get("input_size", ())) == [p.channels, *p.shape]
    pretrained_cfg = {
        "tag": tag,
        "custom_load": False,
        "input_size": [p.channels, *p.shape],
        "fixed_input_size": bool(cfg.get("fixed_input_size", False)),
        "interpolation": p.interpolation,
        "crop_pct": p.crop_pct,
        "crop_mode": p.crop_mode,
        "mean": list(p.mean),
        "std": list(p.std),
        "num_classes": len(class_names),
        "pool_size": cfg.get("pool_size") if same_size else None,
        "first_conv": cfg.get("first_conv"),
        "classifier": cfg.get("classifier"),
        "license": license,
    }
    config = {
        "architecture": architecture,
        "num_classes": len(class_names),
        "num_features": model.num_features,
        "global_pool": pool if isinstance(pool := getattr(model, "global_pool", None), str) else "avg",
        "label_names": list(class_names),
        "model_args": {**kept, **model_args},
        "pretrained_cfg": {key: value for key, value in pretrained_cfg.items() if value is not None},
    }
    if decoding := p.decoding.as_json():  # timm and transformers pass over it
        config["decoding"] = decoding
    if problem_type != "single_label_classification":  # which is what all take for granted
        config["problem_type"] = problem_type
    write_json(file, config, exact=True)
    take_mode(weights, file)
