"""What a network says of one image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FoundBox:
    """An object that was found.

    Attributes:
        label: its class.
        score: in [0, 1], higher where it is likelier.
        left, top, right, bottom: in pixels of the image as it is stored, upright, from its left and upper edge.
        index: number of the class.
    """

    label: str
    score: float
    left: float
    top: float
    right: float
    bottom: float
    index: int

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.right, self.bottom


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        image: path or address; of an image in memory "image 3", its place counted from 0.
        labels, probabilities, indices: of the likeliest classes, the likeliest first; empty where the image cannot be
            read, and where it may have any number of labels and has none. Of objects they are those of ``boxes``; of a
            mask, the classes in it and their shares of the pixels, the largest first.
        problem: why the image cannot be read, else None.
        temperature: what the logits were divided by.
        least: the least probability of an answer; 0 where every image is answered.
        unlike: how unlike the training images it is, 0 or more: 1 is what 99 % of the validation images keep to. None where
            the model does not know, see ``botzoo.models.unlike``.
        boxes: the objects found, the likeliest first, by a network that finds any.
        mask: the class of each pixel by its number, uint8 (H, W) as the image is stored, upright, by a network that gives
            one; else None.
        size: width and height in pixels of the image that boxes and mask are of; None by networks that give neither.
    """

    image: str
    labels: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    indices: tuple[int, ...] = field(default=(), repr=False)
    problem: str | None = None
    temperature: float = field(default=1.0, repr=False)
    least: float = field(default=0.0, repr=False)
    unlike: float | None = None
    boxes: tuple[FoundBox, ...] = field(default=(), repr=False)
    mask: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    size: tuple[int, int] | None = field(default=None, repr=False)

    @property
    def rejected(self) -> bool:
        """Whether the answer is "none of these": the likeliest class is not likely enough. It stands in ``labels`` still."""
        return bool(self.probabilities) and self.probabilities[0] < self.least

    @property
    def is_unlike(self) -> bool:
        """Whether the image is so unlike the training images that its answer means little."""
        return self.unlike is not None and self.unlike > 1

    @property
    def label(self) -> str | None:
        """The likeliest class; None where it is rejected."""
        return self.labels[0] if self.labels and not self.rejected else None

    @property
    def probability(self) -> float | None:
        """That of ``label``."""
        return self.probabilities[0] if self.probabilities and not self.rejected else None

    @property
    def top(self) -> list[tuple[str, float]]:
        """The classes named with their probabilities, the likeliest first; none where the image is rejected."""
        return [] if self.rejected else list(zip(self.labels, self.probabilities, strict=True))

    def at_least(self, score: float) -> Prediction:
        """Return the answer without boxes of a lower score; of other answers all of it."""
        kept = tuple(box for box in self.boxes if box.score >= score)
        if len(kept) == len(self.boxes):
            return self
        labels, scores, indices = (tuple(getattr(box, part) for box in kept) for part in ("label", "score", "index"))
        return replace(self, boxes=kept, labels=labels, probabilities=scores, indices=indices)
