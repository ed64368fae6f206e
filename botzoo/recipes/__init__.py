"""Recipes: options by name, each a few lines that differ from the recipe it is based on.

One file is one recipe, one row of the paper's Tables 2, 4 and 6. Its keys:

- about, section: what it adds in a few words, and where the paper has it;
- base: the recipe it builds on; without one it stands alone;
- options: those of ``botzoo.options.config.TrainConfig`` that differ from the base's;
- paper: the paper's top-1 and top-5 accuracy on ImageNet in per cent, by network;
- measured: what we measured with it, if we did: ``setup``, network, data and length in words; ``top1``, the mean in per cent;
  ``each``, that of every seed. The runs themselves are in cards/ablations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botzoo.errors import ConfigError, printable
from botzoo.util.environment import user_path
from botzoo.util.yaml_files import read_yaml

FOLDER = Path(__file__).parent
ENDINGS = (".yaml", ".yml")
DEFAULT = "label-smoothing"
"""The paper's best that needs neither a teacher nor 200 epochs."""
KEYS = ("about", "section", "base", "options", "paper", "measured")

Options = dict[str, Any]
"""Options by name, those of a group as a dictionary of its own."""


@dataclass(frozen=True)
class Recipe:
    """One recipe, with the keys of its file; ``name`` is the file's, or its path where a user wrote it."""

    name: str
    about: str = ""
    section: str = ""
    base: "Recipe | None" = None
    options: Options = field(default_factory=dict)
    paper: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    def resolved(self) -> Options:
        """Return all options, those of the bases included."""
        return merged(self.base.resolved() if self.base else {}, self.options)


def merged(below: Options, above: Options) -> Options:
    """Return ``below`` with the options of ``above`` in it, group by group."""
    both = dict(below)
    for key, value in above.items():
        group = isinstance(value, dict) and isinstance(both.get(key, {}), dict)
        both[key] = merged(both.get(key, {}), value) if group else value
    return both


def names() -> list[str]:
    """Return the names of all recipes, each behind the one it is based on."""
    found = {path.stem: load(path.stem) for path in FOLDER.glob("*.yaml")}
    return sorted(found, key=lambda name: [recipe.name for recipe in chain(found[name])])


def chain(recipe: Recipe) -> list[Recipe]:
    """Return the recipe's bases from the first on, and the recipe itself."""
    return [*(chain(recipe.base) if recipe.base else []), recipe]


def load(name: str, _seen: tuple[str, ...] = ()) -> Recipe:
    """Return a recipe by its name, or from a YAML file of one's own by its path.

    Raises:
        ConfigError: there is none.
    """
    path = file_of(name, FOLDER, "recipe")
    if str(path) in _seen:  # else it would be read for ever
        raise ConfigError(f"The recipe {name} is based on itself: {' on '.join([*_seen, str(path)])}.")
    values = read_yaml(path)
    check_keys(values, KEYS, f"{path}: there is")
    base = values.pop("base", None)
    if base is not None and not isinstance(base, str):
        raise ConfigError(f"{path}: base is {base!r}; it must be the name or the path of a recipe.")
    for key in ("options", "paper", "measured"):
        if not isinstance(values.get(key, {}), dict):
            raise ConfigError(f"{path}: {key} must be `name: value` lines.")
    values |= {key: printable(str(values[key])) for key in ("about", "section") if key in values}
    if "paper" in values:
        values["paper"] = {model: accuracies(pair, path) for model, pair in dict(values["paper"]).items()}
    if base and base.endswith(ENDINGS):
        base = str(path.parent / base)  # beside the file that names it, unless it is absolute
    shown = path.stem if path.parent == FOLDER else name
    return Recipe(shown, base=load(base, (*_seen, str(path))) if base else None, **values)


def accuracies(pair: Any, path: Path) -> tuple[float, float]:
    """Return the top-1 and top-5 that a file gives as a list of two numbers, in per cent.

    Raises:
        ConfigError: it gives something else.
    """
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(value, int | float) for value in pair):
        raise ConfigError(f"{path}: paper is {pair!r}; it must be [top-1, top-5] in per cent.")
    return float(pair[0]), float(pair[1])


def file_of(name: str, folder: Path, what: str) -> Path:
    """Return the YAML file that is one of ours in ``folder`` by its name, or a user's own.

    Raises:
        ConfigError: there is no such file.
    """
    if name.endswith(ENDINGS):
        return user_path(name)
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        cure = f"There are {', '.join(known)}; a file of your own ends in .yaml."
        raise ConfigError(f"There is no {what} {name!r}.", value=name, accepted=known, cure=cure)
    return folder / f"{name}.yaml"


def check_keys(values: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Raise ConfigError where ``values`` have another key than these."""
    for key in values:
        if key not in keys:
            raise ConfigError(f"{where} no key {key!r}.", value=key, accepted=keys, cure=f"Give {', '.join(keys)}.")
