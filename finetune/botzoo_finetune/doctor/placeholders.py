"""Pictures that stand for images that could not be fetched: many data sets hold them, under any label."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from botzoo_finetune.doctor.duplicates import BLANK, groups_of, short_digests
from botzoo_finetune.doctor.findings import Finding, Roll

_PICTURE = r"(image|img|photo|pic(ture)?)s?"
NAMES = re.compile(
    rf"placeholder|not[\W_]*(found|available)|{_PICTURE}[\W_]*(is[\W_]*)?(unavailable|missing|removed|coming[\W_]*soon)"
    rf"|(?<![a-z])(no|missing|unavailable)[\W_]*{_PICTURE}(?![a-z])",
    re.IGNORECASE,
)
"""Names that placeholders have: imageNotFound, no-image, photo_unavailable, placeholder, image_coming_soon."""
REPEATED = 3  # times that one picture is there, under two labels or more, from which on it shows neither
FLAT = 0.9  # share of one grey in a picture of next to nothing, where in most others no grey has more than ``USUAL``
USUAL = 0.5


def flatness(image: Image.Image) -> float:
    """Return the share of an image's pixels, in (0, 1], that have its commonest grey, of 16."""
    grey = np.asarray(image.convert("L")).ravel() >> 4
    return float(np.bincount(grey).max() / len(grey))


def check_placeholders(roll: Roll, contrasts: NDArray[np.uint8], flat: NDArray[np.float64]) -> list[Finding]:
    """Find placeholders by their names, by showing next to nothing, and by being there again and again under several labels.

    ``contrasts`` and ``flat``, shape (N,), are what ``duplicates.contrast`` and ``flatness`` say of each image; those of one
    colour are left to ``duplicates.check_blank``.
    """
    found: dict[tuple[int, ...], list[str]] = {}
    for i in range(len(roll)):
        if NAMES.search(Path(roll.entry(i).name).stem):
            found[i,] = ["is named as a placeholder is"]
    odd = (flat >= FLAT) & (contrasts > BLANK) & (np.median(flat) <= USUAL)
    for i in np.flatnonzero(odd).tolist():
        found.setdefault((i,), []).append(f"shows next to nothing: {flat[i]:.0%} of it is one grey")
    for group in groups_of(short_digests(roll.digests)):
        labels = len(np.unique(roll.labels[group]))
        if labels > 1 and len(group) >= REPEATED:
            found[tuple(group.tolist())] = [f"the same picture is there {len(group)} times under {labels} labels"]
    text = "it may stand for an image that could not be fetched"
    # A picture on black or white may show next to nothing and still be one of its class: that alone is worth knowing only.
    nothing = {(i,) for i in np.flatnonzero(odd).tolist()}
    return [
        Finding("placeholder", f"{', and '.join(why)}: {text}", at, look=len(why) > 1 or at not in nothing)
        for at, why in found.items()
    ]
