"""How a shard is read and counted.

Tar files are as the library webdataset writes them: NAME.jpg and NAME.cls, one after the other, are an image and its
label. Parquet files are as the library datasets and the Hub write them.
"""

import json
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import SEEK_END
from typing import Any, BinaryIO, cast

from botzoo.errors import DataError
from botzoo.sources.base import SourceOptions
from botzoo.sources.files import MAX_TEXT
from botzoo.sources.folders import IMAGE_SUFFIXES
from botzoo.sources.labels import element
from botzoo.sources.tables import LABEL_NAMES, check_features, pick_column, pick_columns
from botzoo.util.outgoing import in_quotes

MAX_LABEL = 1000  # characters of a label that is text
MAX_LABELS = 1_000_000  # different ones in a shard
MAX_PART = 1 << 30  # bytes read at once of a tar file, as of an image in it; what claims to be larger is refused

Cell = tuple[int, bytes, Any]
"""Number of an image in its shard, from 0; its encoded bytes, empty where there are none; its label as it stands."""


@dataclass(frozen=True)
class Count:
    """What a shard holds."""

    images: int
    labels: dict[Any, int] | None = None  # how many of each label as it stands, None where that was not counted
    bounds: tuple[int, int] | None = None  # the least and the greatest label, None where that is not known


@dataclass(frozen=True)
class TarForm:
    """Shards of tar files."""

    image: str | None  # ending of the names of images; None for any that is an image's
    label: str  # ending of the names of labels, cls for one
    key: str | None = None  # where a label is JSON, the key of the label in it

    def cells(self, file: BinaryIO, wanted: Callable[[int], bool], end: int) -> Iterator[Cell]:
        """Yield the wanted ones of the first ``end`` images in their order.

        Raises:
            Exception: whatever a damaged file leads to.
        """

        def reads(number: int, kind: str) -> bool:
            return wanted(number) and (kind == self.label or self._is_image(kind))

        for number, fields in _samples(file, reads, end):
            if wanted(number):
                image = next((content for kind, content in fields.items() if self._is_image(kind)), b"")
                yield number, image, self._label(fields.get(self.label))

    def count(self, file: BinaryIO) -> Count:
        """Return what the shard holds; it is read from front to back, of its members labels only."""
        samples = _samples(file, lambda number, kind: kind == self.label)
        labels = _tally(self._label(fields.get(self.label)) for _, fields in samples)
        return Count(sum(labels.values()), labels)

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
    """Yield number and contents by ending of each group of files of one name; those not to be read are left empty.

    Raises ValueError unless the file ends as a tar file does.
    """
    number, name, fields = -1, "", dict[str, bytes]()
    with tarfile.open(fileobj=cast(BinaryIO, _InParts(file)), mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # else it keeps all of them
            if member.size < 0:  # it would be read for ever
                raise ValueError(f"it is damaged at byte {member.offset:,}")
            # a/b.seg.png is the part seg.png of a/b; files that begin with a dot, or have none, are of no kind
            folder, slash, base = member.name.rpartition("/")
            stem, _, kind = base.partition(".")
            if not (member.isfile() and stem and kind):
                continue
            if (whole := folder + slash + stem) != name or number < 0:
                if number >= 0:
                    yield number, fields
                number, name, fields = number + 1, whole, {}
                if number == end:  # the rest of the shard is another process's
                    return
            kind = kind.lower()
            fields[kind] = b""
            if reads(number, kind):
                if member.issparse():  # its holes take no space in the shard, and all of it in memory
                    raise ValueError(f"{member.name} in it is a sparse file: write the shard without --sparse")
                opened = tar.extractfile(member)
                fields[kind] = opened.read() if opened is not None else b""
                if len(fields[kind]) != member.size:
                    raise ValueError(f"it is cut off in {member.name}")
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ValueError(f"it is cut off or damaged at byte {tar.offset:,}")
    if number >= 0:
        yield number, fields


class _InParts:
    """A file of which no more than ``MAX_PART`` is read at once, whatever sizes stand in it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_PART:
            raise ValueError(f"a part of it claims to have {size:,} bytes, and {MAX_PART:,} are the most that is read")
        return self.file.read(size)


@dataclass(frozen=True)
class ParquetForm:
    """Shards of parquet files."""

    image: str  # column of images
    label: str  # column of labels
    counted: bool = False  # whether each label is to be counted, where their least and greatest do not suffice

    def cells(self, file: BinaryIO, wanted: Callable[[int], bool], end: int) -> Iterator[Cell]:
        """See ``TarForm``; groups of rows without a wanted one are passed over unread."""
        from pyarrow.parquet import ParquetFile

        # a small buffer and few rows at once: pyarrow would else hold a whole group of rows, of images, in memory
        parquet, begin = ParquetFile(file, buffer_size=1 << 20, pre_buffer=False), 0
        for group in range(parquet.num_row_groups):
            first, begin = begin, begin + parquet.metadata.row_group(group).num_rows
            if not any(map(wanted, range(first, min(begin, end)))):
                continue
            batches = parquet.iter_batches(4, [group], [self.image, self.label], use_threads=False)
            rows = (row for b in batches for row in zip(b.column(self.image), b.column(self.label), strict=True))
            for number, (image, label) in enumerate(rows, first):
                if number < end and wanted(number):
                    cell = image.as_py()
                    content = cell.get("bytes") if isinstance(cell, dict) else cell
                    yield number, content or b"", label.as_py()

    def count(self, file: BinaryIO) -> Count:
        """Return what the shard holds, by the file's end; the column of labels is read where that does not suffice."""
        from pyarrow.parquet import ParquetFile

        parquet = ParquetFile(file)
        known, size = parquet.metadata, file.seek(0, SEEK_END)
        if not 0 <= known.num_rows <= size:
            raise ValueError(f"it claims to hold {known.num_rows:,} rows in {size:,} bytes")
        if self.label not in parquet.schema_arrow.names:  # as a test split may
            return Count(known.num_rows, {None: known.num_rows})
        place = next(i for i in range(known.num_columns) if known.schema.column(i).path == self.label)
        stated = [known.row_group(group).column(place).statistics for group in range(known.num_row_groups)]
        plain = all(s is not None and s.has_min_max and isinstance(s.min, int) and not s.null_count for s in stated)
        if not self.counted and stated and plain:
            return Count(known.num_rows, bounds=(min(s.min for s in stated), max(s.max for s in stated)))
        batches = parquet.iter_batches(1 << 16, columns=[self.label], use_threads=False)
        return Count(known.num_rows, _tally(label for batch in batches for label in batch.column(0).to_pylist()))


Form = TarForm | ParquetForm


def _tally(labels: Iterable[Any]) -> dict[Any, int]:
    """Count each label.

    Raises:
        ValueError: they are too long or too many to be those of classes.
    """
    counts: Counter[Any] = Counter()
    for label in labels:  # not all at once: a hostile shard may hold more than fit into memory
        counts[label] += 1
        if isinstance(label, str) and len(label) > MAX_LABEL:
            raise ValueError(f"a label in it has {len(label):,} characters, more than {MAX_LABEL:,}")
        if len(counts) > MAX_LABELS:
            raise ValueError(f"it has more than {MAX_LABELS:,} different labels")
    return dict(counts)


def form_of(name: str, url: str, file: BinaryIO, options: SourceOptions) -> tuple[Form, tuple[str, ...] | None]:
    """Return how the shards of ``name`` are read, by the first one, and the class names that it declares."""
    if url.endswith(".tar"):
        return _tar_form(name, file, options), None
    import datasets
    from pyarrow.parquet import read_schema

    features = datasets.Features.from_arrow_schema(read_schema(file))
    image, label = pick_columns(name, features, options)
    if element(features[label]) is not None:
        raise _list_of_labels(name, label)
    check_features(name, "train", features, features, image, label)
    names = getattr(features[label], "names", None)
    return ParquetForm(image, label), tuple(names) if names else None


def _tar_form(name: str, file: BinaryIO, options: SourceOptions) -> TarForm:
    samples = _samples(file, lambda number, kind: kind in ("json", "jsn"), 1)
    _, fields = next(samples, (0, dict[str, bytes]()))  # the first group of files stands for all
    images = [kind for kind in fields if f".{kind}" in IMAGE_SUFFIXES]
    image = pick_column(name, "image", options.image_column, list(fields), images)
    described = next((kind for kind in ("json", "jsn") if kind in fields), None)
    about = json.loads(fields[described]) if described else {}
    keys = list(about)
    labels = [label for label in LABEL_NAMES if label in fields or label in keys]
    label = pick_column(name, "label", options.label_column, [*fields, *keys], labels[:1])
    if label in keys and isinstance(about[label], list):
        raise _list_of_labels(name, label)
    asked = image if options.image_column else None
    return TarForm(asked, label) if label in fields else TarForm(asked, str(described), label)


def _list_of_labels(name: str, label: str) -> DataError:
    what = f"Column {in_quotes(label)} of {name} holds a list of labels for each image"
    return DataError(f"{what}, and a stream has one: leave --data.streaming out.")
