"""The weights that the rungs of a ladder start from: found by name in the folders of ablations, or given, and checked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from botzoo.errors import ConfigError
from botzoo.experiments.ablation import REGISTER, RUNS
from botzoo.experiments.series import finished
from botzoo.recipes.ladders import Ladder
from botzoo.results.report import checked
from botzoo.util.environment import user_path
from botzoo.util.outgoing import last_part

RUN = "config.yaml"
"""The file by which the folder of a run is known."""


@dataclass(frozen=True)
class Weights:
    """What the runs of a rung start from; what nobody knows is None."""

    model: str  # as --model takes it
    source: str  # the folder, or the model's name
    network: str  # its name in timm, or as given
    identity: str  # what tells it from others: the SHA-256 of its file, or its name
    seed: int | None = None  # that it was trained with
    dataset: str | None = None  # that it was trained on
    images: str | None = None  # the SHA-256 of its training images
    epochs: float | None = None
    score: str | None = None  # what it came to there, in words


def find_weights(ladder: Ladder, given: str | None) -> dict[str, Weights]:
    """Return the weights of those rungs of a ladder that have any, by their names.

    Of an ablation that trained its rungs with several seeds, those of the lowest seed that all of them were finished with are
    taken. What is given for one rung counts before what a folder has, and before what the ladder says.

    Args:
        given: folders of ablations, and NAME=WEIGHTS for a rung: the folder of a run, or what --model takes. Commas between.

    Raises:
        ConfigError: a folder is none of an ablation, a rung is not there, or has weights in two folders.
        CheckpointError: a run has not finished, or its files are not as it wrote them.
    """
    names = {rung.name for rung in ladder.rungs}
    alone = {rung.name: rung.weights for rung in ladder.rungs if rung.weights is not None}
    found: dict[str, str] = {}
    for entry in _entries(given):
        name, equals, weights = entry.partition("=")
        if equals and not user_path(entry).exists():
            if name not in names:
                raise ConfigError(f"--weights {entry}: {ladder.name} has no rung {name!r}.", value=name, accepted=names)
            alone[name] = weights
            continue
        inside = of_ablation(user_path(entry), names)
        if twice := next((name for name in inside if name in found), None):
            raise ConfigError(f"--weights: two folders have the rung {twice}; say which with {twice}=FOLDER.")
        found |= inside
    return {rung.name: weights_of((found | alone)[rung.name]) for rung in ladder.rungs if rung.name in found | alone}


def _entries(given: str | None) -> Iterator[str]:
    for entry in (given or "").split(",") if given is not None else ():
        if not entry.strip():
            raise ConfigError(f"--weights {given}: give folders, or NAME=FOLDER, with a comma between them.")
        yield entry.strip()


def of_ablation(folder: Path, names: set[str]) -> dict[str, str]:
    """Return the folder of the run of each of the rungs ``names`` that an ablation has finished, by name.

    Raises:
        ConfigError: it is the folder of no ablation, or none of the rungs is finished there.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"--weights {folder}: there is no such folder: give that of botzoo ablate, or NAME=FOLDER of a run."
        )
    if not (folder / REGISTER.file).is_file():
        alone = f" It is a run: say of which rung, NAME={folder}." if (folder / RUN).is_file() else ""
        raise ConfigError(f"--weights {folder} is not the folder of an ablation (no {REGISTER.file}).{alone}")
    seeds: dict[str, set[int]] = {}
    for path in finished(folder, RUNS):
        _, rung, last = path.split("/")
        if rung in names and (folder / path / "model" / "config.json").is_file():  # it has none where it diverged
            seeds.setdefault(rung, set()).add(int(last.removeprefix("seed-")))
    if not seeds:
        cure = f"the ladder's rungs are {', '.join(sorted(names))}"
        raise ConfigError(f"--weights {folder} has no finished run of this ladder: {cure}.")
    shared = set.intersection(*seeds.values())
    return {rung: str(folder / "cells" / rung / f"seed-{min(shared or own)}") for rung, own in seeds.items()}


def weights_of(source: str) -> Weights:
    """Return the weights in the folder of a run, or those that ``source`` names to --model.

    Raises:
        ConfigError: it is a folder, and of no run.
        CheckpointError: the run has not finished, or its files are not as it wrote them.
    """
    folder = user_path(source)
    if not folder.exists():
        return Weights(model=source, source=source, network=source, identity=source)
    if not (folder / RUN).is_file():
        cure = "give the folder of a run, or local-dir:PATH for a model folder"
        raise ConfigError(f"--weights {source} is not the folder of a run (no {RUN}): {cure}.")
    record = checked(folder)
    facts, figure = record.facts, record.task.headline.figure
    return Weights(
        model=f"local-dir:{record.model_folder.absolute()}",
        source=source,
        network=facts["network"]["architecture"],
        identity=facts["weights_sha256"],
        seed=record.options["seed"],
        dataset=last_part(facts["public"]["dataset"]),
        images=facts["fingerprints"]["train"],
        epochs=facts["schedule"]["epochs"],
        score=f"{figure} {record.evaluation.score:.2f} %",
    )


def with_structure(model: str, letter: str) -> str:
    """Return the name of a network of the paper with the structure of that letter, such as b.

    Raises:
        ConfigError: it is none of them.
    """
    if not re.search("[a-d]_bot$", model):
        cure = "give one of them, such as resnet10d_bot, or --weights for each rung"
        raise ConfigError(f"{model} has no structures A to D, as resnet*_bot have: {cure}.")
    return re.sub("[a-d]_bot$", f"{letter}_bot", model)
