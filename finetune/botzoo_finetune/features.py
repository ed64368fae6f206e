"""What the body of a network says of each image, computed once: pooled features in half precision, kept on the disk.

A file holds those of one split: ``KEY.npy`` in the folder ``features`` of ``$BOTZOO_CACHE`` (by default ``~/.cache/botzoo``),
a NumPy array, float16 (N, D), followed by the SHA-256 of all that stands before it. KEY is the SHA-256 of everything that the
features depend on: the weights without the classifier, the images, their preprocessing and the arithmetic. A file is written
beside and renamed, so there is never half of one, and checked when it is opened; those not used for the longest time are
removed as decoded images are, under the same limit.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from botzoo.errors import ConfigError, ModelError
from botzoo.inference.fold import fold_batch_norm
from botzoo.training.data import EvalTransform, Images, Key, Transform, eval_batches
from botzoo.training.decoded import Pixels, cache_folder, cache_limit, part_of, prune
from botzoo.training.engine import on_each_node, worker_count
from botzoo.training.model import head_names
from botzoo.training.prepare import Settled

log = logging.getLogger("botzoo")

Features = NDArray[np.float16]
"""Shape (N, D), rows in the order of the images; to be read only."""

VERSION = 1
"""Of the file and of how features are computed; a file of another version is not looked at."""
LARGEST = float(np.finfo(np.float16).max)
DIGEST_BYTES = 32
CHUNK = 1 << 24


class Body(nn.Module):
    """A network of timm up to the input of its classifier.

    Args:
        model: has timm's ``forward_features`` and ``forward_head``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the pooled features (N, D) of normalised images (N, C, H, W)."""
        pooled: Tensor = self.model.forward_head(self.model.forward_features(images), pre_logits=True)
        return pooled


class View:
    """An augmentation with the number of a view in the place of the epoch.

    Args:
        transform: of training.
        number: of the view.
        name: everything that the view depends on besides.
    """

    def __init__(self, transform: Transform, number: int, name: str) -> None:
        self.transform, self.number, self.name = transform, number, f"{name} {number}"

    def __call__(self, image: Image.Image, key: Key) -> Pixels:
        """Return uint8 pixels of shape (size, size, 3)."""
        return self.transform(image, (self.number, key[1]))

    def colour(self, key: Key) -> tuple[float, ...]:
        """Return no parameters: colours stay as they are."""
        return ()


class Extractor:
    """Features of the images of a run, from the cache where they are in it.

    Args:
        settled: the run; its network is looked at as it is when the first features are asked for.
    """

    def __init__(self, settled: Settled) -> None:
        self.settled = settled

    def __call__(self, role: str, view: View | None = None) -> Features:
        """Return the features of the split ``role``, the same on every process; one of each machine computes them.

        Args:
            role: of the split.
            view: how each image is augmented; None shows it as evaluation does.

        Raises:
            ConfigError: the images are streamed.
            ModelError: features are NaN or infinite.
        """
        images = self.settled.images[role]
        if not isinstance(images, Images):
            raise ConfigError("Features are kept of data sets that are read whole: leave --data.streaming out.")
        key, mine = self._key(images, view.name if view else ""), []
        transform = view or EvalTransform(self.settled.preprocessing)

        def work() -> bool:
            found = open_features(key, len(images))
            mine.append(found if found is not None else self._compute(images, transform, key))
            return True

        on_each_node(self.settled.accelerator, work)
        if mine:
            return mine[0]
        found = open_features(key, len(images))
        return found if found is not None else self._compute(images, transform, key)

    def _key(self, images: Images, view: str = "") -> str:
        settled = self.settled
        device = settled.accelerator.device.type
        how = (VERSION, PIL.__version__, settled.architecture, settled.preprocessing, self._half, device)
        return hashlib.sha256(f"{how} {self._weights} {images.fingerprint} {view}".encode()).hexdigest()

    @cached_property
    def _half(self) -> bool:
        """Whether to compute in half precision: on a CPU where its matrix unit does, not where a noisy measurement says so.

        What is kept must be found again, by a run that measures another speed too.
        """
        if self.settled.accelerator.device.type == "cpu":
            amx: bool = torch.cpu._is_amx_tile_supported()
            return amx
        return str(self.settled.accelerator.mixed_precision) != "no"

    def _autocast(self) -> torch.autocast:
        device = self.settled.accelerator.device.type
        half = torch.float16 if self.settled.accelerator.mixed_precision == "fp16" else torch.bfloat16
        return torch.autocast(device, half, enabled=self._half)

    @cached_property
    def _weights(self) -> str:
        """SHA-256 of the body's parameters and buffers, in hexadecimal."""
        head, sha = set(head_names(self.settled.model)), hashlib.sha256()
        for name, tensor in self.settled.model.state_dict().items():
            if name not in head:
                value = tensor.detach().cpu().contiguous()
                sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                sha.update(value.flatten().view(torch.uint8).numpy().data)
        return sha.hexdigest()

    @cached_property
    def _body(self) -> nn.Module:
        """The network without its classifier, in evaluation mode, BatchNorm folded where that leaves it as it is."""
        settled, size = self.settled, self.settled.preprocessing.size
        body = Body(copy.deepcopy(settled.model)).eval().requires_grad_(False)
        image = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=settled.accelerator.device)
        return fold_batch_norm(body, self._normalised(image))[0]

    def _normalised(self, images: Tensor) -> Tensor:
        memory_format = torch.channels_last if self.settled.config.engine.channels_last else torch.contiguous_format
        return self.settled.preprocessing.normalise(images).contiguous(memory_format=memory_format)

    @torch.no_grad()
    def images_per_second(self, batch: int = 32, times: int = 3) -> float:
        """Measure how many images the body takes in a second, on random pixels, the first pass left out."""
        device, size = self.settled.accelerator.device, self.settled.preprocessing.size
        pixels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, device=device)
        began = 0.0
        for k in range(times + 1):
            with self._autocast():
                self._body(self._normalised(pixels)).sum().item()  # waits for the device
            began = began if k else time.perf_counter()
        return times * batch / (time.perf_counter() - began)

    def _compute(self, images: Images, transform: Transform, key: str) -> Features:
        try:
            with writing(key) as writer:
                for batch in self._batches(images, transform):
                    writer.add(batch, len(images))
                writer.finish()
            found = open_features(key, len(images))
        except OSError as error:
            log.warning("Features are held in memory: they cannot be kept in %s (%s).", path_of(key).parent, error)
            found = None
        return found if found is not None else np.concatenate(list(self._batches(images, transform)))

    @torch.no_grad()  # not inference_mode, in which BatchNorm cannot be folded
    def _batches(self, images: Images, transform: Transform) -> Iterator[Features]:
        """Yield the features of the images in order."""
        settled, done = self.settled, 0
        size = max(32, 2 * settled.order.micro_batch)
        batches = eval_batches(
            images,
            transform,
            size,
            rank=0,
            world_size=1,
            workers=worker_count(settled.config, settled.accelerator),
            pin=settled.accelerator.device.type == "cuda",
        )
        quiet = not (settled.accelerator.is_main_process and sys.stderr.isatty())
        total = math.ceil(len(images) / size)
        for pixels, _ in tqdm(batches, f"features of {images.split.name} images", total, leave=False, disable=quiet):
            with self._autocast():
                found = self._body(self._normalised(pixels.to(settled.accelerator.device, non_blocking=True)))
            yield self._checked(found.float(), images, done)
            done += len(pixels)

    def _checked(self, found: Tensor, images: Images, first: int) -> Features:
        if not bool((sound := found.isfinite().all(1)).all()):
            i = first + int((~sound).nonzero()[0])
            raise ModelError(
                f"The features that {self.settled.architecture} computes are NaN or infinite, as those of "
                f"{images.split.describe(i)}: its weights are damaged, or --mixed-precision fp32 is needed."
            )
        return found.clamp(-LARGEST, LARGEST).cpu().numpy().astype(np.float16)


def features(settled: Settled, role: str) -> Features:
    """Return the features of the images of one split; see ``Extractor``."""
    return Extractor(settled)(role)


def path_of(key: str) -> Path:
    """Return the file of the features with this key."""
    return cache_folder() / "features" / f"{key}.npy"


def open_features(key: str, images: int) -> Features | None:
    """Return the features of so many ``images`` that were computed before, mapped into memory; None where there are none.

    A file that is damaged is removed, and that is said.
    """
    path = path_of(key)
    try:
        _check_digest(path)
        found = np.lib.format.open_memmap(path, mode="r")
        if found.dtype != np.float16 or found.ndim != 2 or len(found) != images:
            raise ValueError(f"it holds {found.dtype} {found.shape}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("The features in %s are damaged (%s): they are computed again.", path, error)
        with suppress(OSError):
            path.unlink()
        return None
    with suppress(OSError):
        os.utime(path)  # the last to be removed
    return found


def _check_digest(path: Path) -> None:
    """Raise ValueError unless a file ends in the SHA-256 of what stands before it."""
    left, sha = path.stat().st_size - DIGEST_BYTES, hashlib.sha256()
    with path.open("rb") as file:
        while left > 0:
            if not (part := file.read(min(CHUNK, left))):
                break
            sha.update(part)
            left -= len(part)
        if left or file.read() != sha.digest():
            raise ValueError("its SHA-256 differs")


class Writer:
    """A file of features in the making; see ``writing``."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha, self.done = file, hashlib.sha256(), False

    def add(self, rows: Features, total: int) -> None:
        """Write the next rows of ``total``."""
        if not self.file.tell():
            header = {"descr": "<f2", "fortran_order": False, "shape": (total, rows.shape[1])}
            np.lib.format.write_array_header_1_0(self.file, header)
            self.file.seek(0)
            self.sha.update(self.file.read())
        data = np.ascontiguousarray(rows, "<f2").data
        self.file.write(data)
        self.sha.update(data)

    def finish(self) -> None:
        """Write the digest."""
        self.file.write(self.sha.digest())
        self.file.flush()
        os.fsync(self.file.fileno())
        self.done = True


@contextmanager
def writing(key: str) -> Iterator[Writer]:
    """Give a writer for a file, which takes its place once finished; raises OSError, leaving nothing behind."""
    path = path_of(key)
    with part_of(path) as part:
        with part.open("w+b") as file:
            yield (writer := Writer(file))
        if writer.done:
            part.replace(path)
    prune(path.parent, cache_limit(), spare=path)
