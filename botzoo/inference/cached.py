"""What is cached on this machine: weights in the Hub's cache, and decoded images; shown, and removed on request.

Of the Hub's cache only what holds a network for timm is looked at: the repositories of our table, timm's own, and those
with a config.json in timm's schema. Everything else in it belongs to other programs and is left alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from botzoo.errors import ConfigError
from botzoo.inference.catalogue import entries
from botzoo.util.cache import STORES, cache_folder, cache_limit, made_here, remove_tree, trees
from botzoo.util.files import read_json
from botzoo.util.text import in_megabytes, table


@dataclass(frozen=True)
class Cached:
    """A repository with its commits, or a file without any; ``about`` has our names for it, ``size`` its bytes."""

    name: str
    about: str
    size: int
    path: Path
    revisions: tuple[str, ...] = ()


def cached_weights() -> list[Cached]:
    """Return the repositories with networks for timm in the Hub's cache, by name."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return []
    found, every = [], entries()
    for repo in (repo for repo in repositories if repo.repo_type == "model" and repo.revisions):
        ours = ", ".join(entry.name for entry in every if entry.hub_id == repo.repo_id)
        configs = repo.repo_path.glob("snapshots/*/config.json")
        if ours or repo.repo_id.startswith("timm/") or any(map(_for_timm, configs)):
            commits = tuple(revision.commit_hash for revision in repo.revisions)
            found.append(Cached(repo.repo_id, ours, repo.size_on_disk, repo.repo_path, commits))
    return sorted(found, key=lambda cached: cached.name)


def _for_timm(config: Path) -> bool:
    """Tell whether a config.json is in timm's schema."""
    try:
        values = read_json(config)
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and "architecture" in values


def cached_images() -> list[Cached]:
    """Return the files of decoded images, of their features and of probes of these, those used last first, and archives."""
    files = [(store.about, path) for store in STORES for path in filter(made_here, store.folder.glob("[!.]*"))]
    files.sort(key=lambda file: file[1].stat().st_mtime, reverse=True)
    found = [Cached(path.stem[:12], about, path.stat().st_size, path) for about, path in files]
    return [*found, *(Cached(path.name[:12], "files of an archive", size, path) for path, size in trees("unpacked"))]


def matching(weights: list[Cached], wanted: str) -> list[Cached]:
    """Return those of ``weights`` that ``wanted`` names: a name of ours, with or without tag, a repository, or a pattern.

    Raises:
        ConfigError: none of them is.
    """
    names = {item.name: [item.name, *item.about.split(", ")] for item in weights}
    patterns = (wanted, f"{wanted}.*")  # the latter takes all tags of a name of ours
    found = [item for item in weights if any(fnmatch(name, p) for name in names[item.name] for p in patterns)]
    if not found:
        every = [name for of_one in names.values() for name in of_one if name]
        there = f"there are {', '.join(every)}" if every else "no weights are cached"
        missing = f"--weights {wanted}: nothing of that name is cached."
        raise ConfigError(missing, value=wanted, accepted=every, cure=f"Now {there}.")
    return found


def report(weights: list[Cached], images: list[Cached]) -> list[str]:
    """Return the lines that show what is cached."""
    from huggingface_hub import constants

    limit = f"at most {in_megabytes(cache_limit())} of each, then the oldest go"
    titles = {
        f"weights in {constants.HF_HUB_CACHE}": weights,
        f"decoded images, features and probes in {cache_folder()} ({limit})": images,
    }
    lines: list[str] = []
    for title, found in titles.items():
        rows = [(f"  {item.name}", in_megabytes(item.size), item.about) for item in found]
        total = in_megabytes(sum(item.size for item in found)) if found else "none"
        lines += ["", f"{title}: {total}", *table(rows, left=(0, 2))]
    return lines[1:]


def remove(cached: Iterable[Cached]) -> None:
    """Remove repositories from the Hub's cache with the Hub's own means, and files of decoded images."""
    from huggingface_hub import scan_cache_dir

    cached = list(cached)
    if revisions := [commit for item in cached for commit in item.revisions]:
        scan_cache_dir().delete_revisions(*revisions).execute()
    for item in cached:
        if item.path.is_dir() and not item.revisions:
            remove_tree(item.path)
        elif not item.revisions:
            item.path.unlink(missing_ok=True)  # another process may have been faster
