"""Networks as ONNX, each compared with the network itself before its file takes its place."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou

from botzoo.errors import ConfigError, ModelError
from botzoo.inference.predict import Model
from botzoo.models.preprocessing import Size
from botzoo.util.files import written_whole
from botzoo.util.text import brief, counted

OPSET = 18
"""Of the operators: the first with all that is needed here in the versions of torch that are supported."""

MOST_BYTES = 1_500_000_000
"""Of weights: torch writes more into a second file, and the first cannot hold more than 2 GiB."""

FAR = 1e-3
"""A difference of two outputs, as a share of the largest one, from which on they are not the same."""

SURE = 0.01  # a box whose score is so little above the least may be there in one arithmetic and not in the other
OVERLAP = 0.99  # of a box and the same box

Outputs = list[NDArray[Any]]


@dataclass(frozen=True)
class Form:
    """How the networks of a task become ONNX.

    Attributes:
        outputs: their names.
        batches: whether images come in batches of any number, else one by one.
        sizes: whether images may have any size, else that of the training.
        traced: whether a run is followed, as torchvision's selection of boxes needs it; else the program is.
    """

    outputs: tuple[str, ...]
    batches: bool
    sizes: bool
    traced: bool = False


FORMS: dict[str, Form] = {
    "classes": Form(("logits",), batches=True, sizes=False),
    "masks": Form(("logits",), batches=True, sizes=True),
    "boxes": Form(("boxes", "labels", "scores"), batches=False, sizes=True, traced=True),
}
"""By what a network gives, see ``Task.gives``."""


class _OfOneImage(nn.Module):
    """A detector that takes a batch of one image and gives its boxes, labels and scores."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (found,) = self.detector(images)
        return found["boxes"], found["labels"], found["scores"]


def export(model: Model, path: Path) -> Iterator[str]:
    """Write a network as ONNX and yield lines on it.

    Its input, ``images``, is float32 (N, C, H, W), normalised. The output of a classifier is ``logits`` (N, K), of a
    segmenter ``logits`` (N, K, H, W); of a detector, of which N is 1, ``boxes`` (n, 4), left, top, right and bottom in
    pixels of the input, ``labels`` (n,), from 0 on, and ``scores`` (n,). Classes, size, mean and std stand in its metadata.

    The file is compared with the network on three inputs, of three sizes where it takes any, before it takes its place.

    Raises:
        ConfigError: a library is missing, or too old for torch.
        ModelError: the network cannot be exported, or the file answers otherwise.
    """
    try:
        import onnx  # type: ignore[import-not-found, unused-ignore]
        import onnxruntime  # type: ignore[import-not-found, import-untyped, unused-ignore]
        import onnxscript  # type: ignore[import-not-found, unused-ignore]  # noqa: F401 (torch wants it)
    except ImportError as error:
        raise ConfigError(f"ONNX needs {error.name}: pip install 'botzoo[onnx]'.") from error
    if (size := sum(tensor.nbytes for tensor in model.module.state_dict().values())) > MOST_BYTES:
        most = f"a file of ONNX is made of at most {MOST_BYTES / 1e9:g}"
        raise ModelError(f"{model.name} has {size / 1e9:,.2f} GB of weights, and {most}: take a smaller network.")
    form, inputs = FORMS[model.task.gives], tried(model)
    module = _OfOneImage(model.module) if form.traced else model.module
    with written_whole(path) as part:
        try:
            with _quiet():
                _write(module.eval(), inputs[0], form, part)
        except ImportError as error:  # torch wants parts of onnxscript that older versions lack
            wants = f"torch {torch.__version__} needs {error.name}"
            raise ConfigError(f"{wants}, which this onnxscript lacks: pip install --upgrade onnxscript.") from error
        except Exception as error:  # whatever torch raises of what it cannot follow
            raise ModelError(
                f"{model.name} cannot be exported to ONNX ({brief(error)}): take another --model."
            ) from error
        program = onnx.load(part)
        onnx.helper.set_model_props(program, _facts(model))
        onnx.checker.check_model(program)
        onnx.save(program, part)
        session = onnxruntime.InferenceSession(part.read_bytes(), providers=["CPUExecutionProvider"])
        words = []
        for images in inputs:
            with torch.no_grad():
                said = module(images)
            expected = [each.numpy() for each in (said if isinstance(said, tuple) else (said,))]
            found: Outputs = session.run(None, {"images": images.numpy()})
            words.append(f"{' x '.join(map(str, images.shape))}: {_compared(model, form, expected, found)}")
    yield f"{'outputs':10} {', '.join(form.outputs)}; opset {OPSET}"
    for line in words:
        yield f"{'the same':10} {line}"


def tried(model: Model) -> list[Tensor]:
    """Return three inputs, float32 (N, C, H, W): noise in which there are large and small things, as in photos."""
    form, (height, width) = FORMS[model.task.gives], model.preprocessing.shape
    other = Size(height - height // 4 + 1, width), Size(height, width + width // 4 + 3)  # no multiples of any stride
    sizes = [Size(height, width), *(other if form.sizes else (Size(height, width),) * 2)]
    counts = (2, 1, 3) if form.batches else (1, 1, 1)
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    channels, found = model.preprocessing.channels, []
    for count, size in zip(counts, sizes, strict=True):
        coarse = (F.interpolate(draw(count, channels, n, n), [*size], mode="bilinear") for n in (3, 9, 27))
        found.append(sum(coarse, 0.2 * draw(count, channels, *size)))
    return found


def _write(module: nn.Module, images: Tensor, form: Form, path: Path) -> None:
    named: dict[str, Any] = {"input_names": ["images"], "output_names": [*form.outputs], "opset_version": OPSET}
    places = {0: form.batches, 2: form.sizes, 3: form.sizes}
    if form.traced:
        axes = {"images": {place: f"side{place}" for place, free in places.items() if free}}
        axes |= {name: {0: "found"} for name in form.outputs}
        torch.onnx.export(module, (images,), path, dynamo=False, dynamic_axes=axes, **named)
        return
    free = {place: torch.export.Dim.DYNAMIC for place, there in places.items() if there}
    program = torch.onnx.export(module, (images,), dynamo=True, dynamic_shapes=(free,), verbose=False, **named)
    assert program is not None
    program.save(path)


def _facts(model: Model) -> dict[str, str]:
    p = model.preprocessing
    facts = {
        "task": model.task.name,
        "label_names": list(model.label_names),
        "input_size": [p.channels, *p.shape],
        "mean": list(p.mean),
        "std": list(p.std),
        "crop_mode": p.crop_mode,
        "crop_pct": p.crop_pct,
        "interpolation": p.interpolation,
        "temperature": model.temperature,
    }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in facts.items() if value is not None}


def _compared(model: Model, form: Form, expected: Outputs, found: Outputs) -> str:
    """Return in words how far the file's outputs are from the network's; raise ModelError where they are others."""
    words, same = boxes_apart(expected, found) if form.traced else _logits(expected[0], found[0])
    if not same:
        raise ModelError(f"{model.name} as ONNX answers otherwise than the network ({words}): no file was written.")
    return words


def _logits(expected: NDArray[Any], found: NDArray[Any]) -> tuple[str, bool]:
    furthest, largest = float(np.abs(expected - found).max()), float(np.abs(expected).max())
    return f"no logit of up to {largest:.3g} is more than {furthest:.2g} off", furthest <= FAR * max(largest, 1e-3)


def boxes_apart(expected: Outputs, found: Outputs) -> tuple[str, bool]:
    """Tell in words, and whether it is so, that two answers have the same boxes, but for those that are only just in one.

    Args:
        expected, found: boxes (n, 4), labels (n,) and scores (n,).
    """
    missing = _missing(expected, found) + _missing(found, expected)
    boxes = counted(len(expected[2]), "box", "boxes")
    return f"{boxes}, {'all alike' if not missing else f'{missing} not in both'}", not missing


def _missing(one: Outputs, other: Outputs) -> int:
    """Return how many boxes of one answer are not in the other, though their score is above the least in it."""
    boxes, labels, scores = (torch.from_numpy(each) for each in one)
    others, other_labels, other_scores = (torch.from_numpy(each) for each in other)
    alike = (box_iou(boxes, others) >= OVERLAP) & (labels[:, None] == other_labels)
    alike &= (scores[:, None] - other_scores).abs() <= SURE
    least = float(torch.cat([scores, other_scores]).min(0).values) if len(scores) and len(other_scores) else 0.0
    return int((~alike.any(1) & (scores > least + SURE)).sum())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch says on its way from the reader: he is told the outcome."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
