"""How many images each class has."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from botzoo.util.text import listing
from botzoo_finetune.doctor.findings import Finding

FEW = 5
"""A class with fewer training images can hardly be learned."""
IMBALANCE = 10.0
"""From this ratio of the largest class to the smallest on, accuracy says little of the smallest."""


def check_counts(trained: NDArray[np.int64], class_names: Sequence[str]) -> list[Finding]:
    """Look for classes with few training images, and for large ones beside small ones.

    Args:
        trained: training images of each class, shape (K,).
        class_names: of the K classes. Those without any training image are another check's business.
    """
    findings: list[Finding] = []
    there = np.flatnonzero(trained > 0).tolist()
    if few := [class_names[k] for k in there if trained[k] < FEW]:
        findings.append(Finding("counts", f"fewer than {FEW} training images of {listing(few)}"))
    if not there:
        return findings
    most, least = max(there, key=lambda k: trained[k]), min(there, key=lambda k: trained[k])
    if (ratio := trained[most] / trained[least]) >= IMBALANCE:
        sizes = (
            f"{class_names[most]!r} has {trained[most]:,} training images, {class_names[least]!r} {trained[least]:,}"
        )
        findings.append(Finding("counts", f"the classes are out of balance, {ratio:.0f} to 1: {sizes}"))
    return findings
