"""Boxes and masks on a picture: what is there, or what a network has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from botzoo.pages.palette import colour_of, ink_on, rounds
from botzoo.pages.thumbnails import Convertible, sized
from botzoo.util.outgoing import shown
from botzoo.util.pictures import drawable, font_file

UNKNOWN = 255
"""The class of pixels that have none: they are left as they are."""

LONGEST = 18  # letters of a class name on a picture
NAMED = 300  # boxes that have their class beside them, at most: those with the highest scores
VISIBLE = 0.01  # share of the pixels from which on a class has its name on its largest part
OPAQUE = 0.6  # of a mask over the picture in grey
AT_ONCE = 1 << 20  # pixels of a mask that are painted together, as numbers of 4 bytes for each colour
FINEST = 1024  # pixels of the longer side of a mask in which places of names are looked for

Ink = tuple[int, int, int]


class Marks(Protocol):
    """What is drawn on a picture."""

    def classes(self) -> list[int]: ...  # that are on it, the commonest first
    def draw(
        self, picture: Image.Image, names: Sequence[str]
    ) -> Image.Image: ...  # an RGB picture with the marks on it


@dataclass(frozen=True, eq=False)
class BoxMarks:
    """Boxes of n objects.

    Attributes:
        corners: shape (n, 4), left, top, right and bottom in pixels of a picture of the sides ``frame``.
        labels: shape (n,), places in the class names.
        frame: width and height in pixels of the picture that the corners are of.
        scores: shape (n,), in [0, 1]; None of objects that are there.
        faulty: shape (n,), bool, which are dashed: of objects those that were missed, of found ones those that are wrong.
    """

    corners: NDArray[np.floating[Any]]
    labels: NDArray[np.integer[Any]]
    frame: tuple[int, int]
    scores: NDArray[np.floating[Any]] | None = None
    faulty: NDArray[np.bool_] | None = None

    def classes(self) -> list[int]:
        return _by_count(self.labels)

    def draw(self, picture: Image.Image, names: Sequence[str]) -> Image.Image:
        drawn, pen = picture.copy(), Pen.of(picture)
        scale = np.array([picture.width / self.frame[0], picture.height / self.frame[1]] * 2)
        corners = np.nan_to_num(self.corners * scale).clip(-1, 1 + max(picture.size))
        order = np.argsort(-self.scores, kind="stable") if self.scores is not None else np.arange(len(self.labels))
        canvas = ImageDraw.Draw(drawn)
        for i in order[::-1].tolist():  # the likeliest on top
            dashed = self.faulty is not None and bool(self.faulty[i])
            pen.outline(canvas, corners[i].tolist(), colour_of(int(self.labels[i])), dashed=dashed)
        free = _Room(picture.size)
        for i in order[:NAMED].tolist() if names else ():
            score = f" {100 * self.scores[i]:.0f}" if self.scores is not None else ""
            k = int(self.labels[i])
            pen.tag(canvas, corners[i].tolist(), f"{on_picture(names, k)}{score}", colour_of(k), free)
        return drawn


@dataclass(frozen=True, eq=False)
class MaskMarks:
    """The class of each pixel: uint8, shape (H, W) as the picture's or in proportion, ``UNKNOWN`` where there is none."""

    mask: NDArray[np.uint8]

    def classes(self) -> list[int]:
        return _by_count(self.mask[self.mask != UNKNOWN])

    def draw(self, picture: Image.Image, names: Sequence[str]) -> Image.Image:
        mask = np.asarray(Image.fromarray(self.mask).resize(picture.size, Image.Resampling.NEAREST))
        drawn, pen = picture.copy(), Pen.of(picture)
        rows = max(1, AT_ONCE // picture.width)
        for first in range(0, picture.height, rows):
            part = picture.crop((0, first, picture.width, min(picture.height, first + rows)))
            drawn.paste(_painted(part, mask, first), (0, first))
        canvas, free = ImageDraw.Draw(drawn), _Room(picture.size)
        step = -(-max(picture.size) // FINEST)  # where a name fits is seen on a smaller mask as well
        seen = mask[::step, ::step]
        for k in MaskMarks(seen).classes() if names else ():
            own = seen == k
            if own.mean() >= VISIBLE:
                pen.name(canvas, own, on_picture(names, k), colour_of(k), free, step)
        return drawn


def overlay(picture: Convertible, marks: Marks, names: Sequence[str], side: int | None = None) -> Image.Image:
    """Return a picture with marks on it, RGB.

    Args:
        picture: of any mode that converts to RGB.
        marks: boxes or a mask.
        names: of the classes, which may hold anything; without any nothing is written.
        side: of the longer side, in pixels; by default the picture's own.
    """
    return marks.draw(sized(picture, side or max(picture.size)), names)


def on_picture(names: Sequence[str], k: int) -> str:
    """Return the name of class ``k`` as pictures show it, or its number where the font lacks a letter of it."""
    name = shown(names[k]) if k < len(names) else ""
    return drawable(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…", str(k))


def line_height(font: ImageFont.FreeTypeFont) -> int:
    """Return the pixels from the top of an accent to the underscore, which lies lower than all other letters."""
    return sum(font.getmetrics())


@dataclass(frozen=True)
class Pen:
    """Lines and letters in proportion to a picture."""

    width: int  # of lines, in pixels
    font: ImageFont.FreeTypeFont

    @property
    def tag_height(self) -> int:
        """Pixels of a line of letters with one more above and below."""
        return line_height(self.font) + 2

    @classmethod
    def of(cls, picture: Image.Image) -> Pen:
        longer = max(picture.size)
        return cls(max(2, round(longer / 240)), ImageFont.truetype(font_file(), max(11, round(longer / 36))))

    def outline(self, canvas: ImageDraw.ImageDraw, box: Sequence[float], ink: Ink, *, dashed: bool) -> None:
        """Draw a box with a thin dark line around, so that it is seen on any ground."""
        left, top, right, bottom = box[0], box[1], max(box[2], box[0]), max(box[3], box[1])
        if not dashed:
            canvas.rectangle([left - 1, top - 1, right + 1, bottom + 1], outline=(0, 0, 0), width=self.width + 2)
            canvas.rectangle([left, top, right, bottom], outline=ink, width=self.width)
            return
        step = 4 * self.width
        for way, ends in ((0, (top, bottom)), (1, (left, right))):
            first, last = (left, right) if way == 0 else (top, bottom)
            for at in np.arange(first, last, 2 * step).tolist():
                for end in ends:
                    until = min(at + step, last)
                    line = [at, end, until, end] if way == 0 else [end, at, end, until]
                    canvas.line([line[0], line[1], line[2], line[3]], fill=(0, 0, 0), width=self.width + 2)
                    canvas.line(line, fill=ink, width=self.width)

    def tag(self, canvas: ImageDraw.ImageDraw, box: Sequence[float], text: str, ink: Ink, free: _Room) -> bool:
        """Write ``text`` on ``ink`` above a box, within or below it; tell whether there was ``free`` room."""
        places = ((box[0] - self.width // 2, top) for top in (box[1] - self.tag_height, box[1], box[3]))
        return any(self._write(canvas, left, top, text, ink, free) for left, top in places)

    def name(
        self,
        canvas: ImageDraw.ImageDraw,
        own: NDArray[np.bool_],
        text: str,
        ink: Ink,
        free: _Room,
        step: int = 1,
    ) -> bool:
        """Write ``text`` on ``ink`` where the pixels ``own``, (H, W), each of ``step`` pixels, are widest.

        Returns:
            Whether it found ``free`` room.
        """
        from scipy.ndimage import distance_transform_edt  # type: ignore[attr-defined]

        depth = distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        if depth[y, x] * step < 0.7 * self.font.size:
            return False
        left = float(x) * step - canvas.textlength(text, self.font) / 2
        return self._write(canvas, left, float(y) * step - self.tag_height / 2, text, ink, free)

    def _write(self, canvas: ImageDraw.ImageDraw, left: float, top: float, text: str, ink: Ink, free: _Room) -> bool:
        place = free.take(left, top, canvas.textlength(text, self.font) + 4, self.tag_height)
        if place is not None:
            canvas.rectangle(place, fill=ink)
            canvas.text((place[0] + 2, place[1] + 1), text, ink_on(ink), self.font)
        return place is not None


@dataclass
class _Room:
    """Where on a picture of these sides nothing is written yet."""

    size: tuple[int, int]
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def take(self, left: float, top: float, width: float, height: float) -> tuple[float, float, float, float] | None:
        """Return a place of these sides, moved into the picture, and keep it; None where something is written there."""
        left, top = max(0.0, min(left, self.size[0] - width)), max(0.0, min(top, self.size[1] - height))
        place = left, top, left + width, top + height
        if any(place[0] < c and a < place[2] and place[1] < d and b < place[3] for a, b, c, d in self.taken):
            return None
        self.taken.append(place)
        return place


def _by_count(labels: NDArray[np.integer[Any]]) -> list[int]:
    found, counts = np.unique(labels, return_counts=True)
    order: list[int] = found[np.argsort(-counts, kind="stable")].tolist()
    return order


def _painted(part: Image.Image, mask: NDArray[np.uint8], first: int) -> Image.Image:
    """Return some rows of a picture, from row ``first`` of its ``mask`` on, in the colours of their classes."""
    own = mask[first : first + part.height]
    known, table = own != UNKNOWN, np.array([colour_of(k) for k in range(256)], np.float32)
    grey = np.asarray(part.convert("L"), np.float32)[..., None]
    mixed = np.where(known[..., None], (1 - OPAQUE) * grey + OPAQUE * table[own], np.asarray(part))
    mixed[_striped(own, first) & known] *= 0.55
    above = min(first, 1)  # a row before, to see where the class changes
    edges = _edges(mask[first - above : first + part.height])[above:]
    mixed[edges] = mixed[edges] * 0.4 + 255 * 0.6
    return Image.fromarray(mixed.astype(np.uint8))


def _striped(mask: NDArray[np.uint8], first: int) -> NDArray[np.bool_]:
    """Return the dark pixels of the patterns by which classes of one colour are told apart, bool (H, W); ``first`` is the
    row of the picture with which ``mask`` begins.
    """
    turn = np.array([rounds(k) for k in range(256)])[mask]
    y, x = np.ogrid[first : first + mask.shape[0], : mask.shape[1]]
    along = np.where(turn % 2, x + y, x - y)
    return np.asarray((turn > 0) & (along % 12 < 3 * ((turn + 1) // 2)))


def _edges(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the first pixel of each class after another, to the right and downwards, bool (H, W)."""
    edges = np.zeros(mask.shape, bool)
    edges[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    edges[1:] |= mask[1:] != mask[:-1]
    return edges
