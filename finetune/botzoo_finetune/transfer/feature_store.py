"""Features on the disk, from one run to the next.

A file holds those of one split: ``KEY.npy`` in the folder ``features`` of ``$BOTZOO_CACHE`` (by default ``~/.cache/botzoo``),
a NumPy array, float16 (N, D). KEY is the SHA-256 of everything that the features depend on: the weights without the
classifier, the images, their preprocessing and the arithmetic. A file is checked when it is opened, and locked while it is
mapped; see ``botzoo.util.cache``.
"""

import errno
import io
import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from botzoo.util.cache import DIGEST_BYTES, FEATURES

Features = NDArray[np.float16]
"""Shape (N, D), rows in the order of the images; to be read only."""
HEADER = 4096  # bytes of a file that its header is somewhere in


def open_features(key: str, images: int) -> Features | None:
    """Return the features of so many ``images`` that were computed before, mapped into memory; None where there are none."""

    def read(content: NDArray[np.uint8]) -> Features:
        header = io.BytesIO(content[:HEADER].tobytes())
        np.lib.format.read_magic(header)
        shape, _, dtype = np.lib.format.read_array_header_1_0(header)
        found: Features = content[header.tell() :].view(dtype).reshape(shape)
        if found.dtype != np.float16 or found.ndim != 2 or len(found) != images:
            raise ValueError(f"it holds {found.dtype} {found.shape}")
        return found

    return FEATURES.open(key, read)


def write_features(key: str, batches: Iterator[Features], total: int) -> None:
    """Keep the features of ``total`` images, which come batch by batch.

    Raises:
        OSError: they cannot be written; nothing is left behind.
    """

    def kept(key: str) -> bool:
        return open_features(key, total) is not None

    with FEATURES.writing(key, kept) as draft:
        for batch in batches:
            if not draft.file.tell():
                header = {"descr": "<f2", "fortran_order": False, "shape": (total, batch.shape[1])}
                np.lib.format.write_array_header_1_0(draft, header)
                reserve(draft.file, draft.file.tell() + 2 * total * batch.shape[1] + DIGEST_BYTES)
            draft.write(np.ascontiguousarray(batch, "<f2"))


def reserve(file: BinaryIO, size: int) -> None:
    """Take so many bytes of the disk for a file, where that can be asked for.

    A disk that is too small is known of before the features are computed then, not after most of them.

    Raises:
        OSError: there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):  # this file system cannot
                raise
