"""Tar files, as the library webdataset writes them: NAME.jpg and NAME.cls, one after the other, are an image and its label."""

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, cast

from botzoo.data.sources.folders import IMAGE_SUFFIXES
from botzoo.data.sources.tables import LABEL_NAMES, pick_column
from botzoo.data.streaming.shards import MAX_TEXT, Cell, Count, refuse_lists, tally

MAX_PART = 1 << 30
"""Bytes that are read at once of a tar file, as of an image in it; what claims to be larger is refused."""


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
    read_whole: ClassVar[bool] = True

    def cells(self, file: BinaryIO, wanted: Callable[[int], bool], end: int) -> Iterator[Cell]:
        """See ``Form``."""

        def reads(number: int, kind: str) -> bool:
            return wanted(number) and (kind == self.label or self._is_image(kind))

        for number, fields in _samples(file, reads, end):
            if wanted(number):
                image = next((content for kind, content in fields.items() if self._is_image(kind)), b"")
                yield number, image, self._label(fields.get(self.label))

    def count(self, file: BinaryIO) -> Count:
        """See ``Form``; only labels are read."""
        samples = _samples(file, lambda number, kind: kind == self.label)
        labels = tally(self._label(fields.get(self.label)) for _, fields in samples)
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
            # a/b.seg.png is the part seg.png of a/b; files that begin with a dot, or have none, are of no kind.
            folder, slash, base = member.name.rpartition("/")
            stem, _, kind = base.partition(".")
            if not (member.isfile() and stem and kind):
                continue
            if (whole := folder + slash + stem) != name or number < 0:
                if number >= 0:
                    yield number, fields
                number, name, fields = number + 1, whole, {}
                if number == end:
                    return
            kind = kind.lower()
            fields[kind] = b""
            if reads(number, kind):
                if member.issparse():
                    raise ValueError(
                        f"{member.name} in it is a sparse file, which has no limit to its size: write the shard without "
                        "--sparse"
                    )
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
        """Return the next ``size`` bytes."""
        if not 0 <= size <= MAX_PART:
            raise ValueError(f"a part of it claims to have {size:,} bytes, and {MAX_PART:,} are the most that is read")
        return self.file.read(size)


def look(name: str, file: BinaryIO, image_column: str | None, label_column: str | None) -> tuple[TarForm, None]:
    """Return how tar files are read, by the endings in the first group of files; they declare no class names."""
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
        raise refuse_lists(name, label)
    return (TarForm(asked, label) if label in fields else TarForm(asked, str(described), label)), None
