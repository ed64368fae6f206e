"""Trained weights: found on the Hub or in a folder, read from safetensors alone, and loaded with checks."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub import errors as refused
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from botzoo.errors import BotzooError, CheckpointError, ModelError, NetworkError
from botzoo.models.foreign import meta_network, read_config, read_file, read_shapes, refuse_pickle
from botzoo.models.layers import head_names
from botzoo.models.pretrained import EMBEDDED, KeyReport, compare_keys, is_network_error, work_offline
from botzoo.util.cache import cached_file
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
        folder = Path(place).expanduser()
        wanted = ("config.json", "model.safetensors") if weights else ("config.json",)
        missing = [name for name in wanted if not (folder / name).is_file()]
        if missing == ["model.safetensors"]:  # timm would look for a pickle next
            raise refuse_pickle(str(folder), [path.name for path in folder.iterdir()])
        if missing:
            raise CheckpointError(
                f"There is no model in {folder} (no {' and no '.join(missing)}): give a folder with config.json and "
                "model.safetensors in it, such as the folder model of a finished run."
            )
        return folder
    if kind != "hf-hub":
        raise ModelError(f"{address!r} is of no known kind: give a name, hf-hub:owner/name or local-dir:PATH.")
    hub_id, _, revision = place.partition("@")
    if ".." in revision or not re.fullmatch(r"[\w./-]*", revision):
        raise ModelError(
            f"{address!r} names no revision of a repository: give a branch, a tag or a commit behind the @."
        )
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


def check_foreign(folder: Path, *, weights: bool) -> None:
    """Raise CheckpointError unless config.json and the shapes of the weights, if they are there, make a sound network."""
    config, file = read_config(folder / "config.json"), folder / "model.safetensors"
    meta_network(config, read_shapes(file) if weights or file.is_file() else None, str(folder))


def hub_id_of(address: str) -> str | None:
    """Return the repository that the weights of ``address`` come from, None where it is no repository of the Hub."""
    if address.startswith("hf-hub:"):
        return address.removeprefix("hf-hub:").split("@")[0]
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
            HfApi().model_info(hub_id, timeout=3 if cached else 10)
    except refused.HfHubHTTPError:  # it answers; what it has against us the request for the weights will say
        pass
    except Exception as error:
        constants.HF_HUB_OFFLINE = is_network_error(error)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def explain(address: str, error: Exception) -> BotzooError:
    """Return ours for an error of timm, safetensors or the Hub's client."""
    if refusal := explain_refusal(address, error):
        return refusal
    if isinstance(error, BotzooError):
        return error
    if isinstance(error, refused.EntryNotFoundError) and not isinstance(error, refused.LocalEntryNotFoundError):
        hub_id, _, revision = address.removeprefix("hf-hub:").partition("@")
        try:  # a file is missing: the reader wants to know what is there in its place
            files = HfApi().list_repo_files(hub_id, revision=revision or None)
        except Exception:
            return CheckpointError(f"{address} has no model in it that timm can load: {brief(error)}.")
        if "config.json" not in files:
            return CheckpointError(f"There is no model in {address} (no config.json): give one that timm can load.")
        return refuse_pickle(address, files)
    if is_network_error(error):
        cached = ", ".join(name for name in work_offline() if name != EMBEDDED)
        return NetworkError(
            f"The weights of {address} are not cached and the Hub cannot be reached: connect and try again, or "
            "use what works without a network: --model resnet10d_bot, --pretrained FILE.safetensors, or --scratch"
            f"{f'; cached are {cached}' if cached else ''}.",
            unreachable=True,
        )
    if isinstance(error, SafetensorError):
        return CheckpointError(f"The weights of {address} are damaged ({brief(error)}): fetch or copy them again.")
    return CheckpointError(f"{address} cannot be created: {brief(error)}.")


def explain_refusal(address: str, error: Exception) -> BotzooError | None:
    """Return ours where the Hub does not show ``address`` to who asks, else None."""
    if isinstance(error, refused.GatedRepoError):
        return NetworkError(f"{address} is gated: accept its terms on its page on the Hub, then run `hf auth login`.")
    if isinstance(error, (refused.RepositoryNotFoundError, refused.RevisionNotFoundError)):
        return ModelError(f"There is no model {address} on the Hub, or it is private: log in with `hf auth login`.")
    return None


@dataclass(frozen=True)
class _Weights:
    """Weights from elsewhere; ``cfg`` is their entry in timm's schema, empty for a bare file."""

    source: str
    tensors: dict[str, Tensor]
    cfg: dict[str, Any]
    hub_id: str | None = None


def read_weights(source: str) -> _Weights:
    """Read ``hf-hub:owner/name``, ``local-dir:PATH`` or a safetensors file."""
    kind, colon, place = source.partition(":")
    if kind in ("hf-hub", "local-dir"):
        folder = model_folder(source)
        config = read_config(folder / "config.json")
        cfg = dict(config.get("pretrained_cfg") or config)
        hub_id = place.partition("@")[0] if kind == "hf-hub" else None
        return _Weights(source, read_file(folder / "model.safetensors", load_file), cfg, hub_id)
    if colon and not source.endswith(".safetensors"):
        raise ModelError(
            f"--pretrained {source!r} is of no known kind: give a tag, hf-hub:owner/name, local-dir:PATH or a "
            ".safetensors file."
        )
    return _Weights(source, read_file(Path(source).expanduser(), load_file), {})


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
