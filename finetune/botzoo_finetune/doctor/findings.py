"""What a check says: a finding, about no image, one, or several that belong together."""

from dataclasses import dataclass
from typing import Literal

Check = Literal[
    "usable",
    "names",
    "counts",
    "corrupt",
    "duplicates",
    "near duplicates",
    "labels",
    "blank",
    "tiny",
    "aspect",
    "sizes",
]


@dataclass(frozen=True)
class Finding:
    """Something that a check found.

    Attributes:
        check: which one; reason: what is the matter, in words that do not name the images.
        images: places of the images that it is about, in ``Roll``.
        look: whether somebody should look at it; otherwise it is worth knowing and no more.
        suggested: for a label: the class that the image looks like, an index into the class names.
        score: for a label: the probability that it is wrong; for near duplicates: the least correlation.
    """

    check: Check
    reason: str
    images: tuple[int, ...] = ()
    look: bool = True
    suggested: int | None = None
    score: float | None = None
