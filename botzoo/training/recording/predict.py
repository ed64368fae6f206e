"""--predict: what the finished network says of images besides those that the run is evaluated on."""

import logging
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from botzoo.data.images import read_images
from botzoo.data.progress import progress_of
from botzoo.errors import ConfigError, DataError
from botzoo.options.accepted import ROLES
from botzoo.sources.base import Files, Split
from botzoo.sources.folders import image_files
from botzoo.sources.layouts.archives import place_of
from botzoo.tasks.answers import write_answers
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import on_each_node, on_main, same_everywhere
from botzoo.training.recording.facts import names_of
from botzoo.training.state import Asked, Run
from botzoo.training.steps.evaluation import gathered_answers
from botzoo.util.environment import user_path
from botzoo.util.outgoing import last_part
from botzoo.util.text import counted

log = logging.getLogger("botzoo")

IS_NAME = re.compile(r"\w[\w.-]{,39}")
"""Of answers in evaluation/ and in predictions-NAME.csv: short, and no path to anywhere else."""


class Predict(Callback):
    """Keeps the answers of the finished network for splits and folders of images, in evaluation/ as those of the test split.

    It comes after what changes weights at the end.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted, self.looks_at_train = wanted, "train" in wanted

    def on_setup(self, run: Run) -> None:
        """Read the images, so that what is wrong with them is said before the first step."""
        for word in dict.fromkeys(self.wanted):
            if word in run.images:
                run.asked[word] = Asked(run.images[word], labelled=True, again=word != "train")
            else:
                name = free_name(word, {"start", *run.images, *run.asked})  # start.parquet is there too
                run.asked[name] = read_folder(run, word, name)

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Say which folders are asked about."""
        for name, asked in run.asked.items():
            if name not in run.images:
                labels = "with labels" if asked.labelled else "without labels"
                yield "data", f"to be predicted: {counted(len(asked.images), 'image')} of {name}, {labels}"

    def on_train_end(self, run: Run) -> None:
        """Ask the network, which is the finished one by now."""
        trainer, task = run.trainer, run.task
        for name, asked in run.asked.items():
            if asked.again:
                continue
            batches = replace(run.feed.whole, images={name: asked.images}).eval_batches(run.order, name)
            how = (run.accelerator, trainer.evaluated, batches, trainer.normalise, asked.images.evaluated, task)
            answers = gathered_answers(*how, everything=True)
            names = names_of(asked.images, len(next(iter(answers.values()))))
            if not asked.labelled:
                answers = {key: each for key, each in answers.items() if key not in task.of_labels}
            path = run.folder / "evaluation" / f"{name}.parquet"
            on_main(run.accelerator, partial(write_answers, path, names, answers))
        run.facts["predicted"] = [*run.asked]


def read_folder(run: Run, word: str, name: str) -> Asked:
    """Find and read the images of the folder ``word``, which may be one in the data set's folder.

    Raises:
        DataError: there is no such folder, no image in it, or one that cannot be read.
    """
    folder = _folder_of(run, word)
    if not run.task.whole_image:
        raise ConfigError(f"--predict {word} is a folder, and there is a command for those: botzoo predict RUN {word}.")
    paths = image_files(folder)
    if not paths:
        raise DataError(f"There is no image in the folder {folder} of --predict, nor in those inside it.")
    labels, files = labels_of(run, folder, paths), Files(paths)
    shape = (len(paths), len(run.data.class_names))
    nothing = np.zeros(shape[:1], np.int64) if run.task.one_label else np.zeros(shape, np.uint8)
    root = os.path.join(folder, "")  # noqa: PTH118
    split = Split(word, nothing if labels is None else labels, files.read, files.describe, root=root)
    kept = sum(getattr(images, "cached_bytes", 0) for images in run.images.values())
    images, left_out = read_images(
        split,
        run.preprocessing.decoding,
        skip_corrupt=run.config.skip_corrupt,
        cache_bytes=max(0, int(run.config.data.cache_gib * (1 << 30)) - kept),
        progress=progress_of(f"reading images of {name}", None if run.is_main else False),
        first=partial(on_each_node, run.accelerator),
    )
    same_everywhere(run.accelerator, images.fingerprint, "images", word)
    for image in left_out:
        log.warning("left out: %s", image)
    return Asked(images, labelled=labels is not None, again=False)


def labels_of(run: Run, folder: Path, paths: Sequence[str]) -> NDArray[np.int64] | None:
    """Return the classes that the images lie in folders of, int64 (N,); None unless all of them do."""
    numbers = {each: k for k, each in enumerate(run.data.class_names if run.task.one_label else ())}
    first = [Path(path).relative_to(folder).parts[0] for path in paths]
    found = [numbers.get(each, -1) for each in first]
    return None if min(found) < 0 else np.array(found, np.int64)


def _folder_of(run: Run, word: str) -> Path:
    """Return the folder that is meant: one in the data set's, as splits are, or one from here."""
    here, root = user_path(word), getattr(run.data.train, "root", "")
    bases = () if run.data.in_memory else filter(None, (root, run.config.dataset))
    of_data = [user_path(base) / word for base in bases]
    for place in [*of_data, here] if here.name == word else [here, *of_data]:
        if (found := place_of(place)).is_dir():
            return found
    splits = [role for role in ROLES if role in run.images]
    raise DataError(
        f"--predict {word}: there is no such split, nor a folder of that name.",
        value=word,
        accepted=splits,
        cure=f"Give {', '.join(splits)}, or a folder of images.",
    )


def free_name(word: str, taken: Collection[str]) -> str:
    """Return what a folder is called in the run's folder: its last part, as far as that will do, and a number if need be."""
    stem = re.sub(r"[^\w.-]+", "_", last_part(word)).lstrip("._-")[:32].rstrip(".") or "images"
    used, name, number = {each.casefold() for each in taken}, stem, 1
    while name.casefold() in used:
        number += 1
        name = f"{stem}-{number}"
    return name
