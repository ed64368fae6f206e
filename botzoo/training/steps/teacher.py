"""The teacher of distillation: a trained network that answers to the images that the student sees, and learns nothing."""

import hashlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

import timm
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from botzoo.data.decode import TRANSPARENT
from botzoo.errors import BotzooError, CheckpointError, ConfigError, ModelError, NetworkError
from botzoo.models.create import Network, Start, create_model
from botzoo.models.foreign import decoding_in, read_config
from botzoo.models.loading import model_folder
from botzoo.models.preprocessing import Decoding, Preprocessing, Size
from botzoo.training.distributed import same_everywhere
from botzoo.util.environment import user_path
from botzoo.util.hub import the_hub
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import counted


@dataclass(frozen=True)
class Teacher:
    """A network in evaluation mode, without gradients, and how it is shown the student's input.

    Attributes:
        start: where its weights are from and their licence.
        size: of its input in pixels; the student's images are brought to it.
        scale, shift: from the student's normalisation to its own, float32, shape (1, C, 1, 1).
        sha256: of its parameters and buffers, in hexadecimal.
        decoding: how the images became pixels that it was trained on; None where nothing says so.
    """

    model: nn.Module
    start: Start
    size: Size
    scale: Tensor
    shift: Tensor
    sha256: str
    accelerator: Accelerator
    decoding: Decoding | None = None

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits, (N, K), without a graph, of the student's normalised input, float32 (N, C, H, W)."""
        images = images * self.scale + self.shift
        if tuple(images.shape[-2:]) != self.size:
            images = F.interpolate(images, tuple(self.size), mode="bilinear")
        with self.accelerator.autocast():
            logits: Tensor = self.model(images)
        return logits

    @property
    def identity(self) -> dict[str, str]:
        """What run.json keeps of it."""
        return {"name": self.start.source, "sha256": self.sha256}


def make_teacher(
    name: str,
    class_names: tuple[str, ...],
    student: Preprocessing,
    crop: Size,
    accelerator: Accelerator,
    memory_format: torch.memory_format = torch.channels_last,
) -> Teacher:
    """Create the teacher ``name`` with its own weights, all of which must fit.

    It sees the student's images at its own input's size where that is larger than the training crops and of their shape,
    enlarged; else as they are. Normalisation is affine, and so commutes with mixing: the student's mixed images need only be
    normalised anew.

    Args:
        name: a name or name.tag of timm, ``hf-hub:owner/name``, ``local-dir:PATH`` or the folder of a finished run.
        class_names: the student's classes, which must be the teacher's, in their order.
        student: how the student's images are normalised.
        crop: size of its training crops.

    Raises:
        ConfigError: its classes or the size of its input are not the student's.
        ModelError: there is no such model, or it has no weights as safetensors.
        CheckpointError: the weights cannot be read or do not fit.
        DataError: they are not the same for all processes.
        NetworkError: they are on the Hub, which cannot be reached.
    """
    address = _address(name)
    _check_classes(address, _known_cfg(address), class_names)  # before weights of hundreds of MB are fetched
    network = _load(name, address, len(class_names))
    model, preprocessing = network.model, network.preprocessing
    _check_classes(address, model.pretrained_cfg, class_names)  # type: ignore[arg-type]
    if preprocessing.channels != student.channels:
        raise ConfigError(
            f"The teacher {name} takes images of {preprocessing.channels} channels, and the student's have "
            f"{student.channels}: give a teacher for these."
        )
    sha256 = fingerprint(model)
    same_everywhere(accelerator, sha256, "teachers", f"--distillation {name}")
    own = preprocessing.shape
    same_shape = own.height * crop.width == own.width * crop.height
    size = own if same_shape and own.area > crop.area else crop
    if preprocessing.fixed_size and size != own:
        raise ConfigError(
            f"The teacher {name} takes images of {own.px} only, and the student trains on {crop.px}: give a "
            f"teacher for {crop.px} or more, or --img-size {own.typed}."
        )
    model = model.eval().requires_grad_(False)
    model = model.to(accelerator.device, memory_format=memory_format)  # type: ignore[call-overload]
    # (x * std + mean - mean') / std' is x * scale + shift, computed in float64 once.
    mean, std, to_mean, to_std = (
        torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)
        for values in (student.mean, student.std, preprocessing.mean, preprocessing.std)
    )
    scale, shift = ((x / to_std).float().to(accelerator.device) for x in (std, mean - to_mean))
    decoding = decoding_in(read_config(model_folder(address) / "config.json")) if ":" in address else None
    teacher = Teacher(model, network.start, size, scale, shift, sha256, accelerator, decoding)
    _check_answer(name, teacher, crop, len(class_names))
    return teacher


def decoding_notes(teacher: Teacher | None, student: Decoding, kinds: Container[str]) -> Iterator[str]:
    """Yield a warning where the teacher was trained on other pixels than the student sees of the same stored images.

    Args:
        student: how its images become pixels, with a range where any have more than 8 bits.
        kinds: what its images were seen to be, see ``botzoo.data.decode.Seen``.
    """
    if teacher is None or (theirs := teacher.decoding) is None:
        return
    if student.range is not None and student.range != theirs.range:
        was, now = ("{:g},{:g}".format(*ends) if ends else "none" for ends in (theirs.range, student.range))
        yield f"warning: the teacher was trained with --data.range {was}, and the student's images have {now}"
    if TRANSPARENT in kinds and student.background != theirs.background:
        laid = f"with transparent images on {theirs.background or 'no background'}"
        yield f"warning: the teacher was trained {laid}, and the student's lie on {student.background}"


def fingerprint(model: nn.Module) -> str:
    """Return the SHA-256, in hexadecimal, of the names, types, shapes and values of all parameters and buffers."""
    sha = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def _address(name: str) -> str:
    """Return ``name`` as a model's address: of a run's folder, that of the model in it."""
    folder = user_path(name)
    if ":" in name or timm.is_model(name) or not (folder / "config.yaml").is_file():
        return name
    if not (folder / "model" / "model.safetensors").is_file():
        raise CheckpointError(f"The teacher {name} is a run that has not finished: go on with it by --resume {name}.")
    return f"local-dir:{folder / 'model'}"


def _known_cfg(address: str) -> dict[str, Any]:
    """Return what timm knows of the weights before they are fetched: nothing of those that are not in its own tables."""
    cfg = timm.get_pretrained_cfg(address) if timm.is_model(address) else None
    if cfg is None or not cfg.has_weights:
        return {}
    if cfg.hf_hub_id is None and cfg.file is None:
        raise ModelError(f"The weights of the teacher {address} are a pickle, which is not read: give another teacher.")
    return {"num_classes": cfg.num_classes, "label_names": cfg.label_names}


def _load(name: str, address: str, num_classes: int) -> Network:
    """Create the network; errors speak of the teacher, since the advice for students is not for it."""
    try:
        return create_model(address, num_classes)
    except NetworkError as error:
        if not error.unreachable:
            raise
        raise NetworkError(
            f"The weights of the teacher {name} are not cached and {the_hub()} cannot be reached: connect and try again, "
            "or give --distillation a local-dir:PATH or the folder of a finished run."
        ) from error
    except BotzooError as error:
        if timm.is_model(address) and not timm.is_model_pretrained(address):
            advice = "train it first, and give the folder of that run"
            raise ModelError(f"The teacher {name} has no trained weights: {advice}.") from error
        raise type(error)(f"The teacher cannot be had. {error}") from error


def _check_classes(address: str, cfg: dict[str, Any], class_names: tuple[str, ...]) -> None:
    """Raise ConfigError unless the classes in ``cfg``, as far as it says, are ``class_names`` in their order."""
    how = f"fine-tune it on this data set first (--model {address}), and give the folder of that run to --distillation"
    count, names = cfg.get("num_classes"), cfg.get("label_names")
    if count is not None and count != len(class_names):
        raise ConfigError(
            f"The teacher {address} knows {counted(count, 'class', 'classes')} and the data set has {len(class_names)}: {how}."
        )
    # A model of an older version may say fewer names than classes, or none.
    names = list(names.values() if isinstance(names, dict) else names or class_names)
    for k, (theirs, ours) in enumerate(zip(names, class_names, strict=False)):
        if theirs != ours:
            differs = f"Class {k} is {in_quotes(theirs)} to the teacher {address} and {in_quotes(ours)} in the data set"
            raise ConfigError(f"{differs}; names and order must be the same: {how}.")


def _check_answer(name: str, teacher: Teacher, crop: Size, num_classes: int) -> None:
    """Raise unless the teacher answers an image of ``crop`` pixels with finite logits."""
    try:
        logits = teacher(torch.zeros(1, teacher.scale.shape[1], *crop, device=teacher.scale.device))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"The teacher {name} does not take images of {teacher.size} px "
            f"({next(iter(str(error).splitlines()), 'it fails')}): give another teacher, or another --img-size."
        ) from error
    # Now, or hours of distillation would follow a teacher that answers NaN.
    if logits.shape != (1, num_classes) or not bool(logits.isfinite().all()):
        wrong = f"The teacher {name} does not answer an image with {num_classes} finite logits"
        raise CheckpointError(f"{wrong}: its weights are damaged, or it is no classifier.")
