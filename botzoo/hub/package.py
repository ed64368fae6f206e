"""What of a model folder goes up to the Hub: checked, named and licensed, without touching a network."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from botzoo.errors import BotzooError, PublishError
from botzoo.models.create import create_model
from botzoo.results.card.beside import FILES as BESIDE
from botzoo.results.card.beside import read_recipe
from botzoo.results.card.claim import claim_in_card, license_fields, read_card
from botzoo.results.card.sections import OPEN_LICENCE
from botzoo.results.card.usage import HERE, HERE_FOR_TRANSFORMERS, HERE_NOTE
from botzoo.util.files import sha256_of

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

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {name: len(c) if isinstance(c, bytes) else c.stat().st_size for name, c in self.files.items()}


def pack(path: Path, repo: str, license: str | None = None) -> Package:
    """Check the model folder and return what of it goes up to ``repo``.

    Args:
        path: a model folder, or the run that it is in.
        repo: owner/name; takes the place of ``local-dir:.`` in the card's code.
        license: chosen by who publishes, where the card has none.

    Raises:
        PublishError: it is no model folder, a file of it is a link, its weights do not fit its config.json or are not those
            of its card, its recipe cannot be read, or it has no licence.
    """
    folder = _find_model(path)
    config = _read_config(folder / "config.json")
    for name in FILES:
        if (folder / name).is_symlink():  # it may lead to something private
            raise PublishError(f"{folder / name} is a link to {(folder / name).readlink()}: put the file in its place.")
    try:  # as whoever downloads them will, every tensor of them
        create_model(f"local-dir:{folder}", len(config["label_names"]))
    except BotzooError as error:
        raise PublishError(f"The weights do not fit config.json, so nobody could load them. {error}") from error
    try:
        card, claim = read_card(folder / "README.md"), claim_in_card(folder / "README.md")
        if (folder / "recipe.yaml").is_file():
            read_recipe(folder / "recipe.yaml")
    except BotzooError as error:
        raise PublishError(f"{error} Write the folder anew, or mend it.") from error
    if claim is not None and claim.weights_sha256 not in (None, sha256_of(folder / "model.safetensors")):
        raise PublishError(f"The weights in {folder} are not those that its card is of: put those back, or train anew.")
    license = _license_of(card, folder, license)
    config["pretrained_cfg"]["license"] = license
    text = _published(card, repo, license)
    changed = {"config.json": json.dumps(config, indent=2, ensure_ascii=False) + "\n", "README.md": text}
    present = [name for name in FILES if (folder / name).is_file()]
    files = {name: changed[name].encode() if name in changed else folder / name for name in present}
    others = sorted(f"{p.name}/" if p.is_dir() else p.name for p in folder.iterdir())
    return Package(folder, repo, license, text, files, tuple(n for n in others if n not in (*FILES, RECORD)))


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
    raise PublishError(f"There is no model in {path}: give a finished run, or a folder with {', '.join(NEEDED)} in it.")


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        names, count = config["label_names"], config["num_classes"]
        whole = isinstance(names, list) and len(names) == count and all(isinstance(name, str) for name in names)
        if whole and isinstance(config["pretrained_cfg"], dict) and isinstance(config["architecture"], str):
            return dict(config)
        reason = f"label_names must be {count} names, beside architecture and pretrained_cfg"
    except KeyError as error:
        reason = f"it has no {error}"
    except (OSError, ValueError, TypeError) as error:
        reason = str(error)
    raise PublishError(f"{file} is not that of a model for the Hub ({reason}): write the folder anew.")


def _license_of(card: ModelCard, folder: Path, chosen: str | None) -> str:
    """Return the licence of the card, or the one chosen where it has none."""
    fields = card.data.to_dict()  # type: ignore[no-untyped-call]
    stated = fields.get("license_name" if fields.get("license") == "other" else "license")
    stated = None if stated == "unknown" else stated
    if stated is None and chosen is None:
        found = re.search(r"^## Licence\n+(.*?)(?=^## |\Z)", card.text, re.S | re.M)
        known = " ".join(re.sub(r"Choose one before publishing[^.]*\.", "", found[1]).split()) if found else ""
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
    text = OPEN_LICENCE.sub(lambda found: f"`{license}`: chosen by who published it, since {found[1]}.", text)
    published = ModelCard(str(card))
    for key, value in {"model_name": name, **license_fields(license)}.items():
        setattr(published.data, key, value)
    return f"---\n{published.data.to_yaml()}\n---\n\n{text.strip()}\n"
