"""The training of a published model once more, from the recipe that travels with its weights."""

import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import yaml

from botzoo.errors import CheckpointError, ConfigError, ModelError
from botzoo.inference.load import address_of, advice_offline
from botzoo.models.loading import model_folder
from botzoo.models.pretrained import WEIGHTS, Weights
from botzoo.options.command import WORDS
from botzoo.options.facts import without_machine
from botzoo.results.card.beside import read_recipe
from botzoo.results.card.claim import Claim, claim_in_card, claim_in_table
from botzoo.sources.hub import HUB_NAMES
from botzoo.util.environment import user_path
from botzoo.util.files import free_name
from botzoo.util.nested import flat
from botzoo.util.outgoing import in_quotes

PROGRAMS = {"botzoo train": ["botzoo", "train"], "botzoo-finetune": ["botzoo_finetune"]}
"""The commands that a recipe may name in its first line, and the modules that they are."""

OF_A_RUN = "config.yaml"
"""The options of a run on this machine, beside its model folder."""


@dataclass(frozen=True)
class Reproduction:
    """How to train a published model again."""

    recipe: Path  # the file that came with the weights
    program: str  # "botzoo train" or "botzoo-finetune"
    options: dict[str, Any]  # of the recipe, without what belongs to one machine
    dataset: str | None  # what to train on, None where it was a folder that only the user can name
    claim: Claim | None  # what is published of the result, if anything
    output: str | None = None  # folder of the new run, None for the program's own choice

    def words(self, recipe: Path) -> list[str]:
        """Return what follows the program in a command that reads ``recipe``."""
        output = ["--output", self.output] if self.output else []
        return ["--config", str(recipe), "--dataset", self.dataset or "FOLDER", *output]

    @property
    def command(self) -> str:
        """The command as typed."""
        return shlex.join([*self.program.split(), *self.words(self.recipe)])


def reproduction(name: str, dataset: str | None = None, output: str | None = None) -> Reproduction:
    """Find out how the model that ``name`` is, as for ``verify``, was trained; a ``dataset`` takes the place of its own.

    Raises:
        ModelError: no recipe travels with it.
        CheckpointError: the recipe cannot be read, or says more than what is trained.
        NetworkError: it is on the Hub, which cannot be reached.
    """
    recipe, claim = _travelling(name)
    if recipe is None or not recipe.is_file():
        there = "owner/name on the Hub, a model folder or a run with a recipe.yaml beside its weights"
        raise ModelError(f"No recipe travels with {name}, so that nobody can repeat it: give {there}.")
    written = read_recipe(recipe)
    options = without_machine(written)
    other = {*flat(written)} - {*flat(options)} | {*written} & {*WORDS}
    # whoever wrote it must not choose where this machine writes, or whom it tells
    if other and recipe.name != OF_A_RUN:
        raise CheckpointError(
            f"{recipe} holds {', '.join(sorted(other))}, which no recipe chooses: take that out of it."
        )
    own = options.pop("dataset", None)
    shared = own if isinstance(own, str) and (own in HUB_NAMES or own == "digits" or own.count("/") == 1) else None
    if recipe.name == OF_A_RUN:
        program = "botzoo-finetune" if "freeze" in options else "botzoo train"
        shared = own if isinstance(own, str) and user_path(own).exists() else shared
    else:
        first = recipe.read_text(encoding="utf-8").split("\n", 1)[0]
        program = next((p for p in PROGRAMS if first.startswith(f"# {p} ")), "botzoo-finetune")
    if output is None and written.get("output"):  # where the run is that the file is of
        output = str(free_name(Path("runs") / f"{recipe.resolve().parent.name}-again"))
    return Reproduction(recipe, program, options, dataset or shared, claim, output)


def _travelling(name: str) -> tuple[Path | None, Claim | None]:
    """Return where the recipe of a model should be, and what is claimed of the model."""
    address = address_of(repository(name))
    if ":" not in address:
        weights = known_weights(address)
        if weights is None:
            return None, None
        return weights.path.with_suffix(".yaml") if weights.path else None, claim_in_table(weights)
    with advice_offline(name, listed=False):
        folder = model_folder(address, weights=False, extras=("README.md", "recipe.yaml"))
    card, recipe = folder / "README.md", folder / "recipe.yaml"
    if address.startswith("local-dir:") and not recipe.is_file() and (folder.parent / OF_A_RUN).is_file():
        recipe = folder.parent / OF_A_RUN  # a run of an ablation has no other
    return recipe, claim_in_card(card) if card.is_file() else None


def known_weights(name: str) -> Weights | None:
    """Return the entry of our table for a name, with or without a tag, None where there is none.

    Raises:
        ModelError: timm and we have no network of that name.
    """
    base = name.partition(".")[0]
    if not timm.is_model(name):
        missing = f"There is no network {in_quotes(name)}, and no folder of that name."
        raise ModelError(missing, value=base, accepted=timm.list_models(), cure="Ours: botzoo list.")
    known = timm.get_pretrained_cfg(name)  # of a name without a tag, that of its usual weights
    return WEIGHTS.get(f"{base}.{known.tag}" if known is not None else name)


def repository(name: str) -> str:
    """Return ``hf-hub:NAME`` for owner/name where there is no such folder, else ``name`` as it is."""
    ours = ":" in name or name.count("/") != 1 or name[:1] in "./~" or Path(name).exists()
    return name if ours else f"hf-hub:{name}"


def rerun(found: Reproduction) -> int:
    """Train again as ``found`` says, in a process of its own, and return its exit status.

    Raises:
        ConfigError: nobody has said where the images are.
    """
    if found.dataset is None:
        raise ConfigError("The recipe's data set was a folder: give where its images are with --dataset.")
    with tempfile.TemporaryDirectory() as folder:
        options = Path(folder) / "recipe.yaml"
        options.write_text(yaml.safe_dump(found.options, sort_keys=False), encoding="utf-8")
        with subprocess.Popen([sys.executable, "-m", *PROGRAMS[found.program], *found.words(options)]) as process:
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:  # it reaches the other process too, which may have a checkpoint to write
                    continue
