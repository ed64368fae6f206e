"""The examination, top to bottom: what every check finds in a data set."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.data.images import Images
from botzoo.data.parallel import in_order
from botzoo.errors import ModelError, printable
from botzoo.training.callbacks import Callback
from botzoo.training.state import Run
from botzoo.util.text import listing
from botzoo_finetune.doctor import duplicates, labels, quick
from botzoo_finetune.doctor.findings import Finding, Roll

Features = Callable[[Run, str], NDArray[np.floating]]
"""Given the run and the role of a split, returns the pooled features (N, D) of its images, in their order."""
Progress = Callable[[Iterator[Any], int], Iterator[Any]]
"""Wraps the iterator over all images, given their number."""


@dataclass(frozen=True)
class Report:
    """What the examination of a data set found.

    Attributes:
        dataset: its name, as the user gave it.
        roll: its images.
        counts: images of each class, shape (K,), by role.
        findings: check by check.
        remarks: sentences on the data, and on what was not looked at and why.
        sizes: of the images; None where none were read.
        accuracy: of the estimate that labels were compared with, in [0, 1]; None where there is none.
        noise: share of the labels that are wrong by that estimate, in [0, 0.5]; None where they were not looked at.
    """

    dataset: str
    roll: Roll
    counts: Mapping[str, NDArray[np.int64]]
    findings: Sequence[Finding]
    remarks: Sequence[str] = ()
    sizes: quick.Sizes | None = None
    accuracy: float | None = None
    noise: float | None = None

    @property
    def well(self) -> bool:
        """Whether there is nothing that somebody should look at."""
        return not any(finding.look for finding in self.findings)


def examine(run: Run, features: Features, seed: int, progress: Progress = lambda items, total: items) -> Report:
    """Look at every image of a data set; train nothing and write nothing.

    Args:
        run: set up with ``skip_corrupt``; its images are not streamed.
        features: what labels are estimated from.
        seed: decides the folds of that estimate.
        progress: sees the images go by.
    """
    roll = roll_of(run)
    estimated, why_not = estimate_labels(run, roll, features, seed)
    alike, how_alike = look_at_pixels(roll, progress)
    broken = [(len(roll) + i, f"cannot be read: {image.problem}") for i, image in enumerate(run.left_out)]
    findings = [*quick_findings(roll), *(Finding("corrupt", reason, (i,)) for i, reason in broken), *alike]
    accuracy = noise = None
    if estimated is not None:
        findings += labels.check_labels(estimated, roll.labels, roll.class_names)
        accuracy, noise = estimated.accuracy, estimated.noise if estimated.meaningful else None
    findings += quick.check_sizes(roll.shapes, run.preprocessing.size)
    remarks, sizes = [*run.data.notes, *why_not, *how_alike], quick.measure(roll.shapes, run.preprocessing.size)
    return Report(run.data.name, roll, roll.counts, findings, remarks, sizes, accuracy, noise)


def quick_findings(roll: Roll) -> list[Finding]:
    """Return what can be found without looking at a single pixel: of names, counts and equal files."""
    found = names_and_counts(roll.class_names, roll.counts)
    return found + duplicates.check_duplicates(roll.digests, roll.labels, roll.roles, roll.role_names)


class QuickCheck(Callback):
    """Says in the plan what can be found in the data without looking at a single pixel."""

    def on_plan(self, run: Run) -> list[tuple[str, str]]:
        """Return at most one line: what ``quick_findings`` and the sizes of the images give to look at.

        Equal files within one split do not count; of images that are streamed, or have several labels each, nothing is known.
        """
        if not run.task.one_label or not all(isinstance(images, Images) for images in run.images.values()):
            return []
        roll = roll_of(run)
        found = [*quick_findings(roll), *quick.check_sizes(roll.shapes, run.preprocessing.size)]
        leaks = sum(f.check == "duplicates" and len(np.unique(roll.roles[list(f.images)])) > 1 for f in found)
        odd = sum(f.look and f.check in ("tiny", "aspect") for f in found)
        parts = [f.reason for f in found if f.look and not f.images]
        parts += [f"{leaks:,} file(s) are in more than one split"] if leaks else []
        parts += [f"{odd:,} image(s) are tiny or very long"] if odd else []
        return [("check", f"{printable('; '.join(parts), 500)} (see botzoo-finetune --check)")] if parts else []


def names_and_counts(class_names: Sequence[str], counts: Mapping[str, NDArray[np.int64]]) -> list[Finding]:
    """Return what can be found in the number of images of each class, shape (K,), by role."""
    used = {role: [class_names[k] for k in np.flatnonzero(count).tolist()] for role, count in counts.items()}
    unused = [class_names[k] for k in np.flatnonzero(np.sum(list(counts.values()), 0) == 0).tolist()]
    findings = quick.check_names(used)
    if unused:
        findings.append(Finding("names", f"there are no images of {listing(unused)}, which the data declares"))
    return findings + quick.check_counts(counts["train"], class_names)


def roll_of(run: Run) -> Roll:
    """Return the images of a data set that is not streamed."""
    splits = {role: images for role, images in run.images.items() if isinstance(images, Images)}
    return Roll(run.data.class_names, splits, [image.name for image in run.left_out])


def look_at_pixels(roll: Roll, progress: Progress) -> tuple[list[Finding], list[str]]:
    """Look at the pixels of every image once; return what is found, and remarks on what is not."""

    def look(i: int) -> tuple[np.uint64, int]:
        image = roll.image(i)
        return duplicates.difference_hash(image), duplicates.contrast(image)

    hashes, contrasts = zip(*progress(in_order(look, len(roll)), len(roll)), strict=True)
    seen = np.array(hashes), np.array(contrasts, np.uint8)
    near, remarks = duplicates.check_near_duplicates(
        *seen, roll.digests, roll.labels, roll.roles, roll.role_names, roll.image
    )
    return [*near, *duplicates.check_blank(seen[1])], remarks


def estimate_labels(run: Run, roll: Roll, features: Features, seed: int) -> tuple[labels.Estimate | None, list[str]]:
    """Return the estimate that labels are compared with, and a remark where they are not, or not all of them."""
    unchecked = "labels were not checked:"
    try:
        rows = np.concatenate([features(run, role) for role in roll.role_names])
    except ModelError as error:
        return None, [f"{unchecked} {error}"]
    found = labels.estimate(rows, roll.labels, seed)
    if found is None:
        return None, [f"{unchecked} it takes two classes of {labels.FOLDS} images or more"]
    if not found.meaningful:
        why = f"Cohen's kappa of labels and estimate is {found.kappa:.2f}, below {labels.MEANINGFUL}"
        return found, [f"{unchecked} {why}, so most of what contradicts it would be its own mistakes"]
    rare = int((~found.estimated).sum())
    too_few = f"their classes have fewer than {labels.FOLDS}"
    return found, [f"labels of {rare} image(s) were not checked: {too_few}"] if rare else []
