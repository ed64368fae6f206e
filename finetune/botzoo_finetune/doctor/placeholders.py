"""Pictures that stand for images that could not be fetched: many data sets hold them, under any label."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from botzoo_finetune.doctor.duplicates import BLANK, short_digests
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

    Images of the same bytes are one finding. ``contrasts`` and ``flat``, shape (N,), are what ``duplicates.contrast`` and
    ``flatness`` say of each image; those of one colour are left to ``duplicates.check_blank``.
    """
    flattest, findings = FLAT if np.median(flat) <= USUAL else np.inf, []
    for group in same_bytes(roll):
        lead, why = group[0], []
        if contrasts[lead] <= BLANK:
            continue
        if any(NAMES.search(Path(roll.entry(i).name).stem) for i in group):
            why.append("is named as a placeholder is")
        if len(group) >= REPEATED and (labels := len(np.unique(roll.labels[group]))) > 1:
            why.append(f"the same picture is there {len(group)} times under {labels} labels")
        look = bool(why)  # a picture on black or white may show next to nothing and still be one of its class
        if flat[lead] >= flattest:
            why.append(f"shows next to nothing: {flat[lead]:.0%} of it is one grey")
        if why:
            text = f"{', and '.join(why)}: it may stand for an image that could not be fetched"
            findings.append(Finding("placeholder", text, tuple(group), look))
    return findings


def same_bytes(roll: Roll) -> Iterator[list[int]]:
    """Yield the places of the images of the same bytes, in rising order; most are alone."""
    keys = short_digests(roll.digests)
    order = np.argsort(keys, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        yield group.tolist()
