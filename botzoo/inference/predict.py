"""What a network says of images: decoded in threads, in batches, in sound arithmetic, with BatchNorm folded."""

from __future__ import annotations

import copy
import itertools
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from botzoo.data.decoded import Pixels
from botzoo.data.parallel import in_order
from botzoo.data.transforms import EvalTransform
from botzoo.errors import CheckpointError, ConfigError, DataError, ModelError, printable
from botzoo.inference.dense.predictor import DensePredictor
from botzoo.inference.images import KINDS, AnyImage, Depths, check_kind, is_one_image, name_of, read_image
from botzoo.inference.options import Tta, check_for, check_options
from botzoo.inference.prediction import Prediction
from botzoo.models.fold import fold_batch_norm
from botzoo.models.layers import features_seen
from botzoo.models.preprocessing import Preprocessing, Size
from botzoo.models.unlike import Unlike
from botzoo.tasks.classification import CLASSIFICATION
from botzoo.tasks.task import Task
from botzoo.training.distributed import choose_device
from botzoo.tricks.mixed_precision import Precision, Requested, mixed_precision
from botzoo.util.text import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("botzoo")

FEW = 32  # up to so many images are answered in fp32: finding out whether less will do takes longer than it could save
AGREES = 1e-3  # a probability moves by less in the arithmetic that "auto" takes for more images, or that is fp32 too


@dataclass(frozen=True)
class Model:
    """A trained network with all that its answers need; ``botzoo.load`` opens one.

    Attributes:
        name: as it was asked for.
        module: the network, in evaluation mode, float32 on the CPU: takes (N, C, H, W), normalised as ``preprocessing`` says,
            and returns logits (N, K), K being the number of ``label_names``; of a detector or a segmenter see
            ``botzoo.models.dense``.
        task: one class for each image, any number of labels, boxes or masks.
        temperature: what the logits are to be divided by before they become probabilities; None where nobody has fitted any.
        threshold: the least probability of an answer at that temperature, below which it is none of these; None where every
            image is answered.
        unlike: tells images unlike the training images by their features; None where the model has nothing of that.
    """

    name: str
    module: nn.Module = field(repr=False)
    preprocessing: Preprocessing
    label_names: tuple[str, ...] = field(repr=False)
    task: Task = field(default=CLASSIFICATION, repr=False)
    temperature: float | None = None
    threshold: float | None = None
    unlike: Unlike | None = field(default=None, repr=False)
    _last: dict[tuple[object, ...], Predictor | DensePredictor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @overload
    def predict(  # type: ignore[overload-overlap]  # text is a sequence of texts
        self, x: AnyImage, top_k: int | None = ..., *, device: str | torch.device = ..., batch_size: int | None = ...,
        tta: Tta = ..., temperature: float | None = ..., mixed_precision: Requested = ...,
        reject: bool = ..., least_score: float | None = ...,
    ) -> Prediction: ...  # fmt: skip

    @overload
    def predict(
        self, x: Iterable[AnyImage], top_k: int | None = ..., *, device: str | torch.device = ...,
        batch_size: int | None = ..., tta: Tta = ..., temperature: float | None = ..., mixed_precision: Requested = ...,
        reject: bool = ..., least_score: float | None = ...,
    ) -> list[Prediction]: ...  # fmt: skip

    def predict(
        self,
        x: AnyImage | Iterable[AnyImage],
        top_k: int | None = None,
        *,
        device: str | torch.device = "auto",
        batch_size: int | None = None,
        tta: Tta = "none",
        temperature: float | None = None,
        mixed_precision: Requested = "auto",
        reject: bool = True,
        least_score: float | None = None,
    ) -> Prediction | list[Prediction]:
        """Say what the network sees in an image, or in each image of a list, in their order.

        An image in a list that cannot be read costs the others nothing: its Prediction has no labels, and says why in
        ``problem``. What is no image at all, such as a number, is refused in a list too.

        Args:
            x: a path, an http(s) address, the bytes of an image file, a PIL image, a numpy array (H, W), (H, W, 3) or
                (H, W, 4), a torch tensor (H, W), (3, H, W) or (4, H, W), both uint8 or floating point in [0, 1], RGB; or an
                iterable of these, which an array or tensor with one more axis in front is too. Of a network for other
                channels, or for values of more than 8 bits, arrays hold these.
            top_k: how many classes to name; by default 5, or of a network that gives an image any number of labels all
                whose probability is over 0.5. Of a detector, how many boxes to give, and all by default.
            device: "auto", "cpu", "cuda", "cuda:1" or "mps".
            batch_size: images in a forward pass; by default as many as suit their size.
            tta: the views of each image whose probabilities are averaged: "none", "flip", "five-crop" or "ten-crop".
            temperature: divides the logits; by default the one fitted after the training, 1 where there is none.
            mixed_precision: "auto" is fp32 up to 32 images. For more it is the fastest that the device has if, on the first
                batch, no probability is 0.001 or more from that in fp32.
            reject: whether an image is none of these where its likeliest class is less likely than the threshold that was
                fitted after the training, if there is one; see ``Prediction.rejected``.
            least_score: of a detector's boxes, those with a lower score are left out; 0.5 by default.

        A detector gives ``Prediction.boxes``, a segmenter ``Prediction.mask``, and neither takes ``tta``, ``temperature``
        and ``reject``; "auto" is fp32 to them.

        Returns:
            A Prediction of one image, else a list of them.

        Raises:
            DataError: the one image cannot be read, or something given is no image.
            ConfigError: an option cannot be used.
            CheckpointError: the network answers with NaN or infinite numbers.
        """
        one = is_one_image(x)
        try:
            images: list[AnyImage] = [x] if one else list(x)  # type: ignore[arg-type, list-item]
        except TypeError as error:
            raise DataError(f"{printable(repr(x), 60)} is no image: give {KINDS}, or a list of these.") from error
        for i, image in enumerate(images):
            check_kind(image, i, self.preprocessing.decoding)
        check_options(top_k, batch_size, temperature, tta, str(device), mixed_precision, least_score)
        how = (device, mixed_precision, tta, batch_size, temperature, reject, least_score)
        predictor = self.predictor(len(images), *how)
        answers = list(predictor(images, top_k))
        for line in predictor.depths.remarks(self.name):
            log.warning("%s.", line)
        if one and answers[0].problem is not None:
            raise DataError(f"{answers[0].image} cannot be read: {answers[0].problem}.")
        return answers[0] if one else answers

    def explain(
        self, image: AnyImage, label: str | int | None = None, *, method: str = "layercam", device: str = "auto"
    ) -> Figure:
        """Return a figure of where in an image the network found its answer: the image, and beside it the map over it.

        Args:
            image: of any kind that ``predict`` takes.
            label: the class whose map is drawn, by its name or number; by default the likeliest.
            method: "layercam" and "gradcam" look at a layer, "occlusion" hides parts of the image.
            device: "auto", "cpu", "cuda" or "mps".

        Raises:
            DataError: the image cannot be read, or is none.
            ConfigError: there is no such class, method or device.
            ModelError: no layer of the network gives a map; occlusion needs none.
            CheckpointError: the network answers with NaN or infinite numbers.
        """
        import botzoo  # maps lie above this folder: they are reached as a user reaches them, by the package's public name

        return botzoo.explanation(self, image, label, method=method, device=device)

    def predictor(
        self,
        images: int,
        device: str | torch.device = "auto",
        mixed_precision: Requested = "auto",
        tta: Tta = "none",
        batch_size: int | None = None,
        temperature: float | None = None,
        reject: bool = True,
        least_score: float | None = None,
    ) -> Predictor | DensePredictor:
        """Return a predictor for so many images; the last one is kept, as folding and placing the network takes its time.

        Raises:
            ConfigError: an option is for networks of another task.
        """
        chosen = choose_device(str(device).partition(":")[0], "--device")
        found = torch.device(device) if ":" in str(device) else chosen  # a certain one of several
        given = {"tta": tta, "temperature": temperature, "reject": reject, "least_score": least_score}
        check_for(self.task.gives, self.name, given)
        options: dict[str, Any] = {"requested": mixed_precision, "batch_size": batch_size}
        key = (found, images <= FEW, *given.values(), *options.values())
        if key not in self._last:
            self._last.clear()
            if self.task.whole_image:
                of_classes: Any = {"tta": tta, "temperature": temperature, "reject": reject, "expected": images}
                self._last[key] = Predictor(self, found, **options, **of_classes)
            else:
                own = self.name, self.module, self.task, self.preprocessing, self.label_names
                self._last[key] = DensePredictor(*own, found, least_score=least_score, **options)
        return self._last[key]


def only_of_classes(model: Model, what: str) -> None:
    """Raise ModelError, which says ``what`` is for classes, of a network that gives places in images."""
    if not model.task.whole_image:
        cure = f"botzoo predict IMAGES --model {model.name} --output FOLDER draws them"
        raise ModelError(f"{what}, and {model.name} gives {model.task.gives}: {cure}.")


class Predictor:
    """A copy of a model's network on a device, readied for speed and for so many images as are ``expected``, if known.

    The other options are those of ``Model.predict``, ``requested`` being its arithmetic.
    """

    def __init__(
        self,
        model: Model,
        device: torch.device,
        *,
        requested: Requested = "auto",
        tta: Tta = "none",
        batch_size: int | None = None,
        expected: int | None = None,
        temperature: float | None = None,
        reject: bool = True,
    ) -> None:
        self.name, self.label_names, self.device, self.tta = model.name, model.label_names, device, tta
        self.task, self.preprocessing, self.size = model.task, model.preprocessing, model.preprocessing.shape
        self.temperature, self.unlike = temperature or model.temperature or 1.0, model.unlike
        self.least = (model.threshold or 0.0) if reject and model.task.one_label else 0.0
        if self.least and self.temperature != (model.temperature or 1.0):
            raise ConfigError(
                f"{model.name} rejects answers below a probability that was fitted at temperature {model.temperature or 1:g}: "
                f"leave --temperature {self.temperature:g} out, or answer every image (--reject 0, in Python reject=False)."
            )
        self.depths = Depths(self.preprocessing.decoding)  # of the images that were read last
        self.transform = EvalTransform(prepared_for(tta, model.preprocessing))
        pixels = (256 if device.type == "cuda" else 64) * 224 * 224  # of a batch, where its size is not given
        self.batch_size = batch_size or max(1, min(512, pixels // self.size.area))
        few = requested == "auto" and expected is not None and expected <= FEW
        self.precision = Precision("fp32", "for a few images") if few else mixed_precision(requested, device)
        image = torch.rand(1, self.preprocessing.channels, *self.size, generator=torch.Generator().manual_seed(0))
        try:
            module, self.folded = fold_batch_norm(model.module, image)  # and how many layers were folded
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = f"images of {self.size} px ({brief(error)})"
            raise ModelError(f"{model.name} does not take {reason}.") from error
        module = copy.deepcopy(module) if module is model.module else module  # the model's own stays as it is
        self.module: nn.Module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision.name)
        self.exact: nn.Module | None = None  # the network in fp32, until a batch was answered in both
        if self.dtype is not None:
            self.exact = copy.deepcopy(self.module) if requested == "auto" else None
            for layer in self.module.modules():
                if type(layer) in (nn.Conv2d, nn.Linear):  # autocast would round their weights anew at each call
                    layer.to(self.dtype)
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # all batches but the last have one shape

    def __call__(self, images: Sequence[AnyImage], top_k: int | None = None) -> Iterator[Prediction]:
        """Yield the answer for each image, in their order, as ``Model.predict`` says; threads read ahead."""
        self.depths = Depths(self.preprocessing.decoding)
        read = in_order(lambda i: self._read(images[i], i), len(images), patient=False)  # a server may be slow
        rows = zip((name_of(image, i) for i, image in enumerate(images)), read, strict=True)
        waiting: Iterator[Prediction] = iter(())
        while batch := list(itertools.islice(rows, self.batch_size)):
            found = features = None
            if pixels := [pixels for _, pixels in batch if not isinstance(pixels, str)]:
                stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
                stacked = stacked.pin_memory() if self.device.type == "cuda" else stacked
                with features_seen(self.module) as seen:
                    found = self.probabilities(stacked.to(self.device, non_blocking=True))
                features = seen[0] if seen else None  # those of the first view, the plain one
            yield from waiting  # a GPU is at work on this batch while the answers to the last one are fetched
            waiting = self._answers(batch, found, features, top_k)
        yield from waiting

    def _read(self, image: AnyImage, place: int) -> Pixels | str:
        """Return the network's input, uint8 (H, W, C), or what is wrong with the image."""
        try:
            kinds = set[str]()
            with read_image(image, self.preprocessing.decoding, kinds.add) as picture:
                self.depths.note(name_of(image, place), kinds)
                return self.transform(picture, (0, 0))
        except (OSError, ValueError, MemoryError) as error:
            return str(error)

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probabilities, float32 (N, K), of prepared images, uint8 (N, C, H, W) on the predictor's device.

        Where an image may have any number of labels, each has one of its own, and they do not add up to 1.
        """
        found = self._through(self.module, self.dtype, images)
        if self.exact is not None:
            expected = self._through(self.exact, None, images)
            furthest = float((found - expected).abs().max())
            if not furthest < AGREES:  # nor is it NaN
                self.precision = Precision("fp32", f"{self.precision.name} moves a probability by {furthest:.2g}")
                self.module, self.dtype, found = self.exact, None, expected
            self.exact = None
        return found

    def _through(self, module: nn.Module, dtype: torch.dtype | None, images: Tensor) -> Tensor:
        every = []
        for view in views(images, self.tta, self.size):
            batch = self.preprocessing.normalise(view).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
                logits: Tensor = module(batch)
            every.append(self.task.probabilities(logits.float() / self.temperature))
        return torch.stack(every).mean(0)

    def _answers(
        self,
        batch: list[tuple[str, Pixels | str]],
        probabilities: Tensor | None,
        features: Tensor | None,
        top_k: int | None,
    ) -> Iterator[Prediction]:
        if probabilities is not None and not bool(probabilities.isfinite().all()):
            cause = "its weights are damaged, or need --mixed-precision fp32"
            raise CheckpointError(f"{self.name} answers with numbers that are not finite: {cause}.")
        found = iter(self.task.named(probabilities, top_k) if probabilities is not None else ())
        scores: Iterator[float | None] = itertools.repeat(None)
        if self.unlike is not None and features is not None:
            scores = iter(self.unlike(features.cpu().numpy()).tolist())
        for name, pixels in batch:
            if isinstance(pixels, str):
                yield Prediction(name, problem=pixels)
            else:
                indices, shares = zip(*named, strict=True) if (named := next(found)) else ((), ())  # no label over 50 %
                labels = tuple(self.label_names[k] for k in indices)
                yield Prediction(
                    name, labels, shares, indices, temperature=self.temperature, least=self.least, unlike=next(scores)
                )


def prepared_for(tta: Tta, preprocessing: Preprocessing) -> Preprocessing:
    """Return how images are prepared before ``views`` takes its crops: for corners, with the margin around the centre.

    Raises:
        ConfigError: corners are asked for where the evaluation's crop leaves no margin.
    """
    if tta in ("none", "flip"):
        return preprocessing
    height, width = (math.floor(side / preprocessing.crop_pct) for side in preprocessing.shape)
    if height <= preprocessing.shape.height or preprocessing.crop_mode != "center":
        raise ConfigError(
            f"--tta {tta} takes crops from the corners, and this network's evaluation sees the whole image (crop_pct "
            f"{preprocessing.crop_pct:g}): use --tta flip."
        )
    return replace(preprocessing, size=Size(height, width).side, crop_pct=1.0)


def views(images: Tensor, tta: Tta, size: Size) -> list[Tensor]:
    """Return the views of uint8 images (N, C, H, W), each (N, C, *size); the images or their centre first."""
    if tta == "none":
        return [images]
    if tta == "flip":
        return [images, images.flip(-1)]
    corners = F.five_crop(images, [*size]) if tta == "five-crop" else F.ten_crop(images, [*size])
    return [corners[4], *corners[:4], *corners[5:]]  # torchvision's centre is the fifth
