"""Images that are there more than once, above all in two splits or under two labels: the same bytes, or nearly the same,
that is encoded again, resized, or retouched.

For the latter each image gets the 64-bit difference hash of N. Krawetz (2013, "Kind of Like That"): reduced to 9 x 8 grey
pixels, is each one brighter than its left neighbour? Copies differ in few bits. So do flat images, sky beside sky: what the
hash proposes is confirmed by the correlation of small colour pictures.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from botzoo_finetune.doctor.findings import Finding, Roll

DISTANCE = 10
"""Bits of 64 in which the hashes of two copies may differ; those of different photographs differ in 32 on average."""
CORRELATIONS = (0.9, 0.95, 0.97, 0.98, 0.99)
"""Least correlation of the small pictures of two copies: the first by which there are not too many of them."""
MANY = 0.05
"""Share of images that have a copy from which on it is rather that all of them are alike, as drawings and characters are."""
BRIGHTNESS = 16.0
"""Most mean absolute difference of the small pictures of two copies, of 255: the same shirt in another colour is no copy."""
SIDE = 32  # of the small pictures, in pixels
BLANK = 8
"""Largest difference of grey values, of 255, in an image that shows nothing; compression makes this much of one colour."""
MOST_PAIRS = 1_000_000  # that the hash may propose before the search ends
MOST_IMAGES = 200_000  # that are compared with one another, evenly spread where there are more: a few minutes' work


def short_digests(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the first 8 bytes of each SHA-256 (N, 32), shape (N,): they sort fast.

    By chance, two of a million different images share them in one data set of 40 million.
    """
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64).ravel()


def groups_of(keys: NDArray[np.uint64]) -> list[NDArray[np.int64]]:
    """Return the places of equal keys (N,), for each key that is there more than once, in rising order."""
    order = np.argsort(keys, kind="stable")
    # Where another key begins; the complement of the first and the last one differs from it for sure.
    bounds = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]], append=~keys[order[-1:]]))
    shared = np.flatnonzero(np.diff(bounds) > 1)
    return [order[begin:end] for begin, end in zip(bounds[shared].tolist(), bounds[shared + 1].tolist(), strict=True)]


def check_duplicates(roll: Roll) -> list[Finding]:
    """Find images of the same bytes; those that are in several splits come first."""
    groups = groups_of(short_digests(roll.digests))
    groups.sort(key=lambda group: urgency(group, roll))
    return [describe("duplicates", group, roll) for group in groups]


def urgency(group: NDArray[np.int64], roll: Roll) -> tuple[bool, bool]:
    """Return what sorts groups across splits first, then those under different labels."""
    return len(np.unique(roll.roles[group])) == 1, len(np.unique(roll.labels[group])) == 1


def describe(
    check: Literal["duplicates", "near duplicates"], group: NDArray[np.int64], roll: Roll, score: float | None = None
) -> Finding:
    """Return the finding that the images of ``group`` are the same, or all but the same.

    What is alike within one split and under one label does no harm: as near duplicates it is worth knowing and no more.
    """
    splits = [roll.role_names[role] for role in np.unique(roll.roles[group])]
    what = "the same file" if check == "duplicates" else "nearly the same image"
    where = f"in {' and '.join(splits)}" if len(splits) > 1 else f"{len(group)} times in {splits[0]}"
    one_split, one_label = urgency(group, roll)
    reason = f"{what} {where}" + ("" if one_label else ", under different labels")
    look = check == "duplicates" or not one_split or not one_label
    return Finding(check, reason, tuple(group.tolist()), look, score=score)


def difference_hash(image: Image.Image) -> np.uint64:
    """Return the difference hash of an image: 8 rows of 8 bits, each 1 where a pixel is brighter than the one left of it."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX))
    hashed: np.uint64 = np.packbits(grey[:, 1:] > grey[:, :-1]).view(np.uint64)[0]
    return hashed


def contrast(image: Image.Image) -> np.uint8:
    """Return the difference of the brightest and the darkest grey value, 0 ... 255."""
    found: np.uint8 = np.ptp(np.asarray(image.convert("L")))
    return found


def check_blank(contrasts: NDArray[np.uint8]) -> list[Finding]:
    """Find images of one colour."""
    return [Finding("blank", "shows nothing but one colour", (i,)) for i in np.flatnonzero(contrasts <= BLANK).tolist()]


def close_pairs(
    hashes: NDArray[np.uint64], distance: int, most: int = MOST_PAIRS, block: int = 256
) -> tuple[NDArray[np.int64], bool]:
    """Return the pairs i < j of hashes (N,) that differ in ``distance`` bits or fewer, int64 (P, 2), and if those are all.

    All pairs are compared, in blocks that stay in the processor's cache: the time of 100,000 images is that of 5 billion
    XORs, and what the images show does not change it, as it would with buckets, in which flat images meet. The search
    ends once it has ``most`` pairs.
    """
    found, count = [np.empty((0, 2), np.int64)], 0
    for top in range(0, len(hashes), block):
        for left in range(top, len(hashes), 8 * block):
            differing = np.bitwise_count(hashes[top : top + block, None] ^ hashes[left : left + 8 * block])
            pairs = np.argwhere(differing <= distance) + np.array([top, left])
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])  # a block on the diagonal has each pair twice
            count += len(found[-1])
            if count > most:
                return np.concatenate(found)[:most], False
    return np.concatenate(found), True


def small(image: Image.Image) -> NDArray[np.uint8]:
    """Return a small picture of an image, uint8 (SIDE * SIDE, 3)."""
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)).reshape(-1, 3)


def likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return correlation and mean absolute difference of pairs of small pictures, float32 (P,) each.

    The mean of each colour does not count for the correlation, or all that is blue would be alike. ``one`` and ``other`` are
    the first and the second picture of each pair, uint8 (P, SIDE * SIDE, 3).
    """
    x, y = one.astype(np.float32), other.astype(np.float32)
    a, b = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    scale = np.sqrt((a * a).sum((1, 2)) * (b * b).sum((1, 2)))
    correlation = (a * b).sum((1, 2)) / np.maximum(scale, np.float32(1e-6))
    return correlation, np.abs(x - y).mean((1, 2))


def copies(pairs: NDArray[np.int64], roll: Roll, at_once: int = 1024) -> Iterator[tuple[int, int, float]]:
    """Yield those pairs (P, 2) that are copies by their small pictures too, and the correlation of each."""
    picture = cache(lambda i: small(roll.image(i)))  # an image may be in many pairs
    for begin in range(0, len(pairs), at_once):
        part = pairs[begin : begin + at_once]
        one, other = (np.stack([picture(i) for i in side.tolist()]) for side in part.T)
        correlation, difference = likeness(one, other)
        same = (correlation >= CORRELATIONS[0]) & (difference <= BRIGHTNESS)
        for row in np.flatnonzero(same).tolist():
            yield int(part[row, 0]), int(part[row, 1]), float(correlation[row])


def least_correlation(linked: Sequence[tuple[int, int, float]], images: int) -> float:
    """Return the correlation from which on a pair of ``images`` images counts as one of copies, see ``CORRELATIONS``."""
    alike = ((least, {i for *pair, found in linked if found >= least for i in pair}) for least in CORRELATIONS)
    return next((least for least, rows in alike if len(rows) <= MANY * images), CORRELATIONS[-1])


def check_near_duplicates(
    roll: Roll, hashes: NDArray[np.uint64], contrasts: NDArray[np.uint8]
) -> tuple[list[Finding], list[str]]:
    """Find images that are nearly the same but not the same file; return also remarks on what was not found.

    Of images of the same bytes the first stands for all; blank ones are left out. ``hashes`` and ``contrasts``, shape (N,),
    are what ``difference_hash`` and ``contrast`` say of each image.
    """
    first = np.unique(short_digests(roll.digests), return_index=True)[1]
    shown = np.sort(first[contrasts[first] > BLANK])
    rows = shown[np.linspace(0, len(shown) - 1, min(len(shown), MOST_IMAGES), dtype=np.int64)]
    pairs, whole = close_pairs(hashes[rows], DISTANCE)
    linked = list(copies(rows[pairs], roll))
    least = least_correlation(linked, len(rows))
    found = grouped([link for link in linked if link[2] >= least])
    found.sort(key=lambda group: urgency(group[0], roll))
    remarks = []
    if (images := len(shown)) > MOST_IMAGES:
        remarks.append(f"of {images:,} images only {MOST_IMAGES:,}, evenly spread, were compared with one another")
    if not whole:
        remarks.append(f"over {MOST_PAIRS:,} pairs of images look alike from afar, and only so many were compared")
    if least > CORRELATIONS[0]:
        remarks.append(f"many images are much alike, so only those whose small pictures correlate by {least} are named")
    near = [describe("near duplicates", group, roll, round(score, 4)) for group, score in found]
    return near, [f"near duplicates: {remark}" for remark in remarks]


def grouped(linked: list[tuple[int, int, float]]) -> list[tuple[NDArray[np.int64], float]]:
    """Return the groups, each in rising order, that pairs link, and the least correlation of a pair of each."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not linked:
        return []
    places, ends = np.unique(np.array([pair[:2] for pair in linked]), return_inverse=True)
    i, j = ends.reshape(-1, 2).T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(len(places), len(places)))
    count, component = connected_components(graph, directed=False)
    least = np.ones(count)
    np.minimum.at(least, component[i], [correlation for *_, correlation in linked])
    groups = np.split(places[np.argsort(component, kind="stable")], np.cumsum(np.bincount(component))[:-1])
    return [(group, float(score)) for group, score in zip(groups, least, strict=True)]
