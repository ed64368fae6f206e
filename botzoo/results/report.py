"""What is written and said of a finished run."""

from __future__ import annotations

import logging
import shutil

from botzoo.results.calibration import write_temperature
from botzoo.results.card import calibration, write_card
from botzoo.results.multi_label_card import write_multi_label_card
from botzoo.results.recipe import write_recipe
from botzoo.results.summary import summary
from botzoo.training.run import Result

log = logging.getLogger("botzoo")


def describe(result: Result) -> None:
    """Complete the model folder with recipe, metrics, temperature and card, and print the summary."""
    found = None if result.job.data.multi_label else calibration(result)
    if found is not None and found.kept is not None:
        write_temperature(result.model_folder, found.kept)
    write_recipe(result)
    shutil.copyfile(result.job.history.path, result.model_folder / "metrics.jsonl")
    if result.job.data.multi_label:
        write_multi_label_card(result)
    else:
        write_card(result, found)
    lines = summary(result, found)
    with (result.job.folder / "log.txt").open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    for line in lines:
        log.info("%s", line)
