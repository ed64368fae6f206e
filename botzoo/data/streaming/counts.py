"""How many images each shard holds, and of which labels: counted once and kept, as long as no file has changed."""

from __future__ import annotations

import hashlib
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from botzoo.data.streaming.shards import MAX_TEXT, Count, Form, Shards, is_remote, named_errors, opened
from botzoo.errors import DataError
from botzoo.util.cache import Store

STORE = Store("shards", ".json", "counts of shards", "counted")

UNKNOWN_SIZE = 16 << 30
"""What a shard has at most, where its size is not known, for a bound on its images."""


def count(name: str, role: str, urls: list[str], form: Form) -> Shards:
    """Count the images of every shard; what was counted once is taken from the cache, as long as no file has changed."""
    with ThreadPoolExecutor(16) as pool:
        states = list(pool.map(_state, urls))
    found = partial(Shards, role, tuple(urls), tuple(state.size for state in states), form=form)
    if form.read_whole and is_remote(urls[0]):
        return found(counts=_stated(name, urls, states))
    key = hashlib.sha256(json.dumps(["2", repr(form), urls, states]).encode()).hexdigest()  # the shards as they are now

    def read(path: Path) -> tuple[Count, ...]:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return tuple(
            Count(n, None if labels is None else dict(labels), bounds and tuple(bounds)) for n, labels, bounds in rows
        )

    def counted(url: str) -> Count:
        with named_errors(url), opened(url) as file:
            return form.count(file)

    if (kept := STORE.open(key, read)) is not None:
        return found(counts=kept)
    with ThreadPoolExecutor(16) as pool:
        counts = tuple(pool.map(counted, urls))
    rows = [[c.images, list(c.labels.items()) if c.labels is not None else None, c.bounds] for c in counts]
    with suppress(OSError), STORE.writing(key) as draft:  # without it, it only costs the time to count again
        draft.file.write(json.dumps(rows).encode())
    return found(counts=counts)


def _stated(name: str, urls: list[str], states: list[_State]) -> tuple[Count, ...]:
    """Return the counts that ``_info.json`` beside tar files on another machine states, by split and file name."""
    beside = f"{urls[0].rpartition('/')[0]}/_info.json"
    try:
        with opened(beside) as file:
            splits = json.loads(file.read(MAX_TEXT))["splits"].values()
        stated = {f: n for split in splits for f, n in zip(split["filenames"], split["shard_lengths"], strict=True)}
        counts = tuple(Count(int(stated[url.rpartition("/")[2]])) for url in urls)
    except Exception as error:  # every client of another machine has errors of its own
        raise DataError(
            f"How many images each shard of {name} holds is not known, and to count them is to read them all: download "
            f"them, or put the counts into {beside}."
        ) from error
    for url, count, state in zip(urls, counts, states, strict=True):
        if not 0 <= count.images <= (state.size or UNKNOWN_SIZE) // tarfile.BLOCKSIZE:
            raise DataError(f"{beside} says that {url} holds {count.images:,} images, which cannot be: mend it.")
    return counts


class _State(NamedTuple):
    """A shard as it is now: bytes, 0 where that is not known, and what else changes with its content."""

    size: int
    marks: tuple[str, ...]


CHANGES = ("ETag", "etag", "blob_id", "md5Hash", "LastModified", "Last-Modified", "last_modified", "mtime", "created")
"""What the clients of other machines call what changes with a file's content."""


def _state(url: str) -> _State:
    if not is_remote(url):
        with suppress(OSError):
            facts = Path(url).stat()
            return _State(facts.st_size, (str(Path(url).resolve()), str(facts.st_mtime_ns)))
        return _State(0, ())
    import fsspec

    with named_errors(url):
        files, path = fsspec.core.url_to_fs(url)
        info = files.info(path)
        return _State(int(info.get("size") or 0), tuple(f"{key} {info[key]}" for key in CHANGES if info.get(key)))
