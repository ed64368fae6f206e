"""``botzoo-finetune --check``: examine a data set, say what was found, and write it down."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from botzoo.data import open as opening
from botzoo.data.images import Images
from botzoo.data.open import source_options
from botzoo.data.parallel import in_order
from botzoo.errors import BotzooError, ConfigError, DataError, ModelError, printable
from botzoo.sources.find import find_images, names_by_split
from botzoo.training.callbacks import Callback
from botzoo.training.recording.folder import check_output
from botzoo.training.setup import set_up
from botzoo.training.state import Own, Run
from botzoo.util.environment import user_path
from botzoo.util.files import free_name, write_json, write_text
from botzoo.util.text import counted, listing, under
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.doctor import duplicates, labels, page, placeholders, quick, targets
from botzoo_finetune.doctor.findings import Finding, Report, Roll
from botzoo_finetune.transfer.features import Extractor, unmeasured

log = logging.getLogger("botzoo")
NOT_READ = "the images themselves were not looked at: mend this first, and check again"


def check(config: FinetuneConfig, callbacks: Sequence[Callback] = (), own: Own | None = None) -> Report:
    """Examine the data set, log what is found, and write check.json, check.html and look_at.txt.

    They go into the folder --output, by default ``check``, numbered where that exists. ``callbacks`` are those of the
    run that may follow, and are checked with the rest.

    Raises:
        DataError: there is no such data set.
        BotzooError: another option cannot be used; nothing is written.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--check is the work of one process: start it without the launcher.")
    check_output(config, resumable=False)  # refused before the work, not after it
    try:
        run = set_up(unmeasured(replace(config, skip_corrupt=True)), callbacks, own=own)
    except DataError as error:
        if own is not None and {"data", "labels"} & {
            *own.names
        }:  # unusable() looks for them by name, and these have none
            raise
        report = unusable(config, error)
    else:
        if run.task.whole_image and not run.task.one_label:
            raise ConfigError(f"--check looks at one label of each image; those of {config.dataset} may have several.")
        report = examine(run) if run.task.whole_image else examine_targets(run)
    for line in [*page.lines(report), *under("written", [write(report, config.output)], page.WIDTH)]:
        log.info("%s", line)
    return report


def unusable(config: FinetuneConfig, error: DataError) -> Report:
    """Return what is found in a data set that is there but cannot be trained on.

    Raises:
        DataError: ``error``, where there is no data set.
    """
    options, kind = source_options(config.data, config.labels), config.task or "classify"
    findings = [Finding("usable", str(error))]
    try:
        data = find_images(config.dataset, options, kind)
    except BotzooError:  # even so, its names may be read and tell what is wrong
        try:
            found = quick.check_names(names_by_split(config.dataset, options, kind))
        except BotzooError:
            found = []
        if not found:
            raise error from None
        return Report(config.dataset, Roll((), {}), {}, findings + found, [NOT_READ])
    counted = {role: split.class_counts(len(data.class_names)) for role, split in data.splits.items()}
    counts = {role: count for role, count in counted.items() if count is not None}
    findings += names_and_counts(data.class_names, counts) + without_images(data.class_names, counts)
    return Report(config.dataset, Roll(data.class_names, {}), counts, findings, [*data.notes, NOT_READ])


def write(report: Report, output: str | None) -> str:
    """Write the three files into the folder ``output``, or a new one; return what they are, in words."""
    folder = user_path(output) if output is not None else free_name(Path("check"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "check.json", page.as_json(report))
        write_text(folder / "check.html", page.page(report))
        write_text(folder / "look_at.txt", "".join(page.to_look_at(report)))
    except OSError as error:
        wrong = f"The report cannot be written to {folder} ({error.strerror})"
        raise ConfigError(f"{wrong}: give a folder that you may write to with --output.") from error
    return f"{folder / 'check.html'}, check.json and look_at.txt, the images to look at, beside it"


def examine(run: Run) -> Report:
    """Look at every image of a data set; train nothing and write nothing.

    The run is set up with ``skip_corrupt``, and its images are not streamed.
    """
    roll = roll_of(run)
    estimated, why_not = estimate_labels(run, roll)
    alike, how_alike = look_at_pixels(roll)
    broken = enumerate(run.left_out, len(roll))  # in the roll they stand behind the readable ones
    corrupt = [Finding("corrupt", f"cannot be read: {image.problem}", (i,)) for i, image in broken]
    findings = [*quick_findings(roll), *corrupt, *alike]
    accuracy = noise = None
    if estimated is not None:
        findings += labels.check_labels(estimated, roll.labels, roll.class_names)
        accuracy, noise = estimated.accuracy, estimated.noise if estimated.meaningful else None
    findings += quick.check_sizes(roll.shapes, run.preprocessing)
    remarks, sizes = [*run.data.notes, *why_not, *how_alike], quick.measure(roll.shapes, min(run.preprocessing.shape))
    return Report(run.data.name, roll, roll.counts, named_once(findings), remarks, sizes, accuracy, noise)


def examine_targets(run: Run) -> Report:
    """Look at all pictures, and at all boxes or masks of a data set, also those that training does without."""
    roll, data = roll_of(run), opening.find(run.config.dataset, run.config.data, kind=run.config.task)
    alike, how_alike = look_at_pixels(roll)
    wrong = targets.check_targets(run.task, data, roll)
    named = {i for finding in wrong for i in finding.images}
    left_out = [(i, image) for i, image in enumerate(run.left_out, len(roll)) if i not in named]
    corrupt = [Finding("corrupt", f"cannot be used: {image.problem}", (i,)) for i, image in left_out]
    found = names_and_counts(roll.class_names, roll.counts) + duplicates.check_duplicates(roll)
    findings = [*found, *corrupt, *alike, *wrong]
    sizes = quick.measure(roll.shapes, min(run.preprocessing.shape))
    return Report(run.data.name, roll, roll.counts, named_once(findings), [*run.data.notes, *how_alike], sizes)


def named_once(findings: Sequence[Finding]) -> list[Finding]:
    """Leave out what is found of images that are blank or placeholders, and so are to be removed in any case."""
    removed = {i for f in findings if f.check in ("blank", "placeholder") and f.look for i in f.images}
    return [
        f for f in findings if f.check in ("blank", "placeholder") or not f.images or not removed.issuperset(f.images)
    ]


def quick_findings(roll: Roll) -> list[Finding]:
    """Return what can be found without looking at a single pixel: of names, counts, series and equal files."""
    found = names_and_counts(roll.class_names, roll.counts) + without_images(roll.class_names, roll.counts)
    found += duplicates.check_duplicates(roll)
    if all(images.split.groups is None for images in roll.splits.values()):
        found += quick.check_groups(roll.paths, len(roll.class_names))
    return found


def names_and_counts(class_names: Sequence[str], counts: Mapping[str, NDArray[np.int64]]) -> list[Finding]:
    """Return what can be found in the number of images of each class, shape (K,), by role."""
    used = {role: [class_names[k] for k in np.flatnonzero(count).tolist()] for role, count in counts.items()}
    return quick.check_names(used) + quick.check_counts(counts["train"], class_names)


def without_images(class_names: Sequence[str], counts: Mapping[str, NDArray[np.int64]]) -> list[Finding]:
    """Return that classes are on no image of any split; arguments as of ``names_and_counts``."""
    unused = [class_names[k] for k in np.flatnonzero(np.sum(list(counts.values()), 0) == 0).tolist()]
    declared = f"there are no images of {listing(unused)}, which the data declares"
    return [Finding("names", declared)] if unused else []


def roll_of(run: Run) -> Roll:
    """Return the images of a data set that is not streamed."""
    splits = {role: images for role, images in run.images.items() if isinstance(images, Images)}
    return Roll(run.data.class_names, splits, [image.name for image in run.left_out])


def look_at_pixels(roll: Roll) -> tuple[list[Finding], list[str]]:
    """Look at the pixels of every image once; return what is found, and remarks on what is not."""

    def look(i: int) -> tuple[np.uint64, np.uint8, float]:
        with roll.opened(i) as image:
            return duplicates.difference_hash(image), duplicates.contrast(image), placeholders.flatness(image)

    seen, quiet = in_order(look, len(roll)), not sys.stderr.isatty()
    bar = tqdm(seen, "looking at images", len(roll), leave=False, disable=quiet, unit="img")
    hashes, contrasts, flat = map(np.array, zip(*bar, strict=True))
    near, remarks = duplicates.check_near_duplicates(roll, hashes, contrasts)
    named = placeholders.check_placeholders(roll, contrasts, flat)
    return [*near, *duplicates.check_blank(contrasts), *named], remarks


def estimate_labels(run: Run, roll: Roll) -> tuple[labels.Estimate | None, list[str]]:
    """Return the estimate that labels are compared with, and a remark where they are not, or not all of them."""
    unchecked, classes = "labels were not checked:", len(roll.class_names)
    if len(roll) * classes > labels.LARGEST:
        return None, [
            f"{unchecked} {counted(len(roll), 'image')} of {counted(classes, 'class', 'classes')} would take too much memory"
        ]
    extract = Extractor(run)
    try:
        rows = np.concatenate([extract(role) for role in roll.role_names])
    except ModelError as error:
        return None, [f"{unchecked} {error}"]
    found = labels.estimate(rows, roll.labels, run.config.seed)
    if found is None:
        return None, [f"{unchecked} it takes two classes of {labels.FOLDS} images or more"]
    if not found.meaningful:
        why = f"Cohen's kappa of labels and estimate is {found.kappa:.2f}, below {labels.MEANINGFUL}"
        return found, [f"{unchecked} {why}, so most of what contradicts it would be its own mistakes"]
    rare = int((~found.estimated).sum())
    too_few = f"in classes of fewer than {labels.FOLDS}"
    return found, [f"{unchecked} those of {counted(rare, 'image')}, {too_few}"] if rare else []


class QuickCheck(Callback):
    """Says in the plan what can be found in the data without looking at a single pixel."""

    def on_plan(self, run: Run) -> list[tuple[str, str]]:
        """Return at most one line: what ``quick_findings`` and the sizes of the images give to look at.

        Equal files within one split do not count; of images that are streamed, or have several labels each, nothing is known.
        """
        if not run.task.one_label or not all(isinstance(images, Images) for images in run.images.values()):
            return []
        roll = roll_of(run)
        found = [*quick_findings(roll), *quick.check_sizes(roll.shapes, run.preprocessing)]
        leaks = sum(f.check == "duplicates" and len(np.unique(roll.roles[list(f.images)])) > 1 for f in found)
        odd = sum(f.look and f.check in ("tiny", "aspect") for f in found)
        parts = [f.reason for f in found if f.look and not f.images]
        parts += [f"in more than one split: {counted(leaks, 'file')}"] if leaks else []
        parts += [f"tiny or very long: {counted(odd, 'image')}"] if odd else []
        return [("check", f"{printable('; '.join(parts), 500)} (see botzoo-finetune --check)")] if parts else []
