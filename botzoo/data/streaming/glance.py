"""A look at a few images of shards, which are not read beforehand: what they hold that a run has to know of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import NamedTuple

from botzoo.data.decode import TRANSPARENT, channels_of, decoding, extremes, is_of_other_channels
from botzoo.errors import DataError
from botzoo.models.preprocessing import Decoding
from botzoo.pixels.bands import pixels_of
from botzoo.pixels.values import Extremes, usual_range
from botzoo.util.text import counted


class Glance(NamedTuple):
    """What was seen of a few images.

    Attributes:
        images: how many could be read.
        channels: of the first one; None where there are four and nobody says what the last one is, 3 where none was read.
        deep: the extremes of those of more than 8 bits.
        transparent, grey: how many are that.
        shapes: height and width of each, in pixels.
        like: the name of the first one.
        odd: the first of other channels, and what is wrong with it.
    """

    images: int = 0
    channels: int | None = 3
    deep: Extremes | None = None
    transparent: int = 0
    grey: int = 0
    shapes: tuple[tuple[int, int], ...] = ()
    like: str = ""
    odd: tuple[str, str] | None = None

    def notes(self, how: Decoding) -> Iterator[str]:
        """Yield what a reader is told of the images, which are decoded as ``how`` says."""
        of = f"of the first {counted(self.images, 'image')} of some shards"
        if self.deep is not None:
            low, high = self.deep[:2]
            yield f"{self.deep.images} {of} have more than 8 bits, of values from {low:g} to {high:g}"
        if self.transparent:
            yield f"{self.transparent} {of} are transparent in part, and lie on {how.background} (--data.background)"
        if self.grey and self.channels == 3:
            yield f"{self.grey} {of} are grey, in three equal channels (--data.channels 1 keeps one)"
        if how.range is not None and self.deep is None and self.images:
            yield "--data.range {:g},{:g} has no effect on the first ".format(*how.range) + (
                f"{counted(self.images, 'image')} of some shards: none has more than 8 bits"
            )

    def refuse(self, name: str, role: str, said: Decoding) -> None:
        """Refuse a data set where a run as it is ``said`` would be wrong without a word, or end at this split.

        Raises:
            DataError: images have more than 8 bits, and nobody says in what range.
        """
        if self.deep is not None and said.range is None:
            low, high = usual_range(self.deep)
            shards = "shards" if role == "train" else f"{role} shards"
            have = f"{self.deep.images} of the first {counted(self.images, 'image')} of some {shards} of {name}"
            values = f"have more than 8 bits, of values from {self.deep.low:g} to {self.deep.high:g}"
            cure = (
                f"as shards are not read beforehand, say what is black and white, such as --data.range {low:g},{high:g}"
            )
            raise DataError(f"{have} {values}: {cure}.")


def glance(found: Sequence[tuple[bytes, str]], how: Decoding) -> Glance:
    """Look at a few encoded images with their names, decoded as ``how`` says; of channels 0, as the first of them has.

    What cannot be read is passed over, as it is said when the run meets it.
    """
    seen, deep = Glance(), list[Extremes]()
    for encoded, name in found:
        kinds = set[str]()
        try:
            if not seen.images:
                seen = seen._replace(channels=how.channels or channels_of(encoded), like=name)
            used = replace(how, channels=seen.channels or 3)
            with decoding(encoded, used, kinds.add) as picture:
                pixels = pixels_of(picture)
            extent = extremes(encoded, used.channels)
        except (ValueError, MemoryError) as error:
            if seen.odd is None and is_of_other_channels(str(error)):
                seen = seen._replace(odd=(name, str(error)))
            continue
        deep += [extent] if extent is not None else []
        seen = seen._replace(
            images=seen.images + 1,
            transparent=seen.transparent + (TRANSPARENT in kinds),
            grey=seen.grey + bool((pixels == pixels[:, :, :1]).all()),
            shapes=(*seen.shapes, (pixels.shape[0], pixels.shape[1])),
        )
    return seen._replace(deep=reduce(or_, deep) if deep else None)
