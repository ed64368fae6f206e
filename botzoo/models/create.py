"""The network of a run: created by timm and filled with the weights asked for, or made by a user's own code."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_download
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, resolve_model_data_config
from timm.models import adapt_input_conv, resolve_model_input_args
from torch import Tensor, nn

from botzoo.errors import BotzooError, ConfigError, ModelError, printable
from botzoo.models import loading, unlike
from botzoo.models.cost import modes_kept
from botzoo.models.foreign import meta_network, read_config, read_shapes
from botzoo.models.layers import head_names
from botzoo.models.preprocessing import Decoding, Preprocessing, Side, Size
from botzoo.models.pretrained import KeyReport
from botzoo.tricks.xavier_init import xavier_init as draw_after_xavier
from botzoo.tricks.zero_gamma import zero_gamma as set_last_gamma
from botzoo.util.environment import user_path
from botzoo.util.text import counted

OWN_SIZE = 224  # side of the input in pixels of a network that timm did not make, where nothing says otherwise


@dataclass(frozen=True)
class Start:
    """What the training of a network starts from."""

    source: str  # for the reader, such as "resnet50d.gluon_in1k" or "random weights"
    report: KeyReport | None = None  # how the weights met the network, None for random weights
    base_model: str | None = None  # Hub id of the weights, for the card, if they have one
    license: str | None = None  # of the weights, if known
    prepared: str = "as ImageNet's"  # where mean, std and interpolation come from
    doubt: str | None = None  # why they may not be those of the weights
    notes: tuple[str, ...] = ()  # what was made of the file's names and classifier, for the plan


@dataclass(frozen=True)
class Network:
    """A network, how its input is prepared, and what its training starts from.

    ``model`` takes float (N, C, H, W), normalised as ``preprocessing`` says, and returns logits (N, K).
    """

    model: nn.Module
    preprocessing: Preprocessing
    start: Start

    @property
    def architecture(self) -> str:
        """Its name in timm, or that of its class where timm did not make it."""
        cfg: Any = getattr(self.model, "pretrained_cfg", None) or {}
        return str(cfg.get("architecture", type(self.model).__name__))


def create_model(
    name: str,
    num_classes: int | None,
    *,
    pretrained: str | None = None,
    scratch: bool = False,
    img_size: Side | None = None,
    channels: int | None = None,
    zero_gamma: bool = True,
    xavier_init: bool = False,
    drop_rate: float = 0.0,
) -> Network:
    """Create a timm network with a new classifier for ``num_classes`` classes.

    The classifier of the weights is kept where it has as many classes.

    Args:
        name: a name, name.tag, ``hf-hub:owner/name`` or ``local-dir:PATH``.
        num_classes: K >= 2; None for as many as the weights have.
        pretrained: a tag, ``hf-hub:owner/name``, ``local-dir:PATH`` or a safetensors file, with ``@PREFIX`` behind it
            where it holds the network more than once; None for the name's own.
        scratch: start from random weights; ``xavier_init`` and ``zero_gamma`` then say how.
        img_size: of the input in pixels, None for the weights' own.
        channels: of the input, for which the weights of the first convolution are repeated or, for one, added up, as timm
            does; None for the weights' own.
        drop_rate: share of the classifier's inputs that dropout sets to 0 in training, in [0, 1); 0 leaves it to timm.

    Raises:
        ConfigError: a ``drop_rate`` for a network without dropout.
        ModelError: timm has no such model or tag, or it has no weights.
        CheckpointError: the weights cannot be read, or none of them fits.
        NetworkError: the weights are on the Hub, which cannot be reached.
    """
    address, weights_from = _address(name, pretrained, scratch)
    # read before the network is made, as a wrong file is the quicker of the two to find
    tensors, given = loading.read_weights(weights_from) if weights_from is not None else ({}, {})
    how = address, not scratch and weights_from is None, num_classes, img_size, drop_rate
    model = _timm_create(*how, channels if channels != 3 else None)
    if channels is not None and getattr(model, "in_chans", channels) != channels:
        model = _timm_create(*how, channels)
    if scratch:  # Xavier sets every gamma to 1, so it comes first
        if xavier_init:
            draw_after_xavier(model)
        set_last_gamma(model, 0.0 if zero_gamma else 1.0)
        start = Start("random weights", prepared=f"as timm has it for {model.pretrained_cfg['architecture']}")
    elif weights_from is not None:
        report, notes = loading.load_what_fits(model, _adapted(tensors, model, given), weights_from)
        # images are prepared as for these weights, at their size unless the network fixes its own
        keys = ["mean", "std", "crop_pct", "crop_mode", "interpolation"]
        keys += [] if model.pretrained_cfg.get("fixed_input_size") else ["input_size"]
        model.pretrained_cfg.update({key: given[key] for key in keys if given.get(key) is not None})
        hub_id = loading.hub_id_of(weights_from) if ":" in weights_from else None
        stated = given.get("mean") is not None and given.get("std") is not None
        silent = f"as timm has it for {model.pretrained_cfg['architecture']}, since {weights_from} says nothing of it"
        prepared = f"as config.json of {weights_from} says" if stated else silent
        doubtful = doubt(model, weights_from, given)
        start = Start(weights_from, report, hub_id, given.get("license"), prepared, doubtful, notes)
    else:  # timm has loaded and checked them itself; the classifier is new where its size differs
        cfg: dict[str, Any] = model.pretrained_cfg
        names, head = tuple(model.state_dict()), set(head_names(model))
        new = head if cfg.get("num_classes") != model.num_classes else set()
        report = KeyReport(tuple(n for n in names if n not in new), (), (), tuple(n for n in names if n in new))
        source = address if ":" in address else f"{cfg['architecture']}.{cfg['tag']}"
        prepared = f"as config.json of {source} says" if ":" in source else f"as timm has it for {source}"
        start = Start(source, report, loading.hub_id_of(source), cfg.get("license"), prepared)
    return Network(model, preprocessing_of(model, img_size), start)


def doubt(model: Any, source: str, given: dict[str, Any]) -> str | None:
    """Return why images may not be prepared as the weights from ``source`` want it, None where nothing speaks for that.

    ``given`` is what config.json says of them; of a bare file, the config.json beside it is looked at, which is not followed.
    """
    beside, name = "of", str(model.pretrained_cfg["architecture"])
    if not given:
        beside = "beside"
        with suppress(BotzooError):  # there is none, or it is of something else
            config = read_config(user_path(source).parent / "config.json")
            given = {"architecture": config.get("architecture")} | (config.get("pretrained_cfg") or config)
    where, other = f"config.json {beside} {source}", given.get("architecture")
    try:
        wanted = tuple(map(float, given["mean"])), tuple(map(float, given["std"]))
    except (KeyError, TypeError, ValueError):
        wanted = None
    cfgs = [timm.get_pretrained_cfg(tagged) for tagged in (name, *timm.list_models(f"{name}.*", pretrained=True))]
    usual = {(tuple(cfg.mean), tuple(cfg.std)) for cfg in cfgs if cfg is not None}
    used = tuple(model.pretrained_cfg["mean"]), tuple(model.pretrained_cfg["std"])
    what = []
    if other not in (None, name):
        what.append(f"is for {other}, not {name}")
    if wanted is not None and (wanted != used or (usual and wanted not in usual)):
        mean, std = (" ".join(f"{value:.4g}" for value in values) for values in wanted)
        what.append(f"says mean {mean}, std {std}, which is not timm's for {name}")
    cure = f"give --model {other}" if other not in (None, name) else "compare the two"
    cure += f" and --pretrained local-dir:{Path(source).parent}" if beside == "beside" else ""
    return f"{where} {', and '.join(what)}: {cure}" if what else None


def adopt(module: nn.Module, num_classes: int, img_size: Side | None = None, channels: int = 3) -> Network:
    """Return a module as the network of a run; what timm's networks know of themselves is added where it is missing.

    Args:
        module: takes normalised images, float32 (N, C, H, W), and returns logits (N, K); its last linear layer is its
            classifier. One of timm's is taken as it is.
        num_classes: K.
        img_size: of the input in pixels; by default what the module says, or 224.
        channels: of the images.

    Raises:
        ModelError: it has no linear layer, another number of outputs, or takes images of other channels.
    """
    kind = type(module).__name__
    if not hasattr(module, "get_classifier"):
        linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise ModelError(f"{kind} has no linear layer: its last one has to be the classifier.")
        classifier, size = linear[-1], Size.of(img_size or OWN_SIZE)
        facts: dict[str, Any] = {
            "get_classifier": lambda: classifier,
            "num_classes": classifier.out_features,
            "num_features": classifier.in_features,
            "pretrained_cfg": {
                "architecture": kind,
                "input_size": (channels, *size),
                "mean": IMAGENET_DEFAULT_MEAN,
                "std": IMAGENET_DEFAULT_STD,
                "crop_pct": 1.0,
                "interpolation": "bicubic",
            },
        }
        for name, value in facts.items():
            setattr(module, name, value)
    if module.num_classes != num_classes:
        outputs = f"{module.num_classes} outputs and the data {counted(num_classes, 'class', 'classes')}"
        raise ModelError(f"{kind} has {outputs}: make it with {num_classes}.")
    preprocessing = preprocessing_of(module, img_size)
    first = next((layer.in_channels for layer in module.modules() if isinstance(layer, nn.Conv2d)), channels)
    taken = int(getattr(module, "in_chans", first))
    if taken != channels and not _answers(module, channels, preprocessing.shape):
        has = f"takes images of {counted(taken, 'channel')} and the data's have {channels}"
        raise ModelError(f"{kind} {has}: make it for {channels}, or set data.channels to {taken}.")
    loaded = KeyReport(tuple(module.state_dict()), (), (), ())
    return Network(module, preprocessing, Start("a network of the user's own", loaded))


def _answers(module: nn.Module, channels: int, size: Size) -> bool:
    """Tell whether a network takes images of so many channels, whatever its layers look like."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    with modes_kept(module), torch.no_grad():
        module.eval()
        try:
            module(torch.zeros(1, channels, *size, device=device))
        except Exception:  # a user's code may raise any of them
            return False
    return True


def _adapted(tensors: Mapping[str, Tensor], model: Any, given: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Return weights whose first convolution fits the network's channels, by timm's rule; ``given`` says what they are of."""
    name, own = f"{model.pretrained_cfg.get('first_conv')}.weight", int((given.get("input_size") or (3,))[0])
    channels = getattr(model, "in_chans", own)
    if name not in tensors or tensors[name].shape == model.state_dict()[name].shape or channels == own:
        return tensors
    return {**tensors, name: adapt_input_conv(channels, tensors[name], own)}


def preprocessing_of(model: Any, img_size: Side | None = None) -> Preprocessing:
    """Return how a network wants its input, by its own configuration; ``img_size`` is another, in pixels."""
    cfg = resolve_model_data_config(model)
    channels = int(getattr(model, "in_chans", 0) or cfg["input_size"][0])
    return Preprocessing(
        Size.of(img_size or cfg["input_size"][-2:]).side,
        _of_channels(cfg["mean"], channels),
        _of_channels(cfg["std"], channels),
        float(cfg["crop_pct"]),
        cfg["interpolation"] if cfg["interpolation"] in ("bilinear", "bicubic") else "bicubic",
        cfg.get("crop_mode") or "center",
        bool(model.pretrained_cfg.get("fixed_input_size", False)),
        Decoding(channels),
    )


def _of_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return a value for each channel, in the order in which timm repeats the weights; for a single one, their mean."""
    if channels == 1:
        return (sum(values) / len(values),)
    return tuple(values[k % len(values)] for k in range(channels))


def _address(name: str, pretrained: str | None, scratch: bool) -> tuple[str, str | None]:
    """Return what timm is to create and, where the weights come from elsewhere, from where."""
    if name.startswith("local-dir:"):
        name = f"local-dir:{user_path(name.removeprefix('local-dir:'))}"
    if pretrained is None or scratch:
        return name, None
    if ":" in pretrained or loading.is_file_of_weights(pretrained):
        return name, pretrained
    if user_path(pretrained).exists():
        instead = f"local-dir:{pretrained} for a model folder, or a .safetensors file"
        raise ModelError(f"--pretrained {pretrained} is a path: give {instead}.")
    if ":" in name:
        raise ModelError(f"--pretrained {pretrained} is a tag, and {name} has no tags: leave it out.")
    return f"{name.split('.', 1)[0]}.{pretrained}", None


def check_name(name: str, *, pretrained: bool = False) -> None:
    """Raise ModelError unless timm has the model, its tag if ``name`` has one, and weights where ``pretrained``."""
    base, _, tag = name.partition(".")
    if not timm.is_model(name):
        folder = f"It is a folder: give local-dir:{name}. " if Path(name).is_dir() else ""
        folder = (
            f"It is a file of weights: give --pretrained {name} beside --model. " if Path(name).is_file() else folder
        )
        cure = f"{folder}Ours: botzoo list; or give hf-hub:owner/name or local-dir:PATH."
        raise ModelError(f"There is no network {name!r}.", value=base, accepted=timm.list_models(), cure=cure)
    tags = [tagged.split(".", 1)[1] for tagged in timm.list_models(f"{base}.*", pretrained=True)]
    if tag and tag not in tags:
        elsewhere = "hf-hub:owner/name, local-dir:PATH or a .safetensors file"
        cure = f"Its tags: {', '.join(tags) or 'none'}. Weights from elsewhere: {elsewhere}."
        raise ModelError(f"{base} has no weights with the tag {tag!r}.", value=tag, accepted=tags, cure=cure)
    if pretrained and not tags:
        raise ModelError(f"There are no pretrained weights for {base}: start with --scratch, or give --pretrained.")


def _timm_create(
    address: str,
    pretrained: bool,
    num_classes: int | None,
    img_size: Side | None,
    drop_rate: float,
    channels: int | None = None,
) -> Any:
    is_name = ":" not in address
    if is_name:
        check_name(address, pretrained=pretrained)
    # timm loads weights from a folder or repository strictly only with as many classes as they have
    kwargs: dict[str, Any] = {"num_classes": num_classes} if (is_name or not pretrained) and num_classes else {}
    kwargs |= {"drop_rate": drop_rate} if drop_rate else {}
    kwargs |= {"in_chans": channels} if channels is not None else {}
    cure = "leave it out, or take another --model"
    no_dropout = ConfigError(f"--drop-rate is {drop_rate:g} and {address} has no dropout: {cure}.")
    try:
        hub_id, place = loading.hub_id_of(address), address
        if not is_name:
            beside = (unlike.FILE,) if num_classes is None else ()  # of a network that is taken as it is
            folder = loading.model_folder(address, weights=pretrained, extras=beside)
            config, file = read_config(folder / "config.json"), folder / "model.safetensors"
            if (task := config.get("task")) is not None:
                cure = "botzoo.load and botzoo predict take it; to train, give the network that it was made of"
                raise ModelError(f"{address} is a network for {printable(str(task), 60)}, and no classifier: {cure}.")
            # made without memory first, as timm would make whatever a config.json asks for
            meta_network(config, read_shapes(file) if pretrained or file.is_file() else None, str(folder))
            place = f"local-dir:{folder}"
        with loading.cache_if_unreachable(hub_id if pretrained and is_name else None, listed=True):
            if pretrained and is_name and hub_id is not None:  # without it timm would look for a pickle next
                hf_hub_download(hub_id, "model.safetensors")
            if img_size is not None and "img_size" in resolve_model_input_args(place, {"img_size": img_size}):
                kwargs["img_size"] = img_size
            model: Any = timm.create_model(place, pretrained=pretrained, **kwargs)
    except BotzooError:
        raise
    except Exception as error:  # a damaged folder or a failing network can end in almost any of them
        if isinstance(error, TypeError) and "'drop_rate'" in str(error):  # Python names the argument nowhere else
            raise no_dropout from error
        if img_size is not None and Size.of(img_size).oblong and "square" in str(error):
            square = f"--img-size {Size.of(img_size).typed} is no square, and {address} takes squares only"
            raise ConfigError(f"{square}: give one side, or another --model.") from error
        raise loading.explain(address, error) from error
    if drop_rate and not drops_out(model, drop_rate):
        raise no_dropout
    if num_classes is not None and model.num_classes != num_classes:
        model.reset_classifier(num_classes)
    return model


def drops_out(model: nn.Module, rate: float) -> bool:
    """Tell whether ``rate`` has arrived anywhere: in a dropout layer, or as the attribute that timm's forward reads."""
    return any(
        rate in (getattr(module, "drop_rate", None), module.p if isinstance(module, nn.Dropout) else None)
        for module in model.modules()
    )
