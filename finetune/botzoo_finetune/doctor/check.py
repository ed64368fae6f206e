"""``botzoo-finetune --check``: examine a data set, say what was found, and write it down."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from botzoo.data.sources.find import find_images, names_by_split
from botzoo.errors import BotzooError, ConfigError, DataError
from botzoo.training.callbacks import Callback
from botzoo.training.folder import check_output
from botzoo.training.setup import set_up
from botzoo.training.state import Own
from botzoo.util.files import free_name
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.doctor.examine import Features, Report, examine, names_and_counts
from botzoo_finetune.doctor.findings import Finding
from botzoo_finetune.doctor.names import check_names
from botzoo_finetune.doctor.page import page
from botzoo_finetune.doctor.report import as_json, lines, to_look_at
from botzoo_finetune.doctor.roll import Roll
from botzoo_finetune.transfer.features import features_of, unmeasured

log = logging.getLogger("botzoo")


def check(
    config: FinetuneConfig,
    callbacks: Sequence[Callback] = (),
    features: Features = features_of,
    own: Own | None = None,
) -> Report:
    """Examine the data set, log what is found, and write check.json, check.html and look_at.txt.

    Args:
        config: the options; they go into the folder --output, by default ``check``, numbered where that exists.
        callbacks: of the run that may follow; they are checked with the rest.
        features: what labels are judged by.

    Raises:
        DataError: there is no such data set.
        BotzooError: another option cannot be used; nothing is written.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--check is the work of one process: start it without the launcher.")
    check_output(config, resumable=False)
    report = _looked_at(config, callbacks, features, own)
    for line in lines(report):
        log.info("%s", line)
    log.info("%-15s %s", "written", _write(report, config.output))
    return report


def _looked_at(config: FinetuneConfig, callbacks: Sequence[Callback], features: Features, own: Own | None) -> Report:
    try:
        run = set_up(unmeasured(replace(config, skip_corrupt=True)), callbacks, own=own)
    except DataError as error:
        if own is not None and own.data is not None:
            raise
        return _unusable(config, error)
    if run.data.multi_label:
        raise ConfigError(f"--check looks at one label of each image, and those of {config.dataset} may have several.")
    return examine(run, features, config.seed, _bar)


def _bar(items: Iterator[Any], total: int) -> Iterator[Any]:
    return iter(tqdm(items, "looking at images", total, leave=False, disable=not sys.stderr.isatty(), unit="img"))


def _unusable(config: FinetuneConfig, error: DataError) -> Report:
    """Return what is found in a data set that is there but cannot be trained on; raise ``error`` where there is none."""
    columns = {"image_column": config.data.image_column, "label_column": config.data.label_column}
    findings = [Finding("usable", str(error))]
    try:
        data = find_images(config.dataset, **columns)
    except BotzooError:
        if not (found := _names(config.dataset, columns)):
            raise error from None
        return Report(config.dataset, Roll((), {}), {}, findings + found, [NOT_READ])
    counts = {
        role: count
        for role, split in data.splits.items()
        if (count := split.class_counts(len(data.class_names))) is not None
    }
    findings += names_and_counts(data.class_names, counts)
    return Report(config.dataset, Roll(data.class_names, {}), counts, findings, [*data.notes, NOT_READ])


NOT_READ = "the images themselves were not looked at: mend this first, and check again"


def _names(dataset: str, columns: dict[str, str | None]) -> list[Finding]:
    """Return what is wrong with the names of the classes, if anything; nothing where they cannot be read."""
    try:
        return check_names(names_by_split(dataset, **columns))
    except BotzooError:
        return []


def _write(report: Report, output: str | None) -> str:
    """Write the three files; return what they are, in words."""
    folder = Path(output).expanduser() if output is not None else free_name(Path("check"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "check.json").write_text(json.dumps(as_json(report), indent=1) + "\n", encoding="utf-8")
        (folder / "check.html").write_text(page(report), encoding="utf-8", errors="backslashreplace")
        text = "".join(f"{line}\n" for line in to_look_at(report))
        (folder / "look_at.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(
            f"The report cannot be written to {folder} ({error.strerror}): give a folder that you may write to with --output."
        ) from error
    return f"{folder / 'check.html'}, check.json and look_at.txt, the images to look at, beside it"
