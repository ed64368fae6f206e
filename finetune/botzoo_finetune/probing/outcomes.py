"""What fitting on features came to, kept beside them: a second probe of the same images and weights fits nothing.

A file holds one outcome: ``KEY.safetensors`` in the folder ``probes`` of ``$BOTZOO_CACHE``, arrays as in any such file, and
in its metadata the other values as JSON and a SHA-256 of KEY and of all that the file holds. KEY is the SHA-256 of everything
that the outcome depends on; see ``botzoo.util.cache``.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from botzoo.tasks.find import task_for
from botzoo.util.cache import Store
from botzoo_finetune.probing.probe import Linear, Outlook, Probe

log = logging.getLogger("botzoo")

T = TypeVar("T")
STORE = Store("probes", ".safetensors", "results of a probe", "fitted")
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

    def read(path: Path) -> T:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        if _digest(key, arrays, metadata["values"]) != metadata["sha256"]:
            raise ValueError("its SHA-256 differs")
        return form.unpack(arrays, json.loads(metadata["values"]))

    return STORE.open(key, read)


def keep(form: Form[T], key: str, outcome: T) -> None:
    """Keep an outcome; where that cannot be, it is said and nothing is left behind."""
    packed, values = form.pack(outcome)
    arrays = {name: np.ascontiguousarray(array) for name, array in packed.items()}  # safetensors takes it for granted
    content = json.dumps(values)
    try:
        with STORE.writing(key) as draft:
            draft.file.write(save(arrays, {"values": content, "sha256": _digest(key, arrays, content)}))
    except OSError as error:
        log.warning("The %s cannot be kept in %s (%s): it is fitted again next time.", form.name, STORE.folder, error)


def _digest(key: str, arrays: Arrays, content: str) -> str:
    sha = hashlib.sha256(f"{key} {content}".encode())
    for name, array in sorted(arrays.items()):
        sha.update(f"{name} {array.dtype} {array.shape}".encode())
        sha.update(array.data)
    return sha.hexdigest()
