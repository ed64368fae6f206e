"""From a data set's name to the images of a run's splits: found, cut, read and checked."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial, reduce
from operator import or_
from typing import Any

from botzoo.data.decode import DEEP, PAGED, TRANSPARENT, channels_of, is_of_other_channels
from botzoo.data.images import (
    Images,
    Survey,
    Unreadable,
    decode_smaller,
    extremes_in,
    few_extremes,
    of_other_channels,
    read_images,
    survey,
    unreadable,
    way_to_keep,
)
from botzoo.data.progress import progress_of
from botzoo.data.splits import in_fold, joined, with_validation, without_test
from botzoo.data.streaming.find import find_shards
from botzoo.data.streaming.glance import Glance, glance
from botzoo.data.streaming.shards import Shards
from botzoo.data.streaming.stream import Stream
from botzoo.errors import DataError
from botzoo.models.preprocessing import Decoding
from botzoo.options.accepted import fold_of, splits_of
from botzoo.options.config import DataConfig
from botzoo.pixels.values import Extremes, usual_range
from botzoo.sources.base import ImageData, Shared, SourceOptions, Split, alone
from botzoo.sources.find import Kind, find_images
from botzoo.util.text import counted


def source_options(config: DataConfig, labels: Any = None) -> SourceOptions:
    """Return what the user says of the data set."""
    return SourceOptions(
        image_column=config.image_column,
        label_column=config.label_column,
        splits=splits_of(config.splits) if config.splits is not None else {},
        labels=labels,
        label_separator=config.label_separator,
        group=config.group,
        crops=config.crops,
    )


def decoding_of(found: ImageData[Any], config: DataConfig) -> Decoding:
    """Return how images become pixels, as far as the options and the header of the first image say.

    Raises:
        DataError: it has four channels, of which nobody says what the fourth is; or images in shards have more than 8 bits,
            and nobody says in what range.
    """
    if config.streaming:
        first: Glance = found.train.seen
        if first.channels is None:
            raise _four_channels(first.like)
        how = Decoding(first.channels, config.background, config.range, config.side or None)
        for role, split in found.splits.items():
            split.seen.refuse(found.name, role, how)
            if config.range is not None:
                _check_range(found.name, split.seen.deep, config.range)
        return how
    channels = config.channels or first_channels(found.train)
    return Decoding(channels, config.background, config.range, config.side or None)


def first_channels(split: Split) -> int:
    """Return the channels of the first image that can be read, of a few; 3 where none can, which is said later."""
    for i in range(min(20, len(split))):
        try:
            channels = channels_of(split.read(i))
        except (ValueError, OSError, MemoryError):
            continue
        if channels is not None:
            return channels
        raise _four_channels(split.describe(i))
    return 3


def _four_channels(name: str) -> DataError:
    return DataError(
        f"{name} has four channels: give --data.channels 3 if the fourth is transparency, which lies on --data.background "
        "then, or --data.channels 4 if it is one like the others."
    )


def are_kept(found: ImageData[Any], config: DataConfig, side: int) -> bool:
    """Tell whether the training images, reduced to ``side``, are kept as pixels or as copies, as far as the options say."""
    if config.streaming:
        return False
    way = way_to_keep(found.train, replace(decoding_of(found, config), side=side), _room(config))
    return way is not None and (way != "copies" or config.copies != "never")


def are_shrunk(found: ImageData[Any], config: DataConfig, side: int) -> bool:
    """Tell whether training images are decoded faster for being reduced to ``side``; of shards nobody has looked."""
    return config.streaming or decode_smaller(found.train, replace(decoding_of(found, config), side=side))


COPIES = {"auto": None, "always": True, "never": False}
"""What ``read_images`` is told of copies, by the option's values."""


def _room(config: DataConfig) -> int:
    return int(config.cache_gib * (1 << 30))  # bytes, for the pixels of all splits together


def range_of(name: str, found: Extremes) -> tuple[float, float]:
    """Return what is black and white in images of these extremes.

    Raises:
        DataError: they are of one value.
    """
    low, high = usual_range(found)
    if low < high:
        return low, high
    values = f"the one value {low:g}" if low == high else "no finite value"
    raise DataError(
        f"The images of {name} with more than 8 bits hold {values}, so they are all alike: look at the files, or give "
        "--data.range LOW,HIGH."
    )


def range_note(found: Extremes) -> str:
    """Return the note on images of more than 8 bits."""
    low, high = usual_range(found)
    held = f"{counted(found.images, 'image')} of more than 8 bits, of values from {found.low:g} to {found.high:g}"
    return f"{held}: {low:g} becomes black, {high:g} white (--data.range)"


def _check_range(name: str, values: Extremes | None, said: tuple[float, float]) -> None:
    """Raise DataError where a few images hold nothing between black and white."""
    if values is not None and values.low <= values.high and (values.high <= said[0] or values.low >= said[1]):
        colour, given = ("black" if values.high <= said[0] else "white"), "{:g},{:g}".format(*said)
        raise DataError(
            f"--data.range is {given}, and images of {name} hold values from {values.low:g} to {values.high:g}: all "
            f"would be {colour}. Give a range that has them in it, or leave it out."
        )


def kind_notes(images: Iterable[Images], how: Decoding) -> Iterator[str]:
    """Yield notes on transparent images, on TIFF files of several pages, and on other channels than three."""
    images = list(images)
    if clear := sum(split.kinds.get(TRANSPARENT, 0) for split in images):
        lie = "lies" if clear == 1 else "lie"
        yield f"{counted(clear, 'transparent image')} {lie} on {how.background} (--data.background)"
    if paged := sum(split.kinds.get(PAGED, 0) for split in images):
        have = f"{counted(paged, 'TIFF file has', 'TIFF files have')} several pages, of which the first is used"
        yield f"{have}; --data.channels N takes those of files with N pages as channels"
    if how.channels != 3:
        yield f"images of {counted(how.channels, 'channel')}, to which the first convolution is fitted"


def find(
    dataset: Any,
    config: DataConfig,
    from_main: Shared[Any] = alone,
    labels: Any = None,
    kind: Kind | None = None,
    on_each_node: Shared[Any] = alone,
) -> ImageData[Any]:
    """Find a data set, without the splits that a run leaves unread.

    Args:
        dataset: name or data, see ``find_images``.
        from_main: does work on the main process and gives its answer to all; of shards that one counts for all.
        labels: the table of them, see ``SourceOptions``.
        kind, on_each_node: what is to be learned, and who reads masks, see ``find_images``.

    Raises:
        DataError, NetworkError: as of ``find_images`` and ``find_shards``.
    """
    options = source_options(config, labels)
    found: ImageData[Any]
    if not config.streaming:
        found = find_images(dataset, options, kind or "classify", on_each_node)
    elif kind not in (None, "classify"):
        raise DataError(f"Boxes and masks are not streamed: leave --data.streaming out for --task {kind}.")
    elif not isinstance(dataset, str | os.PathLike):
        raise DataError("Data in memory is not streamed: leave data.streaming out.")
    else:
        found = from_main(lambda: _glanced(find_shards(os.fspath(dataset), options, classes=config.classes), config))
    if config.fold is not None:
        return joined(found)
    return found if config.test_split else without_test(found)


def _glanced(found: ImageData[Shards], config: DataConfig) -> ImageData[Shards]:
    """Return shards with what a look at a few images of each split finds, without the splits that are left unread."""
    found = found if config.test_split else without_test(found)
    how, seen = Decoding(config.channels or 0, config.background, config.range, config.side or None), dict[str, Any]()
    for role, split in found.splits.items():
        looked = glance(split.few(), how)
        seen[role] = replace(split, seen=looked)
        how = replace(how, channels=how.channels or looked.channels or 0)  # all have those of the first training image
    return replace(found, **seen, notes=(*found.notes, *seen["train"].seen.notes(how)))


def cut(data: ImageData[Any], config: DataConfig, split_seed: int) -> ImageData[Any]:
    """Return the data set with the splits of a run; shards are taken as they are.

    Raises:
        DataError: there are too few images to set any aside, or for so many folds.
    """
    for each in _cuts(config, split_seed):
        data = each(data)
    return data


def _cuts(config: DataConfig, seed: int) -> Iterator[Callable[[ImageData[Split]], ImageData[Split]]]:
    """Yield how the splits of a run are taken from those of its data set, one after the other."""
    if config.streaming:
        return
    if config.fold is not None:
        fold, folds = fold_of(config.fold)
        yield lambda data: in_fold(data, fold, folds, seed)
    yield lambda data: with_validation(data, config.val_fraction, seed)


def read(
    found: ImageData[Any],
    config: DataConfig,
    how: Decoding | None = None,
    *,
    split_seed: int,
    skip_corrupt: bool = False,
    by_header: bool = False,
    copies: bool | None = False,
    bars: bool | None = None,
    on_each_node: Shared[Any] = alone,
    same_everywhere: Callable[[list[str], str, str], object] = lambda values, what, where: None,
) -> tuple[ImageData[Any], dict[str, Images] | dict[str, Stream], list[Unreadable]]:
    """Decode and check every image of every split of ``find``'s answer, and cut the splits of a run; shards are opened only.

    The test split is only read here, and evaluated once, at the end. The validation split, where it has to be set aside, and
    the folds are drawn from the images that can be read.

    Args:
        how: images become pixels; by default as ``config`` says, with a range that is found from all images.
        split_seed: decides which images are set aside, and the folds.
        skip_corrupt: leave unreadable images out instead of raising.
        by_header: look only at the headers of training images that are decoded in every epoch; ``skip_corrupt`` asks for
            more. Those that are set aside or are a fold are decoded: another image in their place would be another figure.
        copies: of training images, see ``read_images``; those that are set aside of them are decoded themselves.
        bars: whether to show progress, see ``progress_of``.
        on_each_node: does work on one process of each machine and gives its answer to the others there.
        same_everywhere: raises unless a list of strings is the same on all processes, given what they are of and where from.

    Returns:
        The data set with the splits of the run, their images by role, and what was left out.

    Raises:
        DataError: images cannot be read, or there are too few.
    """
    unknown, decoding = how is None and config.range is None, how or decoding_of(found, config)
    if config.streaming:
        streams = {
            role: Stream(split, config.shuffle_buffer, skip_corrupt, decoding) for role, split in found.splits.items()
        }
        same_everywhere([stream.fingerprint for stream in streams.values()], "shards", "the data set")
        odd_ones = [split.seen.odd for split in found.splits.values() if split.seen.odd is not None]
        if odd_ones and not skip_corrupt:
            raise of_other_channels(Unreadable(*odd_ones[0]), found.train.seen.like)
        return found, streams, []
    surveys: dict[str, Survey] = {}  # on the one process of each machine that makes them

    def look(*, whole: bool) -> Extremes | None:
        for role, split in found.splits.items():
            if (seen := survey(split, progress_of(f"hashing {role} images", bars), whole=whole)) is not None:
                surveys[role] = seen
        several = [extremes_in(found.splits[role], each, decoding.channels) for role, each in surveys.items()]
        known = [each for each in several if each is not None]
        return reduce(or_, known) if known else None

    def looked(whole: bool) -> tuple[ImageData[Any], Decoding]:
        """Return data and decoding with the range of all values of more than 8 bits, where any are known of."""
        values = on_each_node(partial(look, whole=whole))
        if values is None:
            return found, decoding
        noted = replace(found, notes=(*found.notes, range_note(values)))
        return noted, replace(decoding, range=range_of(found.name, values))

    room = 0

    def read_one(
        role: str, split: Split, *, by_header: bool = False, copies: bool | None = False
    ) -> tuple[Images, list[Unreadable]]:
        nonlocal room
        split_images, bad = read_images(
            split,
            decoding,
            surveys.get(role),
            skip_corrupt=True,
            by_header=by_header,
            cache_bytes=room,
            copies=copies,
            progress=progress_of(f"reading {role} images", bars),
            first=on_each_node,
        )
        room -= split_images.cached_bytes
        return split_images, bad

    def read_all() -> Iterator[tuple[str, Images, list[Unreadable]]]:
        nonlocal room
        room = _room(config)
        for role, split in found.splits.items():
            ours = role == "train"
            headers = by_header and not skip_corrupt and ours
            yield role, *read_one(role, split, by_header=headers, copies=copies if ours else False)

    if unknown:
        found, decoding = looked(whole=False)
    every = list(read_all())
    deep = any(part.kinds.get(DEEP) for _, part, _ in every)  # which the few that were looked at did not show
    if unknown and decoding.range is None and deep:
        found, decoding = looked(whole=True)
        every = list(read_all())
    images = {role: part for role, part, _ in every}
    if how is None and config.range is not None and not deep:  # else predictions would scale floating point by it
        decoding, needless = replace(decoding, range=None), "{:g},{:g}".format(*config.range)
        found = replace(
            found, notes=(*found.notes, f"--data.range {needless} has no effect: no image has more than 8 bits")
        )
        for part in images.values():
            part.decoding = decoding
    elif how is None and config.range is not None:
        said = config.range
        on_each_node(lambda: _check_range(found.name, few_extremes(found.train, decoding.channels), said))
        deep_ones = counted(sum(part.kinds.get(DEEP, 0) for part in images.values()), "image")
        low, high = config.range
        note = f"{deep_ones} of more than 8 bits: {low:g} becomes black, {high:g} white, as --data.range says"
        found = replace(found, notes=(*found.notes, note))
    left_out = [bad for _, _, several in every for bad in several]
    same_everywhere([split.fingerprint for split in images.values()], "images", "the data set")
    if not skip_corrupt and (odd := [bad for bad in left_out if is_of_other_channels(bad.problem)]):
        raise of_other_channels(odd[0], images["train"].describe(0))
    if left_out and not skip_corrupt:  # those of all splits are named together
        raise unreadable(left_out, sum(map(len, found.splits.values())))
    readable: dict[str, Any] = {role: split.split for role, split in images.items()}
    data = replace(found, **readable, notes=(*found.notes, *kind_notes(images.values(), decoding)))

    def cut_out(role: str, split: Split) -> Images:
        whole = images["train"]
        if role in images or not (whole.copied or whole.decoded.index.by_header):
            return images.get(role, whole).only(split)
        part, bad = read_one(role, split)
        if bad:
            raise unreadable(bad, len(split))
        return part

    for each in _cuts(config, split_seed):  # one by one: a part knows its rows in what it was taken from
        data = each(data)
        images = {role: cut_out(role, split) for role, split in data.splits.items()}
    return data, images, left_out
