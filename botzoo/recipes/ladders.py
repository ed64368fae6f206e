"""Ladders: recipes, or sets of options, that are compared rung by rung.

A file of ``ladders/`` or of a user's own is one ladder. Its keys:

- about: what is compared;
- recipe: the recipe that all rungs start from, where they are not recipes themselves;
- options: those that all rungs have besides;
- model: the network whose figures in the recipes are the paper's for this ladder;
- rungs: from the bottom up, each with ``recipe``, the name of one, or with ``name`` and ``options``; ``below`` names the rung
  that it is compared with (by default the recipe's base, or else the rung before it) and ``paper`` gives the paper's top-1
  and top-5.

Every run starts from random weights, unless its recipe or its options say ``scratch: false``.

A ladder of weights has ``target``, what they are fine-tuned for:

- task: classify, detect or segment;
- figure: what is compared, as [NAME IN metrics.jsonl, WORDS], where it is not the figure that chooses the epoch;
- paper_on: what the paper's figures are of, which ``paper`` of a rung then gives as one number;
- remark: what else a reader has to know;
- trained_by: the ladders that train the weights, each with the letter of its network's structure.

``weights`` of its rungs are a folder, or whatever --model takes; without it they are looked for by the rung's name. What
such a rung starts from is given by its weights alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from botzoo import recipes
from botzoo.errors import ConfigError, printable
from botzoo.recipes import Options, merged
from botzoo.util.nested import flat, nested
from botzoo.util.yaml_files import read_yaml

FOLDER = recipes.FOLDER / "ladders"
KEYS = ("about", "recipe", "model", "options", "rungs", "target")
RUNG_KEYS = ("recipe", "name", "options", "below", "paper", "about", "weights")
TARGET_KEYS = ("task", "figure", "paper_on", "remark", "trained_by")
GIVEN_BY_WEIGHTS = {"model", "pretrained", "scratch", "task"}
TASKS = ("classify", "detect", "segment")


@dataclass(frozen=True)
class Rung:
    """One set of options to train with, the recipe's included.

    ``below`` is the rung that it is compared with, None for the lowest; ``paper`` the paper's figure in per cent, top-1 on
    ImageNet unless the ladder says otherwise; ``weights`` what it starts from, of a ladder of weights.
    """

    name: str
    options: Options
    below: str | None = None
    about: str = ""
    paper: float | None = None
    weights: str | None = None


@dataclass(frozen=True)
class Target:
    """What weights are fine-tuned for; see the keys of the file."""

    task: str = "classify"
    figure: tuple[str, str] | None = None
    paper_on: str = "on other images"
    remark: str = ""
    trained_by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ladder:
    """Rungs from the bottom up, one or more, each above the one it is compared with.

    ``epochs`` are those of the lowest rung as the file has it, in which its warmup is counted. ``target`` is of a ladder of
    weights.
    """

    name: str
    about: str
    rungs: tuple[Rung, ...]
    epochs: float | None = None
    target: Target | None = None

    @property
    def figure(self) -> tuple[str, str] | None:
        """What is compared, as its key and in words, where it is not the figure that chooses the epoch."""
        return self.target.figure if self.target else None

    def rung(self, name: str) -> Rung:
        """Return the rung of that name."""
        return next(rung for rung in self.rungs if rung.name == name)

    def varied(self) -> set[str]:
        """Return the names of the options that differ from rung to rung, dotted where they stand in a group."""
        flats = [flat(rung.options) for rung in self.rungs]
        return {name for one in flats for name in one if any(other.get(name) != one[name] for other in flats)}


def load_ladder(name: str, model: str | None = None, *, of_weights: bool = False) -> Ladder:
    """Return a ladder by its name, table4 for one, or from a YAML file of one's own by its path.

    The paper's figures are those of ``model`` where it has them for all rungs, else of the ladder's own network.

    Raises:
        ConfigError: there is no such ladder, the file is none, or it is one of weights where none is meant, and vice versa.
    """
    path = recipes.file_of(name, FOLDER, "ladder")
    values = read_yaml(path)
    recipes.check_keys(values, KEYS, f"{path}: there is")
    entries = values.get("rungs")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{path}: rungs must be a list, each `- recipe: NAME` or `- {{name: ..., options: ...}}`.")
    target = _target(path, values["target"]) if "target" in values else None
    if of_weights != (target is not None):
        what = "a ladder of weights" if target else "a ladder of trainings: it has no target"
        cure = f"botzoo {'transfer' if target else 'ablate'} --ladder {name}"
        raise ConfigError(f"{name} is {what}. For it: {cure}.")
    base = recipes.load(str(values["recipe"])).resolved() if values.get("recipe") else {}
    if not isinstance(shared := values.get("options", {}), dict):
        raise ConfigError(f"{path}: options must be `name: value` lines.")
    named = [recipes.load(str(entry["recipe"])) for entry in entries if "recipe" in entry]
    shown = model if named and all(model in recipe.paper for recipe in named) else str(values.get("model"))
    rungs: list[Rung] = []
    for entry in entries:  # one after another, as each stands on one of those before it
        rungs.append(_rung(path, entry, base, shared, rungs, shown, target))
    about = printable(str(values.get("about", "")))
    return Ladder(name, about, tuple(rungs), rungs[0].options.get("epochs"), target)


def _target(path: Path, values: Any) -> Target:
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: target must be `name: value` lines.")
    recipes.check_keys(values, TARGET_KEYS, f"{path}: a target has")
    if (task := values.get("task", "classify")) not in TASKS:
        raise ConfigError(f"{path}: task is {task!r}; it must be {', '.join(TASKS)}.", value=task, accepted=TASKS)
    if (figure := values.get("figure")) is not None:
        if not (isinstance(figure, list) and len(figure) == 2 and all(isinstance(part, str) for part in figure)):
            raise ConfigError(f"{path}: figure is {figure!r}; it must be [NAME IN metrics.jsonl, WORDS].")
        figure = figure[0], printable(figure[1])
    ladders = values.get("trained_by", {})
    if not isinstance(ladders, dict) or not all(letter in ("a", "b", "c", "d") for letter in ladders.values()):
        raise ConfigError(
            f"{path}: trained_by is {ladders!r}; it must be {{LADDER: LETTER}}, of letters a, b, c and d."
        )
    said = {key: printable(str(values[key])) for key in ("paper_on", "remark") if key in values}
    return Target(task, figure, trained_by=ladders, **said)


def _rung(
    path: Path,
    entry: dict[str, Any],
    base: Options,
    shared: Options,
    lower: list[Rung],
    model: str | None,
    target: Target | None,
) -> Rung:
    recipes.check_keys(entry, RUNG_KEYS if target else RUNG_KEYS[:-1], f"{path}: a rung has")
    recipe = recipes.load(str(entry["recipe"])) if "recipe" in entry else None
    name = str(entry.get("name") or (recipe.name if recipe else ""))
    names = [rung.name for rung in lower]
    if name in names:
        raise ConfigError(f"{path}: two rungs are called {name}: give one of them another name.")
    if not name or set(name) & set('/\\:*?"<>|') or name[0] in ". " or not name.isprintable() or len(name) > 80:
        raise ConfigError(f"{path}: each rung needs a name that can be a folder's, and {name!r} is not one.")
    if not isinstance(entry.get("options", {}), dict):
        raise ConfigError(f"{path}: options of the rung {name} must be `name: value` lines.")
    start: Options = {"scratch": True} if target is None else {}
    every = merged(start | (recipe.resolved() if recipe else base), shared)
    options = merged(every, entry.get("options") or {})
    own_base = recipe.base.name if recipe and recipe.base else None
    below = entry.get("below") or (own_base if own_base in names else names[-1] if names else None)
    if below is not None and below not in names:
        raise ConfigError(f"{path}: {name} stands on {below!r}, which is not among the rungs before it.")
    about = printable(str(entry.get("about") or (recipe.about if recipe else "")))
    weights = entry.get("weights")
    if target is not None:
        if given := flat(options).keys() & GIVEN_BY_WEIGHTS:
            raise ConfigError(
                f"{path}: {name} has the option {min(given)}, which its weights or its target decide: leave it out."
            )
        if (paper := entry.get("paper")) is not None and not isinstance(paper, int | float):
            raise ConfigError(f"{path}: paper is {paper!r}; in a ladder of weights it must be a number.")
        return Rung(name, options, below, about, paper, None if weights is None else str(weights))
    own = recipes.accuracies(entry["paper"], path) if "paper" in entry else None
    figures = own or (recipe.paper.get(model or "") if recipe else None)
    return Rung(name, options, below, about, figures[0] if figures else None)


def leave_one_out(ladder: Ladder) -> Ladder:
    """Return the top rung and, on it, one rung for each trick that led to it, along ``below``, with all but that trick.

    Raises:
        ConfigError: the top rung stands on none, or a trick changes more than once.
    """
    top = ladder.rungs[-1]
    way = [top]
    while way[-1].below is not None:
        way.append(ladder.rung(way[-1].below))
    if len(way) == 1:
        raise ConfigError(
            f"--leave-one-out: the top rung {top.name} of {ladder.name} stands on no other: keep the rungs below it too."
        )
    whole, rungs = flat(top.options), [replace(top, below=None)]
    for upper, lower in pairwise(way):
        before, after = flat(lower.options), flat(upper.options)
        added = {name for name in after if before.get(name) != after[name] and name != "epochs"}
        kept = {name: value for name, value in whole.items() if name not in added or name in before}
        without = nested(kept | {name: before[name] for name in added if name in before})
        tricks = [name for name in added if "." not in name]  # a trick's settings stand in groups: distill.weight
        if any(rung.name == f"without {tricks[0].replace('_', '-')}" for rung in rungs if tricks):
            raise ConfigError(f"{ladder.name} changes {tricks[0]} more than once: one change cannot be left out.")
        trick = tricks[0].replace("_", "-") if len(tricks) == 1 else upper.name
        rungs.append(Rung(f"without {trick}", without, top.name, f"all but: {upper.about or upper.name}"))
    return replace(ladder, name=f"{ladder.name}, leave one out", rungs=tuple(rungs))


def select(ladder: Ladder, names: list[str]) -> Ladder:
    """Return the ladder with these rungs only, each on the nearest one below it that is left.

    Raises:
        ConfigError: a name is of no rung.
    """
    known = [rung.name for rung in ladder.rungs]
    for name in names:
        if name not in known:
            cure = f"It has {', '.join(known)}."
            raise ConfigError(f"{ladder.name} has no rung {name!r}.", value=name, accepted=known, cure=cure)

    def nearest(below: str | None) -> str | None:
        return below if below is None or below in names else nearest(ladder.rung(below).below)

    kept = tuple(replace(rung, below=nearest(rung.below)) for rung in ladder.rungs if rung.name in names)
    return replace(ladder, rungs=kept)
