"""Images with masks: folders images/ and masks/ whose files have the same names, and a split of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError
from botzoo.sources.annotations.paths import Found
from botzoo.sources.base import Encoded, Files, ImageData, SourceOptions, Split, at_row, of_either
from botzoo.sources.files import read_text
from botzoo.sources.targets.assemble import first_double, named_classes
from botzoo.sources.targets.coding import IGNORED, MOST_CLASSES, Coding, Colour, Mask, coding_of, stored
from botzoo.sources.targets.pictures import Pairs, encoded_size, is_said, key_of, roles_of_folders
from botzoo.util.text import brief, counted, listing

NAME_FILES = ("classes.txt", "labels.txt", "class_names.txt")
COLOUR_FILES = ("classes.csv", "class_dict.csv", "class_colors.csv", "label_colors.txt", "labelmap.txt")

LONGEST = 500  # letters of a line of a table that are looked at

_NUMBERS = r"(?P<r>\d{1,3})[,; \t]+(?P<g>\d{1,3})[,; \t]+(?P<b>\d{1,3})"
_NAME_FIRST = re.compile(rf"(?P<name>[^,;:\t]+?)[,;:\t ]+{_NUMBERS}[,;:\t ]*")
_NUMBERS_FIRST = re.compile(rf"{_NUMBERS}[,;:\t ]+(?P<name>[^,;:\t]+)")

UNTAUGHT = ("void", "unlabelled", "unlabeled", "ignore", "ignored")
"""Names of a colour's class that mean that its pixels are ignored."""

SAMPLE = 200
"""Training masks that are looked at to find out what their values mean; all are looked at by the checks."""


LOOKED_AT = 3
"""Masks that are looked at to tell them from pictures."""

UNREAD = Coding("numbers", MOST_CLASSES)
"""Of masks that nobody has looked at."""


def of_none(i: int) -> Any:
    """Stand for masks where there are none."""
    raise IndexError(i)


@dataclass(frozen=True, eq=False)
class MaskSplit(Split):
    """Images of one split, still encoded, with a mask for each; ``labels`` are uint8 (N, K), the classes on an image.

    They are 0 until the masks have been read, see ``botzoo.sources.targets.presence``.

    Attributes:
        read_mask, describe_mask: as ``read`` and ``describe``, of the masks.
        coding: what the masks' values mean.
        digests: uint8 (N, 32), SHA-256 of the masks, once they have been read.
    """

    read_mask: Callable[[int], Encoded] = of_none
    describe_mask: Callable[[int], str] = of_none
    coding: Coding = UNREAD
    digests: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 32), np.uint8))

    @classmethod
    def of(
        cls,
        name: str,
        images: int,
        read: Callable[[int], Encoded],
        describe: Callable[[int], str],
        read_mask: Callable[[int], Encoded],
        describe_mask: Callable[[int], str],
        coding: Coding,
        root: str = "",
    ) -> Self:
        """Return a split of so many images, whose masks have not been read."""
        how: dict[str, Any] = {"read_mask": read_mask, "describe_mask": describe_mask, "coding": coding}
        digests = np.zeros((images, 32), np.uint8)
        return cls(name, np.zeros((images, 1), np.uint8), read, describe, root=root, **how, digests=digests)

    def mask(self, i: int) -> Mask:
        """Return the mask of image ``i``: uint8 (H, W), classes and ``IGNORED``; raise DataError as ``Coding.decode``."""
        return self.coding.decode(self.read_mask(i), self.describe_mask(i))

    target = mask

    def take(self, rows: NDArray[np.int64], name: str | None = None) -> Self:
        """See ``Split``."""
        masks, names = partial(at_row, self.read_mask, rows), partial(at_row, self.describe_mask, rows)
        return replace(super().take(rows, name), read_mask=masks, describe_mask=names, digests=self.digests[rows])

    def joined(self, other: Split) -> Self:
        """See ``Split``."""
        assert isinstance(other, MaskSplit)
        return replace(
            super().joined(other),
            read_mask=partial(of_either, self.read_mask, other.read_mask, len(self)),
            describe_mask=partial(of_either, self.describe_mask, other.describe_mask, len(self)),
            digests=np.concatenate([self.digests, other.digests]),
        )

    def called(self, shown: Callable[[str], str]) -> Self:
        """See ``Split``."""
        masks = replace(self, describe=self.describe_mask)
        return replace(super().called(shown), describe_mask=Split.called(masks, shown).describe)

    def target_bytes(self) -> bytes:
        """See ``Split``."""
        return self.digests.tobytes()


MakeMasks = Callable[[str, Coding], MaskSplit]


def mask_pairs(root: Path) -> tuple[Found, dict[int, int]] | None:
    """Return the images in a folder and, by the place of an image, that of its mask; None where there are no masks.

    Masks lie in a folder called so and have the stems of the images; what all have behind these, such as _mask, is found.
    """
    found = Found(root)
    said = [is_said(name) for name in found.names]
    images, masks = ([i for i, own in enumerate(said) if own == wanted] for wanted in (False, True))
    if not images or not masks:
        return None
    pairs = Pairs(found, images)
    places = {found.names[i]: pairs.place(found.names[i]) for i in masks}
    if not any(place is not None for place in places.values()):
        end = _common_end(found, images, masks)
        places = {found.names[i]: pairs.place(_without(found.names[i], end)) for i in masks} if end else places
    mask_of: dict[int, int] = {}
    for i in masks:
        place = places[found.names[i]]
        if place is not None and mask_of.setdefault(place, i) != i:
            may = listing([found.names[mask_of[place]], found.names[i]])
            raise DataError(f"{found.names[place]!r} has two masks in {root}, {may}: remove one.")
    return found, mask_of


def are_masks(found: Found, mask_of: Mapping[int, int]) -> bool:
    """Tell whether a few of what is named as masks look like some: without loss, of few values, as large as their images."""
    for i in sorted(mask_of)[:LOOKED_AT]:
        try:
            values = stored(Path(found.files[mask_of[i]]), "")
            if encoded_size(Path(found.files[i]), "") != values.shape[:2]:
                return False
        except DataError:
            return False
        if values.ndim == 3 and len(np.unique(values.reshape(-1, values.shape[2]), axis=0)) > MOST_CLASSES:
            return False
    return bool(mask_of)


def _common_end(found: Found, images: Sequence[int], masks: Sequence[int]) -> str:
    """Return what stands behind an image's stem in that of the first mask, "" where it begins with none."""
    _, stem = key_of(found.names[masks[0]])
    stems = {key_of(found.names[i])[1] for i in images}
    return next((stem[k:] for k in range(len(stem), 0, -1) if stem[:k] in stems), "")


def _without(name: str, end: str) -> str:
    folder, _, file = name.rpartition("/")
    return f"{folder}/{Path(file).stem.removesuffix(end)}.png"


def open_masks(
    name: str, root: Path, found: Found, mask_of: Mapping[int, int], options: SourceOptions
) -> ImageData[MaskSplit]:
    """Return the data set of images and masks that belong together.

    The classes are named by ``classes.txt``, a line each, or by a table of colours with the columns name, r, g, b; without
    either they are called by their numbers.

    Raises:
        DataError: no image has a mask, or as ``masked``.
    """
    if not mask_of:
        raise DataError(f"No mask in {root} has the name of an image: give a mask the name of its image, in masks/.")
    names, colours, notes = class_files(root)
    order = sorted(mask_of)
    roles, more = roles_of_folders(name, [found.names[i] for i in order], options.splits)
    masks = set(mask_of.values())
    images = [i for i, each in enumerate(found.names) if i not in masks and not is_said(each)]
    if bare := [found.names[i] for i in images if i not in mask_of]:
        more.append(f"not used: {counted(len(bare), 'image')} without a mask, such as {listing(bare, 2)}")
    if lost := [each for i, each in enumerate(found.names) if i not in masks and is_said(each)]:
        more.append(f"not used: {counted(len(lost), 'mask')} without an image, such as {listing(lost, 2)}")
    by_role: dict[str, list[int]] = {}
    for i, role in zip(order, roles, strict=True):
        by_role.setdefault(role, []).append(i)
    by_role.pop("", None)

    def make(places: Sequence[int], role: str, coding: Coding) -> MaskSplit:
        files, of = Files([found.files[i] for i in places]), Files([found.files[mask_of[i]] for i in places])
        return MaskSplit.of(role, len(places), files.read, files.describe, of.read, of.describe, coding, f"{root}/")

    makers: dict[str, MakeMasks] = {role: partial(make, places) for role, places in by_role.items()}
    return masked(name, makers, names, colours, [*notes, *more])


def masked(
    name: str,
    makers: Mapping[str, MakeMasks],
    names: Sequence[str],
    colours: Mapping[Colour, int],
    notes: Iterable[str],
) -> ImageData[MaskSplit]:
    """Return splits with masks as a data set, with notes on what the masks' values mean and on the counts.

    Args:
        makers: make a split, by role, once the coding is known.
        names: of the classes, none where nothing names them.
        colours: the table of colours, if there is one.

    Raises:
        DataError: there is no training split, fewer than two classes, or as ``coding_of``.
    """
    if "train" not in makers:
        raise DataError(f"{name} has no training split, only {listing(list(makers))}: name one train.")
    unread = makers["train"]("train", UNREAD)
    chosen = np.unique(np.linspace(0, len(unread) - 1, min(SAMPLE, len(unread))).round().astype(int)).tolist()
    sample = ((unread.read_mask(i), unread.describe_mask(i)) for i in chosen)
    coding, note = coding_of(sample, len(names), colours)
    class_names = [*names] or [f"class {k}" for k in range(coding.classes)]
    if twice := first_double(class_names):
        raise DataError(f"{name} has two classes called {twice!r}: give each a name of its own.")
    if len(class_names) < 2:
        raise DataError(
            f"{name} has masks of one class, {class_names[0]!r}: they need two, of which one may be the rest."
        )
    splits = {role: makers[role](role, coding) for role in ("train", "validation", "test") if role in makers}
    counts = [f"{role}: {counted(len(split), 'image')} with masks" for role, split in splits.items()]
    parts = splits["train"], splits.get("validation"), splits.get("test")
    return ImageData(name, tuple(class_names), *parts, notes=(*notes, note, *counts), declared=bool(names))


def class_files(root: Path) -> tuple[list[str], dict[Colour, int], list[str]]:
    """Return the names of the classes, the class of each colour, and notes on where they stand; empty where nothing does.

    Raises:
        DataError: there are more classes than a mask can tell apart, or a line is no colour or empty among names.
    """
    here = {path.name.lower(): path for path in sorted(root.iterdir()) if path.is_file()}
    for file in COLOUR_FILES:
        if file in here:
            names, colours = read_colours(here[file])
            return names, colours, [f"classes and colours are those in {here[file].name}", *_unread(here, file)]
    for file in NAME_FILES:
        if file in here:
            names = named_classes(here[file])
            _check_number(names, here[file])
            return names, {}, [f"classes are those in {here[file].name}", *_unread(here, file)]
    return [], {}, []


def _unread(here: Mapping[str, Path], file: str) -> list[str]:
    """Return a note on the files that would name the classes if ``file`` did not."""
    others = [here[other].name for other in (*COLOUR_FILES, *NAME_FILES) if other in here and other != file]
    return [f"not used: {listing(others)}, as {here[file].name} names the classes"] if others else []


def read_colours(path: Path) -> tuple[list[str], dict[Colour, int]]:
    """Return the names in a table of colours and the class of each colour: lines of a name and three numbers in either order.

    Separators are commas, semicolons, colons or blanks; a first line without numbers names the columns. Colours called void
    or unlabelled are ``IGNORED`` and no class.
    """
    names: list[str] = []
    colours: dict[Colour, int] = {}
    for k, line in enumerate(read_text(path).splitlines()):
        if not line.strip() or line.startswith("#") or (not colours and not re.search(r"\d", line)):
            continue
        short = line.strip()[:LONGEST]  # the patterns take time as the square of the length
        found = _NAME_FIRST.fullmatch(short) or _NUMBERS_FIRST.fullmatch(short)
        if found is None or max(map(int, found.group("r", "g", "b"))) > 255:
            raise DataError(f"{path}, line {k + 1}, is {brief(line, 60)!r}, which is no `name, r, g, b`: mend it.")
        red, green, blue = map(int, found.group("r", "g", "b"))
        colour, called = (red, green, blue), found["name"].strip(" \"'")
        if colour in colours:
            raise DataError(
                f"{path}, line {k + 1}, has the colour of another class, {red}, {green}, {blue}: give each its own."
            )
        if called.lower() in UNTAUGHT:
            colours[colour] = IGNORED
        elif called in names:  # two colours of one class
            colours[colour] = names.index(called)
        else:
            colours[colour] = len(names)
            names.append(called)
    if not names:
        raise DataError(f"{path} names no class: write `name, r, g, b` on each line.")
    _check_number(names, path)
    return names, colours


def _check_number(names: Sequence[str], path: Path) -> None:
    if len(names) > MOST_CLASSES:
        raise DataError(
            f"{path} names {len(names):,} classes, and masks of 8 bits can tell {MOST_CLASSES} apart: merge some."
        )
