"""The readable images of a split, each decoded once and checked before training."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial, reduce
from io import BytesIO
from operator import or_
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from botzoo.data.decode import DEEP, RAW, REDUCED, at_hand, extremes, header_of, is_of_other_channels, size_of
from botzoo.data.decoded import Decoded, Index, Pixels, find_decoded, finish, is_kept, key_of, open_decoded
from botzoo.data.loader import Batch, LoadedSplit, Stack, collate, load
from botzoo.data.order import Order, share
from botzoo.data.parallel import in_order
from botzoo.data.progress import Progress
from botzoo.data.remembered import Remembered, in_files, remember, remembered
from botzoo.data.transforms import Key, Row, Transform
from botzoo.errors import DataError
from botzoo.models.preprocessing import PLAIN, Decoding
from botzoo.pixels import jpeg
from botzoo.pixels.bands import AtHand, Picture, picture_of, pixels_of
from botzoo.pixels.jpeg import QUALITY
from botzoo.pixels.values import Extremes, is_deep, may_be_deep
from botzoo.sources.base import Encoded, Split
from botzoo.sources.files import mark_of, read_file, row_mark, table_mark
from botzoo.sources.groups import numbered
from botzoo.util.cache import DECODED, EXTREMES
from botzoo.util.text import counted, in_megabytes

log = logging.getLogger("botzoo")


class Images(LoadedSplit):
    """The readable images of a split, decoded once where there is room for their pixels; ``split`` is without the others."""

    hashed = "its images and labels in order"
    order_depends_on_processes = False

    def __init__(self, split: Split, decoded: Decoded, rows: NDArray[np.int64], how: Decoding = PLAIN) -> None:
        self.split, self.labels, self.decoded, self.rows, self.decoding = split, split.labels, decoded, rows, how
        sha = hashlib.sha256(split.target_bytes())
        sha.update(np.ascontiguousarray(decoded.index.digests[rows]).data)
        self.fingerprint, self.evaluated = sha.hexdigest(), len(split)
        self.copied = decoded.copied  # as smaller JPEGs, which are decoded in every epoch
        self.cached = decoded.kept and not decoded.copied  # in memory or mapped from a file
        self.kinds = decoded.index.kinds
        self.groups = None if split.groups is None else numbered(split.groups)
        self.kept_in = self._kept_in()
        self.replaced: dict[int, str] = {}  # what is wrong with images in whose place another one was trained on

    def __len__(self) -> int:
        return len(self.labels)

    def describe(self, i: int) -> str:
        return self.split.describe(i)

    def names(self) -> list[str]:
        return [self.split.describe(i).removeprefix(self.split.root) for i in range(len(self))]

    def only(self, split: Split) -> Images:
        """Return those images that are in ``split``, which was taken from this one's."""
        return self if split is self.split else Images(split, self.decoded, self.rows[split.rows], self.decoding)

    @property
    def shapes(self) -> NDArray[np.int32]:
        """Height and width of each image in pixels, shape (N, 2)."""
        return self.decoded.index.shapes[self.rows]

    @property
    def cached_bytes(self) -> int:
        """Size of the decoded images at hand, or of their copies."""
        if self.decoded.index.copies is not None:
            return int(self.decoded.index.copies[self.rows].sum()) if self.copied else 0
        return int(self.decoding.channels * self.shapes.astype(np.int64).prod(1).sum()) if self.cached else 0

    def _kept_in(self) -> str:
        """Return where the pixels are and what they take, for the plan."""
        index = self.decoded.index
        size = int(index.offsets[-1])
        shorter = f"shorter side at most {self.decoding.side} px" if REDUCED in index.kinds else "of full size"
        if self.cached:
            folder = f"decoded in {self.decoded.path.parent}" if self.decoded.path else "in memory"
            return f"{folder} ({in_megabytes(size)}, {shorter})"
        by = f"decoded in every epoch by {_decoder()}"
        if self.copied:
            pixels = index.channels * int(index.shapes.astype(np.int64).prod(1).sum())
            kept = f"{in_megabytes(size)} in place of {in_megabytes(pixels)} of pixels, {shorter}, quality {QUALITY}"
            return (
                f"as smaller JPEGs in {DECODED.folder} ({kept}), {by}; --data.copies never decodes the files themselves"
            )
        smaller = f", {_gib(COPIED * size)} smaller copies of them" if REDUCED in index.kinds else ""
        kept = f"{by} ({shorter}; --data.cache-gib {_gib(size)} would keep them{smaller})"
        return f"{kept}; before the first epoch only their headers are checked" if index.by_header else kept

    def pixels(self, i: int) -> Pixels:
        """Return image i, uint8 (H, W, C), to be read only; where it is cached, a view."""
        with self.at_hand(i) as picture:
            return pixels_of(picture)

    def image(self, i: int) -> Picture:
        """Return image i, decoded."""
        with self.at_hand(i) as picture:
            return picture_of(picture)

    @contextmanager
    def at_hand(self, i: int) -> Iterator[AtHand]:
        """Give image i: where it is cached a view of its pixels, else decoded, with room for it to the end of the block."""
        if self.cached:
            yield self.decoded.pixels(int(self.rows[i]))
            return
        with ExitStack() as room:
            try:
                picture = room.enter_context(at_hand(self._encoded(i), self.decoding))
            except (OSError, ValueError, MemoryError) as error:
                name, reason = self.split.describe(i), _reason(error)
                if self.decoded.index.by_header and isinstance(error, ValueError):
                    raise _BrokenError(name, reason) from error
                raise DataError(f"{name} can no longer be read: {reason}") from error
            yield picture

    def _encoded(self, i: int) -> Encoded:
        """Return what image i is decoded from in every epoch."""
        return (self.decoded.copy(int(self.rows[i])) if self.copied else b"") or self.split.read(i)

    def stored(self, i: int) -> bytes:
        """Return image i as it is stored; as PNG, which loses nothing, where it is an array."""
        encoded = self.split.read(i)
        if isinstance(encoded, np.ndarray):
            file = BytesIO()
            self.image(i).convert("RGB").save(file, "PNG")
            return file.getvalue()
        return encoded if isinstance(encoded, bytes) else read_file(encoded)

    def train_batches(
        self, transform: Transform, order: Order, first: int, last: int, *, workers: int, pin: bool
    ) -> Iterator[list[Batch]]:
        """See ``LoadedSplit``. Where only the headers were checked, the next readable image takes a broken one's place.

        So batches are a function of the files alone, and a run that is resumed goes on with the same ones.
        """
        keys = (batch for step in range(first, last) for batch in order.micro_batches(step))
        batches = load(
            _Replacing(self, transform), keys, partial(_collate_replaced, stack=transform.stack), workers, pin
        )
        for _ in range(first, last):
            try:
                found = [next(batches) for _ in range(order.accumulate)]
                for _, replaced in found:
                    self.note(replaced)
                yield [batch for batch, _ in found]
            except DataError as error:  # from a worker it comes with the worker's traceback in front
                message = str(error).strip().splitlines()[-1]
                raise DataError(message.removeprefix("botzoo.errors.DataError: ")) from error

    def note(self, replaced: dict[int, str]) -> None:
        """List images that were replaced, each once; raise DataError where they are too many."""
        for i in sorted(replaced.keys() - self.replaced.keys()):
            self.replaced[i] = replaced[i]
            log.warning("%s cannot be read (%s): another image takes its place.", self.describe(i), replaced[i])
        if len(self.replaced) > most_broken(len(self)):
            bad = [Unreadable(self.describe(i), reason) for i, reason in sorted(self.replaced.items())]
            raise unreadable(bad, len(self))

    def eval_batches(
        self, transform: Transform, batch_size: int, *, rank: int, world_size: int, workers: int, pin: bool
    ) -> Iterator[Batch]:
        mine = [(0, i) for i in share(len(self), rank, world_size)]
        keys = (mine[k : k + batch_size] for k in range(0, len(mine), batch_size))
        yield from load(_Keyed(self, transform), keys, partial(collate, stack=transform.stack), workers, pin)

    def readable(self, rows: Iterable[int], transform: Transform) -> Iterator[Row]:
        """Yield images as an evaluation sees them, without those whose headers alone were sound."""
        keyed = _Keyed(self, transform)
        for i in rows:
            try:
                row = keyed[0, i]
            except _BrokenError:
                continue
            yield row


class _Keyed(Dataset[Row]):
    """Images behind a transform, addressed by their keys."""

    def __init__(self, images: Images, transform: Transform) -> None:
        self.images, self.transform = images, transform

    def __getitem__(self, key: Key) -> Row:
        index = key[1]
        with self.images.at_hand(index) as picture:
            return self.transform.pair(picture, self.images.split.target(index), key)


FEW, MANY = 10, 0.01
"""Images, and the share of all, of which so many may turn out to be unreadable in training."""


def most_broken(images: int) -> float:
    """Return how many of so many images may turn out to be unreadable in training."""
    return max(FEW, MANY * images)


class _BrokenError(DataError):
    """An image whose header was all that was checked turns out to be unreadable."""

    def __init__(self, name: str, reason: str) -> None:
        self.reason = reason
        cure = "mend or remove it, or leave such files out with --skip-corrupt, which decodes all of them beforehand"
        super().__init__(f"{name} cannot be read ({reason}): {cure}.")


class _Replacing(_Keyed):
    """The same where an image may be unreadable: then it is the next one that is not, and which ones were is added."""

    def __getitem__(self, key: Key) -> tuple[Row, dict[int, str]]:  # type: ignore[override]
        epoch, index, turn = (*key, 0)[:3]
        replaced = dict[int, str]()
        while True:
            try:
                return super().__getitem__(key), replaced
            except _BrokenError as error:
                replaced[key[1]] = error.reason
                if len(replaced) > FEW:
                    raise DataError(str(error)) from error
            # Its own crops, of the next turn, are others.
            key = epoch, (index + len(replaced)) % len(self.images), turn + 1


def _collate_replaced(rows: Sequence[tuple[Row, dict[int, str]]], stack: Stack) -> tuple[Batch, dict[int, str]]:
    """Return a batch, and what is wrong with the images that others replace in it."""
    return collate([row for row, _ in rows], stack), {i: reason for _, met in rows for i, reason in met.items()}


def read_images(
    split: Split,
    how: Decoding = PLAIN,
    surveyed: Survey | None = None,
    *,
    skip_corrupt: bool = False,
    by_header: bool = False,
    cache_bytes: int = 2 << 30,
    copies: bool | None = False,
    progress: Progress = lambda items, *, total: items,
    first: Callable[[Callable[[], str | None]], str | None] = lambda work: work(),
) -> tuple[Images, list[Unreadable]]:
    """Decode every image of ``split`` once, so that a broken file is found before training; return also those left out.

    What was decoded once is taken from the disk, as long as not a byte of the encoded images has changed; see
    ``botzoo.data.decoded``.

    Args:
        how: images become pixels.
        surveyed: what was found of them before, by ``survey``.
        skip_corrupt: leave unreadable images out instead of raising.
        by_header: look at the headers only, where the images are more than may be kept; of those that turn out to be
            unreadable in training another takes the place, see ``Images.train_batches``. Where all were decoded before,
            no more than ``most_broken`` of those that were broken are left to that.
        cache_bytes: decoded images, or copies, are kept if all of them take at most so many bytes.
        copies: keep images that are reduced as smaller JPEGs, of which training decodes the same pixels in every run; None
            where pixels would take too many bytes and the files are much larger, see ``way_to_keep``.
        progress: is given the reading and then, where that is needed, the decoding.
        first: does the work on one process of each machine and gives its answer to the others there.

    Raises:
        DataError: an image cannot be read and ``skip_corrupt`` is False, or no image or none of a class is left; or copies
            that are asked for cannot be kept.
    """
    mine: list[Decoded] = []
    read = partial(_decoded, split, how, cache_bytes, progress, by_header=by_header, copies=copies)

    def work() -> str | None:
        mine.append(read(surveyed))
        return mine[0].path.stem if mine[0].path else None

    key = first(work)
    # The other processes map what the first wrote; where it could write nothing, each has to decode for itself.
    decoded = mine[0] if mine else (open_decoded(key) if key else None) or read()
    index = decoded.index
    if index.offsets[-1] > cache_bytes:  # an earlier run had more room
        decoded = Decoded(index)
    problems = {**split.problems, **index.problems}
    bad = [Unreadable(split.describe(i), problem) for i, problem in sorted(problems.items())]
    if bad and not skip_corrupt:
        raise unreadable(bad, len(split))
    kept = np.setdiff1d(np.arange(len(split)), list(problems))
    if not len(kept):
        cure = "give others, or leave --data.channels out" if is_of_other_channels(bad[0].problem) else "give others"
        raise DataError(f"None of {counted(len(split), 'image')} in {split.name} can be read: {bad[0]}: {cure}.")
    good = split.take(kept) if bad else split
    before, after = (np.count_nonzero(part.class_counts(0)) for part in (split, good))
    if after < before:
        if odd := [image for image in bad if is_of_other_channels(image.problem)]:
            raise of_other_channels(odd[0], split.describe(int(kept[0])))
        lost = counted(int(before - after), "class", "classes")
        raise DataError(f"All {split.name} images of {lost} are unreadable, such as {bad[0]}.")
    return Images(good, decoded, kept, how), bad


class Unreadable(NamedTuple):
    """An image that cannot be read: its file or row, and why."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"


def unreadable(bad: Sequence[Unreadable], total: int) -> DataError:
    """Return the error that lists the images that cannot be read."""
    more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
    named = f"{len(bad)} of {total} images cannot be read: {'; '.join(map(str, bad[:10]))}{more}"
    return DataError(f"{named}. Mend or remove them, or leave them out with --skip-corrupt.")


def of_other_channels(odd: Unreadable, like: str) -> DataError:
    """Return the error on an image of other channels than the image ``like``."""
    return DataError(f"{odd} as {like}: give images of one kind, or leave it out with --skip-corrupt.")


class Survey(NamedTuple):
    """What is known of encoded images before any is decoded: of each its SHA-256, uint8 (N, 32); what is wrong with those
    that cannot be read; and which may have more than 8 bits.
    """

    digests: NDArray[np.uint8]
    problems: dict[int, str]
    deep: list[int]


MOSTLY = 0.9
"""Share of files from which on they count as known: the others are read and hashed, and decoded only if they have to be."""


def survey(split: Split, progress: Progress = lambda items, *, total: items, *, whole: bool = True) -> Survey | None:
    """Read and hash the images, but for files that have not changed since that was done last.

    Unless the ``whole`` survey is asked for, it is None of files that are new and not of more than 8 bits, as far as a look
    at a few says: decoding reads and hashes them in one go.
    """
    known = remembered(split)
    unknown, table = known.unknown, table_mark(split)
    if not whole and in_files(split) and len(unknown) > (1 - MOSTLY) * len(split) and not _some_deep(split):
        return None
    problems = dict[int, str]()
    looks = progress(in_order(lambda k: _look(split, int(unknown[k]), table=table), len(unknown)), total=len(unknown))
    for i, image in zip(unknown.tolist(), looks, strict=True):
        image.note(known, i)
        if image.problem:
            problems[i] = image.problem
    if known.marks[unknown].any():
        remember(split, known)
    return Survey(known.digests, problems, np.flatnonzero(known.deep).tolist())


def _a_few(split: Split) -> list[int]:
    return np.linspace(0, len(split) - 1, min(20, len(split))).astype(int).tolist()  # type: ignore[no-any-return]


def _some_deep(split: Split) -> bool:
    """Tell whether any of a few images may have more than 8 bits."""
    return any(_look(split, i).deep for i in _a_few(split))


def few_extremes(split: Split, channels: int) -> Extremes | None:
    """Return the extremes of the values of more than 8 bits in a few images; None where none of them has any."""
    known: list[Extremes] = []
    for i in _a_few(split):
        with suppress(OSError, ValueError, MemoryError):  # which is said of it when it is decoded
            if (seen := _extremes(split, i, channels)) is not None:
                known.append(seen)
    return reduce(or_, known) if known else None


def _extremes(split: Split, i: int, channels: int) -> Extremes | None:
    raw = split.read(i)
    return extremes(read_file(raw) if isinstance(raw, Path) else raw, channels)


def extremes_in(split: Split, found: Survey, channels: int = 3) -> Extremes | None:
    """Return the extremes of all values of more than 8 bits, by earlier runs or by a look at each; None of none.

    Images of other ``channels`` do not count. What could not be looked at for want of memory is not kept as looked at.
    """
    if not found.deep:
        return None
    key = key_of(found.digests[found.deep], replace(RAW, channels=channels))
    with suppress(OSError):
        if (kept := EXTREMES.open(key, lambda content: json.loads(content.tobytes()))) is not None:
            return Extremes(*kept) if kept else None
    missed = []

    def look(k: int) -> Extremes | None:
        try:
            return _extremes(split, found.deep[k], channels)
        except (OSError, MemoryError):  # which is said of it when it is decoded
            missed.append(k)
            return None

    known = [seen for seen in in_order(look, len(found.deep)) if seen is not None]
    together = reduce(or_, known) if known else None
    if not missed:
        EXTREMES.keep(key, json.dumps(list(together or ())).encode(), logging.DEBUG)
    return together


def _decoded(
    split: Split,
    how: Decoding,
    cache_bytes: int,
    progress: Progress,
    surveyed: Survey | None = None,
    *,
    by_header: bool = False,
    copies: bool | None = False,
) -> Decoded:
    """Return what earlier runs decoded of exactly these images, or decode them, on the disk or, failing that, in memory.

    With ``by_header`` only the headers are read of images that are surely more than may be kept.
    """
    # Hashing is much faster than decoding, so that it comes first and alone where pixels may be there already: of what is
    # in memory, and of files that are known. New files are read once, hashed and decoded.
    surveyed = surveyed or survey(split, progress, whole=False)
    read, room = _Reading(split, how, surveyed, progress), min(cache_bytes, disk_room())
    headers = by_header and _expected(split, how)[0] > SURELY * room
    found = None
    if surveyed is not None and not copies:
        found = find_decoded(surveyed.digests, how, by_header=headers)
        if found is not None and headers and 0 < len(found.index.problems) <= most_broken(len(split)):
            found = Decoded(_as_by_header(found.index, split, how))
    size = found.index.offsets[-1] if found is not None else 0
    fits = found is not None and found.kept and size <= cache_bytes
    wanted = copies or (copies is None and not fits)
    if wanted and (copied := _copied(read, room, required=bool(copies))) is not None:
        return copied
    if surveyed is not None and found is not None and (found.kept or size > room):
        return Decoded(replace(found.index, problems=found.index.problems | surveyed.problems), path=found.path)
    if len(split) and not _are_arrays(split):  # pixels at hand need no decoding, and no file
        try:
            with DECODED.writing(read.key(), is_kept) as draft:
                index, kept = read.all(
                    lambda pixels: draft.write(np.ascontiguousarray(pixels)), room, by_header=by_header
                )
                finish(draft, index, how, keep=kept)
            return Decoded(index, path=DECODED.path(draft.key))
        except OSError as error:
            log.warning("Decoded images are held in memory: they cannot be kept in %s (%s).", DECODED.folder, error)
    pixels: list[Pixels] = []
    index, kept = read.all(pixels.append, min(cache_bytes, IN_MEMORY), by_header=by_header)
    return Decoded(index, pixels if kept else None)


def _are_arrays(split: Split) -> bool:
    """Tell whether the images of a split are arrays, by the first one."""
    with suppress(OSError):
        return isinstance(split.read(0), np.ndarray)
    return False


def _as_by_header(index: Index, split: Split, how: Decoding) -> Index:
    """Return what headers alone would have said of images that were all decoded before.

    So a run does not depend on whether another one has met the broken images already.
    """
    looks = {i: _look(split, i, how, by_header=True) for i in index.problems}
    shapes = index.shapes.copy()
    for i, image in looks.items():
        shapes[i] = image.shape
    problems = {i: image.problem for i, image in looks.items() if image.problem}
    return replace(index, shapes=shapes, problems=problems, by_header=True)


def _copied(read: _Reading, room: int, *, required: bool) -> Decoded | None:
    """Return smaller copies of images, of earlier runs or made now; None where they are of no use or have no room.

    Raises:
        DataError: they are ``required`` and cannot be kept.
    """
    if not required and way_to_keep(read.split, read.how, room) != "copies":
        return None
    found = open_decoded(read.key(copies=True)) if read.surveyed is not None else None
    if found is not None and found.copied and found.index.offsets[-1] <= room:
        return found
    try:
        with DECODED.writing(read.key(copies=True), is_kept) as draft:
            index, kept = read.all(draft.write, room, copies=True)
            useful = REDUCED in index.kinds
            finish(draft, index if kept and useful else replace(index, copies=None), read.how, keep=kept and useful)
        if kept and useful:
            return Decoded(index, path=DECODED.path(draft.key))
        reason = f"they take more than {in_megabytes(room)}"
    except OSError as error:
        useful, reason = True, str(error)
    if required and useful:
        raise DataError(
            f"Smaller copies of the images of {read.split.name} cannot be kept in {DECODED.folder} ({reason}): make room "
            "there, give a larger --data.cache-gib, or begin a run with --data.copies never."
        )
    return None


class _Reading:
    """Reads all images of a split, of which ``surveyed`` is known."""

    def __init__(self, split: Split, how: Decoding, surveyed: Survey | None, progress: Progress) -> None:
        self.split, self.how, self.surveyed, self.progress = split, how, surveyed, progress

    def key(self, *, copies: bool = False) -> str:
        digests = np.zeros(0, np.uint8) if self.surveyed is None else self.surveyed.digests
        return key_of(digests, self.how, copies=copies)

    def look(self, i: int, *, by_header: bool, copies: bool, table: int) -> _Look:
        if self.surveyed is not None and i in self.surveyed.problems:
            return _Look(self.surveyed.digests[i].tobytes(), problem=self.surveyed.problems[i])
        return _look(self.split, i, self.how, by_header=by_header, copy=copies, table=table)

    def all(
        self, keep: Callable[[Any], object], room: int, *, by_header: bool = False, copies: bool = False
    ) -> tuple[Index, bool]:
        """Give ``keep`` pixels or copies of each image while there is room; return the index and whether there was for all."""
        left, kinds, problems, count = room, Counter[str](), dict[int, str](), len(self.split)
        if too_many := not copies and _expected(self.split, self.how)[0] > SURELY * left:
            left = -1
        header = by_header and too_many
        # The digests are of the bytes decoded now, which may be others than those read before.
        found, shapes, sizes = Remembered.nothing(count), np.zeros((count, 2), np.int32), np.zeros(count, np.int64)
        one = partial(self.look, by_header=header, copies=copies, table=table_mark(self.split))
        looks = self.progress(in_order(one, count, lambda image: image.size), total=count)
        for i, image in enumerate(looks):
            left -= image.size
            if left >= 0:
                keep(image.kept)
            kinds.update(image.kinds)
            image.note(found, i)
            shapes[i], sizes[i] = image.shape, image.size
            if image.problem:
                problems[i] = image.problem
        if self.surveyed is None:
            remember(self.split, found)
        said = Index(found.digests, shapes, problems, self.how.channels, dict(kinds), header, sizes if copies else None)
        return said, left >= 0


IN_MEMORY = 2 << 30
"""Bytes of decoded images that are held in memory where they cannot be on the disk, at most."""

SURELY = 1.5
"""How many times the room a few images must seem to need before none are written that would be thrown away."""


def disk_room() -> int:
    """Return how many bytes of decoded images the disk of the cache may take: half of what is free."""
    folder = DECODED.folder.absolute()
    with suppress(OSError):
        return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.is_dir())).free // 2
    return IN_MEMORY


WORTH = 2.0
"""How many times the pixels that are needed the files must have, on average, for smaller copies to be worth making."""

COPIED = 0.3
"""Bytes of copies over those of their pixels, at most: of photos it is a fifth."""


def way_to_keep(split: Split, how: Decoding, room: int) -> Literal["pixels", "copies"] | None:
    """Return what of the images of a split is kept in so many bytes, by the headers of a few: with None nothing."""
    needed, stored = _expected(split, how)
    if needed <= room:
        return "pixels"
    worth = stored >= WORTH * needed and how.channels in (1, 3) and not _are_arrays(split)
    return "copies" if worth and COPIED * needed <= room else None


SCALED = 4.0
"""How many times the pixels that are needed the files must have, on average, for JPEGs to be decoded at half their size."""


def decode_smaller(split: Split, how: Decoding) -> bool:
    """Tell whether most images of a split are decoded at a part of their size, by the headers of a few.

    Others would be decoded whole and then resized twice: to the side of ``how`` and to that of the crop.
    """
    needed, stored = _expected(split, how)
    return stored >= SCALED * needed


def _expected(split: Split, how: Decoding) -> tuple[float, float]:
    """Return about how many bytes the decoded images of a split take, and those of their full size would.

    It is by the headers of a few; 0 where none can be read.
    """
    few = np.linspace(0, len(split) - 1, min(50, len(split))).astype(int).tolist()
    sizes = []
    for i in few:
        with suppress(OSError, ValueError, MemoryError):
            encoded = split.read(i)
            sizes.append([math.prod(size_of(encoded, each)) for each in (how, replace(how, side=None))])
    needed, stored = how.channels * len(split) * np.mean(sizes, 0) if sizes else (0.0, 0.0)
    return float(needed), float(stored)


def _decoder() -> str:
    """Say what decodes most JPEGs."""
    return "TorchCodec" if jpeg.fast_decoder() else "Pillow (pip install 'botzoo[fast]' takes a quarter less time)"


def _gib(size: float) -> int:
    return math.ceil(size / (1 << 30))


class _Look(NamedTuple):
    """What was found of an image: the SHA-256 of what it is decoded from, what is kept of it, and what is wrong with it.

    The digest is zeros where the bytes cannot be blamed: nothing that is kept under it is ever taken for theirs.
    """

    digest: bytes = bytes(32)
    kept: Pixels | bytes = np.empty((0, 0, 3), np.uint8)  # its pixels, or the JPEG of them
    problem: str | None = None
    deep: bool = False  # whether it may have more than 8 bits
    kinds: frozenset[str] = frozenset()  # what it was seen to be when it was decoded
    mark: int = 0  # of its file, see ``botzoo.data.remembered``
    shape: tuple[int, int] = (0, 0)  # height and width of its pixels

    @property
    def size(self) -> int:
        """Bytes of what is kept."""
        return len(self.kept) if isinstance(self.kept, bytes) else self.kept.nbytes

    def note(self, found: Remembered, i: int) -> None:
        """Write down what is to be remembered of image i."""
        found.digests[i], found.deep[i], found.marks[i] = np.frombuffer(self.digest, np.uint8), self.deep, self.mark


def _look(
    split: Split,
    i: int,
    how: Decoding | None = None,
    *,
    by_header: bool = False,
    copy: bool = False,
    table: int = 0,
) -> _Look:
    """Read an image and hash what it is decoded from; decode it too, or look at its header, where it is said ``how``.

    With ``copy`` its pixels are kept as a JPEG if it was reduced, and not at all if it was not. Of a row in a ``table`` the
    mark of that is to be given.
    """
    try:
        raw = split.read(i)
        mark = row_mark(table, i)
        if isinstance(raw, Path):
            mark, raw = mark_of(raw), read_file(raw)  # in this order: a change in between is seen by the next run
        if isinstance(raw, bytes) and not raw:
            return _Look(problem="it is empty (0 bytes)")
        digest = hashlib.sha256(raw if isinstance(raw, bytes) else raw.tobytes()).digest()
        deep = may_be_deep(raw) if isinstance(raw, bytes) else is_deep(raw)
        if how is None:
            return _Look(digest, deep=deep, mark=mark)
        kinds = {DEEP} if deep and by_header else set[str]()
        try:
            if by_header:
                shape = header_of(raw, how, kinds.add)
                return _Look(digest, deep=deep, kinds=frozenset(kinds), mark=mark, shape=shape)
            with at_hand(raw, how, kinds.add) as image:
                pixels = pixels_of(image)
            shape = pixels.shape[0], pixels.shape[1]
            kept = (jpeg.encoded(pixels) if REDUCED in kinds else b"") if copy else pixels
            return _Look(digest, kept, deep=deep, kinds=frozenset(kinds), mark=mark, shape=shape)
        except ValueError as error:
            return _Look(digest, problem=str(error), deep=deep, mark=mark)
    except (OSError, MemoryError) as error:
        return _Look(problem=_reason(error))


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "there is not memory enough for it"
