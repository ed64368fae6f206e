"""The datasets library, called without its progress bars and with errors of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botzoo.errors import DataError
from botzoo.util.text import brief


def load_dataset(
    source: str,
    data_files: dict[str, list[str]] | None = None,
    shown: str | None = None,
    *,
    configuration: str | None = None,
    bars: bool = False,
) -> Any:
    """Return ``datasets.load_dataset``'s answer, without progress bars unless ``bars``."""
    from datasets.load import load_dataset

    with library_errors(shown or source, bars):
        return load_dataset(source, configuration, data_files=data_files)


def load_saved(path: Path) -> Any:
    """Return what ``datasets.save_to_disk`` wrote into a folder."""
    from datasets.load import load_from_disk

    with library_errors(str(path), bars=False):
        return load_from_disk(str(path))


@contextmanager
def library_errors(shown: str, bars: bool = True) -> Iterator[None]:
    """Raise what the library raises as ``DataError``, unless network or access are to blame; no ``bars`` of progress."""
    from datasets.exceptions import DatasetNotFoundError
    from datasets.utils.tqdm import disable_progress_bars

    if not bars:
        disable_progress_bars()
    try:
        yield
    except (ConnectionError, DatasetNotFoundError):
        raise
    except Exception as error:  # the library passes on whatever a file, its cache or the disk leads to
        cause = error.__cause__ or error
        hint = " Give one as owner/name:CONFIGURATION." if "Config name is missing" in str(error) else ""
        raise DataError(f"The data set {shown} cannot be read: {brief(cause)}.{hint}") from error


@contextmanager
def cache_only(offline: bool) -> Iterator[None]:
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
