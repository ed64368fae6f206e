"""Features on the disk, from one run to the next.

A file holds those of one split: ``KEY.npy`` in the folder ``features`` of ``$BOTZOO_CACHE`` (by default ``~/.cache/botzoo``),
a NumPy array, float16 (N, D), followed by the SHA-256 of KEY and of all that stands before it. KEY is the SHA-256 of
everything that the features depend on: the weights without the classifier, the images, their preprocessing and the arithmetic.
A file is checked when it is opened, and locked while it is mapped; see ``botzoo.util.cache``.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from botzoo.util.cache import Store, mapped

Features = NDArray[np.float16]
"""Shape (N, D), rows in the order of the images; to be read only."""
STORE = Store("features", ".npy", "features", "computed")
DIGEST_BYTES = 32
CHUNK = 1 << 24  # bytes that are read at a time to check a file


def open_features(key: str, images: int) -> Features | None:
    """Return the features of so many ``images`` that were computed before, mapped into memory; None where there are none."""

    def read(path: Path) -> Features:
        _check_digest(path, key)
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            found = mapped(file, dtype, file.tell(), shape)
        if found.dtype != np.float16 or found.ndim != 2 or len(found) != images:
            raise ValueError(f"it holds {found.dtype} {found.shape}")
        return found

    return STORE.open(key, read)


def _check_digest(path: Path, key: str) -> bytes:
    """Return the SHA-256 of a key and of all but the end of a file; raise ValueError unless the file ends in it."""
    left, sha = path.stat().st_size - DIGEST_BYTES, hashlib.sha256(key.encode())
    with path.open("rb") as file:
        while left > 0:
            if not (part := file.read(min(CHUNK, left))):
                break
            sha.update(part)
            left -= len(part)
        if left or file.read() != sha.digest():
            raise ValueError("its SHA-256 differs")
    return sha.digest()


def write_features(key: str, batches: Iterator[Features], total: int) -> None:
    """Keep the features of ``total`` images, which come batch by batch; raises OSError, leaving nothing behind."""

    def kept(key: str) -> bool:
        return STORE.open(key, partial(_check_digest, key=key)) is not None

    with STORE.writing(key, kept) as draft:
        sha = hashlib.sha256(key.encode())
        for batch in batches:
            if not draft.file.tell():
                header = {"descr": "<f2", "fortran_order": False, "shape": (total, batch.shape[1])}
                np.lib.format.write_array_header_1_0(draft.file, header)
                length = draft.file.tell()
                reserve(draft.file, length + 2 * total * batch.shape[1] + DIGEST_BYTES)
                draft.file.seek(0)
                sha.update(draft.file.read(length))
            data = np.ascontiguousarray(batch, "<f2").data
            draft.file.write(data)
            sha.update(data)
        draft.file.write(sha.digest())


def reserve(file: BinaryIO, size: int) -> None:
    """Take so many bytes of the disk for a file, where that can be asked for; raises OSError where there is no room.

    A disk that is too small is known of before the features are computed then, not after most of them.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):  # this file system cannot
                raise
