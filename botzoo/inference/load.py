"""Trained networks by their name, from a folder or from the Hub, with all that their answers need."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import timm
from timm.data import ImageNetInfo, infer_imagenet_subset

from botzoo.errors import BotzooError, CheckpointError, ModelError, NetworkError, printable
from botzoo.inference.predict import Model
from botzoo.models.create import create_model
from botzoo.models.dense.folder import read_dense_folder
from botzoo.models.folder import config_sha256
from botzoo.models.foreign import decoding_in, read_config, temperature_in, threshold_in
from botzoo.models.loading import hub_id_of, model_folder
from botzoo.models.pretrained import WEIGHTS, work_offline
from botzoo.models.unlike import beside
from botzoo.tasks.find import task_by_type, task_named
from botzoo.util.cache import cached_file
from botzoo.util.environment import user_path
from botzoo.util.files import parse_json, read_sealed
from botzoo.util.hub import the_hub
from botzoo.util.outgoing import plain

log = logging.getLogger("botzoo")


class HasModelFolder(Protocol):  # such as a finished run
    @property
    def model_folder(self) -> Path: ...


def load(what: str | os.PathLike[str] | HasModelFolder) -> Model:
    """Open a trained network.

    Args:
        what: the folder of a finished run or of a model, a name or name.tag of botzoo or timm, ``hf-hub:owner/name``,
            ``local-dir:PATH``, or a run that has just finished.

    Raises:
        ModelError: there is no such model, it has no trained weights, or it is no classifier.
        CheckpointError: the weights cannot be read or do not fit.
        NetworkError: the weights are on the Hub, which cannot be reached; the message says what works without it.
    """
    where = getattr(what, "model_folder", what)
    if not isinstance(where, str | os.PathLike) or not str(where):
        ways = "the folder of a run or of a model, a name (botzoo list), or hf-hub:owner/name"
        raise ModelError(f"{printable(repr(where), 60)} is no model: give {ways}.")
    name = str(where)
    address = address_of(name)
    if (dense := dense_folder(name, address)) is not None:
        _warn_of_edits(dense)
        found = read_dense_folder(dense)
        names = tuple(map(plain, found.class_names))
        return Model(name, found.module, found.preprocessing, names, task_named(found.task))
    try:
        with advice_offline(name):
            network = create_model(address, None)
    except BotzooError as error:
        if isinstance(error, NetworkError) or not timm.is_model(address) or timm.is_model_pretrained(address):
            raise
        raise ModelError(
            f"There are no trained weights for {name}: train it first (botzoo train --model {name}) and give the "
            "folder of that run, or take a network that has them (botzoo list)."
        ) from error
    classes = getattr(network.model, "num_classes", 0)
    if not isinstance(classes, int) or classes < 1:
        raise ModelError(f"{name} has no classifier: give a network that was trained to name what it sees.")
    cfg: dict[str, Any] = network.model.pretrained_cfg  # type: ignore[assignment]
    names = label_names(cfg, classes)
    # timm keeps only its own part of a config.json, and as "file" the folder that it read
    folder = Path(cfg["file"]) if ":" in address else None
    config = read_config(folder / "config.json") if folder is not None else {}
    if folder is not None:
        _warn_of_edits(folder)
    weights = WEIGHTS.get(f"{cfg['architecture']}.{cfg.get('tag')}") if ":" not in address else None
    task = task_by_type(config.get("problem_type"))
    temperature = weights.temperature if weights is not None else temperature_in(config)
    decoding = replace(decoding_in(config), channels=network.preprocessing.channels)
    prepared = replace(network.preprocessing, decoding=decoding)
    unlike = beside(folder, network.model) if folder is not None else None
    return Model(name, network.model.eval(), prepared, names, task, temperature, threshold_in(config), unlike)


def dense_folder(name: str, address: str) -> Path | None:
    """Return the folder of a network for boxes or masks, fetched where it is on the Hub; None of any other network.

    Args:
        name: as it was asked for.
        address: of it, as ``address_of`` has it.

    Raises:
        BotzooError: as of ``model_folder``.
    """
    if not address.startswith(("hf-hub:", "local-dir:")):
        return None
    with advice_offline(name):
        config = read_config(model_folder(address, weights=False) / "config.json")
        return model_folder(address) if "task" in config else None


def _warn_of_edits(folder: Path) -> None:
    if is_edited(folder):
        edited = "is not as its run wrote it: answers may not be those that were evaluated; botzoo verify looks at all"
        log.warning("%s %s.", folder / "config.json", edited)


def is_edited(folder: Path) -> bool:
    """Tell whether the config.json of a model folder is another than the run that the folder lies in has recorded."""
    try:
        facts = parse_json(read_sealed(folder.parent / "run.json"))
    except (
        OSError,
        ValueError,
    ):  # there is no run, or it is damaged itself, which is not for the one who asks for answers
        return False
    recorded = facts.get("config_sha256") if isinstance(facts, dict) else None
    return recorded is not None and recorded != config_sha256(folder)


def address_of(name: str) -> str:
    """Return ``name`` as ``create_model`` takes it: the folder of a run or a model becomes ``local-dir:PATH``.

    Raises:
        ModelError: it is a folder without a model, or looks like a repository of the Hub.
        CheckpointError: it is the folder of a run that has not finished.
    """
    folder = user_path(name)
    if ":" in name or timm.is_model(name):
        return name
    for place in (folder / "model", folder):
        if (place / "config.json").is_file():
            return f"local-dir:{place}"
    if (folder / "config.yaml").is_file():
        raise CheckpointError(f"The run in {name} has not finished: go on with it by --resume {name}.")
    if folder.is_dir():
        return f"local-dir:{folder}"
    if "/" in name and not name.startswith((".", "/", "~")):
        raise ModelError(f"There is no folder {name}: for a repository of the Hub give hf-hub:{name}.")
    return name


def to_fetch(name: str) -> str | None:
    """Return the repository on the Hub that the weights of ``name`` have to come from, None where they are here."""
    address = address_of(name)
    if ":" not in address and not timm.is_model_pretrained(address):
        return None
    hub_id, revision = hub_id_of(address), address.partition("@")[2] or None
    return hub_id if hub_id is not None and cached_file(hub_id, revision=revision) is None else None


@contextmanager
def advice_offline(name: str, *, listed: bool = True) -> Iterator[None]:
    """Advise those who want an answer, not a training run, where ``name`` is not cached and the Hub cannot be reached.

    Weights of our table are named too where they are ``listed``.
    """
    try:
        yield
    except NetworkError as error:
        if not error.unreachable:
            raise
        ours = f"{', '.join(work_offline())}, and " if listed else ""
        without = f"Without a network there are {ours}any model folder or finished run on this machine."
        missing = f"{name} is not cached and {the_hub()} cannot be reached: connect and try again. {without}"
        raise NetworkError(missing, unreachable=True) from error


def label_names(cfg: Mapping[str, Any], classes: int) -> tuple[str, ...]:
    """Return the names of ``classes`` classes: those of the weights, or ImageNet's for timm's own, or "class 7"."""
    names = cfg.get("label_names")
    if isinstance(names, dict):
        names = [names.get(str(k), names.get(k, f"class {k}")) for k in range(classes)]
    if isinstance(names, list | tuple) and len(names) == classes:
        described = cfg.get("label_descriptions") or {}
        return tuple(plain(str(described.get(name, name))) for name in names)
    # timm's tags end in the name of ImageNet or a part of it, where the weights know it: gluon_in1k, augreg_in21k
    imagenet = re.search(r"(^|_)(ft_)?in(1k|12k|21k|22k)(_\d+)?$", str(cfg.get("tag") or ""))
    subset = infer_imagenet_subset({"num_classes": classes}) if imagenet else None
    if subset is None:
        return tuple(f"class {k}" for k in range(classes))
    return tuple(ImageNetInfo(subset).label_descriptions())
