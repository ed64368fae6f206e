"""Images that are there more than once: the same bytes, above all in two splits or under two labels."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from botzoo_finetune.doctor.findings import Finding


def short_digests(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the first 8 bytes of each SHA-256 (N, 32), shape (N,): they sort fast.

    By chance, two of a million different images share them in one data set of 40 million.
    """
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64).ravel()


def groups_of(keys: NDArray[np.uint64]) -> list[NDArray[np.int64]]:
    """Return the places of equal keys (N,), for each key that is there more than once, in rising order."""
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]], append=~keys[order[-1:]]))
    shared = np.flatnonzero(np.diff(bounds) > 1)
    return [order[begin:end] for begin, end in zip(bounds[shared].tolist(), bounds[shared + 1].tolist(), strict=True)]


def check_duplicates(
    digests: NDArray[np.uint8], labels: NDArray[np.int64], roles: NDArray[np.int8], role_names: Sequence[str]
) -> list[Finding]:
    """Find images of the same bytes; those that are in several splits come first.

    Args:
        digests: SHA-256 of each encoded image, uint8 (N, 32); labels: int64 (N,).
        roles: which split each is in, int8 (N,), indices into ``role_names``.
    """
    groups = groups_of(short_digests(digests))
    groups.sort(key=lambda group: urgency(group, labels, roles))
    return [describe("duplicates", group, labels, roles, role_names) for group in groups]


def urgency(group: NDArray[np.int64], labels: NDArray[np.int64], roles: NDArray[np.int8]) -> tuple[bool, bool]:
    """Return what sorts groups across splits first, then those under different labels."""
    return len(np.unique(roles[group])) == 1, len(np.unique(labels[group])) == 1


def describe(
    check: Literal["duplicates", "near duplicates"],
    group: NDArray[np.int64],
    labels: NDArray[np.int64],
    roles: NDArray[np.int8],
    role_names: Sequence[str],
    score: float | None = None,
) -> Finding:
    """Return the finding that the images of ``group`` are the same, or all but the same.

    What is alike within one split and under one label does no harm: as near duplicates it is worth knowing and no more.
    """
    splits = [role_names[role] for role in np.unique(roles[group])]
    what = "the same file" if check == "duplicates" else "nearly the same image"
    where = f"in {' and '.join(splits)}" if len(splits) > 1 else f"{len(group)} times in {splits[0]}"
    one_split, one_label = urgency(group, labels, roles)
    reason = f"{what} {where}" + ("" if one_label else ", under different labels")
    look = check == "duplicates" or not one_split or not one_label
    return Finding(check, reason, tuple(group.tolist()), look, score=score)
