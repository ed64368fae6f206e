"""Data sets on the Hub."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from botzoo.errors import DataError, ModelError, NetworkError, did_you_mean
from botzoo.sources.base import ImageData, Source, SourceOptions, Split
from botzoo.sources.tables import as_splits, load_dataset, open_tables
from botzoo.util.hub import gated, reading, refusal, the_hub
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import brief

T = TypeVar("T")

HUB_NAMES = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "food101": "ethz/food101",
    "beans": "AI-Lab-Makerere/beans",
    "imagenet-1k": "ILSVRC/imagenet-1k",
    "tiny-imagenet": "zh-plus/tiny-imagenet",
    "oxford-iiit-pet": "timm/oxford-iiit-pet",
    "imagenette": "johnowhitaker/imagenette2-320",
}
"""Short names of well-known data sets and their ids on the Hub."""

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")

LABEL_COLUMNS = {"uoft-cs/cifar100": "fine_label", "timm/oxford-iiit-pet": "label"}
"""The label meant where a data set on the Hub has several."""


class Hub(Source):
    """Data sets on the Hub, by id or by a short name; what is there or looks like a path comes first."""

    def recognises(self, name: str, path: Path) -> bool:
        is_path = path.exists() or name.startswith((".", "/", "~"))
        return not is_path and (name in HUB_NAMES or HUB_ID.fullmatch(name) is not None)

    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
        from huggingface_hub.constants import HF_HUB_CACHE
        from huggingface_hub.file_download import repo_folder_name

        load = partial(load_dataset, bars=sys.stderr.isatty())
        hub_id, license, loaded = from_hub(name, HUB_NAMES.get(name, name), load)
        folders = [Path(HF_HUB_CACHE, repo_folder_name(repo_id=hub_id, repo_type="dataset")), *loaded.folders]
        options = replace(options, label_column=options.label_column or LABEL_COLUMNS.get(hub_id))
        tables, notes = as_splits(name, loaded.tables, options)
        data = open_tables(name, tables, options, folders)
        return replace(data, hub_id=hub_id, license=license, notes=(*data.notes, *notes))


def from_hub(name: str, hub_id: str, load: Callable[..., T]) -> tuple[str, str | None, T]:
    """Return the id and licence of a data set on the Hub and what ``load`` makes of it, from the cache where need be.

    Raises:
        DataError: it does not exist or cannot be read.
        NetworkError: it is not cached, and the Hub cannot be reached or refuses it.
    """
    import datasets
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    hub_id, _, configuration = hub_id.partition(":")
    hindrance, license = None, None  # what is cached still works where the Hub does not help, but without its licence
    try:
        info = HfApi().dataset_info(hub_id, timeout=10)  # seconds; then what is cached has to do
        license = info.card_data.get("license") if info.card_data else None
    except Exception as error:  # every HTTP client has connection errors of its own
        refused = refusal(hub_id, error, "data set")
        if isinstance(refused, ModelError) or isinstance(error, HFValidationError):
            missing = f"There is no data set {in_quotes(hub_id)} on {the_hub()}, and no folder of that name here"
            private = "If it is private, log in with `hf auth login`"
            raise DataError(f"{missing}.{did_you_mean(name, HUB_NAMES)} {private}.") from error
        unreached = (
            f"No folder here has that name, and {the_hub()} cannot be reached: connect and try again, or use --dataset "
            "digits, or a folder of images."
        )
        hindrance = f"The data set {hub_id} is not cached. {refused or unreached}"
    try:
        with _cache_only(hindrance is not None), reading(hub_id):
            loaded = load(hub_id, configuration=configuration or None)
    except (OSError, DataError) as error:
        if hindrance is None and isinstance(error, DataError):
            raise
        said = f"The data set {hub_id} cannot be downloaded: {brief(error)}. Try again later."
        if isinstance(error, datasets.exceptions.DatasetNotFoundError):  # the Hub has just told of it
            said = gated(hub_id)
        raise NetworkError(hindrance or said) from error
    return hub_id, ", ".join(license) if isinstance(license, list) else license, loaded


@contextmanager
def _cache_only(offline: bool) -> Iterator[None]:
    """Let the libraries look into their caches only, at once, instead of retrying for half a minute, if ``offline``."""
    import datasets
    import huggingface_hub.constants as hub

    before = datasets.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE
    if offline:
        datasets.config.HF_HUB_OFFLINE = hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE = before
