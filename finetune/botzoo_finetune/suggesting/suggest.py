"""``botzoo-finetune --suggest FOLDER``: rank the unlabelled images of a folder by what their labels may teach."""

import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from botzoo.data.images import Images, read_images
from botzoo.data.progress import progress_of
from botzoo.errors import ConfigError, DataError
from botzoo.inference.images import find_images
from botzoo.sources.base import Split
from botzoo.sources.layouts.archives import place_of
from botzoo.training.state import Own, Run
from botzoo.util.environment import user_path
from botzoo.util.files import free_name, write_text
from botzoo.util.text import counted, under
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.probing.first_look import Look, new_folder, set_up_look
from botzoo_finetune.suggesting import choose as choosing
from botzoo_finetune.suggesting.page import page
from botzoo_finetune.suggesting.suggestions import Suggested, Suggestions
from botzoo_finetune.transfer.features import Extractor

log = logging.getLogger("botzoo")

LOGITS = 1 << 22  # that are computed at once


@dataclass(frozen=True)
class Unlabelled:
    """Images in a folder, or in an archive of one, by their names."""

    names: list[str]

    def read(self, i: int) -> Path:
        """Return the file of image i."""
        return place_of(Path(self.names[i]))

    def describe(self, i: int) -> str:
        """Return its name."""
        return self.names[i]


def suggest(
    config: FinetuneConfig,
    folder: str,
    count: int,
    given: Collection[str] | None = None,
    own: Own | None = None,
) -> Suggestions:
    """Rank the images of ``folder``, say what was found, and write suggested.csv and suggested.html.

    They go into the folder --output, by default ``suggest``, numbered where that exists. The probe is the one of --probe.

    Raises:
        DataError: there is no such folder, no image in it, or nothing is left to suggest.
        BotzooError: what a run would raise before its first step.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--suggest is the work of one process: start it without the launcher.")
    place = new_folder(config, "--suggest") or free_name(Path("suggest"))
    names = names_in(folder)
    run = set_up_look(config, given, own)
    look = Look(run)
    split = Split("unlabelled", np.zeros(len(names), np.int64), Unlabelled(names).read, Unlabelled(names).describe)
    images, bad = read(run, split)
    new = rows_of_new(run, images)
    if not new.any():
        raise DataError(f"All {counted(len(images), 'image')} in {folder} are in {run.data.name} already: give others.")
    first = np.zeros(len(images), bool)
    first[np.unique(images.decoded.index.digests[images.rows], axis=0, return_index=True)[1]] = True
    pool = images.only(images.split.take(np.flatnonzero(new & first)))
    known, twice = int((~new).sum()), int((new & ~first).sum())
    chosen, places = ranked(run, look, pool, count)
    done = Suggestions(chosen, folder, run.data.name, len(names), len(bad), known, twice, place)
    write(done, pool, places)
    for line in lines(done, look, count):
        log.info("%s", line)
    return done


def names_in(folder: str) -> list[str]:
    """Return the images of a folder; of an archive too.

    Raises:
        DataError: it is no folder, or has none.
    """
    if "://" in folder or not place_of(user_path(folder)).is_dir():
        raise DataError(
            f"--suggest {folder}: there is no such folder; give one with the images that may be labelled next."
        )
    return find_images([folder], log.info)


def read(run: Run, split: Split) -> tuple[Images, list[object]]:
    """Return the readable images, as the data set's become pixels, and the others."""
    trained, room = run.images["train"], int(run.config.data.cache_gib * (1 << 30))
    assert isinstance(trained, Images)
    bar = progress_of("reading unlabelled images", None)
    images, bad = read_images(split, trained.decoding, skip_corrupt=True, cache_bytes=room, progress=bar)
    return images, [*bad]


def rows_of_new(run: Run, images: Images) -> NDArray[np.bool_]:
    """Tell of each image whether no split of the data set has the same bytes, shape (N,)."""
    splits = [part for part in run.images.values() if isinstance(part, Images)]
    known = {digest.tobytes() for part in splits for digest in part.decoded.index.digests[part.rows]}
    return np.array([digest.tobytes() not in known for digest in images.decoded.index.digests[images.rows]])


def ranked(run: Run, look: Look, pool: Images, count: int) -> tuple[tuple[Suggested, ...], NDArray[np.int64]]:
    """Return the images to label, the most telling first, and their places in the pool."""
    rows = Extractor(replace(run, images={**run.images, pool.split.name: pool}))(pool.split.name)
    linear, task, names = look.probe.linear, run.task, run.data.class_names
    measure = choosing.margin_uncertainty if task.one_label else choosing.binary_uncertainty
    part, unsure, best, sure = max(1, LOGITS // len(names)), [], [], []
    for at in range(0, len(rows), part):
        p = task.probabilities(torch.from_numpy(linear.logits(rows[at : at + part]))).numpy()
        unsure.append(measure(p))
        best.append(p.argmax(1))
        sure.append(p.max(1))
    uncertainty, label, probability = (np.concatenate(parts) for parts in (unsure, best, sure))
    likely = choosing.candidates(uncertainty, count)
    chosen, scores = choosing.choose(rows[likely].astype(np.float32), uncertainty[likely], count, run.config.seed)
    places = likely[chosen]
    found = zip(places.tolist(), scores.tolist(), strict=True)
    return tuple(
        Suggested(pool.describe(i), score, float(uncertainty[i]), names[label[i]], float(probability[i]))
        for i, score in found
    ), places


def write(done: Suggestions, pool: Images, places: NDArray[np.int64]) -> None:
    """Write the table and the page into a new folder."""
    try:
        done.written.mkdir(parents=True, exist_ok=True)
        write_text(done.written / "suggested.csv", done.table())
        write_text(done.written / "suggested.html", page(done, pool, places))
    except OSError as error:
        wrong = f"The suggestions cannot be written to {done.written} ({error.strerror})"
        raise ConfigError(f"{wrong}: give a folder that you may write to with --output.") from error


def lines(done: Suggestions, look: Look, count: int) -> Iterator[str]:
    """Yield what the terminal says."""
    seen = look.probe.evaluation
    figure = f"{look.run.task.headline.figure} {seen.score:.2f} % on {counted(len(seen), 'validation image')}"
    yield from under("probe", [f"{figure}, by {look.run.network.architecture} from {look.run.network.start.source}"])
    yield from under("unlabelled", [f"{done.folder}: {counted(done.found, 'image')}", *done.left_out()])
    asked = f"all that are left, and {count:,} were asked for" if len(done.images) < count else "the most telling first"
    yield from under("suggested", [f"{counted(len(done.images), 'image')} to label, {asked}"])
    yield from under("written", [f"{done.written / 'suggested.csv'}, and suggested.html beside it to look at them"])
