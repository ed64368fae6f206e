"""Trained weights: found on the Hub or in a folder, read from safetensors alone, and loaded with checks."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub import errors as refused
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from botzoo.errors import BotzooError, CheckpointError, ModelError, NetworkError
from botzoo.models.foreign import PICKLES, no_model, pickled, read_config, read_file
from botzoo.models.matching import match
from botzoo.models.pretrained import EMBEDDED, KeyReport, work_offline
from botzoo.util.cache import cached_file
from botzoo.util.environment import user_path
from botzoo.util.hub import reading, refusal, the_hub, unanswered
from botzoo.util.text import brief


def model_folder(address: str, *, weights: bool = True, extras: tuple[str, ...] = ()) -> Path:
    """Return the folder with config.json and, with ``weights``, model.safetensors; of a repository, its snapshot.

    Args:
        address: ``local-dir:PATH`` or ``hf-hub:owner/name``, with ``@revision`` behind it where one is meant.
        extras: names of files that are fetched where there are such.

    Raises:
        ModelError: it is of no known kind, or there is no such repository.
        CheckpointError: a file is missing; where there is a pickle instead, it is refused.
        NetworkError: it is not in the cache and the Hub cannot be reached, or refuses.
    """
    kind, _, place = address.partition(":")
    if kind == "local-dir":
        folder = user_path(place)
        wanted = ("config.json", "model.safetensors") if weights else ("config.json",)
        if not all((folder / name).is_file() for name in wanted):  # timm would look for a pickle next
            raise no_model(str(folder), [path.name for path in folder.glob("*") if path.is_file()])
        return folder
    if kind != "hf-hub":
        raise ModelError(f"{address!r} is of no known kind: give a name, hf-hub:owner/name or local-dir:PATH.")
    hub_id, revision = hub_id_of(address), place.partition("@")[2]
    assert hub_id is not None
    # a revision is part of a path in the cache, which it must not leave
    if ".." in revision or not re.fullmatch(r"[\w./-]*", revision):
        raise ModelError(f"{address!r} names no revision: give a branch, a tag or a commit behind the @.")
    try:
        with cache_if_unreachable(hub_id, revision or None):
            config = Path(hf_hub_download(hub_id, "config.json", revision=revision or None))
            if weights:  # of the same commit, should the repository just move
                hf_hub_download(hub_id, "model.safetensors", revision=config.parent.name)
            for name in extras:
                with suppress(refused.EntryNotFoundError):
                    hf_hub_download(hub_id, name, revision=config.parent.name)
    except Exception as error:
        raise explain(address, error) from error
    return config.parent


def hub_id_of(address: str) -> str | None:
    """Return the repository that the weights of ``address`` come from, None where it is no repository of the Hub.

    Raises:
        ModelError: it cannot be the name of one.
    """
    if address.startswith("hf-hub:"):
        hub_id = address.removeprefix("hf-hub:").partition("@")[0]
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", hub_id):  # the Hub's client would quote it, with a password in it
            raise ModelError(f"{address!r} names no repository: give hf-hub:owner/name.")
        return hub_id
    cfg = timm.get_pretrained_cfg(address) if ":" not in address else None
    return cfg.hf_hub_id if cfg is not None else None


@contextmanager
def cache_if_unreachable(hub_id: str | None, revision: str | None = None, *, listed: bool = False) -> Iterator[None]:
    """Let the Hub's client look into its cache only, at once, where it would first retry for most of a minute.

    Weights that are ``listed`` under a name and a tag stay what they are, so where they are cached nobody is asked.
    """
    before = constants.HF_HUB_OFFLINE
    cached = hub_id is not None and cached_file(hub_id, revision=revision) is not None
    try:
        if cached and listed:
            constants.HF_HUB_OFFLINE = True
        elif hub_id is not None and not before:
            HfApi().model_info(hub_id, timeout=3 if cached else 10)  # a slow Hub is not worth the wait for what is here
    except refused.HfHubHTTPError:  # it answers; what it has against us the request for the weights will say
        pass
    except Exception as error:
        constants.HF_HUB_OFFLINE = unanswered(error)
    try:
        with nullcontext() if hub_id is None or constants.HF_HUB_OFFLINE else reading(hub_id):
            yield
    finally:
        constants.HF_HUB_OFFLINE = before


def explain(address: str, error: Exception) -> BotzooError:
    """Return ours for an error of timm, safetensors or the Hub's client."""
    if refused_it := refusal(address, error):
        return refused_it
    if isinstance(error, BotzooError):
        return error
    if isinstance(error, refused.EntryNotFoundError) and not isinstance(error, refused.LocalEntryNotFoundError):
        hub_id, _, revision = address.removeprefix("hf-hub:").partition("@")
        try:  # a file is missing: the reader wants to know what is there in its place
            files = HfApi().list_repo_files(hub_id, revision=revision or None)
        except Exception:
            return CheckpointError(f"{address} has no model in it that timm can load: {brief(error)}.")
        return no_model(address, files)
    if unanswered(error):
        cached = ", ".join(name for name in work_offline() if name != EMBEDDED)
        offline = "--model resnet10d_bot, --pretrained FILE.safetensors, or --scratch"
        offline += f"; cached are {cached}" if cached else ""
        cure = f"connect and try again, or use what works without a network: {offline}"
        what = f"The weights of {address} are not cached and {the_hub()} cannot be reached"
        return NetworkError(f"{what}: {cure}.", unreachable=True)
    if isinstance(error, SafetensorError):
        return CheckpointError(f"The weights of {address} are damaged ({brief(error)}): fetch or copy them again.")
    cure = ", as its config.json has it: fetch or copy the folder again" if ":" in address else ""
    return CheckpointError(f"{address} cannot be created{cure} ({brief(error)}).")


def read_weights(source: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read ``hf-hub:owner/name``, ``local-dir:PATH`` or ``FILE.safetensors``, which may have ``@PREFIX`` behind it.

    Returns:
        The tensors, and their entry in timm's schema, empty for a bare file.
    """
    kind, colon, _ = source.partition(":")
    if kind in ("hf-hub", "local-dir"):
        folder = model_folder(source)
        config = read_config(folder / "config.json")
        entry = {"architecture": config.get("architecture")} | (config.get("pretrained_cfg") or config)
        return read_file(folder / "model.safetensors", load_file), entry
    file, _ = file_and_prefix(source)
    if file.suffix in PICKLES:
        raise pickled(file)
    if colon and file.suffix != ".safetensors":
        kinds = "a tag, hf-hub:owner/name, local-dir:PATH or a .safetensors file"
        raise ModelError(f"--pretrained {source!r} is of no known kind: give {kinds}.")
    return read_file(file, load_file), {}


def file_and_prefix(source: str) -> tuple[Path, str | None]:
    """Return the path in ``FILE.safetensors`` or ``FILE.safetensors@PREFIX``, and the prefix of the names in it, if given."""
    named = re.fullmatch(r"(.+\.safetensors)@([^@/]*)", source)
    if named is None or user_path(source).is_file():
        return user_path(source), None
    return user_path(named[1]), named[2]


def is_file_of_weights(source: str) -> bool:
    """Tell whether ``source`` names a file of weights, which may be of a kind that is refused, and not a tag."""
    file, _ = file_and_prefix(source)
    return file.suffix in (".safetensors", *PICKLES)


def load_what_fits(
    model: nn.Module, state_dict: Mapping[str, Tensor], source: str
) -> tuple[KeyReport, tuple[str, ...]]:
    """Load the tensors of ``state_dict`` that are the network's, in place; return a report on all of them, and notes on it.

    Their names may have a prefix before those of the network; see ``botzoo.models.matching``.

    Raises:
        CheckpointError: less than half of the tensors besides the classifier fit, so it was made for another network; or
            the network is in it more than once.
    """
    _, prefix = file_and_prefix(source)
    found = match(model, state_dict, source, prefix)
    model.load_state_dict({name: found.tensors[name] for name in found.report.loaded}, strict=False)
    return found.report, found.notes
