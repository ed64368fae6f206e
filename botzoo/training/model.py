"""The network of a run: created by timm, filled with whatever weights were asked for, and written so that timm loads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.data import resolve_model_data_config
from timm.models.resnet import ResNet
from torch import Tensor, nn

from botzoo.errors import BotzooError, CheckpointError, ModelError, NetworkError, did_you_mean
from botzoo.models.bot_resnet import timm_architecture
from botzoo.models.pretrained import KeyReport, compare_keys
from botzoo.training.data import Preprocessing
from botzoo.tricks.zero_gamma import zero_gamma as set_last_gamma


@dataclass(frozen=True)
class Start:
    """What a network started from.

    Attributes:
        source: for the reader, such as "resnet50d.gluon_in1k" or "random weights".
        report: how the weights met the network, None for random weights.
        base_model: Hub id of the weights, for the card, if they have one.
        license: licence of the weights, if known.
    """

    source: str
    report: KeyReport | None = None
    base_model: str | None = None
    license: str | None = None


def create_model(
    name: str,
    num_classes: int,
    *,
    pretrained: str | None = None,
    scratch: bool = False,
    img_size: int | None = None,
    zero_gamma: bool = True,
) -> tuple[nn.Module, Preprocessing, Start]:
    """Create a timm network with a new classifier for ``num_classes`` classes.

    Args:
        name: a name, name.tag, ``hf-hub:owner/name`` or ``local-dir:PATH``.
        num_classes: K >= 2.
        pretrained: a tag, ``hf-hub:owner/name``, ``local-dir:PATH`` or a safetensors file; None for the name's own weights.
        scratch: start from random weights; ``zero_gamma`` then says how.
        img_size: side of the input in pixels, None for the weights' own.

    Returns:
        The network, how its input is prepared, and what it started from.

    Raises:
        ModelError: timm has no such model or tag, or it has no weights.
        CheckpointError: the weights cannot be read, or none of them fits.
        NetworkError: the weights are on the Hub, which cannot be reached.
    """
    address, weights_from = _address(name, pretrained, scratch)
    kwargs: dict[str, Any] = {"num_classes": num_classes}
    if img_size and _has_fixed_size(address):
        kwargs["img_size"] = img_size
    own_weights = not scratch and weights_from is None
    model = _timm_create(address, own_weights, **kwargs)
    cfg: dict[str, Any] = model.pretrained_cfg
    if scratch:
        set_last_gamma(model, 0.0 if zero_gamma else 1.0)
        start = Start("random weights")
    elif weights_from is not None:
        state_dict, origin = _read_weights(weights_from)
        report = load_what_fits(model, state_dict, weights_from)
        start = Start(weights_from, report, origin)
    else:
        report = _own_report(model)
        hub_id = cfg.get("hf_hub_id") or None
        hub_id = f"timm/{cfg['architecture']}.{cfg['tag']}" if hub_id == "timm/" else hub_id
        tagged = f"{cfg['architecture']}.{cfg['tag']}" if cfg.get("tag") else address
        start = Start(tagged, report, hub_id, cfg.get("license"))
    return model, _preprocessing(model, img_size), start


def _address(name: str, pretrained: str | None, scratch: bool) -> tuple[str, str | None]:
    """Return what timm is to create and, where the weights come from elsewhere, from where."""
    if pretrained is None or scratch:
        return name, None
    if ":" in pretrained or pretrained.endswith(".safetensors"):
        return name, pretrained
    base = name.split(".", 1)[0]
    known = [tagged.split(".", 1)[1] for tagged in timm.list_models(f"{base}.*", pretrained=True)]
    if pretrained not in known:
        raise ModelError(
            f"{base} has no weights with the tag {pretrained!r}.{did_you_mean(pretrained, known)} "
            f"Its tags: {', '.join(known) or 'none'}; or give hf-hub:owner/name, local-dir:PATH or a .safetensors file."
        )
    return f"{base}.{pretrained}", None


def _timm_create(address: str, pretrained: bool, **kwargs: Any) -> Any:
    is_name = ":" not in address
    if is_name and not timm.is_model(address):
        known = timm.list_models()
        raise ModelError(
            f"timm has no model {address!r}.{did_you_mean(address, known)} Ours: timm.list_models('*_bot'); or give "
            "hf-hub:owner/name or local-dir:PATH."
        )
    base, _, tag = address.partition(".")
    if is_name:
        tags = [tagged.split(".", 1)[1] for tagged in timm.list_models(f"{base}.*", pretrained=True)]
        if tag and tag not in tags:
            raise ModelError(
                f"{base} has no tag {tag!r}.{did_you_mean(tag, tags)} Its tags: {', '.join(tags) or 'none'}."
            )
        if pretrained and not tags:
            raise ModelError(
                f"There are no pretrained weights for {base}: start from nothing with --scratch, or give some with "
                "--pretrained."
            )
    try:
        return timm.create_model(address, pretrained=pretrained, **kwargs)
    except BotzooError:
        raise
    except SafetensorError as error:
        raise CheckpointError(
            f"The weights of {address} are damaged: {_first_line(error)}. Fetch them again."
        ) from error
    except FileNotFoundError as error:
        raise CheckpointError(f"{address} has no model in it: {_first_line(error)}") from error
    except (RuntimeError, OSError, ConnectionError, KeyError, AssertionError) as error:
        raise _explain(address, error) from error


def _explain(address: str, error: Exception) -> BotzooError:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    if isinstance(error, RepositoryNotFoundError):
        return ModelError(f"There is no model {address} on the Hub, or it is private: log in with `hf auth login`.")
    if isinstance(error, (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError)):
        return NetworkError(
            f"The weights of {address} are not cached and the Hub cannot be reached: connect and try again, or use what "
            "works without a network: --model resnet10d_bot, --pretrained FILE.safetensors, or --scratch."
        )
    return CheckpointError(f"{address} cannot be loaded: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")


def _has_fixed_size(address: str) -> bool:
    return (
        ":" not in address
        and bool(timm.get_pretrained_cfg(address, allow_unregistered=True) or False)
        and bool(getattr(timm.get_pretrained_cfg(address, allow_unregistered=True), "fixed_input_size", False))
    )


def _read_weights(source: str) -> tuple[dict[str, Tensor], str | None]:
    """Return a state dict and, for a Hub repository, its id."""
    path, origin = Path(source.removeprefix("local-dir:")), None
    if source.startswith("hf-hub:"):
        from huggingface_hub import hf_hub_download

        origin = source.removeprefix("hf-hub:")
        try:
            path = Path(hf_hub_download(origin, "model.safetensors"))
        except Exception as error:
            raise _explain(source, error) from error
    elif source.startswith("local-dir:"):
        path = path / "model.safetensors"
    elif ":" in source:
        raise ModelError(
            f"--pretrained {source!r} is of no known kind: give a tag, hf-hub:, local-dir: or a .safetensors file."
        )
    return read_safetensors(path), origin


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        CheckpointError: there is no such file, or it is truncated, damaged or something else.
    """
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}: check the path.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a complete safetensors file ({_first_line(error)}): fetch or copy it again."
        ) from error


def load_what_fits(model: nn.Module, state_dict: Mapping[str, Tensor], source: str) -> KeyReport:
    """Load the tensors of ``state_dict`` whose name and shape are the network's, in place, and report on all of them.

    Raises:
        CheckpointError: nothing besides the classifier fits.
    """
    report = compare_keys(model, state_dict)
    head = set(head_names(model))
    if not set(report.loaded) - head:
        first = next(iter(state_dict), "nothing")
        raise CheckpointError(
            f"Nothing in {source} fits this model (the file starts with {first!r}, the model with "
            f"{next(iter(model.state_dict()))!r}): give the --model that it was made for."
        )
    model.load_state_dict({name: state_dict[name] for name in report.loaded}, strict=False)
    return report


def _own_report(model: nn.Module) -> KeyReport:
    """Report of weights that timm loaded and checked itself: the classifier is new where its size differs."""
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    head = set(head_names(model)) if cfg.get("num_classes") != model.num_classes else set()
    names = tuple(model.state_dict())
    return KeyReport(tuple(n for n in names if n not in head), (), (), tuple(n for n in names if n in head))


def head_names(model: nn.Module) -> list[str]:
    """Return the names of the classifier's parameters."""
    classifier = model.get_classifier()  # type: ignore[operator]
    parts = classifier if isinstance(classifier, tuple) else (classifier,)
    ours = {id(p) for part in parts if isinstance(part, nn.Module) for p in part.parameters()}
    return [name for name, parameter in model.named_parameters() if id(parameter) in ours]


def _preprocessing(model: nn.Module, img_size: int | None) -> Preprocessing:
    cfg = resolve_model_data_config(model)
    size = img_size or int(cfg["input_size"][-1])
    interpolation = cfg["interpolation"] if cfg["interpolation"] in ("bilinear", "bicubic") else "bicubic"
    return Preprocessing(
        size,
        tuple(cfg["mean"]),
        tuple(cfg["std"]),
        float(cfg["crop_pct"]),
        interpolation,
        cfg.get("crop_mode") or "center",
    )


def write_model_folder(
    folder: Path,
    model: nn.Module,
    preprocessing: Preprocessing,
    class_names: tuple[str, ...],
    *,
    tag: str,
    license: str | None,
    num_classes: int | None = None,
) -> None:
    """Write ``model.safetensors`` and ``config.json`` so that timm, transformers and the Hub load them as they are.

    Networks that timm knows under another name are written under that name, so that loading needs no botzoo.

    Args:
        folder: created where it is missing.
        model: a classifier with one output for each of ``class_names``; saved in fp32.
        preprocessing: recorded as input_size, mean, std, crop_pct and interpolation.
        tag: names these weights, as in timm's ``name.tag``.
        license: as on the Hub, such as "apache-2.0"; None leaves the key out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = folder_config(model, preprocessing, class_names, tag=tag, license=license)
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def folder_config(
    model: nn.Module, preprocessing: Preprocessing, class_names: tuple[str, ...], *, tag: str, license: str | None
) -> dict[str, Any]:
    """Return what goes into config.json."""
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    architecture, model_args = timm_architecture(cfg["architecture"]) or (cfg["architecture"], {})
    if extra := getattr(model, "pretrained_model_args", None):
        model_args = {**extra, **model_args}
    p = preprocessing
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
        "pool_size": cfg.get("pool_size"),
        "first_conv": cfg.get("first_conv"),
        "classifier": cfg.get("classifier"),
    }
    if license is not None:
        pretrained_cfg["license"] = license
    return {
        "architecture": architecture,
        "num_classes": len(class_names),
        "num_features": model.num_features,
        "global_pool": getattr(model, "global_pool", None)
        if isinstance(getattr(model, "global_pool", None), str)
        else "avg",
        "label_names": list(class_names),
        "model_args": model_args,
        "pretrained_cfg": pretrained_cfg,
    }


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters there are and how many of them are trained."""
    every = [p.numel() for p in model.parameters()]
    trained = [p.numel() for p in model.parameters() if p.requires_grad]
    return sum(every), sum(trained)
