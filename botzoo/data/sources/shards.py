"""Data sets in shards, tar or parquet files that are read from front to back: found, counted, and read row by row.

Shards lie in a folder, behind a pattern such as ``train-{0000..1023}.tar``, or on the Hub. Nothing of them is written to disk:
members of a tar file are read where they are, whatever their names. Each shard's images are counted before the first step,
so that every process knows which ones are its own; see ``botzoo.data.stream``.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from glob import glob
from itertools import accumulate
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from botzoo.data.sources.base import SPLIT_NAMES, UNLABELLED, ImageData, missing_classes
from botzoo.data.sources.find import CHARACTERS
from botzoo.data.sources.folders import IMAGE_SUFFIXES
from botzoo.data.sources.hub import HUB_ID, HUB_NAMES, LABEL_COLUMNS, from_hub
from botzoo.data.sources.label_lists import element
from botzoo.data.sources.library import library_errors
from botzoo.data.sources.tables import (
    LABEL_NAMES,
    by_role,
    check_features,
    has_configurations,
    pick_column,
    pick_columns,
    shard_files,
)
from botzoo.errors import DataError, did_you_mean
from botzoo.util.cache import cache_folder
from botzoo.util.text import listing, one_line

RETRY_SECONDS = (1, 4, 16)
"""How long to wait before a shard on another machine is opened again."""

MAX_PART = 1 << 30
"""Bytes that are read at once of a tar file, as of an image in it; what claims to be larger is refused."""

MAX_TEXT = 64 << 20
"""Bytes of a label's file, and of ``_info.json``."""

MAX_LABEL, MAX_LABELS = 1000, 1_000_000
"""Characters of a label that is text; different labels in a shard."""

UNKNOWN_SIZE = 16 << 30
"""What a shard has at most, where its size is not known, for a bound on its images."""

Cell = tuple[int, bytes, Any]
"""Number of an image in its shard, counted from 0; its encoded bytes, empty where there are none; its label as it stands."""


@dataclass(frozen=True)
class Count:
    """What a shard holds.

    Attributes:
        images: how many.
        labels: how many of each label as it stands, or None where that was not counted.
        bounds: the least and the greatest label, or None where that is not known.
    """

    images: int
    labels: dict[Any, int] | None = None
    bounds: tuple[int, int] | None = None


class Form(Protocol):
    """How a kind of shard is read."""

    @property
    def label(self) -> str:
        """The column of labels, or the ending of the names of files that hold them."""

    def cells(self, file: BinaryIO, wanted: Callable[[int], bool], end: int) -> Iterator[Cell]:
        """Yield the wanted ones of the first ``end`` images in their order; raise whatever a damaged file leads to."""

    def count(self, file: BinaryIO) -> Count:
        """Return what the shard holds."""


def _tally(labels: Iterable[Any]) -> dict[Any, int]:
    """Count each label; raise ValueError where they are too long or too many to be those of classes."""
    counts: Counter[Any] = Counter()
    for label in labels:
        counts[label] += 1
        if isinstance(label, str) and len(label) > MAX_LABEL:
            raise ValueError(f"a label in it has {len(label):,} characters, more than {MAX_LABEL:,}")
        if len(counts) > MAX_LABELS:
            raise ValueError(f"it has more than {MAX_LABELS:,} different labels")
    return dict(counts)


# Tar files, as the library webdataset writes them: NAME.jpg and NAME.cls, one after the other, are an image and its label.


@dataclass(frozen=True)
class TarForm:
    """Shards of tar files.

    Attributes:
        image: ending of the names of images; None for any that is an image's.
        label: ending of the names of labels, cls for one.
        key: where a label is JSON, the key of the label in it.
    """

    image: str | None
    label: str
    key: str | None = None

    def cells(self, file: BinaryIO, wanted: Callable[[int], bool], end: int) -> Iterator[Cell]:
        """See ``Form``."""
        for number, fields in _samples(file, lambda number, kind: wanted(number) and self._uses(kind), end):
            if wanted(number):
                image = next((content for kind, content in fields.items() if self._is_image(kind)), b"")
                yield number, image, self._label(fields.get(self.label))

    def count(self, file: BinaryIO) -> Count:
        """See ``Form``; only labels are read."""
        samples = _samples(file, lambda number, kind: kind == self.label)
        labels = _tally(self._label(fields.get(self.label)) for _, fields in samples)
        return Count(sum(labels.values()), labels)

    def _uses(self, kind: str) -> bool:
        return kind == self.label or self._is_image(kind)

    def _is_image(self, kind: str) -> bool:
        return kind == self.image if self.image else f".{kind}" in IMAGE_SUFFIXES

    def _label(self, content: bytes | None) -> Any:
        if content is None:
            return None
        if len(content) > MAX_TEXT:
            raise ValueError(f"a label in it has {len(content):,} bytes, more than {MAX_TEXT:,}")
        value = json.loads(content).get(self.key) if self.key else content.decode("utf-8", "replace").strip()
        return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d+", value) else value


def _samples(
    file: BinaryIO, reads: Callable[[int, str], bool], end: int | None = None
) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Yield number and contents by ending of each group of files of one name; those not to be read are left empty."""
    number, name, fields = -1, "", dict[str, bytes]()
    with closing(_members(file)) as members:
        for member, content in members:
            stem, kind = _name_and_kind(member)
            if not kind:
                continue
            if stem != name or number < 0:
                if number >= 0:
                    yield number, fields
                number, name, fields = number + 1, stem, {}
                if number == end:
                    return
            fields[kind] = content() if reads(number, kind) else b""
        if number >= 0:
            yield number, fields


def _name_and_kind(member: str) -> tuple[str, str]:
    """Split ``a/b.seg.png`` into ``a/b`` and ``seg.png``; files that begin with a dot, or have none, are of no kind."""
    folder, slash, base = member.rpartition("/")
    stem, _, kind = base.partition(".")
    return folder + slash + stem, kind.lower() if stem else ""


def _members(file: BinaryIO) -> Generator[tuple[str, Callable[[], bytes]]]:
    """Yield name of each file in a tar file, and what reads it; raise ValueError unless it ends as a tar file does."""
    with tarfile.open(fileobj=cast(BinaryIO, _InParts(file)), mode="r:") as tar:
        while (member := tar.next()) is not None:
            if member.size < 0:  # it would be read for ever
                raise ValueError(f"it is damaged at byte {member.offset:,}")
            if member.isfile():
                yield member.name, partial(_content, tar, member)
            tar.members.clear()  # type: ignore[attr-defined]  # else it keeps all of them
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ValueError(f"it is cut off or damaged at byte {tar.offset:,}")


class _InParts:
    """A file of which no more than ``MAX_PART`` is read at once, whatever sizes stand in it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        if not 0 <= size <= MAX_PART:
            raise ValueError(f"a part of it claims to have {size:,} bytes, and {MAX_PART:,} are the most that is read")
        return self.file.read(size)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.issparse():
        raise ValueError(
            f"{member.name} in it is a sparse file, which has no limit to its size: write the shard without --sparse"
        )
    opened = tar.extractfile(member)
    assert opened is not None
    content = opened.read()
    if len(content) != member.size:
        raise ValueError(f"it is cut off in {member.name}")
    return content


# Parquet files, as the library datasets and the Hub write them.


@dataclass(frozen=True)
class ParquetForm:
    """Shards of parquet files.

    Attributes:
        image, label: the columns of images and of labels.
        counted: whether each label is to be counted, where their least and greatest do not suffice.
    """

    image: str
    label: str
    counted: bool = False

    def cells(self, file: BinaryIO, wanted: Callable[[int], bool], end: int) -> Iterator[Cell]:
        """See ``Form``; groups of rows without a wanted one are passed over unread."""
        from pyarrow.parquet import ParquetFile

        parquet = ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        sizes = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
        for group, begin in enumerate(accumulate(sizes, initial=0)):
            rows = range(begin, min(begin + sizes[group], end)) if group < len(sizes) else range(0)
            if any(map(wanted, rows)):
                yield from self._group(parquet, group, begin, wanted, end)

    def _group(self, parquet: Any, group: int, begin: int, wanted: Callable[[int], bool], end: int) -> Iterator[Cell]:
        number = begin
        for batch in parquet.iter_batches(32, [group], [self.image, self.label], use_threads=False):
            for image, label in zip(batch.column(self.image), batch.column(self.label), strict=True):
                if number < end and wanted(number):
                    cell = image.as_py()
                    content = cell.get("bytes") if isinstance(cell, dict) else cell
                    yield number, content or b"", label.as_py()
                number += 1

    def count(self, file: BinaryIO) -> Count:
        """See ``Form``; of labels, what stands at the file's end, or their column where that does not tell enough."""
        from pyarrow.parquet import ParquetFile

        parquet = ParquetFile(file)
        rows, size = parquet.metadata.num_rows, file.seek(0, SEEK_END)
        if not 0 <= rows <= size:
            raise ValueError(f"it claims to hold {rows:,} rows in {size:,} bytes")
        if self.label not in parquet.schema_arrow.names:
            return Count(rows, {None: rows})
        if not self.counted and (bounds := self._bounds(parquet.metadata)):
            return Count(rows, bounds=bounds)
        batches = parquet.iter_batches(1 << 16, columns=[self.label], use_threads=False)
        return Count(rows, _tally(label for batch in batches for label in batch.column(0).to_pylist()))

    def _bounds(self, metadata: Any) -> tuple[int, int] | None:
        """Return the least and the greatest label, where the file states them."""
        place = next(i for i in range(metadata.num_columns) if metadata.schema.column(i).path == self.label)
        found = [metadata.row_group(group).column(place).statistics for group in range(metadata.num_row_groups)]
        known = all(s is not None and s.has_min_max and isinstance(s.min, int) and not s.null_count for s in found)
        return (min(s.min for s in found), max(s.max for s in found)) if known and found else None


@dataclass(frozen=True)
class Shards:
    """The images of one split, in shards.

    Attributes:
        name: the split's name.
        urls: paths or addresses of the shards, in the order of their names.
        sizes: bytes of each, 0 where that is not known.
        counts: what each one holds.
        form: how they are read.
        label_of: index of each class by its label as it stands, where that is text.
        classes: number of classes.
    """

    name: str
    urls: tuple[str, ...]
    sizes: tuple[int, ...]
    counts: tuple[Count, ...]
    form: Form
    label_of: dict[Any, int] | None = None
    classes: int = 0

    def __len__(self) -> int:
        return sum(count.images for count in self.counts)

    @property
    def images(self) -> NDArray[np.int64]:
        """Number of images in each shard, shape (S,)."""
        return np.array([count.images for count in self.counts], np.int64)

    @property
    def labels(self) -> Counter[Any] | None:
        """How many images have each label as it stands; None where that was not counted."""
        counted = [count.labels for count in self.counts]
        total: Counter[Any] = Counter()
        for labels in counted:
            if labels is None:
                return None
            total.update(labels)
        return total

    def class_counts(self, classes: int) -> NDArray[np.int64] | None:
        """Return how many images each of the classes has, shape (classes,); None where that is not known."""
        if (labels := self.labels) is None:
            return None
        counts = np.zeros(classes, np.int64)
        for label, images in labels.items():
            counts[self.index_of(label)] += images
        return counts

    def index_of(self, label: Any) -> int:
        """Return the class of a label as it stands; raise ValueError where there is none."""
        index = self.label_of.get(label) if self.label_of is not None and not isinstance(label, int) else label
        if label is None:
            raise ValueError("no label")
        if not isinstance(index, int) or not 0 <= index < self.classes:
            raise ValueError(
                f"label {label!r}, which is out of range for {self.classes} classes (0 to {self.classes - 1})"
            )
        return int(index)  # true and false are numbers too

    def describe(self, shard: int, number: int) -> str:
        """Name an image for error messages."""
        return f"image {number} of the shard {self.urls[shard]}"

    def fingerprint(self) -> str:
        """Return the SHA-256 of names, sizes and counts of the shards as this machine sees them, in hexadecimal."""
        rows = [
            [url.rpartition("/")[2], size if _is_remote(url) else _size(url), count.images]
            for url, size, count in zip(self.urls, self.sizes, self.counts, strict=True)
        ]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def cells(self, shard: int, wanted: NDArray[np.bool_], begin: int) -> Iterator[Cell]:
        """Yield the wanted ones of the images ``begin``, ``begin + 1``, ... of a shard, in their order.

        A shard on another machine is opened again, a few times, where it fails.

        Raises:
            DataError: the shard is missing, damaged, or holds fewer images than were counted.
        """
        url, missing = self.urls[shard], wanted.copy()

        def is_missing(number: int) -> bool:
            return number >= begin and bool(missing[number - begin])

        for wait in (*(RETRY_SECONDS if _is_remote(url) else ()), None):
            try:
                for cell in self._cells(url, is_missing, begin + len(wanted)):
                    missing[cell[0] - begin] = False
                    yield cell
                break
            except DataError:
                if wait is None:
                    raise
                time.sleep(wait)
        if missing.any():
            raise DataError(
                f"The shard {url} holds fewer images than the {self.counts[shard].images} that were counted before the first "
                "step: put it back, or begin a new run."
            )

    def _cells(self, url: str, wanted: Callable[[int], bool], end: int) -> Iterator[Cell]:
        with _named_errors(url), _opened(url) as file:
            yield from self.form.cells(file, wanted, end)


def _is_remote(url: str) -> bool:
    return "://" in url


def _size(url: str) -> int:
    with suppress(OSError):
        return Path(url).stat().st_size
    return 0


@contextmanager
def _opened(url: str) -> Iterator[BinaryIO]:
    if not _is_remote(url):
        with Path(url).open("rb") as file:
            yield file
        return
    import fsspec

    with fsspec.open(url, "rb") as opened:
        yield opened


@contextmanager
def _named_errors(url: str) -> Iterator[None]:
    """Raise what reading a shard leads to as ``DataError`` that names it."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"The shard {url} is missing: put it back, or leave it out from the start.") from error
    except Exception as error:  # tarfile, pyarrow and every client of another machine have errors of their own
        raise DataError(f"The shard {url} cannot be read ({one_line(error)}): get it again.") from error


def find_shards(
    name: str, *, image_column: str | None = None, label_column: str | None = None, classes: str | None = None
) -> ImageData[Shards]:
    """Find the shards of the data set ``name`` and count their images.

    Args:
        name: a folder, a pattern of paths or addresses with ``{0000..1023}``, ``{a,b}`` or ``*``, a key of ``HUB_NAMES`` or a
            Hub id. Names tell the splits: train, validation and test, or words for them.
        image_column, label_column: columns of parquet files, or endings of names in tar files (``jpg``, ``cls``); a key in
            the JSON of ``NAME.json`` too.
        classes: number of classes, or a file with the name of one on each line, where the shards do not name them.

    Returns:
        The splits, of which ``validation`` is always there.

    Raises:
        DataError: no shards, a missing or damaged one, no validation split, labels out of range, or too little known.
        NetworkError: it is on the Hub, and that cannot be reached.
    """
    source = _find(name)
    urls = source.urls["train"]
    with _named_errors(urls[0]):
        form, declared = _look(name, urls[0], image_column, label_column or LABEL_COLUMNS.get(source.hub_id or ""))
    declared = source.class_names.get(form.label, declared)
    if isinstance(form, ParquetForm):
        form = replace(form, counted=declared is None and classes is None)
    notes = list(source.notes)
    splits: dict[str, Shards] = {}
    for role, found in source.urls.items():
        split = _counted(name, role, found, form)
        if role == "test" and _unlabelled(split):
            notes.append("the test split has no labels, so it is not used")
        elif not len(split):
            raise DataError(f"The {role} split of {name} is empty: it has no images.")
        else:
            splits[role] = split
    if "validation" not in splits:
        raise DataError(
            f"{name} has no validation split, and streamed images cannot be set aside class by class: name some shards "
            f"val-0000{Path(urls[0]).suffix} and so on."
        )
    class_names = _class_names(name, splits["train"], declared, classes)
    if declared is None and classes is None:
        notes.append("the shards do not name the classes: they are called by their numbers")
    by_name = {label: i for i, label in enumerate(class_names)}
    splits = {role: replace(split, label_of=by_name, classes=len(class_names)) for role, split in splits.items()}
    known = {"hub_id": source.hub_id, "license": source.license, "declared": True}
    shown = source.folder or name
    data = ImageData(shown, class_names, splits["train"], splits["validation"], splits.get("test"), **known)  # type: ignore[arg-type]
    for role, split in splits.items():
        _check_labels(name, split)
        notes += missing_classes(data, role, split, class_names)
    return replace(data, notes=tuple(notes), mirrored=(data.hub_id or name) not in CHARACTERS)


@dataclass(frozen=True)
class _Source:
    urls: dict[str, list[str]]
    notes: tuple[str, ...] = ()
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Those that the columns declare."""
    hub_id: str | None = None
    license: str | None = None
    folder: str | None = None


def _find(name: str) -> _Source:
    path = Path(name).expanduser()
    if path.is_dir():
        return _in_folder(name, path)
    if _is_remote(name) or name.endswith((".tar", ".parquet")) or any(c in name for c in "{*"):
        return _behind_pattern(name)
    if name in HUB_NAMES or (HUB_ID.fullmatch(name) and not path.exists()):
        return _on_hub(name, HUB_NAMES.get(name, name))
    raise DataError(
        f"There are no shards {name!r} to stream: give a folder of .tar or .parquet files, a pattern such as "
        f"data/{{train,val}}-{{0000..0127}}.tar, or a Hub id (owner/name).{did_you_mean(name, HUB_NAMES)}"
    )


def _in_folder(name: str, path: Path) -> _Source:
    tars, tables = shard_files(path, ".tar"), shard_files(path, ".parquet")
    if tars and tables:
        raise DataError(f"{name} holds both .tar and .parquet files: give a folder, or a pattern, of one kind.")
    if not tars and not tables:
        raise DataError(f"{name} holds no .tar or .parquet shards: leave --data.streaming out for other folders.")
    if tables and has_configurations(path):
        return _built(name, str(path))
    roles, unused = by_role(name, tars or tables)
    _check_complete(name, tars or tables)
    notes = (f"not used: {listing(unused)}, not named as a split",) if unused else ()
    return _Source({role: [str(path / file) for file in files] for role, files in roles.items()}, notes)


def _check_complete(name: str, files: list[str]) -> None:
    """Raise where files are numbered as 00003-of-00008 and some of the 8 are missing."""
    seen: dict[tuple[str, int], set[int]] = {}
    for file in files:
        if found := re.fullmatch(r"(.*?)(\d+)-of-(\d+)(.*)", file):
            seen.setdefault((found[1] + "{}" + found[4], int(found[3])), set()).add(int(found[2]))
    for (pattern, total), numbers in seen.items():
        if missing := sorted(set(range(total)) - set(numbers)):
            first = pattern.format(f"{missing[0]:05}-of-{total:05}")
            raise DataError(f"{name} lacks {len(missing)} of {total} shards, such as {first}: get the rest.")


def _behind_pattern(name: str) -> _Source:
    name = name if _is_remote(name) else str(Path(name).expanduser())
    found = list(dict.fromkeys(file for pattern in _expanded(name) for file in _matching(pattern)))
    missing = [file for file in found if not _is_remote(file) and not Path(file).is_file()]
    if missing or not found:
        which = f"{len(missing)} of its {len(found)} shards are" if missing else "there is not one of its shards"
        raise DataError(f"{name}: {which} missing{f', such as {missing[0]}' if missing else ''}; check the pattern.")
    if len(kinds := {Path(file).suffix for file in found}) > 1:
        raise DataError(f"{name} holds files of several kinds, {listing(sorted(kinds))}: name those of one.")
    fixed = len(re.split(r"[{*?\[]", name)[0].rpartition("/")[0])
    parts, unused = by_role(name, [file[fixed:] for file in found])
    notes = (f"not used: {listing(unused)}, not named as a split",) if unused else ()
    urls = {role: [found[0][:fixed] + part for part in files] for role, files in parts.items()}
    return _Source(urls, notes, folder=found[0][:fixed] or ".")


def _expanded(pattern: str) -> list[str]:
    """Return the names that ``{a,b}`` and ``{00..31}`` stand for."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        return [pattern]
    span = re.fullmatch(r"(\d+)\.\.(\d+)", found[1])
    names = [f"{i:0{len(span[1])}}" for i in range(int(span[1]), int(span[2]) + 1)] if span else found[1].split(",")
    return [name for choice in names for name in _expanded(pattern[: found.start()] + choice + pattern[found.end() :])]


def _matching(pattern: str) -> list[str]:
    globs = not _is_remote(pattern) and any(c in pattern for c in "*?[")
    return sorted(glob(pattern)) if globs else [pattern]  # noqa: PTH207


def _on_hub(name: str, hub_id: str) -> _Source:
    hub_id, license, source = from_hub(name, hub_id, partial(_built, name))
    return replace(source, hub_id=hub_id, license=license)


def _built(name: str, where: str, configuration: str | None = None) -> _Source:
    """Return the shards that the library ``datasets`` finds in a folder or on the Hub."""
    from datasets.load import load_dataset_builder

    with library_errors(name):
        builder = load_dataset_builder(where, configuration)
    if builder.name not in ("parquet", "webdataset"):
        raise DataError(
            f"{name} is stored as {builder.name}, and only parquet and tar files are streamed: leave --data.streaming out."
        )
    roles: dict[str, list[str]] = {}
    for split, files in (builder.config.data_files or {}).items():
        if (role := SPLIT_NAMES.get(str(split).lower())) is not None:
            roles.setdefault(role, []).extend(map(str, files))
    if "train" not in roles:
        raise DataError(
            f"{name} has no training split, only {listing(list(map(str, builder.config.data_files or {})))}."
        )
    features: dict[str, Any] = builder.info.features or {}
    return _Source(roles, class_names={column: tuple(f.names) for column, f in features.items() if hasattr(f, "names")})


def _look(
    name: str, url: str, image_column: str | None, label_column: str | None
) -> tuple[Form, tuple[str, ...] | None]:
    """Return how the shards are read and the class names that they declare, by a look into the first."""
    with _opened(url) as file:
        if url.endswith(".tar"):
            return _look_into_tar(name, file, image_column, label_column), None
        import datasets
        from pyarrow.parquet import read_schema

        features = datasets.Features.from_arrow_schema(read_schema(file))
    image, label = pick_columns(name, features, image_column, label_column)
    if element(features[label]) is not None:
        raise _lists(name, label)
    check_features(name, "train", features, features, image, label)
    names = getattr(features[label], "names", None)
    return ParquetForm(image, label), tuple(names) if names else None


def _lists(name: str, label: str) -> DataError:
    return DataError(
        f"Column {label!r} of {name} holds a list of labels for each image, and a stream has one: leave --data.streaming out."
    )


def _look_into_tar(name: str, file: BinaryIO, image_column: str | None, label_column: str | None) -> TarForm:
    """Return the endings of images and labels in the first group of files."""
    samples = _samples(file, lambda number, kind: kind in ("json", "jsn"), 1)
    _, fields = next(samples, (0, dict[str, bytes]()))
    images = [kind for kind in fields if f".{kind}" in IMAGE_SUFFIXES]
    image = pick_column(name, "image", image_column, list(fields), images)
    described = next((kind for kind in ("json", "jsn") if kind in fields), None)
    keys = list(json.loads(fields[described])) if described else []
    labels = [label for label in LABEL_NAMES if label in fields or label in keys]
    label = pick_column(name, "label", label_column, [*fields, *keys], labels[:1])
    asked = image if image_column else None
    if described and label in keys and isinstance(json.loads(fields[described])[label], list):
        raise _lists(name, label)
    return TarForm(asked, label) if label in fields else TarForm(asked, str(described), label)


def _counted(name: str, role: str, urls: list[str], form: Form) -> Shards:
    """Count the images of every shard; what was counted once is taken from the cache, as long as no file has changed."""
    with ThreadPoolExecutor(16) as pool:
        states = list(pool.map(_state, urls))
    found = partial(Shards, role, tuple(urls), tuple(state.size for state in states), form=form)
    if isinstance(form, TarForm) and _is_remote(urls[0]):
        return found(counts=tuple(_stated(name, urls, states)))
    path = cache_folder() / "shards" / f"{_identity(urls, states, form)}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        rows = json.loads(path.read_text(encoding="utf-8"))
        counts = tuple(
            Count(n, dict(labels) if labels is not None else None, bounds and tuple(bounds))
            for n, labels, bounds in rows
        )
        return found(counts=counts)
    with ThreadPoolExecutor(16) as pool:
        counts = tuple(pool.map(partial(_count, form), urls))
    with suppress(OSError):  # it only costs the time to count again
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [[c.images, list(c.labels.items()) if c.labels is not None else None, c.bounds] for c in counts]
        path.write_text(json.dumps(kept), encoding="utf-8")
    return found(counts=counts)


class _State(NamedTuple):
    """A shard as it is now: bytes, 0 where that is not known, and what else changes with its content."""

    size: int
    marks: tuple[str, ...]


CHANGES = ("ETag", "etag", "blob_id", "md5Hash", "LastModified", "Last-Modified", "last_modified", "mtime", "created")
"""What the clients of other machines call what changes with a file's content."""


def _state(url: str) -> _State:
    if not _is_remote(url):
        with suppress(OSError):
            facts = Path(url).stat()
            return _State(facts.st_size, (str(Path(url).resolve()), str(facts.st_mtime_ns)))
        return _State(0, ())
    import fsspec

    with _named_errors(url):
        files, path = fsspec.core.url_to_fs(url)
        info = files.info(path)
        return _State(int(info.get("size") or 0), tuple(f"{key} {info[key]}" for key in CHANGES if info.get(key)))


def _identity(urls: list[str], states: list[_State], form: Form) -> str:
    """Return a key for shards as they are now."""
    return hashlib.sha256(json.dumps(["2", repr(form), urls, states]).encode()).hexdigest()


def _count(form: Form, url: str) -> Count:
    with _named_errors(url), _opened(url) as file:
        return form.count(file)


def _stated(name: str, urls: list[str], states: list[_State]) -> list[Count]:
    """Return the counts that ``_info.json`` beside tar files on another machine states, by split and file name."""
    beside = f"{urls[0].rpartition('/')[0]}/_info.json"
    try:
        with _opened(beside) as file:
            splits = json.loads(file.read(MAX_TEXT))["splits"].values()
        stated = {
            file: n for split in splits for file, n in zip(split["filenames"], split["shard_lengths"], strict=True)
        }
        counts = [Count(int(stated[url.rpartition("/")[2]])) for url in urls]
    except Exception as error:  # every client of another machine has errors of its own
        raise DataError(
            f"How many images each shard of {name} holds is not known, and to count them is to read them all: download "
            f"them, or put the counts into {beside}."
        ) from error
    for url, count, state in zip(urls, counts, states, strict=True):
        if not 0 <= count.images <= (state.size or UNKNOWN_SIZE) // tarfile.BLOCKSIZE:
            raise DataError(f"{beside} says that {url} holds {count.images:,} images, which cannot be: mend it.")
    return counts


def _unlabelled(split: Shards) -> bool:
    """Tell whether no image has a label, or all have the one that stands for none."""
    known = [count.labels if count.labels is not None else count.bounds for count in split.counts]
    return all(labels is not None and set(labels) <= {None, UNLABELLED} for labels in known)


def _class_names(name: str, train: Shards, declared: tuple[str, ...] | None, classes: str | None) -> tuple[str, ...]:
    given = _given_classes(classes) if classes is not None else None
    if given is not None and declared is not None and len(given) != len(declared):
        raise DataError(
            f"--data.classes gives {len(given)} classes, and {name} declares {len(declared)}: leave it out."
        )
    labels = set(train.labels or ()) - {None}
    if found := given or declared:
        names = found
    elif labels and all(isinstance(label, int) for label in labels):
        names = _numbered(name, labels)
    else:
        raise DataError(
            f"{name} does not say how many classes it has: give their number, or a file with one name on each line, with "
            "--data.classes."
        )
    if len(names) < 2:
        raise DataError(f"{name} has {len(names)} class: a classifier needs two or more.")
    return names


def _numbered(name: str, labels: set[int]) -> tuple[str, ...]:
    """Return the classes 0 to K - 1 by their numbers; raise unless each of them has images, and nothing else has."""
    if labels != set(range(len(labels))):
        raise DataError(
            f"The labels of the training images of {name} are not the numbers from 0 on without a gap, but {len(labels)} "
            f"from {min(labels)} to {max(labels)}: give the number of classes, or a file with one name on each line, with "
            "--data.classes."
        )
    return tuple(map(str, range(len(labels))))


def _given_classes(classes: str) -> tuple[str, ...]:
    """Return the class names that --data.classes gives: numbers, or the lines of a file."""
    if classes.isdecimal():
        return tuple(map(str, range(int(classes))))
    try:
        names = tuple(Path(classes).expanduser().read_text(encoding="utf-8").split("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"--data.classes is {classes!r}: it must be a number or a text file ({one_line(error)})."
        ) from error
    names = tuple(name.strip() for name in names if name.strip())
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise DataError(f"--data.classes {classes} names {twice!r} twice: give each class one line.")
    return names


def _check_labels(name: str, split: Shards) -> None:
    """Raise where a shard is known to hold a label that is no class."""
    for shard, count in enumerate(split.counts):
        for label in (*(count.labels or ()), *(count.bounds or ())):
            try:
                split.index_of(label)
            except ValueError as error:
                raise DataError(f"The shard {split.urls[shard]} of {name} holds an image with {error}.") from error
