"""What can be found without looking at a single pixel: names of classes, how many images each has, and how large they are."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from botzoo.models.preprocessing import Preprocessing
from botzoo.sources.groups import SERIES, searched
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import counted, listing
from botzoo_finetune.doctor.findings import Finding, Sizes

FEW = 5  # a class with fewer training images can hardly be learned
IMBALANCE = 10.0  # from this ratio of the largest class to the smallest on, accuracy says little of the smallest
TINY = 32  # shorter side in pixels below which an image shows little, where most of the others are twice as large
SERIES_A_CLASS = 3
STRADDLING = 0.2  # share of a split's images that make one ask whether they belong to those in training
LONG = 4.0
"""Longer side over shorter side, from which on a centre crop shows a small part, where most others are half as long."""
REDUCED = 4.0  # from this factor on, what is shown to the network has lost much of what is in the images


def check_names(names: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Compare the names that the splits use, by role, that of training first.

    Names that differ by case, spaces, dashes and underscores only count as the same class spelt in two ways; they are not
    reported as missing.
    """
    trained, spellings = names.get("train", ()), dict[str, dict[str, list[str]]]()
    found = []
    if len(trained) == 1:
        found.append(f"the training images are of one class, {in_quotes(trained[0])}: a classifier needs two or more")
    for role, own in names.items():
        for name in own:
            spellings.setdefault(folded(name), {}).setdefault(name, []).append(role)
    for spelt in spellings.values():
        if len(spelt) > 1:
            named = " and ".join(f"{in_quotes(name)} ({', '.join(roles)})" for name, roles in spelt.items())
            found.append(f"{named} differ by case, spaces, dashes or underscores only")
    for role, own in names.items():
        if untaught := _without(own, trained):
            found.append(f"{role} has {listing(untaught)}, which train has not")
        if unseen := _without(trained, own):
            found.append(f"{role} has no images of {listing(unseen)}: nothing is known of them there")
    return [Finding("names", text) for text in found]


def folded(name: str) -> str:
    """Return ``name`` without case, and with single spaces for spaces, dashes and underscores."""
    return re.sub(r"[\s_-]+", " ", name.casefold()).strip()


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return those of ``names`` that are in ``others`` in no spelling."""
    spelt = {folded(name) for name in others}
    return [name for name in names if folded(name) not in spelt]


def check_counts(trained: NDArray[np.int64], class_names: Sequence[str]) -> list[Finding]:
    """Look for classes with few training images, shape (K,), and for large ones beside small ones.

    Those without any training image are another check's business.
    """
    there, found = np.flatnonzero(trained > 0).tolist(), []
    if few := [class_names[k] for k in there if trained[k] < FEW]:
        found.append(f"fewer than {FEW} training images of {listing(few)}")
    if there:
        most, least = max(there, key=lambda k: trained[k]), min(there, key=lambda k: trained[k])
        if (ratio := trained[most] / trained[least]) >= IMBALANCE:
            sizes = f"{counted(trained[most], 'training image')}, {in_quotes(class_names[least])} {trained[least]:,}"
            found.append(
                f"the classes are out of balance, {ratio:.0f} to 1: {in_quotes(class_names[most])} has {sizes}"
            )
    return [Finding("counts", text) for text in found]


def check_groups(paths: Mapping[str, Sequence[str]], classes: int) -> list[Finding]:
    """Look for series of images, by their files' names, that are in training and in another split too.

    A series is what is left of several names without the number at their ends, such as ``patient12`` of ``patient12_003.png``.
    Where classes have one series each or so, that is how the files were numbered.

    Args:
        paths: of the images of each split inside the data set, by role.
        classes: their number.
    """
    names = {role: np.array(searched(SERIES, list(found)), str) for role, found in paths.items()}
    every = np.concatenate(list(names.values()))
    stems = [
        PurePosixPath(path).stem for found in paths.values() for path in found
    ]  # 1.png in every folder is no series
    numbered = [name for name, stem in set(zip(every.tolist(), stems, strict=True)) if name != stem]
    series, counts = np.unique(np.array(numbered, str), return_counts=True)
    several = series[counts > 1]
    if len(several) < SERIES_A_CLASS * classes or np.isin(every, several).mean() < 0.5:
        return []
    found = []
    for role, own in names.items():
        both = np.intersect1d(own, np.intersect1d(names["train"], several))
        if role != "train" and (share := float(np.isin(own, both).mean())) >= STRADDLING:
            such = f"{len(several):,} series of images, such as {in_quotes(str(both[0]))}"
            have = f"{share:.0%} of the {role} images have others of their series in training"
            found.append(Finding("groups", f"file names suggest {such}: {have}"))
    return found


def measure(shapes: NDArray[np.int32], side: int) -> Sizes:
    """Return the distribution of the sizes of images (N, 2), height and width in pixels, N >= 1; ``side`` is the input's."""
    short = shapes.min(1)
    return Sizes(int(short.min()), int(np.median(short)), int(short.max()), side, float((short < side).mean()))


def long_words(stretch: float, prepared: Preprocessing) -> str:
    """Return what becomes of an image that is so many times as long as the input's shape."""
    off = f"times off the input's shape of {prepared.shape}" if prepared.shape.oblong else "times as long as wide"
    becomes = {
        "squash": "and is squashed to the shape of the input",
        "border": f"so that {1 - 1 / stretch:.0%} of the input is padding",
    }
    seen = f"of which {prepared.crop_pct**2 / stretch:.0%} is seen"
    return f"{stretch:.1f} {off}, {becomes.get(prepared.crop_mode, seen)}"


def check_sizes(shapes: NDArray[np.int32], prepared: Preprocessing) -> list[Finding]:
    """Look for images much smaller or longer than the rest, and for an input that does not suit most of them.

    Long ones are those that are far from the shape of the input, which need not be a square.

    Args:
        shapes: (N, 2), height and width in pixels, all > 0.
        prepared: how they are fitted to the input.
    """
    if not len(shapes):
        return []

    def of_shape(check: Literal["tiny", "aspect"], what: str, i: int) -> Finding:
        height, width = shapes[i].tolist()
        return Finding(check, f"{what} ({width} x {height} px)", (i,))

    # An image is odd beside the others: in a set of icons none is tiny, in one of panoramas none is long.
    short, stretch = shapes.min(1), prepared.stretch(*shapes.T)
    tiny = np.flatnonzero(short < min(TINY, float(np.median(short)) / 2)).tolist()
    long = np.flatnonzero(stretch >= max(LONG, 2 * float(np.median(stretch)))).tolist()
    findings = [of_shape("tiny", "is tiny", i) for i in tiny]
    findings += [of_shape("aspect", f"is {long_words(float(stretch[i]), prepared)}", i) for i in long]
    sizes = measure(shapes, min(prepared.shape))
    if sizes.smaller > 0.5:
        text = f"{sizes.smaller:.0%} of the images are smaller than the network's input of {sizes.input} px: they are enlarged"
        findings.append(Finding("sizes", text, look=False))
    elif (factor := sizes.median / sizes.input) >= REDUCED:
        text = f"half of the images are reduced {factor:.1f} times or more to {sizes.input} px: small things are lost"
        findings.append(Finding("sizes", f"{text}, and a larger --img-size would show them", look=False))
    return findings
