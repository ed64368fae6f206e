"""The pretrained weights of the ``*_bot`` models: one table of where they are and how good, and a checked loader.

timm loads a checkpoint strictly only while the number of classes agrees; otherwise keys that are missing from the
backbone pass in silence, and training starts from noise. ``build_checked`` looks at every key in every case.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from timm.data import constants
from timm.models import PretrainedCfg, build_model_with_cfg, resolve_pretrained_cfg
from torch import nn

from botzoo.errors import BotzooError, CheckpointError, ModelError, NetworkError
from botzoo.util.cache import cached_file
from botzoo.util.hub import hub_page, refusal, unanswered

WEIGHTS_DIR = Path(__file__).parent / "weights"
EMBEDDED = "resnet10d_bot.bot_r64_tin100"  # comes with the package and needs no network
CARDS = next(
    (place for above in Path(__file__).parents[1:3] if (place := above / "cards").is_dir()), Path("cards").absolute()
)
"""Their cards: in an installed package within it, in a checkout beside it."""

_TIMM_RESULTS = "timm's re-evaluation, results/results-imagenet.csv at commit 7479d45, {size} px"
_RA4_POST = "R. Wightman, 'Trick or ResNet Treat', huggingface.co/blog, October 2024, {size} px"

_ModelT = TypeVar("_ModelT", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One set of weights: where it is, what it was made for and how good it was measured to be.

    The licence is the weight file's own; the terms of the data it was trained on come on top.
    """

    name: str  # model name and tag
    hub_id: str | None = None  # repository on the Hub, timm/resnet50d.gluon_in1k; None for a packaged file
    file: str | None = None  # in botzoo/models/weights; None for weights on the Hub
    license: str = "apache-2.0"  # SPDX name in lower case, as on the Hub
    num_classes: int = 1000
    input_size: tuple[int, int, int] = (3, 224, 224)  # channels, height, width of the training images
    pool_size: tuple[int, int] | None = None  # of the last features; None for a 32nd of the image's, rounded up
    crop_pct: float = 0.875  # side of the centre crop over the shorter side of the resized image, in (0, 1]
    test_input_size: tuple[int, int, int] | None = None  # larger images at which these weights do better still, if any
    test_crop_pct: float | None = None
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = constants.IMAGENET_DEFAULT_MEAN  # RGB, of images in [0, 1]
    std: tuple[float, float, float] = constants.IMAGENET_DEFAULT_STD
    first_conv: str = "conv1"  # module that sees the image, without .weight
    classifier: str = "fc"  # module that makes the logits
    top1: float | None = None  # measured, in per cent, one centre crop of input_size; None where no source is known
    top1_source: str = ""  # who measured it, where it is written and at which image size

    @property
    def architecture(self) -> str:
        return self.name.split(".", 1)[0]

    @property
    def tag(self) -> str:
        return self.name.split(".", 1)[1]

    @property
    def path(self) -> Path | None:
        """Absolute path of the packaged file, None for weights on the Hub."""
        return WEIGHTS_DIR / self.file if self.file else None

    @cached_property
    def beside(self) -> dict[str, Any]:
        """What the JSON file beside the packaged weights holds, such as ``label_names``; empty for those on the Hub."""
        if self.path is None or not self.path.with_suffix(".json").exists():
            return {}
        found: dict[str, Any] = json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))
        return found

    @property
    def temperature(self) -> float | None:
        """What the logits are to be divided by, where that was fitted."""
        found: float | None = self.beside.get("calibration", {}).get("temperature")
        return found

    def cfg(self) -> dict[str, Any]:
        """Return the entry for timm's ``generate_default_cfgs``."""
        same = ["license", "num_classes", "input_size", "test_input_size", "crop_pct", "test_crop_pct"]
        return untrained_cfg(self.first_conv, self.classifier) | {
            "hf_hub_id": self.hub_id,
            "file": str(self.path) if self.path else None,
            "label_names": self.beside.get("label_names"),
            "pool_size": self.pool_size or tuple(-(-side // 32) for side in self.input_size[1:]),
            **{key: getattr(self, key) for key in (*same, "interpolation", "mean", "std")},
        }


def untrained_cfg(first_conv: str = "conv1", classifier: str = "fc") -> dict[str, Any]:
    """Return the timm entry of a network without weights: ImageNet's classes, size and normalisation."""
    return {
        "pool_size": (7, 7),
        "first_conv": first_conv,
        "classifier": classifier,
        "paper_name": "Bag of Tricks for Image Classification with Convolutional Neural Networks",
        "paper_ids": "arXiv:1812.01187",
    }


def _timm(network: str, tag: str, top1: float | None, source: str = _TIMM_RESULTS, **fields: Any) -> Weights:
    """Weights that timm keeps on the Hub; ``network`` is timm's name, and a name without letter is the paper's B."""
    letter = "" if network[-1] in "cd" else "b"
    name, hub_id, stem = f"{network}{letter}_bot.{tag}", f"timm/{network}.{tag}", "conv1" if letter else "conv1.0"
    measured = "" if top1 is None else source.format(size=fields.get("input_size", (3, 224, 224))[-1])
    return Weights(name=name, hub_id=hub_id, first_conv=stem, top1=top1, top1_source=measured, **fields)


def _gluon(network: str, top1: float) -> Weights:
    """GluonCV's weights, trained by the paper's authors with their tricks and converted by timm."""
    return _timm(network, "gluon_in1k", top1)


def _ra2(network: str, top1: float, train: int = 224) -> Weights:
    """timm's RandAugment recipe of 2020, the deep networks at 256 px."""
    crops: dict[str, Any] = {"test_input_size": (3, 288, 288), "test_crop_pct": 0.95}
    if train == 256:
        crops = {"crop_pct": 0.95, "test_input_size": (3, 320, 320), "test_crop_pct": 1.0}
    return _timm(network, "ra2_in1k", top1, input_size=(3, train, train), **crops)


def _ra4(network: str, top1: float | None, source: str = _RA4_POST, crop_pct: float = 0.9) -> Weights:
    """timm's recipe of 2024: 3600 epochs at 224 px, images normalised to [-1, 1]."""
    half = constants.IMAGENET_INCEPTION_MEAN
    sizes = {"crop_pct": crop_pct, "test_input_size": (3, 288, 288), "test_crop_pct": 1.0}
    return _timm(network, "ra4_e3600_r224_in1k", top1, source, mean=half, std=half, **sizes)


# The first entry of a network is what pretrained=True loads: where it exists, the paper's own training, so that the
# figures compare. The further ones are stronger weights of the same network from later recipes.
_TABLE = (
    Weights(
        name=EMBEDDED,
        file=f"{EMBEDDED}.safetensors",
        num_classes=100,
        input_size=(3, 64, 64),
        crop_pct=1.0,
        first_conv="conv1.0",
        top1=61.42,
        top1_source="ours, cards/resnet10d_bot.bot_r64_tin100.md: 5,000 validation images of 100 ImageNet classes, 64 px",
    ),
    _gluon("resnet18", 70.84),
    _ra2("resnet18d", 72.27),
    _ra4("resnet18d", None),
    _gluon("resnet34", 74.57),
    _ra4("resnet34", 77.45),
    _ra2("resnet34d", 77.10),
    _gluon("resnet50", 77.58),
    _gluon("resnet50c", 78.02),
    _gluon("resnet50d", 79.08),
    _ra2("resnet50d", 80.55),
    _ra4("resnet50d", 80.96, source=_TIMM_RESULTS, crop_pct=0.95),
    _gluon("resnet101", 79.31),
    _gluon("resnet101c", 79.54),
    _gluon("resnet101d", 80.47),
    _ra2("resnet101d", 82.25, train=256),
    _gluon("resnet152", 79.71),
    _gluon("resnet152c", 79.91),
    _gluon("resnet152d", 80.48),
    _ra2("resnet152d", 83.16, train=256),
    Weights(
        name="inception_v3_bot.gluon_in1k",
        hub_id="timm/inception_v3.gluon_in1k",
        input_size=(3, 299, 299),
        pool_size=(8, 8),
        first_conv="Conv2d_1a_3x3.conv",
        top1=78.80,
        top1_source=_TIMM_RESULTS.format(size=299),
    ),
    Weights(
        name="mobilenet_v1_bot.ra4_e3600_r224_in1k",
        hub_id="timm/mobilenetv1_100.ra4_e3600_r224_in1k",
        test_input_size=(3, 256, 256),
        test_crop_pct=0.95,
        mean=constants.IMAGENET_INCEPTION_MEAN,
        std=constants.IMAGENET_INCEPTION_STD,
        first_conv="conv_stem",
        classifier="classifier",
        top1=75.38,
        top1_source=_TIMM_RESULTS.format(size=224),
    ),
)

WEIGHTS: dict[str, Weights] = {weights.name: weights for weights in _TABLE}  # by model name and tag


def work_offline() -> list[str]:
    """Return the names of the weights that need no network: the embedded ones, and what is in the Hub's cache."""
    return [name for name, weights in WEIGHTS.items() if weights.hub_id is None or cached_file(weights.hub_id)]


@dataclass(frozen=True)
class KeyReport:
    """How a state dict meets a model: the names of parameters and buffers, each in one field, in the order met."""

    loaded: tuple[str, ...]  # in both, with the same shape
    missing: tuple[str, ...]  # in the model only
    unexpected: tuple[str, ...]  # in the state dict only
    mismatched: tuple[str, ...]  # in both, with different shapes

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        """Return the complaints in words, the first three names of each kind."""
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.mismatched}
        shown = {kind: ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") for kind, names in kinds.items()}
        return ", ".join(f"{len(names)} {kind} ({shown[kind]})" for kind, names in kinds.items() if names)


def compare_keys(model: nn.Module, state_dict: Mapping[str, Any], excused: Collection[str] = ()) -> KeyReport:
    """Compare the names and shapes of ``state_dict`` with those of ``model``, which may be any module. Loads nothing.

    No complaint is made of names that are ``excused``, nor of a missing ``num_batches_tracked`` of BatchNorm: older
    checkpoints lack it and torch does without.
    """
    own = model.state_dict()
    same = {name for name in own.keys() & state_dict.keys() if _shape(own[name]) == _shape(state_dict[name])}
    ours, theirs = ([name for name in names if name not in excused] for names in (own, state_dict))
    return KeyReport(
        loaded=tuple(name for name in own if name in same),
        missing=tuple(n for n in ours if n not in state_dict and not n.endswith("num_batches_tracked")),
        unexpected=tuple(name for name in theirs if name not in own),
        mismatched=tuple(name for name in ours if name in state_dict and name not in same),
    )


def build_checked(
    model_cls: Callable[..., _ModelT], variant: str, pretrained: bool, *, headless: bool = False, **kwargs: Any
) -> _ModelT:
    """Build ``variant`` as timm's ``build_model_with_cfg`` does, and load no weights but those that fit.

    Only the classifier may differ, when the number of classes does, ``features_only`` drops it or ``model_cls`` has
    none (``headless``), and the first convolution, when ``in_chans`` differs from the weights' (timm adapts it). Half
    precision weights fit.

    Raises:
        ModelError: the tag is unknown, or ``pretrained`` is True and there are no weights.
        CheckpointError: the weights cannot be read, or keys are missing, unexpected or of another shape.
        NetworkError: the Hub cannot be reached or refuses.
    """
    tags = [weights.tag for weights in WEIGHTS.values() if weights.architecture == variant]
    try:
        cfg = resolve_pretrained_cfg(variant, kwargs.get("pretrained_cfg"), kwargs.get("pretrained_cfg_overlay"))
    except RuntimeError as error:  # timm's word for a tag that it does not know
        tag = str(kwargs.get("pretrained_cfg"))
        known = f"its tags are {', '.join(tags)}" if tags else "it has no tags, as there are no weights for it"
        raise ModelError(f"{variant} has no tag {tag!r}: {known}.", value=tag, accepted=tags) from error
    if pretrained and not (cfg.has_weights or cfg.state_dict):
        family = re.sub(r"[a-d]_bot$", "", variant)
        trained = dict.fromkeys(weights.architecture for weights in WEIGHTS.values())
        siblings = [name for name in trained if re.fullmatch(family + "[a-d]_bot", name)]
        instead = f"take {' or '.join(siblings)}, which have them, or " if siblings else ""
        raise ModelError(f"There are no pretrained weights for {variant}: {instead}give pretrained=False.")
    source = cfg.file or (hub_page(cfg.hf_hub_id) if cfg.hf_hub_id else str(cfg.url))
    source = "the given state_dict" if cfg.state_dict else source
    features_only = headless or bool(kwargs.get("features_only"))
    reading = False  # True between the construction of the model and the first look at the weights

    def construct(**model_args: Any) -> _ModelT:
        nonlocal reading
        made = model_cls(**model_args)
        reading = pretrained
        return made

    def check(state_dict: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
        nonlocal reading
        reading = False
        return _fitting(state_dict, model, source, features_only)

    try:
        model: _ModelT = build_model_with_cfg(construct, variant, pretrained, pretrained_filter_fn=check, **kwargs)
        return model
    except Exception as error:  # a damaged file can end in almost any of them
        if reading:
            raise _unreadable(error, cfg, source) from error
        raise


def _fitting(state_dict: Mapping[str, Any], model: nn.Module, source: str, features_only: bool) -> dict[str, Any]:
    """Return ``state_dict`` as a plain dict, for timm to adapt and load.

    Raises:
        CheckpointError: it does not fit.
    """
    if not isinstance(state_dict, Mapping):
        raise CheckpointError(f"{source} holds a {type(state_dict).__name__}, not the weights of a network.")
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    adapted: set[str] = set()  # what timm replaces or adapts for this model need not fit
    if features_only or model.num_classes != cfg["num_classes"]:
        adapted |= {f"{cfg['classifier']}.{kind}" for kind in ("weight", "bias")}
    channels, stem = cfg["input_size"][0], f"{cfg['first_conv']}.weight"
    if model.in_chans != channels and stem in state_dict:
        out_channels, _, *kernel = model.state_dict()[stem].shape
        adapted |= {stem} if _shape(state_dict[stem]) == (out_channels, channels, *kernel) else set()
    report = compare_keys(model, state_dict, adapted)
    if not report.fits:
        cure = f"Give a checkpoint of this very network and of {cfg['num_classes']} classes, or pretrained=False."
        raise CheckpointError(f"The weights from {source} do not fit {cfg['architecture']}: {report}. {cure}")
    return dict(state_dict)  # without torch's metadata, so that num_batches_tracked may be absent


def _unreadable(error: Exception, cfg: PretrainedCfg, source: str) -> BotzooError:
    reason = re.split(r"\n|\. ", str(error).strip())[0].rstrip(".") or type(error).__name__
    if refused := refusal(source, error):
        return refused
    if unanswered(error):
        cure = "Check the connection and the name, or take resnet10d_bot, which needs no network."
        what = f"the weights of {cfg.architecture} from {source} ({reason})"
        return NetworkError(f"Cannot fetch {what}. {cure}", unreachable=True)
    if isinstance(error, FileNotFoundError):
        return CheckpointError(f"There are no weights at {source}. Check the path, or install botzoo again.")
    cure = "The file is damaged or is no checkpoint: fetch it again."
    return CheckpointError(f"Cannot read weights from {source} ({reason}). {cure}")


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if hasattr(value, "shape") else None
