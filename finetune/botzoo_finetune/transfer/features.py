"""What the body of a network says of each image, computed once: pooled features in half precision, kept on the disk."""

import copy
import hashlib
import logging
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from botzoo.data.decoded import Pixels
from botzoo.data.images import Images
from botzoo.data.parallel import cores
from botzoo.data.transforms import EvalTransform, Key, Transform
from botzoo.errors import ConfigError, ModelError
from botzoo.models.fold import fold_batch_norm
from botzoo.models.layers import head_names
from botzoo.options.config import TrainConfig
from botzoo.pixels.bands import AtHand
from botzoo.training.distributed import choose_device, on_each_node, worker_count
from botzoo.training.state import Draft, Run
from botzoo.util.cache import FEATURES
from botzoo.util.private import has_matrix_unit
from botzoo_finetune.transfer.feature_store import Features, open_features, write_features
from botzoo_finetune.transfer.pixels import ahead, eval_pixels

log = logging.getLogger("botzoo")

ConfigT = TypeVar("ConfigT", bound=TrainConfig)
VERSION = 3  # of the file and of how features are computed; a file of another version is not looked at
LARGEST = float(np.finfo(np.float16).max)
PIXELS = 1 << 19
"""In a batch on a CPU, from 32 to 128 images: more do not make the network faster, and are not in its caches any longer."""
PIXELS_ON_GPU = 1 << 24
"""In a batch on a GPU, 334 images of 224 px: the batch of a classifier alone may be more than the network has memory for."""
NAMED = 3  # images that an error names


class Body(nn.Module):
    """A network of timm up to the input of its classifier, by its ``forward_features`` and ``forward_head``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the pooled features (N, D) of normalised images (N, C, H, W)."""
        pooled: Tensor = self.model.forward_head(self.model.forward_features(images), pre_logits=True)
        return pooled


class View(Transform):
    """An augmentation of training with ``number`` in the place of the epoch; ``name`` is all else that it depends on."""

    def __init__(self, transform: Transform, number: int, name: str) -> None:
        self.transform, self.number, self.name = transform, number, f"{name} {number}"

    def __call__(self, image: AtHand, key: Key) -> Pixels:
        """Return uint8 pixels of shape (H, W, C), those of the input."""
        return self.transform(image, (self.number, key[1]))

    def colour(self, key: Key) -> tuple[float, ...]:
        """Return no parameters: colours stay as they are."""
        return ()


class Extractor:
    """Features of a run's images by the body of its network, from the cache where they are in it.

    The network is looked at as it is when the first features are asked for.
    """

    def __init__(self, run: Draft | Run) -> None:
        self.network, self.images, self.accelerator = run.network, run.images, run.accelerator
        self.memory_format = torch.channels_last if run.config.engine.channels_last else torch.contiguous_format
        # Images at a time on a GPU: evaluation takes twice those of training, which a draft does not know yet.
        self.most = 2 * run.order.micro_batch if isinstance(run, Run) else 64
        self.workers = worker_count(run.config, run.accelerator, self.batch_size, run.network.preprocessing)

    def __call__(self, role: str, view: View | None = None) -> Features:
        """Return the features of the split ``role``, the same on every process; one of each machine computes them.

        ``view`` says how each image is augmented; without it, images are shown as evaluation does.

        Raises:
            ConfigError: the images are streamed.
            ModelError: features are NaN or infinite.
        """
        images, key = self._images(role), self.key(role, view)
        mine: list[Features] = []

        def features() -> Features:
            found = open_features(key, len(images))
            return found if found is not None else self._compute(images, view, key)

        def work() -> bool:
            mine.append(features())
            return True

        on_each_node(self.accelerator, work)
        return mine[0] if mine else features()  # the machine's other processes find the file that one of them wrote

    def key(self, role: str, view: View | None = None) -> str:
        """Return what the features are kept by: another one for other images or labels, weights, or preprocessing."""
        network, images = self.network, self._images(role)
        device, half = self.accelerator.device.type, self._half and str(self.accelerator.mixed_precision)
        how = (VERSION, PIL.__version__, network.architecture, network.preprocessing, half, device)
        parts = f"{how} {self._weights} {images.fingerprint} {view.name if view else ''}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def _images(self, role: str) -> Images:
        images = self.images[role]
        if not isinstance(images, Images):
            raise ConfigError("Features are kept of data sets that are read whole: leave --data.streaming out.")
        return images

    @cached_property
    def _half(self) -> bool:
        """Whether to compute in half precision: never beside fp32, and on a CPU only where its matrix unit does.

        A CPU without one gains little, so that it depends on a noisy measurement which precision a run takes; but what was
        kept must be found again, by a run that measures another speed too.
        """
        wanted = str(self.accelerator.mixed_precision) != "no"
        return wanted and (self.accelerator.device.type != "cpu" or has_matrix_unit())

    def _autocast(self) -> torch.autocast:
        device = self.accelerator.device.type
        half = torch.float16 if self.accelerator.mixed_precision == "fp16" else torch.bfloat16
        return torch.autocast(device, half, enabled=self._half)

    @cached_property
    def _weights(self) -> str:
        """SHA-256 of the body's parameters and buffers, in hexadecimal."""
        head, sha = set(head_names(self.network.model)), hashlib.sha256()
        for name, tensor in self.network.model.state_dict().items():
            if name not in head:
                value = tensor.detach().cpu().contiguous()
                sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                sha.update(value.flatten().view(torch.uint8).numpy().data)
        return sha.hexdigest()

    @cached_property
    def _body(self) -> nn.Module:
        """The network without its classifier, in evaluation mode, BatchNorm folded where that leaves it as it is."""
        size = self.network.preprocessing.shape
        # Of a copy: folding changes weights, and those of the network are to be trained.
        body = Body(copy.deepcopy(self.network.model)).eval().requires_grad_(False)
        channels, device = self.network.preprocessing.channels, self.accelerator.device
        image = torch.zeros(1, channels, *size, dtype=torch.uint8, device=device)
        return fold_batch_norm(body, self._normalised(image))[0]

    def _normalised(self, images: Tensor) -> Tensor:
        return self.network.preprocessing.normalise(images).contiguous(memory_format=self.memory_format)

    @torch.no_grad()
    def images_per_second(self, batch: int = 32, times: int = 3) -> float:
        """Measure how many images the body takes in a second, on random pixels, the first pass left out."""
        device, size = self.accelerator.device, self.network.preprocessing.shape
        shape = batch, self.network.preprocessing.channels, *size
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
        began = 0.0
        for k in range(times + 1):
            with self._autocast():
                self._body(self._normalised(pixels)).sum().item()  # waits for the device
            began = began if k else time.perf_counter()
        return times * batch / (time.perf_counter() - began)

    def _compute(self, images: Images, view: View | None, key: str) -> Features:
        try:
            write_features(key, self._batches(images, view), len(images))
            found = open_features(key, len(images))
        except OSError as error:
            log.warning("Features are held in memory: they cannot be kept in %s (%s).", FEATURES.folder, error)
            found = None
        return found if found is not None else np.concatenate(list(self._batches(images, view)))

    @property
    def batch_size(self) -> int:
        """Images that pass the network together, at least 32: on a GPU twice as many as in training, or ``PIXELS_ON_GPU``."""
        area = self.network.preprocessing.shape.area
        if self.accelerator.device.type == "cpu":
            return min(max(32, PIXELS // area), 128)
        return max(32, min(self.most, PIXELS_ON_GPU // area))

    @torch.no_grad()  # not inference_mode, in which BatchNorm cannot be folded
    def _batches(self, images: Images, view: View | None = None) -> Iterator[Features]:
        """Yield the features of the images in order."""
        done = 0
        quiet = not (self.accelerator.is_main_process and sys.stderr.isatty())
        total = math.ceil(len(images) / self.batch_size)
        pixels = self._pixels(images, view)
        for batch in tqdm(pixels, f"features of {images.split.name} images", total, leave=False, disable=quiet):
            with self._autocast():
                found = self._body(self._normalised(batch.to(self.accelerator.device, non_blocking=True)))
            found = found.float()
            if not bool((sound := found.isfinite().all(1)).all()):
                raise self._not_finite(batch, images, done + (~sound).nonzero().flatten().cpu().numpy())
            yield found.clamp_(-LARGEST, LARGEST).cpu().numpy().astype(np.float16)  # larger ones would be infinite
            done += len(batch)

    def _pixels(self, images: Images, view: View | None) -> Iterator[Tensor]:
        """Yield the images in batches, uint8 (N, C, H, W), made ready while the network is at work on the last ones."""
        preprocessing, size, pin = self.network.preprocessing, self.batch_size, self.accelerator.device.type == "cuda"
        if view is not None or preprocessing.crop_mode != "center":
            transform = view or EvalTransform(preprocessing)
            batches = images.eval_batches(transform, size, rank=0, world_size=1, workers=self.workers, pin=pin)
            yield from (pixels for pixels, _ in batches)
            return

        def ready(k: int) -> Tensor:
            pixels = eval_pixels(images, k * size, min((k + 1) * size, len(images)), preprocessing)
            return pixels.pin_memory() if pin else pixels

        threads = max(1, self.workers, 0 if images.cached else cores() // 2)
        yield from ahead(ready, math.ceil(len(images) / size), threads)

    def _not_finite(self, batch: Tensor, images: Images, bad: NDArray[np.int64]) -> ModelError:
        """Return the error that says of which images of a batch features are NaN or infinite, and why."""
        names = ", ".join(images.split.describe(int(i)) for i in bad[:NAMED])
        more = f" and {len(bad) - NAMED:,} more so far" if len(bad) > NAMED else ""
        state = self.network.model.state_dict().items()
        broken = [name for name, value in state if value.is_floating_point() and not bool(value.isfinite().all())]
        why = "its weights are finite but far too large, so the file is damaged; take other weights"
        if broken:
            why = f"{broken[0]} of its weights has NaN or infinite values, so the file is damaged; take other weights"
        elif self._half and bool(self._body(self._normalised(batch.to(self.accelerator.device))).isfinite().all()):
            why = "they are finite in fp32, so give --mixed-precision fp32"
        network = self.network.architecture
        return ModelError(f"The features that {network} computes of {names}{more} are NaN or infinite: {why}.")


def unmeasured(config: ConfigT) -> ConfigT:
    """Return the options with the precision of features on a CPU in place of auto, which measures how fast it trains."""
    if config.mixed_precision != "auto" or choose_device(config.engine.device).type != "cpu":
        return config
    return replace(config, mixed_precision="bf16" if has_matrix_unit() else "fp32")
