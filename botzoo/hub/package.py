"""What of a model folder goes up to the Hub: checked, named and licensed, without touching a network."""

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save

from botzoo.errors import BotzooError, CheckpointError, ModelError, PublishError
from botzoo.models import fold, unlike
from botzoo.models.create import Network, create_model
from botzoo.models.dense.folder import read_dense_folder
from botzoo.models.foreign import decoding_in, read_config, temperature_in, threshold_in
from botzoo.results.card.beside import FILES as BESIDE
from botzoo.results.card.beside import read_recipe
from botzoo.results.card.claim import claim_in_card, license_fields, read_card
from botzoo.results.card.sections import OPEN_LICENCE
from botzoo.results.card.usage import (
    APART,
    HERE,
    HERE_FOR_TRANSFORMERS,
    HERE_NOTE,
    WITHIN,
    needs_botzoo,
    possible_readings,
    usage_code,
)
from botzoo.results.report import checked, not_as_written, run_of
from botzoo.tasks.find import task_by_type
from botzoo.util.files import sha256_of
from botzoo.util.markdown import code
from botzoo.util.outgoing import public, squeezed
from botzoo.util.text import and_list, one_fold

NEEDED = ("model.safetensors", "config.json", "README.md")

FILES = (*NEEDED, *BESIDE)
"""What goes up, where it is there; anything else in the folder stays."""

RECORD = "published.json"
"""Our own note, in the model folder, of what was published where."""


@dataclass(frozen=True)
class Package:
    """What goes up from a model folder to a repository."""

    folder: Path
    repo: str  # owner/name
    license: str  # by its name on the Hub
    card: str
    files: dict[str, bytes | Path]  # by name: the content where it was changed on the way, as that of the card was
    left_behind: tuple[str, ...]  # names in the folder that are not on the list
    temperature: str | None = None  # where that of the logits is, in words; None where there is none

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {name: len(c) if isinstance(c, bytes) else c.stat().st_size for name, c in self.files.items()}


def pack(path: Path, repo: str, license: str | None = None, *, fold_temperature: bool = True) -> Package:
    """Check the model folder and return what of it goes up to ``repo``.

    Args:
        path: a model folder, or the run that it is in.
        repo: owner/name; takes the place of ``local-dir:.`` in the card's code.
        license: chosen by who publishes, where the card has none.
        fold_temperature: put the temperature of config.json, where there is one, into the classifier's weights, so that every
            program gives the same probabilities; where that cannot be, it stays in config.json.

    Raises:
        PublishError: it is no model folder, a file of it is a link, its weights do not fit its config.json or are not those
            of its card, what tells unlike images is damaged, its recipe cannot be read or holds a secret, or it has no
            licence.
    """
    folder = _find_model(path)
    config = _read_config(folder / "config.json")
    for name in (*FILES, RECORD):
        if (folder / name).is_symlink():  # it may lead to something private
            raise PublishError(f"{folder / name} is a link to {(folder / name).readlink()}: put the file in its place.")
    try:  # as whoever downloads them will, every tensor of them
        if "task" in config:
            network = None
            read_dense_folder(folder)
        else:
            network = create_model(f"local-dir:{folder}", len(config["label_names"]))
    except BotzooError as error:
        raise PublishError(f"The weights do not fit config.json, so nobody could load them. {error}") from error
    try:
        card, claim = read_card(folder / "README.md"), claim_in_card(folder / "README.md")
        recipe = read_recipe(folder / "recipe.yaml") if (folder / "recipe.yaml").is_file() else {}
        if network is not None:
            unlike.beside(folder, network.model)  # which nobody could load where it is damaged
    except BotzooError as error:
        raise PublishError(f"{error} Write the folder anew, or mend it.") from error
    if public(recipe) != recipe:  # of an earlier version, which kept addresses whole
        secret = f"{folder / 'recipe.yaml'} has an address with a secret"
        raise PublishError(f"{secret}: write card and recipe anew by botzoo card.")
    if claim is not None and claim.weights_sha256 not in (None, sha256_of(folder / "model.safetensors")):
        raise PublishError(f"The weights in {folder} are not those that its card is of: put those back, or train anew.")
    if (run := run_of(folder)) is not None:  # which the card is made of
        try:
            others, holds = not_as_written(checked(run))
        except BotzooError as error:
            raise PublishError(str(error)) from error
        if not holds:
            raise PublishError(
                f"{and_list(others)} in {folder}: not as {run} has it; botzoo card {run} writes it anew."
            )
    changed: dict[str, bytes] = {}
    temperature, where = temperature_in(config), "in config.json"
    try:
        if fold_temperature and network is not None and temperature is not None:
            card, changed["model.safetensors"] = _folded(folder, network, config, temperature, card)
            config.pop("calibration")
            where = "in the classifier's weights: every program gives the same probabilities"
    except ModelError as error:
        where += f", not in the weights: {error}"
    license = _license_of(card, folder, license)
    config["pretrained_cfg"]["license"] = license
    text = _published(card, repo, license)
    config_json = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    changed |= {"config.json": config_json.encode(), "README.md": text.encode()}
    files = {name: changed.get(name, folder / name) for name in FILES if (folder / name).is_file()}
    others = sorted(f"{p.name}/" if p.is_dir() else p.name for p in folder.iterdir())
    left = tuple(name for name in others if name not in (*FILES, RECORD))
    return Package(folder, repo, license, text, files, left, f"{temperature:g}, {where}" if temperature else None)


def _folded(
    folder: Path, network: Network, config: dict[str, Any], temperature: float, card: ModelCard
) -> tuple[ModelCard, bytes]:
    """Return the card with code that divides by no temperature, and the file of weights that are divided by it.

    Raises ModelError: weights or card do not allow it.
    """
    classes, ours, task = len(config["label_names"]), needs_botzoo(config), task_by_type(config.get("problem_type"))
    text = card.content.replace(APART, WITHIN)
    for reading in possible_readings(decoding_in(config)):
        about: Any = {"ours": ours, "task": task, "reading": reading, "threshold": threshold_in(config)}
        code, plain = (usage_code(HERE, classes, temperature=t, **about) for t in (temperature, None))
        text = text.replace(code, plain)
    if any("temperature" in block for block in re.findall(r"^```python.*?^```", text, re.S | re.M)):
        raise ModelError("the card's code divides by it, and is not what botzoo writes")
    file, size = folder / "model.safetensors", network.preprocessing.shape
    image = torch.rand(1, network.preprocessing.channels, *size, generator=torch.Generator().manual_seed(0))
    tensors = load_file(file)
    tensors |= fold.fold_temperature(network.model.eval(), tensors, temperature, image)
    weights = save(tensors, {"format": "pt"})
    return ModelCard(text.replace(sha256_of(file), sha256(weights).hexdigest())), weights


def _find_model(path: Path) -> Path:
    """Return the model folder that ``path`` is, or has in it."""
    for folder in (path, path / "model"):
        missing = [name for name in NEEDED if not (folder / name).is_file()]
        if not missing:
            return folder
        if len(missing) < len(NEEDED):
            raise PublishError(f"{folder} is no whole model folder (no {', no '.join(missing)}): give a whole one.")
    if (path / "config.yaml").is_file():
        raise PublishError(f"The run in {path} has not ended: go on with it by --resume {path}, then publish it.")
    cure = f"give a finished run, or a folder with {', '.join(NEEDED)} in it"
    raise PublishError(f"There is no model in {path}: {cure}.{one_fold(path)}")


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = read_config(file)
        names, count = config["label_names"], config["num_classes"]
        whole = isinstance(names, list) and len(names) == count and all(isinstance(name, str) for name in names)
        if whole and isinstance(config["pretrained_cfg"], dict) and isinstance(config["architecture"], str):
            return dict(config)
        reason = f"label_names must be {count} names, beside architecture and pretrained_cfg"
    except KeyError as error:
        reason = f"it has no {error}"
    except CheckpointError as error:
        raise PublishError(str(error)) from error
    raise PublishError(f"{file} is not that of a model for the Hub ({reason}): write the folder anew.")


def _license_of(card: ModelCard, folder: Path, chosen: str | None) -> str:
    """Return the licence of the card, or the one chosen where it has none."""
    fields = card.data.to_dict()  # type: ignore[no-untyped-call]
    stated = fields.get("license_name" if fields.get("license") == "other" else "license")
    stated = None if stated == "unknown" else stated
    if stated is None and chosen is None:
        found = re.search(r"^## Licence\n+(.*?)(?=^## |\Z)", card.text, re.S | re.M)
        known = squeezed(re.sub(r"Choose one before publishing[^.]*\.", "", found[1])) if found else ""
        raise PublishError(f"{folder} has no licence: choose one with --license, such as apache-2.0.", cure=known)
    if None not in (stated, chosen) and stated != chosen:
        cure = "leave --license out, or, if you may choose, change README.md."
        raise PublishError(f"--license is {chosen!r} and the card in {folder} says {stated!r}: {cure}")
    return str(stated or chosen)


def _published(card: ModelCard, repo: str, license: str) -> str:
    """Return the text of the card under its name on the Hub, with code that loads it from there."""
    name = repo.split("/")[1]
    text = re.sub(r"\A\s*# .*", lambda _: f"# {name}", card.text)
    text = text.replace(HERE_NOTE, "").replace(HERE, f"hf-hub:{repo}").replace(HERE_FOR_TRANSFORMERS, f'model="{repo}"')
    text = OPEN_LICENCE.sub(lambda found: f"{code(license)}: chosen by who published it, since {found[1]}.", text)
    published = ModelCard(str(card))
    for key, value in {"model_name": name, **license_fields(license)}.items():
        setattr(published.data, key, value)
    return f"---\n{published.data.to_yaml()}\n---\n\n{text.strip()}\n"
