"""Several pictures with marks as one: what is there beside what was found, and a legend of the classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from botzoo.pages.overlays import Ink, Marks, line_height, on_picture, overlay
from botzoo.pages.palette import colour_of, rounds
from botzoo.pages.thumbnails import Convertible, sized
from botzoo.util.pictures import drawable, font_file

GROUND: Ink = (255, 255, 255)
TEXT: Ink = (27, 31, 36)
GAP = 10  # pixels between pictures
LETTERS = 15  # size of the font in pixels
LISTED = 24  # classes of the legend, at most: the commonest


class Pair(NamedTuple):
    """A picture with what is there and with what a network has found, None where it was not asked, and a line on it."""

    picture: Convertible
    true: Marks
    found: Marks | None
    line: str  # which may hold anything


def sheet(pairs: Sequence[Pair], names: Sequence[str], side: int = 440) -> Image.Image:
    """Return pairs below one another, the truth on the left, and below them a legend of the classes that are on them.

    Args:
        pairs: one or more.
        names: of the classes, which may hold anything.
        side: of the longer side of each picture, in pixels.
    """
    font = ImageFont.truetype(font_file(), LETTERS)
    rows = [_row(pair, names, side, font) for pair in pairs]
    width = max(row.width for row in rows)
    parts = [*rows, legend(_classes(pairs), names, width)]
    whole = Image.new("RGB", (width + 2 * GAP, sum(part.height + GAP for part in parts) + GAP), GROUND)
    top = GAP
    for part in parts:
        whole.paste(part, (GAP, top))
        top += part.height + GAP
    return whole


def _row(pair: Pair, names: Sequence[str], side: int, font: ImageFont.FreeTypeFont) -> Image.Image:
    below = LETTERS + 6 + sized(pair.picture, side).height + 2
    row = Image.new("RGB", (2 * side + GAP, below + line_height(font)), GROUND)
    canvas = ImageDraw.Draw(row)
    for marks, word, at in ((pair.true, "true", 0), (pair.found, "found", side + GAP)):
        if marks is not None:
            row.paste(overlay(pair.picture, marks, names, side), (at, LETTERS + 6))
            canvas.text((at, 0), word, TEXT, font)
    canvas.text((0, below), fitting(drawable(pair.line), font, row.width), TEXT, font)
    return row


def fitting(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Return ``text`` cut so that it is no wider than ``width`` pixels."""
    if font.getlength(text) <= width:
        return text
    least, most = 0, len(text)
    while least < most:
        some = (least + most + 1) // 2
        least, most = (some, most) if font.getlength(f"{text[:some]}…") <= width else (least, some - 1)
    return f"{text[:least]}…"


def _classes(pairs: Sequence[Pair]) -> list[int]:
    """Return the classes on the pictures: those of the first places in each first."""
    every = [marks.classes() for pair in pairs for marks in (pair.true, pair.found) if marks is not None]
    ranked = [k for rank in range(max(map(len, every))) for each in every for k in each[rank : rank + 1]]
    return [*dict.fromkeys(ranked)]


def legend(classes: Sequence[int], names: Sequence[str], width: int) -> Image.Image:
    """Return the colours and names of ``classes`` in lines of ``width`` pixels; of many the first ``LISTED``."""
    font = ImageFont.truetype(font_file(), LETTERS)
    entries = [(k, fitting(on_picture(names, k), font, width - 2 * LETTERS)) for k in classes[:LISTED]]
    more = f"and {len(classes) - LISTED} more" if len(classes) > LISTED else ""
    placed = [*_placed(entries, more, width, font)]
    height = placed[-1][1] + 2 * LETTERS if placed else 1
    strip = Image.new("RGB", (width, height), GROUND)
    canvas = ImageDraw.Draw(strip)
    for left, top, k, text in placed:
        if k is not None:
            _swatch(canvas, left, top, k)
        canvas.text((left + (LETTERS + 6 if k is not None else 0), top), text, TEXT, font)
    return strip


def _placed(
    entries: Sequence[tuple[int, str]], more: str, width: int, font: ImageFont.FreeTypeFont
) -> Iterator[tuple[int, int, int | None, str]]:
    """Yield left and upper edge, class and text of each entry, line after line."""
    left = top = 0
    for k, text in [*entries, *([(None, more)] if more else [])]:
        needed = int(font.getlength(text)) + LETTERS + 6
        if left and left + needed > width:
            left, top = 0, top + LETTERS + 8
        yield left, top, k, text
        left += needed + 2 * GAP


def _swatch(canvas: ImageDraw.ImageDraw, left: int, top: int, k: int) -> None:
    canvas.rectangle([left, top + 2, left + LETTERS, top + 2 + LETTERS], fill=colour_of(k), outline=TEXT)
    for turn in range(rounds(k)):  # as many bars as classes before it have its colour
        at = left + 3 + 3 * (turn % 4)
        canvas.line([at, top + 3, at, top + 1 + LETTERS], fill=TEXT)
