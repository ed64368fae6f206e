"""What the card of a data set names as its files: checked before the library datasets follows it anywhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botzoo.sources.files import MAX_TEXT, inside, own_folders, read_file, read_text

NAMES = ("README.md", ".huggingface.yaml")
"""Files that the library takes the names of others from."""

_ARCHIVES = re.compile(r"(zip|tar|gzip|bz2|lz4|xz|zstd)://.*")


def check_card(source: str) -> None:
    """Raise DataError where the card of a folder or of a data set on the Hub names an address, or what is in neither."""
    folder = Path(source)
    folders = own_folders(folder) if folder.is_dir() else []
    for text in _local(folder) if folders else _of_hub(source):
        for pattern in sorted(set(_patterns(text))):
            *archives, last = pattern.split("::")
            if not all(map(_ARCHIVES.fullmatch, archives)):
                last = pattern
            own = last.lower().startswith((f"hf://datasets/{source}@".lower(), f"hf://datasets/{source}/".lower()))
            if ".." in last.split("/") or not (own or _is_path(last)) or Path(last).is_absolute():
                inside(last, folders if _is_path(last) else [], f"The card of {source}")


def _local(folder: Path) -> Iterator[str]:
    for name in NAMES:
        if (folder / name).exists():
            yield _as_card(name, read_text(folder / name))


def _of_hub(source: str) -> Iterator[str]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    for name in NAMES:
        try:
            file = hf_hub_download(source, name, repo_type="dataset")
        except (HfHubHTTPError, OSError):  # there is none; where the Hub does not answer, the library will say so
            continue
        yield _as_card(name, read_file(Path(file), MAX_TEXT).decode("utf-8", "replace"))


def _as_card(name: str, text: str) -> str:
    return text if name.endswith(".md") else f"---\n{text}\n---\n"


def _patterns(text: str) -> Iterator[str]:
    """Yield the files that a card names, read as the library reads it."""
    from huggingface_hub import DatasetCard

    configs: Any = DatasetCard(text).data.get("configs")
    for config in configs if isinstance(configs, list) else []:
        if isinstance(config, dict):
            yield from _texts([config.get("data_files"), config.get("data_dir")], set())


def _texts(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield every text in lists and groups, each of which is looked into once: nine lines of YAML can name a billion."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict) and id(value) not in seen:
        seen.add(id(value))
        for inner in value if isinstance(value, list) else value.values():
            yield from _texts(inner, seen)


def _is_path(text: str) -> bool:
    """Tell whether a text is no address: the library takes one for it by its first letters, even without slashes."""
    return not urlsplit(text).scheme and "::" not in text
