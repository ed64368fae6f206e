"""What fitting on features came to, kept beside them: a second probe of the same images and weights fits nothing.

A file holds one outcome: ``KEY.probe`` in the folder ``probes`` of ``$BOTZOO_CACHE``, arrays as safetensors writes them, those
named ``VALUES`` being JSON of the other values. KEY is the SHA-256 of everything that the outcome depends on; see
``botzoo.util.cache``.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from botzoo.tasks.find import task_for
from botzoo.util.cache import PROBES
from botzoo_finetune.probing.probe import Linear, Outlook, Probe

T = TypeVar("T")
VALUES = "values in JSON"
Arrays = dict[str, NDArray[Any]]
Values = dict[str, Any]


@dataclass(frozen=True)
class Form(Generic[T]):
    """How an outcome of the kind ``name`` becomes arrays and JSON, and is made of them again."""

    name: str
    pack: Callable[[T], tuple[Arrays, Values]]
    unpack: Callable[[Arrays, Values], T]


def pack_probe(found: Probe) -> tuple[Arrays, Values]:
    """Return the classifier and its answers as arrays, and how it was fitted."""
    values = {"images": found.images, "strength": found.strength, "folds": found.folds}
    return {"weight": found.linear.weight, "bias": found.linear.bias, **found.evaluation.answers}, values


def unpack_probe(arrays: Arrays, values: Values) -> Probe:
    """Return the probe that was packed; ``arrays`` is used up."""
    linear = Linear(arrays.pop("weight"), arrays.pop("bias"))
    task = task_for(arrays["label" if "label" in arrays else "labels"])
    return Probe(linear, evaluation=task.evaluation(arrays), **values)


PROBE = Form("probe", pack_probe, unpack_probe)
OUTLOOK: Form[Outlook] = Form(
    "outlook",
    lambda seen: ({}, dict(vars(seen))),
    lambda arrays, values: Outlook(**values | {"curve": tuple((n, top1) for n, top1 in values["curve"])}),
)

START: Form[Linear] = Form("start", lambda linear: (dict(vars(linear)), {}), lambda arrays, values: Linear(**arrays))


def recall(form: Form[T], key: str) -> T | None:
    """Return the outcome that was kept under this key, if there is one; a damaged one is removed, and that is said."""

    def read(content: NDArray[np.uint8]) -> T:
        arrays = load(content.tobytes())
        return form.unpack(arrays, json.loads(arrays.pop(VALUES).tobytes()))

    return PROBES.open(key, read)


def keep(form: Form[T], key: str, outcome: T) -> None:
    """Keep an outcome; where that cannot be, it is said and nothing is left behind."""
    packed, values = form.pack(outcome)
    arrays = {name: np.ascontiguousarray(array) for name, array in packed.items()}  # safetensors takes it for granted
    arrays[VALUES] = np.frombuffer(json.dumps(values).encode(), np.uint8)
    PROBES.keep(key, save(arrays))
