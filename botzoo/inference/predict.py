"""What a network says of images: decoded in threads, in batches, in the fastest arithmetic, with BatchNorm folded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from botzoo.data.decode import decode
from botzoo.data.decoded import Pixels
from botzoo.data.parallel import in_order
from botzoo.data.transforms import EvalTransform
from botzoo.errors import CheckpointError, ModelError
from botzoo.inference.classifier import Classifier
from botzoo.inference.images import read_encoded
from botzoo.inference.views import Tta, prepared_for, views
from botzoo.models.fold import fold_batch_norm
from botzoo.tricks.mixed_precision import Precision, Requested, mixed_precision

FEW = 32
"""Up to so many images on a CPU, finding out whether bf16 is faster takes longer than it could save."""

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        image: path or address.
        indices, probabilities: of the likeliest classes, the likeliest first; empty where the image cannot be read, and where
            it may have any number of labels and has none.
        problem: why it cannot be read, else None.
        temperature: what the logits were divided by.
    """

    image: str
    indices: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()
    problem: str | None = None
    temperature: float = 1.0


class Predictor:
    """A classifier placed on a device and readied for speed.

    Args:
        classifier: what to ask; it is left as it is.
        device: where to compute.
        requested: the arithmetic; "auto" takes the fastest that is sound, and fp32 for a few images on a CPU.
        tta: the views of each image whose probabilities are averaged.
        batch_size: images in a forward pass; None for 64 images of 224 px, more of smaller ones and fewer of larger ones.
        expected: how many images there will be, if known.
        temperature: what the logits are divided by, > 0; None for the classifier's own, or 1 where it has none.

    Attributes:
        temperature: what the logits are divided by.
        precision: what the arithmetic runs in, and why.
        folded: how many BatchNorm layers have been folded.
    """

    def __init__(
        self,
        classifier: Classifier,
        device: torch.device,
        *,
        requested: Requested = "auto",
        tta: Tta = "none",
        batch_size: int | None = None,
        expected: int | None = None,
        temperature: float | None = None,
    ) -> None:
        self.classifier, self.device, self.tta = classifier, device, tta
        self.size = classifier.preprocessing.size
        self.temperature = temperature or classifier.temperature or 1.0
        self.transform = EvalTransform(prepared_for(tta, classifier.preprocessing))
        self.batch_size = batch_size or _batch_size(self.size, device)
        few = requested == "auto" and device.type == "cpu" and expected is not None and expected <= FEW
        self.precision = Precision("fp32", "for a few images") if few else mixed_precision(requested, device)
        image = torch.rand(1, 3, self.size, self.size, generator=torch.Generator().manual_seed(0))
        try:
            model, self.folded = fold_batch_norm(classifier.model, image)
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
            raise ModelError(
                f"{classifier.name} does not take images of {self.size} x {self.size} px ({reason})."
            ) from error
        self.model = self._placed(model)
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True

    def _placed(self, model: nn.Module) -> nn.Module:
        """Return ``model`` on its device, with the weights that autocast would round at each call rounded once."""
        model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.precision.name == "fp32":
            return model
        for module in model.modules():
            if type(module) in (nn.Conv2d, nn.Linear):
                module.to(_DTYPES[self.precision.name])
        return model

    def __call__(self, images: Sequence[str], top_k: int | None = None) -> Iterator[Prediction]:
        """Yield the answer for each image, in their order; threads read ahead while the network works.

        Args:
            images: paths or addresses.
            top_k: how many classes to name; by default ``TOP_K``, and where an image may have any number of labels all whose
                probability is over 0.5.

        Raises:
            CheckpointError: the network answers with NaN or infinite numbers.
        """
        read = in_order(lambda i: self._read(images[i]), len(images), patient=False)  # a server may be slow
        rows = zip(images, read, strict=True)
        waiting: tuple[list[tuple[str, Pixels | str]], Tensor | None] | None = None
        while batch := list(itertools.islice(rows, self.batch_size)):
            asked = batch, self._ask([pixels for _, pixels in batch if not isinstance(pixels, str)])
            if waiting is not None:  # a GPU is at work on the next batch while the answers to this one are fetched
                yield from self._answers(*waiting, top_k)
            waiting = asked
        if waiting is not None:
            yield from self._answers(*waiting, top_k)

    def _most(self, top_k: int | None) -> int:
        """Return how many classes of an image may be named."""
        return top_k or (len(self.classifier.label_names) if self.classifier.multi_label else TOP_K)

    def _read(self, image: str) -> Pixels | str:
        """Return the network's input of an image, uint8 (S, S, 3), or what is wrong with it."""
        try:
            return self.transform(decode(read_encoded(image)), (0, 0))
        except (OSError, ValueError) as error:
            return str(error)

    def _ask(self, rows: list[Pixels]) -> Tensor | None:
        if not rows:
            return None
        pixels = torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2)
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        return self.probabilities(pixels.to(self.device, non_blocking=True))

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probabilities, float32 (N, K), of prepared images, uint8 (N, 3, S, S) on the predictor's device.

        Where an image may have any number of labels, each has one of its own, and they do not add up to 1.
        """
        normalise = self.classifier.preprocessing.normalise
        every = [self._logits(normalise(view)) for view in views(images, self.tta, self.size)]
        shares = [logits.sigmoid() if self.classifier.multi_label else logits.softmax(1) for logits in every]
        return torch.stack(shares).mean(0)

    def _logits(self, batch: Tensor) -> Tensor:
        dtype = _DTYPES.get(self.precision.name)
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            logits: Tensor = self.model(batch.contiguous(memory_format=torch.channels_last))
        return logits.float() / self.temperature

    def _answers(
        self, batch: list[tuple[str, Pixels | str]], probabilities: Tensor | None, top_k: int | None
    ) -> Iterator[Prediction]:
        found: Iterator[tuple[list[float], list[int]]] = iter(())
        if probabilities is not None:
            best = probabilities.topk(min(self._most(top_k), probabilities.shape[1]))
            if not bool(probabilities.isfinite().all()):
                raise CheckpointError(
                    f"{self.classifier.name} answers with numbers that are not finite: its weights are damaged, or need "
                    "--mixed-precision fp32."
                )
            found = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        for image, pixels in batch:
            if isinstance(pixels, str):
                yield Prediction(image, problem=pixels)
            else:
                shares, indices = next(found)
                if self.classifier.multi_label and top_k is None:
                    shares = [share for share in shares if share > 0.5]
                    indices = indices[: len(shares)]
                yield Prediction(image, tuple(indices), tuple(shares), temperature=self.temperature)


TOP_K = 5
"""Classes that are named where nothing else is said."""


def _batch_size(size: int, device: torch.device) -> int:
    """Return how many images of ``size`` x ``size`` px are shown to the network at once."""
    pixels = (256 if device.type == "cuda" else 64) * 224 * 224
    return max(1, min(512, pixels // size**2))
