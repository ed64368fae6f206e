"""How large the images are: tiny ones, long ones, and all of them beside the network's input."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from botzoo_finetune.doctor.findings import Finding

TINY = 32
"""Shorter side in pixels below which an image shows little, where most of the others are twice as large."""
LONG = 4.0
"""Longer side over shorter side, from which on a centre crop shows a small part, where most others are half as long."""
REDUCED = 4.0
"""From this factor on, what is shown to the network has lost much of what is in the images."""


@dataclass(frozen=True)
class Sizes:
    """The shorter sides of all images, in pixels, beside the network's input.

    Attributes:
        least, median, most: of the shorter sides; input: side of the network's square input.
        smaller: share of the images whose shorter side is less than the input's, in [0, 1].
    """

    least: int
    median: int
    most: int
    input: int
    smaller: float


def measure(shapes: NDArray[np.int32], side: int) -> Sizes:
    """Return the distribution of the sizes of images (N, 2), height and width in pixels, N >= 1; ``side`` is the input's."""
    short = shapes.min(1)
    smaller = float((short < side).mean())
    return Sizes(int(short.min()), int(np.median(short)), int(short.max()), side, smaller)


def check_sizes(shapes: NDArray[np.int32], side: int) -> list[Finding]:
    """Look for images much smaller or longer than the rest, and for an input that does not suit most of them.

    Args:
        shapes: (N, 2), height and width in pixels, all > 0; side: of the network's square input.
    """
    if not len(shapes):
        return []

    def of_shape(check: Literal["tiny", "aspect"], what: str, i: int) -> Finding:
        height, width = shapes[i].tolist()
        return Finding(check, f"{what} ({width} x {height} px)", (i,))

    # An image is odd beside the others: in a set of icons none is tiny, in one of panoramas none is long.
    short, ratio = shapes.min(1), shapes.max(1) / shapes.min(1)
    tiny = np.flatnonzero(short < min(TINY, float(np.median(short)) / 2)).tolist()
    long = np.flatnonzero(ratio >= max(LONG, 2 * float(np.median(ratio)))).tolist()
    findings = [of_shape("tiny", "is tiny", i) for i in tiny]
    findings += [
        of_shape("aspect", f"is {ratio[i]:.1f} times as long as wide, of which a square is seen", i) for i in long
    ]
    sizes = measure(shapes, side)
    if sizes.smaller > 0.5:
        text = f"{sizes.smaller:.0%} of the images are smaller than the network's input of {sizes.input} px: they are enlarged"
        findings.append(Finding("sizes", text, look=False))
    elif (factor := sizes.median / sizes.input) >= REDUCED:
        text = f"half of the images are reduced {factor:.1f} times or more to {sizes.input} px: small things are lost"
        findings.append(Finding("sizes", f"{text}, and a larger --img-size would show them", look=False))
    return findings
