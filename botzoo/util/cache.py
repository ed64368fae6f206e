"""Results of long work, kept in a folder for later runs: one helper for all kinds, with locks and a size limit; and a look
into the cache of the Hub.

A file is named by a key, the SHA-256 of everything that its content depends on, so it never becomes outdated, only unused.
It ends in a digest of its content and its key, by xxHash's XXH3 (about 20 GB/s), that is checked when it is opened.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from threading import get_ident
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from xxhash import xxh3_128

from botzoo.errors import ConfigError
from botzoo.util.environment import number, user_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger("botzoo")

T = TypeVar("T")

DIGEST_BYTES = 16

STALE_SECONDS = 24 * 3600
"""Age from which an unfinished file counts as left behind by a run that was killed."""


def cache_folder() -> Path:
    """Return ``$BOTZOO_CACHE``, or ``botzoo`` in ``$XDG_CACHE_HOME``, or ``~/.cache/botzoo``.

    Raises:
        ConfigError: the user has no home folder.
    """
    own, shared = os.environ.get("BOTZOO_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        return user_path(own) if own else user_path(shared or "~/.cache") / "botzoo"
    except ConfigError as error:
        raise ConfigError("The cache has no folder, as there is no home folder: set BOTZOO_CACHE to one.") from error


def cache_limit() -> float:
    """Return how many bytes all files of one kind may take: ``$BOTZOO_CACHE_GIB``, by default 20 GiB."""
    return number("BOTZOO_CACHE_GIB") * (1 << 30)


@dataclass(frozen=True)
class Store:
    """Files of one kind in the cache: ``FOLDER/KEY.SUFFIX``.

    There is never half of a file: it is written beside and renamed. Those not used for the longest time are removed when a
    new one makes all of them larger than the limit. Removing the folder clears the cache.
    """

    name: str  # of the folder
    suffix: str  # of the files, with its dot
    what: str  # is in them, in the plural, for messages
    again: str  # what is done where a file cannot be used: "decoded", "computed"
    about: str = ""  # what one file is, for the list of what is cached

    @property
    def folder(self) -> Path:
        return cache_folder() / self.name

    def path(self, key: str) -> Path:
        """Return the file with this key."""
        return self.folder / f"{key}{self.suffix}"

    def open(self, key: str, read: Callable[[NDArray[np.uint8]], T]) -> T | None:
        """Return what ``read`` makes of the file, or None where there is none or it cannot be used, which is said.

        ``read`` is given the content, mapped into memory. Whatever it raises but OSError says that the file is damaged, as
        another digest does; it is removed then.
        """
        path = self.path(key)
        try:
            whole = mapped(path)
            content, digest = whole[:-DIGEST_BYTES], whole[-DIGEST_BYTES:]
            if _digest(xxh3_128(content.data), key) != digest.tobytes():
                raise ValueError("its digest differs")
            found = read(content)
        except FileNotFoundError:
            return None
        except OSError as error:  # the disk or the rights are to blame, and the file may be good
            log.warning("The %s in %s cannot be read (%s): they are %s again.", self.what, path, error, self.again)
            return None
        except Exception as error:  # whatever a damaged file leads to
            log.warning("The %s in %s are damaged (%s): they are %s again.", self.what, path, error, self.again)
            with suppress(OSError):
                if not path.is_symlink():
                    path.unlink()
            return None
        with suppress(OSError):
            if not path.is_symlink():
                os.utime(path)  # the last to be removed
        return found

    def keep(self, key: str, content: bytes, level: int = logging.WARNING) -> None:
        """Write a file; where that cannot be, it is logged at ``level`` and nothing is left behind."""
        try:
            with self.writing(key) as draft:
                draft.write(content)
        except OSError as error:
            said = "The %s cannot be kept in %s (%s): they are %s again next time."
            log.log(level, said, self.what, self.folder, error, self.again)

    @contextmanager
    def writing(self, key: str, whole: Callable[[str], bool] = lambda key: False) -> Iterator[Draft]:
        """Give a file to write, which takes its place at the end of the block.

        The draft's ``key`` may be set to another one within the block. ``whole`` tells whether the file with a key is there
        already and good: it is left alone then, as another process or machine may have mapped it.

        Raises:
            OSError: it cannot be written; nothing is left behind.
        """
        part = self.folder / f".{key}.{platform.node()}-{os.getpid()}.part"
        self.folder.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)  # nor is a link of that name written through
        try:
            with part.open("x+b") as file:
                yield (draft := Draft(file, key))
                file.write(_digest(draft.so_far, draft.key))
                file.flush()
                os.fsync(file.fileno())  # before the renaming, or a power cut could leave a file of zeros
            if not whole(draft.key) and not self.path(draft.key).is_symlink():
                part.replace(self.path(draft.key))
        finally:
            part.unlink(missing_ok=True)
        prune(self.folder, cache_limit(), spare=self.path(draft.key))  # spared even where it alone is too large


DECODED = Store("decoded", ".pixels", "decoded images", "decoded", "decoded images of one split")
FEATURES = Store("features", ".npy", "features", "computed", "features of the images of one split")
PROBES = Store("probes", ".probe", "results of a probe", "fitted", "what a probe of such features came to")
SPEEDS = Store("speeds", ".speed", "speeds of bf16", "measured", "how fast bf16 is on this machine")
SHARDS = Store("shards", ".json", "counts of shards", "counted", "how many images of each class are in a shard")
EXTREMES = Store(
    "extremes", ".extremes", "extremes of images", "looked for", "between which values the images of one split lie"
)
FILES = Store("files", ".files", "digests of files", "hashed", "what the files of one split held")
MASKS = Store("masks", ".masks", "looks at masks", "looked at", "which classes are on the images of one split")
STORES = (DECODED, FEATURES, PROBES, SPEEDS, SHARDS, EXTREMES, FILES, MASKS)
"""All there are."""


@dataclass
class Draft:
    """A file in the making, to be written from front to back, and the key that it will be found by."""

    file: BinaryIO
    key: str
    so_far: xxh3_128 = field(default_factory=xxh3_128)

    def write(self, data: Any) -> None:
        """Append bytes, or an array without gaps."""
        self.so_far.update(data)
        self.file.write(data)

    def restart(self) -> None:
        """Forget what was written."""
        self.file.seek(0)
        self.file.truncate()
        self.so_far.reset()


def _digest(content: xxh3_128, key: str) -> bytes:
    content.update(key.encode())  # so that a file under the name of another one is not taken for it
    return content.digest()


def mapped(path: Path) -> NDArray[np.uint8]:
    """Map a file of a store into memory, to be read only, and lock it for as long as the array is there.

    On a folder that machines share, a process would die of a page that is gone.
    """
    import numpy as np

    with path.open("rb") as file:
        lock(file, shared=True)  # until the map goes, which has a descriptor of its own for the same open file
        # A plain array over the map: slices of a np.memmap cost ten times as much.
        return np.asarray(np.memmap(file, np.uint8, "r"))


def lock(file: BinaryIO | int, *, shared: bool) -> bool:
    """Lock an open file, without waiting; return False where a lock of another kind is in the way.

    Where there are no locks, as on Windows and on some file systems, a file counts as not in use.
    """
    try:
        import fcntl

        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def made_here(path: Path) -> bool:
    """Tell whether a file in a folder of the cache is one of ours, by its name, and no link to what may be anybody's."""
    named = re.fullmatch(r"[0-9a-f]{64}\.[a-z]+|\.[0-9a-f]{64}\..*\.part", path.name)
    return named is not None and S_ISREG(path.lstat().st_mode)


def prune(folder: Path, limit: float, *, spare: Path | None) -> None:
    """Remove the files not used for the longest time until all take at most ``limit`` bytes, and what killed runs left.

    ``spare`` and the files that are mapped, another user's, or not of our making, stay in any case.
    """
    with suppress(OSError):
        for part in folder.glob(".*.part"):
            if made_here(part) and part.stat().st_mtime < time.time() - STALE_SECONDS:
                part.unlink()
        files = sorted(filter(made_here, folder.glob("[!.]*")), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in files)
        for path in files:
            if total <= limit:
                break
            with suppress(OSError):  # it is another user's, or another process has removed it meanwhile
                with path.open("rb+") as file:
                    free = path != spare and lock(file, shared=False)
                if free:
                    total -= path.stat().st_size
                    path.unlink()


_IN_USE: dict[Path, int] = {}
"""Open locks of the trees that this process reads, held to its end."""

_TREE = re.compile("[0-9a-f]{64}")
_CONTENTS = ".contents"


def tree(name: str, key: str, fill: Callable[[Path], object]) -> Path:
    """Return the folder ``name/key`` of the cache, which ``fill`` fills where it is not there, whole and as it was.

    Other processes wait while it is filled, and read it together then. It is not removed while a process that asked for it
    lives; ``key`` is a SHA-256. What ``fill`` raises is passed on, and nothing is left behind.

    Raises:
        OSError: it cannot be written, or is a link or another user's.
    """
    folder, whole = cache_folder() / name, cache_folder() / name / key
    if whole in _IN_USE and whole.is_dir():
        return whole
    folder.mkdir(parents=True, exist_ok=True)
    held = _held(whole, fill)
    os.utime(whole)  # the last to be removed
    _IN_USE[whole] = held
    _prune_trees(folder, cache_limit(), spare=whole)
    return whole


def _held(whole: Path, fill: Callable[[Path], object]) -> int:
    """Return a shared lock of a tree that is whole: as it was found, or filled under a lock for this process alone.

    Nobody waits for that lock, which no process gets while others read.
    """
    seconds, said = 0.1, False
    while True:
        held = _own_lock(whole)
        if lock(held, shared=True) and _is_current(held, whole):
            if _is_whole(whole):
                return held
            if lock(held, shared=False):
                _fill(whole, fill, held)
                lock(held, shared=True)
                return held
        os.close(held)
        if not said:
            log.warning("Another process writes or reads %s: this one waits for it.", whole)
        said, seconds = True, min(1.5 * seconds, 5)
        time.sleep(seconds)


def _own_lock(whole: Path) -> int:
    """Open the file that a tree is locked by; raise OSError where it is a link or another user's, as where the tree is."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    held = os.open(whole.with_name(f"{whole.name}.lock"), flags, 0o600)
    try:
        found = [os.fstat(held), *([whole.lstat()] if os.path.lexists(whole) else [])]
        if whole.is_symlink() or not all(map(_is_own, found)):
            raise OSError(f"{whole} is a link or another user's: set BOTZOO_CACHE to a folder of your own")
    except BaseException:
        os.close(held)
        raise
    return held


def user() -> int:
    """Return the number of the user that this process works for; 0 where users have none."""
    return int(getattr(os, "geteuid", int)())


def _is_own(facts: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or facts.st_uid == user()


def _is_current(held: int, whole: Path) -> bool:
    """Tell whether an open lock is still the one of that name, which a process removes that fails to fill its tree."""
    try:
        return os.path.samestat(os.fstat(held), whole.with_name(f"{whole.name}.lock").lstat())
    except OSError:
        return False


def _fill(whole: Path, fill: Callable[[Path], object], held: int) -> None:
    """Fill a tree beside its place and put it there, unless another process did so meanwhile; close the lock on failure."""
    part = whole.with_name(f".{whole.name}.{platform.node()}-{os.getpid()}-{get_ident()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        if not _is_whole(whole):
            part.mkdir(mode=0o700)
            fill(part)
            (part / _CONTENTS).write_text(" ".join(map(str, _extent(part))))
        if not _is_whole(whole):  # asked again, as where there are no locks others fill it too, and read theirs
            if whole.exists():
                log.warning("The files in %s are not what was unpacked: they are unpacked again.", whole)
                shutil.rmtree(whole)
            try:
                part.rename(whole)
            except OSError:
                if not _is_whole(whole):
                    raise
    except BaseException:
        with suppress(OSError):
            whole.with_name(f"{whole.name}.lock").unlink()
        os.close(held)
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _extent(folder: Path) -> tuple[int, int]:
    """Return how many files are in a folder, and their bytes."""
    files = [Path(above, file) for above, _, names in os.walk(folder) for file in names if file != _CONTENTS]
    return len(files), sum(file.lstat().st_size for file in files)


def _is_whole(folder: Path) -> bool:
    """Tell whether a tree is there with as many files and bytes as were written."""
    try:
        return tuple(map(int, (folder / _CONTENTS).read_text().split())) == _extent(folder)
    except (OSError, ValueError):
        return False


def trees(name: str) -> list[tuple[Path, int]]:
    """Return the folders of ``tree`` and their bytes, those used last first."""
    folder = cache_folder() / name
    found = [
        path for path in folder.glob("*") if _TREE.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    ]
    return [(path, _extent(path)[1]) for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)]


def remove_tree(path: Path) -> bool:
    """Remove a folder of ``tree`` unless a process reads it; return whether it is gone."""
    with path.with_name(f"{path.name}.lock").open("a+b") as held:
        if not lock(held, shared=False):
            return False
        gone = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.part")
        with suppress(OSError):
            path.rename(gone)  # so that it is never found with a part of its files
            shutil.rmtree(gone, ignore_errors=True)
            path.with_name(f"{path.name}.lock").unlink()
        return not path.exists()


def _prune_trees(folder: Path, limit: float, *, spare: Path) -> None:
    """Remove the trees not used for the longest time until all take at most ``limit`` bytes, and what killed runs left."""
    with suppress(OSError):
        for part in folder.glob(".*.part"):
            if part.is_dir() and not part.is_symlink() and part.stat().st_mtime < time.time() - STALE_SECONDS:
                shutil.rmtree(part, ignore_errors=True)
        found = trees(folder.name)
        total = sum(size for _, size in found)
        for path, size in reversed(found):
            if total > limit and path != spare and remove_tree(path):
                total -= size


def cached_file(hub_id: str, revision: str | None = None) -> Path | None:
    """Return the weights of a repository in the Hub's cache, None where they are not there; no network is asked."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(hub_id, "model.safetensors", revision=revision)
    except ValueError:  # the name of no repository
        return None
    return Path(found) if isinstance(found, str) else None
