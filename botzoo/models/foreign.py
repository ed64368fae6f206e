"""Model folders that others wrote, read without trust: a config.json and a model.safetensors, and nothing else.

Neither can run code, but a hostile config.json can ask for a network, an image or a list that no memory holds. So every
value is checked, and the network is made on the meta device first, where tensors have shapes and no contents, and no
larger than the weights in the file justify.
"""

import json
import math
import re
import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import timm
import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.modules import module as registration

from botzoo.errors import CheckpointError
from botzoo.models.cost import on_meta
from botzoo.models.preprocessing import Decoding
from botzoo.models.pretrained import compare_keys
from botzoo.options.accepted import COLOUR, TEMPERATURES
from botzoo.util.files import read_json
from botzoo.util.text import brief, one_fold

T = TypeVar("T")
Config = dict[str, Any]
Shapes = dict[str, tuple[int, ...]]

CLASSES = 1_000_000
CHANNELS = 256  # most of an input image
SIDE = 2048  # largest side of an input image in pixels; timm's largest is 1024
ARGUMENT = 65_536  # largest number among model_args
ITEMS = 10_000  # most values among model_args, all lists counted through
UNWEIGHED = 2_000_000_000  # most elements of a network of which no weights are read

PICKLES = (".bin", ".pth", ".pt", ".ckpt", ".pkl", ".pickle", ".tar", ".th")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos", "hamming", "box", "random")
CROP_MODES = ("center", "squash", "border")
_FORBIDDEN_ARGS = re.compile(
    "pretrained.*|checkpoint_path|cache_dir|features_only|feature_cls|feature_cfg|out_indices|kwargs_filter|model_cfg|"
    "pruned|device|dtype|scriptable|exportable|no_jit"
)


def _is_number(value: Any, low: float, high: float) -> bool:
    # JSON's true and false are integers in Python; NaN lies between no two numbers
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_int(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and _is_number(value, low, high)


def _is_text(value: Any) -> bool:
    # halves of a character, which JSON can spell, cannot be printed
    return isinstance(value, str) and len(value) <= 2000 and not re.search("[\ud800-\udfff]", value)


def _is_list(value: Any, longest: int, sound: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and 0 < len(value) <= longest and all(map(sound, value))


def _is_side(value: Any) -> bool:
    return _is_int(value, 1, SIDE)


def _are_names(value: Any) -> bool:
    names = [*value, *value.values()] if isinstance(value, dict) else value
    return isinstance(names, list) and len(names) <= 2 * CLASSES and all(map(_is_text, names))


def _is_argument(value: Any, depth: int = 0) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return depth < 4 and all(_is_argument(item, depth + 1) for item in value)
    if isinstance(value, str):  # such as "ir_r3_k5", which repeats a block thrice
        return _is_text(value) and not re.search(r"\d{5}", value)
    return value is None or isinstance(value, bool) or _is_number(value, -ARGUMENT, ARGUMENT)


def _count(value: Any) -> int:
    """Return how many values there are in lists and objects, however deep."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if inside is None else sum(map(_count, inside))


Sound = tuple[Callable[[Any], bool], str]
"""A test of a value, and words for what passes it."""

_INPUT: Sound = (
    lambda v: _is_list(v, 3, _is_side) and len(v) == 3 and v[0] <= CHANNELS,
    f"[channels, height, width] with up to {CHANNELS} channels and sides from 1 to {SIDE} px",
)
_CROP: Sound = (lambda v: _is_number(v, 0.25, 2), "a number from 0.25 to 2")
_SOUND: dict[str, Sound] = {
    **dict.fromkeys(("architecture", "tag", "license", "description", "global_pool"), (_is_text, "text")),
    **dict.fromkeys(("fixed_input_size", "custom_load"), (lambda v: isinstance(v, bool), "true or false")),
    **dict.fromkeys(("first_conv", "classifier"), (lambda v: _is_text(v) or _is_list(v, 16, _is_text), "text")),
    **dict.fromkeys(("input_size", "test_input_size", "min_input_size"), _INPUT),
    **dict.fromkeys(("crop_pct", "test_crop_pct"), _CROP),
    "mean": (lambda v: _is_list(v, CHANNELS, lambda x: _is_number(x, -1000, 1000)), "a number for each channel"),
    "std": (
        lambda v: _is_list(v, CHANNELS, lambda x: _is_number(x, 1e-6, 1000)),
        "a number greater than 0 for each channel",
    ),
    "interpolation": (lambda v: v in INTERPOLATIONS, f"one of {', '.join(INTERPOLATIONS)}"),
    "crop_mode": (lambda v: v in CROP_MODES, f"one of {', '.join(CROP_MODES)}"),
    "num_classes": (lambda v: _is_int(v, 0, CLASSES), f"a whole number from 0 to {CLASSES:,}"),
    "label_names": (_are_names, "a list of texts, or an object of them"),
    "label_descriptions": (lambda v: isinstance(v, dict) and _are_names(v), "an object of texts"),
    "label_offset": (lambda v: _is_int(v, 0, CLASSES), "a whole number"),
    "pool_size": (lambda v: _is_list(v, 4, _is_side), "two whole numbers"),
    "pretrained_cfg": (lambda v: isinstance(v, dict), "an object"),
    "model_args": (lambda v: isinstance(v, dict) and _count(v) <= ITEMS, f"an object of at most {ITEMS:,} values"),
}
_ARGUMENT: Sound = (_is_argument, f"text, true, false, numbers up to {ARGUMENT:,} or short lists of them")
_SIZE: Sound = (lambda v: _is_side(v) or _is_list(v, 2, _is_side), f"one or two sides from 1 to {SIDE} px")
_DECODING: dict[str, Sound] = {
    "background": (COLOUR.holds, COLOUR.words),
    "range": (
        lambda v: _is_list(v, 2, lambda x: _is_number(x, -1e12, 1e12)) and len(v) == 2 and v[0] < v[1],
        "two numbers, the lower one first",
    ),
    "side": (_is_side, f"a side from 1 to {SIDE} px"),
}
_TEMPERATURE: Sound = (lambda v: _is_number(v, *TEMPERATURES), "a number from {:g} to {:g}".format(*TEMPERATURES))
_SHARE: Sound = (lambda v: _is_number(v, 0, 1), "a number from 0 to 1")


def _check(where: str, values: Mapping[str, Any], sound: Mapping[str, Sound], prefix: str = "") -> None:
    """Raise CheckpointError for the first value that is not sound; null and absent ones pass."""
    for key, (passes, accepted) in sound.items():
        value = values.get(key)
        if value is not None and not passes(value):
            raise CheckpointError(
                f"{where}: {prefix}{key} is {shortened(value)}: it must be {accepted}.", value=value, accepted=accepted
            )


def read_config(path: Path) -> Config:
    """Return what a config.json holds, with every value that is used afterwards of a sound type and size.

    Raises:
        CheckpointError: it cannot be read, is no JSON object, or holds a value that nobody could mean.
    """
    where = str(path)
    try:
        config = read_json(path)
        if not isinstance(config, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{where} is not a model's config.json ({brief(error)}): fetch or copy it again."
        ) from error
    _check(where, config, _SOUND)
    cfg, args = config.get("pretrained_cfg") or config, config.get("model_args") or {}  # objects, as was just checked
    _check(where, cfg, _SOUND)
    if cfg.get("hf_hub_filename") not in (None, "model.safetensors") or cfg.get("custom_load"):
        raise CheckpointError(f"{where} asks for another file than model.safetensors: no other is read.")
    for key in args:
        if _FORBIDDEN_ARGS.fullmatch(key):
            raise CheckpointError(f"{where} has model_args.{shortened(key)[1:-1]}, which is no property of a network.")
    _check(where, args, dict.fromkeys(args, _ARGUMENT) | {"img_size": _SIZE}, "model_args.")
    if isinstance(calibration := config.get("calibration"), dict):
        _check(where, calibration, {"temperature": _TEMPERATURE}, "calibration.")
    if isinstance(rejection := config.get("rejection"), dict):
        _check(where, rejection, dict.fromkeys(("threshold", "target"), _SHARE), "rejection.")
    if isinstance(decoding := config.get("decoding"), dict):
        _check(where, decoding, _DECODING, "decoding.")
    names, classes = (config.get(key, cfg.get(key)) for key in ("label_names", "num_classes"))
    made_for = args.get("num_classes", classes)
    if made_for != classes:  # timm would load all but the classifier, and leave that random
        counts = f"num_classes {classes} and model_args.num_classes {made_for}"
        raise CheckpointError(f"{where} has {counts}: they must be one.")
    if isinstance(names, list) and classes is not None and len(names) != classes:
        raise CheckpointError(f"{where} has {len(names)} label_names and num_classes {classes}: they must be as many.")
    return config


def temperature_in(config: Config) -> float | None:
    """Return what a checked config.json says the logits are to be divided by, None where it says nothing."""
    calibration = config.get("calibration")
    found = calibration.get("temperature") if isinstance(calibration, dict) else None
    return None if found is None else float(found)


def threshold_in(config: Config) -> float | None:
    """Return the least probability of an answer that a checked config.json asks for, None where it answers every image."""
    rejection = config.get("rejection")
    found = rejection.get("threshold") if isinstance(rejection, dict) else None
    return None if found is None else float(found)


def decoding_in(config: Config) -> Decoding:
    """Return how a checked config.json says that stored images become pixels."""
    found, channels = config.get("decoding"), ((config.get("pretrained_cfg") or config).get("input_size") or (3,))[0]
    said = found if isinstance(found, dict) else {}
    bounds = said.get("range")
    ends = (float(bounds[0]), float(bounds[1])) if bounds else None  # as in a run, by which decoded images are found
    return Decoding(channels, said.get("background"), ends, said.get("side"))


def shortened(value: Any, longest: int = 60) -> str:
    """Return the value as Python writes it, on one line, the middle of a long one left out."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**100 else f"{str(value)[:20]}..."
    return text if len(text) <= longest else f"{text[: longest - 10]} ... {text[-5:]}"


def read_file(path: Path, read: Callable[[Path], T]) -> T:
    """Return what ``read`` makes of a safetensors file.

    Raises:
        CheckpointError: there is no such file, or it is truncated, damaged or something else.
    """
    try:
        return read(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}: check the path.") from error
    except (SafetensorError, OSError, ValueError) as error:
        if is_pickle(path):
            raise pickled(path) from error
        raise CheckpointError(
            f"{path} is not a complete safetensors file ({brief(error)}): fetch or copy it again."
        ) from error


def read_shapes(path: Path) -> Shapes:
    """Return the shape of each tensor in a safetensors file; only its header is read.

    Raises:
        CheckpointError: as of ``read_file``.
    """

    def header(path: Path) -> Shapes:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)

    return read_file(path, header)


def meta_network(config: Config, shapes: Shapes | None, where: str) -> nn.Module:
    """Return the network that ``config`` describes on the meta device, with ``shapes`` those of its weights.

    Raises:
        CheckpointError: timm has no such network or cannot make it, it is larger than the weights, or most of its
            tensors have another shape than theirs.
    """
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        unknown = f"{where}: timm has no architecture {shortened(architecture)}."
        raise CheckpointError(unknown, value=architecture, accepted=timm.list_models())
    cfg = config.get("pretrained_cfg") or config
    size = cfg.get("input_size")
    implied = {
        "num_classes": config.get("num_classes", cfg.get("num_classes")),
        "img_size": tuple(size[1:]) if size and cfg.get("fixed_input_size") else None,
        "in_chans": size[0] if size else None,
    }
    args = {key: value for key, value in implied.items() if value is not None} | (config.get("model_args") or {})
    try:
        with _no_larger_than(shapes, where), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of initialising tensors without contents
            try:
                with on_meta():
                    model: nn.Module = timm.create_model(architecture, **args)
            except NotImplementedError:  # some networks look at the contents of a tensor while they are made
                model = timm.create_model(architecture, **args)
    except CheckpointError:
        raise
    except Exception as error:  # arguments that no network takes can end in any of them
        raise CheckpointError(f"{where}: {architecture} cannot be made with its arguments ({brief(error)}).") from error
    if shapes is not None:  # most must fit; timm adapts a few, such as embeddings of positions
        report = compare_keys(model, {name: SimpleNamespace(shape=shape) for name, shape in shapes.items()})
        if 2 * len(report.loaded) < len(model.state_dict()):
            made = type(model).__name__
            raise CheckpointError(f"{where}: the weights do not fit {made} as config.json describes it: {report}.")
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
        registration.register_module_parameter_registration_hook(tensor),
        registration.register_module_buffer_registration_hook(tensor),
        registration.register_module_module_registration_hook(lambda module, name, child: take("modules", 1)),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def is_pickle(path: Path) -> bool:
    """Tell whether a file begins as what torch.save writes, today (a zip archive) or before 2020 (a bare pickle)."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(4).startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04"))
    return False


CONVERT = """import torch; from safetensors.torch import save_file
w = torch.load(OLD, "cpu", weights_only=False); w = w.get("state_dict", w.get("model", w))
save_file({k: v.clone().contiguous() for k, v in w.items() if torch.is_tensor(v)}, NEW)"""
"""The Python that makes safetensors of a pickle; ``clone`` parts tensors that share memory, which safetensors refuses."""


def _conversion(path: Path, new: Path) -> str:
    """Return the command that makes safetensors of a pickle, and writes over nothing."""
    new = new if not new.exists() else path.with_name(f"{path.name}.safetensors")
    old, made = (json.dumps(str(file), ensure_ascii=False) for file in (path, new))
    code = "; ".join(CONVERT.splitlines()).replace("OLD", old, 1).replace("NEW", made, 1)
    return f"python -c {shlex.quote(code)}"


def pickled(path: Path) -> CheckpointError:
    """Return the error for a file of weights that is a pickle, with the Python that turns it into safetensors."""
    if not path.exists():
        return CheckpointError(f"There is no file {path}: check the path.")
    why = "is a pickle, which can run any code when it is read, so it never is"
    command = _conversion(path, path.with_suffix(".safetensors"))
    cure = f"give safetensors; if you trust its source, this makes them of it: {command}"
    return CheckpointError(f"{path} {why}: {cure}")


def no_model(place: str, files: list[str]) -> CheckpointError:
    """Return the error for a folder or repository of these ``files`` that lacks config.json or model.safetensors."""
    pickles = sorted(name for name in files if name.lower().endswith(PICKLES))
    if pickles and "config.json" in files:
        why = f"as a pickle only ({shortened(pickles[0])[1:-1]}), which can run any code when it is read"
        cure = "ask its owner for safetensors"
        if (file := Path(place) / pickles[0]).is_file():
            command = _conversion(file, file.with_name("model.safetensors"))
            cure += f", or, if you trust its source, make them of it: {command}"
        return CheckpointError(f"{place} has no model.safetensors, but its weights {why}, so it is refused: {cure}")
    wanted = ("config.json", "model.safetensors")
    missing = " and no ".join(name for name in wanted if name not in files) or "file that timm asks for"
    cure = f"give a folder or a repository with {' and '.join(wanted)}, such as the folder model of a finished run"
    return CheckpointError(f"There is no model in {place} (no {missing}): {cure}.{one_fold(Path(place))}")
