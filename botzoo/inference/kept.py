"""What is kept on this machine: weights in the Hub's cache, and decoded images; shown, and removed on request.

Of the Hub's cache only what holds a network for timm is looked at: the repositories of our table, timm's own, and those
with a config.json in timm's schema. Everything else in it belongs to other programs and is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from botzoo.errors import ConfigError, did_you_mean
from botzoo.inference.catalogue import entries, in_megabytes
from botzoo.util.cache import cache_folder, cache_limit
from botzoo.util.text import table

CONFIG_BYTES = 16 << 20


@dataclass(frozen=True)
class Kept:
    """Something that is kept.

    Attributes:
        name: repository or file.
        about: our names for the weights, or what else is known.
        size: bytes on the disk.
        path: folder or file.
        revisions: commits of a repository in the cache, none for a file.
    """

    name: str
    about: str
    size: int
    path: Path
    revisions: tuple[str, ...] = ()


def weights_kept() -> list[Kept]:
    """Return the repositories with networks for timm in the Hub's cache, by name."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    ours: dict[str, list[str]] = {}
    for entry in entries():
        if entry.hub_id is not None:
            ours.setdefault(entry.hub_id, []).append(entry.name)
    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return []
    found = [
        Kept(
            repo.repo_id,
            ", ".join(ours.get(repo.repo_id, ())),
            repo.size_on_disk,
            repo.repo_path,
            tuple(revision.commit_hash for revision in repo.revisions),
        )
        for repo in repositories
        if repo.repo_type == "model"
        and repo.revisions
        and (repo.repo_id in ours or repo.repo_id.startswith("timm/") or any(map(_for_timm, _configs(repo.repo_path))))
    ]
    return sorted(found, key=lambda kept: kept.name)


def _configs(repository: Path) -> Iterable[Path]:
    return repository.glob("snapshots/*/config.json")


def _for_timm(config: Path) -> bool:
    """Tell whether a config.json is in timm's schema."""
    try:
        if config.stat().st_size > CONFIG_BYTES:
            return False
        values = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and "architecture" in values


def images_kept() -> list[Kept]:
    """Return the files of decoded images, of their features and of probes of these, those used last first."""
    about = {
        "decoded": "decoded images of one split",
        "features": "features of the images of one split",
        "probes": "what a probe of such features came to",
    }
    files = [path for folder in about for path in (cache_folder() / folder).glob("[!.]*")]
    files.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [Kept(path.stem[:12], about[path.parent.name], path.stat().st_size, path) for path in files]


def matching(weights: list[Kept], wanted: str) -> list[Kept]:
    """Return those of ``weights`` that ``wanted`` names: a name of ours, with or without tag, a repository, or a pattern.

    Raises:
        ConfigError: none of them is.
    """
    patterns = (wanted, f"{wanted}.*")
    names = {kept.name: [kept.name, *kept.about.split(", ")] for kept in weights}
    found = [kept for kept in weights if any(fnmatch(name, p) for name in names[kept.name] for p in patterns)]
    if not found:
        every = [name for of_one in names.values() for name in of_one if name]
        there = f"there are {', '.join(every)}" if every else "no weights are cached"
        raise ConfigError(
            f"--weights {wanted}: nothing of that name is cached.{did_you_mean(wanted, every)} Now {there}."
        )
    return found


def report(weights: list[Kept], images: list[Kept]) -> list[str]:
    """Return the lines that show what is kept."""
    from huggingface_hub import constants

    limit = in_megabytes(cache_limit())
    return [
        *_section(f"weights in {constants.HF_HUB_CACHE}", weights),
        "",
        *_section(
            f"decoded images, features and probes in {cache_folder()} (at most {limit} of each, then the oldest go)",
            images,
        ),
    ]


def _section(title: str, kept: list[Kept]) -> list[str]:
    if not kept:
        return [f"{title}: none"]
    rows = table([(f"  {item.name}", in_megabytes(item.size), item.about) for item in kept], left=(0, 2))
    return [f"{title}: {in_megabytes(sum(item.size for item in kept))}", *rows]


def remove(kept: Iterable[Kept]) -> None:
    """Remove repositories from the Hub's cache with the Hub's own means, and files of decoded images."""
    from huggingface_hub import scan_cache_dir

    kept = list(kept)
    revisions = [commit for item in kept for commit in item.revisions]
    if revisions:
        scan_cache_dir().delete_revisions(*revisions).execute()
    for item in kept:
        if not item.revisions:
            item.path.unlink(missing_ok=True)
