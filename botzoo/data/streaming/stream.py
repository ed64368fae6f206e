"""Images that are streamed from shards: which process reads which, in what order, and where a resumed run goes on.

Everything follows from (seed, pass, number of processes) and from how many images each shard holds:

1. A pass puts the shards into a random order and their images, end to end, into one line.
2. The line, less the images that do not fill a last batch, is cut into W parts of equal length, one for each process,
   whatever the sizes of the shards: a part may begin and end within one. So each pass sees each image once, but for
   those left out.
3. Each process reads up to ``TOGETHER`` shards of its part at once, by turns that are drawn, so that shards which are
   sorted by class are mixed, and draws its next image at random from a buffer that the images read fill up.

All this is arithmetic on numbers, not on images. A resumed run does it again and reads only what it had not trained on:
it goes on with the very image with which the other would have gone on. Augmentation depends on the seed, the pass and
the image. An unreadable image gives its place in the batch to another one of that batch.
"""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from botzoo.data.decode import DEEP, at_hand
from botzoo.data.loader import Batch, LoadedSplit, collate, load
from botzoo.data.order import Order, share
from botzoo.data.streaming.shards import Shards
from botzoo.data.transforms import Key, Transform
from botzoo.data.transforms import Row as Decoded
from botzoo.errors import DataError
from botzoo.models.preprocessing import PLAIN, Decoding
from botzoo.util.text import counted

log = logging.getLogger("botzoo")

TOGETHER = 16
"""Shards that a process reads at once, or as many as its buffer holds images."""

WATCHED, TOO_FEW = 4, 0.6
"""First batches whose classes are counted, and of what chance would give them the share below which that is said."""

Piece = tuple[int, int, int]
"""A shard, the first of its images that is a process's, and how many there are."""


class Row(NamedTuple):
    """An image on its way, still encoded."""

    key: Key
    encoded: bytes
    label: int
    source: str


class Stream(LoadedSplit):
    """The images of a split in shards.

    The next one is drawn from ``buffer`` >= 1 of them; 1 leaves them in the order of their shards. With
    ``skip_corrupt`` unreadable images are done without, else they raise.
    """

    labels = None
    kinds = None
    groups = None
    hashed = "the names, sizes and image counts of its shards"
    order_depends_on_processes = True
    copied = False

    def __init__(self, shards: Shards, buffer: int, skip_corrupt: bool = False, how: Decoding = PLAIN) -> None:
        self.shards, self.buffer, self.skip_corrupt, self.decoding = shards, buffer, skip_corrupt, how
        self.fingerprint = shards.fingerprint()
        self.kept_in = f"streamed from {counted(len(shards.urls), 'shard')}, shuffled in a buffer of {buffer:,}"
        self.evaluated = None if skip_corrupt else len(shards)
        self._reported: set[str] = set()
        self._watched = False

    def __len__(self) -> int:
        return len(self.shards)

    @property
    def shapes(self) -> NDArray[np.int32]:
        """Height and width of the few images that were looked at, in pixels, shape (n, 2)."""
        return np.array(self.shards.seen.shapes, np.int32).reshape(-1, 2)

    def describe(self, i: int) -> str:
        ends = np.cumsum(self.shards.images)
        shard = int(np.searchsorted(ends, i, "right"))
        return self.shards.describe(shard, i - int(ends[shard] - self.shards.images[shard]))

    def names(self) -> list[str]:
        return self.shards.names()

    def train_batches(
        self, transform: Transform, order: Order, first: int, last: int, *, workers: int, pin: bool
    ) -> Iterator[list[Batch]]:
        """Yield the micro-batches; this process alone reads, however many decode, so that images keep their order."""
        rows = _ahead(self._watch(self.micro_batches(order, first, last), order))
        batches = iter(
            load(_Prepared(transform, self.decoding), rows, partial(_collate_readable, fill=True), workers, pin)
        )
        for _ in range(first, last):
            step = [self._readable(next(batches)) for _ in range(order.accumulate)]
            if None in step:
                size = order.micro_batch
                raise DataError(f"A whole batch of {size} images of the {self.shards.name} split is unreadable.")
            yield [batch for batch in step if batch is not None]

    def eval_batches(
        self, transform: Transform, batch_size: int, *, rank: int, world_size: int, workers: int, pin: bool
    ) -> Iterator[Batch]:
        rows = self.in_order(rank, world_size)
        batches = _ahead(iter(lambda: list(islice(rows, batch_size)), []))
        for batch in load(
            _Prepared(transform, self.decoding), batches, partial(_collate_readable, fill=False), workers, pin
        ):
            if (tensors := self._readable(batch)) is not None:
                yield tensors

    def micro_batches(self, order: Order, first: int, last: int) -> Iterator[list[Row]]:
        """Yield this process's rows of the optimizer steps [first, last), micro-batch by micro-batch.

        ``order`` gives batch size, seed and processes; its epochs need not be the passes over the images.
        """
        steps = len(self) // order.batch_size  # in a pass
        for number in range(first // steps, -(-last // steps)):
            begin, end = max(first, number * steps), min(last, (number + 1) * steps)
            rows = self.rows(order, number, steps, begin - number * steps)
            for _ in range((end - begin) * order.accumulate):
                yield list(islice(rows, order.micro_batch))

    def rows(self, order: Order, number: int, steps: int, done: int = 0) -> Iterator[Row]:
        """Yield this process's rows of pass ``number``, without those of its first ``done`` steps."""
        each = order.batch_size // order.world_size
        # rank + 1: numpy takes (seed, number, 0) for (seed, number), from which the order of the shards is drawn
        rng = np.random.default_rng((order.seed, number, order.rank + 1))
        draws = drawn(steps * each, self.buffer, rng)
        wanted = np.ones(len(draws), bool)
        wanted[draws[: done * each]] = False
        shards = np.random.default_rng((order.seed, number)).permutation(len(self.shards.urls))
        pieces = self._pieces(shards, order.rank * len(draws), len(draws))
        lanes = min(
            TOGETHER, self.buffer
        )  # each reads every so-manieth piece; all come to their ends at about one time
        lane_of = np.repeat(np.arange(len(pieces)) % lanes, [images for _, _, images in pieces]).astype(np.uint8)
        turns = rng.permutation(lane_of)
        readers = [self._read(pieces[k::lanes], wanted[turns == k], number) for k in range(lanes)]
        incoming = iter(np.flatnonzero(wanted).tolist())
        held: dict[int, Row] = {}
        for place in draws[done * each :].tolist():
            while place not in held:  # what comes out of the buffer later waits here, already read
                at = next(incoming)
                held[at] = next(readers[turns[at]])
            yield held.pop(place)

    def in_order(self, rank: int, world_size: int) -> Iterator[Row]:
        """Yield the rows that process ``rank`` evaluates, in the order of the shards; each is one process's."""
        mine = share(len(self), rank, world_size)
        pieces = self._pieces(np.arange(len(self.shards.urls)), mine.start, len(mine))
        yield from self._read(pieces, np.ones(len(mine), bool), 0)

    def _pieces(self, shards: NDArray[np.int64], start: int, count: int) -> list[Piece]:
        """Return the pieces that ``count`` images from ``start`` on lie in, where all ``shards`` are put end to end."""
        sizes = self.shards.images[shards]
        begins = np.cumsum(sizes) - sizes
        low, high = np.maximum(begins, start), np.minimum(begins + sizes, start + count)
        pieces = zip(shards.tolist(), (low - begins).tolist(), (high - low).tolist(), strict=True)
        return [piece for piece in pieces if piece[2] > 0]

    def _read(self, pieces: Sequence[Piece], wanted: NDArray[np.bool_], epoch: int) -> Iterator[Row]:
        """Yield the rows of the wanted ones of the images of ``pieces``, in their order."""
        sizes = self.shards.images
        firsts = np.cumsum(sizes) - sizes  # number of each shard's first image in the whole split
        end = 0
        for shard, first, images in pieces:
            begin, end = end, end + images
            if not wanted[begin:end].any():
                continue
            for number, encoded, label in self.shards.cells(shard, wanted[begin:end], first):
                source = self.shards.describe(shard, number)
                try:
                    index = self.shards.index_of(label)
                except ValueError as error:
                    raise DataError(f"{source} has {error}: mend or remove it.") from error
                yield Row((epoch, int(firsts[shard]) + number), encoded, index, source)

    def _watch(self, batches: Iterator[list[Row]], order: Order) -> Iterator[list[Row]]:
        """Yield batches of rows; say once, on one process, where the first have far fewer classes than chance would give."""
        if self._watched or order.rank:
            yield from batches
            return
        self._watched = True
        first = list(islice(batches, WATCHED))
        counts, classes = self.shards.class_counts(self.shards.classes), self.shards.classes
        shares = np.full(classes, 1 / classes) if counts is None else counts / counts.sum()
        seen = float(np.mean([len({row.label for row in batch}) for batch in first])) if first else 0
        expected = float(np.mean([(1 - (1 - shares) ** len(batch)).sum() for batch in first])) if first else 0
        if seen < TOO_FEW * expected:
            held = f"the buffer holds {min(self.buffer, len(self)):,} of {len(self):,} images"
            log.warning(
                "The first batches have %.1f of %d classes each, and chance would give them %.1f: the shards are sorted by "
                "class. Write them anew with the images in random order, or give a larger --data.shuffle-buffer (%s).",
                *(seen, classes, expected, held),
            )
        yield from chain(first, batches)

    def _readable(self, batch: tuple[Batch | None, list[str]]) -> Batch | None:
        """Return a batch without its unreadable images, which are an error or, each once, a line in the log."""
        tensors, problems = batch
        if problems and not self.skip_corrupt:
            cure = "Mend or remove it, or begin with --skip-corrupt; the checkpoints so far are kept."
            raise DataError(f"An image cannot be read: {problems[0]}. {cure}")
        for problem in set(problems) - self._reported:
            self._reported.add(problem)
            log.warning("left out: %s", problem)
        return tensors


def drawn(count: int, buffer: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return 0 ... count - 1 in the order in which they leave a shuffle buffer, int64 of shape (count,).

    The buffer begins with the first ``buffer`` of them; each time one is drawn from it, the next one takes its place.
    """
    held = list(range(min(buffer, count)))
    order: list[int] = []
    for incoming, place in enumerate(rng.integers(buffer, size=count - len(held)).tolist(), len(held)):
        order.append(held[place])
        held[place] = incoming
    return np.concatenate([np.array(order, np.int64), rng.permutation(np.array(held, np.int64))])


def _ahead(batches: Iterator[list[Row]]) -> Iterator[list[Row]]:
    """Yield batches of rows, of which the next is read from its shard while the last is worked on."""
    with ThreadPoolExecutor(1) as thread:  # a single one, so that rows keep their order
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


class _Prepared(Dataset[Any]):
    """Rows behind a transform; what is wrong with an image in place of an unreadable one."""

    def __init__(self, transform: Transform, how: Decoding) -> None:
        self.transform, self.how = transform, how

    def __getitem__(self, row: Row) -> Decoded | str:
        if not row.encoded:
            return f"{row.source}: it is empty (0 bytes)"
        with ExitStack() as stack:
            try:
                kinds = set[str]()
                image = stack.enter_context(at_hand(row.encoded, self.how, kinds.add))
            except (ValueError, MemoryError) as error:
                return f"{row.source}: {error}"
            if DEEP in kinds and self.how.range is None:
                return f"{row.source}: it has more than 8 bits, and shards are not read beforehand: give --data.range LOW,HIGH"
            return self.transform.pair(image, row.label, row.key)


def _collate_readable(rows: Sequence[Decoded | str], fill: bool) -> tuple[Batch | None, list[str]]:
    """Return the batch, or None where no image can be read, and what is wrong with the others.

    With ``fill``, the places of the others are taken by readable ones of the batch, from the first on.
    """
    good = [row for row in rows if not isinstance(row, str)]
    problems = [row for row in rows if isinstance(row, str)]
    if not good:
        return None, problems
    return collate([*good, *(good[i % len(good)] for i in range(len(problems)))] if fill else good), problems
