"""Model folders that others wrote, read without trust: a config.json and a model.safetensors, and nothing else.

Neither can run code, but a hostile config.json can ask for a network, an image or a list that no memory holds. So every
value is checked, and the network is made on the meta device first, where tensors have shapes and no contents, and no
larger than the weights in the file justify.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from botzoo.errors import CheckpointError, did_you_mean
from botzoo.models.cost import on_meta
from botzoo.models.pretrained import compare_keys
from botzoo.util.text import brief

Config = dict[str, Any]
Shapes = dict[str, tuple[int, ...]]

CONFIG_BYTES = 16 << 20
CLASSES = 1_000_000
SIDE = 2048
"""Largest side of an input image in pixels; timm's largest is 1024."""
ARGUMENT = 65_536
"""Largest number among model_args."""
ITEMS = 10_000
"""Most values among model_args, all lists counted through."""
TEMPERATURES = (0.01, 100.0)
"""Smallest and largest number that logits are divided by."""
UNWEIGHED = 2_000_000_000
"""Most elements of a network of which no weights are read."""

PICKLES = (".bin", ".pth", ".pt", ".ckpt", ".pkl", ".pickle", ".tar", ".th")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos", "hamming", "box", "random")
CROP_MODES = ("center", "squash", "border")
_FORBIDDEN_ARGS = re.compile(
    "pretrained.*|checkpoint_path|cache_dir|features_only|feature_cls|feature_cfg|out_indices|kwargs_filter|model_cfg|"
    "pruned|device|dtype|scriptable|exportable|no_jit"
)


def read_config(path: Path) -> Config:
    """Return what a config.json holds, with every value that is used afterwards of a sound type and size.

    Raises:
        CheckpointError: it cannot be read, is no JSON object, or holds a value that nobody could mean.
    """
    try:
        if path.stat().st_size > CONFIG_BYTES:
            raise CheckpointError(f"{path} is larger than {CONFIG_BYTES >> 20} MiB: it is no model's config.json.")
        config = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not a model's config.json ({brief(error)}): fetch or copy it again."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is not a model's config.json (no JSON object): fetch or copy it again.")
    where = str(path)
    cfg = config.get("pretrained_cfg", config)
    _Values(where, config).check("pretrained_cfg", lambda v: isinstance(v, dict), "an object")
    for values in (config, cfg):
        _check_values(_Values(where, values))
    if cfg.get("hf_hub_filename") not in (None, "model.safetensors") or cfg.get("custom_load"):
        raise CheckpointError(f"{where} asks for another file than model.safetensors: no other is read.")
    _check_model_args(config.get("model_args"), where)
    if isinstance(calibration := config.get("calibration"), dict):
        low, high = TEMPERATURES
        inside = _Values(where, {"calibration.temperature": calibration.get("temperature")})
        inside.check(
            "calibration.temperature",
            lambda v: _is_number(v) and low <= v <= high,
            f"a number from {low:g} to {high:g}",
        )
    names, classes = (config.get(key, cfg.get(key)) for key in ("label_names", "num_classes"))
    made_for = (config.get("model_args") or {}).get("num_classes", classes)
    if made_for != classes:  # timm would load all but the classifier, and leave that random
        raise CheckpointError(
            f"{where} has num_classes {classes} and model_args.num_classes {made_for}: they must be one."
        )
    if isinstance(names, list) and classes is not None and len(names) != classes:
        raise CheckpointError(f"{where} has {len(names)} label_names and num_classes {classes}: they must be as many.")
    return config


def temperature_in(config: Config) -> float | None:
    """Return what a checked config.json says the logits are to be divided by, None where it says nothing."""
    calibration = config.get("calibration")
    found = calibration.get("temperature") if isinstance(calibration, dict) else None
    return None if found is None else float(found)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@dataclass(frozen=True)
class _Values:
    """The values of one JSON object, to be checked one by one; null and absent ones pass."""

    where: str
    values: Mapping[str, Any]

    def check(self, key: str, sound: Callable[[Any], bool], accepted: str) -> None:
        value = self.values.get(key)
        if value is not None and not sound(value):
            raise CheckpointError(f"{self.where}: {key} is {shortened(value)}: it must be {accepted}.")


def _check_values(values: _Values) -> None:
    for key in ("architecture", "tag", "license", "description", "global_pool"):
        values.check(key, _is_text, "text")
    values.check("num_classes", lambda v: _is_int(v, 0, CLASSES), f"a whole number from 0 to {CLASSES:,}")
    for key in ("input_size", "test_input_size", "min_input_size"):
        values.check(key, _is_input_size, f"[3, height, width] with sides from 1 to {SIDE} px")
    for key in ("crop_pct", "test_crop_pct"):
        values.check(key, lambda v: _is_number(v) and 0.25 <= v <= 2, "a number from 0.25 to 2")
    values.check("mean", lambda v: _is_colour(v), "3 numbers, those of R, G and B")
    values.check("std", lambda v: _is_colour(v) and min(v) > 1e-6, "3 numbers greater than 0")
    values.check("interpolation", lambda v: v in INTERPOLATIONS, f"one of {', '.join(INTERPOLATIONS)}")
    values.check("crop_mode", lambda v: v in CROP_MODES, f"one of {', '.join(CROP_MODES)}")
    for key in ("fixed_input_size", "custom_load"):
        values.check(key, lambda v: isinstance(v, bool), "true or false")
    for key in ("first_conv", "classifier"):
        values.check(key, lambda v: _is_text(v) or (_is_list(v, 16) and all(map(_is_text, v))), "text")
    values.check("label_names", _are_names, "a list of texts, or an object of them")
    values.check("label_descriptions", lambda v: isinstance(v, dict) and _are_names(v), "an object of texts")
    values.check("label_offset", lambda v: _is_int(v, 0, CLASSES), "a whole number")
    values.check("pool_size", lambda v: _is_list(v, 4) and all(_is_int(x, 1, SIDE) for x in v), "two whole numbers")


def _check_model_args(args: Any, where: str) -> None:
    values = _Values(where, {"model_args": args})
    values.check("model_args", lambda v: isinstance(v, dict), "an object")
    for key, value in (args or {}).items():
        inside = _Values(where, {f"model_args.{key}": value})
        if _FORBIDDEN_ARGS.fullmatch(key):
            raise CheckpointError(f"{where} has model_args.{shortened(key)[1:-1]}, which is no property of a network.")
        numbers = f"text, true, false, numbers up to {ARGUMENT:,} or short lists of them"
        inside.check(f"model_args.{key}", _is_argument, numbers)
        if key == "img_size":
            inside.check(f"model_args.{key}", _are_sides, f"one or two sides from 1 to {SIDE} px")
    values.check("model_args", lambda v: sum(1 for _ in _scalars(v)) <= ITEMS, f"at most {ITEMS:,} values")


def _is_argument(value: Any, depth: int = 0) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return depth < 4 and all(_is_argument(item, depth + 1) for item in value)
    if isinstance(value, str):  # such as "ir_r3_k5", which repeats a block thrice
        return _is_text(value) and not re.search(r"\d{5}", value)
    return value is None or isinstance(value, bool) or (_is_number(value) and abs(value) <= ARGUMENT)


def _scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _scalars(item)
    else:
        yield value


def _is_int(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 2000 and not re.search("[\ud800-\udfff]", value)


def _is_list(value: Any, longest: int) -> bool:
    return isinstance(value, list) and 0 < len(value) <= longest


def _is_input_size(value: Any) -> bool:
    return _is_list(value, 3) and len(value) == 3 and all(_is_int(side, 1, SIDE) for side in value)


def _are_sides(value: Any) -> bool:
    return all(_is_int(side, 1, SIDE) for side in (value if isinstance(value, list) else [value]))


def _is_colour(value: Any) -> bool:
    """Tell whether there is a number for each channel; timm writes one for images of a single channel."""
    return _is_list(value, 4) and all(_is_number(x) and abs(x) <= 1000 for x in value)


def _are_names(value: Any) -> bool:
    names = [*value, *value.values()] if isinstance(value, dict) else value
    return isinstance(names, list) and len(names) <= 2 * CLASSES and all(_is_text(name) for name in names)


def shortened(value: Any, longest: int = 60) -> str:
    """Return the value as Python writes it, on one line, the middle of a long one left out."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**100 else f"{str(value)[:20]}..."
    return text if len(text) <= longest else f"{text[: longest - 10]} ... {text[-5:]}"


def read_shapes(path: Path) -> Shapes:
    """Return the shape of each tensor in a safetensors file; only its header is read.

    Raises:
        CheckpointError: there is no such file, or it is truncated, damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}: check the path.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a complete safetensors file ({brief(error)}): fetch or copy it again."
        ) from error


def meta_network(config: Config, shapes: Shapes | None, where: str) -> nn.Module:
    """Return the network that ``config`` describes on the meta device, with ``shapes`` those of its weights.

    Raises:
        CheckpointError: timm has no such network or cannot make it, it is larger than the weights, or most of its
            tensors have another shape than theirs.
    """
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        hint = did_you_mean(architecture, timm.list_models()) if isinstance(architecture, str) else ""
        raise CheckpointError(f"{where}: timm has no architecture {shortened(architecture)}.{hint}")
    try:
        with _no_larger_than(shapes, where):
            model = _on_meta(architecture, config)
    except CheckpointError:
        raise
    except Exception as error:  # arguments that no network takes can end in any of them
        raise CheckpointError(f"{where}: {architecture} cannot be made with its arguments ({brief(error)}).") from error
    if shapes is not None:  # most must fit; timm adapts a few, such as embeddings of positions
        report = compare_keys(model, {name: SimpleNamespace(shape=shape) for name, shape in shapes.items()})
        if 2 * len(report.loaded) < len(model.state_dict()):
            raise CheckpointError(
                f"{where}: the weights do not fit {type(model).__name__} as config.json describes it: {report}."
            )
    return model


def _on_meta(architecture: str, config: Config) -> nn.Module:
    args = dict(config.get("model_args") or {})
    cfg = config.get("pretrained_cfg", config)
    num_classes = config.get("num_classes", cfg.get("num_classes"))
    if num_classes is not None:
        args.setdefault("num_classes", num_classes)
    if cfg.get("fixed_input_size") and cfg.get("input_size"):
        args.setdefault("img_size", tuple(cfg["input_size"][1:]))
    if cfg.get("input_size"):
        args.setdefault("in_chans", cfg["input_size"][0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of initialising tensors without contents
        try:
            with on_meta():
                model: nn.Module = timm.create_model(architecture, **args)
        except NotImplementedError:  # some networks look at the contents of a tensor while they are made
            model = timm.create_model(architecture, **args)
    return model


@contextmanager
def _no_larger_than(shapes: Shapes | None, where: str) -> Iterator[None]:
    """Stop the making of a network as soon as it is far larger than its weights; none is let grow beyond all bounds.

    A network has a few tensors that are not saved, such as tables of relative positions, hence the allowance.
    """
    elements = UNWEIGHED if shapes is None else 4 * sum(map(math.prod, shapes.values())) + 4_000_000
    tensors = 50_000 if shapes is None else 4 * len(shapes) + 1000
    left = {"elements": elements, "tensors": tensors, "modules": 10 * tensors}

    def take(kind: str, count: int) -> None:
        left[kind] -= count
        if left[kind] < 0:
            than = "this machine should try to hold" if shapes is None else "its weights fill"
            raise CheckpointError(f"{where}: it describes a network with far more {kind} than {than}: not loaded.")

    def tensor(module: nn.Module, name: str, value: torch.Tensor | None) -> None:
        if value is not None:
            take("tensors", 1)
            take("elements", value.numel())

    hooks = (
        register_module_parameter_registration_hook(tensor),
        register_module_buffer_registration_hook(tensor),
        register_module_module_registration_hook(lambda module, name, child: take("modules", 1)),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def refuse_pickle(place: str, files: list[str]) -> CheckpointError:
    """Return the error for a folder or repository without model.safetensors that has these ``files``."""
    pickles = sorted(name for name in files if name.lower().endswith(PICKLES))
    if not pickles:
        return CheckpointError(
            f"There is no model in {place} (no model.safetensors): give a folder or a repository with config.json and "
            "model.safetensors in it, such as the folder model of a finished run."
        )
    return CheckpointError(
        f"{place} has its weights as a pickle only ({shortened(pickles[0])[1:-1]}), which can run any code when it is read, "
        "so it is refused (there is no model.safetensors): ask its owner for safetensors, or convert it where you trust it."
    )
