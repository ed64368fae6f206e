"""The network of a run: created by timm, filled with the weights asked for, and written so that timm loads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_IMODE
from typing import Any

import timm
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.data import resolve_model_data_config
from timm.models import resolve_model_input_args
from torch import Tensor, nn

from botzoo.errors import BotzooError, CheckpointError, ConfigError, ModelError, NetworkError, did_you_mean, printable
from botzoo.hub_cache import cached_file
from botzoo.models.architecture import timm_architecture
from botzoo.models.foreign import meta_network, read_config, read_shapes, refuse_pickle
from botzoo.models.pretrained import EMBEDDED, KeyReport, compare_keys, is_network_error, work_offline
from botzoo.training.data import Preprocessing
from botzoo.tricks.xavier_init import xavier_init as draw_after_xavier
from botzoo.tricks.zero_gamma import zero_gamma as set_last_gamma


@dataclass(frozen=True)
class Start:
    """What a network started from.

    Attributes:
        source: for the reader, such as "resnet50d.gluon_in1k" or "random weights".
        report: how the weights met the network, None for random weights.
        base_model: Hub id of the weights, for the card, if they have one.
        license: licence of the weights, if known.
    """

    source: str
    report: KeyReport | None = None
    base_model: str | None = None
    license: str | None = None


def create_model(
    name: str,
    num_classes: int | None,
    *,
    pretrained: str | None = None,
    scratch: bool = False,
    img_size: int | None = None,
    zero_gamma: bool = True,
    xavier_init: bool = False,
    drop_rate: float = 0.0,
) -> tuple[nn.Module, Preprocessing, Start]:
    """Create a timm network with a new classifier for ``num_classes`` classes.

    The classifier of the weights is kept where it has as many classes.

    Args:
        name: a name, name.tag, ``hf-hub:owner/name`` or ``local-dir:PATH``.
        num_classes: K >= 2; None for as many as the weights have.
        pretrained: a tag, ``hf-hub:owner/name``, ``local-dir:PATH`` or a safetensors file; None for the name's own.
        scratch: start from random weights; ``xavier_init`` and ``zero_gamma`` then say how.
        img_size: side of the input in pixels, None for the weights' own.
        drop_rate: share of the classifier's inputs that dropout sets to 0 in training, in [0, 1); 0 leaves it to timm.

    Returns:
        The network, how its input is prepared, and what it started from.

    Raises:
        ConfigError: a ``drop_rate`` for a network without such dropout.
        ModelError: timm has no such model or tag, or it has no weights.
        CheckpointError: the weights cannot be read, or none of them fits.
        NetworkError: the weights are on the Hub, which cannot be reached.
    """
    address, weights_from = _address(name, pretrained, scratch)
    weights = _read_weights(weights_from) if weights_from is not None else None
    model = _timm_create(address, not scratch and weights is None, num_classes, img_size, drop_rate)
    if (channels := getattr(model, "in_chans", 3)) != 3:
        raise ModelError(f"{address} takes images of {channels} channel(s): give a model for RGB images, of 3.")
    if scratch:
        if xavier_init:
            draw_after_xavier(model)
        set_last_gamma(model, 0.0 if zero_gamma else 1.0)
        start = Start("random weights")
    elif weights is not None:
        report = load_what_fits(model, weights.tensors, weights.source)
        _adopt_preprocessing(model, weights.cfg)
        start = Start(weights.source, report, weights.hub_id, weights.cfg.get("license"))
    else:
        start = _own_start(model, address)
    return model, _preprocessing(model, img_size), start


def _address(name: str, pretrained: str | None, scratch: bool) -> tuple[str, str | None]:
    """Return what timm is to create and, where the weights come from elsewhere, from where."""
    if name.startswith("local-dir:"):
        name = f"local-dir:{Path(name.removeprefix('local-dir:')).expanduser()}"
    if pretrained is None or scratch:
        return name, None
    if ":" in pretrained or pretrained.endswith(".safetensors"):
        return name, pretrained
    if Path(pretrained).expanduser().exists():
        raise ModelError(
            f"--pretrained {pretrained} is a path: give local-dir:{pretrained} for a model folder, or a .safetensors file."
        )
    if ":" in name:
        raise ModelError(f"--pretrained {pretrained} is a tag, and {name} has no tags: leave it out.")
    base = name.split(".", 1)[0]
    _check_name(f"{base}.{pretrained}", True)
    return f"{base}.{pretrained}", None


def _check_name(name: str, pretrained: bool) -> None:
    """Raise ModelError unless timm has the model, its tag if ``name`` has one, and weights where wanted."""
    if not timm.is_model(name):
        folder = f" It is a folder: give local-dir:{name}." if Path(name).is_dir() else ""
        raise ModelError(
            f"timm has no model {name!r}.{did_you_mean(name.split('.', 1)[0], timm.list_models())}{folder} "
            "Ours: timm.list_models('*_bot'); or give hf-hub:owner/name or local-dir:PATH."
        )
    base, _, tag = name.partition(".")
    tags = [tagged.split(".", 1)[1] for tagged in timm.list_models(f"{base}.*", pretrained=True)]
    if tag and tag not in tags:
        raise ModelError(
            f"{base} has no weights with the tag {tag!r}.{did_you_mean(tag, tags)} "
            f"Its tags: {', '.join(tags) or 'none'}. "
            "Weights from elsewhere: --pretrained hf-hub:owner/name, local-dir:PATH or a .safetensors file."
        )
    if pretrained and not tags:
        raise ModelError(
            f"There are no pretrained weights for {base}: start from nothing with --scratch, or give some with "
            "--pretrained."
        )


def _timm_create(
    address: str, pretrained: bool, num_classes: int | None, img_size: int | None, drop_rate: float
) -> Any:
    is_name = ":" not in address
    if is_name:
        _check_name(address, pretrained)
    # timm loads weights from a folder or repository strictly only with as many classes as they have
    kwargs: dict[str, Any] = {"num_classes": num_classes} if (is_name or not pretrained) and num_classes else {}
    kwargs |= {"drop_rate": drop_rate} if drop_rate else {}
    try:
        hub_id = hub_id_of(address)
        place = address if is_name else f"local-dir:{model_folder(address, weights=pretrained)}"
        if not is_name:
            _check_foreign(Path(place.removeprefix("local-dir:")), weights=pretrained)
        with _cache_if_unreachable(hub_id if pretrained and is_name else None, listed=True):
            if pretrained and is_name and hub_id is not None:  # without it timm would look for a pickle next
                hf_hub_download(hub_id, "model.safetensors")
            if img_size is not None and "img_size" in resolve_model_input_args(place, {"img_size": img_size}):
                kwargs["img_size"] = img_size
            model: Any = timm.create_model(place, pretrained=pretrained, **kwargs)
    except BotzooError:
        raise
    except Exception as error:  # a damaged folder or a failing network can end in almost any of them
        if isinstance(error, TypeError) and "'drop_rate'" in str(error):
            raise _no_dropout(address, drop_rate) from error
        raise _explain(address, error) from error
    if drop_rate and not drops_out(model, drop_rate):
        raise _no_dropout(address, drop_rate)
    if num_classes is not None and model.num_classes != num_classes:
        model.reset_classifier(num_classes)
    return model


def model_folder(address: str, *, weights: bool = True, extras: tuple[str, ...] = ()) -> Path:
    """Return the folder with config.json and, with ``weights``, model.safetensors; of a repository, its snapshot.

    Args:
        address: ``local-dir:PATH`` or ``hf-hub:owner/name``, with ``@revision`` behind it where one is meant.
        weights: whether the weights are wanted too.
        extras: names of files that are fetched where there are such.

    Raises:
        ModelError: it is of no known kind, or there is no such repository.
        CheckpointError: a file is missing; where there is a pickle instead, it is refused.
        NetworkError: it is not in the cache and the Hub cannot be reached, or refuses.
    """
    kind, _, place = address.partition(":")
    if kind == "local-dir":
        folder = Path(place).expanduser()
        _check_folder(folder, weights)
        return folder
    if kind != "hf-hub":
        raise ModelError(f"{address!r} is of no known kind: give a name, hf-hub:owner/name or local-dir:PATH.")
    hub_id, _, revision = place.partition("@")
    if ".." in revision or not re.fullmatch(r"[\w./-]*", revision):
        raise ModelError(
            f"{address!r} names no revision of a repository: give a branch, a tag or a commit behind the @."
        )
    try:
        with _cache_if_unreachable(hub_id, revision or None):
            config = Path(hf_hub_download(hub_id, "config.json", revision=revision or None))
            if weights:  # of the same commit, should the repository just move
                hf_hub_download(hub_id, "model.safetensors", revision=config.parent.name)
            for name in extras:
                with suppress(EntryNotFoundError):
                    hf_hub_download(hub_id, name, revision=config.parent.name)
    except Exception as error:
        raise _explain(address, error) from error
    return config.parent


def _check_foreign(folder: Path, *, weights: bool) -> None:
    """Raise CheckpointError unless config.json and the shapes of the weights, if they are there, make a sound network."""
    config, file = read_config(folder / "config.json"), folder / "model.safetensors"
    meta_network(config, read_shapes(file) if weights or file.is_file() else None, str(folder))


def drops_out(model: nn.Module, rate: float) -> bool:
    """Tell whether ``rate`` has arrived anywhere: in a dropout layer, or as the attribute that timm's forward reads."""
    return any(
        rate in (getattr(module, "drop_rate", None), module.p if isinstance(module, nn.Dropout) else None)
        for module in model.modules()
    )


def _no_dropout(address: str, rate: float) -> ConfigError:
    return ConfigError(f"--drop-rate is {rate:g} and {address} has no dropout: leave it out, or take another --model.")


def hub_id_of(address: str) -> str | None:
    """Return the repository that the weights of ``address`` come from, None where it is no repository of the Hub."""
    if address.startswith("hf-hub:"):
        return address.removeprefix("hf-hub:").split("@")[0]
    cfg = timm.get_pretrained_cfg(address) if ":" not in address else None
    return cfg.hf_hub_id if cfg is not None else None


@contextmanager
def _cache_if_unreachable(hub_id: str | None, revision: str | None = None, *, listed: bool = False) -> Iterator[None]:
    """Let the Hub's client look into its cache only, at once, where it would first retry for most of a minute.

    Weights that are ``listed`` under a name and a tag stay what they are, so where they are cached nobody is asked.
    """
    before = constants.HF_HUB_OFFLINE
    cached = hub_id is not None and cached_file(hub_id, revision=revision) is not None
    try:
        if cached and listed:
            constants.HF_HUB_OFFLINE = True
        elif hub_id is not None and not before:
            HfApi().model_info(hub_id, timeout=3 if cached else 10)
    except HfHubHTTPError:  # it answers; what it has against us the request for the weights will say
        pass
    except Exception as error:
        constants.HF_HUB_OFFLINE = is_network_error(error)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _check_folder(folder: Path, weights: bool = True) -> None:
    """Raise CheckpointError unless ``folder`` holds weights as safetensors; timm would look for a pickle next."""
    wanted = ("config.json", "model.safetensors") if weights else ("config.json",)
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing == ["model.safetensors"]:
        raise refuse_pickle(str(folder), [path.name for path in folder.iterdir()])
    if missing:
        raise CheckpointError(
            f"There is no model in {folder} (no {' and no '.join(missing)}): give a folder with config.json and "
            "model.safetensors in it, such as the folder model of a finished run."
        )


def _explain(address: str, error: Exception) -> BotzooError:
    """Return ours for an error of timm, safetensors or the Hub's client."""
    if refusal := explain_refusal(address, error):
        return refusal
    if isinstance(error, BotzooError):
        return error
    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        return _without_safetensors(address, error)
    if is_network_error(error):
        return NetworkError(
            f"The weights of {address} are not cached and the Hub cannot be reached: connect and try again, or "
            "use what works without a network: --model resnet10d_bot, --pretrained FILE.safetensors, or --scratch"
            f"{_cached_in_words()}."
        )
    if isinstance(error, SafetensorError):
        return CheckpointError(f"The weights of {address} are damaged ({brief(error)}): fetch or copy them again.")
    return CheckpointError(f"{address} cannot be created: {brief(error)}.")


def explain_refusal(address: str, error: Exception) -> BotzooError | None:
    """Return ours where the Hub does not show ``address`` to who asks, else None."""
    if isinstance(error, GatedRepoError):
        return NetworkError(f"{address} is gated: accept its terms on its page on the Hub, then run `hf auth login`.")
    if isinstance(error, (RepositoryNotFoundError, RevisionNotFoundError)):
        return ModelError(f"There is no model {address} on the Hub, or it is private: log in with `hf auth login`.")
    return None


def _cached_in_words() -> str:
    cached = [name for name in work_offline() if name != EMBEDDED]
    return f"; cached are {', '.join(cached)}" if cached else ""


def _without_safetensors(address: str, error: EntryNotFoundError) -> BotzooError:
    """Return the error for a repository that lacks a file; where it has a pickle instead, it says so."""
    hub_id, _, revision = address.removeprefix("hf-hub:").partition("@")
    try:
        files = HfApi().list_repo_files(hub_id, revision=revision or None)
    except Exception:
        return CheckpointError(f"{address} has no model in it that timm can load: {brief(error)}.")
    if "config.json" not in files:
        return CheckpointError(f"There is no model in {address} (no config.json): give one that timm can load.")
    return refuse_pickle(address, files)


def brief(error: Exception, longest: int = 200) -> str:
    """Return the error's text on one line."""
    return printable(str(error), longest).rstrip(".") or type(error).__name__


@dataclass(frozen=True)
class _Weights:
    """Weights from elsewhere; ``cfg`` is their entry in timm's schema, empty for a bare file."""

    source: str
    tensors: dict[str, Tensor]
    cfg: dict[str, Any]
    hub_id: str | None = None


def _read_weights(source: str) -> _Weights:
    """Read ``hf-hub:owner/name``, ``local-dir:PATH`` or a safetensors file."""
    kind, colon, place = source.partition(":")
    if kind in ("hf-hub", "local-dir"):
        folder = model_folder(source)
        config = read_config(folder / "config.json")
        cfg = dict(config.get("pretrained_cfg") or config)
        hub_id = place.partition("@")[0] if kind == "hf-hub" else None
        return _Weights(source, read_safetensors(folder / "model.safetensors"), cfg, hub_id)
    if colon and not source.endswith(".safetensors"):
        raise ModelError(
            f"--pretrained {source!r} is of no known kind: give a tag, hf-hub:owner/name, local-dir:PATH or a "
            ".safetensors file."
        )
    return _Weights(source, read_safetensors(Path(source).expanduser()), {})


def _adopt_preprocessing(model: Any, cfg: Mapping[str, Any]) -> None:
    """Prepare images as for the weights that were loaded, at their size unless the network fixes its own."""
    keys = ["mean", "std", "crop_pct", "crop_mode", "interpolation"]
    keys += [] if model.pretrained_cfg.get("fixed_input_size") else ["input_size"]
    model.pretrained_cfg.update({key: cfg[key] for key in keys if cfg.get(key) is not None})


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        CheckpointError: there is no such file, or it is truncated, damaged or something else.
    """
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}: check the path.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a complete safetensors file ({brief(error)}): fetch or copy it again."
        ) from error


def load_what_fits(model: nn.Module, state_dict: Mapping[str, Tensor], source: str) -> KeyReport:
    """Load the tensors of ``state_dict`` whose name and shape are the network's, in place, and report on all of them.

    Raises:
        CheckpointError: less than half of the tensors besides the classifier fit, so it was made for another network.
    """
    report = compare_keys(model, state_dict)
    backbone = set(model.state_dict()) - set(head_names(model))
    fits = len(backbone & set(report.loaded))
    if 2 * fits < len(backbone):
        first = next(iter(state_dict), "nothing")
        raise CheckpointError(
            f"{source} was made for another network: {fits} of {len(backbone)} tensors fit (it starts with {first!r}, this "
            f"model with {next(iter(model.state_dict()))!r}). Give the --model that it was made for."
        )
    model.load_state_dict({name: state_dict[name] for name in report.loaded}, strict=False)
    return report


def _own_start(model: Any, address: str) -> Start:
    """Describe weights that timm loaded and checked itself: the classifier is new where its size differs."""
    cfg: dict[str, Any] = model.pretrained_cfg
    new = set(head_names(model)) if cfg.get("num_classes") != model.num_classes else set()
    names = tuple(model.state_dict())
    report = KeyReport(tuple(n for n in names if n not in new), (), (), tuple(n for n in names if n in new))
    source = address if ":" in address else f"{cfg['architecture']}.{cfg['tag']}"
    return Start(source, report, hub_id_of(source), cfg.get("license"))


def head_names(model: nn.Module) -> list[str]:
    """Return the names of the classifier's parameters."""
    classifier = model.get_classifier()  # type: ignore[operator]
    parts = classifier if isinstance(classifier, tuple) else (classifier,)
    ours = {id(p) for part in parts if isinstance(part, nn.Module) for p in part.parameters()}
    return [name for name, parameter in model.named_parameters() if id(parameter) in ours]


def _preprocessing(model: nn.Module, img_size: int | None) -> Preprocessing:
    cfg = resolve_model_data_config(model)
    size = img_size or int(cfg["input_size"][-1])
    interpolation = cfg["interpolation"] if cfg["interpolation"] in ("bilinear", "bicubic") else "bicubic"
    return Preprocessing(
        size,
        tuple(cfg["mean"]),
        tuple(cfg["std"]),
        float(cfg["crop_pct"]),
        interpolation,
        cfg.get("crop_mode") or "center",
        bool(model.pretrained_cfg.get("fixed_input_size", False)),  # type: ignore[union-attr, operator]
    )


def write_model_folder(
    folder: Path,
    model: nn.Module,
    preprocessing: Preprocessing,
    class_names: tuple[str, ...],
    *,
    tag: str,
    license: str | None,
    problem_type: str = "single_label_classification",
) -> None:
    """Write ``model.safetensors`` and ``config.json`` so that timm, transformers and the Hub load them as they are.

    Networks that timm knows under another name are written under that name, so that loading needs no botzoo.

    Args:
        folder: created where it is missing.
        model: a classifier with one output for each of ``class_names``; saved in fp32.
        preprocessing: recorded as input_size, mean, std, crop_pct and interpolation.
        tag: names these weights, as in timm's ``name.tag``.
        license: as on the Hub, such as "apache-2.0"; None leaves the key out.
        problem_type: as transformers names it; "multi_label_classification" where an image may have any number of labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    weights, file = folder / "model.safetensors", folder / "config.json"
    save_file(tensors, weights, metadata={"format": "pt"})
    config = folder_config(model, preprocessing, class_names, tag=tag, license=license)
    if problem_type != "single_label_classification":  # which is what all take for granted
        config["problem_type"] = problem_type
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with suppress(OSError):  # safetensors leaves its file to its owner alone, whatever the umask
        weights.chmod(S_IMODE(file.stat().st_mode))


def folder_config(
    model: nn.Module, preprocessing: Preprocessing, class_names: tuple[str, ...], *, tag: str, license: str | None
) -> dict[str, Any]:
    """Return what goes into config.json."""
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    architecture, model_args = timm_architecture(cfg["architecture"]) or (cfg["architecture"], {})
    p = preprocessing
    same_size = list(cfg.get("input_size", ())) == [3, p.size, p.size]
    pretrained_cfg = {
        "tag": tag,
        "custom_load": False,
        "input_size": [3, p.size, p.size],
        "fixed_input_size": bool(cfg.get("fixed_input_size", False)),
        "interpolation": p.interpolation,
        "crop_pct": p.crop_pct,
        "crop_mode": p.crop_mode,
        "mean": list(p.mean),
        "std": list(p.std),
        "num_classes": len(class_names),
        "pool_size": cfg.get("pool_size") if same_size else None,
        "first_conv": cfg.get("first_conv"),
        "classifier": cfg.get("classifier"),
        "license": license,
    }
    return {
        "architecture": architecture,
        "num_classes": len(class_names),
        "num_features": model.num_features,
        "global_pool": pool if isinstance(pool := getattr(model, "global_pool", None), str) else "avg",
        "label_names": list(class_names),
        "model_args": {**_creation_args(model), **model_args},
        "pretrained_cfg": {key: value for key, value in pretrained_cfg.items() if value is not None},
    }


def _creation_args(model: Any) -> dict[str, Any]:
    """Return the arguments besides the name with which timm created ``model``, without the number of classes and dropout.

    With num_classes among them transformers cannot load the folder, and in every loader the top level has it. Dropout
    belongs to this training: whoever starts from the folder would inherit it unasked.
    """
    args = dict(getattr(model, "_model_args", {}))
    return {key: value for key, value in args.items() if key not in ("num_classes", "drop_rate")}


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters there are and how many of them are trained."""
    every = [p.numel() for p in model.parameters()]
    trained = [p.numel() for p in model.parameters() if p.requires_grad]
    return sum(every), sum(trained)
