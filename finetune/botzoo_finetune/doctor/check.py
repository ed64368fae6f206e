"""``botzoo-finetune --check``: examine a data set, say what was found, and write it down."""

import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from botzoo.data.sources.find import find_images, names_by_split
from botzoo.errors import BotzooError, ConfigError, DataError
from botzoo.training.callbacks import Callback
from botzoo.training.recording.folder import check_output
from botzoo.training.setup import set_up
from botzoo.training.state import Own
from botzoo.util.files import free_name, write_text
from botzoo.util.text import under
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.doctor import examine, page, quick
from botzoo_finetune.doctor.examine import Report
from botzoo_finetune.doctor.findings import Finding, Roll
from botzoo_finetune.transfer.features import features_of, unmeasured

log = logging.getLogger("botzoo")


def check(
    config: FinetuneConfig,
    callbacks: Sequence[Callback] = (),
    features: examine.Features = features_of,
    own: Own | None = None,
) -> Report:
    """Examine the data set, log what is found, and write check.json, check.html and look_at.txt.

    Args:
        config: the options; they go into the folder --output, by default ``check``, numbered where that exists.
        callbacks: of the run that may follow; they are checked with the rest.
        features: what labels are estimated from.
    Raises DataError: there is no such data set; BotzooError: another option cannot be used; nothing is written.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--check is the work of one process: start it without the launcher.")
    check_output(config, resumable=False)
    try:
        run = set_up(unmeasured(replace(config, skip_corrupt=True)), callbacks, own=own)
    except DataError as error:
        if own is not None and own.data is not None:
            raise
        report = unusable(config, error)
    else:
        if not run.task.one_label:
            raise ConfigError(f"--check looks at one label of each image; those of {config.dataset} may have several.")
        bar = partial(tqdm, desc="looking at images", leave=False, disable=not sys.stderr.isatty(), unit="img")
        report = examine.examine(run, features, config.seed, lambda items, total: iter(bar(items, total=total)))
    for line in [*page.lines(report), *under("written", [write(report, config.output)], page.WIDTH)]:
        log.info("%s", line)
    return report


def unusable(config: FinetuneConfig, error: DataError) -> Report:
    """Return what is found in a data set that is there but cannot be trained on; raise ``error`` where there is none."""
    columns = {"image_column": config.data.image_column, "label_column": config.data.label_column}
    findings = [Finding("usable", str(error))]
    try:
        data = find_images(config.dataset, **columns)
    except BotzooError:  # even so, its names may be read and tell what is wrong
        try:
            found = quick.check_names(names_by_split(config.dataset, **columns))
        except BotzooError:
            found = []
        if not found:
            raise error from None
        return Report(config.dataset, Roll((), {}), {}, findings + found, [NOT_READ])
    counted = {role: split.class_counts(len(data.class_names)) for role, split in data.splits.items()}
    counts = {role: count for role, count in counted.items() if count is not None}
    findings += examine.names_and_counts(data.class_names, counts)
    return Report(config.dataset, Roll(data.class_names, {}), counts, findings, [*data.notes, NOT_READ])


NOT_READ = "the images themselves were not looked at: mend this first, and check again"


def write(report: Report, output: str | None) -> str:
    """Write the three files into the folder ``output``, or a new one; return what they are, in words."""
    folder = Path(output).expanduser() if output is not None else free_name(Path("check"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Names of files may be no UTF-8: JSON escapes such letters, the others get a backslash.
        write_text(folder / "check.json", json.dumps(page.as_json(report), indent=1) + "\n")
        for name, text in {"check.html": page.page(report), "look_at.txt": "".join(page.to_look_at(report))}.items():
            write_text(folder / name, text.encode("utf-8", "backslashreplace").decode())
    except OSError as error:
        wrong = f"The report cannot be written to {folder} ({error.strerror})"
        raise ConfigError(f"{wrong}: give a folder that you may write to with --output.") from error
    return f"{folder / 'check.html'}, check.json and look_at.txt, the images to look at, beside it"
