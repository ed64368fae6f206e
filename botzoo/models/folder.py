"""The model folder: weights and config.json that timm, transformers and the Hub load as they are."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE
from typing import Any

from safetensors.torch import save_file
from torch import nn

from botzoo.models.architecture import timm_architecture
from botzoo.models.preprocessing import Preprocessing


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
    """Write ``model.safetensors`` and ``config.json`` so that timm, transformers and the Hub load them as they are.

    Networks that timm knows under another name are written under that name, so that loading needs no botzoo.

    Args:
        folder: created where it is missing.
        model: a classifier with one output for each of ``class_names``; saved in fp32.
        preprocessing: recorded as input_size, mean, std, crop_pct and interpolation.
        tag: names these weights, as in timm's ``name.tag``.
        license: as on the Hub, such as "apache-2.0"; None leaves the key out.
        problem_type: as transformers names it; "multi_label_classification" where an image may have any number of labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    weights, file = folder / "model.safetensors", folder / "config.json"
    save_file(tensors, weights, metadata={"format": "pt"})
    config = folder_config(model, preprocessing, class_names, tag=tag, license=license)
    if problem_type != "single_label_classification":  # which is what all take for granted
        config["problem_type"] = problem_type
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with suppress(OSError):  # safetensors leaves its file to its owner alone, whatever the umask
        weights.chmod(S_IMODE(file.stat().st_mode))


def folder_config(
    model: nn.Module, preprocessing: Preprocessing, class_names: tuple[str, ...], *, tag: str, license: str | None
) -> dict[str, Any]:
    """Return what goes into config.json."""
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    architecture, model_args = timm_architecture(cfg["architecture"]) or (cfg["architecture"], {})
    p = preprocessing
    same_size = list(cfg.get("input_size", ())) == [3, p.size, p.size]
    pretrained_cfg = {
        "tag": tag,
        "custom_load": False,
        "input_size": [3, p.size, p.size],
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
    return {
        "architecture": architecture,
        "num_classes": len(class_names),
        "num_features": model.num_features,
        "global_pool": pool if isinstance(pool := getattr(model, "global_pool", None), str) else "avg",
        "label_names": list(class_names),
        "model_args": {**_creation_args(model), **model_args},
        "pretrained_cfg": {key: value for key, value in pretrained_cfg.items() if value is not None},
    }


def _creation_args(model: Any) -> dict[str, Any]:
    """Return the arguments besides the name with which timm created ``model``, without the number of classes and dropout.

    With num_classes among them transformers cannot load the folder, and in every loader the top level has it. Dropout
    belongs to this training: whoever starts from the folder would inherit it unasked.
    """
    args = dict(getattr(model, "_model_args", {}))
    return {key: value for key, value in args.items() if key not in ("num_classes", "drop_rate")}
